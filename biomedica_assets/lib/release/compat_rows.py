"""What the records of an export need, read once for each chunk: the samples of a shard joined with everything.

Belongs here: which rows of which tables. ``compat.py`` makes fields of them, ``compat_export.py`` writes the tars. The
copies of the tables have a row group for each chunk, so a read of one chunk skips all others by their statistics.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import polars as pl

from biomedica_assets.lib.release.copies import scan
from biomedica_assets.lib.tables import (
    ARTICLE_INDEX,
    ARTICLES,
    CAPTIONS,
    FIGURE_LABELS,
    FIGURES,
    IMAGES,
    MENTIONS,
    PUBMED_RECORDS,
    SHARDS,
    Table,
)

_ARTICLE = ("title", "journal", "date", "abstract", "keywords", "n_references", "subjects")
_Rows = Mapping[str, Sequence[dict[str, Any]]]


@dataclasses.dataclass(frozen=True, slots=True)
class ShardRows:
    """One shard of a release.

    Attributes:
        shard: its path in the release.
        samples: in the order of the tar, joined with image, figure, caption, article, PubMed record and labels.
        together: article id -> all its samples: key, pixel_hash, caption.
        cited: figure id -> its mentions, in order.
    """

    shard: str
    samples: pl.DataFrame
    together: _Rows
    cited: _Rows


def shard_rows(release: Path, shards: Sequence[str]) -> Iterator[ShardRows]:
    """The shards, those of a chunk one after the other; memory holds the tables of one chunk.

    Args:
        release: folder of the release.
        shards: their paths in it, named by chunk as ``tars.py`` names them.
    """
    chunks: defaultdict[str, list[str]] = defaultdict(list)
    for shard in shards:
        chunks[_chunk(shard)].append(shard)
    lowest_and_highest = (
        scan(release, SHARDS)
        .group_by("shard")
        .agg(pl.col("article_id").min().alias("low"), pl.col("article_id").max().alias("high"))
        .collect(engine="streaming")
    )
    spans = {shard: (low, high) for shard, low, high in lowest_and_highest.iter_rows()}
    for _, paths in sorted(chunks.items()):
        low, high = min(spans[path][0] for path in paths), max(spans[path][1] for path in paths)
        part = _Chunk(release, paths, low, high)
        yield from (ShardRows(path, part.samples(path), part.together, part.cited) for path in paths)


class _Chunk:
    """The rows of every table that belong to the samples of some shards of one chunk."""

    def __init__(self, release: Path, shards: Sequence[str], low: str, high: str) -> None:
        placed = pl.col("article_id").is_between(pl.lit(low), pl.lit(high)) & pl.col("shard").is_in(shards)
        self._samples = scan(release, SHARDS).filter(placed).collect()
        self._release = release
        self._images = self._of(IMAGES, "media_id").select("media_id", "key", "pixel_hash", "width", "height")
        self._captions = self._of(CAPTIONS, "figure_id").select("figure_id", "caption")
        self._rest = (
            (self._of(FIGURES, "figure_id").select("figure_id", "license_code"), "figure_id"),
            (self._captions, "figure_id"),
            (
                self._of(ARTICLES, "article_id").select(
                    "article_id", *_ARTICLE, pl.col("license_code").alias("article_license")
                ),
                "article_id",
            ),
            (self._of(ARTICLE_INDEX, "article_id").select("article_id", "citation"), "article_id"),
            (
                self._of(PUBMED_RECORDS, "article_id").select(
                    "article_id", "mesh", "references", pl.col("abstract").alias("pubmed_abstract")
                ),
                "article_id",
            ),
            (
                self._of(FIGURE_LABELS, "media_id").select(
                    "media_id", "cluster", "panel_type", "panel_subtype", "global", "local"
                ),
                "media_id",
            ),
        )
        self.together = _by(
            self._samples.join(self._images, on="media_id")
            .join(self._captions, on="figure_id")
            .sort("key", "media_id")
            .select("article_id", "key", "pixel_hash", "caption"),
            "article_id",
        )
        self.cited = _by(self._of(MENTIONS, "figure_id").sort("ordinal", "mention_id"), "figure_id")

    def samples(self, shard: str) -> pl.DataFrame:
        """Samples of a shard in its order; joined one shard at a time, since long fields repeat with each figure."""
        found = self._samples.filter(shard=shard).join(self._images, on="media_id")
        for rows, on in self._rest:
            found = found.join(rows, on=on, how="left")
        return found.sort("position")

    def _of(self, table: Table, key: str) -> pl.DataFrame:
        """Rows of a table about the samples; the bounds let the reader skip the row groups of other chunks."""
        wanted = self._samples[key].unique()
        within = pl.col(key).is_between(pl.lit(wanted.min()), pl.lit(wanted.max())) & pl.col(key).is_in(
            wanted.implode()
        )
        return scan(self._release, table).filter(within).collect()


def _chunk(shard: str) -> str:
    """``shards/commercial/PMC007-0340-jpg-000000-….tar`` -> ``PMC007-0340``."""
    return "-".join(PurePosixPath(shard).name.split("-")[:2])


def _by(rows: pl.DataFrame, column: str) -> dict[str, Sequence[dict[str, Any]]]:
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows.iter_rows(named=True):
        found[row[column]].append(row)
    return dict(found)
