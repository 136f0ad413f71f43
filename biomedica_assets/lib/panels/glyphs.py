"""Which letter a small shape is: a two-layer network over 20 x 20 pixels, its weights beside this file.

Belongs here: how a shape is normalised, the classes, reading the weights, applying them. The network was trained on
glyphs drawn from free fonts and on shapes that are no letters (``benchmarks/panel_letters.py --train``); no figure of
any article went into it. 0.2 MB, a few microseconds a shape, no further library.
"""

from __future__ import annotations

import functools
from importlib import resources

import numpy as np
import numpy.typing as npt
from PIL import Image

SIDE = 20
OTHER = "?"
STEM = "|"  # I, l and the stem of i: one vertical bar
# Letters whose small form is their capital, smaller: told apart by the company they keep, not by their shape.
SAME = frozenset("ckopsuvwxz")
CLASSES = (*sorted("ABDEFGHJLMNQRTY" + "abdefghjmnqrty" + "ckopsuvwxz"), STEM, OTHER)

Features = npt.NDArray[np.float32]


def candidates(found: str) -> tuple[str, ...]:
    """Letters that a class may stand for: both cases where the shape is the same."""
    if found == STEM:
        return ("I", "i", "l")
    if found == OTHER:
        return ()
    return (found.upper(), found) if found in SAME else (found,)


def features(ink: npt.NDArray[np.float32]) -> Features:
    """A shape as the network sees it.

    Args:
        ink: coverage of one shape cut out tightly, height x width, 0 (ground) to 1 (ink).

    Returns:
        float32, SIDE * SIDE + 1: the shape scaled to fill the square's longer side, centred, and its log aspect ratio.
    """
    height, width = ink.shape
    scale = SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(Image.fromarray(ink.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))
    square = np.zeros((SIDE, SIDE), np.float32)
    top, left = (SIDE - size[1]) // 2, (SIDE - size[0]) // 2
    square[top : top + size[1], left : left + size[0]] = small
    return np.append(square.ravel(), np.float32(np.log2(width / height) / 2))


@functools.cache
def _weights() -> tuple[npt.NDArray[np.float32], ...]:
    file = resources.files(__package__ or "biomedica_assets.lib.panels") / "glyphs.npz"
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        return tuple(arrays[name].astype(np.float32) for name in ("w1", "b1", "w2", "b2"))


def classify(shapes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Probability of each class.

    Args:
        shapes: n x (SIDE * SIDE + 1), from ``features``.

    Returns:
        n x len(CLASSES), float32, rows sum to 1.
    """
    w1, b1, w2, b2 = _weights()
    logits = np.maximum(shapes @ w1 + b1, 0) @ w2 + b2
    logits -= logits.max(axis=1, keepdims=True)
    exponents = np.exp(logits)
    return exponents / exponents.sum(axis=1, keepdims=True)
