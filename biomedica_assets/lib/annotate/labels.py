"""Every image gets labels: those of its cluster, corrected by the panel detector and overruled by people.

The detector corrects where audited images say that this helps (``corrections``).

Raw confidence of a propagated label = (sureness + 3 x fit) / 4. Sureness = agreement x purity x margin: agreement is
the share of votes behind the answer, purity the share of votes that did not call the cluster mixed, margin = 1 -
distance / distance to the runner-up: 0 half way between two clusters, 1 on the centroid. Fit = the share of the ten
nearest images of other articles (``neighbours``) that have the label, too; without neighbours the sureness stands
alone. On an audit sample confidence is calibrated to the share of such labels that people found correct
(``calibration``). BIOMEDICA copied the cluster's label to every member and kept neither distance nor doubt.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping

import numpy as np
import polars as pl

from biomedica_assets.lib.annotate.consensus import ACCEPTED, Rules, settle
from biomedica_assets.lib.annotate.form import MULTIPLE, QUESTIONS, SETS, SINGLE_CHOICE
from biomedica_assets.lib.annotate.taxonomy.model import Taxonomy
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import FIGURE_LABELS, LABEL_CALIBRATION

VERSION = "5"
Calibration = Mapping[str, tuple[list[float], list[float]]]
HUMAN, PROPAGATED, MODEL = "human", "propagated", "model"
FIT_WEIGHT = 3.0  # of neighbours against doubt; 1 told right from wrong as well, its Brier score was 0.13
MISFIT = 1 / 3


def margin() -> pl.Expr:
    """How clearly an image belongs to its cluster, 0..1; 1 if there is no other cluster."""
    ratio = pl.col("distance") / pl.col("runner_up_distance")
    return (
        pl.when(pl.col("runner_up_distance").is_null())
        .then(1.0)
        .when(pl.col("runner_up_distance") == 0)  # two centroids in one place: nothing tells the clusters apart
        .then(0.0)
        .otherwise((1.0 - ratio).clip(0.0, 1.0))
        .cast(pl.Float32)
    )


def propagate(
    assignments: pl.DataFrame,
    annotations: pl.DataFrame,
    calibration: Calibration,
    neighbours: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Label every image with the consensus of its cluster.

    Args:
        assignments: ``clusters``: media_id, cluster, distance and runner_up_distance (f32, Euclidean in PCA space);
            nulls for an image that has no cluster, which is given no answer.
        annotations: ``annotations`` of the same cluster model.
        calibration: question -> (raw confidences, calibrated ones), both rising; a question that is absent keeps raw.
        neighbours: table of that name, of images among the assignments; None: nobody is asked whether labels fit.

    Returns:
        media_id, cluster, and per question the answer, ``_provenance``, ``_raw`` and ``_confidence``; nulls where the
        cluster has no accepted answer; and ``misfit``: whether fewer than a third of the neighbours have the kind that
        the image has by its cluster, the narrower one if there is one.
    """
    mixed = annotations.filter(pl.col("question") == "mixed").select(
        "cluster",
        purity=pl.when(pl.col("agreement").is_null())
        .then(1.0)
        .when(pl.col("answer").list.contains("yes"))
        .then(1.0 - pl.col("agreement"))
        .when(pl.col("answer").list.contains("no"))
        .then(pl.col("agreement"))
        .otherwise(0.5)
        .cast(pl.Float32),
    )
    frame = assignments.select("media_id", "cluster", margin=margin()).join(mixed, on="cluster", how="left")
    frame = frame.with_columns(pl.col("purity").fill_null(1.0))
    for question in QUESTIONS:
        settled = annotations.filter(pl.col("question") == question, pl.col("status").is_in(ACCEPTED))
        if question in SINGLE_CHOICE:
            settled = settled.filter(pl.col("answer").list.len() > 0)
        answer = pl.col("answer").list.first() if question in SINGLE_CHOICE else pl.col("answer")
        frame = frame.join(
            settled.select("cluster", answer.alias(question), pl.col("agreement").alias("_agreement")),
            on="cluster",
            how="left",
        )
        raw = (pl.col("_agreement") * pl.col("purity") * pl.col("margin")).cast(pl.Float32)
        frame = frame.with_columns(
            pl.when(pl.col(question).is_not_null()).then(pl.lit(PROPAGATED)).alias(f"{question}_provenance"),
            raw.alias(f"{question}_raw"),
        ).drop("_agreement")
    frame = frame.drop("margin", "purity")
    frame = frame.with_columns(misfit=None) if neighbours is None else _fitted(frame, neighbours)
    return frame.with_columns(
        calibrated(frame[f"{question}_raw"], calibration.get(question)).alias(f"{question}_confidence")
        for question in QUESTIONS
    ).with_columns(pl.col("misfit").cast(pl.Boolean))


