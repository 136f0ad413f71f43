"""The leaderboard for people: HTML that stands alone, Markdown, CSV. All three are made of the same rows."""

from __future__ import annotations

import base64
import dataclasses
import importlib.resources
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import polars as pl

from biomedica_assets.lib.evaluate import leaderboard
from biomedica_assets.lib.evaluate.adapters.opening import TaskStatus
from biomedica_assets.lib.evaluate.leaderboard import model_label, share_text
from biomedica_assets.lib.report import Picture

Row = dict[str, Any]
DETAILS = pl.Schema(
    {
        "recipe": pl.String(), "model": pl.String(), "name": pl.String(), "task": pl.String(), "title": pl.String(),
        "n": pl.Int64(), "n_groups": pl.Int64(), "share": pl.Float64(),
    }
)  # fmt: skip
"""One row per model and task: items scored, independent groups among them, share of the task's images trained on."""


@dataclasses.dataclass(frozen=True, slots=True)
class Board:
    """Everything a page shows.

    Attributes:
        table: ``leaderboard``.
        details: ``DETAILS``.
        excluded: task, model, reason of what could not be scored.
        comparisons: ``significance.SCHEMA`` with ``recipe``.
        not_ready: registered tasks that are not on this machine.
        pictures: plots.
    """

    table: pl.DataFrame
    details: pl.DataFrame
    excluded: pl.DataFrame
    comparisons: pl.DataFrame
    not_ready: Sequence[TaskStatus] = ()
    pictures: Sequence[Picture] = ()


def to_html(board: Board) -> str:
    """The page: no scripts, nothing fetched from elsewhere."""
    folder = importlib.resources.files("biomedica_assets.lib.evaluate") / "templates"
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string((folder / "leaderboard.html.j2").read_text(encoding="utf-8"))
    return template.render(**_view(board)) + "\n"


def to_markdown(board: Board) -> str:
    """The same in Markdown, without the plots and the pairs."""
    view = _view(board)
    parts = ["# Leaderboard", "Scores in percent with 95 % bootstrap intervals.", "## Our runs"]
    head = ["model", "recipe", "kind", *view["averages"], "training FLOPs", "largest overlap, %"]
    parts.append(
        _table(
            head,
            [
                [r["model"], r["recipe"], r["provenance"], *map(_cell, r["cells"]), r["compute"], r["overlap"]]
                for r in view["overall"]
            ],
        )
        if view["overall"]
        else "No task has a value for every model."
    )
    parts.append("## Per task")
    for task in view["tasks"]:
        parts.append(f"### {task['name']}\n\n{task['title']}; {task['domain']}; {task['metric']}")
        head = ["model", "kind", "value (95 % interval)", "chance", "items", "groups", "overlap"]
        parts.append(
            _table(
                head,
                [
                    [r["label"], r["provenance"], _cell(r["cell"]), r["chance"], r["n"], r["n_groups"], r["overlap"]]
                    for r in task["rows"]
                ],
            )
        )
    if view["excluded"]:
        parts += ["### Left out", *(f"* {r['task']} ({r['model']}): {r['reason']}" for r in view["excluded"])]
    parts.append("## Published numbers (by others)")
    cited = [[r["model"], r["name"], r["metric"], r["value"], f"[{r['citation']}]"] for r in view["published"]]
    parts.append(_table(["model", "task or average", "metric", "value", "from"], cited))
    parts.append("\n".join(f"{i}. {text}" for i, text in enumerate(view["citations"], start=1)))
    if view["missing"]:
        parts.append("## Tasks not on this machine")
        parts.append(_table(["tasks", "how to get them"], [[m["names"], m["how"]] for m in view["missing"]]))
    return "\n\n".join(parts) + "\n"


def to_csv(board: Board) -> str:
    """The table as it is."""
    buffer = io.StringIO()
    board.table.write_csv(buffer, float_precision=6)
    return buffer.getvalue()


