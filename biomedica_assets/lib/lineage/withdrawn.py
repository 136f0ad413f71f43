"""Articles that must not be there any more, and where they still are: shards, recipes, trained checkpoints.

An article version goes when it is retracted, withdrawn, replaced or relicensed beyond what is taken: ``article_index``,
``tombstones`` and ``chunk_listing`` say so. Tables downstream follow when they are made again. Weights cannot forget:
what a checkpoint was trained on is recorded beside it, so that it can be named after its recipe has moved on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.store.lake import Lake, input_name
from biomedica_assets.lib.tables import ARTICLE_INDEX, CHECKPOINTS, CHUNK_LISTING, RECIPE, SHARDS, TOMBSTONES

TRAINING_SPLIT = "train"


@dataclasses.dataclass(frozen=True, slots=True)
class Remnant:
    """An article version that is left out now, in something that was made before.

    Attributes:
        article_id: article version.
        because: why it is left out: a reason code.
        where: ``shards@PMC007-0360``, ``recipe@full`` or ``checkpoints@full``.
    """

    article_id: str
    because: str
    where: str


def left_out(lake: Lake, chunk: str) -> dict[str, str]:
    """Article versions of a chunk that are not taken, with the reason code."""
    if lake.manifest(ARTICLE_INDEX, chunk) is None:
        return {}
    tombstones: dict[str, str] = {}
    if lake.manifest(TOMBSTONES, chunk) is not None:
        tombstones |= dict(lake.read_lazy(TOMBSTONES, chunk).select("article_id", "reason").collect().iter_rows())
    index = lake.read_lazy(ARTICLE_INDEX, chunk).filter(~pl.col("selected"))
    reasons = dict(index.select("article_id", "left_out_because").collect().iter_rows())
    return (
        tombstones | reasons | dict(lake.read_rejects(CHUNK_LISTING, chunk).select("article_id", "reason").iter_rows())
    )


def remnants(lake: Lake) -> Iterator[Remnant]:
    """Everything that still holds an article version which is left out now."""
    gone: dict[str, str] = {}
    for chunk in lake.partitions(ARTICLE_INDEX):
        here = left_out(lake, chunk)
        gone |= here
        if here and lake.manifest(SHARDS, chunk) is not None:
            present = lake.read_lazy(SHARDS, chunk).select(pl.col("article_id").unique()).collect()["article_id"]
            for article in sorted(set(present) & here.keys()):
                yield Remnant(article, here[article], input_name(SHARDS.name, chunk))
    for recipe in lake.partitions(RECIPE):
        present = lake.read_lazy(RECIPE, recipe).select(pl.col("article_id").unique()).collect()["article_id"]
        for article in sorted(set(present) & gone.keys()):
            yield Remnant(article, gone[article], input_name(RECIPE.name, recipe))
    for recipe in lake.partitions(CHECKPOINTS):
        trained = trained_on(lake, recipe)
        for article in sorted(set(trained or ()) & gone.keys()):
            yield Remnant(article, gone[article], input_name(CHECKPOINTS.name, recipe))


def remember_training(lake: Lake, recipe: str) -> Path:
    """Record the articles of a recipe's training split beside its checkpoints; call it before they are trained.

    Records of data that no present checkpoint was trained on are removed.
    """
    version = lake.inputs((RECIPE, recipe))[input_name(RECIPE.name, recipe)]
    path = _record(lake, recipe, version)
    rows = lake.read_lazy(RECIPE, recipe).filter(pl.col("split") == TRAINING_SPLIT)
    articles = rows.group_by("article_id").agg(samples=pl.len()).sort("article_id").collect()
    with atomic.replacing(path) as temporary:
        articles.write_parquet(temporary)
    needed = {path, _record(lake, recipe, _trained_version(lake, recipe) or version)}
    for other in path.parent.glob("trained-on-*.parquet"):
        if other not in needed:
            other.unlink()
    return path


def trained_on(lake: Lake, recipe: str) -> dict[str, int] | None:
    """Articles that the checkpoints of a recipe were trained on, with their samples; None if it is not known."""
    version = _trained_version(lake, recipe)
    if version is None:
        return None
    path = _record(lake, recipe, version)
    if path.exists():
        return dict(pl.read_parquet(path).iter_rows())
    if lake.version(RECIPE, recipe) == version:
        rows = lake.read_lazy(RECIPE, recipe).filter(pl.col("split") == TRAINING_SPLIT)
        return dict(rows.group_by("article_id").agg(pl.len()).collect().iter_rows())
    return None


def _trained_version(lake: Lake, recipe: str) -> str | None:
    manifest = lake.manifest(CHECKPOINTS, recipe)
    return manifest.inputs.get(input_name(RECIPE.name, recipe)) if manifest else None


def _record(lake: Lake, recipe: str, version: str) -> Path:
    return lake.root / "checkpoints" / recipe / f"trained-on-{version[:16]}.parquet"
