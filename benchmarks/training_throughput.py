"""Samples per second of our training path against plain ``open_clip_train`` on the same physical shards.

Ours: virtual shards through ``pipe:`` and the supervised worker. Theirs: ``open_clip_train.main`` reading the tar files
directly, with the one change without which open_clip_train 3.3 cannot read a tar under webdataset 1.0 at all: its
``tar_file_expander`` is told not to mark the end of a shard (``eof_value=None``; plain, it stops with KeyError
'fname'). Same samples, model, batch, loader workers and threads; alternating; medians of the rates that
open_clip_train itself logs, the first step of each run left out, and of the CPU seconds that a run took, which say more
on a machine that others use.

``--gpu`` adds what a GPU allows: ViT-B-32 and ViT-L-14 in bf16 on images in memory, as a share of the matrix rate
measured on the same card, and the rate with the loader against that with one batch kept in memory.

Prints what 216 million samples (BMC-CLIP's budget, arXiv 2501.07171) cost at the measured rates.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import re
import resource
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from biomedica_assets.lib.clip import accounting, interpolate, models, profile, supervise, training
from biomedica_assets.lib.clip.spec import RunSpec
from biomedica_assets.lib.progress import SILENT

BUDGET = 216_000_000
RATE = re.compile(r"Batch \(t\): [\d.]+, ([\d.e+]+)/s")
PLAIN = """
import functools, sys, torch
import open_clip_train.data as data
data.tar_file_expander = functools.partial(data.tar_file_expander, eof_value=None)
import open_clip
open_clip.add_model_config(sys.argv[1])
torch.set_num_threads(int(sys.argv[2]))
from open_clip_train.main import main
main(sys.argv[3:])
"""


def shards(folder: Path, count: int, samples: int) -> None:
    """Physical shards of JPEGs of 320 x 256 pixels with captions."""
    rng = np.random.default_rng(0)
    for shard in range(count):
        with tarfile.open(folder / f"s{shard}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for n in range(samples // count):
                small = PIL.Image.fromarray(rng.integers(0, 255, (8, 10, 3), np.uint8))
                buffer = io.BytesIO()
                small.resize((320, 256), PIL.Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
                for name, data in (("jpg", buffer.getvalue()), ("txt", f"figure {n} of shard {shard}".encode())):
                    info = tarfile.TarInfo(f"s{shard}-{n}.{name}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))


def lake_shards(data_dir: Path, recipe: str, workers: int) -> tuple[str, str, int]:
    """Our pattern, the physical shards' paths, and the samples of a recipe that is built."""
    composition: Any = importlib.import_module("biomedica_assets.composition")
    tables: Any = importlib.import_module("biomedica_assets.lib.tables")
    lake = importlib.import_module("biomedica_assets.lib.store.lake").Lake(data_dir)
    given = composition.training_data(lake, recipe, profile.load("demo"))(workers)
    paths = lake.scan(tables.SHARDS).select("shard").unique().collect()["shard"].sort().to_list()
    return given.pattern, "::".join(str(lake.root / path) for path in paths), given.samples


def plain(plan: training.Plan) -> list[str]:
    """The same run by open_clip_train itself."""
    model = plan.chosen.folders[0] if plan.chosen.folders else ""
    return [sys.executable, "-c", PLAIN, model, str(plan.device.threads), *training.arguments(plan)]


