"""What people's verdicts on a sample of images say about labels: precision and recall with intervals.

Belongs here: labels held against what people said, the estimates, and the stages of the audit's tables.
Audited images are labelled blind, with the same form as clusters; they are compared with the labels that they would
have had nobody looked at them, since in ``figure_labels`` the person's answer has won. Each counts as one over the
probability with which it was drawn (``draws``); images that were picked by hand are judged, but speak for no others.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from biomedica_assets.lib.annotate.calibration import MIN_FOR_CALIBRATION, calibrate, curves
from biomedica_assets.lib.annotate.consensus import Rules, settle
from biomedica_assets.lib.annotate.corrections import COMBINED, FEWEST, compare
from biomedica_assets.lib.annotate.estimates import share, typical
from biomedica_assets.lib.annotate.form import QUESTIONS, SINGLE_CHOICE
from biomedica_assets.lib.annotate.labels import PROPAGATED, read_calibration
from biomedica_assets.lib.annotate.plots import reliability
from biomedica_assets.lib.annotate.sources import stage as labelling
from biomedica_assets.lib.annotate.tally import read_votes
from biomedica_assets.lib.annotate.taxonomy.model import Taxonomy, load
from biomedica_assets.lib.chunks import shelf_of_chunk
from biomedica_assets.lib.report import Picture, Report
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.store.manifest import Manifest
from biomedica_assets.lib.tables import (
    AUDITED_LABELS,
    EXPERT_VOTES,
    IMAGES,
    LABEL_AUDIT,
    LABEL_CALIBRATION,
    LABEL_CORRECTIONS,
    LABEL_VERDICTS,
    PANELS,
    Table,
)

VERSION = "3"
WHOLE = "all"
DETECTOR = "detector"
"""Variant of ``label_verdicts`` beside ``propagated`` and ``combined``."""


def verdicts(labels: pl.DataFrame, votes: pl.DataFrame, taxonomy: Taxonomy, *, confidence: str) -> pl.DataFrame:
    """Hold labels against what people said of the same images.

    Args:
        labels: ``figure_labels`` or some of its questions, before people overrule.
        votes: active audit rows of ``expert_votes``.
        taxonomy: the vocabulary.
        confidence: which columns hold the confidence: ``raw`` or ``confidence``.

    Returns:
        media_id, question, concept_id, labelled, shown (bool), confidence (f32, null if not given), inclusion (f32),
        simulated, provenance: one row per label of an image whose question people settled, and per label that they
        miss.
    """
    rows: list[dict[str, object]] = []
    by_image = {str(row["media_id"]): row for row in labels.iter_rows(named=True)}
    asked = [question for question in QUESTIONS if question in labels.columns]
    mine = votes.filter(pl.col("media_id").is_in(list(by_image))).sort("media_id", "vote_id")
    for (media_id,), group in mine.group_by("media_id", maintain_order=True):
        label = by_image[str(media_id)]
        said: dict[str, object] = {"media_id": media_id, "inclusion": group["inclusion"].max()}
        said["simulated"] = bool((group["source"] == "simulated").any())
        for question, outcome in settle(list(group.iter_rows(named=True)), Rules(min_votes=1), taxonomy).items():
            if question not in asked or outcome.status != "agreed":
                continue
            given = _given(label, question)
            for concept in sorted(given | set(outcome.answer)):
                row = {"question": question, "concept_id": concept, "labelled": concept in given}
                if concept in given:
                    row["confidence"] = label[f"{question}_{confidence}"]
                    row["provenance"] = label[f"{question}_provenance"]
                rows.append(said | row | {"shown": concept in outcome.answer})
    return AUDITED_LABELS.frame(rows)


def _given(label: dict[str, Any], question: str) -> set[str]:
    if label[question] is None:
        return set()
    return {label[question]} if question in SINGLE_CHOICE else set(label[question])


def estimate(judged: pl.DataFrame) -> pl.DataFrame:
    """Precision and recall per label and per question with 95 % intervals, in the schema of ``label_audit``.

    Args:
        judged: rows of ``audited_labels``; those without ``inclusion`` are not counted.
    """
    drawn = judged.drop_nulls("inclusion")
    rows: list[dict[str, object]] = []
    for (question,), mine in drawn.group_by("question", maintain_order=True):
        weights = 1 / mine.unique("media_id", keep="first", maintain_order=True)["inclusion"].to_numpy()
        unseen = typical(weights.astype(np.float64))
        parts: list[tuple[object, pl.DataFrame]] = [(WHOLE, mine)]
        parts += [(concept, one) for (concept,), one in mine.group_by("concept_id", maintain_order=True)]
        rows += [{"question": question, "concept_id": concept} | _counted(one, unseen) for concept, one in parts]
    return LABEL_AUDIT.frame(rows).sort(LABEL_AUDIT.key)


def _counted(rows: pl.DataFrame, unseen: float) -> dict[str, object]:
    """Estimates of one label, or of all of a question; several labels of an image are one observation."""
    right = pl.col("labelled") & pl.col("shown")
    images = rows.group_by("media_id", maintain_order=True).agg(
        right=right.sum(), labelled=pl.col("labelled").sum(), shown=pl.col("shown").sum(), w=pl.col("inclusion").first()
    )
    good, labelled, shown, inclusion = (
        images[name].cast(pl.Float64).to_numpy() for name in ("right", "labelled", "shown", "w")
    )
    precision, recall = share(good, labelled, 1 / inclusion), share(good, shown, 1 / inclusion, unseen=unseen)
    found: dict[str, object] = {"n": int(labelled.sum()), "n_correct": int(good.sum()), "n_shown": int(shown.sum())}
    found |= {"precision": precision.value, "low": precision.low, "high": precision.high}
    found |= {"recall": recall.value, "recall_low": recall.low, "recall_high": recall.high}
    return found | {"simulated": bool(rows["simulated"].any())}


def stage_verdicts(lake: Lake, shelf: str) -> Report:
    """Publish ``label_verdicts`` of one shelf: what audit votes say of sources that can be corrected."""
    taxonomy, (votes, inputs) = load(), _audit_votes(lake)
    parts = [LABEL_VERDICTS.empty()]
    for chunk, ids in _audited_chunks(lake, shelf, votes):
        inputs |= labelling.inputs_of(lake, chunk, labelling.BEFORE_AUDIT)
        if not ids:
            continue
        known = labelling.read_sources(lake, chunk, taxonomy)
        labels = {PROPAGATED: known.propagated({}), DETECTOR: _detected(known.panels)}
        if known.combined is not None:
            labels[COMBINED] = known.combined.filter(
                (pl.col("global_provenance") != PROPAGATED) | (pl.col("local_provenance") != PROPAGATED)
            )
        for variant, frame in labels.items():
            mine = frame.filter(pl.col("media_id").is_in(ids))
            which = "confidence" if variant == COMBINED else "raw"
            judged = verdicts(mine, votes, taxonomy, confidence=which).with_columns(variant=pl.lit(variant))
            parts.append(judged.select(LABEL_VERDICTS.schema.names()))
    return _publish(lake, LABEL_VERDICTS, shelf, pl.concat(parts).sort(LABEL_VERDICTS.key), inputs)


def _detected(panels: pl.DataFrame) -> pl.DataFrame:
    """What the panel detector says, in the columns of ``labels.propagate``."""
    sure = pl.max_horizontal("p_multiple", 1 - pl.col("p_multiple")).cast(pl.Float32)
    return panels.select("media_id", "panel_type", panel_type_raw=sure, panel_type_provenance=pl.lit("model"))


def _audited_chunks(lake: Lake, shelf: str, votes: pl.DataFrame) -> Iterator[tuple[str, list[str]]]:
    """Chunks of a shelf, each with its images that people judged."""
    ids = votes["media_id"].drop_nulls().unique().implode()
    for chunk in lake.partitions(PANELS):
        if shelf_of_chunk(chunk) == shelf:
            mine = lake.read_lazy(IMAGES, chunk).filter(pl.col("media_id").is_in(ids)).select("media_id").collect()
            yield chunk, sorted(mine["media_id"])


def stage_audited(lake: Lake, shelf: str) -> Report:
    """Publish ``audited_labels`` of one shelf: what audit votes say of the labels that images have without them.

    How far each source is trusted was counted with these votes, too: a handful of numbers from all of them, so that
    what is measured is a little better than what other images have.
    """
    taxonomy, (votes, inputs) = load(), _audit_votes(lake)
    parts = [AUDITED_LABELS.empty()]
    for chunk, ids in _audited_chunks(lake, shelf, votes):
        inputs |= labelling.inputs_of(lake, chunk)
        if ids:
            labels, _ = labelling.label_chunk(lake, chunk, EXPERT_VOTES.empty(), taxonomy)
            mine = labels.filter(pl.col("media_id").is_in(ids))
            parts.append(verdicts(mine, votes, taxonomy, confidence="confidence"))
    return _publish(lake, AUDITED_LABELS, shelf, pl.concat(parts).sort(AUDITED_LABELS.key), inputs)


def _audit_votes(lake: Lake) -> tuple[pl.DataFrame, dict[str, str]]:
    votes, inputs = read_votes(lake)
    return votes.filter(pl.col("status") == "active", pl.col("task") == "audit"), inputs


def _publish(lake: Lake, table: Table, shelf: str, frame: pl.DataFrame, inputs: dict[str, str]) -> Report:
    config = {"taxonomy_version": load().version}
    manifest = _written(lake, table, shelf, frame, inputs, config, frame.height)
    by_hand = frame.filter(pl.col("inclusion").is_null())["media_id"].n_unique()
    metrics = {"images": frame["media_id"].n_unique(), "images_not_drawn_by_lot": by_hand}
    return _report(manifest, frame, frame.height, metrics, frame.head(10))


def _all_shelves(lake: Lake, table: Table) -> tuple[pl.DataFrame, dict[str, str]]:
    """Rows of all shelves, and their entries for a manifest."""
    shelves = lake.partitions(table)
    inputs = lake.inputs(*((table, shelf) for shelf in shelves))
    return lake.scan(table, shelves).drop("shelf").collect().sort(table.key), inputs


def stage_audit(lake: Lake) -> Report:
    """Publish ``label_audit``: how right labels are, and how many they miss, on images that nobody looked at."""
    judged, inputs = _all_shelves(lake, AUDITED_LABELS)
    frame = estimate(judged)
    manifest = _written(lake, LABEL_AUDIT, None, frame, inputs, {}, judged.height)
    metrics: dict[str, Any] = {"verdicts": judged.height, "simulated": bool(frame["simulated"].any())}
    metrics["images_not_drawn_by_lot"] = judged.filter(pl.col("inclusion").is_null())["media_id"].n_unique()
    for row in frame.filter(concept_id=WHOLE).iter_rows(named=True):
        for name, low, high in (("precision", "low", "high"), ("recall", "recall_low", "recall_high")):
            if row[name] is not None:
                metrics[f"{name}_{row['question']}"] = row[name]
                metrics[f"{name}_{row['question']}_95"] = f"{row[low]:.3f} to {row[high]:.3f}"
    return _report(manifest, frame, judged.height, metrics, frame.sort("n", descending=True).head(12))


def stage_calibration(lake: Lake, *, min_verdicts: int = MIN_FOR_CALIBRATION) -> Report:
    """Publish ``label_calibration`` from the audit; ``figure_labels`` uses it when it is there."""
    judged, inputs = _all_shelves(lake, LABEL_VERDICTS)
    frame = calibrate(judged, min_verdicts)
    manifest = _written(lake, LABEL_CALIBRATION, None, frame, inputs, {"min_verdicts": min_verdicts}, judged.height)
    whole = frame.unique(["variant", "question"], keep="first", maintain_order=True)
    metrics: dict[str, Any] = {"verdicts": judged.height, "calibrated": whole.height}
    for row in whole.iter_rows(named=True):
        metrics[f"brier_{row['variant']}_{row['question']}"] = f"{row['brier_raw']:.4f}, now {row['brier']:.4f}"
    shown = curves(judged, min_verdicts)
    pictures = (reliability(shown),) if shown else ()
    return _report(manifest, frame, judged.height, metrics, frame.head(12), pictures)


def stage_corrections(lake: Lake) -> Report:
    """Publish ``label_corrections``: whether the panel detector may overrule clusters."""
    judged, inputs = _all_shelves(lake, LABEL_VERDICTS)
    inputs |= lake.inputs((LABEL_CALIBRATION, None))
    propagated, detected = (judged.filter(variant=variant) for variant in (PROPAGATED, DETECTOR))
    frame = compare(propagated, detected, read_calibration(lake))
    manifest = _written(lake, LABEL_CORRECTIONS, None, frame, inputs, {"fewest": FEWEST}, judged.height)
    metrics = {f"overrules_to_{row['concept_id']}": row["applied"] for row in frame.iter_rows(named=True)}
    return _report(manifest, frame, judged.height, metrics, frame)


def _written(
    lake: Lake, table: Table, partition: str | None, frame: pl.DataFrame, inputs: dict[str, str], config: Any, n: int
) -> Manifest:
    return lake.publish(
        table, partition, frame, code_version=VERSION, inputs=inputs, config=config, n_in=n, n_out=n
    )  # fmt: skip


def _report(
    manifest: Manifest,
    frame: pl.DataFrame,
    n: int,
    metrics: Any,
    preview: pl.DataFrame,
    pictures: tuple[Picture, ...] = (),
) -> Report:
    return Report(
        asset=manifest.asset,
        partition=manifest.partition,
        data_version=manifest.data_version,
        rows=frame.height,
        n_in=n,
        n_out=n,
        bytes_written=manifest.bytes,
        metrics=metrics,
        preview=tuple(preview.iter_rows(named=True)),
        pictures=pictures,
    )
