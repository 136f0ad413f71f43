"""``biomedica train``: a model from a release that lies elsewhere, with no data directory."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import rich.console

from biomedica_assets import composition, configs, from_release, settings
from biomedica_assets.console import bar
from biomedica_assets.lib.clip import stage
from biomedica_assets.lib.dataset.pictures import open_bucket
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.stream.addresses import HUB, is_remote, place_of
from biomedica_assets.lib.stream.virtual import Pictures
from biomedica_assets.lib.tables import CHECKPOINTS


def train(arguments: argparse.Namespace) -> int:
    """Train on a recipe of a release, interpolate, choose by its validation split, say what was fetched."""
    more = {"training_profile": arguments.profile} if arguments.profile else {}
    values = settings.load(data_dir=arguments.data_dir, **more)
    lake, given = Lake(values.data_dir), arguments.release
    remote = is_remote(given)
    stats = lake.root.absolute() / "streams.jsonl"
    stats.unlink(missing_ok=True)
    release = from_release.Afar(
        given if remote else str(os.path.abspath(given)),  # noqa: PTH100 - a link is kept as it is
        place_of(given, os.environ.get("HF_ENDPOINT") or HUB),
        stats,
        os.environ.get("HF_TOKEN") if given.startswith("hf://") else None,
        (arguments.cache.absolute(), arguments.cache_size) if arguments.cache else None,
        arguments.pictures,
        Pictures(_place(arguments.source), arguments.in_flight, arguments.shrink, open_bucket),
    )
    profile, device = configs.training_profile(values), configs.training_device(values)
    recipe, index = from_release.bring_recipe(lake, release, arguments.recipe, arguments.where)
    index = index.absolute()
    pairs = from_release.held_out_pairs(lake, recipe, index, release, profile.validation_pairs)
    with bar(rich.console.Console(stderr=True)) as progress:
        report = stage.build_checkpoints(
            lake,
            recipe,
            profile=profile,
            data=from_release.training_data(index, release, profile, lake.root / "models"),
            validate=composition.scorer(pairs, lake.root, recipe, most=profile.validation_pairs, device=device.kind),
            device=device,
            seed=values.seed,
            limits=configs.training_limits(values),
            model_folder=lake.root / "models",
            progress=progress,
        )
    for row in lake.read(CHECKPOINTS, recipe).sort("alpha").iter_rows(named=True):
        print(f"{row['name']:<32} {row['metric']} {row['score']:.3f}{'  best' if row['best'] else ''}  {row['path']}")
    told = from_release.network(stats)
    peak = report.metrics.get("peak_bytes")
    print(
        f"{report.metrics['samples_seen']:,} samples learned from; {told['fetched']:,} bytes fetched for "
        f"{told['bytes']:,} bytes of samples, {told['cached']:,} samples from the cache, {told['skipped']:,} left out"
    )
    print(
        f"peak memory: training {int(peak or 0) / 1e6:,.0f} MB, the largest stream {told['peak_bytes'] / 1e6:,.0f} MB; "
        f"{report.seconds:.0f} s"
    )
    return 0


def _place(source: str) -> str:
    """Streams are started elsewhere: a directory is named from the root."""
    return source if is_remote(source) else str(Path(source).absolute())