def _fitted(labels: pl.DataFrame, neighbours: pl.DataFrame) -> pl.DataFrame:
    """Raw confidences with the share of neighbours that have the label, and misfits."""
    pairs = neighbours.select("media_id", other="neighbours").explode("other", empty_as_null=False, keep_nulls=False)
    for question in QUESTIONS:
        fit = _fit(labels.select("media_id", said=question).drop_nulls("said"), pairs, question in SETS)
        labels = labels.join(fit.rename({"fit": f"_{question}"}), on="media_id", how="left", maintain_order="left")
    raws = [
        ((pl.col(f"{q}_raw") + FIT_WEIGHT * pl.col(f"_{q}")) / (1 + FIT_WEIGHT))
        .fill_null(pl.col(f"{q}_raw"))
        .alias(f"{q}_raw")
        for q in QUESTIONS
    ]
    narrow = pl.col("local").list.len() > 0
    fit = pl.when(narrow.fill_null(value=False)).then("_local").otherwise("_global")
    return labels.with_columns(*raws, misfit=fit < MISFIT).drop(f"_{q}" for q in QUESTIONS)


def _fit(said: pl.DataFrame, pairs: pl.DataFrame, several: bool) -> pl.DataFrame:
    """media_id, fit (f32): mean over its labels of the share of neighbours, of those that have an answer, that agree.

    An image of which no concept of a set question is said agrees with others of that kind.
    """
    both = pairs.join(said, on="media_id").join(said, left_on="other", right_on="media_id", suffix="_other")
    same = pl.col("said") == pl.col("said_other")
    if several:
        own, common = pl.col("said").list.len(), pl.col("said").list.set_intersection("said_other").list.len()
        same = pl.when(own > 0).then(common / own).otherwise((pl.col("said_other").list.len() == 0).cast(pl.Float64))
    return both.group_by("media_id").agg(fit=same.cast(pl.Float32).mean())


def calibrated(raw: pl.Series, knots: tuple[list[float], list[float]] | None) -> pl.Series:
    """Confidences after calibration, f32; as they are where there is no map, null where they are null."""
    if knots is None:
        return raw
    values = raw.fill_null(0.0).to_numpy()
    mapped = pl.Series(np.interp(values, knots[0], knots[1]).astype(np.float32))
    return pl.select(pl.when(raw.is_not_null()).then(mapped)).to_series()


def correct_panels(labels: pl.DataFrame, panels: pl.DataFrame, helpful: Collection[str] = ()) -> pl.DataFrame:
    """Let the image-level detector overrule the cluster's panel type where that helps and it is the surer of the two.

    Args:
        labels: from ``propagate``.
        panels: ``panels`` of the same images; images without a row keep their cluster's type.
        helpful: panel types that the detector may put in the place of another, see ``corrections``. None by default:
            on the demo the detector, unaudited, lowered the share of right panel types from 0.973 to 0.926.

    Returns:
        The labels; where the detector overrules, or the cluster has no type, the type is the detector's with provenance
        ``model``, its probability as confidence and no sub-type.
    """
    sure = pl.max_horizontal("p_multiple", 1.0 - pl.col("p_multiple")).cast(pl.Float32)
    seen = panels.select("media_id", _detected="panel_type", _sure=sure)
    joined = labels.join(seen, on="media_id", how="left")
    overruled = pl.col("_detected").is_not_null() & (
        pl.col("panel_type").is_null()
        | (
            (pl.col("panel_type") != pl.col("_detected"))
            & (pl.col("_sure") > pl.col("panel_type_confidence"))
            & pl.col("_detected").is_in(list(helpful))
        )
    )
    return joined.with_columns(
        panel_type=pl.when(overruled).then("_detected").otherwise("panel_type"),
        panel_type_provenance=pl.when(overruled).then(pl.lit(MODEL)).otherwise("panel_type_provenance"),
        panel_type_confidence=pl.when(overruled).then("_sure").otherwise("panel_type_confidence"),
        panel_type_raw=pl.when(overruled).then(None).otherwise("panel_type_raw"),
    ).drop("_detected", "_sure")


