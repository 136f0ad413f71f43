"""Training with pictures from a bucket against training from local shards: rate, batches, memory, a second epoch.

Two releases of one invented PubMed Central: one with shards, one of text alone, whose pictures a stand-in for the
bucket on loopback serves. Each of its answers takes 50 ms; a share of the requests meets a fault (503, 429, 500, a
reset, a body that breaks off, a flipped byte). The model, profile and pipeline are the demo's: the supervised worker,
``open_clip_train`` inside it, virtual shards as ``biomedica train`` starts them. Batches are hashed as the loader hands
them out. An epoch's time is that of its ``train_one_epoch``, opening its streams included; runs alternate, the first
epoch of each is left out, medians are printed.

    python benchmarks/without_a_copy.py [--articles 200] [--epochs 4] [--rounds 3] [--batches-only]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import statistics
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from biomedica_assets.lib.clip import data as clip_data
from biomedica_assets.lib.clip import interpolate, models, profile, supervise, training
from biomedica_assets.lib.clip.spec import RunSpec
from biomedica_assets.lib.demo import write_mirror
from biomedica_assets.lib.release.stage import ReleaseConfig
from biomedica_assets.lib.stream import urls
from biomedica_assets.lib.stream.index import Index
from biomedica_assets.lib.stream.virtual import Selection
from biomedica_assets_tests.lib.release import lakes
from biomedica_assets_tests.support.s3_standin import Fault, S3StandIn

EPOCHS = "epochs.jsonl"
FAULTS: tuple[Fault, ...] = ("503", "429", "500", "reset", "truncate", "corrupt")
REQUESTS = 40
"""For how many requests of each picture it is drawn beforehand whether they meet a fault."""
METER = """
import hashlib, json, sys, time
import open_clip_train.train as train
from biomedica_assets.lib.clip import worker

class Hashed:
    def __init__(self, loader):
        self.loader, self.digests = loader, []
    def __getattr__(self, name):
        return getattr(self.loader, name)
    def __iter__(self):
        for batch in self.loader:
            digest = hashlib.blake2b(digest_size=16)
            for part in batch:
                digest.update(part.contiguous().numpy())
            self.digests.append(digest.hexdigest())
            yield batch

def metered(inner, file, only_batches):
    def one_epoch(model, loaders, loss, epoch, *args, **kwargs):
        began, info = time.perf_counter(), loaders["train"]
        info.dataloader = Hashed(getattr(info.dataloader, "loader", info.dataloader))
        if only_batches:
            info.set_epoch(epoch)
            for batch in info.dataloader:
                pass
        else:
            inner(model, loaders, loss, epoch, *args, **kwargs)
        found = {"seconds": time.perf_counter() - began, "samples": info.dataloader.num_samples,
                 "batches": info.dataloader.digests}
        with open(file, "a") as out:
            out.write(json.dumps(found) + "\\n")
    return one_epoch

train.train_one_epoch = metered(train.train_one_epoch, sys.argv[1], sys.argv[2] == "batches")
if sys.argv[2] == "batches":
    worker._count = lambda *args, **facts: None
