"""What to ask people next: clusters by how much a vote would change, and what each source says of them.

Belongs here: the worth of a vote on a cluster, from ``figure_labels``, and how much better labels got by votes so far.
A vote on a cluster changes labels of its images where they are in doubt: worth = size x mean over the images of
uncertainty x (1 + disagreement) / 2. Uncertainty is 1 where the likeliest kind is as likely as not or nobody says
anything, 0 where all kinds are settled; disagreement is the share of sources that do not name the kind that most name.
This is expected-error sampling (Settles 2012, Active Learning, section 4) with the clusters as what is asked.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import polars as pl

from biomedica_assets.lib.annotate.taxonomy.model import Taxonomy
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import CLUSTERS, FIGURE_LABELS, SOURCE_LEADERBOARD

SETTLED = (
    0.05  # mean doubt of a cluster's images below which nobody is asked: all sources, 19 times of 20, say the same
)
MOST_CHUNKS = 64  # chunks that are looked at; a cluster's share of doubt in them is known to within a few percent
_COMBINED = "combined"


@dataclasses.dataclass(frozen=True, slots=True)
class Worth:
    """What a vote on a cluster would do.

    Attributes:
        doubt: mean over its images, 0..1.
        said: (source, concept, share of the images of which the source says so), most said first.
    """

    doubt: float
    said: tuple[tuple[str, str, float], ...]


def read_worth(lake: Lake, model: str | None, taxonomy: Taxonomy) -> dict[int, Worth]:
    """Worth of clusters of a model from the labels that there are; empty before there are any.

    Args:
        lake: reads ``figure_labels`` and ``clusters``, chunk by chunk, ``MOST_CHUNKS`` at most.
        model: digest of the cluster model.
        taxonomy: the vocabulary.
    """
    chunks = sorted(set(lake.partitions(FIGURE_LABELS)) & set(lake.partitions(CLUSTERS)))
    step = max(1, len(chunks) // MOST_CHUNKS)
    parts: list[tuple[pl.DataFrame, pl.DataFrame]] = []
    for chunk in chunks[::step][:MOST_CHUNKS]:
        mine = lake.read_lazy(CLUSTERS, chunk).filter(pl.col("model") == (model or "")).select("media_id", "cluster")
        labels = lake.read_lazy(FIGURE_LABELS, chunk).select("media_id", "claims").join(mine, on="media_id").collect()
        if labels.height:
            parts.append(counted(labels, taxonomy))
    return worth_of(parts)


def counted(labels: pl.DataFrame, taxonomy: Taxonomy) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Sums of a chunk, which add up.

    Args:
        labels: media_id, cluster, claims (as in ``figure_labels``).
        taxonomy: the vocabulary.

    Returns:
        cluster, n (images), doubt (sum); and cluster, source, concept_id, n (images of which the source says so).
    """
    tops = taxonomy.tops("kind")
    flat = labels.select("media_id", "cluster", "claims").explode("claims", empty_as_null=False).drop_nulls("claims")
    flat = flat.unnest("claims").filter(pl.col("concept_id").is_in(tops))
    combined = flat.filter(pl.col("source") == _COMBINED)
    unsure = combined.group_by("media_id").agg(
        sure=pl.col("confidence").max(), near=(1 - (2 * pl.col("confidence") - 1).abs()).max()
    )
    spoken = flat.filter(pl.col("source") != _COMBINED, pl.col("confidence") > 0.5)
    sources = spoken.group_by("media_id").agg(n=pl.col("source").n_unique())
    most = spoken.group_by("media_id", "concept_id").len().group_by("media_id").agg(most=pl.col("len").max())
    per = (
        labels.select("media_id", "cluster")
        .join(unsure, on="media_id", how="left")
        .join(sources.join(most, on="media_id"), on="media_id", how="left")
    )
    # Nothing is likelier than not: nobody knows what it is, however surely it is none of the candidates.
    uncertain = pl.when(pl.col("sure").fill_null(0.0) <= 0.5).then(1.0).otherwise("near")
    apart = (1 - pl.col("most") / pl.col("n")).fill_null(0.0)
    doubt = per.group_by("cluster").agg(n=pl.len(), doubt=(uncertain * (1 + apart) / 2).sum())
    return doubt, spoken.group_by("cluster", "source", "concept_id").agg(n=pl.col("media_id").n_unique())


def worth_of(parts: Iterable[tuple[pl.DataFrame, pl.DataFrame]]) -> dict[int, Worth]:
    """Worth by cluster from the sums of chunks."""
    parts = list(parts)
    if not parts:
        return {}
    doubt = pl.concat([d for d, _ in parts]).group_by("cluster").agg(pl.col("n", "doubt").sum())
    said = pl.concat([s for _, s in parts]).group_by("cluster", "source", "concept_id").agg(pl.col("n").sum())
    sizes: dict[int, int] = dict(doubt.select("cluster", "n").iter_rows())
    told: dict[int, list[tuple[str, str, float]]] = {}
    ordered = said.sort("n", "source", "concept_id", descending=[True, False, False])
    for cluster, source, concept, n in ordered.select("cluster", "source", "concept_id", "n").iter_rows():
        told.setdefault(cluster, []).append((source, concept, n / sizes[cluster]))
    return {
        cluster: Worth(total / n, tuple(told.get(cluster, ())))
        for cluster, n, total in doubt.select("cluster", "n", "doubt").iter_rows()
    }


def by_worth(order: Iterable[int], worth: dict[int, Worth], sizes: dict[int, int]) -> list[int]:
    """Clusters that are not settled, those first on which a vote changes most; equal ones, and unknown ones, in order.

    Args:
        order: clusters in an order that all annotators share.
        worth: see ``read_worth``; clusters without an entry are as much in doubt as can be.
        sizes: images by cluster.
    """
    value = {c: (worth[c].doubt if c in worth else 0.5) * sizes.get(c, 1) for c in order}
    open_ = [c for c in value if c not in worth or worth[c].doubt >= SETTLED]
    return sorted(open_, key=lambda c: -value[c]) if worth else open_


def gain(lake: Lake) -> str | None:
    """By how much votes made labels better, on images that people judged one by one; None before that is known."""
    if lake.manifest(SOURCE_LEADERBOARD, None) is None:
        return None
    whole = lake.read(SOURCE_LEADERBOARD, None).filter(concept_id="all", question="global")
    found = {str(row["source"]): row for row in whole.iter_rows(named=True)}
    before, now = found.get("before_votes"), found.get(_COMBINED)
    if not before or not now or before["precision"] is None or now["precision"] is None:
        return None
    return (
        f"Kinds of the {now['n_true']:,} that people saw on single images: precision "
        f"{before['precision']:.2f} without votes, {now['precision']:.2f} with them; found "
        f"{before['recall'] or 0.0:.2f}, now {now['recall'] or 0.0:.2f}"
    )
