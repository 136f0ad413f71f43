"""The parts of a picture that may be another picture: the whole, what a border surrounds, the panels of a compound.

Belongs here: where to look, as boxes. What is compared of a box is ``views``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels, half-open."""

Splitting = Callable[[Image.Image], Sequence[tuple[int, int, int, int]]]
"""Finds the panels of a picture: boxes in its pixels, none or one if it is single."""

SMALLEST = 16
"""Shorter side of a frame, in pixels, below which nothing can be told of it."""
MOST_PANELS = 24
"""A picture that falls into more parts is a table or a drawing."""
_GROUND, _SURROUNDS, _STRAY, _LAYERS = 12, 0.6, 0.004, 3


def frames_of(picture: Image.Image, split: Splitting) -> list[Box]:
    """Frames of a picture, without repetition: the whole, within its borders, then each panel and what is within it.

    Args:
        picture: canonical RGB picture.
        split: finds its panels.

    Returns:
        Boxes in its pixels; the whole is the first, also where it is smaller than ``SMALLEST``.
    """
    grey = np.asarray(picture.convert("L"))
    found: dict[Box, None] = dict.fromkeys(within_borders(grey))
    panels = split(picture)
    if 1 < len(panels) <= MOST_PANELS:
        for panel in panels:
            found |= dict.fromkeys(within_borders(grey, panel))
    whole, *rest = found
    return [whole, *(box for box in rest if min(box[2] - box[0], box[3] - box[1]) >= SMALLEST)]


def within_borders(grey: NDArray[np.uint8], box: Box | None = None) -> list[Box]:
    """A box, and what remains of it when one border after another is taken off, up to three.

    A border is what lies around everything that differs from the grey most of the edge has: paper, a frame, the black
    around a scan. Lines of which next to nothing differs belong to it.
    """
    found = [box or (0, 0, grey.shape[1], grey.shape[0])]
    while len(found) <= _LAYERS and (inner := _trimmed(grey, found[-1])) != found[-1]:
        found.append(inner)
    return found


def _trimmed(grey: NDArray[np.uint8], box: Box) -> Box:
    x0, y0, x1, y1 = (round(edge) for edge in box)
    part = grey[y0:y1, x0:x1].astype(np.int16)
    edge = np.concatenate([part[0], part[-1], part[:, 0], part[:, -1]])
    ground = np.median(edge)
    if (np.abs(edge - ground) <= _GROUND).mean() < _SURROUNDS:
        return box
    ink = np.abs(part - ground) > _GROUND
    rows = np.flatnonzero(ink.mean(axis=1) > _STRAY)
    columns = np.flatnonzero(ink.mean(axis=0) > _STRAY)
    if min(len(rows), len(columns)) < SMALLEST // 2:
        return box
    return x0 + int(columns[0]), y0 + int(rows[0]), x0 + int(columns[-1]) + 1, y0 + int(rows[-1]) + 1
