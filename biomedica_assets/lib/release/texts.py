"""``texts/``: what the shards hold but for the pictures, and where those are, so that nobody has to copy them.

Belongs here: tars of caption and record, the table ``sources`` (place of the text, key and MD5 of the picture), and the
indexes of recipes over them. A text tar is named as the shard that it was made from, and holds its samples in the same
order: any WebDataset reader takes it. With its index and PubMed Central's bucket a recipe is streamed and trained on as
from the shards, bit for bit (``lib.stream.pictures``), from a hundredth to a fiftieth of their bytes.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.release import copies, indexes
from biomedica_assets.lib.release.manifest import ReleaseFile, entry
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.tables import IMAGES, SOURCES

FOLDER, KIND = "texts", "texts"
_BLOCK = 512
_END = bytes(2 * _BLOCK)
"""What closes a tar archive (POSIX.1-1988, 10.1.1)."""


def name_of(shard: str) -> str:
    """Path of the text tar of a shard."""
    return f"{FOLDER}/{shard.partition('/')[2]}"


def write(release: Path, chunks: Iterable[tuple[str, pl.DataFrame]]) -> list[ReleaseFile]:
    """Write text tars and the table ``sources``; one shard's table is in memory at a time, and one sample's text.

    Args:
        release: folder whose shards and table ``images`` are in place.
        chunks: key and rows of ``shards`` of each chunk, as they are in the release, keys rising.

    Raises:
        StoreError: a shard is shorter than its index says.
    """
    files: list[ReleaseFile] = []
    parts: list[tuple[str, pl.DataFrame]] = []
    images = copies.scan(release, IMAGES).select("media_id", "key", "md5", "license_code")
    for chunk, rows in chunks:
        placed: list[dict[str, Any]] = []
        for (shard,), part in rows.group_by("shard", maintain_order=True):
            path = release / name_of(str(shard))
            placed += _tar(release / str(shard), path, name_of(str(shard)), part)
            files.append(entry(release, path, KIND, part.height))
        if placed:
            frame = pl.DataFrame(placed, schema_overrides={"check": pl.UInt32()})
            joined = frame.lazy().join(images, on="media_id", how="left", maintain_order="left").collect()
            parts.append((chunk, SOURCES.validate(joined.select(SOURCES.schema.names()))))
    return files + copies.write_table(release, SOURCES, parts)


def _tar(shard: Path, path: Path, name: str, rows: pl.DataFrame) -> list[dict[str, Any]]:
    placed: list[dict[str, Any]] = []
    at = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic.replacing(path) as temporary, temporary.open("wb") as out, shard.open("rb") as tar:
        for row in rows.sort("start").iter_rows(named=True):
            start = row["txt_start"] - _BLOCK  # of the header; the record follows
            tar.seek(start)
            data = tar.read(row["end"] - start)
            if len(data) != row["end"] - start:
                raise StoreError(f"{shard} is shorter than its index says; materialise shards again")
            out.write(data)
            kept = {n: row[n] for n in SOURCES.schema.names() if n in row}
            placed.append(kept | {"shard": name, "start": at, "end": at + len(data)})
            at += len(data)
        out.write(_END)
    return placed


def write_index(
    release: Path, name: str, rows: pl.DataFrame, seed: int, write_index: indexes.WriteIndex
) -> ReleaseFile:
    """Write the index of a recipe over the text tars: ``texts/<name>.index``.

    Args:
        release: folder whose text tars are in place.
        name: of the recipe.
        rows: ``sample_key``, ``split`` and ``repeat`` of its samples.
        seed: of the recipe's order.
        write_index: how it is written.
    """
    shards = copies.scan(release, SOURCES)
    sizes = {shard: (release / shard).stat().st_size for shard in shards.select("shard").unique().collect()["shard"]}
    path = release / FOLDER / f"{name}{indexes.SUFFIX}"
    write_at(path, name, rows, shards, sizes, seed, write_index)
    return entry(release, path, indexes.KIND, rows.height)


def write_at(
    path: Path, name: str, rows: pl.DataFrame, shards: pl.LazyFrame, sizes: Mapping[str, int], seed: int,
    write_index: indexes.WriteIndex,
) -> None:  # fmt: skip
    """Write an index over text tars that need not be here; see ``indexes.write_at``."""
    at_source = functools.partial(write_index, pictures="source")
    indexes.write_at(path, name, rows, shards, sizes, seed, at_source)
