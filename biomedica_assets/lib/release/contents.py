"""What each shelf contributes: the stage of ``release_shelf``, which carries digests from chunks to the release.

A release reads hundreds of chunks of a dozen tables; Dagster stops tracking an edge with 100 upstream partitions. So a
shelf lists the data versions of its chunks, and the release reads the shelves.
"""

from __future__ import annotations

import time

from biomedica_assets.lib.chunks import shelf_of_chunk
from biomedica_assets.lib.progress import SILENT, Progress
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.store.lake import Lake, input_name
from biomedica_assets.lib.tables import (
    ARTICLE_INDEX,
    ARTICLE_NOTICES,
    ARTICLES,
    CAPTIONS,
    CHUNK_LISTING,
    CLUSTERS,
    FIGURE_LABELS,
    FIGURES,
    IMAGES,
    MENTIONS,
    PANELS,
    PUBMED_RECORDS,
    RELEASE_SHELF,
    SHARDS,
    TOMBSTONES,
    Table,
)

VERSION = "release_shelf-1"
NEEDED: tuple[Table, ...] = (CHUNK_LISTING, ARTICLE_INDEX, ARTICLES, FIGURES, CAPTIONS, MENTIONS, IMAGES, SHARDS)
"""A chunk is in a release once it has all of these."""
OPTIONAL: tuple[Table, ...] = (TOMBSTONES, ARTICLE_NOTICES, PUBMED_RECORDS, CLUSTERS, PANELS, FIGURE_LABELS)
"""Go into a release where they have been made."""


def build_release_shelf(lake: Lake, shelf: str, progress: Progress = SILENT) -> Report:
    """List what the chunks of a shelf hold."""
    began = time.monotonic()
    rows: list[dict[str, object]] = []
    inputs: dict[str, str] = {}
    for table in (*NEEDED, *OPTIONAL):
        for chunk in (key for key in lake.partitions(table) if shelf_of_chunk(key) == shelf):
            manifest = lake.manifest(table, chunk)
            if manifest is None:
                continue
            inputs[input_name(table.name, chunk)] = manifest.data_version
            row: dict[str, object] = {
                name: getattr(manifest, name)
                for name in ("data_version", "code_version", "sha256", "rows", "bytes", "n_in", "n_out")
            }
            rows.append(row | {"table": table.name, "chunk": chunk, "n_rejected": sum(manifest.rejects.values())})
            progress.advance()
    frame = RELEASE_SHELF.frame(rows).sort("table", "chunk")
    manifest = lake.publish(
        RELEASE_SHELF, shelf, frame, code_version=VERSION, inputs=inputs, config={}, n_in=len(rows), n_out=frame.height
    )  # fmt: skip
    return Report(
        asset=RELEASE_SHELF.name, partition=shelf, data_version=manifest.data_version, rows=frame.height,
        n_in=len(rows), n_out=frame.height, bytes_written=manifest.bytes, seconds=time.monotonic() - began,
        metrics={"chunks": frame["chunk"].n_unique(), "bytes_in_tables": int(frame["bytes"].sum())},
    )  # fmt: skip


def whole_chunks(lake: Lake) -> list[str]:
    """Chunks that have every table a release needs, in order."""
    kept: set[str] | None = None
    for table in NEEDED:
        here = set(lake.partitions(table))
        kept = here if kept is None else kept & here
    return sorted(kept or ())
