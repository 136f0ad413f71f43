"""The test sets of a data directory: which tasks it knows, where their files lie, what they hold now.

Below ``<data directory>/tasks``: a folder per suite with its files; ``<name>.yaml``, suites of your own in the format
of ``lib/evaluate/suites``; ``places.yaml``, which names the folders of suites or tasks that lie elsewhere; ``held_out``
with labels of your own for held-out images (see ``evaluation``).
Does not belong here: reading the files (``lib.evaluate.adapters``).
"""

import dataclasses
import itertools
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from biomedica_assets.lib.errors import PermanentFailure, Reject
from biomedica_assets.lib.evaluate import retrieval_stage, zero_shot_stage
from biomedica_assets.lib.evaluate.adapters.opening import TaskRoots, TaskStatus, open_task, task_status
from biomedica_assets.lib.evaluate.encoder import UNDECODABLE, decode
from biomedica_assets.lib.evaluate.registry import load_registry
from biomedica_assets.lib.evaluate.task import Item, Task, TaskSource, item_fault
from biomedica_assets.lib.evaluate.versions import versions
from biomedica_assets.lib.store.manifest import digest
from biomedica_assets.lib.weights import one_line
from biomedica_assets.settings import Settings

PLACES = "places.yaml"
HELD_OUT = "held_out"
LOOKED_AT = 50
"""Items that are read before a task whose files are there is called ready."""
KINDS = retrieval_stage.KINDS | zero_shot_stage.KINDS


def folder(settings: Settings) -> Path:
    """Where a data directory keeps what belongs to its tasks."""
    return settings.data_dir.absolute() / "tasks"


def registry(settings: Settings) -> dict[str, Task]:
    """Task name -> task: those that ship with the package and those of the data directory's own suites."""
    own = sorted(path for path in folder(settings).glob("*.yaml") if path.name != PLACES)
    return load_registry(own)


def statuses(settings: Settings) -> list[TaskStatus]:
    """Readiness of every task, suite by suite."""
    tasks = registry(settings)
    return task_status(tasks.values(), TaskRoots(folder(settings), _places(folder(settings) / PLACES, tasks)))


def checked(settings: Settings) -> list[TaskStatus]:
    """Readiness of every task, of which those that have their files are opened and read until an item can be used."""
    return [
        dataclasses.replace(status, ready=False, missing=f"its files are there, but {fault}")
        if status.ready and (fault := _fault(settings, status.task))
        else status
        for status in statuses(settings)
    ]


def _fault(settings: Settings, task: Task) -> str | None:
    """Why none of the first items of a task can be used; None if one can."""
    roots = TaskRoots(folder(settings), _places(folder(settings) / PLACES, registry(settings)))
    try:
        for source in open_task(task, roots):
            found = itertools.islice(source.read(), LOOKED_AT)
            if not any(_usable(source.task, item) for item in found):
                return f"none of the first {LOOKED_AT} items of {source.task.name} can be used"
    except (PermanentFailure, OSError, ValueError) as error:
        return f"they cannot be read: {one_line(error)}"
    return None


def _usable(task: Task, item: Item | Reject) -> bool:
    if isinstance(item, Reject) or item_fault(task, item) is not None:
        return False
    try:
        return decode(item.image).width > 0
    except UNDECODABLE:
        return False


def ready(settings: Settings) -> list[TaskSource]:
    """Tasks whose files are on this machine."""
    tasks = registry(settings)
    roots = TaskRoots(folder(settings), _places(folder(settings) / PLACES, tasks))
    found = (status.task for status in task_status(tasks.values(), roots) if status.ready)
    return [source for task in found for source in open_task(task, roots)]


def recorded(settings: Settings, kinds: Collection[str] = KINDS) -> dict[str, str]:
    """What manifests record of the test sets on this machine, so that a new or changed one makes them stale.

    Args:
        settings: of the data directory.
        kinds: only tasks of these kinds.

    Returns:
        ``test set <task>`` -> version, or the error why it cannot be read.
    """
    memory = settings.data_dir.absolute() / "scores" / "test_sets.json"
    try:
        sources = [source for source in ready(settings) if source.task.kind in kinds]
    except PermanentFailure as error:
        return {"test sets": f"cannot be listed: {error}"}
    return {f"test set {name}": version for name, version in versions(sources, memory).items()}


def recorded_labels(settings: Settings) -> dict[str, str]:
    """The same of labels of your own: ``labels <task>`` -> digest of description and table."""
    return {
        f"labels {path.stem}": digest(*(_text(part) for part in (path, path.with_suffix(".csv"))))
        for path in held_out_files(settings.data_dir.absolute())
    }


def held_out_files(data_dir: Path) -> list[Path]:
    """Descriptions of tasks by labels of your own, by name."""
    return sorted((data_dir / "tasks" / HELD_OUT).glob("*.yaml"))


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _places(path: Path, tasks: Mapping[str, Task]) -> dict[str, Path]:
    """Suite or task -> folder; relative ones start at the file's folder.

    Raises:
        PermanentFailure: the file is not such a mapping, or names no suite or task.
    """
    try:
        raw: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (yaml.YAMLError, ValueError) as error:
        raise PermanentFailure(f"{path} is not YAML: {error}") from error
    if not isinstance(raw, dict):
        raise PermanentFailure(f"{path}: expected lines of the form `suite: folder`")
    given = {str(name): str(place) for name, place in cast("dict[Any, Any]", raw).items()}
    known = {task.suite for task in tasks.values()} | set(tasks)
    if strange := sorted(set(given) - known):
        raise PermanentFailure(f"{path}: {', '.join(strange)} is no suite or task; `biomedica tasks` lists them")
    return {name: path.parent / Path(place).expanduser() for name, place in given.items()}
