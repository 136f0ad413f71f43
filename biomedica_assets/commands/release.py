"""Commands around releases: verify, rebuild, export in BIOMEDICA's form, upload."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich.console

from biomedica_assets import settings
from biomedica_assets.console import bar
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.release import manifest as manifests
from biomedica_assets.lib.release.replant import replant
from biomedica_assets.lib.release.stage import FOLDER
from biomedica_assets.lib.release.verify import Difference, compare
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import RELEASE

if TYPE_CHECKING:
    from biomedica_assets.automation.planner import Planner


def verify(arguments: argparse.Namespace) -> int:
    """``biomedica verify``: hash everything again."""
    from biomedica_assets.lib.release import verify as verification

    release = _folder(arguments)
    with bar(rich.console.Console(stderr=True)) as progress:
        differences = verification.verify(release, progress)
    return _tell(differences, f"{release} is what its manifest says")


def rebuild(arguments: argparse.Namespace) -> int:
    """``biomedica rebuild``: make a release anew from its inventory and settings, and say what differs."""
    from biomedica_assets import instance
    from biomedica_assets.automation import runner
    from biomedica_assets.commands import graph
    from biomedica_assets.console import Bars

    wanted = manifests.load(arguments.release)
    known = settings.Settings.model_fields
    overrides: dict[str, Any] = {name: value for name, value in wanted.settings.items() if name in known}
    overrides |= {"release_version": wanted.version, "release_name": wanted.name}
    values = settings.load(
        **overrides, data_dir=arguments.data_dir, source=arguments.source, pubmed=arguments.pubmed or ""
    )
    instance.prepare(values)
    lake = Lake(values.data_dir)
    replant(arguments.release, lake, values.chunk_span)
    with Bars() as bars, instance.open_instance(values) as dagster_instance:
        definitions = graph.graph_of(values, bars)
        planner = graph.planner_of(values, definitions, lake)
        select = sorted(_above(planner, RELEASE.name) - {"pmc_inventory"})
        outcome = runner.walk(definitions, dagster_instance, planner, select=select, listener=bars)
    if not outcome.ok:
        failed = ", ".join(f"{batch.assets[0]} of {batch.partition}" for batch in outcome.failed)
        raise PermanentFailure(f"the rebuild failed at {failed}; run `biomedica refresh` there to go on")
    made = manifests.load(_newest(lake))
    return _tell(compare(wanted, made), f"{made.version} was rebuilt: {len(made.files):,} files, equal bytes")


def export_biomedica(arguments: argparse.Namespace) -> int:
    """``biomedica export-biomedica``: WebDataset with BIOMEDICA's 27 fields."""
    from biomedica_assets.lib.release import compat_export

    with bar(rich.console.Console(stderr=True)) as progress:
        found = compat_export.export_biomedica(_folder(arguments), arguments.target, progress)
    print(
        f"{found.n_out:,} of {found.n_in:,} samples in {len(found.tars):,} tars below {arguments.target}; "
        f"{found.encoded:,} encoded as JPEG, {len(found.rejects):,} left out. "
        f"What differs from BIOMEDICA's data: {arguments.target / compat_export.NOTE}"
    )
    return 0


def upload(arguments: argparse.Namespace) -> int:
    """``biomedica upload``: send a release to a Hugging Face repository; without --send, say what would be sent."""
    from biomedica_assets.lib.release import upload as uploading

    with bar(rich.console.Console(stderr=True)) as progress:
        found = uploading.upload(
            _folder(arguments),
            arguments.repo,
            dry_run=not arguments.send,
            private=not arguments.public,
            endpoint=arguments.endpoint,
            progress=progress,
        )
    if found.address is None:
        for file in found.files:
            print(f"{file.bytes:>15,}  {file.path}")
        print(f"{len(found.files):,} files, {found.bytes:,} bytes would go to {found.repo}; --send sends them")
    else:
        print(f"{len(found.files):,} files, {found.bytes:,} bytes: {found.address}")
    return 0


def _above(planner: Planner, asset: str) -> set[str]:
    found = {asset}
    for parent in planner.parents(asset):
        found |= _above(planner, parent) if parent not in found else set()
    return found


def _folder(arguments: argparse.Namespace) -> Path:
    """The release that was named, by folder or version; else the newest of the data directory."""
    if arguments.release and (arguments.release / manifests.NAME).exists():
        return arguments.release
    lake = Lake(settings.load(data_dir=arguments.data_dir).data_dir)
    return lake.root / FOLDER / arguments.release if arguments.release else _newest(lake)


def _newest(lake: Lake) -> Path:
    return lake.root / FOLDER / str(lake.read(RELEASE, None)["version"][0])


def _tell(differences: list[Difference], good: str) -> int:
    for difference in differences:
        print(difference)
    print(f"{len(differences):,} differences" if differences else good)
    return 1 if differences else 0
