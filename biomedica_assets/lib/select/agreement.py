"""Whether two pictures that lie over one another are one: the rule that keeps strangers apart.

Two correlations of what remains when local mean and contrast are taken out. ``smooth`` is of all pixels, blurred: noise
of compression does not lower it, anything added does. ``trimmed`` leaves out the pixels and windows that agree least
and is finer: what was drawn on a picture does not lower it, noise does. A copy passes one of them; pictures of one
kind (hands, skulls, cells) pass neither, though their outlines agree.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
from numpy.typing import NDArray

from biomedica_assets.lib.select.registration import Overlay, flattened, weighted_correlation

_MARGIN = 16  # of the side: the edge of a frame that is left out, for it may be cut a little wrong
_OUTLIERS, _LEAST_OUTLIER = 0.07, 0.5
_DROPPED = 0.25
_LOCAL = 0.05
_NOISE = 1.0  # grey levels of local contrast

F32 = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclasses.dataclass(frozen=True, slots=True)
class CopyRules:
    """What counts as a copy.

    Attributes:
        smooth: least correlation of all that two pictures share, blurred, if neither had to be stretched.
        trimmed: or of their finer structure without the quarter that agrees least.
        per_stretch: how much more is asked per stretch: outlines of different pictures agree after a little of it, a
            copy needs none.
        smooth_at_most: what is asked of ``smooth`` at most.
        trimmed_at_most: what is asked of ``trimmed`` at most.
        small: what is asked of either where the frame has fewer than ``small_side`` pixels a side: there is too little
            to see for noise to be forgiven. Copies of the labelled images at half and 0.7 of their size reach 0.987,
            their neighbours 0.952.
        small_side: see there.
        plain: what both must be for pictures with hardly any structure: an outline alone says little.
        structure: how evenly contrast is spread over the frame (``Agreement``); below it a picture is plain.
        stretch: how much longer one direction may be than the other.
        overlap: share of the frame that both pictures must cover.
    """

    smooth: float = 0.935
    trimmed: float = 0.93
    per_stretch: float = 1.0
    smooth_at_most: float = 0.95
    trimmed_at_most: float = 0.957
    small: float = 0.97
    small_side: int = 50
    plain: float = 0.99
    structure: float = 0.27
    stretch: float = 1.045
    overlap: float = 0.4


@dataclasses.dataclass(frozen=True, slots=True)
class Agreement:
    """How well two pictures agree where they lie over one another.

    Attributes:
        smooth: correlation of all, blurred.
        trimmed: correlation of the finer structure, what agrees least left out.
        structure: square of the mean of local contrast by the mean of its square, in the plainer of the two: the
            share of the frame that contrast would cover if it were there or not (participation ratio).
        stretch: how much longer one direction became than the other.
        overlap: share of the frame that both cover.
        side: pixels of the frame's side at which they were compared.
    """

    smooth: float
    trimmed: float
    structure: float
    stretch: float
    overlap: float
    side: int

    @property
    def score(self) -> float:
        """The better of the two correlations."""
        return max(self.smooth, self.trimmed)

    def passes(self, rules: CopyRules) -> bool:
        """Whether the pictures are one by these rules."""
        if self.stretch > rules.stretch or self.overlap < rules.overlap:
            return False
        if self.structure < rules.structure:
            return min(self.smooth, self.trimmed) >= rules.plain
        if self.side < rules.small_side:
            return self.score >= rules.small
        more = rules.per_stretch * (self.stretch - 1)
        return self.smooth >= min(rules.smooth + more, rules.smooth_at_most) or self.trimmed >= min(
            rules.trimmed + more, rules.trimmed_at_most
        )


def agreement(overlay: Overlay) -> Agreement:
    """Compare what lies over one another."""
    side = len(overlay.one)
    edge = max(1, side // _MARGIN)
    common = np.zeros_like(overlay.common)
    common[edge:-edge, edge:-edge] = overlay.common[edge:-edge, edge:-edge]
    overlap = float(overlay.common.mean())
    if common.mean() < 0.2:
        return Agreement(0.0, 0.0, 0.0, overlay.stretch, overlap, side)
    one, other = (np.asarray(cv2.GaussianBlur(p, (0, 0), 1.0), np.float32) for p in (overlay.one, overlay.other))
    a, b = (flattened(p, common, window=1 / 24, least=6.0, share=0.3) for p in (one, other))
    smooth = weighted_correlation(a[common], b[common], np.ones(int(common.sum()), np.float32))
    structure = min(_spread(_local(p, common, 1 / 24)) for p in (one, other))
    return Agreement(smooth, _trimmed(overlay.one, overlay.other, common), structure, overlay.stretch, overlap, side)


def _local(grey: F32, mask: Mask, window: float) -> F32:
    """Local contrast: standard deviation in a Gaussian window, whose own is a share of the side."""
    known, sigma = mask.astype(np.float32), window * len(grey)
    weight = cv2.GaussianBlur(known, (0, 0), sigma) + 1e-3
    off = grey - cv2.GaussianBlur(grey * known, (0, 0), sigma) / weight
    return np.sqrt(np.maximum(cv2.GaussianBlur(off * off * known, (0, 0), sigma) / weight, 0))[mask]


def _spread(local: F32) -> float:
    square = float((local * local).mean())
    return float(local.mean()) ** 2 / square if square > _NOISE**2 else 0.0


def _trimmed(ours: F32, theirs: F32, common: Mask) -> float:
    one, other = (np.asarray(cv2.GaussianBlur(p, (0, 0), 0.7), np.float32) for p in (ours, theirs))

    def flat(mask: Mask) -> tuple[F32, F32]:
        a, b = (flattened(p, mask, window=1 / 32, least=2.0, share=0.1) for p in (one, other))
        return a, b

    kept = common
    for _ in range(2):  # a letter spoils the local contrast around it: without it less looks wrong
        a, b = flat(kept)
        off = np.abs(a - b)
        wrong = (off > max(float(np.quantile(off[common], 1 - _OUTLIERS)), _LEAST_OUTLIER)) & common
        opened = cv2.morphologyEx(wrong.astype(np.uint8), cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
        kept = common & ~(np.asarray(cv2.dilate(opened, np.ones((3, 3), np.uint8))) > 0)
    if kept.sum() < 0.7 * common.sum():
        return 0.0
    a, b = flat(kept)
    sigma = _LOCAL * len(one)
    both, own, its = (np.asarray(cv2.GaussianBlur(v, (0, 0), sigma)) for v in (a * b, a * a, b * b))
    local = both / (np.sqrt(own * its) + 0.02 * max(float(own.max()), float(its.max())) + 1e-9)
    best = kept & (local >= np.quantile(local[kept], _DROPPED))
    return weighted_correlation(a[best], b[best], np.ones(int(best.sum()), np.float32))
