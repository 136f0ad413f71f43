"""Images in folders, with a CSV that labels them or with one folder per class.

Options of a task's ``source``: ``path`` (folder, relative to the task's root), ``csv`` (file in it; without one, each
class is a folder), ``image`` and ``label`` (columns), ``suffix`` (added to the image column), ``images`` (folder of the
images), ``group`` (column), ``where`` (column -> value that a row must have), ``one_hot`` (columns, one per class, of
which exactly one is 1), ``label_columns`` (multi-label: columns in the order of the classes), ``caption`` (column).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from biomedica_assets.lib.errors import Reject, RejectReason
from biomedica_assets.lib.evaluate.adapters.common import IMAGE_SUFFIXES, inside, label_text, reject
from biomedica_assets.lib.evaluate.task import Item, Task, TaskError

_KNOWN = {"1": 1, "0": 0}


def read_folder(task: Task, folder: Path) -> Iterator[Item | Reject]:
    """Items of a folder in the order of the CSV, or of class and file name."""
    name = task.source.get("csv")
    if name is None:
        yield from _class_folders(task, folder)
        return
    with (folder / str(name)).open(newline="", encoding="utf-8-sig") as handle:
        rows = csv.DictReader(handle)
        _check_columns(task, folder / str(name), list(rows.fieldnames or ()))
        for row in rows:
            if all(row.get(k) == str(v) for k, v in task.source.get("where", {}).items()):
                yield _row_item(task, folder, row)


def _check_columns(task: Task, path: Path, found: list[str]) -> None:
    source = task.source
    wanted = [source.get(key) for key in ("image", "label", "group", "caption")]
    wanted += [*source.get("one_hot", ()), *source.get("label_columns", ()), *source.get("where", {})]
    if missing := sorted({str(c) for c in wanted if c} - set(found)):
        raise TaskError(f"task {task.name}: {path} has no column {', '.join(missing)}; it has {', '.join(found)}")


def _row_item(task: Task, folder: Path, row: Mapping[str, str]) -> Item | Reject:
    source = task.source
    name = row[source["image"]] + str(source.get("suffix", ""))
    relative = f"{source['images']}/{name}" if source.get("images") else name
    path = inside(folder, relative)
    if path is None:
        return reject(task, name, f"image path {relative!r} leads out of {folder}", RejectReason.UNSAFE_NAME)
    if not path.is_file():
        return reject(task, name, f"there is no image {relative} in {folder}", RejectReason.OBJECT_MISSING)
    group = row[source["group"]] if source.get("group") else None
    if task.kind == "retrieval":
        return Item(relative, path, captions=(row[source["caption"]],), group=group)
    if task.kind == "multi_label":
        labels = tuple(_KNOWN.get(label_text(_number(row[c])), -1) for c in source["label_columns"])
        return Item(relative, path, labels=labels, group=group)
    answer = _answer(task, row)
    if isinstance(answer, str):
        return reject(task, relative, answer)
    return Item(relative, path, answer=answer, group=group)


def _answer(task: Task, row: Mapping[str, str]) -> int | str:
    """Index of the class, or what is wrong with the label."""
    if columns := task.source.get("one_hot"):
        hot = [i for i, column in enumerate(columns) if _number(row[column]) == 1.0]
        return hot[0] if len(hot) == 1 else f"{len(hot)} of the columns {', '.join(columns)} are 1, expected one"
    text = label_text(row[task.source["label"]])
    found = task.class_index().get(text)
    known = ", ".join(c.value or c.name for c in task.classes)
    return found if found is not None else f"label {text!r} is none of the classes {known}"


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _class_folders(task: Task, folder: Path) -> Iterator[Item | Reject]:
    for index, task_class in enumerate(task.classes):
        name = task_class.value or task_class.name
        below = folder / name
        if not below.is_dir():
            yield reject(task, name, f"there is no folder {name} in {folder}", RejectReason.OBJECT_MISSING)
            continue
        for path in sorted(p for p in below.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES):
            yield Item(path.relative_to(folder).as_posix(), path, answer=index)
