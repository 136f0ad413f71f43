"""One search: words, a picture or both, under one condition.

Words are ranked by BM25, pictures by cosine; where both are asked, their ranks are put together by reciprocal rank
fusion (Cormack, Clarke and Buettcher 2009: the sum of 1 / (60 + rank)). The condition is the SQL of recipes over the
columns of the view ``samples``; what does not meet it is no candidate, rather than taken out of the best afterwards.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.search.ranking import by_words
from biomedica_assets.lib.search.vectors import nearest
from biomedica_assets.lib.select import catalog_view, predicate
from biomedica_assets.lib.store import catalog
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import SEARCH_DOCUMENTS, SEARCH_WORDS

FUSION = 60
"""The constant of reciprocal rank fusion; the authors' value."""
_DEEPER = 10
"""How many times as many of each ranking are put together as are asked for."""
_SHOWN = (
    "sample_key", "media_id", "figure_id", "article_id", "caption", "label", "title", "journal", "year",
    "license_group", "license_code", "panel_type", "global", "local", "width", "height",
)  # fmt: skip


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
        query: what is looked for; with neither words nor a vector, all that meets the condition, by key.

    Returns:
        ``rank`` from 1, ``score``, and of each sample what people want to know of it: ids, caption, title, journal,
        year, licence, labels, size.

    Raises:
        RecipeError: the condition is none.
        PermanentFailure: nothing has been indexed, or the vector is of another encoder.
    """
    # On lines of its own: a comment in it ends there.
    condition = f"(\n{predicate.check(query.condition).sql}\n)" if query.condition else None
    with connected(lake) as connection:
        found = _ranked(lake, connection, query, condition)
        connection.register("found", cast("Any", found.to_arrow()))
        columns = ", ".join(f's."{name}"' for name in _SHOWN)
        return connection.sql(
            f"SELECT found.rank, found.score, {columns} FROM found JOIN samples s USING (sample_key) ORDER BY rank"  # noqa: S608
        ).pl()


@contextmanager
def connected(lake: Lake) -> Generator[duckdb.DuckDBPyConnection]:
    """A DuckDB in memory with the views that a search reads: ``samples`` and the two of the words."""
    tables = [*(table for table, _ in catalog_view.JOINS.values()), SEARCH_DOCUMENTS, SEARCH_WORDS]
    connection = catalog.connect(lake, tables)
    try:
        connection.execute(catalog_view.view_sql())
        yield connection
    finally:
        connection.close()


def _ranked(lake: Lake, connection: duckdb.DuckDBPyConnection, query: Query, condition: str | None) -> pl.DataFrame:
    """``sample_key``, ``rank``, ``score`` of the best."""
    deep = query.most * _DEEPER if query.words and query.vector is not None else query.most
    rankings: list[pl.DataFrame] = []
    if query.words:
        if not lake.partitions(SEARCH_WORDS):
            raise PermanentFailure(
                "nothing has been indexed for search yet; `biomedica run --select search_words` does that"
            )
        rankings.append(by_words(connection, query.words, deep, condition))
    if query.vector is not None:
        rankings.append(_by_vector(lake, connection, query.vector, deep, condition))
    if not rankings:
        where = f"WHERE {condition}" if condition else ""
        keys = connection.sql(f"SELECT sample_key FROM samples {where} ORDER BY sample_key LIMIT {int(query.most)}")  # noqa: S608
        return _numbered(keys.pl().with_columns(pl.lit(0.0).alias("score")))
    if len(rankings) == 1:
        return _numbered(rankings[0].select("sample_key", "score"))
    return _numbered(fused([ranking["sample_key"].to_list() for ranking in rankings]).head(query.most))


def _by_vector(
    lake: Lake, connection: duckdb.DuckDBPyConnection, vector: NDArray[np.float32], most: int, condition: str | None
) -> pl.DataFrame:
    keys = connection.sql(f"SELECT sample_key, media_id FROM samples{f' WHERE {condition}' if condition else ''}").pl()  # noqa: S608
    found = nearest(lake, vector, most, keys["media_id"].to_list())
    return found.join(keys, on="media_id", how="inner", maintain_order="left")


def fused(rankings: list[list[str]]) -> pl.DataFrame:
    """Rankings put together: ``sample_key`` and ``score``, best first, equals by key."""
    scores: dict[str, float] = {}
    for ranking in rankings:
        for rank, key in enumerate(ranking, start=1):
            scores[key] = scores.get(key, 0.0) + 1 / (FUSION + rank)
    rows: dict[str, Any] = {"sample_key": [*scores], "score": [round(score, 9) for score in scores.values()]}
    schema = {"sample_key": pl.String, "score": pl.Float64}
    return pl.DataFrame(rows, schema=schema).sort(["score", "sample_key"], descending=[True, False])


def _numbered(found: pl.DataFrame) -> pl.DataFrame:
    return found.with_columns(pl.int_range(1, found.height + 1, dtype=pl.Int32).alias("rank"))
