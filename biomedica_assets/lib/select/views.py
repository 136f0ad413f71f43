"""What a frame of a picture looks like, in 128 numbers: by them an altered copy is proposed, never confirmed.

A view is a box of a picture, perhaps turned by a few degrees, resampled to 32 x 32. Its description is how strong
gradients of eight directions are in each of 4 x 4 cells, the square root of it, as a unit vector: SIFT's description
(Lowe 2004, with the root of Arandjelovic and Zisserman 2012) of the whole frame instead of a keypoint. It ignores
brightness, contrast and colour; the eight orientations of a picture are permutations of it.

A picture of the corpus is described frame by frame; a test image also cut and turned in the ways in which a copy of it
may be, because there are far fewer of them.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from biomedica_assets.lib.select.frames import Box, within_borders

DIRECTIONS, CELLS, SIDE = 8, 4, 32
LENGTH = DIRECTIONS * CELLS * CELLS
ORIENTATIONS = 8
TEST_VIEWS = 25
"""Views of a test image; fewer are filled up with repetitions of the first."""
INNER = 0.8
"""Share of a frame's sides that its inner view has: what stands in corners and borders is outside of it."""
_TURNS = (-5.0, 5.0)
# A picture turned by 5 degrees keeps its size, or grows by sin 5 so that nothing is cut.
_TURNED = (INNER, INNER * 1.0872)
_CUTS = ((0.9, 2), (0.8, 3))  # share of the sides, positions along each
_FLAT = 1.0  # grey levels per pixel: a picture without a stronger gradient shows nothing
_LEVELS = 255

Grey = NDArray[np.uint8]
F32 = NDArray[np.float32]


@dataclasses.dataclass(frozen=True, slots=True)
class View:
    """A box of a picture, turned about its middle by some degrees, clockwise as seen."""

    box: Box
    degrees: float = 0.0

    def grid(self, side: int) -> NDArray[np.float64]:
        """Affine map, 3 x 3, of the pixels of a side x side grid to those of the picture."""
        x0, y0, x1, y1 = self.box
        angle = np.deg2rad(self.degrees)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        linear = turn @ np.diag([(x1 - x0) / side, (y1 - y0) / side])
        middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
        made = np.eye(3)
        made[:2, :2] = linear
        made[:2, 2] = middle - linear @ np.full(2, side / 2 - 0.5) - 0.5
        return made


def corpus_views(frames: Sequence[Box], whole: int) -> list[View]:
    """Views of a picture of the corpus: its frames, and the inner part of the first ``whole`` of them."""
    return [*map(View, frames), *(View(_part(frame, INNER, 0.5, 0.5)) for frame in frames[:whole])]


def probe_views(grey: Grey) -> list[View]:
    """Views of a test image: whole, within its border, cut to 90 and 80 % at several places, turned by 5 degrees."""
    borders = within_borders(grey)
    whole = borders[0]
    frames = [whole] if len(borders) == 1 else [whole, borders[-1]]
    found = [View(frame) for frame in frames]
    for share, count in _CUTS:
        places = np.linspace(0, 1, count)
        found += [View(_part(whole, share, x, y)) for y in places for x in places]
    for frame in frames:
        found += [View(_part(frame, share, 0.5, 0.5), degrees) for degrees in _TURNS for share in _TURNED]
        found.append(View(_part(frame, INNER, 0.5, 0.5)))
    return found + [found[0]] * (TEST_VIEWS - len(found))


def _part(box: Box, share: float, x: float, y: float) -> Box:
    """A part of a box with that share of its sides; ``x`` and ``y`` say where in the room that is left (0..1)."""
    x0, y0, x1, y1 = box
    width, height = share * (x1 - x0), share * (y1 - y0)
    left, top = x0 + x * (x1 - x0 - width), y0 + y * (y1 - y0 - height)
    return left, top, left + width, top + height


def patch(grey: Grey, view: View, side: int) -> F32:
    """A view of a picture as side x side grey values."""
    x0, y0, x1, y1 = view.box
    if view.degrees:
        shrunk = max(x1 - x0, y1 - y0) / side
        soft = cv2.GaussianBlur(grey, (0, 0), 0.4 * shrunk) if shrunk > 1 else grey
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        to = view.grid(side)[:2]
        turned = cv2.warpAffine(soft, to, (side, side), flags=how, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(turned, np.float32)
    part = grey[max(0, round(y0)) : max(1, round(y1)), max(0, round(x0)) : max(1, round(x1))]
    how = cv2.INTER_AREA if min(part.shape) >= side else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(part, (side, side), interpolation=how), np.float32)


