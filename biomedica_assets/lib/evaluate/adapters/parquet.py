"""Hugging Face Parquet (or Arrow) files: an image column and labels, closed-VQA options, or captions.

Options of a task's ``source``: ``image`` (column; bytes, or a struct with ``bytes``), ``id`` and ``group`` (columns),
``where`` (column -> value), and by kind: ``label`` (class name, spelling, or index if ``label_is_index``), ``options``
and ``answer`` (the answer is an index or an option's text), ``label_name`` (class of a closed-VQA item), ``caption``
(text or list of texts), ``label_columns`` (multi-label). Dots reach into structs, as in ``captions.domain.options``.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from biomedica_assets.lib.errors import Reject
from biomedica_assets.lib.evaluate.adapters.common import dig, label_text, presence, reject, whole
from biomedica_assets.lib.evaluate.task import Item, Task, TaskError

_COLUMNS = ("id", "group", "label", "options", "answer", "label_name", "caption")


def read_parquet(task: Task, paths: Sequence[Path]) -> Iterator[Item | Reject]:
    """Items of the files in the order given, rows in the order of the file.

    Raises:
        TaskError: a file cannot be read or a column is missing.
    """
    *plain, image = columns_of(task)
    seen = 0
    for path in paths:
        for n, row in _rows(task, path, plain, image):
            yield _item(task, row, image, f"row_{seen:07d}", f"{path.name} row {n}")
            seen += 1


def columns_of(task: Task) -> list[str]:
    """Columns that are read, that of the image last.

    Raises:
        TaskError: the description does not name one that its kind needs.
    """
    if missing := [option for option in _NEEDED[task.kind] if not task.source.get(option)]:
        raise TaskError(f"task {task.name}: its source does not name {' and '.join(missing)}")
    plain = [str(task.source[key]) for key in _COLUMNS if task.source.get(key)]
    plain += [*task.source.get("label_columns", ()), *task.source.get("where", {})]
    return [*sorted({c.split(".")[0] for c in plain}), str(task.source.get("image", "image"))]


def distinct(task: Task, paths: Sequence[Path], column: str) -> list[str]:
    """Values of a column over all files, in order of first appearance: the tasks inside a combined file."""
    found: dict[str, None] = {}
    for path in paths:
        for frame in _frames(task, path, [column]):
            found.update(dict.fromkeys(str(v) for v in frame[column] if v is not None))
    return list(found)


def _rows(task: Task, path: Path, plain: Sequence[str], image: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Rows that meet ``where``, numbered from 0 in the file.

    The images of a row group are read only if one of its rows does.
    """
    at = 0
    where = {str(k): v for k, v in task.source.get("where", {}).items()}
    if path.suffix == ".arrow":
        for frame in _frames(task, path, [*plain, image]):
            for i in range(len(frame[image])):
                row = {name: column[i] for name, column in frame.items()}
                if all(dig(row, k) == v for k, v in where.items()):
                    yield at + i, row
            at += len(frame[image])
        return
    check_columns(task, path, [*plain, image])
    with _arrow("pyarrow.parquet").ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            first, at = at, at + file.metadata.row_group(group).num_rows
            rows: list[dict[str, Any]] = [{} for _ in range(at - first)]
            if plain:
                rows = file.read_row_group(group, columns=list(plain)).to_pylist()
            wanted = [i for i, row in enumerate(rows) if all(dig(row, k) == v for k, v in where.items())]
            if not wanted:
                continue
            images = file.read_row_group(group, columns=[image]).column(image)
            for i in wanted:
                yield first + i, {**rows[i], image: images[i].as_py()}


def _frames(task: Task, path: Path, columns: Sequence[str]) -> Iterator[dict[str, list[Any]]]:

    check_columns(task, path, columns)
    if path.suffix == ".arrow":
        with _arrow("pyarrow").memory_map(str(path)) as source, _arrow("pyarrow.ipc").open_stream(source) as reader:
            for batch in reader:
                yield {name: batch.column(name).to_pylist() for name in columns}
        return
    with _arrow("pyarrow.parquet").ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=1024, columns=list(columns)):
            yield {name: batch.column(name).to_pylist() for name in columns}


