"""What may be shown, and the index that holds nothing else.

The rule is that of a release (``lib.release.rights``): nothing of a withdrawn article, only licences whose group allows
passing on, and both of the figure and of its article. All that the page shows comes from this index or is looked up by
an id that it holds, so that no route has to remember the rule. What may not be shown is known by id and reason alone.

The index is one Parquet file for each chunk below ``explore/`` of the data directory, named by what it was made from,
sorted by image: it is made once, again when an input changed, and can be deleted. Manifests are looked at before each
answer, at most once a second, so that a withdrawal holds as soon as the tables say so. A chunk whose rights cannot be
read is not shown at all.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import threading
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from biomedica_assets.lib.errors import BiomedicaError
from biomedica_assets.lib.release.rights import Rules, allowed
from biomedica_assets.lib.store import atomic, catalog
from biomedica_assets.lib.store.lake import MANIFEST, Lake
from biomedica_assets.lib.store.manifest import digest
from biomedica_assets.lib.tables import (
    ARTICLES,
    CAPTIONS,
    CONTACT_SHEETS,
    DUPLICATES,
    EMBEDDING_MAP,
    FIGURE_LABELS,
    FIGURES,
    IMAGES,
    PUBMED_RECORDS,
    RECIPE,
    SHARDS,
    TOMBSTONES,
    Table,
)

LOG = logging.getLogger(__name__)

VERSION = "2"
FOLDER = "explore"
CAPTION_CHARS = 240
"""So much of a caption stands in the index: what fits under a picture."""
_MADE_FROM = (SHARDS, IMAGES, FIGURES, CAPTIONS, ARTICLES, FIGURE_LABELS, PUBMED_RECORDS, TOMBSTONES, EMBEDDING_MAP)
_LABELS = ("global", "local", "content")
_OLD_SECONDS = 3600.0
"""Files of earlier inputs stay so long, for another page over the same data that still reads them."""

_SCHEMA: dict[str, Any] = {
    "media_id": pl.String,
    "sample_key": pl.String,
    "figure_id": pl.String,
    "article_id": pl.String,
    "pmcid": pl.Int64,
    "chunk": pl.String,
    "path": pl.String,
    "width": pl.Int32,
    "height": pl.Int32,
    "license_code": pl.String,
    "license_group": pl.String,
    "label": pl.String,
    "kind": pl.String,
    "caption": pl.String,
    "title": pl.String,
    "journal": pl.String,
    "year": pl.Int32,
    "cluster": pl.Int32,
    "panel_type": pl.String,
    "panel_type_confidence": pl.Float32,
    **{name: pl.List(pl.String) for name in _LABELS},
    **{f"{name}_confidence": pl.Float32 for name in _LABELS},
    # Of the column of the view ``samples`` what conditions of the page speak of.
    "mesh_headings": pl.List(pl.Struct({"descriptor": pl.String})),
    # Place on the map, and a uniform number by which a part of many is drawn.
    "x": pl.Float32,
    "y": pl.Float32,
    "thin": pl.Float32,
}
_HIDDEN: dict[str, Any] = {"id": pl.String, "article_id": pl.String, "why": pl.String}


@dataclasses.dataclass(frozen=True, slots=True)
class _Files:
    """Index of one chunk: what may be shown, and what may not."""

    shown: Path
    hidden: Path


class Shown:
    """The index of one data directory; safe in threads."""

    def __init__(self, lake: Lake, rules: Rules | None = None, *, look_every: float = 1.0) -> None:
        """Args: lake: the data directory; rules: of a release; look_every: seconds between looks at the manifests."""
        self.lake, self.rules = lake, rules or Rules()
        self._look_every, self._looked = look_every, -1e9
        self._lock = threading.Lock()
        self._stamps: dict[str, tuple[object, ...]] = {}
        self._files: dict[str, _Files] = {}
        self._unreadable: dict[str, str] = {}
        self._connection = duckdb.connect()
        catalog.create_views(self._connection, lake, [RECIPE, DUPLICATES, CONTACT_SHEETS])
        self.version = 0

    @property
    def unreadable(self) -> dict[str, str]:
        """Chunks that cannot be shown, each with the reason."""
        return dict(self._unreadable)

    @contextlib.contextmanager
    def ask(self) -> Generator[duckdb.DuckDBPyConnection]:
        """A connection with views: ``shown``, ``hidden``, ``recipe``, ``duplicates``, ``contact_sheets``, ``rejects``.

        ``shown`` has a row for each image that may be shown; ``sample_key`` is null where it is in no shard.
        ``hidden`` has ``id`` (article, figure or image), ``article_id`` and ``why`` of what may not.
        """
        with self._lock:
            if time.monotonic() - self._looked >= self._look_every:
                self._look()
                self._looked = time.monotonic()
            cursor = self._connection.cursor()
        with cursor:
            yield cursor

    def _look(self) -> None:
        """Make the index of chunks whose tables changed; views follow."""
        chunks = self.lake.partitions(IMAGES)
        changed = False
        for chunk in [key for key in self._files if key not in set(chunks)]:
            del self._files[chunk], self._stamps[chunk]
            changed = True
        for chunk in chunks:
            stamp = tuple(_stamp(self.lake, table, chunk) for table in _MADE_FROM)
            if self._stamps.get(chunk) == stamp:
                continue
            changed = True
            self._files.pop(chunk, None)
            self._unreadable.pop(chunk, None)
            try:
                self._files[chunk] = self._index(chunk)
            except (BiomedicaError, OSError, pl.exceptions.PolarsError) as error:
                LOG.warning("%s is not shown: %s", chunk, error)
                self._unreadable[chunk] = str(error)
                self._stamps.pop(chunk, None)
            else:
                self._stamps[chunk] = stamp
        if changed or not self.version:
            self.version += 1
            for name, schema in (("shown", _SCHEMA), ("hidden", _HIDDEN)):
                paths = [str(getattr(files, name)) for _, files in sorted(self._files.items())]
                self._view(name, paths, schema)

    def _view(self, name: str, paths: list[str], schema: Mapping[str, Any]) -> None:
        if not paths:
            empty = self.lake.root / FOLDER / f"none.{name}.parquet"
            with atomic.replacing(empty) as temporary:
                pl.DataFrame(schema=schema).write_parquet(temporary)
            paths = [str(empty)]
        listed = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
        self._connection.execute(f"CREATE OR REPLACE VIEW {name} AS SELECT * FROM read_parquet([{listed}])")  # noqa: S608

    def _index(self, chunk: str) -> _Files:
        """The files of a chunk's index, made unless they are there."""
        versions = {table.name: self.lake.version(table, chunk) for table in _MADE_FROM}
        name = f"{chunk}-{digest(VERSION, json.dumps([versions, self.rules.recorded()], sort_keys=True))[:16]}"
        folder = self.lake.root / FOLDER
        files = _Files(folder / f"{name}.shown.parquet", folder / f"{name}.hidden.parquet")
        if not (files.shown.exists() and files.hidden.exists()):
            shown, hidden = _rows(self.lake, chunk, self.rules)
            for path, frame in ((files.hidden, hidden), (files.shown, shown)):
                with atomic.replacing(path) as temporary:
                    frame.write_parquet(temporary, row_group_size=20_000)
        _sweep(folder, chunk, {files.shown.name, files.hidden.name})
        return files


