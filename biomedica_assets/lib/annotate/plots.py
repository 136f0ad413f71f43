"""Labels against what people said of them, as pictures."""

from __future__ import annotations

import dataclasses
import io
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from biomedica_assets.lib.annotate.estimates import Floats, share
from biomedica_assets.lib.report import Picture

BINS = 6
_COLUMNS = 3


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """Labels of one kind.

    Attributes:
        title: what they are.
        before: confidence of each as it was.
        shown: 1.0 where people agree, else 0.0.
        weight: one over the probability with which its image was drawn.
        after: confidence after calibration by a map that has not seen the image.
    """

    title: str
    before: Floats
    shown: Floats
    weight: Floats
    after: Floats


def reliability(curves: Sequence[Curve]) -> Picture:
    """Reliability diagrams: how many labels of a confidence are right, before and after calibration, one panel a curve.

    Each point is the same number of labels, with the 95 % interval of the share that is right.
    """
    from matplotlib.figure import Figure

    rows = -(-len(curves) // _COLUMNS)
    figure: Any = Figure(figsize=(9, 0.6 + 3.1 * rows), dpi=110, layout="constrained")
    grid = figure.subplots(rows, _COLUMNS, squeeze=False, sharey=True)
    for axes, curve in zip(grid.flat, curves, strict=False):
        axes.plot([0, 1], [0, 1], color="#8c959f", linewidth=0.8, linestyle="--")
        for confidence, color, name in ((curve.before, "#bf3989", "before"), (curve.after, "#0969da", "calibrated")):
            points = _points(confidence, curve.shown, curve.weight)
            x, y, low, high = (np.array(values) for values in zip(*points, strict=True))
            axes.errorbar(
                x, y, yerr=[(y - low).clip(0), (high - y).clip(0)], color=color, fmt="o", markersize=4, capsize=2, lw=1,
                label=name,
            )  # fmt: skip
        before, after = (_brier(p, curve) for p in (curve.before, curve.after))
        axes.set_title(f"{curve.title}, n = {len(curve.shown):,}", loc="left", fontsize=9)
        told = f"Brier {before:.3f}, calibrated {after:.3f}" + ("" if after < before else ": kept as it is")
        axes.text(0.98, 0.03, told, ha="right", fontsize=8, transform=axes.transAxes)
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.02)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in grid.flat[len(curves) :]:
        axes.set_visible(False)
    figure.supxlabel("confidence", fontsize=9)
    figure.supylabel("share that people find right", fontsize=9)
    handles, names = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper right", ncols=2, frameon=False, fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return Picture("Confidence of labels against people's verdicts", buffer.getvalue())


def _points(confidence: Floats, shown: Floats, weight: Floats) -> list[tuple[float, float, float, float]]:
    """Mean confidence, share right and its interval of equally many labels each; equal confidences stay together."""
    order = np.argsort(confidence, kind="stable")
    ranked: Floats = confidence[order]
    cuts = [round(len(order) * n / BINS) for n in range(1, BINS)]
    edges = sorted({0, len(order), *(int(np.searchsorted(ranked, float(ranked[cut]))) for cut in cuts)})
    points: list[tuple[float, float, float, float]] = []
    for first, last in itertools.pairwise(edges):
        at = order[first:last]
        found = share(shown[at], np.ones(len(at)), weight[at])
        if found.value is not None and found.low is not None and found.high is not None:
            middle = float(np.average(confidence[at], weights=weight[at]))
            points.append((middle, found.value, found.low, found.high))
    return points


def _brier(confidence: Floats, curve: Curve) -> float:
    return float(np.average((confidence - curve.shown) ** 2, weights=curve.weight))
