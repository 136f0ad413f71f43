"""Pictures of the leaderboard: per task, per domain, compute against score. PNG bytes, equal for equal input."""

from __future__ import annotations

import importlib
import io
import math
from collections.abc import Sequence
from typing import Any

import polars as pl

from biomedica_assets.lib.evaluate.leaderboard import main_average, model_label
from biomedica_assets.lib.report import Picture

COLOURS = {
    "ours": "#0b6e99", "interpolated": "#7a3e9d", "base": "#6b6b6b", "other": "#2f7d32", "random": "#a0a0a0",
    "published": "#b35900",
}  # fmt: skip
MARKERS = "osD^vP*Xh<>p"
TASKS_PER_PICTURE = 24


def pictures(board: pl.DataFrame) -> list[Picture]:
    """The plots that the table has values for."""
    made: list[Picture] = []
    names = sorted(set(board.filter((pl.col("scope") == "task") & (pl.col("provenance") != "published"))["name"]))
    parts = math.ceil(len(names) / TASKS_PER_PICTURE)
    for part in range(parts):
        chosen = names[part * TASKS_PER_PICTURE : (part + 1) * TASKS_PER_PICTURE]
        title = "Score per task" if parts == 1 else f"Score per task ({part + 1} of {parts})"
        made.append(_dots(board.filter((pl.col("scope") == "task") & pl.col("name").is_in(chosen)), chosen, title))
    averages = board.filter(pl.col("scope").is_in(["domain", "overall"]) & (pl.col("provenance") != "published"))
    if averages.height:
        made.append(
            _dots(
                averages,
                sorted(set(averages["name"])),
                "Mean per group and metric, over the tasks all have",
            )
        )
    costed = board.filter((pl.col("name") == main_average(board)) & pl.col("compute").is_not_null())
    if costed.height:
        made.append(_cost(costed))
    return made


def _dots(rows: pl.DataFrame, names: Sequence[str], title: str) -> Picture:
    """One line per name, one dot with its interval per model; chance as a tick; published numbers hollow."""
    models = rows.select("recipe", "model", "provenance").unique(maintain_order=True).rows()
    recipes = sorted({r for r, _, _ in models if r})
    pyplot = _pyplot()
    height = 1.4 + (0.28 + 0.11 * len(models)) * len(names)
    figure, axes = pyplot.subplots(figsize=(9, min(height, 40)), layout="constrained")
    for m, (recipe, model, provenance) in enumerate(models):
        mine = rows.filter(pl.col("recipe").eq_missing(recipe) & (pl.col("model") == model))
        found = {r["name"]: r for r in mine.to_dicts()}
        at = [i for i, name in enumerate(names) if name in found]
        values = [found[names[i]]["value"] for i in at]
        offset = 0.8 * ((m + 0.5) / len(models) - 0.5)
        errors = [[_gap(found[names[i]], side) for i in at] for side in ("low", "high")]
        axes.errorbar(
            values,
            [i + offset for i in at],
            xerr=errors,
            fmt=MARKERS[m % len(MARKERS)],
            color=COLOURS[provenance],
            markerfacecolor="white" if provenance == "published" else COLOURS[provenance],
            alpha=1.0 if m < len(MARKERS) else 0.6,
            markersize=6,
            capsize=2,
            elinewidth=1,
            label=f"{model_label(recipe, model, recipes)} ({provenance})",
        )
    for i, name in enumerate(names):
        chance = rows.filter((pl.col("name") == name) & pl.col("chance").is_not_null())["chance"]
        if chance.len():
            axes.plot([chance[0]] * 2, [i - 0.42, i + 0.42], color="#c0392b", linewidth=1.2, linestyle=":")
    axes.set_yticks(range(len(names)), names, fontsize=9)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.set_xlabel("score (primary metric of each task), 95 % interval; dotted: chance")
    axes.set_title(title, loc="left", fontsize=12)
    axes.grid(axis="x", color="#e3e3e3", linewidth=0.8)
    for i in range(1, len(names)):
        axes.axhline(i - 0.5, color="#efefef", linewidth=0.8)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return _picture(figure, title)


def _gap(row: dict[str, Any], side: str) -> float:
    """Length of one arm of an interval; none where there is no interval."""
    return 0.0 if row[side] is None else abs(row["value"] - row[side])


def _cost(rows: pl.DataFrame) -> Picture:
    """Training compute against the mean score, on a logarithmic axis."""
    figure, axes = _pyplot().subplots(figsize=(7, 4.5), layout="constrained")
    recipes = sorted(set(rows["recipe"].drop_nulls()))
    for row in rows.to_dicts():
        colour = COLOURS[row["provenance"]]
        arms = [[_gap(row, "low")], [_gap(row, "high")]]
        axes.errorbar([row["compute"]], [row["value"]], yerr=arms, fmt="o", color=colour, capsize=2)
        label = model_label(row["recipe"], row["model"], recipes)
        axes.annotate(label, (row["compute"], row["value"]), (6, 4), textcoords="offset points", fontsize=8)
    axes.set_xscale("log")
    axes.margins(x=0.25)
    axes.set_xlabel("training compute (FLOPs)")
    axes.set_ylabel(str(rows["name"][0]))
    axes.grid(color="#e3e3e3", linewidth=0.8)
    title = "Training compute against score"
    axes.set_title(title, loc="left", fontsize=12)
    return _picture(figure, title)


def _picture(figure: Any, title: str) -> Picture:
    buffer = io.BytesIO()
    # without the version of the software in the file, equal plots are equal bytes
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    _pyplot().close(figure)
    return Picture(title, buffer.getvalue())


def _pyplot() -> Any:
    importlib.import_module("matplotlib").use("Agg")
    return importlib.import_module("matplotlib.pyplot")
