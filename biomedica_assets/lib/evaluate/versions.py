"""What each test set holds now, as a version: it changes when an image, answer, option, caption or class does.

Reading test sets whole takes minutes where they are large, and staleness is asked for often; so the version is kept
with the stamps (path, size, times, inode) of the files it was read from, and read anew when a stamp differs. A stamp
that changes while the content does not changes no version.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.evaluate.index import index_task
from biomedica_assets.lib.evaluate.task import Task, TaskSource
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.store.manifest import digest

FORMAT = "2"
SETTLED = 2.0
"""Seconds: a file changed less than this ago may change again within one tick of the file system's clock (4 ms on ext4,
2 s on FAT) without its stamp telling, so its version is not kept."""


def versions(sources: Sequence[TaskSource], memory: Path, *, now: float | None = None) -> dict[str, str]:
    """Task name -> version of its test set.

    Args:
        sources: the tasks, with the files they read (``TaskSource.files``).
        memory: file that remembers versions by stamps; a damaged or missing one only costs time.
        now: seconds since the epoch, None for the clock.

    Returns:
        A test set that cannot be read has the error in place of a version, so what is made without it is current
        until it can be read.
    """
    known, now = _read(memory), time.time() if now is None else now
    made: dict[str, str] = {}
    keep = dict(known)
    for source in sources:
        name = source.task.name
        try:
            key, settled = _stamp(source, now - SETTLED)
            if (kept := known.get(name)) and kept[0] == key:
                made[name] = kept[1]
                continue
            made[name] = digest(index_task(source).data, _described(source.task))
        except (PermanentFailure, OSError) as error:
            made[name] = f"cannot be read: {error}"
            continue
        if settled:
            keep[name] = (key, made[name])
    if keep != known:
        with contextlib.suppress(OSError):  # a data directory that may only be read is read again each time
            atomic.write_bytes(memory, (json.dumps(keep, sort_keys=True, indent=1) + "\n").encode())
    return made


def _described(task: Task) -> str:
    """What of a task's description stands in its rows or shapes them; notes, sources and advice do not."""
    return repr((task.suite, task.title, task.kind, task.domain, task.modality, task.metric, task.classes))


def _stamp(source: TaskSource, before: float) -> tuple[str, bool]:
    """Digest of the description and of the stamps of all files, and whether none is younger than ``before``."""
    task, newest, parts = source.task, 0.0, list[str]()
    for path in _walk(source.files):
        found = path.stat()
        parts.append(f"{path}:{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}:{found.st_ino}")
        newest = max(newest, found.st_mtime, found.st_ctime)
    reading = repr((task.name, _described(task), sorted((k, repr(v)) for k, v in task.source.items())))
    return digest(FORMAT, reading, *parts), newest < before


def _walk(paths: Sequence[Path]) -> Iterator[Path]:
    """The files, and those below the folders, sorted; links to folders are not followed, as the readers refuse them."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for folder, below, names in os.walk(path):
            below.sort()
            yield from (Path(folder, name) for name in sorted(names) if Path(folder, name).exists())


def _read(memory: Path) -> Mapping[str, tuple[str, str]]:
    try:
        raw = json.loads(memory.read_bytes())
        return {str(name): (str(key), str(version)) for name, (key, version) in raw.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
