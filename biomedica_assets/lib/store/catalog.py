"""The catalog: a DuckDB file that holds only views over the Parquet tables, for people and for SQL.

No run writes data into it, so nothing is ever locked. A view reads the partitions that exist at the time of the query,
and of their files those that the manifests name then: beside them lie files of earlier runs, which others may be
reading. A partition without rows lets a view answer before the first real one does.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

import duckdb
import polars as pl

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.report import Report, Scalar
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.store.lake import DIGITS, MANIFEST, PART, REJECTS_PART, Lake
from biomedica_assets.lib.tables import CATALOG, REJECTS, TABLES, Table

VERSION = "4"
FILE = "catalog.duckdb"
_EMPTY = "_empty"
_FIXED_NAMES = {PART: "part-0.parquet", REJECTS_PART: "rejects.parquet"}
"""Of partitions whose manifest is older than names by digest; see ``Lake.manifest``."""


def build_catalog(lake: Lake, further: Sequence[str] = ()) -> Report:
    """Stage of the asset ``catalog``: the DuckDB file, and a table that says which views it has.

    Args:
        lake: the data directory.
        further: statements that make views over those of the tables.
    """
    began = time.perf_counter()
    path = build(lake, further=further)
    rows: list[dict[str, object]] = [
        {
            "view": t.name,
            "meaning": t.meaning,
            "key": list(t.key),
            "partitioning": t.partitioning,
            "columns": len(t.columns),
        }
        for t in (*TABLES.values(), REJECTS)
    ]
    manifest = lake.publish(
        CATALOG, None, CATALOG.frame(rows), code_version=VERSION, inputs=lake.inputs((TABLES["pmc_inventory"], None)),
        config={}, n_in=len(rows), n_out=len(rows),
    )  # fmt: skip
    preview = tuple({"view": r["view"], "meaning": r["meaning"]} for r in rows)
    return Report(
        asset="catalog", partition=None, data_version=manifest.data_version, rows=len(rows), n_in=len(rows),
        n_out=len(rows), bytes_written=path.stat().st_size, seconds=time.perf_counter() - began,
        preview=cast("tuple[dict[str, Scalar], ...]", preview),
    )  # fmt: skip


def build(lake: Lake, tables: Iterable[Table] | None = None, *, further: Sequence[str] = ()) -> Path:
    """Write ``catalog.duckdb`` with one view per table, ``rejects`` and ``further``; replaces it atomically."""
    path = lake.root / FILE
    for folder in (lake.root, *(lake.root / "tables" / name / _EMPTY for name in (*TABLES, _EMPTY))):
        atomic.sweep(folder)
    with atomic.replacing(path) as temporary, duckdb.connect(str(temporary)) as connection:
        create_views(connection, lake, tables)
        for statement in further:
            connection.execute(statement)
    return path


def connect(lake: Lake, tables: Iterable[Table] | None = None) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection in memory with the same views, for code that wants SQL over the lake."""
    connection = duckdb.connect()
    create_views(connection, lake, tables)
    return connection


def open_catalog(lake: Lake, *, write: bool = False) -> duckdb.DuckDBPyConnection:
    """The catalog; its views read this data directory, also where it was moved or copied after the build.

    Args:
        lake: the data directory.
        write: open the file for writing, too; nobody else can have it open meanwhile.

    Raises:
        PermanentFailure: it has not been built; or it is to be written and was built elsewhere.
    """
    path = lake.root / FILE
    if not path.exists():
        raise PermanentFailure(f"{path} does not exist; materialise the asset `catalog` first (`biomedica run` does)")
    connection = duckdb.connect(str(path), read_only=not write)
    built_at, here = _place(connection), str(lake.root)
    if built_at == here:
        return connection
    if write:
        connection.close()
        raise PermanentFailure(f"{path} was made at {built_at}; `biomedica run --select catalog` makes it anew here")
    # DuckDB keeps absolute paths: the catalog of a copied demo answered from the original, without a word.
    with connection:
        views = connection.execute("SELECT view_name, sql FROM duckdb_views() WHERE NOT internal").fetchall()
    moved = connect(lake)
    for name, statement in views:
        if name not in TABLES and name != REJECTS.name:
            moved.execute(statement)
    return moved


