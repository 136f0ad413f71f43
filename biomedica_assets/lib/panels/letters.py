"""Panel letters that stand on a picture: where they are and which they are.

Belongs here: finding shapes of a letter's size that stand alone, reading them (``glyphs``), and keeping those that make
one consistent set: one case, one type size, in alphabetical order from A. Where the caption names its panels, only
those letters count, and a weaker shape is believed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from biomedica_assets.lib.panels import glyphs, morphology

MIN_HEIGHT = 6  # pixels; below, letters are not told apart
MAX_HEIGHT = 0.09  # share of the longer side: larger letters are content
MIN_SHARE = 0.005
CONTRAST = 48  # grey levels between a letter and what surrounds it
MOST_SHAPES = 4_000  # a scatter plot has tens of thousands; the largest are looked at
_X_HEIGHT = frozenset("acegmnopqrsuvwxyz")
_SURE = 0.55
_EXPECTED = 0.15
_SPREAD = 1.45  # type sizes within one set differ by at most this factor: a is measured without ascender

Gray = npt.NDArray[np.uint8]


@dataclasses.dataclass(frozen=True, slots=True)
class Letter:
    """A panel letter on the picture.

    Attributes:
        label: the letter.
        box: x0, y0, x1, y1 in pixels of the picture looked at.
        score: probability of the reading, 0..1.
    """

    label: str
    box: tuple[int, int, int, int]
    score: float

    @property
    def middle(self) -> tuple[float, float]:
        """Centre, x and y."""
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2


def find_letters(gray: Gray, expected: Sequence[str] = ()) -> list[Letter]:
    """Read the panel letters of a picture.

    Args:
        gray: height x width, uint8.
        expected: labels that the caption names; empty where it names none.

    Returns:
        Letters in alphabetical order, each once; empty where no consistent set of at least two stands on the picture.
    """
    shapes = [*_shapes(gray, light=False), *_shapes(gray, light=True)]
    if not shapes:
        return []
    chances = glyphs.classify(np.stack([shape for _, shape in shapes]))
    wanted = {label for label in expected if len(label) == 1}
    found = _readings([box for box, _ in shapes], chances, wanted)
    return _consistent(found, gray.shape[:2], wanted)


Box = tuple[int, int, int, int]


def _shapes(gray: Gray, *, light: bool) -> list[tuple[Box, glyphs.Features]]:
    """Isolated shapes of a letter's size, dark on light or light on dark, with what the network sees of them."""
    longer = max(gray.shape)
    level = gray.astype(np.float32)
    # against the surroundings, not against a fixed grey: letters stand on photographs of every tone
    around = morphology.mean_around(level, max(15, round(0.05 * longer)))
    depth = level - around if light else around - level
    mask = depth > CONTRAST
    numbered, slices = morphology.components(mask)
    if not slices:
        return []
    boxes = np.array([(s[1].start, s[0].start, s[1].stop, s[0].stop) for s in slices], np.int32)
    heights, widths = boxes[:, 3] - boxes[:, 1], boxes[:, 2] - boxes[:, 0]
    low = max(MIN_HEIGHT, MIN_SHARE * longer)
    fits = (heights >= low) & (heights <= MAX_HEIGHT * longer) & (widths <= 1.6 * heights) & (widths >= 2)
    chosen = np.flatnonzero(fits)
    if len(chosen) > MOST_SHAPES:
        chosen = chosen[np.argsort(-heights[chosen])[:MOST_SHAPES]]
    found: list[tuple[Box, glyphs.Features]] = []
    for i in chosen[_alone(boxes, chosen)]:
        x0, y0, x1, y1 = (int(v) for v in boxes[i])
        own = numbered[y0:y1, x0:x1] == i + 1
        if own.mean() > 0.93:
            continue
        contrast = max(CONTRAST, float(np.percentile(depth[y0:y1, x0:x1][own], 80)))
        if not _stands_out(depth, (x0, y0, x1, y1), contrast):
            continue
        # the shape's own pixels with their soft edges, not the neighbour's that reach into its box
        near = morphology.grown(own)
        cover = np.clip(depth[y0:y1, x0:x1] / contrast, 0, 1)
        found.append(((x0, y0, x1, y1), glyphs.features(np.where(near, cover, 0))))
    return found


