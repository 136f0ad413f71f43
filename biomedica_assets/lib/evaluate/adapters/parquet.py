"""Hugging Face Parquet (or Arrow) files: an image column and labels, closed-VQA options, or captions.

Options of a task's ``source``: ``image`` (column; bytes, or a struct with ``bytes``), ``id`` and ``group`` (columns),
``where`` (column -> value), and by kind: ``label`` (class name, spelling, or index if ``label_is_index``), ``options``
and ``answer`` (the answer is an index or an option's text), ``label_name`` (class of a closed-VQA item), ``caption``
(text or list of texts), ``label_columns`` (multi-label). Dots reach into structs, as in ``captions.domain.options``.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from biomedica_assets.lib.errors import Reject
from biomedica_assets.lib.evaluate.adapters.common import dig, label_text, reject
from biomedica_assets.lib.evaluate.task import Item, Task, TaskError

_KNOWN = {1: 1, 0: 0}  # true and false are equal to these; anything else is not known
_COLUMNS = ("id", "group", "label", "options", "answer", "label_name", "caption")


def read_parquet(task: Task, paths: Sequence[Path]) -> Iterator[Item | Reject]:
    """Items of the files in the order given, rows in the order of the file.

    Raises:
        TaskError: a file cannot be read or a column is missing.
    """
    image = str(task.source.get("image", "image"))
    plain = [str(task.source[key]) for key in _COLUMNS if task.source.get(key)]
    plain += [*task.source.get("label_columns", ()), *task.source.get("where", {})]
    seen = 0
    for path in paths:
        for row in _rows(task, path, sorted({c.split(".")[0] for c in plain}), image):
            yield _item(task, row, image, f"row_{seen:07d}")
            seen += 1


def distinct(task: Task, paths: Sequence[Path], column: str) -> list[str]:
    """Values of a column over all files, in order of first appearance: the tasks inside a combined file."""
    found: dict[str, None] = {}
    for path in paths:
        for frame in _frames(task, path, [column]):
            found.update(dict.fromkeys(str(v) for v in frame[column] if v is not None))
    return list(found)


def _rows(task: Task, path: Path, plain: Sequence[str], image: str) -> Iterator[Mapping[str, Any]]:
    """Rows that meet ``where``; the images of a row group are read only if one of its rows does."""
    where = {str(k): v for k, v in task.source.get("where", {}).items()}
    if path.suffix == ".arrow":
        for frame in _frames(task, path, [*plain, image]):
            for i in range(len(frame[image])):
                row = {name: column[i] for name, column in frame.items()}
                if all(dig(row, k) == v for k, v in where.items()):
                    yield row
        return
    _check(task, path, [*plain, image])
    with _arrow("pyarrow.parquet").ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            rows: list[dict[str, Any]] = [{} for _ in range(file.metadata.row_group(group).num_rows)]
            if plain:
                rows = file.read_row_group(group, columns=list(plain)).to_pylist()
            wanted = [i for i, row in enumerate(rows) if all(dig(row, k) == v for k, v in where.items())]
            if not wanted:
                continue
            images = file.read_row_group(group, columns=[image]).column(image)
            for i in wanted:
                yield {**rows[i], image: images[i].as_py()}


def _frames(task: Task, path: Path, columns: Sequence[str]) -> Iterator[dict[str, list[Any]]]:

    _check(task, path, columns)
    if path.suffix == ".arrow":
        with _arrow("pyarrow").memory_map(str(path)) as source, _arrow("pyarrow.ipc").open_stream(source) as reader:
            for batch in reader:
                yield {name: batch.column(name).to_pylist() for name in columns}
        return
    with _arrow("pyarrow.parquet").ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=1024, columns=list(columns)):
            yield {name: batch.column(name).to_pylist() for name in columns}


def _check(task: Task, path: Path, columns: Sequence[str]) -> None:
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


def _item(task: Task, row: Mapping[str, Any], image: str, fallback: str) -> Item | Reject:
    source = task.source
    item_id = fallback if not source.get("id") else f"{dig(row, source['id'])}"
    data = row[image]
    if isinstance(data, Mapping):
        data = cast("Mapping[str, Any]", data).get("bytes")
    if not isinstance(data, bytes) or not data:
        return reject(task, item_id, f"column {image} holds no image bytes")
    group = dig(row, source["group"]) if source.get("group") else None
    group = None if group is None else str(group)
    if task.kind == "retrieval":
        caption = dig(row, source["caption"])
        texts: list[Any] = list(cast("list[Any]", caption)) if isinstance(caption, list) else [caption]
        return Item(item_id, data, captions=tuple(str(t) for t in texts if t), group=group)
    if task.kind == "multi_label":
        labels = tuple(_KNOWN.get(dig(row, c), -1) for c in source["label_columns"])
        return Item(item_id, data, labels=labels, group=group)
    if task.kind == "closed_vqa":
        return _closed_vqa(task, row, item_id, data, group)
    return _labelled(task, row, item_id, data, group)


def _closed_vqa(task: Task, row: Mapping[str, Any], item_id: str, data: bytes, group: str | None) -> Item | Reject:
    options = dig(row, task.source["options"])
    if not isinstance(options, list):
        return reject(task, item_id, f"column {task.source['options']} holds no list of options")
    texts = tuple(str(o) for o in cast("list[Any]", options))
    answer = dig(row, task.source["answer"])
    if isinstance(answer, str):
        if answer not in texts:
            return reject(task, item_id, f"the answer {answer!r} is none of the options")
        answer = texts.index(answer)
    if not isinstance(answer, int):
        return reject(task, item_id, f"column {task.source['answer']} holds no answer")
    label = dig(row, task.source["label_name"]) if task.source.get("label_name") else None
    return Item(item_id, data, answer=answer, label=None if label is None else str(label), options=texts, group=group)


def _labelled(task: Task, row: Mapping[str, Any], item_id: str, data: bytes, group: str | None) -> Item | Reject:
    value = dig(row, task.source["label"])
    if task.source.get("label_is_index"):
        return Item(item_id, data, answer=int(value), group=group)
    found = task.class_index().get(label_text(value))
    if found is None:
        known = ", ".join(c.value or c.name for c in task.classes)
        return reject(task, item_id, f"label {value!r} is none of the classes {known}")
    return Item(item_id, data, answer=found, group=group)


def _arrow(module: str) -> Any:
    """A module of pyarrow, which ships no types."""
    return importlib.import_module(module)
