"""What people's verdicts on a sample of images say about propagated labels: precision with intervals, calibration.

Belongs here: the audit sample, its estimates, and the map from raw confidence to precision. Audited images are labelled
blind, with the same form as clusters; they are compared with what propagation alone would have said, since in
``figure_labels`` the person's answer has won.
"""

from __future__ import annotations

import hashlib
import importlib
from typing import Any

import polars as pl

from biomedica_assets.lib.annotate.consensus import Rules, settle
from biomedica_assets.lib.annotate.form import QUESTIONS, SETS, SINGLE_CHOICE
from biomedica_assets.lib.annotate.labels import coherent, correct_panels, propagate
from biomedica_assets.lib.annotate.tally import read_votes
from biomedica_assets.lib.annotate.taxonomy.model import Taxonomy, load
from biomedica_assets.lib.chunks import shelf_of_chunk
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import (
    ANNOTATIONS,
    CLUSTERS,
    LABEL_AUDIT,
    LABEL_CALIBRATION,
    LABEL_VERDICTS,
    PANELS,
)

VERSION = "1"
MIN_FOR_CALIBRATION = 30  # fewer verdicts than this make an isotonic fit of noise; the raw confidence stays


def sample(labels: pl.DataFrame, per_label: int, seed: int) -> pl.DataFrame:
    """Draw images per label for people to judge.

    Args:
        labels: ``figure_labels``, any number of chunks.
        per_label: images per (question, concept); fewer if the label is rarer.
        seed: of the draw. Each image has its own place in it, so further chunks never reshuffle it.

    Returns:
        media_id, reasons (list of "question:concept"), sorted by media_id; an image is drawn once though several labels
        ask for it.
    """
    parts: list[pl.DataFrame] = []
    for question in QUESTIONS:
        one = labels.select("media_id", concept=pl.col(question)).drop_nulls()
        parts.append(one.explode("concept", empty_as_null=False) if question in SETS else one)
        parts[-1] = parts[-1].with_columns(reason=pl.lit(f"{question}:") + pl.col("concept")).drop("concept")
    wanted = pl.concat(parts)
    ids = wanted["media_id"].unique()
    order = pl.DataFrame({"media_id": ids, "_place": [_place(i, seed) for i in ids]})
    drawn = wanted.join(order, on="media_id").sort("reason", "_place").group_by("reason").head(per_label)
    return drawn.group_by("media_id").agg(reasons=pl.col("reason").sort()).sort("media_id")


