"""``biomedica stream RELEASE --where``: a condition on samples becomes an index, which is then streamed like any other.

The tables of a release are read by column and range wherever it lies; no data directory is needed. A plain stream does
not come here: it starts in milliseconds without polars and DuckDB.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.pmc.source import PMC_BUCKET, KeyRefused, ObjectMissing, PmcSource, SourceError, open_source
from biomedica_assets.lib.release import indexes, texts
from biomedica_assets.lib.select import catalog_view, predicate
from biomedica_assets.lib.stream import afar, index
from biomedica_assets.lib.stream.addresses import is_remote
from biomedica_assets.lib.stream.failures import StreamError
from biomedica_assets.lib.stream.pictures import Lost
from biomedica_assets.lib.tables import RECIPE, SHARDS, SOURCES, Table

_PLACES = (SHARDS, SOURCES)


def selected(
    release: str, recipe: str | None, where: str, token: str | None, folder: Path, pictures: str | None = None
) -> Path:
    """The index of the samples of a release that meet a condition.

    Args:
        release: folder or ``http(s)://`` address.
        recipe: whose samples and splits; None for ``full``, or, of a release without recipes, all samples as ``train``.
        where: condition on the columns of the view ``samples``, as a recipe has it.
        token: bearer token.
        folder: where the index is written; one that is there for the same release and words is used again.
        pictures: ``shards`` or ``source``; None takes what the release has.

    Raises:
        RecipeError: the condition is none.
        StreamError: the release cannot be read, or has no such recipe.
        PermanentFailure: no sample meets the condition.
    """
    told = afar.manifest(release, token)
    holds = any(file["kind"] == "shard" for file in told["files"])
    pictures = pictures or (index.IN_SHARDS if holds else index.AT_SOURCE)
    if pictures == index.IN_SHARDS and not holds:
        raise StreamError(f"{release} holds no pictures; use --pictures {index.AT_SOURCE}")
    text = "\n".join((str(told["key"]), recipe or "", where, pictures))
    path = folder / f"{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}{indexes.SUFFIX}"
    if path.is_file():
        return path
    condition = predicate.check(where)
    files = {str(file["path"]): int(file["bytes"]) for file in told["files"]}

    def read(table: Table, below: str = "") -> pl.LazyFrame | None:
        paths = sorted(path for path in files if path.startswith(f"data/{table.name}/{below}"))
        wanted = _columns(table, condition.columns)
        found = [_read(release, path, [c for c in wanted if c in table.schema], token) for path in paths]
        if not found and table.name not in catalog_view.OPTIONAL:
            return table.empty().lazy()
        return pl.concat(found).lazy() if found else None

    rows = catalog_view.joined(read, condition.columns)
    keys = rows.filter(predicate.matches(condition, rows)).select("sample_key")
    name, seed = recipe, 0
    if recipe is not None or any(file.endswith(indexes.SUFFIX) for file in files):
        opened = afar.open_index(release, recipe, token, pictures=pictures)
        name, seed = opened.recipe, opened.seed
        opened.close()
        listed = read(RECIPE, f"{name}/")
        chosen = keys.lazy().join(RECIPE.empty().lazy() if listed is None else listed, on="sample_key").collect()
    else:
        chosen = keys.with_columns(split=pl.lit("train"), repeat=pl.lit(1, dtype=pl.Int32))
    if not chosen.height:
        raise PermanentFailure(f"no sample of {release} meets {where!r}; loosen the condition")
    table, write = (SHARDS, indexes.write_at) if pictures == index.IN_SHARDS else (SOURCES, texts.write_at)
    places = read(table)
    folder.mkdir(parents=True, exist_ok=True)
    write(path, name or "all", chosen, table.empty().lazy() if places is None else places, files, seed, index.write)
    return path


def _columns(table: Table, names: frozenset[str]) -> Sequence[str]:
    """Columns of a table that the condition, the joins and the index need."""
    if table is RECIPE:
        return ("sample_key", "split", "repeat")
    own = {c.source for c in catalog_view.COLUMNS if c.table == table.name and c.name in names}
    keys = {key for joined, key in catalog_view.JOINS.values() if joined is table or table is SHARDS}
    places = {"sample_key", "shard", "start", "end", "check", "image_ext"} if table in _PLACES else set[str]()
    return sorted(own | keys | places)


def _read(release: str, path: str, columns: Sequence[str], token: str | None) -> pl.DataFrame:
    try:
        if not is_remote(release):
            return pl.read_parquet(Path(release) / path, columns=list(columns))
        with _Handle(afar.RemoteFile(release, path, token)) as handle:
            arrow: Any = pq.ParquetFile(handle, pre_buffer=True).read(columns=list(columns))
            return pl.DataFrame(pl.from_arrow(arrow))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise StreamError(f"{path} of {release} cannot be read: {error}; fetch or upload the release again") from error


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


class Bucket:
    """A source of articles as a stream asks it for pictures."""

    def __init__(self, source: PmcSource) -> None:
        """Args: source: the bucket, or a directory in its layout."""
        self._source = source

    @property
    def location(self) -> str:
        """For people."""
        return self._source.location

    def get(self, key: str) -> bytes | Lost:
        """See ``lib.stream.pictures.Source``."""
        try:
            return self._source.get(key)
        except (ObjectMissing, KeyRefused) as error:
            return Lost(str(error))
        except SourceError as error:
            raise StreamError(f"{error}; start again when the source answers") from error


def open_bucket(place: str, in_flight: int) -> Bucket:
    """A bucket or a directory in its layout.

    Args:
        place: ``s3://bucket``, ``http(s)://endpoint/bucket`` of another S3, or a directory.
        in_flight: connections that stay open.

    Raises:
        PermanentFailure: it is none of these.
    """
    if place.startswith(("http://", "https://")):
        endpoint, _, bucket = place.rstrip("/").rpartition("/")
        if "://" not in endpoint or endpoint.endswith("/") or not bucket:
            raise StreamError(f"--source {place} names no bucket; give http(s)://host/bucket, or s3://{PMC_BUCKET}")
        return Bucket(open_source(f"s3://{bucket}", endpoint=endpoint, concurrency=in_flight))
    return Bucket(open_source(place, concurrency=in_flight))
