"""Whether a correction of labels may be applied: only where audited images say that it helps.

Belongs here: the rule, and its table ``label_corrections``. The panel detector, surer than a cluster, may put its
answer in the place of the cluster's. On the demo that lowered the share of right panel types from 0.973 to 0.926 before
anybody had looked. So both are held against what people said of the same images, a paired comparison: of the audited
images where the detector would overrule, on what share is it right? It may overrule if the 95 % interval of that share,
each image counted as one over its probability of being drawn, lies above one half, and there are at least six: with
fewer a sign test cannot tell either. The two directions (to one panel, to several) err differently and are judged
apart. Without an audit nothing is overruled.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from biomedica_assets.lib.annotate.estimates import share
from biomedica_assets.lib.annotate.labels import Audited, Calibration, calibrated, read_calibration
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import LABEL_CORRECTIONS

FEWEST = 6
"""0.5 ** 6 is the first chance of all signs being equal that lies below 2.5 %."""
COMBINED = "combined"
_QUESTION = "panel_type"


def compare(propagated: pl.DataFrame, detected: pl.DataFrame, calibration: Calibration) -> pl.DataFrame:
    """Detector and clusters against people, in the schema of ``label_corrections``.

    Args:
        propagated: rows of ``label_verdicts`` of that variant.
        detected: rows of the variant ``detector``.
        calibration: of labels of clusters: what the detector's sureness is held against, as in ``labels``.
    """
    mine, its = (
        rows.filter(pl.col("question") == _QUESTION, pl.col("labelled")).drop_nulls("inclusion")
        for rows in (propagated, detected)
    )
    mine = mine.with_columns(confidence=calibrated(mine["confidence"], calibration.get(_QUESTION)))
    both = mine.join(its, on="media_id", suffix="_its").filter(
        pl.col("concept_id") != pl.col("concept_id_its"), pl.col("confidence_its") > pl.col("confidence")
    )
    rows: list[dict[str, object]] = []
    for (concept,), one in both.group_by("concept_id_its", maintain_order=True):
        good = one["shown_its"].cast(pl.Float64).to_numpy()
        found = share(good, np.ones(len(good)), 1 / one["inclusion"].cast(pl.Float64).to_numpy())
        row: dict[str, object] = {"concept_id": concept, "n": len(good), "n_better": int(good.sum())}
        row |= {"better": found.value, "low": found.low, "high": found.high}
        row |= {"applied": len(good) >= FEWEST and found.low is not None and found.low > 0.5}
        rows.append(row | {"simulated": bool(one["simulated"].any())})
    return LABEL_CORRECTIONS.frame(rows).sort("concept_id")


def read_audited(lake: Lake) -> Audited:
    """What the audit says is to be done to labels; nothing if there was none."""
    helpful: frozenset[str] = frozenset()
    if lake.manifest(LABEL_CORRECTIONS, None) is not None:
        helpful = frozenset(lake.read(LABEL_CORRECTIONS, None).filter("applied")["concept_id"])
    return Audited(read_calibration(lake), read_calibration(lake, COMBINED), helpful)
