"""The shards of a release: hard links to the shards of the data directory, so that bytes lie on the disk once.

A shard that holds samples which may not be passed on is not linked: the release gets a copy without them, made of the
byte ranges of the others. A file system without hard links gets a relative symbolic link instead.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.release.manifest import ReleaseFile, entry
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import SHARDS

# Two blocks of zeros close a tar archive (POSIX.1-1988, 10.1.1).
_END = bytes(1024)
_OFFSETS = ("start", "end", "image_start", "txt_start", "json_start")


def add_shards(
    lake: Lake, release: Path, home: Path, chunk: str, kept: pl.Series
) -> tuple[pl.DataFrame, list[ReleaseFile]]:
    """Put the shards of a chunk into a release.

    Args:
        lake: holds the shards.
        release: folder that is being built.
        home: folder it will have, which symbolic links are relative to.
        chunk: whose shards.
        kept: sample keys that may be passed on.

    Returns:
        Rows of ``shards`` as they are in the release (offsets of rewritten shards are new), and the files.

    Raises:
        StoreError: a shard is gone or cannot be linked.
    """
    manifest = lake.manifest(SHARDS, chunk)
    digests = {file.path: file.sha256 for file in (manifest.files if manifest else ())}
    rows = lake.read(SHARDS, chunk)
    parts: list[pl.DataFrame] = []
    files: list[ReleaseFile] = []
    for (name,), part in rows.group_by("shard", maintain_order=True):
        here = part.filter(pl.col("sample_key").is_in(kept.implode()))
        if not here.height:
            continue
        if here.height == part.height:
            path = _link(lake.root / str(name), release, home, str(name))
            files.append(entry(release, path, "shard", here.height, digests[str(name)]))
        else:
            path, here = _without(lake, release, str(name), here)
            files.append(entry(release, path, "shard", here.height))
        parts.append(here)
    frame = pl.concat(parts) if parts else SHARDS.empty()
    return frame.select(SHARDS.schema.names()), files


def follow(recipe: pl.DataFrame, shards: pl.LazyFrame) -> pl.DataFrame:
    """Rows of a recipe whose samples are in the release, with the places they have there."""
    places = shards.select("sample_key", "shard", "start", "end").collect()
    found = recipe.drop("shard", "start", "end").join(places, on="sample_key", how="inner", maintain_order="left")
    renumbered = pl.int_range(found.height, dtype=pl.Int64()).alias("position")
    return found.with_columns(renumbered).select(recipe.columns)


def _link(source: Path, release: Path, home: Path, name: str) -> Path:
    target = release / name
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise StoreError(f"{source} is gone; materialise shards again") from None
    except OSError:
        # Another disk, or a file system that has no hard links.
        target.symlink_to(os.path.relpath(source, (home / name).parent))
    return target


def _without(lake: Lake, release: Path, name: str, rows: pl.DataFrame) -> tuple[Path, pl.DataFrame]:
    """A copy of a shard that holds these samples only, named by its digest as the original is."""
    draft = release / f"{name}.draft"
    digest = hashlib.sha256()
    moved: list[Mapping[str, object]] = []
    at = 0
    with atomic.replacing(draft) as temporary, temporary.open("wb") as out, (lake.root / name).open("rb") as tar:
        for position, row in enumerate(rows.sort("start").iter_rows(named=True)):
            tar.seek(row["start"])
            data = tar.read(row["end"] - row["start"])
            if len(data) != row["end"] - row["start"]:
                raise StoreError(f"{name} is shorter than its index says; materialise shards again")
            shift = at - row["start"]
            moved.append({**row, "position": position} | {column: row[column] + shift for column in _OFFSETS})
            out.write(data)
            digest.update(data)
            at += len(data)
        out.write(_END)
        digest.update(_END)
    stem = name.removesuffix(".tar").rpartition("-")[0]
    final = f"{stem}-{digest.hexdigest()[:12]}.tar"
    draft.replace(release / final)
    frame = pl.DataFrame(moved, schema=SHARDS.schema, orient="row").with_columns(shard=pl.lit(final))
    return release / final, frame
