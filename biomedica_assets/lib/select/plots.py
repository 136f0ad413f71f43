"""What a recipe took, as a picture."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from biomedica_assets.lib.report import Picture

_MOST_BARS = 24


def taken_of_available(title: str, counts: Mapping[str, tuple[int, int]]) -> Picture:
    """Bars: of how many samples how many were taken, per concept or licence.

    Args:
        title: of the picture.
        counts: name -> (available, taken); drawn from the most to the fewest available, at most 24.
    """
    from matplotlib.figure import Figure

    ranked = sorted(counts.items(), key=lambda item: (-item[1][0], item[0]))[:_MOST_BARS][::-1]
    figure: Any = Figure(figsize=(8, 0.9 + 0.32 * max(1, len(ranked))), dpi=110, layout="constrained")
    axes = figure.subplots()
    rows = range(len(ranked))
    axes.barh(rows, [available for _, (available, _) in ranked], color="#d0d7de", label="available", height=0.75)
    axes.barh(rows, [taken for _, (_, taken) in ranked], color="#0969da", label="taken", height=0.75)
    for row, (_, (available, taken)) in zip(rows, ranked, strict=True):
        axes.text(available, row, f"  {taken:,} of {available:,}", va="center", fontsize=8)
    axes.set_yticks(rows, [name for name, _ in ranked], fontsize=9)
    axes.set_xlim(0, 1.25 * max((available for _, (available, _) in ranked), default=1))
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_xlabel("samples")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower right", ncols=2, frameon=False, fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return Picture(title, buffer.getvalue())
