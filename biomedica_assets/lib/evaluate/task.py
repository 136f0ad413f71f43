"""What a test task is: its classes and captions, its items, and the rules an item must meet to be scored.

Belongs here: the plain values that the registry, the adapters and the scoring share. Reading files is ``adapters``,
reading the YAML is ``registry``, scoring is ``zero_shot`` and ``retrieval``.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from biomedica_assets.lib.errors import PermanentFailure, Reject

Kind = Literal["single_label", "multi_label", "closed_vqa", "retrieval"]
Metric = Literal["accuracy", "balanced_accuracy", "macro_auroc", "recall_at_1"]
KINDS: tuple[str, ...] = get_args(Kind)
METRICS: tuple[str, ...] = get_args(Metric)
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")
_NO_CHARACTER = re.compile("[\ud800-\udfff]")
Image = Path | bytes | NDArray[np.uint8]


class TaskError(PermanentFailure):
    """A task is described in a way that cannot be scored: the message names the suite file or the task."""


@dataclasses.dataclass(frozen=True, slots=True)
class TaskClass:
    """One class of a task.

    Attributes:
        name: what people call it.
        captions: caption options that stand for it; several are averaged to one text vector.
        negative_captions: captions that say it is absent; only multi-label tasks have them.
        value: how the data spell it; the name if they agree.
    """

    name: str
    captions: tuple[str, ...]
    negative_captions: tuple[str, ...] = ()
    value: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """One test task as the registry describes it.

    Attributes:
        name: key, [a-z0-9_.-].
        suite: name of the suite file.
        title: what people call it.
        kind: how an item is answered: one of the classes, each class on or off, one of the item's own options,
            or its caption among all captions.
        domain: field of medicine or biology.
        modality: how the images were made; None if the facts do not say.
        classes: classes in the order of the data; empty for closed_vqa and retrieval.
        metric: the number the task is compared by.
        size: number of test images by the task's source; None where it was not found.
        licence: licence of the data as its source states it; None where it was not found.
        access: open, registration, credentialed.
        get: where and how to get it.
        layout: where the files are expected, for people.
        source: how to read it: adapter and its options.
        references: key -> citation of the facts below.
        fact_sources: fact (classes, captions, size, ...) -> key of a reference, ``ours`` or ``not_found``.
        notes: what a reader of the scores must know.
    """

    name: str
    suite: str
    title: str
    kind: Kind
    domain: str
    modality: str | None
    classes: tuple[TaskClass, ...]
    metric: Metric
    size: int | None = None
    licence: str | None = None
    access: str = "open"
    get: str = ""
    layout: str = ""
    source: Mapping[str, Any] = dataclasses.field(default_factory=dict[str, Any])
    references: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    fact_sources: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be scored.

        Raises:
            TaskError: bad name, kind or metric; fewer than two classes where classes are needed; a class without
                captions; two classes with the same captions or value.
        """
        if faults := _faults(self):
            raise TaskError(f"task {self.name!r} of suite {self.suite!r}: " + "; ".join(faults))

    def class_index(self) -> dict[str, int]:
        """Spelling in the data -> position of the class; names and values both count."""
        found = {c.name: i for i, c in enumerate(self.classes)}
        return found | {c.value: i for i, c in enumerate(self.classes) if c.value is not None}


@dataclasses.dataclass(frozen=True, slots=True)
class Item:
    """One test item.

    Attributes:
        item_id: unique within the task.
        image: a file, encoded bytes, or pixels (height x width or height x width x 3, uint8).
        answer: index of the right class or option.
        label: name of the right class, where options differ from item to item.
        labels: multi-label truth per class: 1 present, 0 absent, -1 not known.
        options: the item's own caption options (closed_vqa).
        captions: the captions that belong to the image (retrieval).
        group: patient or other unit within which items are not independent; None if unknown.
        where: file and line, row or member it stands in, for messages; empty where there is none.
    """

    item_id: str
    image: Image
    answer: int | None = None
    label: str | None = None
    labels: tuple[int, ...] = ()
    options: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()
    group: str | None = None
    where: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class TaskSource:
    """A task with a way to read it.

    Attributes:
        task: the task.
        read: yields its items from the start, in a fixed order, every time.
        files: files and folders that ``read`` reads; empty where the items come from elsewhere.
    """

    task: Task
    read: Callable[[], Iterator[Item | Reject]]
    files: tuple[Path, ...] = ()


def item_fault(task: Task, item: Item) -> str | None:
    """Why an item cannot be scored under its task, None if it can.

    A right answer must exist and be distinguishable: with one option, or with the right option's text twice, the
    strict rule (right only if greater than every other) has no meaning. Its words must be text that a file can hold.
    """
    words = (item.item_id, item.label or "", item.group or "", *item.options, *item.captions)
    if any(_NO_CHARACTER.search(word) for word in words):
        return "its words hold what is no character (bytes that are not UTF-8, half of a surrogate pair)"
    if task.kind == "single_label":
        if item.answer is None or not 0 <= item.answer < len(task.classes):
            return f"class index {item.answer} is outside 0..{len(task.classes) - 1}"
        return None
    if task.kind == "multi_label":
        return _labels_fault(task, item)
    if task.kind == "closed_vqa":
        return _options_fault(item)
    return None if any(caption.strip() for caption in item.captions) else "no caption"


def _labels_fault(task: Task, item: Item) -> str | None:
    if len(item.labels) != len(task.classes):
        return f"{len(item.labels)} labels for {len(task.classes)} classes"
    if not set(item.labels) <= {-1, 0, 1}:
        return f"labels {sorted(set(item.labels))} are not all 1 (present), 0 (absent) or -1 (not known)"
    return None if any(label >= 0 for label in item.labels) else "no label is known"


def _options_fault(item: Item) -> str | None:
    n = len(item.options)
    if n < 2:
        return f"{n} option{'' if n == 1 else 's'}: nothing to choose between"
    if item.answer is None or not 0 <= item.answer < n:
        return f"answer index {item.answer} for {n} options"
    if any(not option.strip() for option in item.options):
        return "an option is empty"
    if len(set(item.options)) < n:
        return "two options have the same text, so neither can be strictly greater"
    return None


def _faults(task: Task) -> list[str]:
    found: list[str] = []
    if not NAME.fullmatch(task.name):
        found.append("a name is lower-case letters, digits and . _ - only")
    if task.kind not in KINDS:
        found.append(f"kind {task.kind!r} is none of {', '.join(KINDS)}")
    if task.metric not in METRICS:
        found.append(f"metric {task.metric!r} is none of {', '.join(METRICS)}")
    if task.kind in ("single_label", "multi_label"):
        found += _class_faults(task)
    elif task.classes:
        found.append(f"a {task.kind} task takes its options from its items, not from classes")
    return found


def _class_faults(task: Task) -> list[str]:
    found: list[str] = []
    least = 2 if task.kind == "single_label" else 1
    if len(task.classes) < least:
        found.append(f"{len(task.classes)} classes, at least {least} are needed")
    found += [f"class {c.name!r} has no caption option" for c in task.classes if not c.captions]
    if task.kind == "multi_label":
        found += [f"class {c.name!r} has no negative caption" for c in task.classes if not c.negative_captions]
    for what, keys in (
        ("name", [c.name for c in task.classes]),
        ("value", [c.value or c.name for c in task.classes]),
        ("captions", ["\n".join(c.captions) for c in task.classes]),
    ):
        twice = sorted({key for key in keys if keys.count(key) > 1})
        found += [f"two classes have the same {what}: {key!r}" for key in twice]
    return found
