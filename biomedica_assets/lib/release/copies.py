"""Parquet copies of the tables in Hugging Face's layout: ``data/<table>/all-00000-of-0000N.parquet``.

One file per shelf and one row group per chunk, so that memory is bounded by a chunk and a reader can skip.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import polars as pl
import pyarrow.parquet as pq  # pyright: ignore[reportMissingTypeStubs]  # it ships no types

from biomedica_assets.lib.chunks import shelf_of_chunk
from biomedica_assets.lib.release.manifest import ReleaseFile, entry
from biomedica_assets.lib.tables import Table

SPLIT = "all"
FOLDER = "data"


def write_table(release: Path, table: Table, chunks: Iterable[tuple[str, pl.DataFrame]]) -> list[ReleaseFile]:
    """Write the copies of one table.

    Args:
        release: folder of the release.
        table: its schema; frames must have it.
        chunks: key and rows of each chunk, keys rising. Chunks without rows leave no trace.

    Returns:
        The files; none if there is no row at all.
    """
    folder = release / FOLDER / table.name
    drafts: list[tuple[Path, int]] = []
    for number, part in enumerate(_by_shelf(chunks)):
        folder.mkdir(parents=True, exist_ok=True)
        drafts.append((folder / f"draft-{number:05d}", _write(folder / f"draft-{number:05d}", part)))
    return _name(release, folder, SPLIT, drafts)


def write_splits(release: Path, folder: Path, splits: Iterable[tuple[str, pl.DataFrame]]) -> list[ReleaseFile]:
    """Write one file per split, below ``folder``."""
    found: list[ReleaseFile] = []
    for split, frame in splits:
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f"draft-{split}"
        found += _name(release, folder, split, [(draft, _write(draft, [frame]))])
    return found


def scan(release: Path, table: Table) -> pl.LazyFrame:
    """Rows of a table of a release, lazily; no rows if the release lacks it."""
    paths = sorted((release / FOLDER / table.name).glob("*.parquet"))
    if not paths:
        return table.empty().lazy()
    return pl.scan_parquet(paths, schema=table.schema, hive_partitioning=False)


def _by_shelf(chunks: Iterable[tuple[str, pl.DataFrame]]) -> Iterator[list[pl.DataFrame]]:
    shelf, part = "", list[pl.DataFrame]()
    for key, frame in chunks:
        if part and shelf_of_chunk(key) != shelf:
            yield part
            part = []
        shelf = shelf_of_chunk(key)
        if frame.height:
            part.append(frame)
    if part:
        yield part


def _write(path: Path, parts: Sequence[pl.DataFrame]) -> int:
    arrow: Any = pq
    schema = cast("Any", parts[0].to_arrow()).schema
    with arrow.ParquetWriter(path, schema, compression="zstd", compression_level=3) as writer:
        for part in parts:
            writer.write_table(part.to_arrow(), row_group_size=max(1, part.height))
    return sum(part.height for part in parts)


def _name(release: Path, folder: Path, split: str, drafts: Sequence[tuple[Path, int]]) -> list[ReleaseFile]:
    found: list[ReleaseFile] = []
    for number, (draft, rows) in enumerate(drafts):
        path = draft.rename(folder / f"{split}-{number:05d}-of-{len(drafts):05d}.parquet")
        found.append(entry(release, path, "table", rows))
    return found
