"""Tables of what is given to others: the catalog of views and the files of a release."""

from __future__ import annotations

from biomedica_assets.lib.tables.model import I32, I64, STRINGS, S, Table
from biomedica_assets.lib.tables.model import column as _c

CATALOG = Table(
    "catalog",
    "The views of catalog.duckdb.",
    "none",
    ("view",),
    (
        _c("view", S, "name of the view, equal to the table's"),
        _c("meaning", S, "what a row of it is"),
        _c("key", STRINGS, "columns that identify a row"),
        _c("partitioning", S, "chunk, shelf, recipe or none"),
        _c("columns", I32, "number of columns"),
    ),
)

RELEASE_SHELF = Table(
    "release_shelf",
    "What one shelf contributes to a release: one row per table and chunk, with its digest and counts.",
    "shelf",
    ("table", "chunk"),
    (
        _c("table", S, "name of the table"),
        _c("chunk", S, "key of the chunk"),
        _c("data_version", S, "digest of the partition's content"),
        _c("code_version", S, "version of the algorithm that made it"),
        _c("sha256", S, "SHA-256 of its Parquet file"),
        _c("rows", I64, "rows"),
        _c("bytes", I64, "size of table and files"),
        _c("n_in", I64, "items that came in"),
        _c("n_out", I64, "items that came out"),
        _c("n_rejected", I64, "items left out"),
    ),
)

RELEASE = Table(
    "release",
    "The newest release: one row per file of its folder.",
    "none",
    ("path",),
    (
        _c("version", S, "version of the release"),
        _c("path", S, "path below the folder of the release"),
        _c("kind", S, "manifest, card, pairs, table, shard, index, statistic, plot, document or metadata"),
        _c("bytes", I64, "size"),
        _c("sha256", S, "SHA-256 of the bytes"),
        _c("rows", I64, "rows of a table, samples of a shard", null=True),
    ),
)
