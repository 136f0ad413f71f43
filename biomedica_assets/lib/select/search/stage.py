"""Fill ``search_documents`` and ``search_words`` of a shelf from the samples of its chunks."""

from __future__ import annotations

import time
from collections.abc import Iterator

import polars as pl

from biomedica_assets.lib.chunks import shelf_of_chunk
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.progress import SILENT, Progress, track
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.select.catalog_view import read_samples
from biomedica_assets.lib.select.search.words import postings
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.store.manifest import Manifest
from biomedica_assets.lib.tables import ARTICLES, CAPTIONS, SEARCH_DOCUMENTS, SEARCH_WORDS, SHARDS, Table

VERSION = "1"
_TEXT = ("caption", "title", "keyword_groups")


def index_shelf(lake: Lake, shelf: str, *, progress: Progress = SILENT) -> list[Report]:
    """Index the samples of a shelf: caption, title of the article, its keywords.

    Memory holds the postings of the shelf: some 12 bytes for each word of each document before they are written, 1.2 GB
    for two million documents of 50 different words.

    Returns:
        Reports of both tables. Equal inputs give equal bytes.

    Raises:
        PermanentFailure: the shelf has no chunk with shards.
        StoreError: an input cannot be read, or the disk not be written.
    """
    began = time.monotonic()
    there = set(lake.partitions(SHARDS)) & set(lake.partitions(CAPTIONS)) & set(lake.partitions(ARTICLES))
    chunks = [key for key in sorted(there) if shelf_of_chunk(key) == shelf]
    if not chunks:
        raise PermanentFailure(f"shelf {shelf} has no chunk with shards; materialise shards of one of its chunks first")
    inputs = lake.inputs(*((table, chunk) for chunk in chunks for table in (SHARDS, CAPTIONS, ARTICLES)))
    documents: list[pl.DataFrame] = []
    words: list[pl.DataFrame] = []
    first = 0
    for samples in track(_samples(lake, chunks), progress, f"index {shelf}", len(chunks), "chunks"):
        numbered = samples.with_columns(pl.int_range(first, first + samples.height, dtype=pl.Int32).alias("document"))
        first += samples.height
        found = postings(numbered.select("document", "text"))
        lengths = found.group_by("document").agg(pl.col("n").sum().cast(pl.Int32).alias("n_words"))
        documents.append(
            numbered.join(lengths, on="document", how="left", maintain_order="left").select(
                "document", "sample_key", "media_id", "chunk", pl.col("n_words").fill_null(0)
            )
        )
        words.append(found)
    frames = (
        (SEARCH_DOCUMENTS, pl.concat(documents)),
        (SEARCH_WORDS, pl.concat(words).sort("word", "document")),
    )
    reports: list[Report] = []
    for table, frame in frames:
        manifest = lake.publish(
            table, shelf, frame, code_version=VERSION, inputs=inputs, config={}, n_in=first, n_out=first
        )
        reports.append(_report(table, manifest, time.monotonic() - began, len(chunks)))
    return reports


def _samples(lake: Lake, chunks: list[str]) -> Iterator[pl.DataFrame]:
    """Key, image and text of the samples, chunk by chunk."""
    keywords = pl.col("keyword_groups").list.eval(pl.element().struct.field("keywords").list.join(" ")).list.join(" ")
    for chunk in chunks:
        samples = read_samples(lake, chunk, ("sample_key", "media_id", *_TEXT)).sort("sample_key")
        yield samples.select(
            "sample_key",
            "media_id",
            pl.lit(chunk).alias("chunk"),
            pl.concat_str("caption", "title", keywords, separator="\n", ignore_nulls=True).alias("text"),
        )


def _report(table: Table, manifest: Manifest, seconds: float, chunks: int) -> Report:
    return Report(
        asset=table.name,
        partition=manifest.partition,
        data_version=manifest.data_version,
        rows=manifest.rows,
        n_in=manifest.n_in,
        n_out=manifest.n_out,
        bytes_written=manifest.bytes,
        seconds=seconds,
        metrics={"chunks": chunks},
    )
