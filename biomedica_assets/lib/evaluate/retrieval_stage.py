"""Fills a recipe's ``retrieval_scores``: every model on every retrieval task, both ways, only what changed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np

from biomedica_assets.lib.errors import Reject
from biomedica_assets.lib.evaluate import rows
from biomedica_assets.lib.evaluate.encoder import open_model
from biomedica_assets.lib.evaluate.index import index_task
from biomedica_assets.lib.evaluate.models import ModelSpec
from biomedica_assets.lib.evaluate.scoring import VERSION, EvalConfig, Scores, score_key, score_retrieval
from biomedica_assets.lib.evaluate.task import TaskSource
from biomedica_assets.lib.evaluate.zero_shot_stage import Models, OpenModel, check_names
from biomedica_assets.lib.progress import SILENT, Progress
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import RETRIEVAL_SCORES

PRIMARY = "recall_at_1"


def score_recipe(
    lake: Lake,
    recipe: str,
    models: Sequence[ModelSpec],
    sources: Sequence[TaskSource],
    *,
    config: EvalConfig | None = None,
    inputs: Mapping[str, str] | None = None,
    opener: OpenModel = open_model,
    progress: Progress = SILENT,
) -> Report:
    """Score the retrieval tasks among ``sources`` and publish ``retrieval_scores`` of a recipe.

    Arguments, report and errors as in ``zero_shot_stage.score_recipe``.
    """
    began = time.monotonic()
    config = config or EvalConfig()
    check_names(models, [s.task.name for s in sources])
    wanted = [s for s in sources if s.task.kind == "retrieval"]
    indices = {s.task.name: index_task(s) for s in wanted}
    earlier = rows.earlier(lake, RETRIEVAL_SCORES, recipe)
    loaded = Models(config, opener)
    rejects: dict[str, Sequence[Reject]] = {}
    cache = lake.root / "scores" / "features"
    made: list[dict[str, object]] = []
    kept = 0
    for spec in models:
        model_digest = loaded.digest(spec)
        for source in wanted:
            index = indices[source.task.name]
            key = score_key(model_digest, index, config)
            if old := rows.with_key(earlier, spec, source.task, key):
                made += old
                kept += 1
                rejects.setdefault(source.task.name, rows.earlier_rejects(lake, RETRIEVAL_SCORES, recipe, source.task))
                continue
            scores = score_retrieval(source, index, loaded.encoder(spec), cache, config, progress)
            rejects[source.task.name] = scores.index.rejects
            made += _rows(spec, model_digest, key, scores)
    frame = RETRIEVAL_SCORES.frame(made)
    left_out = [r for found in rejects.values() for r in found]
    n_in = sum(index.n_in for index in indices.values()) if models else 0
    manifest = lake.publish(
        RETRIEVAL_SCORES,
        recipe,
        frame,
        code_version=VERSION,
        inputs=dict(inputs or {}),
        config=config.content(),
        rejects=left_out,
        n_in=n_in,
        n_out=n_in - len(left_out),
    )
    return Report(
        asset="retrieval_scores",
        partition=recipe,
        data_version=manifest.data_version,
        rows=frame.height,
        n_in=n_in,
        n_out=n_in - len(left_out),
        rejects=manifest.rejects,
        bytes_written=manifest.bytes,
        seconds=time.monotonic() - began,
        metrics=rows.headline(frame) | {"tasks": len(wanted), "models": len(models), "scores reused": kept},
        preview=rows.preview(frame),
    )


def _rows(spec: ModelSpec, model_digest: str, key: str, scores: Scores) -> list[dict[str, object]]:
    base = rows.identity(spec, scores.index, model_digest, key)
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
