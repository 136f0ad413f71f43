"""``recipes/<name>.index``: where each sample of a recipe lies in the release, so that it is streamed from anywhere.

Belongs here: which rows go in. What an index is, is the reader's (``lib.stream.index``), which is given to ``write``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from biomedica_assets.lib.release.manifest import ReleaseFile, entry

FOLDER, SUFFIX, KIND = "recipes", ".index", "index"
SPLITS = ("train", "validation", "test")


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
    ) -> None:
        """Write ``path``.

        Args:
            path: where to.
            recipe: its name.
            seed: of the order of training.
            shards: path below the release, size and extension of the images of each shard.
            splits: for each split ``shard`` (number in the list), ``start``, ``end`` (bytes), ``repeat`` and ``check``.
        """
        ...


def write(
    release: Path, name: str, rows: pl.DataFrame, shards: pl.LazyFrame, seed: int, write_index: WriteIndex
) -> ReleaseFile:
    """Write the index of one recipe.

    Args:
        release: folder whose shards are in place.
        name: of the recipe.
        rows: ``sample_key``, ``split`` and ``repeat`` of its samples.
        shards: the table ``shards`` of the release.
        seed: of the recipe's order.
        write_index: how it is written.
    """
    path = release / FOLDER / f"{name}{SUFFIX}"
    path.parent.mkdir(parents=True, exist_ok=True)
    sizes = {shard: (release / shard).stat().st_size for shard in shards.select("shard").unique().collect()["shard"]}
    write_at(path, name, rows, shards, sizes, seed, write_index)
    return entry(release, path, KIND, rows.height)


def write_at(
    path: Path,
    name: str,
    rows: pl.DataFrame,
    shards: pl.LazyFrame,
    sizes: Mapping[str, int],
    seed: int,
    write_index: WriteIndex,
) -> None:
    """Write an index over shards that need not be here.

    Args:
        path: where to.
        name: of the recipe.
        rows: ``sample_key``, ``split`` and ``repeat`` of its samples.
        shards: the table ``shards`` of the release.
        sizes: bytes of each shard by path.
        seed: of the recipe's order.
        write_index: how it is written.
    """
    places = shards.select("sample_key", "shard", "start", "end", "check", "image_ext")
    placed = rows.select("sample_key", "split", "repeat").lazy().join(places, on="sample_key").collect()
    placed = placed.sort("shard", "start")
    kinds = placed.group_by("shard").agg(pl.col("image_ext").first()).sort("shard")
    numbers = kinds.select("shard").with_row_index("number")
    numbered = placed.join(numbers, on="shard", maintain_order="left")
    columns = {"shard": "number", "start": "start", "end": "end", "repeat": "repeat", "check": "check"}
    write_index(
        path,
        recipe=name,
        seed=seed,
        shards=[(shard, sizes[shard], ext) for shard, ext in kinds.iter_rows()],
        splits={
            split: {new: numbered.filter(split=split)[old].cast(pl.Int64).to_numpy() for new, old in columns.items()}
            for split in SPLITS
        },
    )
