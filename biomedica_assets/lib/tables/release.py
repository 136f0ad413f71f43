"""Tables of what is given to others: the catalog of views, the files of a release, and what only a release holds.

The last (``ONLY_RELEASED``) are made while a release is built, from it and the release before; no asset has them.
"""

from __future__ import annotations

import polars as pl

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
        _c(
            "kind",
            S,
            "manifest, card, pairs, table, vectors, withdrawn, shard, texts, index, statistic, plot, document, "
            "metadata",
        ),
        _c("bytes", I64, "size"),
        _c("sha256", S, "SHA-256 of the bytes"),
        _c("rows", I64, "rows of a table, samples of a shard", null=True),
    ),
)

CHANGES = Table(
    "changes",
    "What differs from the release before: one row per article and kind of change.",
    "none",
    ("pmcid", "change"),
    (
        _c("pmcid", I64, "number of the article"),
        _c("change", S, "added, changed, relicensed, withdrawn, or left_out (not withdrawn, but no longer passed on)"),
        _c("article_id", S, "article version in this release", null=True, src="articles.article_id"),
        _c("article_id_before", S, "article version in the release before", null=True, src="articles.article_id"),
        _c("license_code", S, "its licence in this release", null=True, src="articles.license_code"),
        _c("license_code_before", S, "its licence in the release before", null=True, src="articles.license_code"),
        _c("samples", I64, "samples in this release", src="shards.sample_key"),
        _c("samples_before", I64, "samples in the release before", src="shards.sample_key"),
    ),
)

WITHDRAWN = Table(
    "withdrawn",
    "Articles that are retracted, removed or withdrawn, and what they take out of older copies: delete it there.",
    "none",
    ("article_id", "reason"),
    (
        _c("pmcid", I64, "number of the article"),
        _c("article_id", S, "article version"),
        _c("reason", S, "retracted, removed (no longer in the source) or withdrawn (by who made this release)"),
        _c("sources", STRINGS, "who says so: inventory, pmc, pubmed, notice, list", src="tombstones.sources"),
        _c("since", S, "inventory of the first release of this series that says so"),
        _c("date", pl.Date(), "day of that inventory, where its name is a day", null=True),
        _c("last_in", S, "version of the last release that held it; null if none of this series did", null=True),
        _c("samples", STRINGS, "keys of the samples it had there", src="shards.sample_key"),
        _c("shards", STRINGS, "tars of that release that hold them", src="shards.shard"),
    ),
)

VECTORS = Table(
    "vectors",
    "Embedding of each image: what clusters and neighbours were computed from.",
    "shelf",
    ("media_id",),
    (
        _c("media_id", S, "image, as in the table images", src="embedding_shelf.media_id"),
        _c("source_chunk", S, "chunk of the image", src="embedding_shelf.source_chunk"),
        _c("vector", pl.List(pl.Float16()), "float16, of one length in all rows, as the encoder gave it"),
    ),
)

SOURCES = Table(
    "sources",
    "Where the text of each sample lies in the text tars, and its picture in PubMed Central's bucket.",
    "chunk",
    ("sample_key",),
    (
        _c("sample_key", S, "key of the sample", src="shards.sample_key"),
        _c("media_id", S, "image of the sample", src="images.media_id"),
        _c("figure_id", S, "figure of the sample", src="figures.figure_id"),
        _c("article_id", S, "PMC123.1", src="articles.article_id"),
        _c("license_code", S, "licence in force for the figure", src="images.license_code"),
        _c("license_group", S, "commercial or noncommercial", src="images.license_group"),
        _c("key", S, "key of the picture in the bucket pmc-oa-opendata", src="images.key"),
        _c("md5", S, "MD5 of the picture", src="images.md5"),
        _c("sha256", S, "SHA-256 of the picture", src="images.sha256"),
        _c("image_bytes", I64, "size of the picture", src="images.bytes"),
        _c("image_ext", S, "extension of the picture in the shards"),
        _c("shard", S, "path of the text tar"),
        _c("start", I64, "first byte of the sample in it (header of its caption)"),
        _c("end", I64, "one past its last byte, padding included"),
        _c("check", pl.UInt32(), "as in the table shards: of the sample with its picture", src="shards.check"),
    ),
)

ONLY_RELEASED: tuple[Table, ...] = (CHANGES, WITHDRAWN, VECTORS, SOURCES)