sys.exit(worker.main(sys.argv[3:]))
"""


def serve(root: Path, share: float, delay: float, line: Connection) -> None:
    """Be the bucket, in a process of its own: says its address, plans faults and tells counts when it is asked."""
    keys = sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.suffix not in {".xml", ".json", ".txt"})
    with S3StandIn(root, delay=delay) as bucket:
        line.send(f"{bucket.endpoint}/{bucket.bucket}")
        while (asked := line.recv()) is not None:
            draw = random.Random(asked)
            line.send((sum(bucket.requests.values()), bucket.most_in_flight))
            bucket.forget()
            bucket.faults = {
                key: [draw.choice(FAULTS) if draw.random() < share else None for _ in range(REQUESTS)] for key in keys
            }


class Place:
    """Where the samples of a run come from."""

    def __init__(self, name: str, release: Path, index: str, more: Sequence[str] = ()) -> None:
        self.name, self.release, self.index, self.more = name, release, Index(release / index), more

    def data(self, device: supervise.Device, least: int) -> training.TrainingData:
        """The training split, as ``biomedica train`` cuts it."""
        entries = self.index.split("train").entries
        of = clip_data.streams_for(entries, device.loader_workers, least)
        pattern = urls.pipe_pattern(self.index.path, str(self.release), Selection(), of, more=self.more)
        return training.TrainingData(pattern, entries, of)


def run(work: Path, place: Place, device: supervise.Device, epochs: int, mode: str) -> list[dict[str, Any]]:
    """One supervised run; what the meter wrote of its epochs."""
    settings = profile.load("demo")
    chosen = models.architecture(settings.model)
    folder = Path(tempfile.mkdtemp(dir=work))
    base = work / "base.safetensors"
    if not base.exists():
        interpolate.save(models.create(chosen, settings, 0).state_dict(), base, {})
    plan = training.Plan(
        folder, base, chosen, settings, place.data(device, settings.virtual_shards or 0), epochs, device
    )
    spec = RunSpec(
        arguments=training.arguments(plan), events=str(folder / training.EVENTS), model_folders=chosen.folders,
        threads=device.threads, sample_buffer=training.Limits().sample_buffer,
    )  # fmt: skip
    worker = [sys.executable, "-c", METER, str(folder / EPOCHS), mode]
    supervise.command = lambda spec, device: [*worker, str(spec)]
    supervise.run(spec, folder, device, lambda event: None)
    return [json.loads(line) for line in (folder / EPOCHS).read_text().splitlines()]


def streams_of(stats: Path) -> list[dict[str, Any]]:
    """What each stream told of itself."""
    return [json.loads(line) for line in stats.read_text().splitlines()] if stats.exists() else []


def make(work: Path, articles: int) -> tuple[Path, Path, Path]:
    """Invent the articles; the bucket, a release with pictures and one without."""
    source = work / "source"
    write_mirror(source, seed=0, articles=articles)
    lake = lakes.make(work / "data", source)
    lakes.recipe(lake)
    whole = lakes.release(lake, ReleaseConfig(version="whole", pairs=False))
    return source, whole, lakes.release(lake, ReleaseConfig(version="light", pictures=False))


def compare(options: argparse.Namespace, work: Path) -> None:
    """Make the releases, run in turn, print."""
    source, whole, light = make(work, options.articles)
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=serve, args=(source, options.faults, options.delay, there), daemon=True
    )
    process.start()
    address = here.recv()

    def bucket(seed: int) -> tuple[int, int]:
        here.send(seed)
        return here.recv()

    device = supervise.Device("cpu", 1, options.workers, options.threads)
    stats = work / "streams.jsonl"
    more = ("--source", address, "--in-flight", str(options.in_flight), "--stats", str(stats))
    shards = Place("local shards", whole, "recipes/full.index")
    afar = Place("pictures from the bucket", light, "texts/full.index", more)
    mode = "batches" if options.batches_only else "training"
    rates: dict[str, list[float]] = {shards.name: [], afar.name: []}
    batches: dict[str, list[list[str]]] = {}
    most = asked = 0
    for turn in range(options.rounds):
        for place in (shards, afar)[:: 1 if turn % 2 == 0 else -1]:
            bucket(turn)
            epochs = run(work, place, device, options.epochs, mode)
            rates[place.name] += [epoch["samples"] / epoch["seconds"] for epoch in epochs[1:]]
            found = [epoch["batches"] for epoch in epochs]
            if batches.setdefault(place.name, found) != found:
                raise SystemExit(f"{place.name}: two runs gave other batches")
            requests, flying = bucket(turn)
            asked, most = (requests, max(most, flying)) if place is afar else (asked, most)
    samples = shards.index.split("train").entries
    size = shards.index.split("train").bytes
    print(
        f"{samples} samples of {size / samples / 1000:.0f} kB an epoch; answers after {1000 * options.delay:.0f} ms, "
        f"{options.faults:.1%} of the requests meet a fault, {options.in_flight} in flight; {mode}, "
        f"{options.workers} loader, {options.threads} thread; medians of {len(rates[afar.name])} epochs"
    )
    medians = {name: statistics.median(found) for name, found in rates.items()}
    for name, rate in medians.items():
        spread = statistics.quantiles(rates[name], n=4)
        print(f"  {name:<26} {rate:8.1f} samples/s (quartiles {spread[0]:.1f} and {spread[2]:.1f})")
    print(f"  ratio                      {medians[afar.name] / medians[shards.name]:8.3f} (wanted: >= 0.9)")
    equal = batches[shards.name] == batches[afar.name]
    n = sum(map(len, batches[afar.name]))
    print(f"  batches: {n} of {options.epochs} epochs {'equal, bit for bit' if equal else 'DIFFER'}")
    told = streams_of(stats)
    print(
        f"  bucket: {asked} requests for {options.epochs * samples} pictures in the last run, at most {most} at once; "
        f"{sum(one['skipped'] for one in told)} samples left out"
    )
    print(
        f"  memory: the largest stream {max(one['peak_bytes'] for one in told) / 1e6:.0f} MB, of a split of "
        f"{size / 1e6:.0f} MB; fetched {sum(one['fetched'] for one in told) / 1e6:.1f} MB for "
        f"{sum(one['bytes'] for one in told) / 1e6:.1f} MB of samples"
    )
    cache = ("--cache", str(work / "cache"), "--cache-size", "2GB")
    kept = Place("cache", light, "texts/full.index", (*more, *cache))
    bucket(0)
    first = run(work, kept, device, 1, mode)
    filled, _ = bucket(0)
    again = run(work, kept, device, 2, mode)
    after, _ = bucket(0)
    same = first[0]["batches"] == again[0]["batches"] == batches[shards.name][0]
    rate = again[1]["samples"] / again[1]["seconds"]
    print(
        f"  cache: {filled} requests in the first epoch, {after} in the two after it; batches "
        f"{'equal' if same and again[1]['batches'] == batches[shards.name][1] else 'DIFFER'}; {rate:.1f} samples/s"
    )
    here.send(None)
    process.join()


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--articles", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=4, help="of a run; the first is left out")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--delay", type=float, default=0.05, help="seconds that each answer takes")
    parser.add_argument("--faults", type=float, default=0.02, help="share of the requests that meet one")
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batches-only", action="store_true", help="the data pipeline alone, without a model's step")
    options = parser.parse_args()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    with tempfile.TemporaryDirectory() as folder:
        compare(options, Path(folder))


if __name__ == "__main__":
    main()
