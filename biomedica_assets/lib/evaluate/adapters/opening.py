"""From a registered task to its files on this machine: what is there, what is missing, how to get it.

A task's files lie under ``<tasks folder>/<suite>/`` (or where the caller says a suite lies), or, for tasks on the
Hugging Face hub, in the local hub cache. Nothing is downloaded unless the caller allows it.
"""

from __future__ import annotations

import dataclasses
import importlib
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

from biomedica_assets.lib.errors import PermanentFailure, Reject
from biomedica_assets.lib.evaluate.adapters.folder import read_folder
from biomedica_assets.lib.evaluate.adapters.npz import read_npz
from biomedica_assets.lib.evaluate.adapters.parquet import distinct, read_parquet
from biomedica_assets.lib.evaluate.adapters.webdataset import read_webdataset
from biomedica_assets.lib.evaluate.task import Item, Task, TaskError, TaskSource


class TaskNotReady(PermanentFailure):
    """The files of a task are not on this machine; the message says which, and how to get them."""


_NO_PATTERN = (OSError, ValueError, IndexError, TypeError, NotImplementedError)
"""What ``Path.glob`` raises of a pattern it cannot follow: absolute, empty, with ``**`` inside a name, too long."""


@dataclasses.dataclass(frozen=True, slots=True)
class TaskStatus:
    """Whether a task can run here.

    Attributes:
        task: the task.
        ready: all files are there; ``test_sets.checked`` also reads them.
        found: the files or folders that were found.
        missing: what was looked for and not found, in words; empty if ready.
        how: how to get it: source, access, licence, where to put it.
        note: what is wrong with some of its items, though it is ready.
    """

    task: Task
    ready: bool
    found: tuple[Path, ...]
    missing: str = ""
    how: str = ""
    note: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class TaskRoots:
    """Where test sets lie.

    Attributes:
        folder: each suite has a folder of its name in it.
        suites: suite or task name -> folder, for those that lie elsewhere.
        allow_download: tasks on the hub may be fetched.
    """

    folder: Path
    suites: Mapping[str, Path] = dataclasses.field(default_factory=dict[str, Path])
    allow_download: bool = False

    def of(self, task: Task) -> Path:
        """Folder of a task's suite."""
        return self.suites.get(task.name) or self.suites.get(task.suite) or self.folder / task.suite


def task_status(tasks: Iterable[Task], roots: TaskRoots) -> list[TaskStatus]:
    """Readiness of each task, in the order given (``biomedica tasks`` prints it)."""
    return [_status(task, roots) for task in tasks]


def open_task(task: Task, roots: TaskRoots) -> list[TaskSource]:
    """The task with a reader; several if its files hold several tasks (``expand`` names the column that tells them).

    Raises:
        TaskNotReady: files are missing; the message says how to get them.
        TaskError: the description names no known adapter, or a file cannot be read.
    """
    status = _status(task, roots)
    if not status.ready:
        raise TaskNotReady(f"task {task.name} is not ready: {status.missing}. {status.how}")
    paths = list(status.found)
    if column := task.source.get("expand"):
        try:
            names = distinct(task, paths, str(column))
        except (OSError, ValueError) as error:  # damage behind the footer; ArrowInvalid is a ValueError
            raise TaskError(f"task {task.name}: {paths[0].parent} cannot be read ({error}); get it again") from error
        left_out, taken = set(task.source.get("leave_out", ())), set[str]()
        return [_reader(_part(task, str(column), value, taken), paths) for value in names if value not in left_out]
    return [_reader(task, paths)]


def _part(task: Task, column: str, value: str, taken: set[str]) -> Task:
    plain = re.sub(r"[^a-z0-9_]+", "_", value.lower()).strip("_") or "unnamed"
    slug = next(s for s in itertools.chain([plain], (f"{plain}_{n}" for n in itertools.count(2))) if s not in taken)
    taken.add(slug)
    source = {**task.source, "where": {**task.source.get("where", {}), column: value}}
    del source["expand"]
    return dataclasses.replace(
        task,
        name=f"{task.name}.{slug}",
        title=f"{task.title}: {value}",
        domain=task.source.get("domains", {}).get(value, task.domain),
        size=None,
        source=source,
    )


def open_or_name(task: Task, roots: TaskRoots) -> list[TaskSource]:
    """As ``open_task``; a task that cannot be opened is a source whose reading says so."""
    try:
        return open_task(task, roots)
    except PermanentFailure as error:
        return [unreadable(task, str(error))]


def unreadable(task: Task, why: str, files: Iterable[Path] = ()) -> TaskSource:
    """A source in place of a test set that cannot be read: reading it raises ``TaskError``."""

    def read() -> Iterator[Item | Reject]:
        raise TaskError(why)

    return TaskSource(task, read, tuple(files))


