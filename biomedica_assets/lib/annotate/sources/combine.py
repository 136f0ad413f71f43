"""From what the sources say of the images of a chunk to one answer per image and question, hierarchy kept.

Belongs here: the combination with given tables of trust. Where the tables come from is ``trust``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import polars as pl

from biomedica_assets.lib.annotate.form import MAX_CONCEPTS
from biomedica_assets.lib.annotate.sources import weigh
from biomedica_assets.lib.annotate.sources.claims import ABSENT, MODEL, STRONG, UNHEARD, symbols_of, trust_of
from biomedica_assets.lib.annotate.taxonomy.model import Taxonomy

VERSION = "2"
LEAST = 0.5  # a label that is rather wrong than right is none
COMBINED = "combined"
LEVELS = ("top", "narrower")
_PRIOR_YES = 0.5


@dataclasses.dataclass(frozen=True)
class Trust:
    """What sources are worth.

    Attributes:
        tables: level -> source -> 2 x symbols.
        priors: level -> concept -> share of yes among candidates.
        weights: level -> source -> how much of its word counts beside the others, see ``weigh.independence``.
    """

    tables: Mapping[str, Mapping[str, weigh.Floats]]
    priors: Mapping[str, Mapping[str, float]]
    weights: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict[str, Mapping[str, float]])


def believed(sources: list[str]) -> Trust:
    """Trust before anything was counted."""
    tables = {source: _normal(weigh.belief(list(trust_of(source).values()), 1.0)) for source in sources}
    return Trust(dict.fromkeys(LEVELS, tables), {})


def items(claims: pl.DataFrame, taxonomy: Taxonomy) -> pl.DataFrame:
    """Candidates: every concept that any source names for an image, with the symbol of each source that speaks of it.

    Args:
        claims: from ``claims.gather``.
        taxonomy: the vocabulary.

    Returns:
        media_id, concept_id, level, and a column per source: its symbol, ``absent`` or ``unheard`` where it names other
        concepts, null where it says nothing of the image, or where it is the model and has not learnt the concept: it
        speaks of it nowhere.
    """
    sources = sorted(claims["source"].unique())
    tops = {c: taxonomy.get(c).broader is None for c in claims["concept_id"].unique()}
    named = claims.filter(~pl.col("symbol").is_in([ABSENT, UNHEARD]))
    frame = named.select("media_id", "concept_id").unique().sort("media_id", "concept_id")
    frame = frame.with_columns(
        level=pl.when(pl.col("concept_id").replace_strict(tops, return_dtype=pl.Boolean))
        .then(pl.lit(LEVELS[0]))
        .otherwise(pl.lit(LEVELS[1]))
        if tops
        else pl.lit(LEVELS[0])
    )
    for source in sources:
        mine = claims.filter(source=source)
        sure = pl.col("symbol").is_in(STRONG).any()
        heard = mine.group_by("media_id").agg(_heard=pl.when(sure).then(pl.lit(ABSENT)).otherwise(pl.lit(UNHEARD)))
        learnt = pl.lit(value=True)
        if source == MODEL:  # it says how likely each concept is that it has learnt; of the others it knows nothing
            heard = heard.with_columns(_heard=pl.lit(ABSENT))
            learnt = pl.col("concept_id").is_in(mine["concept_id"].unique().implode())
        frame = frame.join(
            mine.select("media_id", "concept_id", pl.col("symbol").alias(source)),
            on=["media_id", "concept_id"],
            how="left",
        ).join(heard, on="media_id", how="left")
        silent = pl.when(learnt).then("_heard")
        frame = frame.with_columns(pl.coalesce(source, silent).alias(source)).drop("_heard")
    return frame


def names(source: str) -> pl.Expr:
    """Whether a source names the candidate."""
    return pl.col(source).is_not_null() & ~pl.col(source).is_in([ABSENT, UNHEARD])


def answers(candidates: pl.DataFrame, sources: list[str]) -> dict[str, weigh.Ints]:
    """Symbol numbers by source, -1 where it stays away, as ``weigh`` takes them."""
    found: dict[str, weigh.Ints] = {}
    for source in sources:
        numbers = {symbol: n for n, symbol in enumerate(symbols_of(source))}
        column = candidates[source].replace_strict(numbers, default=-1, return_dtype=pl.Int64)
        found[source] = column.fill_null(-1).to_numpy()
    return found


def probabilities(candidates: pl.DataFrame, sources: list[str], trust: Trust) -> pl.Series:
    """Probability of each candidate, f32, from the given sources alone; no narrow concept is surer than a wider one."""
    p = np.zeros(candidates.height)
    levels = candidates["level"].to_numpy()
    heard = answers(candidates, sources)
    for level in LEVELS:
        rows = np.flatnonzero(levels == level)
        known = trust.priors.get(level, {})
        prior = np.array([known.get(c, _PRIOR_YES) for c in candidates["concept_id"].gather(rows)])
        weights = trust.weights.get(level) if len(sources) > 1 else None
        p[rows] = weigh.posterior({s: a[rows] for s, a in heard.items()}, trust.tables.get(level, {}), prior, weights)
    return pl.Series("p", p, dtype=pl.Float32)


def capped(candidates: pl.DataFrame, taxonomy: Taxonomy) -> pl.DataFrame:
    """``p`` of narrow concepts, at most that of the wider ones above."""
    chains = [(c, above) for c in candidates["concept_id"].unique() for above in taxonomy.lineage(c)]
    lineage = pl.DataFrame(chains, schema={"concept_id": pl.String, "above": pl.String}, orient="row")
    least = (
        candidates.select("media_id", "concept_id")
        .join(lineage, on="concept_id")
        .join(candidates.select("media_id", above="concept_id", q="p"), on=["media_id", "above"])
        .group_by("media_id", "concept_id")
        .agg(p=pl.col("q").min())
    )
    return candidates.drop("p").join(least, on=["media_id", "concept_id"], how="left", maintain_order="left")


def combined(claims: pl.DataFrame, trust: Trust, taxonomy: Taxonomy) -> pl.DataFrame:
    """One answer per image from all claims.

    Args:
        claims: from ``claims.gather``.
        trust: tables of the sources; one without a table is taken as believed beforehand.
        taxonomy: the vocabulary.

    Returns:
        media_id, global, local (list[str], sorted, null if nothing is likelier than not), for each ``_confidence``
        (f32, mean probability of its labels) and ``_provenance`` (sources that name one of them, joined by +), and
        ``claims`` (list of concept_id, source, confidence; the confidence of one source is its alone).
    """
    sources = sorted(claims["source"].unique())
    plain = believed(sources)
    trust = Trust({v: {**plain.tables[v], **trust.tables.get(v, {})} for v in LEVELS}, trust.priors, trust.weights)
    candidates = items(claims, taxonomy)
    every = candidates.with_columns(probabilities(candidates, sources, trust))
    every = capped(every, taxonomy)
    said: list[pl.DataFrame] = [every.select("media_id", "concept_id", source=pl.lit(COMBINED), confidence="p")]
    for source in sources:
        alone = candidates.with_columns(probabilities(candidates, [source], trust))
        named = alone.filter(names(source))
        said.append(named.select("media_id", "concept_id", source=pl.lit(source), confidence="p"))
    listed = (
        pl.concat(said)
        .sort("media_id", "concept_id", "source")
        .group_by("media_id", maintain_order=True)
        .agg(claims=pl.struct("concept_id", "source", "confidence"))
    )
    result = listed
    behind = pl.concat_list([pl.when(names(s)).then(pl.lit(s)) for s in sources]).list.drop_nulls()
    for question, level in zip(("global", "local"), LEVELS, strict=True):
        likely = every.filter(pl.col("level") == level, pl.col("p") > LEAST).with_columns(_behind=behind)
        top = (
            likely.sort("media_id", "p", "concept_id", descending=[False, True, False])
            .group_by("media_id")
            .head(MAX_CONCEPTS)
        )
        result = result.join(
            top.group_by("media_id").agg(
                pl.col("concept_id").sort().alias(question),
                pl.col("p").mean().cast(pl.Float32).alias(f"{question}_confidence"),
                pl.col("_behind")
                .list.explode(keep_nulls=False, empty_as_null=False)
                .unique()
                .sort()
                .str.join("+")
                .alias(f"{question}_provenance"),
            ),
            on="media_id",
            how="left",
        )
    return result


def _normal(counts: weigh.Floats) -> weigh.Floats:
    return counts / counts.sum(axis=1, keepdims=True)
