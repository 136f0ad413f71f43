"""Indexes of recipes as files: which rows go into one, and which shards one points into.

What an index looks like inside is its reader's affair (``lib.stream.index``), which is handed in to be written with;
only its header is read here, by what must know which shards are still in use.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

SUFFIX = ".index"
_SPLITS = ("train", "validation", "test")
_COLUMNS = {"shard": "number", "start": "start", "end": "end", "repeat": "repeat", "check": "check"}
_LENGTH = {b"BMSHARD1": "<Q", b"BMSHARD2": "<I4x"}
"""Layout of the 8 bytes after the magic; today's index has a check in the last 4."""


class WriteIndex(Protocol):
    """Writes the index that virtual shards are read by; ``lib.stream.index.write`` is one."""

    def __call__(
        self,
        path: Path,
        *,
        recipe: str,
        seed: int,
        shards: Sequence[tuple[str, int, str]],
        splits: Mapping[str, Mapping[str, NDArray[np.int64]]],
        pictures: str = "shards",
    ) -> None:
        """Write ``path``.

        Args:
            path: where to.
            recipe: its name.
            seed: of the order of training.
            shards: path below the data directory or the release, size and extension of the images of each shard.
            splits: for each split ``shard`` (number in the list), ``start``, ``end`` (bytes), ``repeat`` and ``check``.
            pictures: ``source`` where the shards hold text alone.
        """
        ...


def write(
    path: Path, recipe: str, seed: int, rows: pl.DataFrame, sizes: Mapping[str, int], write_index: WriteIndex
) -> None:
    """Write the index of some samples; the shards need not be here.

    Args:
        path: where to.
        recipe: name of the recipe.
        seed: of its order.
        rows: ``split``, ``repeat``, ``shard``, ``start``, ``end``, ``check`` and ``image_ext`` of its samples; within
            a split they are taken in the order of the rows.
        sizes: bytes of each shard by path.
        write_index: how it is written.
    """
    kinds = rows.group_by("shard").agg(pl.col("image_ext").unique().sort().str.join("+")).sort("shard")
    numbers = kinds.select("shard").with_row_index("number").cast({"number": pl.Int64})
    numbered = rows.join(numbers, on="shard", maintain_order="left")
    by_split = {
        split: {new: numbered.filter(split=split)[old].cast(pl.Int64).to_numpy() for new, old in _COLUMNS.items()}
        for split in _SPLITS
    }
    shards = [(shard, sizes[shard], ext) for shard, ext in kinds.iter_rows()]
    write_index(path, recipe=recipe, seed=seed, shards=shards, splits=by_split)


def shards_of(path: Path) -> list[str] | None:
    """Paths of the shards that an index points into, from its header.

    None if the header cannot be read: then the index may point into any. An index that is not there points nowhere.
    """
    try:
        with os.fdopen(open_unnoticed(path), "rb") as handle:
            start = handle.read(16)
            (length,) = struct.unpack(_LENGTH[start[:8]], start[8:])
            return [str(raw[0]) for raw in json.loads(handle.read(length))["shards"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, IndexError, struct.error):
        return None


def open_unnoticed(path: Path) -> int:
    """Open for reading without setting the time of the last access, which says when a reader last opened an index."""
    try:
        return os.open(path, os.O_RDONLY | getattr(os, "O_NOATIME", 0))
    except PermissionError:  # somebody else's file
        return os.open(path, os.O_RDONLY)
