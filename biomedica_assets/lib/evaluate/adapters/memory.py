"""Tasks made of rows that someone else brings: the held-out split of a lake, a list, a query.

This is how the project's own data becomes a test: classification of figures by their kind, retrieval of captions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import polars as pl

from biomedica_assets.lib.errors import Reject, RejectReason
from biomedica_assets.lib.evaluate.adapters.common import inside, reject
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
            texts) for retrieval; ``group`` if items of one article or patient belong together.
        root: folder the paths are relative to, for example the data directory.
    """
    ordered = rows.sort("item_id")

    def read() -> Iterator[Item | Reject]:
        index = task.class_index()
        for row in ordered.iter_rows(named=True):
            item_id, path = str(row["item_id"]), inside(root, str(row["path"]))
            if path is None or not path.is_file():
                yield reject(task, item_id, f"there is no image {row['path']} in {root}", RejectReason.OBJECT_MISSING)
                continue
            group = None if row.get("group") is None else str(row["group"])
            if task.kind == "retrieval":
                caption: Any = row["caption"]
                texts = cast("list[Any]", caption) if isinstance(caption, list) else [caption]
                yield Item(item_id, path, captions=tuple(str(t) for t in texts if t), group=group)
            elif (answer := index.get(str(row["label"]))) is None:
                yield reject(task, item_id, f"label {row['label']!r} is none of the classes {', '.join(index)}")
            else:
                yield Item(item_id, path, answer=answer, group=group)

    return TaskSource(task, read)


def list_source(task: Task, items: Sequence[Item]) -> TaskSource:
    """A task whose items are at hand."""
    return TaskSource(task, lambda: iter(items))