def _view(board: Board) -> dict[str, Any]:
    ours = board.table.filter(pl.col("provenance") != "published")
    recipes = sorted(set(ours["recipe"].drop_nulls()))
    keys = ours.select("recipe", "model", "provenance").unique(maintain_order=True).to_dicts()
    averages = ours.filter(pl.col("scope") != "task").sort("scope", descending=True)["name"].unique(maintain_order=True)
    tasks = ours.filter(scope="task")
    main = leaderboard.main_average(board.table)
    overall = ours.filter(pl.col("name") == main)
    citations = list(dict.fromkeys(board.table["citation"].drop_nulls()))
    view: dict[str, Any] = {
        "recipes": recipes,
        "averages": averages.to_list(),
        "overall": _overall_rows(ours, keys, averages.to_list(), main),
        "n_common": overall["n_tasks"].max() or 0,
        "main": main,
        "tasks": [
            _task(tasks.filter(name=n), board.details.filter(name=n), recipes)
            for n in tasks["name"].unique(maintain_order=True)
        ],
        "excluded": board.excluded.to_dicts(),
        "published": [
            r | {"value": share_text(r["value"]), "citation": citations.index(r["citation"]) + 1}
            for r in board.table.filter(provenance="published").to_dicts()
        ],
        "citations": citations,
        "pictures": [{"title": p.title, "source": _data_uri(p)} for p in board.pictures],
        "comparisons": [_pair_row(r) for r in board.comparisons.to_dicts()],
        "missing": _missing(board.not_ready),
        "n_missing": len(board.not_ready),
    }
    view["sections"] = [
        (key, title)
        for key, title, shown in (
            ("overall", "Our runs", True),
            ("tasks", "Per task", True),
            ("plots", "Plots", view["pictures"]),
            ("pairs", "Pairs of models", view["comparisons"]),
            ("published", "Published numbers", True),
            ("missing", "Tasks not on this machine", view["missing"]),
        )
        if shown
    ]
    return view


def _overall_rows(ours: pl.DataFrame, keys: Sequence[Row], averages: Sequence[str], main: str) -> list[Row]:
    """One row per model, best main average first, without models that have no mean at all."""
    rows: list[Row] = []
    best = {n: ours.filter(name=n)["value"].max() for n in averages}
    for key in keys:
        mine = ours.filter(pl.col("recipe").eq_missing(key["recipe"]) & (pl.col("model") == key["model"]))
        found = {r["name"]: r for r in mine.filter(pl.col("scope") != "task").to_dicts()}
        if not found:
            continue
        first: Row = next(iter(found.values()))
        rank = found.get(main, {}).get("value")
        rows.append(
            key
            | {
                "cells": [_shown(found.get(n), best[n]) for n in averages],
                "compute": "" if first["compute"] is None else f"{first['compute']:.2g}",
                "overlap": "" if first["contaminated"] is None else f"{100 * first['contaminated']:.2f}",
                "rank": -math.inf if rank is None else rank,
            }
        )
    return sorted(rows, key=lambda r: (-r["rank"], r["recipe"] or "", r["model"]))


def _task(scores: pl.DataFrame, details: pl.DataFrame, recipes: Sequence[str]) -> Row:
    """One task: its models, best first; a base's overlap is not known and stays empty."""
    both = scores.join(details, on=["recipe", "model", "name"], how="left").sort(
        ["value", "recipe", "model"], descending=[True, False, False]
    )
    rows = both.to_dicts()
    first, best = rows[0], both["value"].max()
    return {
        "name": first["name"],
        "title": first["title"],
        "domain": first["domain"],
        "metric": first["metric"].replace("_", " "),
        "score": f"{first['model']}/{first['task']}/{first['metric']}",
        "rows": [
            {
                "label": model_label(r["recipe"], r["model"], recipes),
                "provenance": r["provenance"],
                "cell": _shown(r, best),
                "chance": share_text(r["chance"]),
                "n": f"{r['n']:,}",
                "n_groups": f"{r['n_groups']:,}",
                "overlap": ""
                if r["share"] is None or r["provenance"] in ("base", "other", leaderboard.FLOOR)
                else f"{100 * r['share']:.2f}",
            }
            for r in rows
        ],
    }


def _shown(row: Row | None, best: Any) -> Row | None:
    if row is None or row["value"] is None:
        return None
    interval = "" if row["low"] is None else f"{share_text(row['low'])} to {share_text(row['high'])}"
    chance = share_text(row["chance"])
    return {"value": share_text(row["value"]), "interval": interval, "chance": chance, "best": row["value"] == best}


def _pair_row(row: Row) -> Row:
    return {
        "task": row["task"],
        "recipe": row["recipe"],
        "pair": f"{row['model_a']} - {row['model_b']}",
        "difference": f"{100 * row['difference']:+.1f}",
        "interval": f"{100 * row['low']:+.1f} to {100 * row['high']:+.1f}",
        "p_mcnemar": f"{row['p_mcnemar']:.2g}",
        "p_holm": f"{row['p_holm']:.2g}",
    }


def _missing(statuses: Sequence[TaskStatus]) -> list[Row]:
    """Tasks that come from the same place in one row."""
    names: dict[str, list[str]] = {}
    for status in statuses:
        names.setdefault(status.how, []).append(status.task.name)
    return [{"names": ", ".join(found), "how": how} for how, found in names.items()]


def _cell(cell: Mapping[str, Any] | None) -> str:
    if cell is None:
        return ""
    value = f"**{cell['value']}**" if cell["best"] else cell["value"]
    return f"{value} ({cell['interval']})" if cell["interval"] else str(value)


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(c or "").replace("|", "\\|") for c in line) + " |" for line in lines)


def _data_uri(picture: Picture) -> str:
    return f"data:{picture.media_type};base64,{base64.b64encode(picture.data).decode()}"
