"""From the confidence of a label to the share of such labels that people find right.

Belongs here: the map, fitted on audited images, and whether it errs less than no map. Verdicts are ``audit``'s.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from biomedica_assets.lib.annotate.corrections import COMBINED
from biomedica_assets.lib.annotate.estimates import Floats
from biomedica_assets.lib.annotate.form import QUESTIONS
from biomedica_assets.lib.annotate.labels import PROPAGATED
from biomedica_assets.lib.annotate.plots import Curve
from biomedica_assets.lib.tables import LABEL_CALIBRATION

MIN_FOR_CALIBRATION = 30  # fewer verdicts than this make an isotonic fit of noise; the raw confidence stays
FOLDS = 5


def calibrate(judged: pl.DataFrame, min_verdicts: int = MIN_FOR_CALIBRATION) -> pl.DataFrame:
    """Fit a rising map from confidence to precision per variant and question, in the schema of ``label_calibration``.

    Isotonic regression (Barlow et al. 1972) over single verdicts, each weighted by one over the probability with which
    its image was drawn. A question has no map, and keeps its confidence as it is, if it has fewer than ``min_verdicts``
    or if maps fitted on four fifths of the images do not lower the mean squared error on the fifth that they have not
    seen.

    Args:
        judged: rows of ``label_verdicts``.
        min_verdicts: the fewest that are fitted.
    """
    rows: list[dict[str, object]] = []
    for (variant, question), mine in _calibratable(judged):
        if mine.height < min_verdicts:
            continue
        raw, shown, weight = _columns(mine)
        after = cross_fitted(mine)
        errors = [float(np.average((p - shown) ** 2, weights=weight)) for p in (raw, after)]
        if errors[1] >= errors[0]:
            continue
        fit = _isotonic(raw, shown, weight)
        knots = zip(fit.X_thresholds_.tolist(), fit.y_thresholds_.tolist(), strict=True)
        for knot, (one, confidence) in enumerate(knots):
            row: dict[str, object] = {"variant": variant, "question": question, "knot": knot, "n": mine.height}
            row |= {"raw": one, "confidence": confidence, "brier_raw": errors[0], "brier": errors[1]}
            rows.append(row)
    return LABEL_CALIBRATION.frame(rows).sort(LABEL_CALIBRATION.key)


def cross_fitted(mine: pl.DataFrame) -> Floats:
    """Calibrated confidence of each row, by a map fitted on the other four fifths of the images."""
    raw, shown, weight = _columns(mine)
    fold = np.array([int(hashlib.sha256(m.encode()).hexdigest()[:8], 16) % FOLDS for m in mine["media_id"]])
    after = raw.copy()
    for number in range(FOLDS):
        away = fold == number
        if away.any() and not away.all():
            after[away] = _isotonic(raw[~away], shown[~away], weight[~away]).predict(raw[away])
    return after


def _calibratable(judged: pl.DataFrame) -> Iterator[tuple[tuple[str, str], pl.DataFrame]]:
    """Labels of images that were drawn, by variant and question, in order."""
    given = judged.filter("labelled", pl.col("variant").is_in([PROPAGATED, COMBINED])).drop_nulls(
        ["confidence", "inclusion"]
    )
    for variant in (PROPAGATED, COMBINED):
        for question in QUESTIONS:
            mine = given.filter(variant=variant, question=question).sort("confidence", "media_id", "concept_id")
            yield (variant, question), mine


def _columns(mine: pl.DataFrame) -> tuple[Floats, Floats, Floats]:
    """Confidence, 1 where people agree, weight."""
    raw, shown, inclusion = (mine[name].cast(pl.Float64).to_numpy() for name in ("confidence", "shown", "inclusion"))
    return raw.copy(), shown, 1 / inclusion


def _isotonic(raw: Floats, shown: Floats, weight: Floats) -> Any:
    isotonic: Any = importlib.import_module("sklearn.isotonic")
    fit = isotonic.IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    return fit.fit(raw, shown, sample_weight=weight)


def curves(judged: pl.DataFrame, min_verdicts: int = MIN_FOR_CALIBRATION) -> list[Curve]:
    """What a reliability diagram shows of ``label_verdicts``."""
    return [
        Curve(f"{variant}: {question}", *_columns(mine), cross_fitted(mine))
        for (variant, question), mine in _calibratable(judged)
        if mine.height >= min_verdicts
    ]
