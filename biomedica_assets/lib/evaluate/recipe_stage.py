"""The frame in which a recipe's score table is filled: every model on every task, only what changed, one manifest.

Belongs here: what ``zero_shot_stage`` and ``retrieval_stage`` do alike. What a score is, which rows it makes and which
files lie beside the table is theirs, given as ``ScoreTable``.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from biomedica_assets.lib.errors import PermanentFailure, Reject
from biomedica_assets.lib.evaluate import rows
from biomedica_assets.lib.evaluate.encoder import Encoder, open_model
from biomedica_assets.lib.evaluate.index import TaskIndex, index_or_fault
from biomedica_assets.lib.evaluate.models import ModelSpec, WeightsMissing
from biomedica_assets.lib.evaluate.scoring import VERSION, EvalConfig, Scores, score_key
from biomedica_assets.lib.evaluate.task import NAME, TaskSource
from biomedica_assets.lib.progress import SILENT, Progress
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.store.lake import Lake, file_entry
from biomedica_assets.lib.store.manifest import digest
from biomedica_assets.lib.tables import Table

OpenModel = Callable[[ModelSpec, str, str], Encoder]
Row = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class ScoreTable:
    """What one score table does its own way.

    Attributes:
        table: where the rows go.
        kinds: kinds of tasks it is about; tasks of other kinds are passed over.
        score: source, index, encoder, cache folder, config, progress -> the task's result for one model.
        rows: identity columns and result -> rows; the identity says which model and task (see ``rows.identity``).
        write: folder, model, result: writes what lies beside the table for one model and task.
        kept: folder and rows of an earlier run -> whether what lies beside them is still there.
        finish: folder, whole table, config -> the files of the partition; those of what left are removed.
    """

    table: Table
    kinds: frozenset[str]
    score: Callable[[TaskSource, TaskIndex, Encoder, Path, EvalConfig, Progress], Scores]
    rows: Callable[[Row, Scores], list[Row]]
    write: Callable[[Path, ModelSpec, Scores], None] = lambda _folder, _spec, _scores: None
    kept: Callable[[Path, Sequence[Row]], bool] = lambda _folder, _rows: True
    finish: Callable[[Path, pl.DataFrame, EvalConfig], Sequence[Path]] = lambda _folder, _frame, _config: ()


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


@dataclasses.dataclass(slots=True)
class _Made:
    """What the models and tasks so far have given: rows, what was left out per task, scores taken over."""

    rows: list[Row] = dataclasses.field(default_factory=list[Row])
    rejects: dict[str, Sequence[Reject]] = dataclasses.field(default_factory=dict[str, Sequence[Reject]])
    reused: int = 0


def fill(
    lake: Lake,
    recipe: str,
    models: Sequence[ModelSpec],
    sources: Sequence[TaskSource],
    kind: ScoreTable,
    *,
    config: EvalConfig | None,
    recorded: Mapping[str, str] | None,
    inputs: Mapping[str, str] | None,
    opener: OpenModel,
    progress: Progress = SILENT,
) -> Report:
    """Score and publish one score table of a recipe.

    Args:
        lake: the data directory.
        recipe: partition key.
        models: the recipe's checkpoints and whatever they are compared with; names are unique.
        sources: the tasks; those of other kinds are passed over.
        kind: which table, and how.
        config: how; None for the defaults.
        recorded: versions of the test sets, for the manifest: a changed one makes the partition stale.
        inputs: what the models were read from, for the manifest (``Lake.inputs``).
        opener: loads a model.
        progress: told of each image.

    Returns:
        Report; items are test items, counted once however many models answer them. A test set that cannot be read is
        one item that is left out, and is named; the others are scored.

    Raises:
        WeightsMissing: a checkpoint of ours cannot be loaded; one of others is left out with that reason.
    """
    began = time.monotonic()
    config = config or EvalConfig()
    check_names(models, [s.task.name for s in sources])
    wanted = [(source, index_or_fault(source)) for source in sources if source.task.kind in kind.kinds]
    folder = lake.root / "scores" / f"recipe={recipe}"
    made = _score(lake, recipe, models, wanted, kind, config, folder, Models(config, opener), progress)
    frame = kind.table.frame(made.rows)
    files = kind.finish(folder, frame, config)
    left_out = [r for found in made.rejects.values() for r in found]
    unreadable = "; ".join(f"{index.task.name} {index.fault}" for _, index in wanted if index.fault)
    n_in = sum(index.n_in for _, index in wanted) if models else 0
    manifest = lake.publish(
        kind.table,
        recipe,
        frame,
        code_version=VERSION,
        inputs=dict(inputs or {}),
        config={**config.content(), **(recorded or {})},
        rejects=left_out,
        n_in=n_in,
        n_out=n_in - len(left_out),
        files=[file_entry(lake, path) for path in files],
    )
    return Report(
        asset=kind.table.name,
        partition=recipe,
        data_version=manifest.data_version,
        rows=frame.height,
        n_in=n_in,
        n_out=n_in - len(left_out),
        rejects=manifest.rejects,
        bytes_written=manifest.bytes,
        seconds=time.monotonic() - began,
        metrics=rows.headline(frame)
        | {"tasks": len(wanted), "models": len(models), "scores reused": made.reused}
        | ({"test sets left out": unreadable} if unreadable else {}),
        preview=rows.preview(frame),
    )


def rows_without(kind: ScoreTable, spec: ModelSpec, index: TaskIndex, why: str) -> list[Row]:
    """Rows that say of a task that a model could not be had."""
    nothing = digest("not loaded", spec.name)
    return kind.rows(rows.identity(spec, index, nothing, nothing), Scores(index, excluded=why))


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


def _score(
    lake: Lake,
    recipe: str,
    models: Sequence[ModelSpec],
    wanted: Sequence[tuple[TaskSource, TaskIndex]],
    kind: ScoreTable,
    config: EvalConfig,
    folder: Path,
    loaded: Models,
    progress: Progress,
) -> _Made:
    """Every model on every task; a score whose model, data and settings are those of an earlier run is taken over."""
    earlier, made = rows.earlier(lake, kind.table, recipe), _Made()
    for spec in models:
        try:
            _score_model(lake, recipe, spec, wanted, kind, config, folder, loaded, progress, earlier, made)
        except WeightsMissing as error:
            if spec.provenance != "other":
                raise
            made.rows = [row for row in made.rows if row["model"] != spec.name]
            made.rows += [row for _, index in wanted for row in rows_without(kind, spec, index, str(error))]
    return made


def _score_model(
    lake: Lake,
    recipe: str,
    spec: ModelSpec,
    wanted: Sequence[tuple[TaskSource, TaskIndex]],
    kind: ScoreTable,
    config: EvalConfig,
    folder: Path,
    loaded: Models,
    progress: Progress,
    earlier: pl.DataFrame,
    made: _Made,
) -> None:
    """One model on every task, into ``made``."""
    model_digest = loaded.digest(spec)
    for source, index in wanted:
        task = source.task
        key = score_key(model_digest, index, config)
        old = rows.with_key(earlier, spec, task, key)
        if old is not None and kind.kept(folder, old):
            made.rows += old
            made.reused += 1
            made.rejects.setdefault(task.name, rows.earlier_rejects(lake, kind.table, recipe, task))
            continue
        cache = lake.root / "scores" / "features"
        scores = kind.score(source, index, loaded.encoder(spec), cache, config, progress)
        made.rejects[task.name] = scores.index.rejects
        made.rows += kind.rows(rows.identity(spec, scores.index, model_digest, key), scores)
        kind.write(folder, spec, scores)
