"""The way from chunks to everything: two tables by shelf, so that no stage hangs on hundreds of partitions.

``image_fingerprints`` gathers what near-duplicates and evaluation matches compare: a few columns of ``images`` and
``image_views``; a change elsewhere in ``images`` leaves it, and so them, as they are. ``sample_shelf`` gathers nothing
but which data describe the samples of each chunk: a recipe reads the chunks' own tables, and knows from it what it
read.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import polars as pl

from biomedica_assets.lib.chunks import shelf_of_chunk
from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.report import Report, Scalar
from biomedica_assets.lib.store.lake import Lake, input_name
from biomedica_assets.lib.store.manifest import Manifest
from biomedica_assets.lib.tables import (
    ARTICLE_NOTICES,
    ARTICLES,
    CAPTIONS,
    CLUSTERS,
    EMBEDDINGS,
    FIGURE_LABELS,
    FIGURES,
    IMAGE_FINGERPRINTS,
    IMAGE_VIEWS,
    IMAGES,
    PAIR_SCORES,
    PANEL_BOXES,
    PANEL_SHARDS,
    PUBMED_RECORDS,
    SAMPLE_SHELF,
    SHARDS,
    Table,
)

VERSION = "1"
"""Of ``sample_shelf``."""
FINGERPRINTS_VERSION = "2"
DESCRIBING: tuple[Table, ...] = (
    *(SHARDS, IMAGES, FIGURES, CAPTIONS, ARTICLES, FIGURE_LABELS, PUBMED_RECORDS, ARTICLE_NOTICES),
    *(PANEL_BOXES, PANEL_SHARDS, EMBEDDINGS, CLUSTERS, PAIR_SCORES),
)
"""Tables by chunk that a recipe may read."""


def build_image_fingerprints(lake: Lake, shelf: str) -> Report:
    """Stage of the asset ``image_fingerprints``: hashes and looks of all images of one shelf, by chunk and id.

    Args:
        lake: reads ``images`` and ``image_views`` of the chunks of the shelf.
        shelf: partition key.
    """
    began = time.perf_counter()
    chunks = _chunks(lake, IMAGES, shelf)
    inputs = lake.inputs(*((table, chunk) for table in (IMAGES, IMAGE_VIEWS) for chunk in chunks))
    wanted = ["media_id", "article_id", "chunk", "path", "sha256", "pixel_hash", "phash"]
    looks = lake.scan(IMAGE_VIEWS, chunks).drop("sha256")
    images = lake.scan(IMAGES, chunks).select(wanted).join(looks, on=["chunk", "media_id"], how="left")
    frame = images.sort("chunk", "media_id").collect()
    return _publish(lake, IMAGE_FINGERPRINTS, shelf, frame, inputs, FINGERPRINTS_VERSION, began)


def build_sample_shelf(lake: Lake, shelf: str) -> Report:
    """Stage of the asset ``sample_shelf``: one row per chunk and table, with the version of its data.

    Args:
        lake: reads the manifests of ``DESCRIBING`` in the shelf.
        shelf: partition key.
    """
    began = time.perf_counter()
    parts = [(table, chunk) for table in DESCRIBING for chunk in _chunks(lake, table, shelf)]
    inputs, versions = lake.inputs(*parts), versions_of(lake, parts)
    rows: list[dict[str, object]] = [
        {"chunk": chunk, "table": table, "data_version": manifest.data_version, "rows": manifest.rows}
        for (chunk, table), manifest in sorted(versions.items())
    ]
    return _publish(lake, SAMPLE_SHELF, shelf, SAMPLE_SHELF.frame(rows), inputs, VERSION, began)


def versions_of(lake: Lake, parts: Sequence[tuple[Table, str]]) -> Mapping[tuple[str, str], Manifest]:
    """Manifest of each partition, by chunk and name of the table.

    Raises:
        StoreError: one of them vanished.
    """
    found: dict[tuple[str, str], Manifest] = {}
    for table, chunk in parts:
        manifest = lake.manifest(table, chunk)
        if manifest is None:
            raise StoreError(f"{input_name(table.name, chunk)} vanished meanwhile; materialise it and run again")
        found[chunk, table.name] = manifest
    return found


def check_current(lake: Lake, tables: Sequence[Table]) -> None:
    """Make sure that the chunks are what ``sample_shelf`` says of them, so that a recipe knows what it reads.

    Raises:
        StoreError: a chunk was made anew since.
    """
    parts = [(table, chunk) for table in tables for chunk in lake.partitions(table)]
    now = {key: manifest.data_version for key, manifest in versions_of(lake, parts).items()}
    listed = lake.scan(SAMPLE_SHELF).filter(pl.col("table").is_in([table.name for table in tables]))
    rows = listed.select("chunk", "table", "data_version").collect().iter_rows()
    then: dict[tuple[str, str], str] = {(chunk, table): version for chunk, table, version in rows}
    if differing := sorted({chunk for (chunk, _), _ in {*now.items()} ^ {*then.items()}}):
        raise StoreError(
            f"{len(differing):,} chunks are not what sample_shelf knows of them, the first is {differing[0]}; "
            "materialise sample_shelf first"
        )


def _chunks(lake: Lake, table: Table, shelf: str) -> list[str]:
    return [chunk for chunk in lake.partitions(table) if shelf_of_chunk(chunk) == shelf]


def _publish(
    lake: Lake, table: Table, shelf: str, frame: pl.DataFrame, inputs: Mapping[str, str], version: str, began: float
) -> Report:
    n = frame.height
    metrics: dict[str, Scalar] = {"chunks": frame["chunk"].n_unique()}
    manifest = lake.publish(
        table,
        shelf,
        frame,
        code_version=version,
        inputs=inputs,
        config={},
        n_in=n,
        n_out=n,
        metrics=metrics,
    )
    return Report(
        asset=table.name,
        partition=shelf,
        data_version=manifest.data_version,
        rows=n,
        n_in=n,
        n_out=n,
        bytes_written=manifest.bytes,
        seconds=time.perf_counter() - began,
        metrics=metrics,
        preview=tuple(frame.head(8).drop("phash", "descriptions", "frames", strict=False).iter_rows(named=True)),
    )
