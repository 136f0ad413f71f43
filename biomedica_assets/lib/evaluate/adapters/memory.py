"""Tasks made of rows that someone else brings: the held-out split of a lake, a list, a query.

This is how the project's own data becomes a test: classification of figures by their kind, retrieval of captions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import polars as pl

from biomedica_assets.lib.errors import Reject, RejectReason
from biomedica_assets.lib.evaluate.adapters.common import inside, is_file, reject
from biomedica_assets.lib.evaluate.task import Item, Task, TaskClass, TaskSource


def classification_task(
    name: str, title: str, captions: Mapping[str, Sequence[str]], *, domain: str, suite: str = "lake"
) -> Task:
    """A single-label task of our own; ``captions`` maps each class to its caption options."""
    classes = tuple(TaskClass(label, tuple(texts)) for label, texts in captions.items())
    return Task(name, suite, title, "single_label", domain, None, classes, "balanced_accuracy")


def retrieval_task(name: str, title: str, *, domain: str, suite: str = "lake") -> Task:
    """A retrieval task of our own."""
    return Task(name, suite, title, "retrieval", domain, None, (), "recall_at_1")


def frame_source(task: Task, rows: pl.DataFrame, root: Path) -> TaskSource:
    """A task whose items are rows of a table.

    Args:
        task: single-label or retrieval.
        rows: ``item_id`` and ``path`` (below ``root``); ``label`` for classification; ``caption`` (text or list of
            texts) for retrieval; ``group`` if items of one article or patient belong together; ``where`` if they
            stand in a file.
        root: folder the paths are relative to, for example the data directory.
    """
    ordered = rows.sort("item_id", maintain_order=True)
    return TaskSource(task, lambda: (_item(task, row, root) for row in ordered.iter_rows(named=True)))


def _item(task: Task, row: Mapping[str, Any], root: Path) -> Item | Reject:
    item_id, path, where = str(row["item_id"]), inside(root, str(row["path"])), str(row.get("where") or "")
    if path is None or not is_file(path):
        message = f"there is no image {row['path']} in {root}"
        return reject(task, item_id, message, RejectReason.OBJECT_MISSING, where=where)
    item = Item(item_id, path, group=None if row.get("group") is None else str(row["group"]), where=where)
    if task.kind == "retrieval":
        caption: Any = row["caption"]
        texts = cast("list[Any]", caption) if isinstance(caption, list) else [caption]
        return dataclasses.replace(item, captions=tuple(str(t) for t in texts if t))
    answer = None if row["label"] is None else task.class_index().get(str(row["label"]))
    if answer is None:
        known = ", ".join(task.class_index())
        return reject(task, item_id, f"label {row['label']!r} is none of the classes {known}", where=where)
    return dataclasses.replace(item, answer=answer)


def list_source(task: Task, items: Sequence[Item]) -> TaskSource:
    """A task whose items are at hand."""
    return TaskSource(task, lambda: iter(items))
