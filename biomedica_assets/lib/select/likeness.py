"""Whether two pictures are alike, from their pixels: the second opinion on a hash that matched.

Two questions, two methods. ``alike``: does a test set use this picture, in any orientation? A 256-bit difference hash
within 16 bits and a correlation of 64 x 64 grey values of at least 0.96 (scaleapi/rsi-benchmark, facts/biomedica.md
5.4). ``same_picture``: are these two figures of the corpus one? Plots of a kind look alike to a hash; what tells them
apart is the shape of the page, colour, and the fine structure, once a cropped border is allowed for.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from biomedica_assets.lib.images.canonical import open_canonical

SIDE = 64
MOST_BITS = 16
LEAST_CORRELATION = 0.96
ORIENTATIONS = 8
_KEPT_THUMBNAILS, _KEPT_PORTRAITS = 1024, 512
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


@functools.lru_cache(_KEPT_THUMBNAILS)
def thumbnail(path: Path) -> Grey:
    """The picture as 64 x 64 grey values, float32, 0 to 255, on white where it is transparent.

    Raises:
        OSError: the file is missing or is no picture.
    """
    return thumbnail_of(path)


def thumbnail_of(picture: Path | bytes) -> Grey:
    """The same, once, also of the bytes of a file."""
    # JPEG decodes straight to a small size: 5 times faster for 4 megapixels.
    grey = open_canonical(picture, at_least=2 * SIDE).convert("L")
    return np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float32)


def turned(grey: NDArray[Any], orientation: int) -> NDArray[Any]:
    """One of the eight orientations: 0 to 3 quarter turns, 4 to 7 the same of the mirror image."""
    return np.rot90(grey[:, ::-1] if orientation >= 4 else grey, orientation % 4)


def correlation(one: Grey, other: Grey) -> float:
    """Pearson correlation of the grey values; 0 if one of the pictures is of one grey."""
    a, b = one - one.mean(), other - other.mean()
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum() / size) if size > 1e-6 else 0.0


def difference_hash(grey: Grey) -> NDArray[np.bool_]:
    """256 bits: whether brightness grows from each of 16 x 17 cells to its right neighbour."""
    small = np.asarray(Image.fromarray(grey).resize((17, 16), Image.Resampling.BOX))
    return (small[:, 1:] > small[:, :-1]).ravel()


def alike(one: Grey, other: Grey, orientations: Sequence[int] = (0,)) -> tuple[bool, float, int]:
    """Whether two pictures are alike, their correlation, and the orientation of ``other`` in which it is highest."""
    found = max((correlation(one, turned(other, o)), -o) for o in orientations)
    best, orientation = found[0], -found[1]
    bits = int((difference_hash(one) != difference_hash(turned(other, orientation))).sum())
    return best >= LEAST_CORRELATION and bits <= MOST_BITS, best, orientation
