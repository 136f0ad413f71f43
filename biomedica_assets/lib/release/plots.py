"""The pictures of a dataset card: drawn from statistics, equal numbers give equal bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import polars as pl

from biomedica_assets.lib.release.statistics import Statistic

_BAR = "#0969da"
_COLOURS = ("#0969da", "#1a7f37", "#9a6700", "#8250df", "#cf222e", "#57606a", "#bf3989")
_MOST_BARS = 25


def draw(statistics: Mapping[str, Statistic]) -> dict[str, bytes]:
    """PNG by file name, for the statistics that have something to show."""
    found: dict[str, bytes] = {}
    for name, column in (("by_category", "category"), ("mesh", "descriptor"), ("journals", "journal")):
        # One bar says nothing, for example where no image has a label yet.
        if name in statistics and statistics[name].frame.height > 1:
            value = "samples" if name == "by_category" else "articles"
            found[f"{name}.png"] = _bars(statistics[name], column, value)
    if "per_year" in statistics and statistics["per_year"].frame.drop_nulls("year").height:
        found["per_year.png"] = _growth(statistics["per_year"])
    if "license_by_year" in statistics and statistics["license_by_year"].frame.drop_nulls("year").height:
        found["license_by_year.png"] = _stacked(statistics["license_by_year"])
    return found


def _bars(statistic: Statistic, label: str, value: str) -> bytes:
    rows = statistic.frame.head(_MOST_BARS).reverse()
    figure, axes = _axes(0.9 + 0.27 * rows.height)
    axes.barh(range(rows.height), rows[value].to_list(), color=_BAR)
    names = [_cut(name) for name in rows[label].fill_null("(not stated)")]
    axes.set_yticks(range(rows.height), names, fontsize=8)
    for place, count in enumerate(rows[value]):
        axes.text(count, place, f" {count:,}", va="center", fontsize=8)
    axes.margins(x=0.12)
    axes.set_xlabel(value)
    return _png(figure, axes, statistic.title)


def _growth(statistic: Statistic) -> bytes:
    rows = statistic.frame.drop_nulls("year")
    figure, axes = _axes(3.6)
    axes.bar(rows["year"].to_list(), rows["articles"].to_list(), color=_BAR, width=0.85)
    axes.set_ylabel("articles")
    axes.set_xlabel("year of publication")
    axes.xaxis.get_major_locator().set_params(integer=True)
    return _png(figure, axes, statistic.title)


def _stacked(statistic: Statistic) -> bytes:
    rows = statistic.frame.drop_nulls("year")
    figure, axes = _axes(3.8)
    below = pl.Series([0] * rows.height)
    for number, code in enumerate(name for name in rows.columns if name != "year"):
        counts = rows[code].cast(pl.Int64())
        colour = _COLOURS[number % len(_COLOURS)]
        axes.bar(rows["year"].to_list(), counts.to_list(), bottom=below.to_list(), label=code, color=colour, width=0.85)
        below = below + counts
    axes.set_ylabel("articles")
    axes.set_xlabel("year of publication")
    axes.xaxis.get_major_locator().set_params(integer=True)
    figure.legend(frameon=False, fontsize=8, loc="outside right upper")  # in the axes it would hide bars
    return _png(figure, axes, statistic.title)


def _axes(height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(8, height), dpi=100, layout="constrained")
    return figure, figure.subplots()


def _png(figure: Any, axes: Any, title: str) -> bytes:
    axes.set_title(title, loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _cut(name: str) -> str:
    # A dollar sign would start a formula.
    return (name if len(name) <= 48 else name[:47] + "…").replace("$", r"\$")
