"""Scores of any models on any tasks, without a recipe: what ``biomedica evaluate`` prints.

The same scoring and the same feature cache as the score tables of recipes; nothing is published here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from biomedica_assets.lib.evaluate import retrieval_stage, rows, zero_shot_stage
from biomedica_assets.lib.evaluate.encoder import open_model
from biomedica_assets.lib.evaluate.index import TaskIndex, index_or_fault
from biomedica_assets.lib.evaluate.models import ModelSpec, WeightsMissing
from biomedica_assets.lib.evaluate.recipe_stage import Models, OpenModel, Row, ScoreTable, check_names, rows_without
from biomedica_assets.lib.evaluate.scoring import EvalConfig, score_key
from biomedica_assets.lib.evaluate.task import TaskSource
from biomedica_assets.lib.progress import SILENT, Progress

SCHEMA = pl.Schema(
    {
        "model": pl.String(),
        "model_digest": pl.String(),
        "suite": pl.String(),
        "task": pl.String(),
        "title": pl.String(),
        "domain": pl.String(),
        "data_digest": pl.String(),
        "direction": pl.String(),
        "class_name": pl.String(),
        "metric": pl.String(),
        "primary": pl.Boolean(),
        "value": pl.Float64(),
        "low": pl.Float64(),
        "high": pl.Float64(),
        "chance": pl.Float64(),
        "n": pl.Int64(),
        "n_groups": pl.Int64(),
        "n_images": pl.Int64(),
        "n_texts": pl.Int64(),
        "status": pl.String(),
        "reason": pl.String(),
    }
)


def score_models(
    models: Sequence[ModelSpec],
    sources: Sequence[TaskSource],
    cache: Path,
    *,
    config: EvalConfig | None = None,
    opener: OpenModel = open_model,
    progress: Progress = SILENT,
) -> pl.DataFrame:
    """Every model on every task.

    Args:
        models: names are unique; one is loaded at a time.
        sources: tasks of any kind.
        cache: folder of the feature cache.
        config: how; None for the defaults.
        opener: loads a model.
        progress: told of each image.

    Returns:
        One row per model, task and metric (``SCHEMA``): fractions, with 95 % intervals in ``low`` and ``high``. A task
        that cannot be read or scored has the status ``excluded`` with its reason, and no value.

    Raises:
        WeightsMissing: none of the models can be loaded; one among others is left out with that reason.
    """
    config = config or EvalConfig()
    check_names(models, [source.task.name for source in sources])
    wanted = [(source, index_or_fault(source)) for source in sources]
    loaded, found, lost = Models(config, opener), list[Row](), list[str]()
    for spec in models:
        try:
            found += _scored(spec, wanted, loaded, cache, config, progress)
        except WeightsMissing as error:
            lost.append(str(error))
            found += [row for source, index in wanted for row in rows_without(_kind(source), spec, index, str(error))]
    if models and len(lost) == len(models):
        raise WeightsMissing("; ".join(lost))
    return pl.DataFrame([{name: row.get(name) for name in SCHEMA} for row in found], schema=SCHEMA)


def _scored(
    spec: ModelSpec,
    wanted: Sequence[tuple[TaskSource, TaskIndex]],
    loaded: Models,
    cache: Path,
    config: EvalConfig,
    progress: Progress,
) -> list[Row]:
    model_digest, found = loaded.digest(spec), list[Row]()
    for source, index in wanted:
        kind = _kind(source)
        scores = kind.score(source, index, loaded.encoder(spec), cache, config, progress)
        key = score_key(model_digest, index, config)
        found += kind.rows(rows.identity(spec, scores.index, model_digest, key), scores)
    return found


def _kind(source: TaskSource) -> ScoreTable:
    return retrieval_stage.SCORES if source.task.kind in retrieval_stage.KINDS else zero_shot_stage.SCORES