def merge(labels: pl.DataFrame, combined: pl.DataFrame, calibration: Calibration) -> pl.DataFrame:
    """Let the combination of all sources answer for images of which more is known than votes on their cluster.

    Args:
        labels: from ``correct_panels``.
        combined: media_id, ``global`` and ``local`` with ``_confidence`` and ``_provenance``, and ``claims``.
        calibration: question -> (confidences of the combination, calibrated ones).

    Returns:
        The labels with ``claims``; where only votes speak, or nothing, answers stay as they are.
    """
    for question in ("global", "local"):
        name = f"{question}_confidence"
        combined = combined.with_columns(calibrated(combined[name], calibration.get(question)).alias(name))
    joined = labels.join(combined, on="media_id", how="left", suffix="_all", maintain_order="left")
    sources = pl.col("claims").list.eval(pl.element().struct.field("source")).list.unique()
    more = sources.list.set_difference(pl.lit([PROPAGATED, "combined"])).list.len().fill_null(0) > 0
    columns: list[pl.Expr] = [pl.col("claims").fill_null(pl.lit([], dtype=FIGURE_LABELS.schema["claims"]))]
    for question in ("global", "local"):
        columns += [
            pl.when(more).then(pl.col(f"{name}_all")).otherwise(pl.col(name)).alias(name)
            for name in (question, f"{question}_provenance", f"{question}_confidence")
        ]
        columns.append(pl.when(more).then(None).otherwise(pl.col(f"{question}_raw")).alias(f"{question}_raw"))
    return joined.with_columns(columns).select(*labels.columns, "claims")


def overrule(labels: pl.DataFrame, votes: pl.DataFrame, rules: Rules, taxonomy: Taxonomy) -> pl.DataFrame:
    """Let what people said of single images win over everything else.

    Args:
        labels: from ``correct_panels``.
        votes: active audit and override rows of ``expert_votes``.
        rules: thresholds; a single vote is enough here.
        taxonomy: the vocabulary.

    Returns:
        The labels; answered questions of these images have provenance ``human`` and the agreement as confidence.
    """
    rows = {str(row["media_id"]): dict(row) for row in labels.iter_rows(named=True)}
    mine = votes.filter(pl.col("media_id").is_in(list(rows))).sort("media_id", "vote_id")
    if not mine.height:
        return labels
    for (media_id,), group in mine.group_by("media_id", maintain_order=True):
        for question, outcome in settle(list(group.iter_rows(named=True)), rules, taxonomy).items():
            if outcome.status == "agreed" and question in QUESTIONS and (outcome.answer or question in SETS):
                answer = outcome.answer[0] if question in SINGLE_CHOICE else list(outcome.answer)
                rows[str(media_id)] |= {
                    question: answer,
                    f"{question}_provenance": HUMAN,
                    f"{question}_raw": None,
                    f"{question}_confidence": outcome.agreement,
                }
    return pl.DataFrame(list(rows.values()), schema=labels.schema, orient="row")


