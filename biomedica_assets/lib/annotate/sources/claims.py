"""What each source says of each image of a chunk, in one form: image, concept, source, symbol.

A source answers with symbols of different worth (``TRUST``). What it says of a narrow concept it says of the wider ones
above it. A source that says something of an image and does not name a concept answers ``absent`` for it, or ``unheard``
where it is sure of nothing in that image; one that says nothing of the image stays away.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from biomedica_assets.lib.annotate.labels import propagate
from biomedica_assets.lib.annotate.taxonomy.model import Taxonomy
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import (
    ANNOTATIONS,
    CLUSTERS,
    IMAGES,
    MODEL_LABELS,
    RELEASED_LABELS,
    TEXT_LABELS,
    Table,
)

ABSENT, UNHEARD = "absent", "unheard"
STRONG = ("kind", "head", "sure", "likely")
"""Symbols that make a source sure of an image: what it then does not name it calls ``absent``, else ``unheard``."""
TEXT, VOTES, RELEASED, MODEL = "text", "propagated", "released:", "model"
BINS = ("sure", "likely", "unsure")
_CUTS = (0.6, 0.25)  # raw confidence of a cluster's label: two thirds, one third of the way to the next cluster, agreed
MODEL_LEAST = 0.5  # probability from which the model names a concept; an image with none it leaves alone
MODEL_KEPT = 0.05  # probability from which an answer of the model is kept; below, the concept is absent
_OF_MODEL = (0.9, 0.7)
_WEAK = 0.6  # trust of a rule below which a match alone labels nothing: like a heading, it only supports others
_STRONG = 0.8  # trust of a rule from which its matches count for as much as their place
TRUST: dict[str, Mapping[str, float]] = {
    # Shares right, judged by hand on captions of real articles; what is counted later outweighs them.
    TEXT: {
        "kind": 0.9,
        "head": 0.85,
        "panel": 0.8,
        "caption": 0.75,
        "mention": 0.55,
        "mesh": 0.4,
        ABSENT: 0.25,
        UNHEARD: 0.4,
    },
    VOTES: {"sure": 0.92, "likely": 0.8, "unsure": 0.5, ABSENT: 0.2, UNHEARD: 0.4},
    # Before people have judged it, it has learnt from the others, and errs where they do.
    MODEL: {"sure": 0.8, "likely": 0.65, "unsure": 0.5, ABSENT: 0.3, UNHEARD: 0.45},
}
"""Source -> symbol -> share of yes behind it, believed before counting; ``trust_of`` knows the sources by name."""
_OF_RELEASED: Mapping[str, float] = {"sure": 0.88, "likely": 0.8, "unsure": 0.55, ABSENT: 0.3, UNHEARD: 0.45}
_SURE, _LIKELY = 0.85, 0.7  # stated trust of released labels from which they are
SCHEMA = pl.Schema({"media_id": pl.String, "concept_id": pl.String, "source": pl.String, "symbol": pl.String})


def trust_of(source: str) -> Mapping[str, float]:
    """Symbol -> share of yes behind it, believed before counting; released labels of any name begin alike."""
    return _OF_RELEASED if source.startswith(RELEASED) else TRUST[source]


def symbols_of(source: str) -> tuple[str, ...]:
    """Symbols of a source in order, ``absent`` and ``unheard`` last."""
    return tuple(trust_of(source))


def of_text(lake: Lake, chunk: str) -> pl.DataFrame:
    """Claims of ``text_labels``: those of a figure hold for its images; a weak rule counts one place lower."""
    media = lake.read_lazy(IMAGES, chunk).select("media_id", "figure_id").collect()
    return of_text_frame(media, lake.read_lazy(TEXT_LABELS, chunk).collect())


def of_text_frame(media: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    """Claims for images (media_id, figure_id) from rows of ``text_labels``."""
    lower = pl.col("place").replace({"head": "caption", "panel": "caption", "caption": "mention"})
    symbol = pl.when(pl.col("trust") < _WEAK).then(pl.lit("mesh")).when(pl.col("trust") < _STRONG).then(lower)
    symbol = symbol.otherwise("place")
    found = found.select("figure_id", "concept_id", symbol=symbol)
    return _plain(media.join(found, on="figure_id").with_columns(source=pl.lit(TEXT)))


def of_votes(lake: Lake, chunk: str) -> pl.DataFrame:
    """Claims of people's votes on clusters, as they are propagated, without what text or detectors say."""
    assignments = lake.read(CLUSTERS, chunk)
    models = assignments["model"].unique().implode()
    labels = propagate(assignments, lake.read(ANNOTATIONS, None).filter(pl.col("cluster_model").is_in(models)), {})
    return propagated_claims(labels)


