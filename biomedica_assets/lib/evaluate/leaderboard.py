"""The leaderboard as a table: every model per task, per domain and overall, published numbers apart.

Averages of our models are over the tasks of one metric that every one of them has a value for, each data set once, and
tasks of the user's own articles apart from public ones, so that they compare. The domains are the paper's groups.
Published numbers never enter an average of ours: the captions and splits behind them are not all known.
"""

from __future__ import annotations

import fnmatch
import importlib.resources
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import polars as pl
import yaml

from biomedica_assets.lib.tables import LEADERBOARD

COSTS = pl.Schema({"recipe": pl.String(), "model": pl.String(), "compute": pl.Float64(), "samples_seen": pl.Int64()})
OWN = "own articles"
"""Domain of the tasks that are made of the user's articles; they say something else than public ones, and never mix."""
PUBLIC = "public tasks"
RETRIEVAL = "public retrieval"
OWN_RETRIEVAL = "own articles, retrieval"
FLOOR: Literal["random"] = "random"
"""Provenance of a model whose weights are random: its architecture alone is often far above chance."""
_SCORE = (
    "recipe",
    "model",
    "provenance",
    "name",
    "dataset",
    "domain",
    "metric",
    "value",
    "low",
    "high",
    "se",
    "chance",
)


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
    tasks = with_datasets(zero_shot.filter(pl.col("primary"))).with_columns(name="task").select(_SCORE)
    searched = with_datasets(retrieval.filter(pl.col("primary"))).with_columns(name=direction_name())
    searched = searched.select(_SCORE)
    own = pl.col("domain") == OWN
    public = tasks.filter(~own)
    parts = [
        _rows(pl.concat([tasks, searched]).filter(pl.col("value").is_not_null()), "task"),
        _averages(public, "overall", PUBLIC),
        _averages(tasks.filter(own), "overall", OWN),
        *(_averages(public.filter(domain=d), "domain", d) for d in sorted(set(public["domain"].drop_nulls()))),
        _averages(searched.filter(~own), "overall", RETRIEVAL),
        _averages(searched.filter(own), "overall", OWN_RETRIEVAL),
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
    """Names that every model (of every recipe) has a value for, sorted.

    A model without any value, because it could not be had, is none that the others wait for.
    """
    scored = scores.filter(pl.col("value").is_not_null())
    n_models = scored.select("recipe", "model").n_unique()
    counts = scored.group_by("name").agg(n=pl.struct("recipe", "model").n_unique())
    return sorted(counts.filter(pl.col("n") == n_models)["name"])


def _averages(scores: pl.DataFrame, scope: str, name: str) -> pl.DataFrame:
    """Mean per model over the common tasks, one row for each metric: percent of one and of another are not one scale.

    Tasks of one data set count as one together. The interval adds the tasks' bootstrap variances, tasks held fixed.
    """
    common = scores.filter(pl.col("name").is_in(common_tasks(scores)) & pl.col("value").is_not_null())
    who = ("recipe", "model", "provenance")
    once = common.group_by(*who, "metric", "dataset", maintain_order=True).agg(
        pl.col("value").mean(),
        se=pl.col("se").pow(2).sum().sqrt() / pl.len(),
        chance=pl.when(pl.col("chance").is_not_null().all()).then(pl.col("chance").mean()),
        n=pl.len(),
    )
    means = once.group_by(*who, "metric", maintain_order=True).agg(
        value=pl.col("value").mean(),
        se=pl.col("se").pow(2).sum().sqrt() / pl.len(),
        chance=pl.when(pl.col("chance").is_not_null().all()).then(pl.col("chance").mean()),
        n_tasks=pl.col("n").sum().cast(pl.Int32()),
    )
    z = 1.959963984540054
    return _rows(
        means.with_columns(
            name=pl.format("{}, {}", pl.lit(name), pl.col("metric").str.replace_all("_", " ")),
            domain=pl.lit(name if scope == "domain" else None, pl.String()),
            metric=pl.format("mean of {}", pl.col("metric")),
            low=(pl.col("value") - z * pl.col("se")).clip(0, 1),
            high=(pl.col("value") + z * pl.col("se")).clip(0, 1),
        ),
        scope,
    )


def with_datasets(scores: pl.DataFrame) -> pl.DataFrame:
    """Scores with the column ``dataset``: what ``datasets.yaml`` says the images of ``task`` are, else the task."""
    text = (importlib.resources.files("biomedica_assets.lib.evaluate") / "datasets.yaml").read_text(encoding="utf-8")
    known: dict[str, list[str]] = yaml.safe_load(text)
    tasks: list[str] = sorted(set(scores["task"]))
    found = {
        task: next((d for d, names in known.items() if any(fnmatch.fnmatchcase(task, n) for n in names)), task)
        for task in tasks
    }
    return scores.with_columns(dataset=pl.col("task").replace_strict(found, default=None, return_dtype=pl.String()))


def _rows(frame: pl.DataFrame, scope: str) -> pl.DataFrame:
    n_tasks = pl.col("n_tasks") if "n_tasks" in frame.columns else pl.lit(1, pl.Int32())
    columns = ("recipe", "model", "provenance", "name", "domain", "metric", "value", "low", "high", "chance")
    return frame.select(*columns, scope=pl.lit(scope), n_tasks=n_tasks)


def main_average(board: pl.DataFrame) -> str:
    """The average to order models by: public tasks before own ones, of several metrics that with the most tasks.

    An empty text where there is none.
    """
    averages = board.filter((pl.col("scope") == "overall") & (pl.col("provenance") != "published"))
    public = pl.col("name").str.starts_with(f"{PUBLIC},")
    names = averages.filter(~pl.col("name").str.contains("retrieval")).sort(
        public, "n_tasks", "name", descending=[True, True, False]
    )["name"]
    return str(names[0]) if names.len() else ""


def ranking(board: pl.DataFrame, name: str | None = None) -> pl.DataFrame:
    """Our models by an average (``main_average`` unless another is named), best first."""
    chosen = name or main_average(board)
    return board.filter((pl.col("name") == chosen) & (pl.col("provenance") != "published")).sort(
        "value", descending=True, nulls_last=True
    )


def model_label(recipe: str | None, model: str, recipes: Sequence[str]) -> str:
    """What a plot calls a model: with its recipe if there are several and the name does not begin with it."""
    return f"{model} [{recipe}]" if recipe and len(recipes) > 1 and not model.startswith(recipe) else model


def share_text(value: float | None) -> str:
    """A share as people read it: 61.3; an empty text where there is none."""
    return "" if value is None or np.isnan(value) else f"{100 * value:.1f}"
