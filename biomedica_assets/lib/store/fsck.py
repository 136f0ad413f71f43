"""Every byte of a data directory against what was written, and a mark on each partition that is damaged.

A glance (``damage.py``) sees sizes and times; a bit that fell over leaves both as they were. Here every file that a
manifest names is hashed, and every object of the mirror that a table names. A damaged partition gets a mark beside its
manifest, which ``stale`` reads as a reason and which goes when the partition is made again.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import functools
import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.progress import SILENT, Progress
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.store.damage import MARK, wrong_bytes
from biomedica_assets.lib.store.lake import MANIFEST, Lake
from biomedica_assets.lib.store.owners import Owner
from biomedica_assets.lib.tables import ARTICLE_XML, IMAGES, TABLES

READERS = 4
"""Files hashed at once: one core hashes about 1 GB/s, and hashing lets other threads run."""


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """One file that is not what was written.

    Attributes:
        path: below the data directory.
        what: what is wrong with it.
        owner: the partition that has to be made again; None for what nothing in the graph makes.
    """

    path: str
    what: str
    owner: Owner | None


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """What a check of everything found: the faults, and how many files and bytes were read."""

    faults: tuple[Fault, ...]
    files: int
    bytes: int

    @property
    def partitions(self) -> list[Owner]:
        """Damaged partitions."""
        return sorted({fault.owner for fault in self.faults if fault.owner}, key=str)

    @property
    def lost(self) -> list[Fault]:
        """What cannot be made again from anything else."""
        return [fault for fault in self.faults if fault.owner is None]


@dataclasses.dataclass(frozen=True, slots=True)
class _Task:
    path: str
    bytes: int
    check: Callable[[], str | None]
    owner: Owner | None


def check(lake: Lake, progress: Progress = SILENT) -> Found:
    """Hash everything, mark what is damaged, and take the mark from what is whole again.

    Args:
        lake: the data directory.
        progress: told of each file.
    """
    progress.start("hash", None, "files")
    faults: list[Fault] = []
    files = size = 0
    with concurrent.futures.ThreadPoolExecutor(READERS, thread_name_prefix="fsck") as pool:
        for task, answer in _answers(pool, _tasks(lake)):
            files, size = files + 1, size + task.bytes
            progress.advance()
            if answer:
                faults.append(Fault(task.path, answer, task.owner))
    progress.finish()
    found = Found(tuple(sorted(faults, key=lambda fault: fault.path)), files, size)
    _mark(lake, found)
    return found


def _answers(pool: concurrent.futures.Executor, tasks: Iterable[_Task]) -> Iterator[tuple[_Task, str | None]]:
    """Answers in the order of the tasks, of which only so many wait that memory does not grow."""
    running: deque[tuple[_Task, concurrent.futures.Future[str | None]]] = deque()
    for task in tasks:
        running.append((task, pool.submit(task.check)))
        if len(running) > 8 * READERS:
            first, future = running.popleft()
            yield first, future.result()
    for task, future in running:
        yield task, future.result()


def _tasks(lake: Lake) -> Iterator[_Task]:
    for table in TABLES.values():
        for key in [None] if table.partitioning == "none" else lake.partitions(table):
            owner = Owner(table.name, key)
            path = lake.path_below(lake.folder(table, key) / MANIFEST)
            try:
                manifest = lake.manifest(table, key)
            except StoreError as error:
                yield _Task(path, 0, lambda why=str(error): why, owner)
                continue
            for entry in manifest.stored if manifest else ():
                yield _Task(entry.path, entry.bytes, functools.partial(wrong_bytes, lake.root, entry), owner)
    yield from _mirror(lake)
    yield from _votes(lake)


def _mirror(lake: Lake) -> Iterator[_Task]:
    """Objects of the mirror: the source has them, so the partition that fetched them can be made again."""
    for table, column in ((ARTICLE_XML, "md5"), (IMAGES, "sha256")):
        for key in lake.partitions(table):
            try:
                rows = lake.read(table, key).select("path", column, "bytes").unique("path", maintain_order=True)
            except Exception:  # noqa: BLE001, S112 - the table itself is damaged, which is said already
                continue
            for path, digest, size in rows.iter_rows():
                wrong = functools.partial(_wrong_object, lake.root / path, digest, column)
                yield _Task(path, size, wrong, Owner(table.name, key))


def _wrong_object(path: Path, digest: str, kind: str) -> str | None:
    try:
        with path.open("rb") as handle:
            found = hashlib.file_digest(handle, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None if found == digest else f"has other bytes than were fetched ({kind} {found[:12]}…)"


def _votes(lake: Lake) -> Iterator[_Task]:
    """What people gave: nothing else holds it, so only that it can still be read is known."""
    for path in sorted((lake.root / "annotations" / "votes").glob("*.jsonl")):
        yield _Task(lake.path_below(path), path.stat().st_size, functools.partial(_unreadable_lines, path), None)


def _unreadable_lines(path: Path) -> str | None:
    bad: list[int] = []
    try:
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            try:
                if line.strip():
                    json.loads(line)
            except ValueError:
                bad.append(number)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    named = ", ".join(map(str, bad[:5]))
    return (
        f"has {len(bad):,} lines that are no votes (line {named}); only a copy of the file can mend that"
        if bad
        else None
    )


def _mark(lake: Lake, found: Found) -> None:
    by_owner: dict[Owner, list[Fault]] = {}
    for fault in found.faults:
        if fault.owner:
            by_owner.setdefault(fault.owner, []).append(fault)
    for table in TABLES.values():
        for folder in (lake.root / "tables" / table.name).glob("*/"):
            key = folder.name.partition("=")[2] or None
            mine = by_owner.get(Owner(table.name, key))
            if mine:
                lines = [f"{fault.path} {fault.what}" for fault in mine]
                atomic.write_bytes(folder / MARK, (json.dumps(lines, indent=1, ensure_ascii=False) + "\n").encode())
            else:
                (folder / MARK).unlink(missing_ok=True)
    for fault in found.faults:
        if fault.path.startswith("mirror/"):
            # Its time vouches for it to whoever fetches; what is no longer believed is hashed, and fetched again.
            with contextlib.suppress(OSError):
                os.utime(lake.root / fault.path)
