"""What may be passed on: decided per figure, from the licence in force for it and the article's state.

The rules, strongest first: nothing of a withdrawn article (``tombstones``; also a flag beside it); only licences of
the groups that a release takes, which can never be ``other``; images that may only be passed on unchanged (ND) unless
they are switched off. A figure's own permission line decides against its article's licence (``figures.license_code``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import polars as pl

from biomedica_assets.lib import licenses
from biomedica_assets.lib.errors import PermanentFailure, Reject, RejectReason
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import ARTICLES, FIGURES, IMAGES, PUBMED_RECORDS, TOMBSTONES

STAGE = "release"


@dataclasses.dataclass(frozen=True, slots=True)
class Rules:
    """Which licences a release takes.

    Attributes:
        license_groups: groups of ``lib.licenses``; ``other`` is refused here, whatever shards were made with.
        no_derivatives: whether ND licences are taken; their images travel unchanged or not at all.
    """

    license_groups: tuple[str, ...] = ("commercial", "noncommercial")
    no_derivatives: bool = True

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.license_groups) - licenses.DEFAULT_GROUPS.keys()):
            raise PermanentFailure(
                f"a release cannot hold licence group {', '.join(unknown)}: nobody gave permission to pass it on. "
                f"Allowed are {', '.join(licenses.DEFAULT_GROUPS)}"
            )

    @property
    def codes(self) -> tuple[str, ...]:
        """Licence codes that are taken."""
        codes = licenses.codes_of(tuple(self.license_groups))
        return tuple(code for code in codes if self.no_derivatives or not code.endswith("ND"))

    def recorded(self) -> dict[str, Any]:
        """As the manifest records them."""
        return {"license_groups": sorted(set(self.license_groups)), "no_derivatives": self.no_derivatives}


@dataclasses.dataclass(frozen=True, slots=True)
class Allowed:
    """Ids of one chunk that may be passed on, and one reject for each figure that may not."""

    articles: pl.Series
    figures: pl.Series
    media: pl.Series
    rejects: tuple[Reject, ...]
    n_figures: int

    def keep(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """The rows of any table that may be passed on, by the narrowest id they have."""
        names = rows.collect_schema().names()
        for column, ids in (("media_id", self.media), ("figure_id", self.figures), ("article_id", self.articles)):
            if column in names:
                return rows.filter(pl.col(column).is_in(ids.implode()))
        return rows


def allowed(lake: Lake, chunk: str, rules: Rules) -> Allowed:
    """Decide for every article, figure and image of a chunk."""
    retracted = _withdrawn(lake, chunk)
    articles = lake.read_lazy(ARTICLES, chunk).select("article_id", "license_code", "is_retracted").collect()
    good = articles.filter(
        ~pl.col("is_retracted"),
        ~pl.col("article_id").is_in(retracted.implode()),
        pl.col("license_code").is_in(rules.codes),
    )["article_id"]
    figures = lake.read_lazy(FIGURES, chunk).select("figure_id", "article_id", "license_code").collect()
    licensed = pl.col("license_code").is_in(rules.codes).fill_null(value=False)
    kept = figures.filter(licensed, pl.col("article_id").is_in(good.implode()))["figure_id"]
    media = lake.read_lazy(IMAGES, chunk).select("media_id", "figure_id", "license_code").collect()
    # The image repeats the figure's licence; both must allow it, in case one was read by older code.
    media = media.filter(licensed, pl.col("figure_id").is_in(kept.implode()))["media_id"]
    gone = {*retracted.to_list(), *articles.filter("is_retracted")["article_id"].to_list()}
    left = figures.filter(~pl.col("figure_id").is_in(kept.implode()))
    good_articles = set(good)
    rejects = tuple(_reject(row, gone, good_articles) for row in left.iter_rows(named=True))
    return Allowed(good, kept, media, rejects, figures.height)


def _withdrawn(lake: Lake, chunk: str) -> pl.Series:
    """Articles with a tombstone; also those that PubMed calls retracted, should nobody have looked since."""
    found = [
        rows().select("article_id").collect()["article_id"]
        for table, rows in (
            (TOMBSTONES, lambda: lake.read_lazy(TOMBSTONES, chunk)),
            (PUBMED_RECORDS, lambda: lake.read_lazy(PUBMED_RECORDS, chunk).filter("is_retracted")),
        )
        if lake.manifest(table, chunk) is not None
    ]
    return pl.concat([pl.Series("article_id", [], dtype=pl.String()), *found])


def _reject(row: Mapping[str, Any], retracted: set[str], good_articles: set[str]) -> Reject:
    article, figure = row["article_id"], row["figure_id"]
    if article in retracted:
        return Reject(article, STAGE, RejectReason.RETRACTED, "the article is retracted", figure)
    whose = "the figure's" if article in good_articles else "the article's"
    code = row["license_code"] or "not known"
    return Reject(article, STAGE, RejectReason.LICENSE_NOT_ALLOWED, f"{whose} licence is not taken: {code}", figure)