def propagated_claims(labels: pl.DataFrame) -> pl.DataFrame:
    """Claims of labels that ``annotate.labels.propagate`` made."""
    parts = [
        labels.select("media_id", concept_id=question, raw=f"{question}_raw")
        .drop_nulls("concept_id")
        .explode("concept_id", empty_as_null=False)
        for question in ("global", "local")
    ]
    frame = pl.concat(parts).with_columns(symbol=binned("raw", _CUTS), source=pl.lit(VOTES))
    return _plain(frame)


def of_released(lake: Lake, chunk: str) -> pl.DataFrame:
    """Claims of labels that others released, each release a source of its own."""
    found = lake.read_lazy(RELEASED_LABELS, chunk).select("media_id", "concept_id", "name", "trust").collect()
    source = pl.concat_str(pl.lit(RELEASED), "name")
    return _plain(found.with_columns(symbol=binned("trust", (_SURE, _LIKELY)), source=source))


def of_model(lake: Lake, chunk: str) -> pl.DataFrame:
    """Claims of the label model, with the confidence that it had on articles it was not taught."""
    return model_claims(lake.read_lazy(MODEL_LABELS, chunk).collect())


def model_claims(found: pl.DataFrame) -> pl.DataFrame:
    """Claims of answers of the label model to images that it does not leave alone.

    Args:
        found: media_id, concept_id, probability; concepts below ``MODEL_KEPT`` may be missing.

    Returns:
        Claims; a concept that it neither names nor calls absent is ``unheard``, those it calls absent are left to
        ``combine.items``.
    """
    kept = found.filter(pl.col("probability") >= MODEL_KEPT)
    kept = kept.filter((pl.col("probability") >= MODEL_LEAST).any().over("media_id"))
    likely = pl.col("probability") >= MODEL_LEAST
    symbol = pl.when(likely).then(binned("probability", _OF_MODEL)).otherwise(pl.lit(UNHEARD))
    return _plain(kept.with_columns(symbol=symbol, source=pl.lit(MODEL)))


READERS = {TEXT_LABELS: of_text, CLUSTERS: of_votes, RELEASED_LABELS: of_released, MODEL_LABELS: of_model}


def gather(lake: Lake, chunk: str, taxonomy: Taxonomy, *, without: tuple[Table, ...] = ()) -> pl.DataFrame:
    """Claims of every source that is there for a chunk, on the axis of kinds, wider concepts included.

    Returns:
        media_id, concept_id, source, symbol: one row per image, concept and source, with the strongest symbol.
    """
    parts = [pl.DataFrame(schema=SCHEMA)]
    for table, read in READERS.items():
        known = table not in without and lake.manifest(table, chunk) is not None
        if known and (table != CLUSTERS or lake.manifest(ANNOTATIONS, None) is not None):
            parts.append(read(lake, chunk))
    return upward(pl.concat(parts), taxonomy)


def upward(claims: pl.DataFrame, taxonomy: Taxonomy) -> pl.DataFrame:
    """The claims and those of the concepts above; of several on one concept the strongest stays."""
    chains = [(c.id, above) for c in taxonomy.concepts.values() if c.axis == "kind" for above in taxonomy.lineage(c.id)]
    lineage = pl.DataFrame(chains, schema={"concept_id": pl.String, "above": pl.String}, orient="row")
    ranks = {symbol: n for kind in (*TRUST.values(), _OF_RELEASED) for n, symbol in enumerate(kind)}
    return (
        claims.join(lineage, on="concept_id")
        .select(
            "media_id", "above", "source", "symbol", rank=pl.col("symbol").replace_strict(ranks, return_dtype=pl.Int8)
        )
        .rename({"above": "concept_id"})
        .sort("media_id", "concept_id", "source", "rank")
        .unique(["media_id", "concept_id", "source"], keep="first", maintain_order=True)
        .drop("rank")
    )


def binned(column: str, cuts: tuple[float, float]) -> pl.Expr:
    """A confidence as one of ``BINS``."""
    value = pl.col(column)
    return (
        pl.when(value >= cuts[0])
        .then(pl.lit(BINS[0]))
        .when(value >= cuts[1])
        .then(pl.lit(BINS[1]))
        .otherwise(pl.lit(BINS[2]))
    )


def _plain(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(SCHEMA.names()).cast(SCHEMA)
