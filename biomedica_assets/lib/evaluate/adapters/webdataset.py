"""WebDataset tars: members that share the name up to the first dot are one sample.

Options of a task's ``source``: ``label`` (extension of the member with the class, default ``cls``: index, name or
spelling), ``caption`` (extension, default ``txt``; each line is a text of the image, as clip_benchmark has it; with
``whole: true`` all of it is one), and for closed VQA ``json`` (extension of the JSON member, default
``json``) with ``options`` and ``answer``, which name its keys.
"""

from __future__ import annotations

import dataclasses
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from biomedica_assets.lib.errors import Reject
from biomedica_assets.lib.evaluate.adapters.common import IMAGE_SUFFIXES, dig, reject, whole
from biomedica_assets.lib.evaluate.task import Item, Task, TaskError


def read_webdataset(task: Task, paths: Sequence[Path]) -> Iterator[Item | Reject]:
    """Items of the tars in the order given, samples in the order of the tar.

    Raises:
        TaskError: a file is not a tar or ends early.
    """
    for path in paths:
        try:
            with tarfile.open(path, "r:") as tar:
                for key, members in _samples(tar):
                    yield _item(task, key, members, f"{path.name} sample {key}")
                check_end(tar, path)
        except (tarfile.TarError, EOFError, OSError, ValueError) as error:
            raise TaskError(f"task {task.name}: {path} cannot be read as tar ({error}); get it again") from error


def check_end(tar: tarfile.TarFile, path: Path) -> None:
    """Refuse a tar without the zero block at its end: tarfile takes half a header or a broken one for the end."""
    with path.open("rb") as file:
        file.seek(tar.offset)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise EOFError(f"no end of archive at byte {tar.offset:,}")


def _samples(tar: tarfile.TarFile) -> Iterator[tuple[str, dict[str, bytes]]]:
    key, members = "", dict[str, bytes]()
    for member in tar:
        if not member.isfile():
            continue
        folder, _, base = member.name.rpartition("/")
        stem, _, extension = base.partition(".")
        name = f"{folder}/{stem}" if folder else stem
        if name != key and members:
            yield key, members
            members = {}
        stream = tar.extractfile(member)
        key = name
        members[extension.lower()] = stream.read() if stream else b""
    if members:
        yield key, members


def _item(task: Task, key: str, members: Mapping[str, bytes], where: str) -> Item | Reject:
    images = [ext for ext in members if f".{ext.rpartition('.')[2]}" in IMAGE_SUFFIXES]
    if len(images) != 1:
        message = f"{len(images)} image members, expected one (members: {', '.join(sorted(members))})"
        return reject(task, key, message, where=where)
    item, source = Item(key, members[images[0]], where=where), task.source
    try:
        extra: Any = json.loads(members[str(source.get("json", "json"))]) if "options" in source else {}
        if task.kind == "retrieval":
            text = members[str(source.get("caption", "txt"))].decode()
            return dataclasses.replace(item, captions=(text,) if source.get("whole") else tuple(text.splitlines()))
        if task.kind == "closed_vqa":
            options = tuple(str(o) for o in dig(extra, source["options"]) or ())
            answer = whole(dig(extra, source["answer"]))
            return dataclasses.replace(item, answer=answer, options=options)
        text = members[str(source.get("label", "cls"))].decode().strip()
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        message = f"sample cannot be read ({type(error).__name__}: {error})"
        return reject(task, key, message, where=where)
    answer = task.class_index().get(text, whole(text))
    if answer is None:
        return reject(task, key, f"label {text!r} is none of the classes", where=where)
    return dataclasses.replace(item, answer=answer)
