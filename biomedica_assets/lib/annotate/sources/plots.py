"""Sources of labels as pictures."""

from __future__ import annotations

import io
from typing import Any

import polars as pl

from biomedica_assets.lib.report import Picture


def sources_plot(whole: pl.DataFrame) -> Picture:
    """Precision with its interval and recall of each source, one panel per question.

    Args:
        whole: rows of ``source_leaderboard`` whose concept is ``all``.
    """
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(9, 1.4 + 0.45 * whole["source"].n_unique()), dpi=110, layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    titles = {"global": "kind of picture", "local": "narrower kind"}
    for axes, (question, title) in zip(panels, titles.items(), strict=True):
        rows = whole.filter(question=question).sort("source", descending=True)
        places = list(range(rows.height))
        precision = rows["precision"].fill_null(0.0).to_numpy()
        spread = [
            (precision - rows["low"].fill_null(0.0).to_numpy()).clip(0),
            (rows["high"].fill_null(0.0).to_numpy() - precision).clip(0),
        ]
        axes.barh([p + 0.2 for p in places], precision, height=0.36, color="#0969da", label="precision, 95 %")
        axes.errorbar(precision, [p + 0.2 for p in places], xerr=spread, fmt="none", ecolor="#1f2328", capsize=2)
        axes.barh(
            [p - 0.2 for p in places], rows["recall"].fill_null(0.0), height=0.36, color="#d0d7de", label="recall"
        )
        axes.set_yticks(places, rows["source"].to_list(), fontsize=9)
        axes.set_xlim(0, 1)
        axes.set_title(title, loc="left", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower right", ncols=2, frameon=False, fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return Picture("Sources of labels against people's verdicts", buffer.getvalue())
