"""The test sets of a data directory: which tasks it knows, where their files lie, what they hold now.

Below ``<data directory>/tasks``: a folder per suite with its files; ``<name>.yaml``, suites of your own in the format
of ``lib/evaluate/suites``; ``places.yaml``, which names the folders of suites or tasks that lie elsewhere; ``held_out``
with labels of your own for held-out images (see ``evaluation``).
Does not belong here: reading the files (``lib.evaluate.adapters``).
"""

import dataclasses
import itertools
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import yaml

from biomedica_assets.lib.errors import BiomedicaError, PermanentFailure, Reject, RejectReason
from biomedica_assets.lib.evaluate import retrieval_stage, zero_shot_stage
from biomedica_assets.lib.evaluate.adapters.common import reject
from biomedica_assets.lib.evaluate.adapters.opening import (
    TaskRoots,
    TaskStatus,
    open_or_name,
    open_task,
    task_status,
    unreadable,
)
from biomedica_assets.lib.evaluate.adapters.wholeness import whole
from biomedica_assets.lib.evaluate.encoder import UNDECODABLE, decode
from biomedica_assets.lib.evaluate.registry import add_suite, load_registry
from biomedica_assets.lib.evaluate.task import Image, Item, Task, TaskSource, item_fault
from biomedica_assets.lib.evaluate.versions import versions
from biomedica_assets.lib.store.manifest import digest
from biomedica_assets.lib.weights import one_line
from biomedica_assets.settings import Settings

PLACES = "places.yaml"
HELD_OUT = "held_out"
LOOKED_AT = 50
"""Items that are read before a task whose files are there is called ready."""
MOST_UNUSABLE = 0.5
"""Share of those items that may be left out: a set with some bad rows is scored without them."""
KINDS = retrieval_stage.KINDS | zero_shot_stage.KINDS


def folder(settings: Settings) -> Path:
    """Where a data directory keeps what belongs to its tasks."""
    return settings.data_dir.absolute() / "tasks"


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """A description of test sets that cannot be read: a suite of your own, ``places.yaml``, labels of your own.

    Attributes:
        path: the file.
        why: what is wrong with it.
    """

    path: Path
    why: str

    @property
    def task(self) -> Task:
        """A task in place of those it may describe, so that it is named wherever tasks are."""
        stem = re.sub(r"[^a-z0-9]+", "-", self.path.name.lower()).strip("-") or "unnamed"
        return Task(f"file.{stem}", "tasks", self.path.name, "closed_vqa", "unknown", None, (), "accuracy")

    def source(self) -> TaskSource:
        """It, as a test set that cannot be read."""
        return unreadable(self.task, self.why, [self.path])

    def status(self) -> TaskStatus:
        """It, as a task that is not ready."""
        return TaskStatus(self.task, False, (), self.why, f"Mend {self.path}.")


def registry(settings: Settings) -> dict[str, Task]:
    """Task name -> task: those that ship with the package and those of the data directory's own suites.

    Suites of your own that cannot be read are left out; ``statuses``, ``ready`` and ``recorded`` name them.
    """
    return _tasks(settings)[0]


def _tasks(settings: Settings) -> tuple[dict[str, Task], list[Fault]]:
    tasks, faults = load_registry(), list[Fault]()
    for path in sorted(path for path in folder(settings).glob("*.yaml") if path.name != PLACES):
        try:
            add_suite(tasks, path)
        except PermanentFailure as error:
            faults.append(Fault(path, str(error)))
    return tasks, faults


def _found(settings: Settings) -> tuple[dict[str, Task], TaskRoots, list[Fault]]:
    """The tasks, where their files lie, and what cannot be read of the descriptions of either."""
    tasks, faults = _tasks(settings)
    path = folder(settings) / PLACES
    try:
        places = _places(path)
    except PermanentFailure as error:
        return tasks, TaskRoots(folder(settings)), [*faults, Fault(path, str(error))]
    known = {task.suite for task in tasks.values()} | set(tasks)
    if not faults and (strange := sorted(set(places) - known)):
        why = f"{path}: {', '.join(strange)} is no suite or task; `biomedica tasks` lists them"
        faults.append(Fault(path, why))
    return tasks, TaskRoots(folder(settings), places), faults


def statuses(settings: Settings) -> list[TaskStatus]:
    """Readiness of every task, suite by suite; suites of your own that cannot be read are not ready.

    Raises:
        PermanentFailure: ``places.yaml`` cannot be meant.
    """
    if fault := next((f for f in _found(settings)[2] if f.path.name == PLACES), None):
        raise PermanentFailure(fault.why)
    return all_statuses(settings)


def all_statuses(settings: Settings) -> list[TaskStatus]:
    """As ``statuses``; a ``places.yaml`` that cannot be meant is one more that is not ready."""
    tasks, roots, faults = _found(settings)
    return [*task_status(tasks.values(), roots), *(fault.status() for fault in faults)]


