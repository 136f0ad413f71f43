"""Audits of invented labels whose truth is known: how often the audit's intervals hold it.

Belongs here: the invention of data with known rates of error, one audit of it from draw to estimate, and the count of
intervals that hold what they should. The truth is the chance of being right with which labels are made: what an audit
says is meant for labels like those that were drawn, not only for the images that happen to be here.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl

from biomedica_assets.lib.annotate import audit, draws
from biomedica_assets.lib.annotate.estimates import wilson
from biomedica_assets.lib.tables import AUDITED_LABELS

KINDS = 12
MULTIPLE_SHARE = 0.3
QUESTION = "global"


@dataclasses.dataclass(frozen=True, slots=True)
class Trial:
    """One kind of audit.

    Attributes:
        images: of the data.
        per_label: images that are drawn per label.
        worst: chance of being right of labels lies, label by label, evenly between this
        best: and this.
    """

    images: int
    per_label: int
    worst: float
    best: float


TRIALS = tuple(
    Trial(images, per_label, worst, best)
    for images in (1_000, 4_000)
    for per_label in (10, 30, 100)
    for worst, best in ((0.97, 1.0), (0.9, 1.0), (0.6, 0.98))
)
"""From 10 images per label, of which most are all right, to 1 200 of 4 000."""


def audited(trial: Trial, seed: int) -> tuple[pl.DataFrame, dict[str, tuple[float, float]]]:
    """One audit: its table ``label_audit``, and the true precision and recall by concept.

    Twelve kinds, the commonest 12 times as frequent as the rarest, and one panel or several: two questions by which
    images are drawn. A wrong label hides each other kind alike.
    """
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, KINDS + 1)
    share /= share.sum()
    right = rng.uniform(trial.worst, trial.best, KINDS)
    given = rng.choice(KINDS, trial.images, p=share)
    correct = rng.random(trial.images) < right[given]
    shown = np.where(correct, given, (given + rng.integers(1, KINDS, trial.images)) % KINDS)
    several = rng.random(trial.images) < MULTIPLE_SHARE
    ids = [f"{seed}-{n}" for n in range(trial.images)]
    names = np.array([f"kind-{n}" for n in range(KINDS)])
    data = pl.DataFrame({"media_id": ids, "given": names[given], "shown": names[shown]}).with_columns(
        panel_type=pl.Series(np.where(several, "panel-multiple", "panel-single")),
        panel_subtype=pl.lit(None, pl.String),
        **{"global": pl.concat_list("given")},
        **{name: pl.lit([], pl.List(pl.String)) for name in ("local", "content")},
    )
    drawn = draws.draw([data], trial.per_label, seed).images.join(data, on="media_id")
    missed = pl.col("given") != pl.col("shown")
    judged = pl.concat(
        [
            drawn.select("media_id", "inclusion", concept_id="given", labelled=pl.lit(value=True), shown=~missed),
            drawn.filter(missed).select(
                "media_id", "inclusion", concept_id="shown", labelled=pl.lit(value=False), shown=pl.lit(value=True)
            ),
        ]
    ).with_columns(
        question=pl.lit(QUESTION), simulated=pl.lit(value=True), inclusion=pl.col("inclusion").cast(pl.Float32)
    )
    filled = judged.with_columns(pl.lit(None, AUDITED_LABELS.schema[n]).alias(n) for n in ("confidence", "provenance"))
    hits = share * right
    of_all = float(hits.sum())
    hidden = (share * (1 - right)).sum() - share * (1 - right)
    recall = hits / (hits + hidden / (KINDS - 1))
    truth = {str(name): (float(p), float(r)) for name, p, r in zip(names, right, recall, strict=True)}
    return audit.estimate(filled.select(AUDITED_LABELS.schema.names())), truth | {audit.WHOLE: (of_all, of_all)}


def coverage(trial: Trial, audits: int, seed: int = 0) -> dict[str, float]:
    """Share of intervals that hold the truth over many audits.

    Args:
        trial: which audits.
        audits: how many.
        seed: of the first; each audits other data.

    Returns:
        ``whole`` (precision of the question), ``precision`` and ``recall`` (of single labels), ``unweighted``
        (precision of the question with all drawn images counted alike), ``images`` (drawn, in the mean).
    """
    counted: dict[str, list[float]] = {name: [] for name in ("whole", "precision", "recall", "unweighted", "images")}
    for number in range(audits):
        table, truth = audited(trial, seed + number)
        for row in table.iter_rows(named=True):
            precision, recall = truth[row["concept_id"]]
            if row["concept_id"] == audit.WHOLE:
                counted["whole"].append(_holds(row["low"], precision, row["high"]))
                low, high = wilson(row["n_correct"] / row["n"], row["n"])
                counted["unweighted"].append(_holds(low, precision, high))
                counted["images"].append(row["n"])
                continue
            if row["n"]:
                counted["precision"].append(_holds(row["low"], precision, row["high"]))
            if row["n_shown"]:
                counted["recall"].append(_holds(row["recall_low"], recall, row["recall_high"]))
    return {name: float(np.mean(values)) for name, values in counted.items()}


def _holds(low: float, truth: float, high: float) -> bool:
    return low - 1e-6 <= truth <= high + 1e-6  # the table is in f32
