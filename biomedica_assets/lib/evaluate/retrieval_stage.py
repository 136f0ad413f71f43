"""Fills a recipe's ``retrieval_scores``: every model on every retrieval task, both ways, only what changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from biomedica_assets.lib.evaluate import recipe_stage, rows
from biomedica_assets.lib.evaluate.encoder import open_model
from biomedica_assets.lib.evaluate.models import ModelSpec
from biomedica_assets.lib.evaluate.recipe_stage import OpenModel, Row, ScoreTable
from biomedica_assets.lib.evaluate.retrieval import chance
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
        none = rows.excluded(PRIMARY, scores.excluded) | {"n_candidates": 0, "n_tied": 0, "n_images": 0, "n_texts": 0}
        return [base | none | {"direction": direction} for direction in ("image_to_text", "text_to_image")]
    found = scores.ranks
    n_groups = len(set(scores.index.groups()))
    n_images, n_texts = found.image_to_text.size, found.text_to_image.size
    candidates = {"image_to_text": n_texts, "text_to_image": n_images}
    right = {"image_to_text": [len(e.captions) for e in scores.index.entries], "text_to_image": [1] * n_texts}
    tied = {"image_to_text": int(np.sum(found.tied_images)), "text_to_image": int(np.sum(found.tied_texts))}
    return [
        base
        | rows.estimate(scored, n_groups, chance(scored.metric, candidates[direction], right[direction]))
        | {
            "direction": direction,
            "primary": scored.metric == PRIMARY,
            "n_candidates": candidates[direction],
            "n_tied": tied[direction],
            "n_images": n_images,
            "n_texts": n_texts,
        }
        for direction, metrics in scores.retrieved.items()
        for scored in metrics
    ]


SCORES = ScoreTable(RETRIEVAL_SCORES, KINDS, score_retrieval, _rows)