def _place(connection: duckdb.DuckDBPyConnection) -> str:
    """The data directory that the views read."""
    rows = connection.execute("SELECT sql FROM duckdb_views() WHERE view_name = 'rejects'").fetchall()
    found = re.search(r"read_parquet\('(.+?)[/\\]tables[/\\]\*[/\\]\*[/\\]", rows[0][0]) if rows else None
    if found is None:
        raise PermanentFailure("catalog.duckdb has no view `rejects`: materialise the asset `catalog` again")
    return found[1].replace("''", "'")


def create_views(connection: duckdb.DuckDBPyConnection, lake: Lake, tables: Iterable[Table] | None = None) -> None:
    """Create one view per table, with the partition key as a column, and ``rejects`` over all of them."""
    for table in tables if tables is not None else TABLES.values():
        connection.execute(_view(lake, table))
    _write_empty(lake.root / "tables" / _EMPTY / _EMPTY, REJECTS_PART, REJECTS)
    columns = ", ".join(_quoted(c.name) for c in REJECTS.columns)
    key = r"regexp_extract(filename, '=([^/\\]+)[/\\][^/\\]+$', 1)"
    connection.execute(
        f"CREATE OR REPLACE VIEW rejects AS SELECT {columns}, nullif({key}, '') AS partition "  # noqa: S608
        f"FROM {_named_files(lake.root / 'tables' / '*' / '*', REJECTS_PART)}"
    )


def _view(lake: Lake, table: Table) -> str:
    base = lake.root / "tables" / table.name
    _write_empty(base / _EMPTY, PART, table)
    columns = ", ".join(_quoted(c.name) for c in table.columns)
    if table.partitioning != "none":
        # The key comes from the folder's name: hive partitioning would want it of the file without rows, too.
        name = rf"{table.partitioning}=([^/\\]+)"
        columns += f", regexp_extract(filename, '{name}', 1) AS {_quoted(table.partitioning)}"
    source = _named_files(base / "*", PART)
    return f"CREATE OR REPLACE VIEW {_quoted(table.name)} AS SELECT {columns} FROM {source}"  # noqa: S608


def _named_files(folders: Path, stem: str) -> str:
    """The rows of those files ``<stem>-<digest>.parquet`` that the manifests beside them name.

    The name is cut out of the manifest's text: 650 manifests take 0.1 s so, 0.8 s as JSON (two busy cores). Columns are
    matched by name, since a file of an earlier run may have those of an earlier version of the table.
    """
    files, manifests = _text(str(folders / f"{stem}*.parquet")), _text(str(folders / MANIFEST))
    entry = rf'"path": "[^"]*/({stem}-(?:[0-9a-f]{{{DIGITS}}}|empty)\.parquet)"'
    name = f"coalesce(nullif(regexp_extract(content, {_text(entry)}, 1), ''), {_text(_FIXED_NAMES[stem])})"
    named = f"left(filename, -{len(MANIFEST)}) || {name}"
    return (
        f"read_parquet({files}, filename = true, hive_partitioning = false, union_by_name = true) "  # noqa: S608
        f"WHERE filename IN (SELECT {named} FROM read_text({manifests}))"
    )


def _write_empty(folder: Path, stem: str, table: Table) -> None:
    """A partition without rows that every pattern finds: DuckDB refuses one that matches nothing."""
    path, manifest = folder / f"{stem}-empty.parquet", folder / MANIFEST
    if not path.exists() or not manifest.exists() or pl.read_parquet_schema(path) != table.schema:
        with atomic.replacing(path) as temporary:
            table.empty().write_parquet(temporary)
        atomic.write_bytes(manifest, f'{{"parts": [{{"path": "{_EMPTY}/{path.name}"}}]}}\n'.encode())


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