def coherent(labels: pl.DataFrame, taxonomy: Taxonomy) -> pl.DataFrame:
    """Drop what an overruled answer leaves hanging: sub-types without panel type, local concepts without their top."""
    hanging = pl.col("panel_subtype").is_not_null() & (pl.col("panel_type") != MULTIPLE).fill_null(value=True)
    labels = labels.with_columns(
        pl.when(hanging).then(None).otherwise(pl.col(name)).alias(name)
        for name in labels.columns
        if name.startswith("panel_subtype")
    )
    tops = pl.DataFrame({"local": list(taxonomy.concepts), "_top": [taxonomy.top(i) for i in taxonomy.concepts]})
    kept = (
        labels.select("media_id", "global", "local")
        .drop_nulls(["global", "local"])
        .explode("local", empty_as_null=False, keep_nulls=False)
        .join(tops, on="local")
        .filter(pl.col("global").list.contains(pl.col("_top")))
        .group_by("media_id")
        .agg(_kept=pl.col("local").sort())
    )
    labels = labels.join(kept, on="media_id", how="left")
    checkable = pl.col("global").is_not_null() & pl.col("local").is_not_null()
    pruned = pl.when(checkable).then(pl.col("_kept").fill_null([])).otherwise("local")
    return labels.with_columns(local=pruned).drop("_kept")


def read_calibration(lake: Lake, variant: str = PROPAGATED) -> Calibration:
    """The calibration of ``propagated`` or ``combined`` labels that the audit left behind; empty if there was none."""
    if lake.manifest(LABEL_CALIBRATION, None) is None:
        return {}
    frame = lake.read(LABEL_CALIBRATION, None).filter(variant=variant).sort("question", "knot")
    return {
        str(question): (group["raw"].to_list(), group["confidence"].to_list())
        for (question,), group in frame.group_by("question", maintain_order=True)
    }


@dataclasses.dataclass(frozen=True)
class Audited:
    """What the audit says is to be done to labels.

    Attributes:
        propagated: calibration of labels of clusters.
        combined: calibration of labels of all sources.
        helpful: panel types that the detector may put in the place of another.
    """

    propagated: Calibration = dataclasses.field(default_factory=dict[str, tuple[list[float], list[float]]])
    combined: Calibration = dataclasses.field(default_factory=dict[str, tuple[list[float], list[float]]])
    helpful: frozenset[str] = frozenset()


def label_images(
    assignments: pl.DataFrame,
    annotations: pl.DataFrame,
    panels: pl.DataFrame,
    votes: pl.DataFrame,
    audited: Audited,
    taxonomy: Taxonomy,
    combined: pl.DataFrame | None = None,
    neighbours: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """All steps in order: propagate, correct, combine, overrule, prune; one row per assignment, sorted by media_id.

    Args:
        assignments: ``clusters``.
        annotations: ``annotations`` of the same cluster model.
        panels: ``panels`` of the same images.
        votes: ``expert_votes``.
        audited: what the audit says is to be done to labels.
        taxonomy: the vocabulary.
        combined: what all sources together say, see ``merge``; None: nothing but votes and the panel detector speaks.
        neighbours: see ``propagate``.
    """
    people = votes.filter(pl.col("status") == "active", pl.col("task").is_in(["audit", "override"]))
    labels = propagate(assignments, annotations, audited.propagated, neighbours)
    labels = correct_panels(labels, panels, audited.helpful)
    if combined is None:
        labels = labels.with_columns(claims=pl.lit([], dtype=FIGURE_LABELS.schema["claims"]))
    else:
        labels = merge(labels, combined, audited.combined)
    labels = overrule(labels, people, Rules(min_votes=1), taxonomy)
    labels = coherent(labels, taxonomy)
    simulated_clusters = annotations.filter("simulated")["cluster"].unique()
    simulated_images = people.filter(pl.col("source") == "simulated")["media_id"].unique()
    labels = labels.with_columns(
        calibrated=pl.lit(bool(audited.propagated or audited.combined)),
        simulated=pl.col("cluster").is_in(simulated_clusters.implode()).fill_null(value=False)
        | pl.col("media_id").is_in(simulated_images.implode()),
    )
    return (
        labels.select(FIGURE_LABELS.schema.names())
        .cast({c.name: c.dtype for c in FIGURE_LABELS.columns})
        .sort("media_id")
    )
