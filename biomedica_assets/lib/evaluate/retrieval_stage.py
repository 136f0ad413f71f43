"""Fills a recipe's ``retrieval_scores``: every model on every retrieval task, both ways, only what changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from biomedica_assets.lib.evaluate import recipe_stage, rows
from biomedica_assets.lib.evaluate.encoder import open_model
from biomedica_assets.lib.evaluate.models import ModelSpec
from biomedica_assets.lib.evaluate.recipe_stage import OpenModel, Row, ScoreTable
from biomedica_assets.lib.evaluate.scoring import EvalConfig, Scores, score_retrieval
from biomedica_assets.lib.evaluate.task import TaskSource
from biomedica_assets.lib.progress import SILENT, Progress
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import RETRIEVAL_SCORES

PRIMARY = "recall_at_1"
KINDS = frozenset({"retrieval"})


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
    """Score the retrieval tasks among ``sources`` and publish ``retrieval_scores`` of a recipe.

    Arguments, report and errors as in ``recipe_stage.fill``.
    """
    return recipe_stage.fill(
        lake, recipe, models, sources, SCORES,
        config=config, recorded=recorded, inputs=inputs, opener=opener, progress=progress,
    )  # fmt: skip


def _rows(base: Row, scores: Scores) -> list[Row]:
    if scores.ranks is None:
        none = rows.excluded(PRIMARY, scores.excluded) | {"n_candidates": 0, "n_tied": 0}
        return [base | none | {"direction": direction} for direction in ("image_to_text", "text_to_image")]
    found = scores.ranks
    n_groups = len(set(scores.index.groups()))
    candidates = {"image_to_text": found.text_to_image.size, "text_to_image": found.image_to_text.size}
    tied = {"image_to_text": int(np.sum(found.tied_images)), "text_to_image": int(np.sum(found.tied_texts))}
    return [
        base
        | rows.estimate(scored, n_groups, _chance(scored.metric, candidates[direction]))
        | {
            "direction": direction,
            "primary": scored.metric == PRIMARY,
            "n_candidates": candidates[direction],
            "n_tied": tied[direction],
        }
        for direction, metrics in scores.retrieved.items()
        for scored in metrics
    ]


def _chance(metric: str, n_candidates: int) -> float | None:
    """Value of a random order, for one right candidate among ``n_candidates``."""
    if metric == "median_rank":
        return (n_candidates + 1) / 2
    return min(1.0, int(metric.rpartition("_")[2]) / n_candidates)


SCORES = ScoreTable(RETRIEVAL_SCORES, KINDS, score_retrieval, _rows)
