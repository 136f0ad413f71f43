"""Whether a release is what its manifest says: every file hashed again, every difference named."""

from __future__ import annotations

import dataclasses
import enum
from pathlib import Path

import polars as pl

from biomedica_assets.lib.progress import SILENT, Progress, track
from biomedica_assets.lib.release import manifest as manifests
from biomedica_assets.lib.release.copies import scan
from biomedica_assets.lib.release.manifest import ReleaseFile, ReleaseManifest
from biomedica_assets.lib.tables import RELEASE_SHELF, TABLES


class Kind(enum.StrEnum):
    """How a file can differ."""

    MISSING = "missing"
    CHANGED = "changed"
    SURPLUS = "surplus"


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """One file that is not as the manifest says."""

    kind: Kind
    path: str
    detail: str

    def __str__(self) -> str:
        """For people."""
        return f"{self.kind}: {self.path} ({self.detail})"


def verify(release: Path, progress: Progress = SILENT) -> list[Difference]:
    """Hash every file of a release and compare with its manifest.

    Returns:
        Differences in the order of paths; empty if the release is whole and holds nothing else.

    Raises:
        StoreError: the folder has no manifest of a release.
    """
    manifest = manifests.load(release)
    found = [
        difference
        for file in track(manifest.files, progress, "verify the release", len(manifest.files), "files")
        if (difference := _compare(release, file))
    ]
    named = {manifests.NAME, *(file.path for file in manifest.files)}
    here = {path.relative_to(release).as_posix() for path in release.rglob("*") if path.is_symlink() or path.is_file()}
    found += [Difference(Kind.SURPLUS, path, "not named by the manifest") for path in here - named]
    return sorted(found, key=lambda d: (d.path, d.kind))


def compare(first: ReleaseManifest, second: ReleaseManifest) -> list[Difference]:
    """How the second release differs from the first, by digests alone; whatever their versions are called."""
    theirs = {file.path: file for file in second.files}
    ours = {file.path: file for file in first.files}
    found = [Difference(Kind.MISSING, path, "only in the first") for path in ours.keys() - theirs.keys()]
    found += [Difference(Kind.SURPLUS, path, "only in the second") for path in theirs.keys() - ours.keys()]
    found += [
        Difference(Kind.CHANGED, path, f"{ours[path].bytes:,} and {theirs[path].bytes:,} bytes of other content")
        for path in ours.keys() & theirs.keys()
        if ours[path].sha256 != theirs[path].sha256
    ]
    return sorted(found, key=lambda d: (d.path, d.kind))


def causes(first: Path, second: Path) -> list[str]:
    """Why two releases differ, a sentence each, what comes first in the graph first: versions, settings, partitions."""
    one, other = manifests.load(first), manifests.load(second)
    found = [
        f"{what} {name}: {theirs.get(name, 'none')} and {ours.get(name, 'none')}"
        for what, theirs, ours in (
            ("package", one.packages, other.packages),
            ("setting", one.settings, other.settings),
            ("code of", one.code_versions, other.code_versions),
        )
        for name in sorted({*theirs, *ours})
        if theirs.get(name) != ours.get(name)
    ]
    columns = ["chunk", "table", "data_version", "rows"]
    parts = [scan(release, RELEASE_SHELF).select(columns).collect() for release in (first, second)]
    apart = parts[0].join(parts[1], on=["chunk", "table"], how="full", coalesce=True, nulls_equal=True)
    apart = apart.filter(pl.col("data_version").ne_missing(pl.col("data_version_right")))
    order = {name: number for number, name in enumerate(TABLES)}
    for row in sorted(apart.iter_rows(named=True), key=lambda row: (order[row["table"]], row["chunk"])):
        rows = ("none" if n is None else f"{n:,}" for n in (row["rows"], row["rows_right"]))
        found.append(f"{row['table']} of {row['chunk']}: {' and '.join(rows)} rows")
    named = {name for name in {*one.inputs, *other.inputs} if not name.startswith(RELEASE_SHELF.name)}
    return found + [f"{name} differs" for name in sorted(named) if one.inputs.get(name) != other.inputs.get(name)]


def _compare(release: Path, file: ReleaseFile) -> Difference | None:
    path = release / file.path
    # A manifest from elsewhere must not make us read outside the folder; links to shards are made by the stage.
    if Path(file.path).is_absolute() or ".." in Path(file.path).parts:
        return Difference(Kind.CHANGED, file.path, "the manifest names a path outside the release")
    if not path.is_file():
        return Difference(Kind.MISSING, file.path, f"{file.kind} of {file.bytes:,} bytes")
    size = path.stat().st_size
    if size != file.bytes:
        return Difference(Kind.CHANGED, file.path, f"has {size:,} bytes, {file.bytes:,} expected")
    digest = manifests.sha256_of(path)
    if digest != file.sha256:
        return Difference(Kind.CHANGED, file.path, f"SHA-256 is {digest[:16]}..., {file.sha256[:16]}... expected")
    return None
