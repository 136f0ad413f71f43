"""Commands around releases: verify, rebuild, export in BIOMEDICA's form, upload."""

from __future__ import annotations

import argparse
from pathlib import Path

import rich.console

from biomedica_assets import settings
from biomedica_assets.console import bar
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.release import manifest as manifests
from biomedica_assets.lib.release.stage import FOLDER
from biomedica_assets.lib.release.verify import Difference
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import RELEASE


def verify(arguments: argparse.Namespace) -> int:
    """``biomedica verify``: hash everything again."""
    from biomedica_assets.lib.release import verify as verification

    release = _folder(arguments)
    with bar(rich.console.Console(stderr=True)) as progress:
        differences = verification.verify(release, progress)
    return _tell(differences, f"{release} is what its manifest says")


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

    console = rich.console.Console(stderr=True)
    with bar(console) as progress:
        found = uploading.upload(
            _folder(arguments),
            arguments.repo,
            dry_run=not arguments.send,
            private=not arguments.public,
            endpoint=arguments.endpoint,
            progress=progress,
            tell=lambda sentence: console.print(sentence, highlight=False, markup=False),
        )
    if found.address is None:
        for file in found.files:
            print(f"{file.bytes:>15,}  {file.path}")
        print(f"{len(found.files):,} files, {found.bytes:,} bytes would go to {found.repo}; --send sends them")
        return 0
    for path, articles in found.withdrawn.items():
        print(f"taken away: {path}, which held {', '.join(articles)}, withdrawn since")
    if others := len(found.removed) - len(found.withdrawn):
        print(f"taken away: {others:,} {'other ' if found.withdrawn else ''}files that this release does not name")
    if found.removed:
        print(
            "Earlier commits still hold what was taken away; `HfApi().super_squash_history(repo_id="
            f"{found.repo!r}, repo_type='dataset')` forgets them."
        )
    there = len(found.files) - len(found.sent)
    print(
        f"{len(found.sent):,} files sent, {sum(file.bytes for file in found.sent):,} bytes; {there:,} were there "
        f"already: {found.address}"
    )
    return 0


def _folder(arguments: argparse.Namespace) -> Path:
    """The release that was named, by folder or version; else the newest of the data directory."""
    if arguments.release and (arguments.release / manifests.NAME).exists():
        return arguments.release
    values = settings.load(data_dir=arguments.data_dir)
    settings.require_data(values)
    lake = Lake(values.data_dir)
    return lake.root / FOLDER / arguments.release if arguments.release else _newest(lake)


def _newest(lake: Lake) -> Path:
    if lake.manifest(RELEASE, None) is None:
        raise PermanentFailure(
            f"{lake.root} has no release yet: `biomedica run` makes one, `biomedica stale --select release` says what "
            "it waits for; or name the folder of one"
        )
    return lake.root / FOLDER / str(lake.read(RELEASE, None)["version"][0])


def _tell(differences: list[Difference], good: str) -> int:
    for difference in differences:
        print(difference)
    print(f"{len(differences):,} differences" if differences else good)
    return 1 if differences else 0
