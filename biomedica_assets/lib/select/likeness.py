"""Whether two pictures are alike, from their pixels: the second opinion on a hash that matched.

Method: a 256-bit difference hash within 16 bits and a correlation of 64 x 64 grey images of at least 0.96, in any of
the eight orientations where a test set may have turned its images (scaleapi/rsi-benchmark, facts/biomedica.md 5.4).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 64
MOST_BITS = 16
LEAST_CORRELATION = 0.96
ORIENTATIONS = 8
FORMATS = ("JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP")
_KEPT_THUMBNAILS = 4096

Grey = NDArray[np.float32]


@functools.lru_cache(_KEPT_THUMBNAILS)
def thumbnail(path: Path) -> Grey:
    """The picture as 64 x 64 grey values, float32, 0 to 255, on white where it is transparent.

    Raises:
        OSError: the file is missing or is no picture.
    """
    return thumbnail_of(path)


def thumbnail_of(picture: Path | IO[bytes]) -> Grey:
    """The same for a file that is open, or once."""
    with Image.open(picture, formats=FORMATS) as image:
        image.draft("L", (2 * SIDE, 2 * SIDE))  # JPEG decodes straight to a small size: 5 times faster for 4 megapixels
        return np.asarray(flat(image).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float32)


def flat(image: Image.Image) -> Image.Image:
    """The picture with 8 bits a channel, grey or RGB, on white where it is transparent."""
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image, dtype=np.float32)
        low, high = float(values.min()), float(values.max())
        return Image.fromarray(((values - low) * (255 / (high - low or 1))).astype(np.uint8))
    if image.has_transparency_data:
        over = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", over.size, "white"), over)
    return image if image.mode == "L" else image.convert("RGB")


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
