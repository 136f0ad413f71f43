"""Addresses of the explore page, to which Dagster's metadata leads: what was made, to be looked at.

Belongs here: which page shows which table and partition. Imports no Dagster; ``metadata`` makes links of it.
"""

from __future__ import annotations

from urllib.parse import urlencode

from biomedica_assets.lib.chunks import SHELF_SPAN, chunk_range
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.tables import (
    ANNOTATIONS,
    CHECKPOINTS,
    CLUSTER_MODEL,
    CONTACT_SHEETS,
    CONTAMINATION,
    DUPLICATES,
    EMBEDDING_MAP,
    LEADERBOARD,
    MAP_LANDMARKS,
    RETRIEVAL_SCORES,
    ZERO_SHOT_SCORES,
    Table,
)

SHOWN, LEFT_OUT = "look_at_it", "look_at_what_was_left_out"
"""Names of the metadata."""
_SCORES = {CHECKPOINTS.name, CONTAMINATION.name, LEADERBOARD.name, RETRIEVAL_SCORES.name, ZERO_SHOT_SCORES.name}
_PAGES = {
    ANNOTATIONS.name: "/clusters",
    CLUSTER_MODEL.name: "/clusters",
    CONTACT_SHEETS.name: "/clusters",
    DUPLICATES.name: "/?copies=bytes&copies=pixels&copies=perceptual",
    MAP_LANDMARKS.name: "/map",
}
"""Of tables that have no partitions."""


def addresses(page: str, report: Report, table: Table, span: int) -> dict[str, str]:
    """Where to look at what a stage made, by the name under which the link stands.

    Args:
        page: address of the explore page; empty for no links.
        report: what the stage did.
        table: what it wrote.
        span: PMCIDs of a chunk.
    """
    if not page:
        return {}
    base = page.rstrip("/")
    where = _path(table, report.partition, span)
    found = {SHOWN: base + where} if where else {}
    if report.n_rejected:
        found[LEFT_OUT] = f"{base}/rejects?{urlencode({'stage': report.asset})}"
    return found


def _path(table: Table, partition: str | None, span: int) -> str | None:
    if table.name in _SCORES:
        return "/scores" if partition is None else f"/scores?{urlencode({'recipe': partition})}"
    if partition is None:
        return _PAGES.get(table.name)
    if table.partitioning == "recipe":
        return f"/?{urlencode({'recipe': partition})}"
    if table.partitioning == "shelf":
        first = int(partition.removeprefix("PMC")) * SHELF_SPAN
        pmcids = range(first, first + SHELF_SPAN)
    else:
        pmcids = chunk_range(partition, span)
    grid = "/map" if table.name == EMBEDDING_MAP.name else "/"
    return f"{grid}?{urlencode({'pmcids': f'{pmcids[0]}-{pmcids[-1]}'})}"
