"""Train, validation, test: whole articles, and articles that share a picture together.

All versions of an article are one node; images of a duplicate group tie their articles together. Whether what hangs
together is held out is drawn by a keyed hash of its lowest PMCID: for all recipes alike, before there is any, and
whatever other articles there are, so a growing corpus moves only what new pictures tie. ``test`` are the samples of a
recipe that are held out; of the others a recipe takes a share for validation.
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
class Held:
    """What is held out of every recipe: a share of the articles, drawn with a seed."""

    share: float
    seed: int


@dataclasses.dataclass(frozen=True, slots=True)
class Ties:
    """What the table ``duplicates`` ties together.

    Attributes:
        roots: pmcid, root (i64): of each article that shares a picture with another, the lowest PMCID it hangs with.
        widespread: media ids of pictures that are in too many articles to tie them.
    """

    roots: pl.DataFrame
    widespread: pl.Series


@dataclasses.dataclass(frozen=True, slots=True)
class Split:
    """Outcome for a list of samples.

    Attributes:
        names: split of each sample, str; null for a copy of a widespread picture outside train, which is left out.
        components: articles and groups of articles that were assigned together.
        largest: articles of the samples in the largest of them.
    """

    names: pl.Series
    components: int
    largest: int


def pmcid(article_id: pl.Expr) -> pl.Expr:
    """Number of an article id, without its version: 123 for ``PMC123.1``."""
    return article_id.str.slice(3).str.split(".").list.first().cast(pl.Int64)


def tie(duplicates: pl.DataFrame) -> Ties:
    """What hangs together.

    Args:
        duplicates: media_id, article_id, group of the table ``duplicates``, all of it and not only some samples'.
    """
    members = duplicates.select("media_id", "group", pmcid(pl.col("article_id")).alias("pmcid"))
    spread = members.group_by("group").agg(
        pl.col("pmcid").min().alias("first"), (pl.col("pmcid").n_unique() > MOST_ARTICLES).alias("widespread")
    )
    members = members.join(spread, on="group")
    edges = (
        members.filter(~pl.col("widespread") & (pl.col("pmcid") != pl.col("first"))).select("pmcid", "first").unique()
    )
    nodes = np.unique(np.concatenate([edges[c].to_numpy() for c in edges.columns]))
    ends = [np.searchsorted(nodes, edges[c].to_numpy()) for c in edges.columns]
    roots = nodes[connected_components(len(nodes), *ends)]
    frame = pl.DataFrame({"pmcid": nodes, "root": roots}, schema={"pmcid": pl.Int64, "root": pl.Int64})
    return Ties(frame, members.filter("widespread")["media_id"])


def assign(samples: pl.DataFrame, ties: Ties, held: Held, rules: Splits) -> Split:
    """The split of each sample.

    Args:
        samples: media_id, article_id.
        ties: what hangs together.
        held: what is held out of every recipe.
        rules: the recipe's own: which of the rest validates.
    """
    numbers = samples.select("media_id", pmcid(pl.col("article_id")).alias("pmcid"))
    numbers = numbers.join(ties.roots, on="pmcid", how="left", maintain_order="left")
    numbers = numbers.with_columns(pl.col("root").fill_null(pl.col("pmcid")))
    sizes = numbers.group_by("root").agg(pl.col("pmcid").n_unique())["pmcid"]
    roots, inverse = np.unique(numbers["root"].to_numpy(), return_inverse=True)
    names = [str(number) for number in roots.tolist()]
    test = luck(names, f"split/{held.seed}") < held.share
    validation = luck(names, f"validation/{rules.seed}") < rules.validation
    of_sample = np.select([test, validation], [TEST, VALIDATION], TRAIN)[inverse].astype(str)
    out = numbers["media_id"].is_in(ties.widespread.implode()) & (pl.Series(of_sample) != TRAIN)
    assigned = pl.DataFrame({"name": of_sample, "out": out}, schema={"name": pl.String, "out": pl.Boolean})
    kept = assigned.select(pl.when(~pl.col("out")).then(pl.col("name"))).to_series()
    return Split(kept, len(roots), int(sizes.max() or 0))  # pyright: ignore[reportArgumentType]
