"""Rows of the score tables: what the two stages share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from biomedica_assets.lib.errors import Reject, RejectReason
from biomedica_assets.lib.evaluate.index import TaskIndex
from biomedica_assets.lib.evaluate.metrics import Scored
from biomedica_assets.lib.evaluate.models import ModelSpec
from biomedica_assets.lib.evaluate.scoring import VERSION
from biomedica_assets.lib.evaluate.task import Task
from biomedica_assets.lib.report import Scalar
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import Table

PREVIEW = 40


def identity(spec: ModelSpec, index: TaskIndex, model_digest: str, key: str) -> dict[str, object]:
    """The columns that say what was scored."""
    task = index.task
    return {
        "model": spec.name,
        "provenance": spec.provenance,
        "model_digest": model_digest,
        "task": task.name,
        "suite": task.suite,
        "title": task.title,
        "domain": task.domain,
        "modality": task.modality,
        "task_kind": task.kind,
        "data_digest": index.data,
        "score_key": key,
        "primary": True,
    }


def estimate(scored: Scored, n_groups: int, chance: float | None) -> dict[str, object]:
    """The columns of a value; an undefined one is null with its reason."""
    found = scored.estimate
    numbers = (found.value, found.low, found.high, found.se) if found.defined else (None, None, None, None)
    return {
        "metric": scored.metric,
        **dict(zip(("value", "low", "high", "se"), numbers, strict=True)),
        "chance": chance,
        "n": scored.n,
        "n_groups": n_groups,
        "status": "scored" if found.defined else "undefined",
        "reason": scored.note,
    }


def excluded(metric: str, why: str | None) -> dict[str, Any]:
    """The columns of a task that cannot be scored: no value at all."""
    blank: dict[str, Any] = {"value": None, "low": None, "high": None, "se": None, "chance": None}
    return blank | {"metric": metric, "n": 0, "n_groups": 0, "status": "excluded", "reason": why}


def earlier(lake: Lake, table: Table, recipe: str) -> pl.DataFrame:
    """Rows of the partition as it stands, if the same code made them; else none."""
    manifest = lake.intact(table, recipe)
    return lake.read(table, recipe) if manifest and manifest.code_version == VERSION else table.empty()


def with_key(frame: pl.DataFrame, spec: ModelSpec, task: Task, key: str) -> list[dict[str, Any]] | None:
    """Earlier rows of a model and task made from exactly the same; what does not shape scores is brought up to date."""
    found = frame.filter((pl.col("model") == spec.name) & (pl.col("task") == task.name) & (pl.col("score_key") == key))
    now: dict[str, Any] = {
        "provenance": spec.provenance,
        "suite": task.suite,
        "title": task.title,
        "domain": task.domain,
        "modality": task.modality,
    }
    return [row | now for row in found.to_dicts()] or None


def earlier_rejects(lake: Lake, table: Table, recipe: str, task: Task) -> list[Reject]:
    """What the partition as it stands left out of a task."""
    found = lake.read_rejects(table, recipe).filter(article_id=task.name)
    return [
        Reject(r["article_id"], r["stage"], RejectReason(r["reason"]), r["message"], r["subject"])
        for r in found.to_dicts()
    ]


def headline(frame: pl.DataFrame) -> dict[str, Scalar]:
    """Mean of the primary metrics of each model, plotted over time in the UI; means need the same tasks to compare."""
    primary = frame.filter(pl.col("primary") & (pl.col("status") == "scored"))
    means = primary.group_by("model", maintain_order=True).agg(pl.col("value").mean())
    made: dict[str, Scalar] = {f"mean of {primary['task'].n_unique()} tasks: {m}": v for m, v in means.iter_rows()}
    n = frame.filter(status="excluded")["task"].n_unique()
    return made | ({"tasks excluded": n} if n else {})


def preview(frame: pl.DataFrame) -> tuple[Mapping[str, Scalar], ...]:
    """The primary value of each model and task, for people."""
    columns = ("model", "title", "direction", "metric", "value", "low", "high", "chance", "n")
    columns = (*columns, "n_images", "n_texts", "reason")
    shown = frame.filter(pl.col("primary")).select(c for c in columns if c in frame.columns)
    return tuple(shown.with_columns(pl.col(pl.Float64).round(4)).head(PREVIEW).to_dicts())
