"""Records of released labels, batch by batch: Parquet, CSV, JSON lines, WebDataset tars; a file, or an address.

Belongs here: how files are opened and how much of them is in memory (one batch, of a tar one record). What a record
means is ``definition``.
"""

from __future__ import annotations

import json
import tarfile
import urllib.request
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

import polars as pl

from biomedica_assets.lib.errors import PermanentFailure

BATCH = 10_000
_TABLES = {".parquet": pl.scan_parquet, ".csv": pl.scan_csv, ".jsonl": pl.scan_ndjson, ".ndjson": pl.scan_ndjson}
_REMOTE = ("http://", "https://")
_TIMEOUT = 60.0


def records(place: str, columns: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """Records of one file, in its order; each with the given columns, None where it lacks one.

    Args:
        place: path or address, ending in .parquet, .csv, .jsonl, .ndjson or .tar; tables may lie wherever Polars reads
            (s3://, hf://, https://).
        columns: names of columns, or of fields of a WebDataset's JSON member, or extensions of its other members.

    Raises:
        PermanentFailure: the file cannot be read, or has none of the columns.
    """
    ending = PurePosixPath(place.split("?", maxsplit=1)[0]).suffix.lower()
    try:
        if ending == ".tar":
            yield from _of_tar(place, columns)
        elif ending in _TABLES:
            yield from _of_table(place, ending, columns)
        else:
            raise PermanentFailure(f"{place}: released labels are read from {', '.join(_TABLES)} and .tar")
    except (OSError, tarfile.TarError, ValueError, pl.exceptions.PolarsError) as error:
        raise PermanentFailure(f"{place} cannot be read as released labels: {error}") from error


def _of_table(place: str, ending: str, columns: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    options: dict[str, Any] = {"infer_schema": False} if ending == ".csv" else {}
    frame = _TABLES[ending](place, **options)
    there = frame.collect_schema().names()
    wanted = [column for column in dict.fromkeys(columns) if column in there]
    if not wanted:
        raise PermanentFailure(f"{place} has none of the columns {', '.join(columns)}; it has {', '.join(there[:12])}")
    for batch in frame.select(wanted).collect_batches(chunk_size=BATCH, maintain_order=True):
        yield from batch.iter_rows(named=True)


def _of_tar(place: str, columns: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """Members of one key that follow one another are one record, as WebDataset has it."""
    wanted, key, record = set(columns), "", dict[str, Any]()
    with _opened(place) as stream, tarfile.open(fileobj=stream, mode="r|*") as tar:
        for member in tar:
            if not member.isfile():
                continue
            folder, _, base = member.name.rpartition("/")
            stem, _, extension = base.partition(".")
            if (now := f"{folder}/{stem}") != key:
                if record:
                    yield record
                key, record = now, {}
            if extension == "json" or extension in wanted:
                held = tar.extractfile(member)
                data = held.read() if held else b""
                if extension == "json":
                    fields: object = json.loads(data)
                    found = cast("dict[str, Any]", fields) if isinstance(fields, dict) else {}
                    record |= {name: found[name] for name in wanted if name in found}
                else:
                    record[extension] = data.decode("utf-8", "replace") if extension == "txt" else data
    if record:
        yield record


@contextmanager
def _opened(place: str) -> Generator[BinaryIO]:
    if place.startswith(_REMOTE):
        with urllib.request.urlopen(place, timeout=_TIMEOUT) as answer:  # noqa: S310 - the scheme was just looked at
            yield cast("BinaryIO", answer)
    else:
        with open(place, "rb") as handle:  # noqa: PTH123 - a place may be no path
            yield handle
