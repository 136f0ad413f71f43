"""Samples per second of our training path against plain ``open_clip_train`` on the same physical shards.

Ours: the supervised worker on virtual shards, each the output of the real stream command (shuffled, in byte ranges of
the physical shards). Theirs: ``open_clip_train.main`` reading the tar files directly, with the one change without which
open_clip_train 3.3 cannot read a tar under webdataset 1.0 at all: its ``tar_file_expander`` is told not to mark the end
of a shard (``eof_value=None``; plain, it stops with KeyError 'fname').

Same samples, model, augmentation, batch, loader workers, threads and shuffle buffer; alternating; medians over whole
epochs, the first of each run left out. An epoch's time is that of its ``train_one_epoch``, opening the streams and
filling the buffer included; its CPU time is that of the process, its loader workers and the processes they started, and
says more on a machine that others use. The default is the hard case for a loader: small images and a model of next to
no weight, so that what a path adds to a sample shows.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from biomedica_assets.lib.clip import interpolate, models, profile, supervise, training
from biomedica_assets.lib.clip.spec import RunSpec
from biomedica_assets.lib.stream import index, urls, virtual

EPOCHS = "epochs.jsonl"
METER = """
import json, multiprocessing, os, resource, sys, time
import open_clip_train.train as train

def cpu():
    own = resource.getrusage(resource.RUSAGE_SELF)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime
    for child in multiprocessing.active_children():
        with open(f"/proc/{child.pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        used += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return used

def metered(inner, file):
    def one_epoch(model, loaders, *args, **kwargs):
        wall, used = time.perf_counter(), cpu()
        inner(model, loaders, *args, **kwargs)
        found = {"seconds": time.perf_counter() - wall, "cpu": cpu() - used,
                 "samples": loaders["train"].dataloader.num_samples}
        with open(file, "a") as out:
            out.write(json.dumps(found) + "\\n")
    return one_epoch

train.train_one_epoch = metered(train.train_one_epoch, sys.argv[1])
"""
OURS = f"{METER}\nfrom biomedica_assets.lib.clip import worker\nsys.exit(worker.main(sys.argv[2:]))\n"
THEIRS = f"""{METER}
import functools, torch
import open_clip_train.data as data
data.tar_file_expander = functools.partial(data.tar_file_expander, eof_value=None)
import open_clip
open_clip.add_model_config(sys.argv[2])
torch.set_num_threads(int(sys.argv[3]))
from open_clip_train.main import main
main(sys.argv[4:])
"""


def shards(folder: Path, count: int, samples: int, side: int) -> list[Path]:
    """Physical shards of JPEGs of 5 : 4 with captions and 1.2 kB of JSON, as ours are.

    Args:
        folder: where to.
        count: how many.
        samples: in all of them.
        side: pixels of the longer side.
    """
    rng = np.random.default_rng(0)
    made: list[Path] = []
    for shard in range(count):
        made.append(folder / f"s{shard}.tar")
        with tarfile.open(made[-1], "w", format=tarfile.USTAR_FORMAT) as tar:
            for n in range(samples // count):
                small = PIL.Image.fromarray(rng.integers(0, 255, (8, 10, 3), np.uint8))
                buffer = io.BytesIO()
                small.resize((side, side * 4 // 5), PIL.Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
                text = f"figure {n} of shard {shard}"
                record = json.dumps({"label": text, "mentions": [{"text": "see it " * 150}]}).encode()
                for name, data in (("jpg", buffer.getvalue()), ("txt", text.encode()), ("json", record)):
                    info = tarfile.TarInfo(f"s{shard}-{n}.{name}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
    return made


def virtual_pattern(physical: list[Path], file: Path, of: int) -> str:
    """An index over all samples of the shards, and the pattern of its virtual shards."""
    rows: list[tuple[int, int, int]] = []
    for number, path in enumerate(physical):
        with tarfile.open(path) as tar:
            starts = [member.offset for member in tar if member.name.endswith(".jpg")]
            ends = [*starts[1:], tar.offset]  # where the empty blocks begin
        rows += [(number, start, end) for start, end in zip(starts, ends, strict=True)]
    shard, start, end = np.array(rows, dtype=np.int64).T
    split = {"shard": shard, "start": start, "end": end, "repeat": np.ones_like(shard), "check": shard}
    described = [(path.name, path.stat().st_size, "jpg") for path in physical]
    index.write(file, recipe="benchmark", seed=0, shards=described, splits={"train": split})
    return urls.pipe_pattern(file, str(physical[0].parent), virtual.Selection(), of)


def lake_shards(data_dir: Path, recipe: str, workers: int) -> tuple[str, str, int]:
    """Our pattern, the physical shards' paths, and the samples of a recipe that is built."""
    composition: Any = importlib.import_module("biomedica_assets.composition")
    tables: Any = importlib.import_module("biomedica_assets.lib.tables")
    lake = importlib.import_module("biomedica_assets.lib.store.lake").Lake(data_dir)
    given = composition.training_data(lake, recipe, profile.load("demo"))(workers)
    paths = lake.scan(tables.SHARDS).select("shard").unique().collect()["shard"].sort().to_list()
    return given.pattern, "::".join(str(lake.root / path) for path in paths), given.samples


def run_ours(plan: training.Plan, buffer: int) -> None:
    """A run under supervision, as the asset starts it; only the meter is added to its process."""
    spec = RunSpec(
        arguments=training.arguments(plan), events=str(plan.folder / training.EVENTS),
        model_folders=plan.chosen.folders, threads=plan.device.threads, sample_buffer=buffer,
    )  # fmt: skip
    worker = [sys.executable, "-c", OURS, str(plan.folder / EPOCHS)]
    supervise.command = lambda spec, device: [*worker, str(spec)]
    supervise.run(spec, plan.folder, plan.device, lambda event: None)


def run_theirs(plan: training.Plan) -> None:
    """The same run by open_clip_train itself."""
    model = plan.chosen.folders[0] if plan.chosen.folders else ""
    command = [sys.executable, "-c", THEIRS, str(plan.folder / EPOCHS), model, str(plan.device.threads)]
    environment = supervise.environment(plan.device)
    arguments = training.arguments(plan)
    done = subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"open_clip_train failed:\n{done.stderr[-2000:]}")


