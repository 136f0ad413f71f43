"""How right found panels are, against panels known: average precision, F1 of boxes, exact matching of spans.

Belongs here: the measures, as detection benchmarks define them. They are used by benchmarks and tests, and by the demo.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

Box = tuple[int, int, int, int]


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """A panel as found: box in pixels, label if any, score that orders detections."""

    box: Box
    label: str | None
    score: float


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0..1."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def matches(found: Sequence[Found], truth: Sequence[Box], least: float) -> list[tuple[int, int]]:
    """Pairs (found, true) of at least ``least`` IoU, best pairs first, each box used once."""
    every = [(iou(f.box, t), i, j) for i, f in enumerate(found) for j, t in enumerate(truth)]
    taken_f, taken_t, pairs = set[int](), set[int](), list[tuple[int, int]]()
    for value, i, j in sorted(every, key=lambda x: -x[0]):
        if value >= least and i not in taken_f and j not in taken_t:
            taken_f.add(i)
            taken_t.add(j)
            pairs.append((i, j))
    return pairs


def box_f1(found: Sequence[Sequence[Found]], truths: Sequence[Sequence[Box]], least: float) -> float:
    """F1 of boxes over all pictures at an IoU of at least ``least``."""
    hit = sum(len(matches(f, t, least)) for f, t in zip(found, truths, strict=True))
    return 2 * hit / max(1, sum(map(len, found)) + sum(map(len, truths)))


def average_precision(found: Sequence[Sequence[Found]], truths: Sequence[Sequence[Box]], least: float) -> float:
    """Area under the interpolated precision-recall curve over all pictures (the all-point rule of Pascal VOC 2010)."""
    scored: list[tuple[float, bool]] = []
    for f, t in zip(found, truths, strict=True):
        hit = {i for i, _ in matches(f, t, least)}
        scored += [(panel.score, i in hit) for i, panel in enumerate(f)]
    scored.sort(key=lambda x: -x[0])
    right = np.cumsum([hit for _, hit in scored])
    precision = right / np.arange(1, len(scored) + 1)
    recall = right / max(1, sum(map(len, truths)))
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(np.concatenate([[0.0], recall])) * best))