def check_columns(task: Task, path: Path, columns: Sequence[str]) -> None:
    """Refuse a file that cannot be read or lacks a column; its rows are not read.

    Raises:
        TaskError: naming the file.
    """
    found: list[str]
    try:
        if path.suffix == ".arrow":
            with _arrow("pyarrow").memory_map(str(path)) as source, _arrow("pyarrow.ipc").open_stream(source) as reader:
                found = list(reader.schema.names)
        else:
            found = list(_arrow("pyarrow.parquet").read_schema(path).names)
    except (ValueError, OSError) as error:  # ArrowInvalid is a ValueError
        raise TaskError(f"task {task.name}: {path} cannot be read ({error}); get it again") from error
    if missing := sorted(set(columns) - set(found)):
        raise TaskError(f"task {task.name}: {path} has no column {', '.join(missing)}; it has {', '.join(found)}")


def _item(task: Task, row: Mapping[str, Any], image: str, fallback: str, where: str) -> Item | Reject:
    source = task.source
    name = dig(row, source["id"]) if source.get("id") else fallback
    if name is None:
        return reject(task, fallback, f"column {source['id']} is empty", where=where)
    item_id, data = str(name), row[image]
    if isinstance(data, Mapping):
        data = cast("Mapping[str, Any]", data).get("bytes")
    if not isinstance(data, bytes) or not data:
        return reject(task, item_id, f"column {image} holds no image bytes", where=where)
    group = dig(row, source["group"]) if source.get("group") else None
    item = Item(item_id, data, group=None if group is None else str(group), where=where)
    answered = _ANSWERED[task.kind](task, row)
    if isinstance(answered, str):
        return reject(task, item_id, answered, where=where)
    return dataclasses.replace(item, **answered)


_Answered = dict[str, Any] | str
"""What a row says of its item, as fields of ``Item``; or what is wrong with it."""


def _captions(task: Task, row: Mapping[str, Any]) -> _Answered:
    column = task.source["caption"]
    caption = dig(row, column)
    texts: list[Any] = list(cast("list[Any]", caption)) if isinstance(caption, list) else [caption]
    if strange := [t for t in texts if t is not None and not isinstance(t, str)]:
        return f"column {column} holds {type(strange[0]).__name__}, expected text or a list of texts"
    return {"captions": tuple(t for t in texts if t)}


def _several(task: Task, row: Mapping[str, Any]) -> _Answered:
    columns = task.source["label_columns"]
    labels = [presence(dig(row, column)) for column in columns]
    if None in labels:
        column = columns[labels.index(None)]
        return f"column {column} is {dig(row, column)!r}, expected 1, 0, or nothing or -1 (not known)"
    return {"labels": tuple(labels)}


def _closed_vqa(task: Task, row: Mapping[str, Any]) -> _Answered:
    options = dig(row, task.source["options"])
    if not isinstance(options, list):
        return f"column {task.source['options']} holds no list of options"
    if None in options:
        return f"column {task.source['options']} holds an empty option"
    texts = tuple(str(o) for o in cast("list[Any]", options))
    answer = dig(row, task.source["answer"])
    if isinstance(answer, str):
        if answer not in texts:
            return f"the answer {answer!r} is none of the options"
        answer = texts.index(answer)
    if (found := whole(answer)) is None:
        return f"column {task.source['answer']} holds no answer"
    label = dig(row, task.source["label_name"]) if task.source.get("label_name") else None
    return {"answer": found, "label": None if label is None else str(label), "options": texts}


def _labelled(task: Task, row: Mapping[str, Any]) -> _Answered:
    column = task.source["label"]
    value = dig(row, column)
    if value is None:
        return f"column {column} is empty"
    if task.source.get("label_is_index"):
        index = int(value) if isinstance(value, bool) else whole(value)
        return {"answer": index} if index is not None else f"column {column} is {value!r}, no class index"
    found = task.class_index().get(label_text(value))
    if found is None:
        known = ", ".join(c.value or c.name for c in task.classes)
        return f"label {value!r} is none of the classes {known}"
    return {"answer": found}


_ANSWERED: Mapping[str, Callable[[Task, Mapping[str, Any]], _Answered]] = {
    "retrieval": _captions, "multi_label": _several, "closed_vqa": _closed_vqa, "single_label": _labelled,
}  # fmt: skip
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "retrieval": ("caption",), "multi_label": ("label_columns",), "closed_vqa": ("options", "answer"),
    "single_label": ("label",),
}  # fmt: skip
"""Options of ``source`` without which a row says nothing."""


def _arrow(module: str) -> Any:
    """A module of pyarrow, which ships no types."""
    return importlib.import_module(module)
