"""Chunks that an inventory lists, without an inventory."""

from __future__ import annotations

from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import CHUNK_LISTING


def list_chunk(lake: Lake, chunk: str, etag: str = "a", *, articles: int = 1) -> str:
    """Write the listing of a chunk; returns its data version."""
    row = {"version": 1, "key": "k", "etag": etag, "last_modified": None}
    rows = [row | {"article_id": f"PMC{n}.1", "pmcid": n} for n in range(1, articles + 1)]
    frame = CHUNK_LISTING.frame(rows) if rows else CHUNK_LISTING.empty()
    given = {"inputs": {}, "config": {}, "n_in": articles, "n_out": articles}
    return lake.publish(CHUNK_LISTING, chunk, frame, code_version="1", **given).data_version