def checked(settings: Settings, found: Sequence[TaskStatus] | None = None) -> list[TaskStatus]:
    """Readiness of every task; those that have their files are looked at whole, and their first items are read.

    A task of which more than half of those items cannot be used is not ready; what is wrong with fewer is its note.

    Args:
        settings: of the data directory.
        found: the tasks with what is there of them; None for ``statuses``.
    """
    roots = _found(settings)[1]
    given = statuses(settings) if found is None else found
    return [_checked(status, roots) if status.ready else status for status in given]


def _checked(status: TaskStatus, roots: TaskRoots) -> TaskStatus:
    try:
        whole(status.task, status.found)
        told = [note for source in open_task(status.task, roots) if (note := _note(source))]
    except (PermanentFailure, OSError, ValueError) as error:
        missing = f"its files are there, but they cannot be read: {one_line(error)}"
        return dataclasses.replace(status, ready=False, missing=missing)
    if most := next((words for words, share in told if share > MOST_UNUSABLE), None):
        return dataclasses.replace(status, ready=False, missing=f"its files are there, but {most}")
    return dataclasses.replace(status, note=told[0][0] if told else "")


def _note(source: TaskSource) -> tuple[str, float] | None:
    """How many of the first items of a task cannot be used, in words with the first reason, and as a share."""
    items = list(itertools.islice(source.read(), LOOKED_AT))
    faults = [fault for item in items if (fault := _unusable(source.task, item))]
    if not items:
        return f"{source.task.name} has no items", 1.0
    if not faults:
        return None
    words = (
        f"{len(faults)} of the first {len(items)} items of {source.task.name} cannot be used; the first: {faults[0]}"
    )
    return words, len(faults) / len(items)


def _unusable(task: Task, item: Item | Reject) -> str | None:
    """Why an item cannot be scored; None if it can."""
    if isinstance(item, Reject):
        return item.message
    if fault := item_fault(task, item):
        return f"{item.where}: {fault}"
    try:
        decode(item.image)
    except UNDECODABLE as error:
        return f"{item.where}: its picture cannot be decoded ({one_line(error)})"
    return None


def ready(settings: Settings) -> list[TaskSource]:
    """Tasks whose files are on this machine.

    One that cannot be opened, and a description that cannot be read, is a source whose reading says so: whoever goes
    through the sources names it and goes on with the next.
    """
    tasks, roots, faults = _found(settings)
    found = (status.task for status in task_status(tasks.values(), roots) if status.ready)
    return [*(source for task in found for source in open_or_name(task, roots)), *(fault.source() for fault in faults)]


def recorded(settings: Settings, kinds: Collection[str] = KINDS) -> dict[str, str]:
    """What manifests record of the test sets on this machine, so that a new or changed one makes them stale.

    Args:
        settings: of the data directory.
        kinds: only tasks of these kinds.

    Returns:
        ``test set <task>`` -> version, or the error why it cannot be read.
    """
    memory = settings.data_dir.absolute() / "scores" / "test_sets.json"
    sources = [source for source in ready(settings) if source.task.kind in kinds]
    return {f"test set {name}": version for name, version in versions(sources, memory).items()}


def images(settings: Settings) -> Iterator[tuple[str, str, Image] | Reject]:
    """Task, item and picture of every test set on this machine, each item once; a set that cannot be read as a reject.

    What is wrong with single items is told where they are scored.
    """
    for source in ready(settings):
        seen: set[str] = set()
        try:
            for item in source.read():
                if isinstance(item, Item) and item.item_id not in seen and not item_fault(source.task, item):
                    seen.add(item.item_id)
                    yield source.task.name, item.item_id, item.image
        except (BiomedicaError, OSError) as error:
            why = f"cannot be read, so the corpus is not compared with it: {one_line(error, 1000)}"
            yield reject(source.task, source.task.name, why, RejectReason.TASK_UNREADABLE)


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
    """What stands in a file; bytes that are not UTF-8 as escapes, so that any change changes it."""
    try:
        return path.read_bytes().decode("utf-8", "backslashreplace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _places(path: Path) -> dict[str, Path]:
    """Suite or task -> folder; relative ones start at the file's folder.

    Raises:
        PermanentFailure: the file is not such a mapping.
    """
    try:
        raw: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (yaml.YAMLError, ValueError) as error:
        raise PermanentFailure(f"{path} is not YAML: {error}") from error
    except OSError as error:
        raise PermanentFailure(f"{path} cannot be read: {error.strerror}") from error
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise PermanentFailure(f"{path}: expected lines of the form `suite: folder`")
    given = {str(name): str(place) for name, place in cast("dict[Any, Any]", raw).items()}
    return {name: path.parent / Path(place).expanduser() for name, place in given.items()}
