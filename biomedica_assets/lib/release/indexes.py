"""``recipes/<name>.index``: where each sample of a recipe lies in the release, so that it is streamed from anywhere.

Belongs here: which rows of a release go in. How an index is written is ``lib.store.indexes``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from biomedica_assets.lib.release.manifest import ReleaseFile, entry
from biomedica_assets.lib.store import indexes
from biomedica_assets.lib.store.indexes import SUFFIX, WriteIndex

FOLDER, KIND = "recipes", "index"


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
    indexes.write(path, name, seed, placed.sort("shard", "start"), sizes, write_index)
