"""Accuracy, balanced accuracy and AUROC, with intervals from one resampling of the groups.

The rule of rightness is in ``zero_shot``; here a unit (an item, or an item and a label) already is right or wrong.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from biomedica_assets.lib.evaluate.bootstrap import F64, I64, UNDEFINED, Estimate, Resampler, group_sums, mean_estimates


@dataclasses.dataclass(frozen=True, slots=True)
class Scored:
    """One value of one metric; ``class_name`` is None for the task as a whole."""

    metric: str
    class_name: str | None
    estimate: Estimate
    n: int
    note: str | None = None


def accuracies(
    right: NDArray[np.bool_], truth: I64, groups: I64, classes: tuple[str, ...], resampler: Resampler
) -> list[Scored]:
    """Accuracy, balanced accuracy (mean recall of the classes that have items) and the recall of each class.

    Args:
        right: whether each unit is right.
        truth: class of each unit.
        groups: group of each unit.
        classes: names of the classes; those without a unit are named in the note of balanced accuracy.
        resampler: over the groups.
    """
    by_class = np.full((right.size, len(classes)), np.nan)
    by_class[np.arange(right.size), truth] = right
    recalls = mean_estimates(by_class, groups, resampler)
    present = [k for k, r in enumerate(recalls) if r.defined]
    sums, counts = group_sums(by_class[:, present], groups, resampler.n_groups)
    point = float(np.mean([recalls[k].value for k in present]))

    def balanced(w: F64) -> F64:
        # A draw may miss a class altogether: its recall is then undefined and the mean is over the others.
        drawn = w @ counts
        recall = np.divide(w @ sums, drawn, out=np.zeros_like(drawn), where=drawn > 0)
        return (recall.sum(1) / np.maximum((drawn > 0).sum(1), 1))[:, None]

    (overall,) = mean_estimates(right.astype(np.float64)[:, None], groups, resampler)
    balance = overall if overall.value in (0.0, 1.0) else resampler.estimate(point, resampler.replicate(balanced)[:, 0])
    absent = [c for k, c in enumerate(classes) if k not in present]
    note = f"over {len(present)} of {len(classes)} classes; no items of {', '.join(absent)}" if absent else None
    n_of = np.bincount(truth, minlength=len(classes))
    return [
        Scored("accuracy", None, overall, right.size),
        Scored("balanced_accuracy", None, balance, right.size, note),
        *(Scored("recall", c, recalls[k], int(n_of[k])) for k, c in enumerate(classes) if k in present),
    ]


def aurocs(
    scores: F64, present: NDArray[np.int8], groups: I64, classes: tuple[str, ...], resampler: Resampler
) -> list[Scored]:
    """Area under the ROC curve of each class, and their mean.

    Args:
        scores: items x classes; the higher, the more the class is claimed.
        present: items x classes: 1 the class is there, 0 it is not, -1 not known (the item does not count).
        groups: group of each item.
        classes: names.
        resampler: over the groups.

    A class without both kinds of items has no curve; it is left out of the mean and named in its note.
    """
    points: list[float] = []
    drawn: list[F64] = []
    for k in range(len(classes)):
        known = present[:, k] >= 0
        point, replicates = _auroc(scores[known, k], present[known, k] == 1, groups[known], resampler)
        points.append(point)
        drawn.append(replicates)
    defined = [k for k, point in enumerate(points) if not np.isnan(point)]
    made = [
        Scored("auroc", classes[k], resampler.estimate(points[k], drawn[k]), int((present[:, k] >= 0).sum()))
        for k in defined
    ]
    if not defined:
        note = "no class has both items that show it and items that do not"
        return [Scored("macro_auroc", None, UNDEFINED, scores.shape[0], note)]
    missing = [c for k, c in enumerate(classes) if k not in defined]
    note = f"over {len(defined)} of {len(classes)} classes; no curve for {', '.join(missing)}" if missing else None
    # a class that a draw lost has nan there: the mean is over the others
    stacked = np.stack([drawn[k] for k in defined])
    counted = np.maximum((~np.isnan(stacked)).sum(0), 1)
    macro = np.where(np.isnan(stacked).all(0), np.nan, np.nansum(stacked, axis=0) / counted)
    mean = resampler.estimate(float(np.mean([points[k] for k in defined])), macro)
    return [Scored("macro_auroc", None, mean, scores.shape[0], note), *made]


def _auroc(scores: F64, positive: NDArray[np.bool_], groups: I64, resampler: Resampler) -> tuple[float, F64]:
    """AUROC on the data and on every draw: the chance that a positive outranks a negative, ties count half.

    Weighted Mann-Whitney statistic; one sort serves all draws.
    """
    none = np.full(resampler.replicates, np.nan)
    if not positive.any() or positive.all():
        return float("nan"), none
    order = np.argsort(scores, kind="stable")
    ranked, is_positive, group = scores[order], positive[order], groups[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])

    def area(w: F64) -> F64:
        weight = w[:, group]
        p = np.add.reduceat(weight * is_positive, starts, axis=1)
        n = np.add.reduceat(weight * ~is_positive, starts, axis=1)
        above = np.cumsum(n, axis=1) - 0.5 * n
        total = p.sum(1) * n.sum(1)
        return np.divide((p * above).sum(1), total, out=np.full(len(w), np.nan), where=total > 0)[:, None]

    point = float(area(np.ones((1, resampler.n_groups)))[0, 0])
    return point, resampler.replicate(area, width=scores.size)[:, 0]
