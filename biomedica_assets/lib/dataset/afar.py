"""Reading a release wherever it lies: columns of its tables, single rows, single files.

Belongs here: what stands between the files of a release, in a folder or behind HTTP, and Polars; by range, so that of a
large table only the wanted columns and row groups come.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from biomedica_assets.lib.stream import afar
from biomedica_assets.lib.stream.addresses import is_remote
from biomedica_assets.lib.stream.failures import StreamError


def read_columns(release: str, path: str, columns: Sequence[str] | None, token: str | None = None) -> pl.DataFrame:
    """Columns of one Parquet file of a release.

    Args:
        release: folder or ``http(s)://`` address.
        path: of the file below it.
        columns: names; None for all.
        token: bearer token.

    Raises:
        StreamError: it is not there or cannot be read.
    """
    try:
        if not is_remote(release):
            return pl.read_parquet(Path(release) / path, columns=None if columns is None else list(columns))
        with _Handle(afar.RemoteFile(release, path, token)) as handle:
            return _frame(_parquet(handle).read(columns=None if columns is None else list(columns)))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _unreadable(release, path, error) from error


def schema_of(release: str, path: str, token: str | None = None) -> pl.Schema:
    """Columns of one Parquet file of a release, from its footer.

    Raises:
        StreamError: it is not there or cannot be read.
    """
    try:
        with _opened(release, path, token) as handle:
            return _frame(_parquet(handle).schema_arrow.empty_table()).schema
    except OSError as error:
        raise _unreadable(release, path, error) from error


def rows_with(
    release: str, path: str, column: str, value: str, columns: Sequence[str], token: str | None = None
) -> pl.DataFrame:
    """Rows of a Parquet file whose ``column`` has a value, from the row groups that can hold it.

    Raises:
        StreamError: it is not there or cannot be read.
    """
    try:
        with _opened(release, path, token) as handle:
            file = _parquet(handle)
            names: list[str] = file.schema_arrow.names
            groups = [n for n in range(file.num_row_groups) if _may_hold(file, n, names.index(column), value)]
            wanted = sorted({column, *columns} & set(names))
            return _frame(file.read_row_groups(groups, columns=wanted)).filter(pl.col(column) == value)
    except OSError as error:
        raise _unreadable(release, path, error) from error


def paths_of(told: Any, table: str, below: str = "") -> list[str]:
    """Paths of the Parquet files of a table, in order.

    Args:
        told: ``MANIFEST.json`` of the release.
        table: its name.
        below: folder in it, as a recipe has.
    """
    begin = f"data/{table}/{below}"
    return sorted(str(file["path"]) for file in told["files"] if str(file["path"]).startswith(begin))


def parts(
    paths: Sequence[str], release: str, columns: Sequence[str] | None, token: str | None
) -> Iterator[pl.DataFrame]:
    """Columns of several files, one after the other."""
    for path in paths:
        yield read_columns(release, path, columns, token)


def _opened(release: str, path: str, token: str | None) -> io.RawIOBase | io.BufferedReader:
    return _Handle(afar.RemoteFile(release, path, token)) if is_remote(release) else (Path(release) / path).open("rb")


def _parquet(handle: Any) -> Any:
    return importlib.import_module("pyarrow.parquet").ParquetFile(handle, pre_buffer=True)


def _frame(arrow: Any) -> pl.DataFrame:
    return pl.DataFrame(arrow)


def _may_hold(file: Any, group: int, column: int, value: str) -> bool:
    told = file.metadata.row_group(group).column(column).statistics
    return told is None or not told.has_min_max or told.min <= value <= told.max


def _unreadable(release: str, path: str, error: Exception) -> StreamError:
    return StreamError(f"{path} of {release} cannot be read: {error}; fetch or upload the release again")


class _Handle(io.RawIOBase):
    """A remote file as Python's files are."""

    def __init__(self, file: afar.RemoteFile) -> None:
        self._file, self._at = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._at = offset + (0, self._at, self._file.size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        data = self._file.at(self._at, len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()