def rows_of(ask: duckdb.DuckDBPyConnection, query: str, values: object = None) -> pl.DataFrame:
    """The answer to a query with parameters."""
    return ask.sql(query, params=values).pl()


def first_of(ask: duckdb.DuckDBPyConnection, query: str, values: object = None) -> tuple[Any, ...] | None:
    """The first row of an answer; None if there is none. Reads it to its end, as the connection demands."""
    found = rows_of(ask, query, values)
    return found.row(0) if found.height else None


def _stamp(lake: Lake, table: Table, chunk: str) -> tuple[int, int] | None:
    """Changes when a partition is written again."""
    try:
        found = (lake.folder(table, chunk) / MANIFEST).stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_ino


def _sweep(folder: Path, chunk: str, kept: set[str]) -> None:
    """Take files of earlier inputs away that nobody reads any more."""
    for path in folder.glob(f"{chunk}-*.parquet"):
        with contextlib.suppress(FileNotFoundError):
            if path.name not in kept and time.time() - path.stat().st_mtime > _OLD_SECONDS:
                path.unlink()


def _rows(lake: Lake, chunk: str, rules: Rules) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What of a chunk may be shown, one row an image, and the ids of what may not."""
    rights = allowed(lake, chunk, rules)

    def read(table: Table) -> pl.LazyFrame:
        made = lake.manifest(table, chunk) is not None
        return lake.read_lazy(table, chunk) if made else table.empty().lazy()

    images = rights.keep(read(IMAGES)).select(
        "media_id", "figure_id", "article_id", "path", "width", "height", "license_code", "license_group"
    )
    samples = read(SHARDS).select("media_id", "sample_key").unique("media_id")
    figures = rights.keep(read(FIGURES)).select("figure_id", "label", "kind")
    captions = rights.keep(read(CAPTIONS)).select("figure_id", pl.col("caption").str.slice(0, CAPTION_CHARS))
    articles = rights.keep(read(ARTICLES)).select("article_id", "pmcid", "title", "journal", "year")
    wanted = ("cluster", "panel_type", "panel_type_confidence", *_LABELS, *(f"{name}_confidence" for name in _LABELS))
    labels = read(FIGURE_LABELS).select("media_id", *wanted)
    descriptors = pl.col("mesh").list.eval(pl.struct(pl.element().struct.field("descriptor")))
    headings = read(PUBMED_RECORDS).select("article_id", descriptors.alias("mesh_headings"))
    shown = (
        images.join(samples, on="media_id", how="left")
        .join(figures, on="figure_id", how="left")
        .join(captions, on="figure_id", how="left")
        .join(articles, on="article_id", how="left")
        .join(labels, on="media_id", how="left")
        .join(headings, on="article_id", how="left")
        .join(read(EMBEDDING_MAP), on="media_id", how="left")
        .with_columns((pl.col("media_id").hash(0).cast(pl.Float64) / 2.0**64).alias("thin"))
        .with_columns(pl.lit(chunk).alias("chunk"))
        .select(pl.col(name).cast(dtype) for name, dtype in _SCHEMA.items())
        .sort("media_id")
        .collect()
    )
    why = {reject.subject or "": reject.message for reject in rights.rejects}
    gone = set(read(TOMBSTONES).select("article_id").collect()["article_id"])
    good = rights.articles.implode()
    bad = read(ARTICLES).filter(~pl.col("article_id").is_in(good)).select("article_id", "is_retracted", "license_code")
    hidden: list[dict[str, str]] = []
    for article, retracted, code in bad.collect().iter_rows():
        is_gone = retracted or article in gone
        said = "the article is withdrawn" if is_gone else f"the article's licence is not taken: {code or 'not known'}"
        hidden.append({"id": article, "article_id": article, "why": said})
    known = {one["id"] for one in hidden}
    hidden += [{"id": one, "article_id": one, "why": "the article is withdrawn"} for one in sorted(gone - known)]
    for table, column, kept in ((FIGURES, "figure_id", rights.figures), (IMAGES, "media_id", rights.media)):
        rows = read(table).filter(~pl.col(column).is_in(kept.implode()))
        for one, figure, article in rows.select(pl.col(column).alias("id"), "figure_id", "article_id").collect().rows():
            said = why.get(figure, "the image's licence is not taken")
            hidden.append({"id": one, "article_id": article, "why": said})
    return shown, pl.DataFrame(hidden, schema=_HIDDEN).sort("id")