def _alone(boxes: npt.NDArray[np.int32], chosen: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """Which of the chosen shapes are no part of a word: no neighbour of their height close by on their line."""
    order = np.argsort(boxes[:, 0])
    left = boxes[order, 0]
    widest = int((boxes[chosen, 2] - boxes[chosen, 0]).max(initial=0)) * 3
    alone = np.ones(len(chosen), bool)
    for k, i in enumerate(chosen):
        x0, y0, x1, y1 = (int(v) for v in boxes[i])
        height = y1 - y0
        gap = 0.55 * height
        first, last = np.searchsorted(left, x0 - gap - widest), np.searchsorted(left, x1 + gap, side="right")
        near = order[first:last]
        other = boxes[near]
        tall = other[:, 3] - other[:, 1]
        wide = other[:, 2] - other[:, 0]
        line = np.minimum(other[:, 3], y1) - np.maximum(other[:, 1], y0) > 0.5 * np.minimum(tall, height)
        beside = (other[:, 0] <= x1 + gap) & (other[:, 2] >= x0 - gap)
        # a bracket, a full stop and the frame around the panel may stand beside it
        bracket = (wide < 0.45 * tall) & (tall > 1.02 * height) & (tall < 2.5 * height)
        like = (tall > 0.45 * height) & (tall < 2.6 * height) & (wide < 3 * height) & ~bracket
        alone[k] = not bool((line & beside & like & (near != i)).any())
    return alone


def _stands_out(depth: npt.NDArray[np.float32], box: Box, contrast: float) -> bool:
    """Whether the ring around a shape is mostly ground."""
    x0, y0, x1, y1 = box
    margin = max(1, (y1 - y0) // 6)
    top, bottom = max(0, y0 - margin), min(depth.shape[0], y1 + margin)
    left, right = max(0, x0 - margin), min(depth.shape[1], x1 + margin)
    around = np.clip(depth[top:bottom, left:right] / contrast, 0, 1)
    inner = np.clip(depth[y0:y1, x0:x1] / contrast, 0, 1)
    ring = around.size - inner.size
    return ring > 0 and float(around.sum() - inner.sum()) / ring < 0.42


def _readings(boxes: Sequence[Box], chances: npt.NDArray[np.float32], wanted: set[str]) -> list[Letter]:
    """Every letter each shape may be, with its probability."""
    found: list[Letter] = []
    for box, row in zip(boxes, chances, strict=True):
        best: list[int] = np.argsort(-row)[:3].tolist()
        for at in best:
            for label in glyphs.candidates(glyphs.CLASSES[at]):
                least = _EXPECTED if label in wanted else _SURE
                if row[at] >= least and (not wanted or label in wanted or not _same_case(label, wanted)):
                    found.append(Letter(label, box, float(row[at])))
    return found


def _same_case(label: str, wanted: set[str]) -> bool:
    return any(label.isupper() == other.isupper() for other in wanted)


def _type_size(letter: Letter) -> float:
    """Height that a capital of the same type would have, pixels."""
    height = letter.box[3] - letter.box[1]
    return height / 0.74 if letter.label in _X_HEIGHT - set("gpqy") else float(height)


def _consistent(found: Sequence[Letter], shape: tuple[int, int], wanted: set[str]) -> list[Letter]:
    """The set of one case and one type size that names most panels in order from A."""
    best: list[Letter] = []
    value = 0.0
    for upper in (True, False):
        same = sorted((x for x in found if x.label.isupper() == upper), key=_type_size)
        sizes = [_type_size(x) for x in same]
        for i, size in enumerate(sizes):
            if i and size < sizes[i - 1] * 1.02 and i > 1:
                continue  # almost the same window as before
            window = [x for x, s in zip(same, sizes, strict=True) if size <= s <= size * _SPREAD]
            chosen = _in_order(window, shape, wanted)
            agreed = sum(1 for x in chosen if x.label in wanted)
            worth = sum(x.score for x in chosen) + agreed + 0.3 * (size / max(sizes))
            if chosen and worth > value:
                best, value = chosen, worth
    return best


def _in_order(window: Sequence[Letter], shape: tuple[int, int], wanted: set[str]) -> list[Letter]:
    """One place for each letter, the letters in order from A with few holes; empty below two."""
    places: dict[str, list[Letter]] = {}
    for letter in window:
        places.setdefault(letter.label.upper(), []).append(letter)
    run: list[str] = []
    missing = 0
    for code in range(ord("A"), ord("Z") + 1):
        name = chr(code)
        if name in places:
            run.append(name)
        else:
            missing += 1
            if missing > max(1, len(run) // 3):
                break
    expected = {label.upper() for label in wanted}
    if expected:
        run = [name for name in places if name in expected]
    if not expected and len(run) < (2 if run[:1] == ["A"] else 3):
        return []
    if len(run) < 2 or (expected and len(run) < max(2, len(expected) // 3)):
        return []
    anchors = [max(places[name], key=lambda x: x.score) for name in run]
    width, height = shape[1], shape[0]

    def lined_up(letter: Letter) -> float:
        """How many other letters share its left edge or its top line."""
        others = [a for a in anchors if a.label.upper() != letter.label.upper()]
        near_x = sum(abs(a.box[0] - letter.box[0]) < 0.02 * width for a in others)
        near_y = sum(abs(a.box[3] - letter.box[3]) < 0.02 * height for a in others)
        return letter.score + 0.5 * min(near_x + near_y, 4)

    return sorted((max(places[name], key=lined_up) for name in run), key=lambda x: x.label)
