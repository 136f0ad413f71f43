"""Fills a recipe's ``zero_shot_scores``: every model on every task, only what changed, with paired comparisons.

Right or wrong per item lies in ``scores/recipe=<recipe>/<model>/<task>.parquet`` (unit_id, truth, right, tied, group),
the comparisons of models in ``comparisons-<digest>.parquet`` beside them; both belong to the partition.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.evaluate import recipe_stage, rows
from biomedica_assets.lib.evaluate.encoder import open_model
from biomedica_assets.lib.evaluate.models import ModelSpec
from biomedica_assets.lib.evaluate.recipe_stage import OpenModel, Row, ScoreTable
from biomedica_assets.lib.evaluate.scoring import EvalConfig, Scores, score_zero_shot
from biomedica_assets.lib.evaluate.significance import compare_all
from biomedica_assets.lib.evaluate.task import TaskSource
from biomedica_assets.lib.progress import SILENT, Progress
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.store import atomic, damage, named
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import ZERO_SHOT_SCORES

COMPARISONS = "comparisons.parquet"
KINDS = frozenset({"single_label", "multi_label", "closed_vqa"})


def score_recipe(
    lake: Lake,
    recipe: str,
    models: Sequence[ModelSpec],
    sources: Sequence[TaskSource],
    *,
    config: EvalConfig | None = None,
    recorded: Mapping[str, str] | None = None,
    inputs: Mapping[str, str] | None = None,
    opener: OpenModel = open_model,
    progress: Progress = SILENT,
) -> Report:
    """Score all tasks but retrieval ones and publish ``zero_shot_scores`` of a recipe.

    Arguments, report and errors as in ``recipe_stage.fill``.
    """
    return recipe_stage.fill(
        lake, recipe, models, sources, SCORES,
        config=config, recorded=recorded, inputs=inputs, opener=opener, progress=progress,
    )  # fmt: skip


def read_answers(folder: Path, frame: pl.DataFrame) -> dict[str, dict[str, pl.DataFrame]]:
    """Answers per unit that lie in a recipe's folder: task -> model -> frame, in the order of the score table."""
    found: dict[str, dict[str, pl.DataFrame]] = {}
    for model, task in frame.filter(status="scored").select("model", "task").unique(maintain_order=True).iter_rows():
        answers = pl.read_parquet(_answers_path(folder, model, task), hive_partitioning=False)
        found.setdefault(task, {})[model] = answers
    return found


def _answers_path(folder: Path, model: str, task: str) -> Path:
    return folder / model / f"{task}.parquet"


def _rows(base: Row, scores: Scores) -> list[Row]:
    if scores.answers is None:
        return [base | rows.excluded(scores.index.task.metric, scores.excluded) | {"class_name": None}]
    n_classes = len(scores.answers.classes)
    chances = {
        "accuracy": scores.answers.chance,
        "balanced_accuracy": scores.answers.chance if scores.index.task.kind != "closed_vqa" else None,
        "macro_auroc": 0.5,
        "auroc": 0.5,
        "linear_probe": 1 / n_classes,
        "knn": 1 / n_classes,
    }
    return [
        base
        | rows.estimate(s, scores.answers.n_groups, chances.get(s.metric))
        | {"class_name": s.class_name, "primary": s.class_name is None and s.metric == scores.index.task.metric}
        for s in scores.metrics
    ]


def _has_answers(folder: Path, old: Sequence[Row]) -> bool:
    first = old[0]
    return first["status"] == "excluded" or _answers_path(folder, first["model"], first["task"]).exists()


def _write_answers(folder: Path, spec: ModelSpec, scores: Scores) -> None:
    """Right or wrong per unit of a scored task; the file of an excluded one goes away."""
    path = _answers_path(folder, spec.name, scores.index.task.name)
    if scores.answers is None:
        path.unlink(missing_ok=True)
        return
    answers = scores.answers
    frame = pl.DataFrame(
        {
            "unit_id": answers.unit_ids,
            "truth": np.array(answers.classes, dtype=object)[answers.truth].tolist(),
            "right": answers.right,
            "tied": answers.tied,
            "group": answers.groups,
        }
    )
    write_parquet(path, frame)


def _files(folder: Path, frame: pl.DataFrame, config: EvalConfig) -> list[Path]:
    """Write the comparisons and name every file of the partition; files of tasks and models that left go away."""
    answers = read_answers(folder, frame)
    comparisons = _write_comparisons(folder, compare_all(answers, replicates=config.replicates, seed=config.seed))
    files = [_answers_path(folder, model, task) for task, by_model in answers.items() for model in by_model]
    for stale in set(folder.glob("*/*.parquet")) - set(files):
        stale.unlink()
    return [*sorted(files), comparisons]


def _write_comparisons(folder: Path, frame: pl.DataFrame) -> Path:
    """The comparisons in a file that is named by its content, since the leaderboard reads it by its path."""
    data = _parquet(frame)
    path = named.path_of(folder / COMPARISONS, hashlib.sha256(data).hexdigest())
    atomic.write_bytes(path, data)
    return path


def comparisons_of(lake: Lake, recipe: str) -> Path:
    """The file with the comparisons of a recipe's scores.

    Raises:
        StoreError: the recipe has none, or the file is not what was written.
    """
    manifest = lake.manifest(ZERO_SHOT_SCORES, recipe)
    for entry in manifest.files if manifest else ():
        if named.plain(entry.path) == COMPARISONS:
            return damage.checked_parquet(lake.root, entry, ZERO_SHOT_SCORES.name, recipe)
    raise StoreError(f"zero_shot_scores of {recipe} has no comparisons; `biomedica run --select zero_shot_scores`")


def write_parquet(path: Path, frame: pl.DataFrame) -> None:
    """Write a frame atomically."""
    atomic.write_bytes(path, _parquet(frame))


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", compression_level=1)
    return buffer.getvalue()


SCORES = ScoreTable(ZERO_SHOT_SCORES, KINDS, score_zero_shot, _rows, _write_answers, _has_answers, _files)
