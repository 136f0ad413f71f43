"""One search: words, a picture or both, under one condition.

Words are ranked by BM25, pictures by cosine; where both are asked, their ranks are put together by reciprocal rank
fusion (Cormack, Clarke and Buettcher 2009: the sum of 1 / (60 + rank)). The condition is the SQL of recipes over the
columns of the view ``samples``. It is asked of the best candidates; where too few of them meet it, the ids of all
samples that do are gathered once and the ranking is made of these. So what is found is what a filter before the
ranking would leave, and a filter that many meet does not read 24 million rows for 20.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.select import predicate
from biomedica_assets.lib.select.catalog_view import read_samples, read_some
from biomedica_assets.lib.select.search.ranking import by_words
from biomedica_assets.lib.select.search.vectors import nearest
from biomedica_assets.lib.store import catalog
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import SEARCH_DOCUMENTS, SEARCH_WORDS, SHARDS

FUSION = 60
"""The constant of reciprocal rank fusion; the authors' value."""
_DEEPER = 10
"""How many times as many of each ranking are put together, or asked whether they meet the condition, at first."""
_WIDER = 8
"""How many times as many are looked at each further time."""
_SHOWN = (
    "sample_key", "media_id", "figure_id", "article_id", "caption", "label", "title", "journal", "year",
    "license_group", "license_code", "panel_type", "global", "local", "width", "height",
)  # fmt: skip
_KEYS = {"sample_key": pl.String, "media_id": pl.String, "chunk": pl.String}

Ranking = Callable[[int, pl.Series | None], tuple[pl.DataFrame, bool]]
"""The best ``n`` candidates (``sample_key``, ``media_id``, ``chunk``, ``score``), of the images with these ids alone if
they are given, and whether these are all."""


@dataclasses.dataclass(frozen=True, slots=True)
class Query:
    """What is looked for.

    Attributes:
        words: words, of which any may stand in caption, title or keywords.
        vector: of a picture, [dimension] float32, by the encoder that the shelves are from.
        condition: SQL over the view ``samples``, as in a recipe.
        most: how many results.
    """

    words: str | None = None
    vector: NDArray[np.float32] | None = None
    condition: str | None = None
    most: int = 20


def search(lake: Lake, query: Query) -> pl.DataFrame:
    """Search the samples of a data directory.

    Args:
        lake: the data directory.
        query: what is looked for; with neither words nor a vector, what meets the condition, chunk by chunk.

    Returns:
        ``rank`` from 1, ``score``, and of each sample what people want to know of it: ids, caption, title, journal,
        year, licence, labels, size.

    Raises:
        RecipeError: the condition is none.
        PermanentFailure: nothing has been indexed, or the vector is of another encoder.
    """
    condition = predicate.check(query.condition) if query.condition else None
    deep = query.most * _DEEPER if query.words and query.vector is not None else query.most
    rankings = [_best(lake, ranking, deep, condition) for ranking in _rankings(lake, query)]
    if not rankings:
        found = _first(lake, query.most, condition)
    elif len(rankings) == 1:
        found = rankings[0]
    else:
        keys = pl.concat([ranking.select(*_KEYS) for ranking in rankings]).unique("sample_key")
        together = fused([ranking["sample_key"].to_list() for ranking in rankings]).head(query.most)
        found = together.join(keys, on="sample_key", how="left", maintain_order="left")
    found = found.with_columns(pl.int_range(1, found.height + 1, dtype=pl.Int32).alias("rank"))
    shown = read_some(lake, found.select("chunk", "sample_key"), _SHOWN)
    return found.select("rank", "score", "sample_key").join(shown, on="sample_key", how="left", maintain_order="left")


