"""The cohort diagram of a release as a table: how many articles, figures and images each stage took and left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import polars as pl

from biomedica_assets.lib.release.statistics import Statistic
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import Table


def stages(lake: Lake, tables: Sequence[Table]) -> Statistic:
    """What came in, went on and was left out at each stage, in the order of the tables."""
    rows: list[tuple[str, str, int]] = []
    for table in tables:
        manifests_here = [m for chunk in lake.partitions(table) if (m := lake.manifest(table, chunk))]
        reasons = Counter[str]()
        for manifest in manifests_here:
            reasons.update(manifest.rejects)
        if manifests_here:
            rows.append((table.name, "in", sum(m.n_in for m in manifests_here)))
            rows += [(table.name, f"left out: {reason}", n) for reason, n in sorted(reasons.items())]
            rows.append((table.name, "out", sum(m.n_out for m in manifests_here)))
    frame = pl.DataFrame(rows, schema={"stage": pl.String(), "what": pl.String(), "items": pl.Int64()}, orient="row")
    note = "Of the whole data directory, before the release's own rules; every stage reconciles: in = out + left out."
    return Statistic("stages", "From article versions to samples", note, frame)
