"""Votes as CSV, for spreadsheets and other people's scripts: one row per vote, lists joined by ``|``.

A cell that is empty means "not answered"; ``-`` in a list column means "answered: none".
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from biomedica_assets.lib.annotate.exchange import Imported, Intake
from biomedica_assets.lib.annotate.form import SETS, SINGLE_CHOICE
from biomedica_assets.lib.annotate.taxonomy.model import Taxonomy
from biomedica_assets.lib.annotate.votes import Vote
from biomedica_assets.lib.errors import PermanentFailure

NONE = "-"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_PLAIN = ("vote_id", "annotator", "source", "task", "cluster", "media_id", "cluster_model")
_TAIL = ("seconds", "time", "taxonomy_version", "guideline_version")
COLUMNS = (*_PLAIN, *SINGLE_CHOICE, *SETS, "mixed", "cant_tell", "comment", *_TAIL)


def export_csv(votes: Iterable[Vote]) -> str:
    """Votes as CSV text, a header first.

    Lines end in CR LF (RFC 4180), so that a comment with either character is quoted; text that a spreadsheet would
    compute is disarmed.

    Args:
        votes: those that count; withdrawals are left out.
    """
    buffer = io.StringIO()
    writer: csv.DictWriter[str] = csv.DictWriter(buffer, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    for vote in votes:
        if vote.answer is None:
            continue
        row: dict[str, Any] = {name: _harmless(getattr(vote, name)) for name in (*_PLAIN, *_TAIL)}
        row |= {q: vote.answer.one(q) for q in SINGLE_CHOICE}
        row |= {q: "|".join(vote.answer.given(q)) or NONE for q in SETS if q in vote.answer.concepts}
        row |= {
            "mixed": int(vote.answer.mixed),
            "cant_tell": int(vote.answer.cant_tell),
            "comment": _harmless(vote.answer.comment),
        }
        writer.writerow(row)
    return buffer.getvalue()


def import_csv(path: Path, taxonomy: Taxonomy) -> Imported:
    """Read votes from CSV.

    Raises:
        PermanentFailure: the file cannot be read or lacks columns.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")  # as it is: a comment may hold CR LF
    except (OSError, UnicodeDecodeError) as error:
        raise PermanentFailure(f"{path} cannot be read as CSV in UTF-8: {error}") from error
    reader = csv.DictReader(io.StringIO(text, newline=""))
    intake = Intake(path.name, taxonomy)
    try:
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise PermanentFailure(f"{path} lacks the columns {', '.join(missing)}; export_csv shows the form")
        for row in reader:
            intake.take(f"line {reader.line_num}", lambda row=row: _record(row))
    except csv.Error as error:  # a field of more than 131 072 characters: a quote that is never closed
        raise PermanentFailure(f"{path}, line {reader.line_num}, cannot be read as CSV: {error}") from error
    return intake.done()


def _record(row: dict[str, str | None]) -> dict[str, Any]:
    cells = {name: row.get(name) or None for name in COLUMNS}
    record: dict[str, Any] = {name: _as_written(cells[name]) for name in (*_PLAIN, *_TAIL)}
    record["cluster"] = int(cells["cluster"]) if cells["cluster"] else None
    record["seconds"] = float(cells["seconds"]) if cells["seconds"] else None
    answer: dict[str, Any] = {q: cells[q] for q in SINGLE_CHOICE}
    answer |= {q: None if cells[q] is None else _concepts(str(cells[q])) for q in SETS}
    answer |= {flag: _flag(cells[flag]) for flag in ("mixed", "cant_tell")}
    return {**record, "answer": {**answer, "comment": _as_written(cells["comment"])}}


def _concepts(cell: str) -> list[str]:
    return [] if cell == NONE else cell.split("|")


def _flag(cell: str | None) -> bool:
    value = {"1": True, "true": True, "0": False, "false": False, None: False}.get(cell.lower() if cell else None)
    if value is None:
        raise ValueError(f"{cell!r} is neither 1 nor 0")
    return value


def _harmless(value: object) -> object:
    """Text that no spreadsheet takes for a formula: OWASP's rule, an apostrophe before = + - @ and the like."""
    return f"'{value}" if isinstance(value, str) and value.lstrip("'").startswith(_FORMULA) else value


def _as_written(text: str | None) -> str | None:
    return text[1:] if text and text[0] == "'" and text.lstrip("'").startswith(_FORMULA) else text
