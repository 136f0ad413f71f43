"""What ``biomedica demo`` adds around a run: the invented mirror before, the story after."""

from __future__ import annotations

from typing import Any

import rich.console
import rich.table

from biomedica_assets.lib.demo import mirror, truth
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.store.overview import overview
from biomedica_assets.settings import Settings

SETTINGS: dict[str, Any] = {}
"""Settings of the demo that differ from the defaults."""


def invent(values: Settings, *, articles: int, seed: int) -> None:
    """Write the invented mirror, unless it is there with the same parameters."""
    console = rich.console.Console(stderr=True)
    with console.status(f"inventing {articles} articles"):
        summary = mirror.write_mirror(values.data_dir / "source", seed=seed, articles=articles)
    console.print(str(summary), highlight=False)


def tell(values: Settings) -> None:
    """Print what was made, what was left out and why, how well it was extracted, and what to do next."""
    console, lake = rich.console.Console(), Lake(values.data_dir)
    table = rich.table.Table("asset", "partitions", "rows", "left out, and why", "MB")
    for line in overview(lake):
        why = ", ".join(f"{n:,} {reason}" for reason, n in sorted(line.rejects.items(), key=lambda item: -item[1]))
        table.add_row(line.asset, f"{line.partitions:,}", f"{line.rows:,}", why, f"{line.bytes / 1e6:,.1f}")
    console.print(table)
    scores = truth.score_extraction(lake, truth.load_truth(values.data_dir / "source"))
    console.print("Against what was invented: " + ", ".join(f"{name} {value:.3f}" for name, value in scores.items()))
    console.print(
        f"\nNext: [bold]make ui[/] shows the graph; [bold]biomedica sql --data-dir {values.data_dir} "
        '"select kind, count(*) from figures group by kind"[/] asks the tables; [bold]biomedica run --data-dir data/mine '
        "--source s3://pmc-oa-opendata --chunk PMC011-0600[/] takes a real chunk."
    )