def _rankings(lake: Lake, query: Query) -> Iterator[Ranking]:
    words, vector = query.words, query.vector
    if words:
        if not lake.partitions(SEARCH_WORDS):
            raise PermanentFailure(
                "nothing has been indexed for search yet; `biomedica run --select search_words` does that"
            )

        def of_words(n: int, allowed: pl.Series | None) -> tuple[pl.DataFrame, bool]:
            with catalog.connect(lake, [SEARCH_DOCUMENTS, SEARCH_WORDS]) as connection:
                found = by_words(connection, words, n)
            left = found if allowed is None else found.filter(pl.col("media_id").is_in(allowed.implode()))
            return left, found.height < n

        yield of_words
    if vector is not None:

        def of_vector(n: int, allowed: pl.Series | None) -> tuple[pl.DataFrame, bool]:
            found = nearest(lake, vector, n, allowed)
            # Images without a caption, and those that their licence keeps out, are in no shard.
            chunks = {*found["chunk"]} & {*lake.partitions(SHARDS)}
            shards = lake.scan(SHARDS, sorted(chunks)).filter(pl.col("media_id").is_in(found["media_id"].implode()))
            keys = shards.select("sample_key", "media_id").collect()
            samples = found.join(keys, on="media_id", how="inner", maintain_order="left")
            return samples.select(*_KEYS, "score"), found.height < n

        yield of_vector


def _best(lake: Lake, ranking: Ranking, most: int, condition: predicate.Predicate | None) -> pl.DataFrame:
    """The best candidates that meet a condition."""
    if condition is None:
        return ranking(most, None)[0].head(most)
    n = most * _DEEPER
    found, is_all = ranking(n, None)
    met = _that_meet(lake, found, condition)
    if met.height < most and not is_all:
        allowed = _all_that_meet(lake, condition)
        while met.height < most and not is_all:
            n *= _WIDER
            met, is_all = ranking(n, allowed)
    return met.head(most)


def _all_that_meet(lake: Lake, condition: predicate.Predicate) -> pl.Series:
    """Ids of all images of samples that meet a condition: asked for only where few of the best do."""
    names = sorted({"media_id", *condition.columns})
    found = [pl.Series("media_id", [], dtype=pl.String)]
    for chunk in lake.partitions(SHARDS):
        rows = read_samples(lake, chunk, names)
        found.append(rows.filter(predicate.matches(condition, rows))["media_id"])
    return pl.concat(found)


def _that_meet(lake: Lake, found: pl.DataFrame, condition: predicate.Predicate) -> pl.DataFrame:
    rows = read_some(lake, found.select("chunk", "sample_key"), sorted(condition.columns))
    meets = rows.filter(predicate.matches(condition, rows)).select("sample_key")
    return found.join(meets, on="sample_key", how="semi", maintain_order="left")


def _first(lake: Lake, most: int, condition: predicate.Predicate | None) -> pl.DataFrame:
    """Samples that meet a condition, by chunk and key, until there are enough."""
    names = sorted({"sample_key", "media_id", *(condition.columns if condition else ())})
    found = pl.DataFrame(schema=_KEYS)
    for chunk in lake.partitions(SHARDS):
        rows = read_samples(lake, chunk, names).sort("sample_key")
        rows = rows.filter(predicate.matches(condition, rows)) if condition else rows
        here = rows.select("sample_key", "media_id", pl.lit(chunk).alias("chunk"))
        found = pl.concat([found, here]).head(most)
        if found.height == most:
            break
    return found.with_columns(pl.lit(0.0).alias("score"))


def fused(rankings: list[list[str]]) -> pl.DataFrame:
    """Rankings put together: ``sample_key`` and ``score``, best first, equals by key."""
    scores: dict[str, float] = {}
    for ranking in rankings:
        for rank, key in enumerate(ranking, start=1):
            scores[key] = scores.get(key, 0.0) + 1 / (FUSION + rank)
    rows: dict[str, Any] = {"sample_key": [*scores], "score": [round(score, 9) for score in scores.values()]}
    schema = {"sample_key": pl.String, "score": pl.Float64}
    return pl.DataFrame(rows, schema=schema).sort(["score", "sample_key"], descending=[True, False])
