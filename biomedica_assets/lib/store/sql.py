"""One SQL statement against the catalog, and its answer as a table, CSV or JSON lines.

Belongs here: what a statement may do, and how every type of DuckDB becomes text. Where the views come from is
``catalog.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

import duckdb
import polars as pl

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.store.catalog import open_catalog
from biomedica_assets.lib.store.lake import Lake

FORMATS = ("table", "csv", "jsonl")
BATCH = 10_000
"""Rows that are turned into text at once."""
_READS = frozenset({"SELECT", "EXPLAIN", "PRAGMA", "CALL", "SET"})
_NESTED = frozenset({"list", "array", "struct", "map", "union", "json"})
_NOT_FINITE = ("NaN", "Infinity")


def answer(lake: Lake, query: str, form: str, *, write: bool = False) -> Iterator[str]:
    """Pieces of the answer to one statement, to be printed one after the other.

    Args:
        lake: the data directory.
        query: one statement.
        form: ``table`` (for people, shortened), ``csv`` or ``jsonl`` (all rows, in bounded memory). In CSV a list, a
            map or a struct is JSON; in both, bytes are text as DuckDB writes it and what is no finite number is null.
        write: whether the statement may write: files with ``COPY``, or views of your own into the catalog, which last
            until the asset ``catalog`` is made again. The tables are read-only in any case.

    Raises:
        PermanentFailure: the catalog is not there, the statement is none, is more than one, writes without leave, or
            fails.
    """
    try:
        statements = duckdb.extract_statements(query)
    except duckdb.Error as error:
        raise _refused(error) from error
    if len(statements) != 1:
        raise PermanentFailure(
            f"{len(statements)} SQL statements were given; give one, for example: from figures limit 5"
        )
    kind = statements[0].type.name
    if kind not in _READS and not write:
        raise PermanentFailure(
            f"this statement writes ({kind}), and the catalog is open for reading; give --write to allow it"
        )
    try:
        with open_catalog(lake, write=write) as connection:
            found = cast("duckdb.DuckDBPyRelation | None", connection.sql(query))  # None for what has no rows
            if found is not None and (kind in _READS or kind == "COPY"):
                yield from _texts(found, form)
    except duckdb.Error as error:
        raise _refused(error) from error


def _refused(error: duckdb.Error) -> PermanentFailure:
    """DuckDB's message without the excerpt of the query that it draws over several lines."""
    said = " ".join(str(error).partition("\n\nLINE ")[0].split())
    return PermanentFailure(f"the query was refused: {said}")


def _texts(found: duckdb.DuckDBPyRelation, form: str) -> Iterator[str]:
    if form == "table":
        yield f"{found}\n"
        return
    text = "to_json(found)::VARCHAR AS line" if form == "jsonl" else ", ".join(_csv_columns(found))
    as_text: Any = found.query("found", f"SELECT {text} FROM found")  # noqa: S608 - quoted names
    if form == "csv":
        yield pl.DataFrame(schema=dict.fromkeys(_unique(found.columns), pl.String)).write_csv()
    for batch in as_text.to_arrow_reader(BATCH):
        rows: dict[str, list[str | None]] = batch.to_pydict()
        if form == "csv":
            yield pl.DataFrame(rows, schema=dict.fromkeys(rows, pl.String)).write_csv(include_header=False)
        else:
            yield "".join(f"{_strict(str(line))}\n" for line in rows["line"])


def _csv_columns(found: duckdb.DuckDBPyRelation) -> Iterator[str]:
    """Each column as text: DuckDB's own, or JSON for what has parts."""
    for name, kind in zip(_unique(found.columns), found.types, strict=True):
        quoted = '"' + name.replace('"', '""') + '"'
        yield f"to_json({quoted})::VARCHAR AS {quoted}" if kind.id in _NESTED else f"{quoted}::VARCHAR AS {quoted}"


def _unique(names: list[str]) -> list[str]:
    """Column names as DuckDB makes them unique in a subquery: ``a``, ``a_1``."""
    seen: set[str] = set()
    made: list[str] = []
    for name in names:
        n, unique = 0, name
        while unique.lower() in seen:
            n += 1
            unique = f"{name}_{n}"
        seen.add(unique.lower())
        made.append(unique)
    return made


def _strict(line: str) -> str:
    """The same JSON with null for what JSON has no number for."""
    if not any(word in line for word in _NOT_FINITE):
        return line
    values: Any = json.loads(line, parse_constant=lambda _word: None)
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))
