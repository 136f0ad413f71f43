"""What ``biomedica demo`` adds around a run: the invented mirror before, the story after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rich.console
import rich.table

from biomedica_assets.console import bar
from biomedica_assets.lib.demo import load_truth, write_mirror
from biomedica_assets.lib.demo.score import score_extraction
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.store.overview import overview
from biomedica_assets.settings import Settings

SETTINGS: dict[str, Any] = {}
"""Settings of the demo that differ from the defaults."""


def invent(values: Settings, *, articles: int, seed: int) -> None:
    """Write the invented mirror; the same articles and seed give the same bytes, so a second time changes nothing."""
    with bar(rich.console.Console(stderr=True)) as progress:
        summary = write_mirror(Path(values.source_or_default), seed=seed, articles=articles, progress=progress)
    print(
        f"Invented {summary.articles} articles with {summary.figures} figures in {len(summary.chunks)} chunks: "
        f"{summary.root}"
    )


def tell(values: Settings) -> None:
    """Print what was made, what was left out and why, how well it was extracted, and what to do next."""
    console, lake = rich.console.Console(), Lake(values.data_dir)
    table = rich.table.Table("asset", "partitions", "rows", "left out, and why", "MB")
    for line in overview(lake):
        why = ", ".join(f"{n:,} {reason}" for reason, n in sorted(line.rejects.items(), key=lambda item: -item[1]))
        table.add_row(line.asset, f"{line.partitions:,}", f"{line.rows:,}", why, f"{line.bytes / 1e6:,.1f}")
    console.print(table)
    truth = load_truth(values.data_dir / "demo_truth.json")
    scores = rich.table.Table("extraction against what was invented", "expected", "found", "recall", "precision")
    for what, score in score_extraction(lake, truth).items():
        scores.add_row(what, f"{score.expected:,}", f"{score.found:,}", f"{score.recall:.4f}", f"{score.precision:.4f}")
    console.print(scores)
    console.print(
        "\nNext:\n"
        "  [bold]make ui[/]  shows the graph, the checks and the pictures of every partition\n"
        f"  [bold]biomedica sql --data-dir {values.data_dir} 'select kind, count(*) from figures group by kind'[/]\n"
        "  [bold]biomedica run --data-dir data/mine --source s3://pmc-oa-opendata --chunk PMC011-0600[/]  a real chunk",
        highlight=False,
    )
