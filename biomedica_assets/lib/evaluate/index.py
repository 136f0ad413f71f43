"""One pass over a task's files: which items can be scored, what each is, and digests of the data.

The image digests make the cache key of the features and the groups of the bootstrap; the data digest changes when any
image, answer, option, caption or group does.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from biomedica_assets.lib.errors import BiomedicaError, Reject, RejectReason
from biomedica_assets.lib.evaluate.adapters.common import reject
from biomedica_assets.lib.evaluate.task import Image, Item, Task, TaskSource, item_fault
from biomedica_assets.lib.store.manifest import digest
from biomedica_assets.lib.weights import one_line


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """An item without its image: the image is known by its digest (see ``image_digest``)."""

    item_id: str
    sha256: str
    answer: int | None
    label: str | None
    labels: tuple[int, ...]
    options: tuple[str, ...]
    captions: tuple[str, ...]
    group: str | None
    where: str = ""

    def facts(self) -> str:
        """What decides scores; where the item stands does not."""
        return repr(dataclasses.astuple(self)[:-1])


@dataclasses.dataclass(frozen=True, slots=True)
class TaskIndex:
    """What a pass over a task found.

    Attributes:
        task: the task.
        entries: items that can be scored, in the order of the data.
        rejects: items that cannot, with the reason.
        images: digests of the distinct images, in order of first appearance.
        image_set: digest of ``images``: the dataset's part of the feature cache key.
        data: digest of everything that decides the score besides the model.
        fault: why the whole test set cannot be read, then it has one reject and nothing else; None if it can.
    """

    task: Task
    entries: tuple[Entry, ...]
    rejects: tuple[Reject, ...]
    images: tuple[str, ...]
    image_set: str
    data: str
    fault: str | None = None

    @property
    def n_in(self) -> int:
        """Items seen."""
        return len(self.entries) + len(self.rejects)

    @property
    def n_texts(self) -> int:
        """Texts of all items (retrieval)."""
        return sum(len(e.captions) for e in self.entries)

    def groups(self) -> list[str]:
        """Group of each entry: the patient (or what the data call a group) where known, else the image."""
        return [f"g:{e.group}" if e.group is not None else f"i:{e.sha256}" for e in self.entries]


def index_or_fault(source: TaskSource) -> TaskIndex:
    """As ``index_task``; a test set that cannot be read gives an index without entries that says why."""
    try:
        return index_task(source)
    except (BiomedicaError, OSError) as error:
        why = f"cannot be read: {one_line(error, 1000)}"
        left_out = reject(source.task, source.task.name, why, RejectReason.TASK_UNREADABLE)
        return TaskIndex(source.task, (), (left_out,), (), digest(), digest("unreadable", why), why)


def index_task(source: TaskSource) -> TaskIndex:
    """Read a task once.

    In retrieval, items with the same picture are one image with the texts of them all, so that no picture competes
    with itself; the first one's id and group stand.

    Raises:
        TaskError: the files are not what the task's description says.
    """
    entries: list[Entry] = []
    rejects: list[Reject] = []
    seen: dict[str, str] = {}
    texts: dict[tuple[str, ...], tuple[str, ...]] = {}  # options repeat from item to item: hold each tuple once
    pairs = source.task.kind == "retrieval"
    for item in source.read():
        if isinstance(item, Reject):
            rejects.append(item)
            continue
        if problem := item_fault(source.task, item):
            rejects.append(reject(source.task, item.item_id, problem, where=item.where))
            continue
        try:
            sha = image_digest(item.image)
        except OSError as error:
            message = f"cannot be read: {error.strerror or error}"
            rejects.append(reject(source.task, item.item_id, message, RejectReason.OBJECT_MISSING, where=item.where))
            continue
        if item.item_id in seen and not (pairs and seen[item.item_id] == sha):
            rejects.append(reject(source.task, item.item_id, f"item id {item.item_id} appears twice", where=item.where))
            continue
        seen[item.item_id] = sha
        options = texts.setdefault(item.options, item.options)
        captions = tuple(c for c in item.captions if c.strip())
        entries.append(
            Entry(item.item_id, sha, item.answer, item.label, item.labels, options, captions, item.group, item.where)
        )
    if pairs:
        entries = _one_per_picture(entries)
    images = tuple(dict.fromkeys(e.sha256 for e in entries))
    facts = (e.facts() for e in entries)
    return TaskIndex(
        source.task,
        tuple(entries),
        tuple(rejects),
        images,
        digest(*images),
        digest(*facts, *(f"{r.subject}:{r.reason}" for r in rejects)),
    )


def _one_per_picture(entries: Sequence[Entry]) -> list[Entry]:
    texts: dict[str, list[str]] = {}
    for entry in entries:
        texts.setdefault(entry.sha256, []).extend(entry.captions)
    first = {entry.sha256: entry for entry in reversed(entries)}
    return [dataclasses.replace(first[sha], captions=tuple(every)) for sha, every in texts.items()]


def image_digest(image: Image) -> str:
    """SHA-256 of the file's bytes; of shape and pixels where the data are pixels."""
    if isinstance(image, bytes):
        return hashlib.sha256(image).hexdigest()
    if isinstance(image, Path):
        with image.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    state = hashlib.sha256(repr(image.shape).encode())
    state.update(np.ascontiguousarray(image).data)
    return state.hexdigest()


def distinct_images(source: TaskSource, index: TaskIndex) -> Iterator[tuple[str, Image]]:
    """Each distinct image of the index once, with its digest, in the order of ``index.images``."""
    wanted = {e.item_id: e.sha256 for e in index.entries}
    done: set[str] = set()
    for item in source.read():
        if isinstance(item, Item) and (sha := wanted.get(item.item_id)) and sha not in done:
            done.add(sha)
            yield sha, item.image


def keep(index: TaskIndex, bad: dict[str, Reject]) -> TaskIndex:
    """The index without the items whose image turned out bad (digest -> why)."""
    if not bad:
        return index
    left = tuple(e for e in index.entries if e.sha256 not in bad)
    why = tuple(
        reject(index.task, e.item_id, bad[e.sha256].message, bad[e.sha256].reason, where=e.where)
        for e in index.entries
        if e.sha256 in bad
    )
    return dataclasses.replace(index, entries=left, rejects=index.rejects + why)


def texts_of(entries: Sequence[Entry]) -> list[str]:
    """The distinct option texts of closed-VQA entries, in order of first appearance."""
    return list(dict.fromkeys(option for e in entries for option in e.options))
