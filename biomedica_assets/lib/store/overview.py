"""What a data directory holds, added up from its manifests."""

from __future__ import annotations

import dataclasses
from collections import Counter

from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import TABLES


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One asset: partitions that exist, rows, bytes (table and files), items left out by reason."""

    asset: str
    partitions: int
    rows: int
    bytes: int
    rejects: dict[str, int]


def overview(lake: Lake) -> list[Line]:
    """One line per asset that has been materialised, in the order of ``tables.ALL``."""
    lines: list[Line] = []
    for table in TABLES.values():
        keys = [None] if table.partitioning == "none" else lake.partitions(table)
        manifests = [found for key in keys if (found := lake.manifest(table, key)) is not None]
        if manifests:
            rejects: Counter[str] = Counter()
            for manifest in manifests:
                rejects.update(manifest.rejects)
            rows, size = sum(m.rows for m in manifests), sum(m.bytes for m in manifests)
            lines.append(Line(table.name, len(manifests), rows, size, dict(sorted(rejects.items()))))
    return lines
