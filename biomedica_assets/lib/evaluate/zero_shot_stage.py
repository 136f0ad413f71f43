"""Fills a recipe's ``zero_shot_scores``: every model on every task, only what changed, with paired comparisons.

Right or wrong per item lies in ``scores/recipe=<recipe>/<model>/<task>.parquet`` (unit_id, truth, right, tied, group),
the comparisons of models in ``comparisons.parquet`` beside them; both belong to the partition.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from biomedica_assets.lib.errors import PermanentFailure, Reject
from biomedica_assets.lib.evaluate import rows
from biomedica_assets.lib.evaluate.encoder import Encoder, open_model
from biomedica_assets.lib.evaluate.index import index_task
from biomedica_assets.lib.evaluate.models import ModelSpec
from biomedica_assets.lib.evaluate.scoring import VERSION, EvalConfig, Scores, score_key, score_zero_shot
from biomedica_assets.lib.evaluate.significance import compare_all
from biomedica_assets.lib.evaluate.task import NAME, TaskSource
from biomedica_assets.lib.progress import SILENT, Progress
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.store.lake import Lake, file_entry
from biomedica_assets.lib.store.manifest import digest
from biomedica_assets.lib.tables import ZERO_SHOT_SCORES

COMPARISONS = "comparisons.parquet"
OpenModel = Callable[[ModelSpec, str, str], Encoder]


class Models:
    """The models of a run, each loaded when it is first needed and dropped when the next one is."""

    def __init__(self, config: EvalConfig, opener: OpenModel = open_model) -> None:
        self._config, self._open = config, opener
        self._loaded: Encoder | None = None

    def digest(self, spec: ModelSpec) -> str:
        """Digest of a model and its precision; loads it only if nothing else can tell."""
        known = spec.known_digest() or self.encoder(spec).digest
        return digest(known, self._config.precision)

    def encoder(self, spec: ModelSpec) -> Encoder:
        """The loaded model."""
        if self._loaded is None or self._loaded.spec != spec:
            self._loaded = None  # two models at once may not fit
            self._loaded = self._open(spec, self._config.device, self._config.precision)
        return self._loaded


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
    """Score all tasks but retrieval ones and publish ``zero_shot_scores`` of a recipe.

    Args:
        lake: the data directory.
        recipe: partition key.
        models: the recipe's checkpoints and whatever they are compared with; names are unique.
        sources: the tasks; retrieval tasks are passed over (see ``retrieval_stage``).
        config: how; None for the defaults.
        inputs: what the models were read from, for the manifest (``Lake.inputs``).
        opener: loads a model.
        progress: told of each image.

    Returns:
        Report; items are test items, counted once however many models answer them.

    Raises:
        WeightsMissing: a model cannot be loaded.
        TaskError: the files of a task are not what its description says.
    """
    began = time.monotonic()
    config = config or EvalConfig()
    check_names(models, [s.task.name for s in sources])
    wanted = [s for s in sources if s.task.kind != "retrieval"]
    indices = {s.task.name: index_task(s) for s in wanted}
    earlier = rows.earlier(lake, ZERO_SHOT_SCORES, recipe)
    loaded = Models(config, opener)
    rejects: dict[str, Sequence[Reject]] = {}
    folder = lake.root / "scores" / f"recipe={recipe}"
    cache = lake.root / "scores" / "features"
    made: list[dict[str, object]] = []
    kept = 0
    for spec in models:
        model_digest = loaded.digest(spec)
        for source in wanted:
            index = indices[source.task.name]
            key = score_key(model_digest, index, config)
            path = folder / spec.name / f"{source.task.name}.parquet"
            old = rows.with_key(earlier, spec, source.task, key)
            if old is not None and (path.exists() or old[0]["status"] == "excluded"):
                made += old
                kept += 1
                rejects.setdefault(source.task.name, rows.earlier_rejects(lake, ZERO_SHOT_SCORES, recipe, source.task))
                continue
            scores = score_zero_shot(source, index, loaded.encoder(spec), cache, config, progress)
            rejects[source.task.name] = scores.index.rejects
            made += _rows(spec, model_digest, key, scores)
            _write_answers(path, scores)
    frame = ZERO_SHOT_SCORES.frame(made)
    files = _files(folder, frame, config)
    left_out = [r for found in rejects.values() for r in found]
    n_in = sum(index.n_in for index in indices.values()) if models else 0
    manifest = lake.publish(
        ZERO_SHOT_SCORES,
        recipe,
        frame,
        code_version=VERSION,
        inputs=dict(inputs or {}),
        config=config.content(),
        rejects=left_out,
        n_in=n_in,
        n_out=n_in - len(left_out),
        files=[file_entry(lake, path) for path in files],
    )
    return Report(
        asset="zero_shot_scores",
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


def check_names(models: Sequence[ModelSpec], tasks: Sequence[str]) -> None:
    """Refuse names that are double or could lead out of the scores folder.

    Raises:
        PermanentFailure: naming them.
    """
    names = [m.name for m in models]
    bad = [n for n in [*names, *tasks] if not NAME.fullmatch(n.lower())]
    bad += sorted({n for n in names if names.count(n) > 1} | {t for t in tasks if list(tasks).count(t) > 1})
    if bad:
        raise PermanentFailure(f"names must be unique and made of letters, digits and . _ -: {', '.join(bad)}")


def read_answers(folder: Path, frame: pl.DataFrame) -> dict[str, dict[str, pl.DataFrame]]:
    """Answers per unit that lie in a recipe's folder: task -> model -> frame, in the order of the score table."""
    found: dict[str, dict[str, pl.DataFrame]] = {}
    for model, task in frame.filter(status="scored").select("model", "task").unique(maintain_order=True).iter_rows():
        answers = pl.read_parquet(folder / model / f"{task}.parquet", hive_partitioning=False)
        found.setdefault(task, {})[model] = answers
    return found


def _rows(spec: ModelSpec, model_digest: str, key: str, scores: Scores) -> list[dict[str, object]]:
    base = rows.identity(spec, scores.index, model_digest, key)
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


def _write_answers(path: Path, scores: Scores) -> None:
    """Right or wrong per unit of a scored task; the file of an excluded one goes away."""
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
    comparisons = folder / COMPARISONS
    write_parquet(comparisons, compare_all(answers, replicates=config.replicates, seed=config.seed))
    files = [folder / model / f"{task}.parquet" for task, by_model in answers.items() for model in by_model]
    for stale in set(folder.glob("*/*.parquet")) - set(files):
        stale.unlink()
    return [*sorted(files), comparisons]


def write_parquet(path: Path, frame: pl.DataFrame) -> None:
    """Write a frame atomically."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", compression_level=1)
    atomic.write_bytes(path, buffer.getbuffer())
