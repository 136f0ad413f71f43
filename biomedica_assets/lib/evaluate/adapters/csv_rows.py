"""Rows of a CSV that someone made: each either fits the header or is refused with its file and line.

A file is refused whole if its header cannot be trusted: no line at all, UTF-16, a wanted column that is missing or
there twice. A row is refused if it has too few or too many fields, a quote that is not closed or not at the end of its
field, or a wanted field that is not UTF-8 or holds NUL bytes; reading goes on with the line after the one where the row
began, so an open quote costs its own line and not the rest of the file. Blank lines are nothing.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from biomedica_assets.lib.errors import Reject
from biomedica_assets.lib.evaluate.adapters.common import plain, reject
from biomedica_assets.lib.evaluate.task import Task, TaskError

_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_LONGEST = 1000
"""Lines that one row may span: an open quote is looked for no further, so a file of them is read in linear time."""


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One row.

    Attributes:
        where: file name and line, for messages.
        values: column -> text; columns that are there twice are left out.
    """

    where: str
    values: dict[str, str]


def read_lines(task: Task, path: Path, wanted: Sequence[str]) -> Iterator[Line | Reject]:
    """Rows in the order of the file.

    Args:
        task: whose rejects they are.
        path: the CSV; UTF-8, with or without a byte order mark; any line ends.
        wanted: columns that are used.

    Raises:
        TaskError: the file cannot be read, or its header is not one.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TaskError(f"task {task.name}: {path} cannot be read ({error.strerror or error})") from error
    if data.startswith(_UTF16):
        raise TaskError(f"task {task.name}: {path} is UTF-16; save it as UTF-8")
    lines = list(io.StringIO(data.decode("utf-8-sig", "surrogateescape"), newline=""))
    start = next((i for i, line in enumerate(lines) if line.strip()), None)
    if start is None:
        raise TaskError(f"task {task.name}: {path} is empty; expected a header with {', '.join(wanted)}")
    header, span = _record(lines, start)
    columns = _header(task, path, header, wanted)
    at = start + span
    while at < len(lines):
        if not lines[at].strip("\r\n"):
            at += 1
            continue
        where = f"{path.name} line {at + 1}"
        fields, span = _record(lines, at)
        fault = fields if isinstance(fields, str) else _fault(fields, header, columns, wanted)
        if fault is not None:
            yield reject(task, f"line {at + 1}", fault, where=where)
            at += 1
            continue
        yield Line(where, {name: fields[i] for name, i in columns.items()})
        at += span


def _record(lines: Sequence[str], start: int) -> tuple[list[str] | str, int]:
    """Fields of the row that begins at a line, or what is wrong with it; and how many lines it spans."""
    reader = csv.reader(lines[start : start + _LONGEST], strict=True)
    try:
        return next(reader), reader.line_num
    except csv.Error as error:
        opened = "unexpected end" in str(error) or "field limit" in str(error)
        return ("a quote is opened and not closed" if opened else f"it is no CSV ({error})"), 1


def _header(task: Task, path: Path, header: list[str] | str, wanted: Sequence[str]) -> dict[str, int]:
    if isinstance(header, str):
        raise TaskError(f"task {task.name}: the header of {path} cannot be read: {header}")
    if any("\0" in name for name in header):
        raise TaskError(f"task {task.name}: the header of {path} holds NUL bytes; save the file as UTF-8")
    if twice := sorted({name for name in wanted if header.count(name) > 1}):
        raise TaskError(f"task {task.name}: {path} has the column {', '.join(twice)} more than once")
    if missing := sorted(set(wanted) - set(header)):
        found = plain(", ".join(header))
        raise TaskError(f"task {task.name}: {path} has no column {', '.join(missing)}; it has {found}")
    return {name: i for i, name in enumerate(header) if header.count(name) == 1}


def _fault(fields: Sequence[str], header: Sequence[str], columns: dict[str, int], wanted: Sequence[str]) -> str | None:
    """What is wrong with a row; fields behind the last column that are empty are none (spreadsheets write them)."""
    if len(fields) < len(header) or any(fields[len(header) :]):
        return f"{len(fields)} field{'s' * (len(fields) != 1)}, the header has {len(header)}"
    for name in wanted:
        text = fields[columns[name]]
        if "\0" in text:
            return f"column {name} holds NUL bytes"
        if bad := next((c for c in text if "\udc80" <= c <= "\udcff"), None):
            return f"column {name} is not UTF-8 (byte 0x{ord(bad) - 0xDC00:02x}); save the file as UTF-8"
    return None
