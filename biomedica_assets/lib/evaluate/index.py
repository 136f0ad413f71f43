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

from biomedica_assets.lib.errors import Reject, RejectReason
from biomedica_assets.lib.evaluate.adapters.common import reject
from biomedica_assets.lib.evaluate.task import Image, Item, Task, TaskSource, item_fault
from biomedica_assets.lib.store.manifest import digest


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
    """

    task: Task
    entries: tuple[Entry, ...]
    rejects: tuple[Reject, ...]
    images: tuple[str, ...]
    image_set: str
    data: str

    @property
    def n_in(self) -> int:
        """Items seen."""
        return len(self.entries) + len(self.rejects)

    def groups(self) -> list[str]:
        """Group of each entry: the patient (or what the data call a group) where known, else the image."""
        return [f"g:{e.group}" if e.group is not None else f"i:{e.sha256}" for e in self.entries]


def index_task(source: TaskSource) -> TaskIndex:
    """Read a task once.

    Raises:
        TaskError: the files are not what the task's description says.
    """
    entries: list[Entry] = []
    rejects: list[Reject] = []
    seen: set[str] = set()
    texts: dict[tuple[str, ...], tuple[str, ...]] = {}  # options repeat from item to item: hold each tuple once
    for item in source.read():
        if isinstance(item, Reject):
            rejects.append(item)
            continue
        problem = f"item id {item.item_id} appears twice" if item.item_id in seen else item_fault(source.task, item)
        if problem:
            rejects.append(reject(source.task, item.item_id, problem))
            continue
        try:
            sha = image_digest(item.image)
        except OSError as error:
            message = f"cannot be read: {error.strerror or error}"
            rejects.append(reject(source.task, item.item_id, message, RejectReason.OBJECT_MISSING))
            continue
        seen.add(item.item_id)
        options = texts.setdefault(item.options, item.options)
        captions = tuple(c for c in item.captions if c.strip())
        entries.append(Entry(item.item_id, sha, item.answer, item.label, item.labels, options, captions, item.group))
    images = tuple(dict.fromkeys(e.sha256 for e in entries))
    facts = (repr(dataclasses.astuple(e)) for e in entries)
    return TaskIndex(
        source.task,
        tuple(entries),
        tuple(rejects),
        images,
        digest(*images),
        digest(*facts, *(f"{r.subject}:{r.reason}" for r in rejects)),
    )


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
        dataclasses.replace(bad[e.sha256], article_id=index.task.name, subject=e.item_id)
        for e in index.entries
        if e.sha256 in bad
    )
    return dataclasses.replace(index, entries=left, rejects=index.rejects + why)


def texts_of(entries: Sequence[Entry]) -> list[str]:
    """The distinct option texts of closed-VQA entries, in order of first appearance."""
    return list(dict.fromkeys(option for e in entries for option in e.options))