def epochs_of(folder: Path) -> list[dict[str, float]]:
    """What the meter wrote of every epoch but the first."""
    return [json.loads(line) for line in (folder / EPOCHS).read_text().splitlines()][1:]


def compare(options: argparse.Namespace, work: Path) -> None:
    """Run both in turn and print the medians."""
    chosen = models.architecture(options.model)
    settings = profile.parse(
        {
            "model": options.model, "pretrained": None, "batch_size": options.batch, "learning_rate": 1e-4,
            "epochs": 1, "source": "benchmark",
        },
        "benchmark", "benchmark",
    )  # fmt: skip
    device = supervise.Device(options.device, 1, options.workers, options.threads)
    if options.data_dir:
        ours, theirs, samples = lake_shards(options.data_dir, options.recipe, options.workers)
    else:
        made = shards(work, max(4, 2 * options.workers), options.samples, options.side)
        ours = virtual_pattern(made, work / "benchmark.index", options.workers)
        theirs, samples = "::".join(map(str, made)), options.samples
    interpolate.save(models.create(chosen, settings, 0).state_dict(), work / "base.safetensors", {})
    found: dict[bool, list[dict[str, float]]] = {True: [], False: []}
    for turn in range(2 * options.rounds):
        mine = turn % 2 == 0
        data = training.TrainingData(ours if mine else theirs, samples, options.workers)
        folder = work / f"run{turn}"
        folder.mkdir()
        plan = training.Plan(folder, work / "base.safetensors", chosen, settings, data, options.epochs, device)
        if mine:
            run_ours(plan, training.Limits().sample_buffer)
        else:
            run_theirs(plan)
        found[mine] += epochs_of(folder)
    wall = {mine: statistics.median(e["samples"] / e["seconds"] for e in found[mine]) for mine in found}
    cpu = {mine: statistics.median(e["samples"] / e["cpu"] for e in found[mine]) for mine in found}
    print(
        f"{options.model} on {options.device}, batch {options.batch}, {options.workers} loaders; epochs of {samples} "
        f"samples, {len(found[True])} of each; median samples/s:"
    )
    print(f"  ours             {wall[True]:9.1f} by wall  {cpu[True]:9.1f} by CPU second")
    print(f"  open_clip_train  {wall[False]:9.1f} by wall  {cpu[False]:9.1f} by CPU second")
    print(
        f"  ratio            {wall[True] / wall[False]:9.3f}          {cpu[True] / cpu[False]:9.3f}   (wanted: >= 0.95)"
    )


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="biomedica-demo")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--samples", type=int, default=3072, help="of an epoch")
    parser.add_argument("--side", type=int, default=320, help="pixels of the drawn images")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--data-dir", type=Path, help="a data directory with a built recipe, instead of drawn images")
    parser.add_argument("--recipe", default="full")
    options = parser.parse_args()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    with tempfile.TemporaryDirectory() as folder:
        compare(options, Path(folder))


if __name__ == "__main__":
    main()