def _reader(task: Task, paths: list[Path]) -> TaskSource:
    adapter, files = task.source.get("adapter"), tuple(paths)
    read: Callable[[], Iterator[Item | Reject]]
    if adapter == "folder":
        read = partial(read_folder, task, paths[0])
    elif adapter == "npz":
        read = partial(read_npz, task, paths[0])
    elif adapter == "parquet":
        read = partial(read_parquet, task, paths)
    elif adapter == "webdataset":
        read = partial(read_webdataset, task, paths)
    else:
        raise TaskError(f"task {task.name}: adapter {adapter!r} is none of folder, npz, parquet, webdataset")
    return TaskSource(task, lambda: _named(task, paths, read), files)


def _named(task: Task, paths: Sequence[Path], read: Callable[[], Iterator[Item | Reject]]) -> Iterator[Item | Reject]:
    """What a reader gives; whatever ends it becomes a ``TaskError`` that names the task and its files.

    Each format's reader has errors of its own, and a broken file can raise any of them.
    """
    try:
        yield from read()
    except TaskError:
        raise
    except Exception as error:
        where = f"{paths[0]}" if len(paths) == 1 else f"{paths[0].parent} ({len(paths)} files)"
        raise TaskError(f"task {task.name}: {where} cannot be read ({type(error).__name__}: {error})") from error


def _status(task: Task, roots: TaskRoots) -> TaskStatus:
    root = roots.of(task)
    try:
        found = _local(task, root)
    except _NO_PATTERN as error:
        said = f"its path {task.source.get('path')!r} cannot be looked for in {root} ({type(error).__name__}: {error})"
        return TaskStatus(task, False, (), said, _how(task, root))
    if not found and task.source.get("hub"):
        try:
            found = _hub(task, roots.allow_download)
        except (OSError, ValueError, LookupError, TypeError) as error:  # what it names is no repository with files
            said = f"its hub {task.source['hub']!r} cannot be looked for ({type(error).__name__}: {error})"
            return TaskStatus(task, False, (), said, _how(task, root))
    if found:
        return TaskStatus(task, True, tuple(found))
    wanted = _wanted(task)
    missing = f"no {' or '.join(wanted)} in {root}"
    if hub := task.source.get("hub"):
        missing += f", and {hub['repo']} is not in the Hugging Face cache"
    return TaskStatus(task, False, (), missing, _how(task, root))


def _how(task: Task, root: Path) -> str:
    licence = task.licence or "licence not found, ask the source"
    parts = [f"Get it from {task.get or 'a source that was not found'} ({task.access}; {licence})"]
    if task.layout:
        parts.append(f"Layout: {task.layout}")
    parts.append(f"Put it in {root}")
    if task.source.get("hub"):
        parts.append("or allow downloads")
    return "; ".join(parts) + "."


def _wanted(task: Task) -> list[str]:
    names = _paths(task)
    if task.source.get("adapter") == "folder":
        mark = task.source.get("csv") or (task.classes[0].value or task.classes[0].name if task.classes else "")
        return [f"{name}/{mark}" for name in names]
    return names


def _paths(task: Task) -> list[str]:
    """Alternatives of ``path`` in the order of preference."""
    path: Any = task.source.get("path", ".")
    return [str(p) for p in cast("list[Any]", path)] if isinstance(path, list) else [str(path)]


def _local(task: Task, root: Path) -> list[Path]:
    """Files of the first alternative of ``path`` that exists below ``root``."""
    for name in _paths(task):
        if task.source.get("adapter") == "folder":
            folder = root / name
            mark = task.source.get("csv")
            marks = [mark] if mark else [c.value or c.name for c in task.classes]
            if any((folder / str(m)).exists() for m in marks):
                return [folder]
        elif files := sorted(p for p in root.glob(name) if p.is_file()):
            return files
    return []


def _hub(task: Task, allow_download: bool) -> list[Path]:
    """Files of a hub dataset, from the cache unless downloads are allowed; empty if they are not there."""
    hub = task.source["hub"]
    if not allow_download and not _cached(hub["repo"]):
        return []
    missing: Any = importlib.import_module("huggingface_hub.errors").LocalEntryNotFoundError
    download: Any = importlib.import_module("huggingface_hub").snapshot_download
    try:
        folder = download(
            hub["repo"],
            repo_type="dataset",
            revision=hub.get("revision"),
            allow_patterns=[hub["files"]],
            local_files_only=not allow_download,
        )
    except missing:
        return []
    return sorted(Path(folder).glob(hub["files"]))


def _cached(repo: str) -> bool:
    """Whether anything of a hub dataset is in the cache: asked for each task each time, so without the hub's client."""
    cache: Any = importlib.import_module("huggingface_hub.constants").HF_HUB_CACHE
    return (Path(cache) / f"datasets--{repo.replace('/', '--')}").is_dir()
