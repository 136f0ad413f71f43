"""The leaderboard as a table: every model per task, per domain and overall, published numbers apart.

Averages of our models are over the tasks that every one of them has a value for, so that they compare. Published
numbers never enter an average of ours: the captions and splits behind them are not all known.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import yaml

from biomedica_assets.lib.tables import LEADERBOARD

COSTS = pl.Schema({"recipe": pl.String(), "model": pl.String(), "compute": pl.Float64(), "samples_seen": pl.Int64()})
ALL_TASKS = "all classification tasks"
RETRIEVAL = "all retrieval tasks"
MEAN = "mean of primary metrics"
_SCORE = ("recipe", "model", "provenance", "name", "domain", "metric", "value", "low", "high", "se", "chance")


def build(
    zero_shot: pl.DataFrame,
    retrieval: pl.DataFrame,
    contamination: pl.DataFrame,
    costs: pl.DataFrame,
) -> pl.DataFrame:
    """The ``leaderboard`` table.

    Args:
        zero_shot: ``zero_shot_scores`` of all recipes, with the column ``recipe``.
        retrieval: ``retrieval_scores`` of all recipes, with the column ``recipe``.
        contamination: ``contamination`` of all recipes, with the column ``recipe``.
        costs: what training took: ``COSTS``; null where unknown.
    """
    tasks = zero_shot.filter(pl.col("primary")).with_columns(name="task").select(_SCORE)
    searched = retrieval.filter(pl.col("primary")).with_columns(name=direction_name())
    searched = searched.select(_SCORE)
    parts = [
        _rows(pl.concat([tasks, searched]).filter(pl.col("value").is_not_null()), "task"),
        _averages(tasks, None, "overall", ALL_TASKS),
        *(_averages(tasks, d, "domain", d) for d in sorted(set(tasks["domain"].drop_nulls()))),
        _averages(searched, None, "overall", RETRIEVAL),
    ]
    ours = pl.concat(parts).join(costs.cast(COSTS), on=["recipe", "model"], how="left")
    share = contamination.group_by("recipe").agg(worst=pl.col("share").max())
    ours = ours.join(share, on="recipe", how="left").with_columns(
        # only what was trained here: what a base model saw is not known
        contaminated=pl.when(pl.col("provenance").is_in(["ours", "interpolated"])).then("worst"),
        citation=pl.lit(None, pl.String()),
    )
    made = pl.concat([ours.select(LEADERBOARD.schema.names()), published()])
    order = [pl.col("provenance") == "published", pl.col("scope"), pl.col("name"), pl.col("recipe"), pl.col("model")]
    return made.sort(order, nulls_last=True)


def direction_name() -> pl.Expr:
    """What a retrieval task is called in one direction."""
    return pl.format("{} ({})", "task", pl.col("direction").str.replace_all("_", " "))


def published() -> pl.DataFrame:
    """Numbers of others, in the ``leaderboard`` schema, each with its citation."""
    text = (importlib.resources.files("biomedica_assets.lib.evaluate") / "published.yaml").read_text(encoding="utf-8")
    raw: dict[str, Any] = yaml.safe_load(text)
    table = raw["table_5"]
    rows: list[dict[str, Any]] = []
    for model, values in table["rows"].items():
        cited = {"model": model, "metric": table["metric"], "source": table["source"]}
        rows += [{**cited, "scope": "task", "name": t, "value": v} for t, v in zip(raw["tasks"], values, strict=True)]
        mean = round(sum(values) / len(values), 6)
        rows.append({**cited, "scope": "domain", "name": "mu-Bench coarse", "value": mean, "n_tasks": len(values)})
    rows += [{"scope": "domain", "n_tasks": None, **entry} for entry in raw["averages"]]
    made: list[dict[str, object]] = [
        {
            **{k: row.get(k) for k in ("model", "scope", "name", "metric", "value")},
            "provenance": "published",
            "n_tasks": row.get("n_tasks") or 1,
            "citation": " ".join(raw["sources"][row["source"]].split()),
        }
        for row in rows
    ]
    return LEADERBOARD.frame(made)


def common_tasks(scores: pl.DataFrame) -> list[str]:
    """Names that every model (of every recipe) has a value for, sorted."""
    scored = scores.filter(pl.col("value").is_not_null())
    n_models = scores.select("recipe", "model").n_unique()
    counts = scored.group_by("name").agg(n=pl.struct("recipe", "model").n_unique())
    return sorted(counts.filter(pl.col("n") == n_models)["name"])


def _averages(scores: pl.DataFrame, domain: str | None, scope: str, name: str) -> pl.DataFrame:
    """Mean over the common tasks per model; the interval adds the tasks' bootstrap variances, tasks held fixed."""
    names = common_tasks(scores)
    chosen = scores.filter(pl.col("name").is_in(names))
    if domain is not None:
        chosen = chosen.filter(domain=domain)
    means = chosen.group_by("recipe", "model", "provenance", maintain_order=True).agg(
        value=pl.col("value").mean(),
        se=pl.col("se").pow(2).sum().sqrt() / pl.len(),
        chance=pl.when(pl.col("chance").is_not_null().all()).then(pl.col("chance").mean()),
        n_tasks=pl.len().cast(pl.Int32()),
    )
    z = 1.959963984540054
    return _rows(
        means.with_columns(
            name=pl.lit(name),
            domain=pl.lit(domain, pl.String()),
            metric=pl.lit(MEAN),
            low=(pl.col("value") - z * pl.col("se")).clip(0, 1),
            high=(pl.col("value") + z * pl.col("se")).clip(0, 1),
        ),
        scope,
    )


def _rows(frame: pl.DataFrame, scope: str) -> pl.DataFrame:
    n_tasks = pl.col("n_tasks") if "n_tasks" in frame.columns else pl.lit(1, pl.Int32())
    columns = ("recipe", "model", "provenance", "name", "domain", "metric", "value", "low", "high", "chance")
    return frame.select(*columns, scope=pl.lit(scope), n_tasks=n_tasks)


def ranking(board: pl.DataFrame, name: str = ALL_TASKS) -> pl.DataFrame:
    """Our models by an average, best first."""
    return board.filter((pl.col("name") == name) & (pl.col("provenance") != "published")).sort(
        "value", descending=True, nulls_last=True
    )


def model_label(recipe: str | None, model: str, recipes: Sequence[str]) -> str:
    """What a plot calls a model: with its recipe if there are several and the name does not begin with it."""
    return f"{model} [{recipe}]" if recipe and len(recipes) > 1 and not model.startswith(recipe) else model


def share_text(value: float | None) -> str:
    """A share as people read it: 61.3; an empty text where there is none."""
    return "" if value is None or np.isnan(value) else f"{100 * value:.1f}"
