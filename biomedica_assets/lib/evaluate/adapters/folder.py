"""Images in folders, with a CSV that labels them or with one folder per class.

Options of a task's ``source``: ``path`` (folder, relative to the task's root), ``csv`` (file in it; without one, each
class is a folder), ``image`` and ``label`` (columns), ``suffix`` (added to the image column), ``images`` (folder of the
images), ``group`` (column), ``where`` (column -> value that a row must have), ``one_hot`` (columns, one per class, of
which exactly one is 1), ``label_columns`` (multi-label: columns in the order of the classes), ``caption`` (column; the
rows of one image are several texts of it).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from biomedica_assets.lib.errors import Reject, RejectReason
from biomedica_assets.lib.evaluate.adapters.common import IMAGE_SUFFIXES, inside, is_file, label_text, presence, reject
from biomedica_assets.lib.evaluate.adapters.csv_rows import Line, read_lines
from biomedica_assets.lib.evaluate.task import Item, Task, TaskError

_NEEDED = {"retrieval": ("image", "caption"), "multi_label": ("image", "label_columns")}
"""Kind -> options without which a row says nothing; of single-label tasks ``label`` or ``one_hot``."""


def read_folder(task: Task, folder: Path) -> Iterator[Item | Reject]:
    """Items of a folder in the order of the CSV, or of class and file name.

    Raises:
        TaskError: the CSV cannot be read (see ``csv_rows``), or the description does not say which columns to read.
    """
    name = task.source.get("csv")
    if name is None:
        yield from _class_folders(task, folder)
        return
    items = _rows(task, folder, folder / str(name))
    yield from _pairs(task, items) if task.kind == "retrieval" else items


def _rows(task: Task, folder: Path, path: Path) -> Iterator[Item | Reject]:
    where = task.source.get("where", {})
    for line in read_lines(task, path, _columns(task)):
        if isinstance(line, Reject):
            yield line
        elif all(line.values[str(k)] == str(v) for k, v in where.items()):
            yield _row_item(task, folder, line)


def _columns(task: Task) -> list[str]:
    source = task.source
    needed = _NEEDED.get(task.kind, ("image", "one_hot" if source.get("one_hot") else "label"))
    if missing := [option for option in needed if not source.get(option)]:
        raise TaskError(f"task {task.name}: its source does not name {' and '.join(missing)}")
    wanted = [source.get(key) for key in ("image", "label", "group", "caption")]
    wanted += [*source.get("one_hot", ()), *source.get("label_columns", ()), *source.get("where", {})]
    return list(dict.fromkeys(str(column) for column in wanted if column))


def _pairs(task: Task, items: Iterable[Item | Reject]) -> Iterator[Item | Reject]:
    """Rejects as they come, then one item per image with the texts of all its rows, in order of first appearance."""
    found: dict[str, Item] = {}
    for item in items:
        if isinstance(item, Reject):
            yield item
            continue
        first = found.setdefault(item.item_id, item)
        if first.group != item.group:
            message = f"the same image has {task.source['group']} {first.group!r} in {first.where}, here {item.group!r}"
            yield reject(task, item.item_id, message, where=item.where)
        elif first is not item:
            found[item.item_id] = dataclasses.replace(first, captions=first.captions + item.captions)
    yield from found.values()


def _row_item(task: Task, folder: Path, line: Line) -> Item | Reject:
    """The item of a row; what is wrong with its path first, then with what is said of it."""
    source, where = task.source, line.where
    given = line.values[source["image"]]
    if not given:
        return reject(task, where.rpartition(" ")[2], f"column {source['image']} names no image", where=where)
    name = given + str(source.get("suffix", ""))
    relative = f"{source['images']}/{name}" if source.get("images") else name
    path = inside(folder, relative)
    if path is None:
        message = f"image path {relative!r} leads out of {folder}"
        return reject(task, name, message, RejectReason.UNSAFE_NAME, where=where)
    if not is_file(path):
        message = f"there is no image {relative} in {folder}"
        return reject(task, name, message, RejectReason.OBJECT_MISSING, where=where)
    said = _SAID.get(task.kind, _class)(task, line.values)
    if isinstance(said, str):
        return reject(task, relative, said, where=where)
    group = line.values[source["group"]] if source.get("group") else None
    return dataclasses.replace(Item(relative, path, group=group, where=where), **said)


_Said = dict[str, Any] | str
"""What a row says of its image, as fields of ``Item``; or what is wrong with it."""


def _caption(task: Task, row: Mapping[str, str]) -> _Said:
    column = task.source["caption"]
    return {"captions": (row[column],)} if row[column].strip() else f"column {column} is empty"


def _several(task: Task, row: Mapping[str, str]) -> _Said:
    columns = task.source["label_columns"]
    labels = tuple(presence(row[column]) for column in columns)
    if None in labels:
        column = columns[labels.index(None)]
        return f"column {column} is {row[column]!r}, expected 1, 0, or nothing or -1 (not known)"
    return {"labels": labels}


def _class(task: Task, row: Mapping[str, str]) -> _Said:
    if columns := task.source.get("one_hot"):
        given = {column: presence(row[column]) for column in columns}
        if bad := [column for column, value in given.items() if value is None]:
            return f"column {bad[0]} is {row[bad[0]]!r}, expected 1 or 0"
        hot = [i for i, column in enumerate(columns) if given[column] == 1]
        if len(hot) != 1:
            return f"{len(hot)} of the columns {', '.join(columns)} are 1, expected one"
        return {"answer": hot[0]}
    text = label_text(row[task.source["label"]])
    found = task.class_index().get(text)
    known = ", ".join(c.value or c.name for c in task.classes)
    return {"answer": found} if found is not None else f"label {text!r} is none of the classes {known}"


_SAID: Mapping[str, Callable[[Task, Mapping[str, str]], _Said]] = {"retrieval": _caption, "multi_label": _several}


def _class_folders(task: Task, folder: Path) -> Iterator[Item | Reject]:
    for index, task_class in enumerate(task.classes):
        name = task_class.value or task_class.name
        below = folder / name
        if not below.is_dir():
            yield reject(task, name, f"there is no folder {name} in {folder}", RejectReason.OBJECT_MISSING)
            continue
        for path in sorted(p for p in below.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES):
            relative = path.relative_to(folder).as_posix()
            yield Item(relative, path, answer=index, where=relative)