def timed(plan: training.Plan, *, ours: bool) -> tuple[float, float]:
    """Median rate of the logged steps (samples/s), and CPU seconds of the whole run."""
    plan.folder.mkdir(parents=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    if ours:
        spec = RunSpec(
            arguments=training.arguments(plan), events=str(plan.folder / training.EVENTS),
            model_folders=plan.chosen.folders, threads=plan.device.threads, sample_buffer=500,
        )  # fmt: skip
        supervise.run(spec, plan.folder, plan.device, lambda event: None)
    else:
        environment = supervise.environment(plan.device)
        done = subprocess.run(plain(plan), env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"open_clip_train failed:\n{done.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    log = (plan.folder / training.RUN / "out.log").read_text()
    rates = [float(rate) for rate in RATE.findall(log)][1:]
    return statistics.median(rates), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def against_plain(options: argparse.Namespace, work: Path) -> float:
    """Print the comparison; returns our rate."""
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
        virtual, physical, samples = lake_shards(options.data_dir, options.recipe, options.workers)
    else:
        count = max(4, 2 * options.workers)
        shards(work, count, options.samples)
        virtual = physical = f"{work}/s{{0..{count - 1}}}.tar"
        virtual, samples = f"pipe:cat {virtual}", options.samples
    interpolate.save(models.create(chosen, settings, 0).state_dict(), work / "base.safetensors", {})
    found: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for turn in range(2 * options.rounds):
        ours = turn % 2 == 0
        data = training.TrainingData(virtual if ours else physical, samples, options.workers)
        plan = training.Plan(
            work / f"run{turn}", work / "base.safetensors", chosen, settings, data, options.epochs, device
        )
        found[ours].append(timed(plan, ours=ours))
    rate = {ours: statistics.median(r for r, _ in runs) for ours, runs in found.items()}
    cpu = {ours: statistics.median(c for _, c in runs) for ours, runs in found.items()}
    print(f"{options.model}, batch {options.batch}, {samples} samples x {options.epochs}, {options.workers} loaders")
    print(f"  ours             {rate[True]:9.1f} samples/s  {cpu[True]:7.1f} CPU s")
    print(f"  open_clip_train  {rate[False]:9.1f} samples/s  {cpu[False]:7.1f} CPU s")
    print(
        f"  ratio of rates {rate[True] / rate[False]:.3f}, of CPU time {cpu[False] / cpu[True]:.3f} (wanted: >= 0.95)"
    )
    return rate[True]


def matrix_peak(torch: Any, size: int = 8192) -> float:
    """Floating-point operations per second of one large bf16 product on the card."""
    a, b = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(5):
        a @ b
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(20):
        a @ b
    torch.cuda.synchronize()
    return 20 * 2 * size**3 / (time.perf_counter() - began)


def in_memory(torch: Any, name: str, batch: int, steps: int = 20) -> tuple[float, int]:
    """Samples/s of forward, backward and update on one batch kept on the card, and operations per sample."""
    open_clip: Any = importlib.import_module("open_clip")
    model = open_clip.create_model(name, output_dict=True)
    config = open_clip.get_model_config(name)
    size, context = models.image_size(config), config["text_cfg"].get("context_length", 77)
    operations = accounting.flops_per_sample(model, size, context)
    model = model.cuda()
    loss, optimiser = open_clip.ClipLoss(), torch.optim.AdamW(model.parameters(), lr=1e-6)
    images = torch.randn(batch, 3, size, size, device="cuda")
    texts = torch.randint(1, 49000, (batch, context), device="cuda")
    began = 0.0
    for step in range(steps + 5):
        if step == 5:
            torch.cuda.synchronize()
            began = time.perf_counter()
        optimiser.zero_grad()
        with torch.autocast("cuda", torch.bfloat16):
            value = loss(**model(images, texts))
        value.backward()
        optimiser.step()
    torch.cuda.synchronize()
    return steps * batch / (time.perf_counter() - began), operations


def through_loader(work: Path, name: str, batch: int, workers: int) -> float:
    """Samples/s of a real run of the worker on JPEG shards."""
    folder = work / f"loader-{name}-{workers}"
    folder.mkdir()
    count, samples = workers * 2, batch * workers * 4
    shards(folder, count, samples)
    chosen = models.architecture(name)
    settings = profile.parse(
        {
            "model": name, "pretrained": None, "batch_size": batch, "learning_rate": 1e-6, "epochs": 2,
            "source": "benchmark", "precision": "amp_bf16",
        },
        "benchmark", "benchmark",
    )  # fmt: skip
    interpolate.save(models.create(chosen, settings, 0).state_dict(), folder / "base.safetensors", {})
    data = training.TrainingData(f"pipe:cat {folder}/s{{0..{count - 1}}}.tar", samples, count)
    device = supervise.Device("cuda", 1, workers, 2)
    plan = training.Plan(folder / "run", folder / "base.safetensors", chosen, settings, data, 2, device)
    told = training.train(plan, training.Limits(sample_buffer=500), SILENT)
    return statistics.median(step["rate"] for step in told.steps if step["epoch"] == 1)


def on_gpu(options: argparse.Namespace, work: Path) -> None:
    """Print what the card does, and what the paper's budget costs on it."""
    torch: Any = importlib.import_module("torch")
    peak = matrix_peak(torch)
    print(f"{torch.cuda.get_device_name()}: {peak / 1e12:.0f} TFLOP/s in one bf16 matrix product")
    for name, batch in (("ViT-B-32", 1024), ("ViT-L-14", 128)):
        rate, operations = in_memory(torch, name, batch)
        print(f"{name} bf16, batch {batch}: {rate:.0f} samples/s, {rate * operations / peak:.1%} of that rate")
        for workers in options.loader_workers:
            loaded = through_loader(work, name, batch, workers)
            print(f"  with {workers} loaders: {loaded:.0f} samples/s, {loaded / rate:.3f} of it (wanted: >= 0.95)")
        cost(f"{name} on this card", rate)


def cost(what: str, rate: float) -> None:
    """Print what the paper's budget takes at a rate."""
    hours = BUDGET / rate / 3600
    print(f"{BUDGET / 1e6:.0f} million samples, {what}: {rate:.1f}/s -> {hours:,.0f} h = {hours / 24:,.1f} days")


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="biomedica-demo")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--samples", type=int, default=1024)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--data-dir", type=Path, help="a data directory with a built recipe, instead of drawn images")
    parser.add_argument("--recipe", default="full")
    parser.add_argument("--gpu", action="store_true", help="also measure ViT-B-32 and ViT-L-14 on the first GPU")
    parser.add_argument("--loader-workers", type=int, nargs="+", default=[4, 8, 16], help="with --gpu")
    options = parser.parse_args()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    with tempfile.TemporaryDirectory() as folder:
        rate = against_plain(options, Path(folder))
        cost(f"{options.model} on this {options.device}", rate)
        if options.gpu:
            on_gpu(options, Path(folder))


if __name__ == "__main__":
    main()
