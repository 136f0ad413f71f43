"""Train, validation, test: whole articles, and articles that share a picture together.

All versions of an article are one node; images of a duplicate group tie their articles together. The split of what
hangs together is drawn by a keyed hash of its lowest PMCID. It depends neither on the recipe nor on which other
articles there are: recipes share their held-out articles, and a growing corpus moves only what new pictures tie.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl

from biomedica_assets.lib.select.components import connected_components
from biomedica_assets.lib.select.definition import Splits
from biomedica_assets.lib.select.quotas import luck

TRAIN, VALIDATION, TEST = "train", "validation", "test"
NAMES = (TRAIN, VALIDATION, TEST)
MOST_ARTICLES = 20
"""A picture in more articles than this (a logo, a licence badge, a blank) ties none of them together, or half the
corpus would be one lump; its copies are left out of validation and test instead."""


@dataclasses.dataclass(frozen=True, slots=True)
class Split:
    """Outcome for a list of samples.

    Attributes:
        names: split of each sample, str; null for a copy of a widespread picture outside train, which is left out.
        components: articles and groups of articles that were assigned together.
        largest: articles in the largest of them.
    """

    names: pl.Series
    components: int
    largest: int


def pmcid(article_id: pl.Expr) -> pl.Expr:
    """Number of an article id, without its version: 123 for ``PMC123.1``."""
    return article_id.str.slice(3).str.split(".").list.first().cast(pl.Int64)


def assign(samples: pl.DataFrame, duplicates: pl.DataFrame, rules: Splits) -> Split:
    """The split of each sample.

    Args:
        samples: media_id, article_id.
        duplicates: media_id, article_id, group of the table ``duplicates``, all of it and not only the samples'.
        rules: shares and seed.
    """
    members = duplicates.select("media_id", "group", pmcid(pl.col("article_id")).alias("pmcid"))
    spread = members.group_by("group").agg(
        pl.col("pmcid").min().alias("first"), (pl.col("pmcid").n_unique() > MOST_ARTICLES).alias("widespread")
    )
    members = members.join(spread, on="group")
    ties = (
        members.filter(~pl.col("widespread") & (pl.col("pmcid") != pl.col("first"))).select("pmcid", "first").unique()
    )
    numbers = samples.select("media_id", pmcid(pl.col("article_id")).alias("pmcid"))
    nodes = np.unique(np.concatenate([numbers["pmcid"].to_numpy(), *(ties[c].to_numpy() for c in ties.columns)]))
    ends = [np.searchsorted(nodes, ties[c].to_numpy()) for c in ("pmcid", "first")]
    root = nodes[connected_components(len(nodes), *ends)]
    roots, inverse, size = np.unique(root, return_inverse=True, return_counts=True)
    place = luck((str(number) for number in roots.tolist()), f"split/{rules.seed}")
    held_out = np.select([place < rules.test, place < rules.test + rules.validation], [TEST, VALIDATION], TRAIN)
    of_node = held_out[inverse]
    names = of_node[np.searchsorted(nodes, numbers["pmcid"].to_numpy())]
    widespread = members.filter("widespread")["media_id"]
    left_out = numbers["media_id"].is_in(widespread.implode()) & (pl.Series(names.astype(str)) != TRAIN)
    assigned = pl.DataFrame({"name": names.astype(str), "out": left_out}, schema={"name": pl.String, "out": pl.Boolean})
    kept = assigned.select(pl.when(~pl.col("out")).then(pl.col("name")))
    return Split(kept.to_series(), len(roots), int(size.max(initial=0)))
