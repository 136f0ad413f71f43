"""Shares estimated from images that were drawn with unequal probabilities, and intervals that hold for them.

Belongs here: one share with its 95 % interval. Who was drawn is ``draws``, what is counted ``audit``.

A share is a ratio of weighted sums (Hajek 1971), each image weighted by one over its probability of being drawn. Its
interval is Wilson's with the effective number of images in the place of their number, as Franco, Little, Louis and Slud
(2019, Journal of Survey Statistics and Methodology 7:334) recommend for complex samples: also where nothing, or
everything, was right. Effective is the smaller of two numbers: Kish's, (sum w)^2 / sum w^2, and p (1 - p) over the
linearised variance. The second sees that errors lie where weights are large; the first that a heavy stratum in which
no error was met may still hold some. Wilson's interval by the second alone covers 0.89 to 0.97 of simulated audits.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_Z = 1.959963984540054


@dataclasses.dataclass(frozen=True, slots=True)
class Share:
    """A share with its interval.

    Attributes:
        value: the estimate, None if nothing was counted.
        low: lower end of the 95 % interval, None likewise.
        high: upper end.
        effective: number of equally weighted images that would tell as much.
    """

    value: float | None
    low: float | None
    high: float | None
    effective: float


def share(good: Floats, total: Floats, weight: Floats, *, unseen: float = 0.0) -> Share:
    """Share of what is good, over images.

    Args:
        good: per image how many of its items are good, float64; at most ``total``.
        total: per image how many items it has; images with 0 are not counted.
        weight: per image one over the probability with which it was drawn.
        unseen: weight of an image that might have been counted and was not drawn. Where images enter by what people
            say of them (recall), a miss may hide among images of which few were drawn: ``typical`` of the whole sample.

    Returns:
        The share and its interval; items of one image count as one observation.
    """
    here = total > 0
    good, total, weight = good[here], total[here], weight[here]
    sizes = weight * total
    whole = float(sizes.sum())
    if not whole:
        return Share(None, None, None, 0.0)
    value = min(1.0, float((weight * good).sum()) / whole)
    kish = (whole + unseen) ** 2 / (float((sizes**2).sum()) + unseen**2)
    variance = float(((weight * (good - value * total)) ** 2).sum()) / whole**2
    effective = min(kish, whole**2 / float((sizes**2).sum()))
    if variance > 0:
        effective = min(effective, value * (1 - value) / variance)
    low, high = wilson(value, effective)
    return Share(value, low, high, effective)


def typical(weight: Floats) -> float:
    """Weight of the image behind a typical unit of weight: sum w^2 / sum w; 0 without images."""
    return float((weight**2).sum() / weight.sum()) if len(weight) else 0.0


def wilson(value: float, n: float) -> tuple[float, float]:
    """Wilson's 95 % interval (1927) of a share from ``n`` observations, ``n`` above 0 and not necessarily whole."""
    middle = value + _Z**2 / (2 * n)
    spread = _Z * math.sqrt(max(0.0, value * (1 - value)) / n + _Z**2 / (4 * n**2))
    scale = 1 + _Z**2 / n
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)
