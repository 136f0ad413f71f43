"""The view ``samples``: one row per sample of the shards, with what the other tables say of it.

Described once, as data: recipes read only the columns they name, and the catalog's SQL view is generated from the same
list. A row is in the view because it is in ``shards``; everything else may be null.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection

import polars as pl

from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import (
    ARTICLE_NOTICES,
    ARTICLES,
    CAPTIONS,
    FIGURE_LABELS,
    FIGURES,
    IMAGES,
    PAIR_SCORES,
    PUBMED_RECORDS,
    SHARDS,
    Table,
)

JOINS: dict[str, tuple[Table, str]] = {
    "shards": (SHARDS, "sample_key"),
    "images": (IMAGES, "media_id"),
    "figures": (FIGURES, "figure_id"),
    "captions": (CAPTIONS, "figure_id"),
    "articles": (ARTICLES, "article_id"),
    "figure_labels": (FIGURE_LABELS, "media_id"),
    "pubmed_records": (PUBMED_RECORDS, "article_id"),
    "article_notices": (ARTICLE_NOTICES, "article_id"),
    "pair_scores": (PAIR_SCORES, "media_id"),
}
"""Table -> the table and the column by which it joins ``shards``."""
OPTIONAL = frozenset({"pubmed_records", "article_notices", "pair_scores"})
"""Tables that a chunk may lack; their columns are null there."""
FALSE_WITHOUT = frozenset({"has_concern", "is_corrected"})
"""Columns that are false, not null, where nothing is said."""
LABEL_LISTS = ("global", "local", "content")


@dataclasses.dataclass(frozen=True, slots=True)
class ViewColumn:
    """A column of the view: its name there, and table and column it comes from."""

    name: str
    table: str
    source: str

    @property
    def meaning(self) -> str:
        """What the source column means."""
        table, _ = JOINS[self.table]
        return next(column.meaning for column in table.columns if column.name == self.source)

    @property
    def dtype(self) -> pl.DataType:
        """Type of the source column."""
        return JOINS[self.table][0].schema[self.source]


def _from(table: str, *names: str) -> tuple[ViewColumn, ...]:
    """Columns of a table; ``new=old`` renames."""
    pairs = (name.partition("=") for name in names)
    return tuple(ViewColumn(new, table, old or new) for new, _, old in pairs)


COLUMNS: tuple[ViewColumn, ...] = (
    *_from("shards", "sample_key", "media_id", "figure_id", "article_id", "license_group", "shard"),
    *_from("shards", "image_ext", "sha256"),
    *_from("images", "width", "height", "mode", "format", "n_frames", "bytes", "position", "href", "license_code"),
    *_from("images", "pixel_hash"),
    *_from("figures", "kind", "element", "label", "place", "section", "language", "n_mentions", "alt_text"),
    *_from("captions", "caption", "caption_title=title", "caption_inherited=inherited", "caption_chars=n_chars"),
    *_from("articles", "pmcid", "pmid", "doi", "title", "article_type", "journal", "publisher", "year", "subjects"),
    *_from("articles", "article_language=language", "is_retracted", "n_references"),
    *_from("figure_labels", "cluster", "panel_type", "panel_subtype", *LABEL_LISTS),
    *_from("figure_labels", "panel_type_confidence", "panel_subtype_confidence"),
    *_from("figure_labels", "global_confidence", "local_confidence", "content_confidence"),
    *_from("figure_labels", "global_provenance", "local_provenance", "claims", "simulated"),
    *_from("articles", "keyword_groups=keywords"),
    *_from("pubmed_records", "mesh_headings=mesh"),
    *_from("article_notices", "has_concern", "concerns", "is_corrected", "corrections"),
    *_from("pair_scores", "pair_score=score"),
)
BY_NAME: dict[str, ViewColumn] = {column.name: column for column in COLUMNS}


def tables_of(names: Collection[str]) -> list[Table]:
    """Tables that are read for these columns, ``shards`` first."""
    wanted = {BY_NAME[name].table for name in names} | {"shards"}
    return [table for name, (table, _) in JOINS.items() if name in wanted]


def read_samples(
    lake: Lake, chunk: str, names: Collection[str], extra: Collection[str] = (), samples: Table = SHARDS
) -> pl.DataFrame:
    """Columns of the view for one chunk, in the order of the shards.

    Args:
        lake: the data directory.
        chunk: partition key.
        names: columns of the view.
        extra: further columns of ``shards``.
        samples: ``shards``, or ``panel_shards`` in their place: what speaks of an image then speaks of the whole one.

    Raises:
        StoreError: a table that is needed has not been materialised for this chunk.
    """

    def read(table: Table) -> pl.LazyFrame | None:
        if table.name in OPTIONAL and lake.manifest(table, chunk) is None:
            return None
        return lake.read_lazy(table, chunk)

    return joined(read, names, extra, samples)


def joined(
    read: Callable[[Table], pl.LazyFrame | None],
    names: Collection[str],
    extra: Collection[str] = (),
    samples: Table = SHARDS,
) -> pl.DataFrame:
    """Columns of the view, from wherever the tables are, in the order of the shards.

    Args:
        read: rows of a table, or None where it is one of ``OPTIONAL`` and is not there.
        names: columns of the view.
        extra: further columns of ``shards``.
        samples: ``shards``, or what takes their place.
    """
    taken = {"sample_key", *extra, *(name for name in names if BY_NAME[name].table == "shards")}
    keys = {key for _, key in JOINS.values()}
    shards = read(samples)
    frame = (samples.empty().lazy() if shards is None else shards).sort("shard", "start").select(sorted(taken | keys))
    for table in tables_of(names)[1:]:
        key = JOINS[table.name][1]
        columns = {BY_NAME[name].source: name for name in names if BY_NAME[name].table == table.name}
        wanted = [pl.col(source).alias(name) for source, name in columns.items() if source != key]
        rows = read(table)
        if rows is None:
            frame = frame.with_columns(pl.lit(None, dtype=table.schema[s]).alias(n) for s, n in columns.items())
            taken.update(columns.values())
            continue
        frame = frame.join(rows.select(pl.col(key), *wanted), on=key, how="left", validate="m:1", maintain_order="left")
        taken.update(columns.values())
    frame = (
        frame.with_columns(pl.col(sorted(taken & FALSE_WITHOUT)).fill_null(False)) if taken & FALSE_WITHOUT else frame
    )
    return frame.select(sorted(taken)).collect()


def read_some(lake: Lake, wanted: pl.DataFrame, names: Collection[str]) -> pl.DataFrame:
    """Columns of the view for some samples, from the files of their chunks alone.

    Args:
        lake: the data directory.
        wanted: ``chunk`` and ``sample_key`` of the samples.
        names: columns of the view.

    Returns:
        A row for each sample that there is, with ``sample_key`` and the named columns, by key.
    """
    chunks = wanted["chunk"].unique().sort().to_list()
    keys = sorted({key for _, key in JOINS.values()})
    own = sorted({"sample_key", *keys, *(name for name in names if BY_NAME[name].table == "shards")})
    frame = lake.scan(SHARDS, chunks).filter(pl.col("sample_key").is_in(wanted["sample_key"].implode()))
    rows = frame.select(own).collect()
    for table in tables_of(names)[1:]:
        key = JOINS[table.name][1]
        columns = [BY_NAME[name] for name in names if BY_NAME[name].table == table.name and BY_NAME[name].source != key]
        there = [chunk for chunk in chunks if table.name not in OPTIONAL or lake.manifest(table, chunk) is not None]
        some = lake.scan(table, there).filter(pl.col(key).is_in(rows[key].unique().implode()))
        rows = rows.join(
            some.select(key, *(pl.col(c.source).alias(c.name) for c in columns)).collect(), on=key, how="left"
        )
    false = sorted(FALSE_WITHOUT & set(names))
    return rows.with_columns(pl.col(false).fill_null(False)).select(sorted({"sample_key", *names})).sort("sample_key")


def view_sql() -> str:
    """``CREATE VIEW samples`` over views named like the tables, for the catalog."""
    columns = ",\n  ".join(f'{_sql(c)} AS "{c.name}"' for c in COLUMNS)
    joined = [(name, key) for name, (_, key) in JOINS.items() if name != "shards"]
    joins = "\n".join(f"LEFT JOIN {name} ON {name}.{key} = shards.{key}" for name, key in joined)
    return f"CREATE OR REPLACE VIEW samples AS SELECT\n  {columns}\nFROM shards\n{joins}"


def _sql(column: ViewColumn) -> str:
    read = f'{column.table}."{column.source}"'
    return f"coalesce({read}, false)" if column.name in FALSE_WITHOUT else read
