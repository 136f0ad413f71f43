"""Whether two figures of the corpus are one, from their pixels: the second opinion on a hash that matched.

Plots of a kind look alike to a hash; what tells them apart is the shape of the page, colour, and the fine structure,
once a cropped border is allowed for. Altered copies of test images are the business of ``agreement``.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from biomedica_assets.lib.images.canonical import open_canonical

_KEPT_PORTRAITS = 512
_GREY_SIDE, _COMPARED_SIDE, _COLOUR_SIDE = 192, 48, 16
# Of true copies of real figures (33 thumbnails of PMC, 470 made by benchmarks/near_duplicates.py) none differs by more
# than 0.012 in shape or 3.9 in colour; half the look-alikes among drawn plots differ by 0.12 or more in shape.
MOST_SHAPE = 0.02
MOST_COLOUR = 4.0
_CROPS = ((0, 0), (0, 0.01), (0.01, 0), (0, 0.02), (0.02, 0), (0, 0.03), (0.03, 0))

Grey = NDArray[np.float32]


@dataclasses.dataclass(frozen=True, slots=True)
class Portrait:
    """What is compared of a figure.

    Attributes:
        shape: logarithm of width / height.
        grey: the picture as 192 x 192 grey values.
        colour: 16 x 16 x 3 distances from grey, float32.
        colourful: mean of their magnitudes; below 1 the picture counts as grey.
    """

    shape: float
    grey: Image.Image
    colour: NDArray[np.float32]
    colourful: float


@functools.lru_cache(_KEPT_PORTRAITS)
def portrait(path: Path) -> Portrait:
    """The portrait of a file.

    Raises:
        OSError: the file is missing or is no picture.
    """
    picture = open_canonical(path, at_least=2 * _GREY_SIDE)
    shape = math.log(picture.width / picture.height)
    small = picture.resize((_GREY_SIDE, _GREY_SIDE), Image.Resampling.BOX)
    cells = np.asarray(small.resize((_COLOUR_SIDE, _COLOUR_SIDE), Image.Resampling.BOX), dtype=np.float32)
    colour = cells - cells.mean(axis=2, keepdims=True)
    return Portrait(shape, small.convert("L"), colour, float(np.abs(colour).mean()))


def same_picture(one: Portrait, other: Portrait, least: float) -> bool:
    """Whether two figures are one, resized, recompressed, in grey, or without up to 3 % of border.

    Args:
        one: a figure.
        other: another.
        least: correlation of 48 x 48 grey values from which they are alike.
    """
    if abs(one.shape - other.shape) > MOST_SHAPE:
        return False
    colourful = min(one.colourful, other.colourful)
    most = max(MOST_COLOUR, colourful / 4)  # a cropped border moves strong colours by more
    if colourful > 1 and float(np.abs(one.colour - other.colour).mean()) > most:
        return False
    return any(correlation(_within(one.grey, a), _within(other.grey, b)) >= least for a, b in _CROPS)


def _within(grey: Image.Image, border: float) -> Grey:
    edge = _GREY_SIDE * border
    box = (edge, edge, _GREY_SIDE - edge, _GREY_SIDE - edge)
    side = (_COMPARED_SIDE, _COMPARED_SIDE)
    return np.asarray(grey.resize(side, Image.Resampling.BILINEAR, box=box), dtype=np.float32)


def correlation(one: Grey, other: Grey) -> float:
    """Pearson correlation of the grey values; 0 if one of the pictures is of one grey."""
    a, b = one - one.mean(), other - other.mean()
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum() / size) if size > 1e-6 else 0.0
