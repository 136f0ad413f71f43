"""Hashes that survive rescaling and recompression: 256-bit difference hash, confirmed by grey correlation.

Source of the method and its limits (Hamming distance up to 16 in 8 orientations, 64 x 64 grey correlation of at least
0.96, near-flat images never matched): README of scaleapi/rsi-benchmark, calibrated there on re-encoded test images.
Copies that were cropped, turned by other angles or built into a larger figure are not found.
"""

from __future__ import annotations

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from biomedica_assets.lib.evaluate.encoder import decode
from biomedica_assets.lib.evaluate.task import Image

U64 = NDArray[np.uint64]
MAX_DISTANCE = 16
MIN_CORRELATION = 0.96
FLAT = 4.0  # grey levels of standard deviation below which a hash says nothing
WORDS = 4
BLOCK_BYTES = 64_000_000
_SIDE = 64
_TURNS = tuple(PIL.Image.Transpose)


def thumbnail(image: Image) -> NDArray[np.uint8]:
    """The image as 64 x 64 grey levels.

    Raises:
        OSError: it cannot be decoded.
    """
    return np.asarray(decode(image).convert("L").resize((_SIDE, _SIDE), PIL.Image.Resampling.BOX))


def orientations(grey: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """The eight ways to turn and mirror a square image, itself first."""
    image = PIL.Image.fromarray(grey)
    return [grey, *(np.asarray(image.transpose(turn)) for turn in _TURNS)]


def difference_hash(grey: NDArray[np.uint8]) -> U64:
    """256 bits: whether each of 16 x 16 cells is darker than its right neighbour, as four words.

    All zero for a near-flat image, which ``near_pairs`` never matches.
    """
    if grey.std() < FLAT:
        return np.zeros(WORDS, np.uint64)
    small = np.asarray(PIL.Image.fromarray(grey).resize((17, 16), PIL.Image.Resampling.BOX), np.int16)
    return np.packbits(small[:, 1:] > small[:, :-1]).view(np.uint64)


def near_pairs(left: U64, right: U64, max_distance: int = MAX_DISTANCE) -> list[tuple[int, int]]:
    """Pairs of rows (of n x 4 and m x 4 hashes) that differ in at most so many bits, in order; by brute force."""
    right_rows = np.flatnonzero(right.any(axis=1))
    candidates = right[right_rows]
    pairs: list[tuple[int, int]] = []
    rows = max(1, BLOCK_BYTES // (8 * WORDS * max(len(candidates), 1)))
    left_rows = np.flatnonzero(left.any(axis=1))
    for start in range(0, len(left_rows), rows):
        block = left_rows[start : start + rows]
        distance = np.bitwise_count(left[block, None, :] ^ candidates[None, :, :]).sum(axis=2, dtype=np.uint16)
        i, j = np.nonzero(distance <= max_distance)
        pairs += [(int(block[a]), int(right_rows[b])) for a, b in zip(i, j, strict=True)]
    return pairs


def correlation(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Pearson correlation of two thumbnails; 0 if one of them is flat."""
    x, y = a.ravel() - a.mean(), b.ravel() - b.mean()
    norm = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / norm if norm else 0.0
