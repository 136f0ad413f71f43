"""``biomedica stream RELEASE --where``: a condition on samples becomes an index, which is then streamed like any other.

The tables of a release are read by column and range wherever it lies; no data directory is needed. A plain stream does
not come here: it starts in milliseconds without polars and DuckDB.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from biomedica_assets.lib.dataset.afar import read_columns
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.release import indexes, texts
from biomedica_assets.lib.select import catalog_view, predicate
from biomedica_assets.lib.stream import afar, index
from biomedica_assets.lib.stream.failures import StreamError
from biomedica_assets.lib.tables import RECIPE, SHARDS, SOURCES, Table

_PLACES = (SHARDS, SOURCES)


def selected(
    release: str, recipe: str | None, where: str, token: str | None, folder: Path, pictures: str | None = None
) -> Path:
    """The index of the samples of a release that meet a condition.

    Args:
        release: folder or ``http(s)://`` address.
        recipe: whose samples and splits; None for ``full``, or, of a release without recipes, all samples as ``train``.
        where: condition on the columns of the view ``samples``, as a recipe has it.
        token: bearer token.
        folder: where the index is written; one that is there for the same release and words is used again.
        pictures: ``shards`` or ``source``; None takes what the release has.

    Raises:
        RecipeError: the condition is none.
        StreamError: the release cannot be read, or has no such recipe.
        PermanentFailure: no sample meets the condition.
    """
    told = afar.manifest(release, token)
    holds = any(file["kind"] == "shard" for file in told["files"])
    pictures = pictures or (index.IN_SHARDS if holds else index.AT_SOURCE)
    if pictures == index.IN_SHARDS and not holds:
        raise StreamError(f"{release} holds no pictures; use --pictures {index.AT_SOURCE}")
    text = "\n".join((str(told["key"]), recipe or "", where, pictures))
    path = folder / f"{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}{indexes.SUFFIX}"
    if path.is_file():
        return path
    condition = predicate.check(where)
    files = {str(file["path"]): int(file["bytes"]) for file in told["files"]}

    def read(table: Table, below: str = "") -> pl.LazyFrame | None:
        paths = sorted(path for path in files if path.startswith(f"data/{table.name}/{below}"))
        wanted = _columns(table, condition.columns)
        found = [read_columns(release, path, [c for c in wanted if c in table.schema], token) for path in paths]
        if not found and table.name not in catalog_view.OPTIONAL:
            return table.empty().lazy()
        return pl.concat(found).lazy() if found else None

    rows = catalog_view.joined(read, condition.columns)
    keys = rows.filter(predicate.matches(condition, rows)).select("sample_key")
    name, seed = recipe, 0
    if recipe is not None or any(file.endswith(indexes.SUFFIX) for file in files):
        opened = afar.open_index(release, recipe, token, pictures=pictures)
        name, seed = opened.recipe, opened.seed
        opened.close()
        listed = read(RECIPE, f"{name}/")
        chosen = keys.lazy().join(RECIPE.empty().lazy() if listed is None else listed, on="sample_key").collect()
    else:
        chosen = keys.with_columns(split=pl.lit("train"), repeat=pl.lit(1, dtype=pl.Int32))
    if not chosen.height:
        raise PermanentFailure(f"no sample of {release} meets {where!r}; loosen the condition")
    table, write = (SHARDS, indexes.write_at) if pictures == index.IN_SHARDS else (SOURCES, texts.write_at)
    places = read(table)
    folder.mkdir(parents=True, exist_ok=True)
    write(path, name or "all", chosen, table.empty().lazy() if places is None else places, files, seed, index.write)
    return path


def _columns(table: Table, names: frozenset[str]) -> Sequence[str]:
    """Columns of a table that the condition, the joins and the index need."""
    if table is RECIPE:
        return ("sample_key", "split", "repeat")
    own = {c.source for c in catalog_view.COLUMNS if c.table == table.name and c.name in names}
    keys = {key for joined, key in catalog_view.JOINS.values() if joined is table or table is SHARDS}
    places = {"sample_key", "shard", "start", "end", "check", "image_ext"} if table in _PLACES else set[str]()
    return sorted(own | keys | places)