def _place(media_id: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{media_id}".encode()).hexdigest()


def verdicts(labels: pl.DataFrame, votes: pl.DataFrame, taxonomy: Taxonomy) -> pl.DataFrame:
    """Hold labels against what people said of the same images.

    Args:
        labels: from ``propagate`` (and ``correct_panels``), before people overrule.
        votes: active audit rows of ``expert_votes``.
        taxonomy: the vocabulary.

    Returns:
        media_id, question, concept_id, raw (f32, null for the panel detector), correct (bool), simulated: one row per
        label of an image whose question people settled.
    """
    rows: list[dict[str, object]] = []
    by_image = {str(row["media_id"]): row for row in labels.iter_rows(named=True)}
    mine = votes.filter(pl.col("media_id").is_in(list(by_image))).sort("media_id", "vote_id")
    for (media_id,), group in mine.group_by("media_id", maintain_order=True):
        label = by_image[str(media_id)]
        simulated = bool((group["source"] == "simulated").any())
        for question, outcome in settle(list(group.iter_rows(named=True)), Rules(min_votes=1), taxonomy).items():
            if question not in QUESTIONS or outcome.status != "agreed" or label[question] is None:
                continue
            given = [label[question]] if question in SINGLE_CHOICE else list(label[question])
            for concept in given:
                row: dict[str, object] = {
                    "media_id": media_id,
                    "question": question,
                    "concept_id": concept,
                    "raw": label[f"{question}_raw"],
                    "correct": concept in outcome.answer,
                    "simulated": simulated,
                }
                rows.append(row)
    schema = {"media_id": pl.String, "question": pl.String, "concept_id": pl.String, "raw": pl.Float32}
    return pl.DataFrame(rows, schema={**schema, "correct": pl.Boolean, "simulated": pl.Boolean}, orient="row")


def precision(judged: pl.DataFrame) -> pl.DataFrame:
    """Precision per label and per question with the 95 % Wilson interval, in the schema of ``label_audit``."""
    if not judged.height:
        return LABEL_AUDIT.empty()
    proportion: Any = importlib.import_module("statsmodels.stats.proportion")  # takes seconds to import
    whole = judged.with_columns(concept_id=pl.lit("all"))
    counted = (
        pl.concat([judged, whole])
        .group_by("question", "concept_id")
        .agg(
            n=pl.len().cast(pl.Int32),
            n_correct=pl.col("correct").sum().cast(pl.Int32),
            simulated=pl.col("simulated").any(),
        )
    )
    rows: list[dict[str, object]] = []
    for row in counted.iter_rows(named=True):
        low, high = proportion.proportion_confint(row["n_correct"], row["n"], alpha=0.05, method="wilson")
        rows.append({**row, "precision": row["n_correct"] / row["n"], "low": float(low), "high": float(high)})
    return LABEL_AUDIT.frame(rows).sort("question", "concept_id")


def calibrate(judged: pl.DataFrame, min_verdicts: int = MIN_FOR_CALIBRATION) -> pl.DataFrame:
    """Fit a rising map from raw confidence to precision per question, in the schema of ``label_calibration``.

    Isotonic regression (Barlow et al. 1972) over single verdicts. Questions with fewer than ``min_verdicts`` get none.
    """
    rows: list[dict[str, object]] = []
    for question in QUESTIONS:
        mine = judged.filter(pl.col("question") == question).drop_nulls("raw").sort("raw", "media_id", "concept_id")
        if mine.height < min_verdicts:
            continue
        isotonic: Any = importlib.import_module("sklearn.isotonic")
        fit = isotonic.IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
        fit.fit(mine["raw"].to_numpy(), mine["correct"].cast(pl.Float64).to_numpy())
        raws: list[float] = fit.X_thresholds_.tolist()
        knots = zip(raws, fit.y_thresholds_.tolist(), strict=True)
        for knot, (raw, confidence) in enumerate(knots):
            row: dict[str, object] = {"question": question, "knot": knot, "n": mine.height}
            rows.append(row | {"raw": raw, "confidence": confidence})
    return LABEL_CALIBRATION.frame(rows).sort("question", "knot")


def stage_verdicts(lake: Lake, shelf: str) -> Report:
    """Publish ``label_verdicts`` of one shelf: what audit votes say of the labels its chunks' images would get."""
    taxonomy, (votes, votes_input) = load(), read_votes(lake)
    mine = {table: [c for c in lake.partitions(table) if shelf_of_chunk(c) == shelf] for table in (CLUSTERS, PANELS)}
    inputs = lake.inputs((ANNOTATIONS, None), *((table, chunk) for table, chunks in mine.items() for chunk in chunks))
    votes = votes.filter(pl.col("status") == "active", pl.col("task") == "audit")
    ids = votes["media_id"].drop_nulls().unique().implode()
    rows = lake.scan(CLUSTERS, mine[CLUSTERS]).filter(pl.col("media_id").is_in(ids)).collect().sort("media_id")
    seen = lake.scan(PANELS, mine[PANELS]).filter(pl.col("media_id").is_in(ids)).collect()
    annotations = lake.read(ANNOTATIONS, None).filter(pl.col("cluster_model").is_in(rows["model"].unique().implode()))
    labels = propagate(rows, annotations, {})
    variants = {"propagated": labels, "corrected": coherent(correct_panels(labels, seen), taxonomy)}
    judged = [verdicts(f, votes, taxonomy).with_columns(variant=pl.lit(name)) for name, f in variants.items()]
    frame = pl.concat(judged).select(LABEL_VERDICTS.schema.names()).sort(LABEL_VERDICTS.key)
    manifest = lake.publish(
        LABEL_VERDICTS,
        shelf,
        frame,
        code_version=VERSION,
        inputs=votes_input | inputs,
        config={"taxonomy_version": taxonomy.version},
        n_in=frame.height,
        n_out=frame.height,
    )
    return Report(
        asset=LABEL_VERDICTS.name,
        partition=shelf,
        data_version=manifest.data_version,
        rows=frame.height,
        n_in=frame.height,
        n_out=frame.height,
        bytes_written=manifest.bytes,
        metrics={"images": frame["media_id"].n_unique()},
        preview=tuple(frame.head(10).iter_rows(named=True)),
    )


def _all_verdicts(lake: Lake, variant: str) -> tuple[pl.DataFrame, dict[str, str]]:
    """Verdicts of all shelves, and their entries for a manifest."""
    shelves = lake.partitions(LABEL_VERDICTS)
    inputs = lake.inputs(*((LABEL_VERDICTS, shelf) for shelf in shelves))
    judged = lake.scan(LABEL_VERDICTS, shelves).filter(pl.col("variant") == variant).drop("variant", "shelf").collect()
    return judged, inputs


def stage_audit(lake: Lake) -> Report:
    """Publish ``label_audit``: precision of labels as an image without human verdict would get them."""
    judged, inputs = _all_verdicts(lake, "corrected")
    frame = precision(judged)
    manifest = lake.publish(
        LABEL_AUDIT,
        None,
        frame,
        code_version=VERSION,
        inputs=inputs,
        config={},
        n_in=judged.height,
        n_out=judged.height,
    )
    whole = frame.filter(pl.col("concept_id") == "all")
    return Report(
        asset=LABEL_AUDIT.name,
        partition=None,
        data_version=manifest.data_version,
        rows=frame.height,
        n_in=judged.height,
        n_out=judged.height,
        bytes_written=manifest.bytes,
        metrics={f"precision_{q}": p for q, p in whole.select("question", "precision").iter_rows()}
        | {"verdicts": judged.height, "simulated": bool(frame["simulated"].any())},
        preview=tuple(frame.sort("n", descending=True).head(12).iter_rows(named=True)),
    )


def stage_calibration(lake: Lake, *, min_verdicts: int = MIN_FOR_CALIBRATION) -> Report:
    """Publish ``label_calibration`` from the audit; ``figure_labels`` uses it when it is there."""
    judged, inputs = _all_verdicts(lake, "propagated")
    frame = calibrate(judged, min_verdicts)
    manifest = lake.publish(
        LABEL_CALIBRATION,
        None,
        frame,
        code_version=VERSION,
        inputs=inputs,
        config={"min_verdicts": min_verdicts},
        n_in=judged.height,
        n_out=judged.height,
    )
    return Report(
        asset=LABEL_CALIBRATION.name,
        partition=None,
        data_version=manifest.data_version,
        rows=frame.height,
        n_in=judged.height,
        n_out=judged.height,
        bytes_written=manifest.bytes,
        metrics={"verdicts": judged.height, "questions_calibrated": frame["question"].n_unique()},
        preview=tuple(frame.head(12).iter_rows(named=True)),
    )