def describe(grey: Grey, views: Sequence[View]) -> NDArray[np.uint8]:
    """Descriptions of views of a picture.

    Returns:
        uint8 (views, 128): unit vectors in steps of 1/255; zeros where there is nothing to see.
    """
    patches = np.stack([cv2.GaussianBlur(patch(grey, view, SIDE), (0, 0), 1.0) for view in views])
    across, down = np.zeros_like(patches), np.zeros_like(patches)
    across[:, :, 1:-1] = patches[:, :, 2:] - patches[:, :, :-2]
    down[:, 1:-1] = patches[:, 2:] - patches[:, :-2]
    n = len(patches)
    strength = np.hypot(across, down).reshape(n, -1)
    angle = np.arctan2(down, across).reshape(n, -1) * np.float32(DIRECTIONS / (2 * np.pi))
    # A letter, an arrow or a frame has the strongest gradients of all: nothing counts more than the upper tenth.
    rank = round(0.9 * strength.shape[1])
    limit = np.partition(strength, rank, axis=1)[:, rank, None]
    seen = strength.max(axis=1) > 2 * _FLAT
    strength = np.minimum(strength, np.where(limit > 0, limit, np.inf))
    low = np.floor(angle)
    share, first = angle - low, low.astype(np.intp) % DIRECTIONS
    by_direction = np.zeros((n, DIRECTIONS, SIDE * SIDE), np.float32)
    rows, pixels = np.arange(n)[:, None], np.arange(SIDE * SIDE)[None]
    by_direction[rows, first, pixels] = strength * (1 - share)
    by_direction[rows, (first + 1) % DIRECTIONS, pixels] = strength * share
    weights = _cells()
    cells = np.matmul(np.matmul(weights, by_direction.reshape(n, DIRECTIONS, SIDE, SIDE)), weights.T)
    root = np.sqrt(cells.reshape(n, -1))
    unit = root / (np.linalg.norm(root, axis=1, keepdims=True) + 1e-9)
    return np.rint(_LEVELS * unit * seen[:, None]).astype(np.uint8)


def unit_vectors(descriptions: NDArray[np.uint8]) -> F32:
    """Descriptions as float32 vectors of length 1, or 0 where there is nothing to see."""
    values = descriptions.astype(np.float32)
    return values / np.maximum(np.linalg.norm(values, axis=-1, keepdims=True), 1e-9)


def turned(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """One of the eight orientations: 0 to 3 quarter turns, 4 to 7 the same of the mirror image."""
    return np.rot90(pixels[:, ::-1] if orientation >= 4 else pixels, orientation % 4)


@functools.cache
def permutations() -> NDArray[np.intp]:
    """Where the numbers of a description come from when the picture is turned: (8, 128), by ``turned``."""
    upright = np.arange(LENGTH).reshape(DIRECTIONS, CELLS, CELLS)
    return np.stack([_turned(upright, orientation).ravel() for orientation in range(ORIENTATIONS)])


def _turned(cells: NDArray[np.intp], orientation: int) -> NDArray[np.intp]:
    if orientation >= 4:  # the mirror image: an angle a becomes a half turn less a
        cells = cells[[(DIRECTIONS // 2 - d) % DIRECTIONS for d in range(DIRECTIONS)], :, ::-1]
    for _ in range(orientation % 4):
        cells = np.rot90(cells, axes=(1, 2))[[(d + DIRECTIONS // 4) % DIRECTIONS for d in range(DIRECTIONS)]]
    return cells


def turning(orientation: int, side: int) -> NDArray[np.float64]:
    """Affine map, 3 x 3, of the pixels of a turned side x side grid (``turned``) to those of the upright."""
    linear = np.eye(2)
    for _ in range(orientation % 4):
        linear = np.array([[0.0, -1.0], [1.0, 0.0]]) @ linear
    if orientation >= 4:
        linear = np.diag([-1.0, 1.0]) @ linear
    made = np.eye(3)
    made[:2, :2] = linear
    made[:2, 2] = (np.eye(2) - linear) @ np.full(2, (side - 1) / 2)
    return made


@functools.cache
def _cells() -> F32:
    """How much each of 32 lines counts for each of 4 cells: all of it at the cell's middle, none at its neighbour's."""
    at = (np.arange(SIDE) + 0.5) * CELLS / SIDE - 0.5
    return np.maximum(0, 1 - np.abs(at[None] - np.arange(CELLS)[:, None])).astype(np.float32)


def batches(n: int, size: int) -> Iterator[slice]:
    """Slices of at most ``size`` that cover n things."""
    return (slice(low, min(n, low + size)) for low in range(0, n, size))
