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


def exact_count(found: Sequence[Sequence[Found]], truths: Sequence[Sequence[Box]]) -> float:
    """Share of the pictures on which exactly as many panels were found as there are."""
    return sum(len(f) == len(t) for f, t in zip(found, truths, strict=True)) / max(1, len(truths))


def in_order(found: Sequence[Sequence[Found]], truths: Sequence[Sequence[Box]]) -> float:
    """Share of the pictures on which panels that were found, at an IoU of at least 0.5, stand in the right order."""
    right = 0
    for f, t in zip(found, truths, strict=True):
        places = [j for _, j in sorted(matches(f, t, 0.5))]
        right += places == sorted(places)
    return right / max(1, len(truths))


Named = tuple[tuple[str, ...], int, int]  # labels, start, stop: a span of a caption that speaks of these panels


def named_spans(
    parts: Sequence[tuple[Sequence[str], Sequence[tuple[int, int]]]], caption: str, *, each: bool = False
) -> set[Named]:
    """The spans of sub-captions with their labels, edges without blanks and punctuation.

    Args:
        parts: labels and own spans of each sub-caption.
        caption: the text that the spans point into.
        each: a span of several labels counts once for each of them.
    """
    found: set[Named] = set()
    for labels, spans in parts:
        for start, stop in spans:
            text = caption[start:stop]
            begin = start + len(text) - len(text.lstrip(_EDGE))
            end = begin + len(text.strip(_EDGE))
            found |= {(names, begin, end) for names in ([(label,) for label in labels] if each else [tuple(labels)])}
    return found


_EDGE = " \t\n\u00a0\u2009.,;:"


def set_f1(found: Sequence[set[Named]], truths: Sequence[set[Named]]) -> tuple[float, float, float]:
    """Precision, recall and F1 of spans over all captions; one counts only if its labels, start and stop are right."""
    hit = sum(len(f & t) for f, t in zip(found, truths, strict=True))
    n_found, n_true = sum(map(len, found)), sum(map(len, truths))
    return hit / max(1, n_found), hit / max(1, n_true), 2 * hit / max(1, n_found + n_true)


def links_right(
    found: Sequence[Found], linked: Sequence[Sequence[str] | None], truth: Sequence[tuple[str | None, Box]]
) -> tuple[int, int]:
    """How many panels are linked to the sub-caption that speaks of them, and how many could be.

    Args:
        found: panels of one picture as found.
        linked: for each, all labels that each of its sub-captions names, as one sequence per panel; None without link.
        truth: panels as they are; label None where the caption does not speak of the panel.

    Returns:
        A panel is right if the box that lies best on it, at an IoU of at least 0.5, is linked to its label.
    """
    pairs = {j: i for i, j in matches(found, [box for _, box in truth], 0.5)}
    speaks = [(j, label) for j, (label, _) in enumerate(truth) if label is not None]
    right = sum(j in pairs and label in (linked[pairs[j]] or ()) for j, label in speaks)
    return right, len(speaks)
