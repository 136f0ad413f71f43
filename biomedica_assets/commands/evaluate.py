"""Commands around evaluation: which tasks can run on this machine, and any model on them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from biomedica_assets import settings
from biomedica_assets.lib.errors import PermanentFailure

if TYPE_CHECKING:
    import polars as pl

    from biomedica_assets.lib.evaluate.task import TaskSource


def tasks(arguments: argparse.Namespace) -> int:
    """``biomedica tasks``: ready or not, and how to get what is missing."""
    from biomedica_assets import test_sets

    found = test_sets.checked(_settings(arguments))
    if arguments.task and arguments.task not in {status.task.name for status in found}:
        raise PermanentFailure(f"--task {arguments.task!r} is no task; `biomedica tasks` lists them")
    ready = [status for status in found if status.ready]
    for status in sorted(found, key=lambda s: (not s.ready, s.task.suite, s.task.name)):
        mark = "ready  " if status.ready else "missing"
        print(f"{mark} {status.task.name:32} {status.task.suite:14} {status.task.domain:16} {status.task.title}")
        if status.note and (arguments.how or arguments.task == status.task.name):
            print(f"        {status.note}")
        if not status.ready and (arguments.how or arguments.task == status.task.name):
            print(f"        {status.missing}\n        {status.how}")
    print(f"{len(ready)} of {len(found)} tasks are ready; --how says how to get the others")
    return 0


def evaluate(arguments: argparse.Namespace) -> int:
    """``biomedica evaluate``: models x ready tasks -> a table; without models: which are known by name."""
    import rich.console

    from biomedica_assets import evaluation, test_sets
    from biomedica_assets.console import bar
    from biomedica_assets.lib.evaluate.any_model import score_models
    from biomedica_assets.lib.evaluate.models import known_models, parse_model

    if not arguments.models:
        for name, model in known_models().items():
            print(f"{name:20} {model.title}\n{'':20} {model.get}; licence: {model.licence or 'not stated'}")
        return 0
    values = _settings(arguments)
    if arguments.csv and not arguments.csv.absolute().parent.is_dir():
        raise PermanentFailure(
            f"--csv {arguments.csv}: there is no folder {arguments.csv.absolute().parent}; make it first"
        )
    models = [parse_model(text) for text in arguments.models]
    sources = _chosen(test_sets.ready(values), arguments.task)
    with bar(rich.console.Console(stderr=True)) as progress:
        found = score_models(
            models,
            sources,
            values.data_dir.absolute() / "scores" / "features",
            config=evaluation.config(values),
            progress=progress,
        )
    if arguments.csv:
        found.write_csv(arguments.csv)
    _print(found)
    return 0


def _settings(arguments: argparse.Namespace) -> settings.Settings:
    """Settings; a data directory that was named must be there, none need be: tasks and models are known without."""
    values = settings.load(data_dir=arguments.data_dir)
    if arguments.data_dir is not None:
        settings.require_data(values)
    return values


def _chosen(ready: list[TaskSource], wanted: list[str] | None) -> list[TaskSource]:
    names = {source.task.name for source in ready}
    if missing := sorted(set(wanted or ()) - names):
        raise PermanentFailure(
            f"no files here for {', '.join(missing)}; `biomedica tasks --task {missing[0]}` says how to get them"
        )
    if not ready:
        raise PermanentFailure("no task has its files on this machine; `biomedica tasks --how` says how to get them")
    return [source for source in ready if not wanted or source.task.name in wanted]


def _count(row: dict[str, Any]) -> str:
    """How many items; of retrieval images and texts, since an image may have several."""
    if row["n_texts"] is None:
        return f"{row['n']:,}"
    return f"{row['n_images']:,} images, {row['n_texts']:,} texts"


def _print(found: pl.DataFrame) -> None:
    """The primary metric of each task, in percent with its 95 % interval; what was left out, with the reason."""
    import rich.box
    import rich.console
    import rich.table

    table = rich.table.Table("task", "metric", "model", "%", "95 %", "chance", "n", box=rich.box.SIMPLE_HEAD)
    for column in table.columns[:3]:
        column.overflow = "fold"
    for row in found.filter("primary").sort("task", "direction", "value", descending=[False, False, True]).to_dicts():
        metric = " ".join(filter(None, (row["metric"], row["direction"]))).replace("_", " ")
        if row["value"] is None:
            table.add_row(row["task"], metric, row["model"], row["status"], row["reason"], "", "")
            continue
        percent = [f"{100 * row[c]:.1f}" if row[c] is not None else "" for c in ("value", "low", "high", "chance")]
        table.add_row(
            row["task"], metric, row["model"], percent[0], f"{percent[1]} to {percent[2]}", percent[3], _count(row)
        )
    rich.console.Console().print(table)
