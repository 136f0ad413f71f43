"""Bytes -> pixels in one canonical form, the same whichever decoder did the work, and the two hashes of them.

Canonical form: 8-bit RGB, rows from the top, as stored (an EXIF orientation is not applied, an ICC profile is ignored,
because both change pixels in ways that depend on the program). First frame or page only. How other modes get there:

* grey and bilevel: the value in all three channels; palette: its colours; YCbCr, HSV, CMYK (also Adobe's inverted one):
  Pillow's conversion.
* alpha or a transparent colour: over white, ``round((c * a + 255 * (255 - a)) / 255)``, as a reader of the page sees.
* 16 bits per channel: the high byte.
* 32-bit integers and floats (scientific TIFF) have no fixed range: the finite minimum..maximum is stretched to 0..255.

Pillow is the reference. JPEG in RGB or grey is decoded by simplejpeg instead, which is faster and gives the same pixels
(test_simplejpeg_and_pillow_give_the_same_pixels runs over sizes, subsamplings, progressive, restart markers). CMYK is
not: the two convert it differently, so Pillow decides.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import re
from typing import Any

import imagehash
import numpy as np
import simplejpeg  # pyright: ignore[reportMissingTypeStubs]  # it ships no types
from numpy.typing import NDArray
from PIL import Image

# Side of the box-filtered image that the perceptual hash is computed from (phash itself works on 32 x 32), and rows
# that enter each of its cells. From full-size pixels the hash costs twice the decode, from this 0.4 of it. Measured on
# 163 real figures (benchmarks/image_verify.py): 1.3 of 64 bits from the hash of the full size, 99.2 % of near-copies
# within 4 bits; with a side of 64 it is 2.1 bits and 97.5 %.
HASH_SIDE, HASH_ROWS = 96, 4

# After these libjpeg goes on and the picture is part grey or garbage; "extraneous bytes before marker" is padding
# between segments, no pixel is touched.
_JPEG_DAMAGE = re.compile("premature end|corrupt jpeg data(?!.*extraneous bytes before marker)", re.IGNORECASE)


class Damaged(ValueError):
    """The data cannot be decoded into the whole picture; the message is the decoder's."""


@dataclasses.dataclass(frozen=True, slots=True)
class Frame:
    """A decoded frame in canonical form.

    Attributes:
        width: pixels a row.
        height: rows.
        packed: RGB, 3 bytes a pixel, rows from the top, without padding; contiguous, of any shape.
    """

    width: int
    height: int
    packed: NDArray[np.uint8]


def decode(data: bytes, image: Image.Image) -> Frame:
    """Decode the first frame completely.

    Args:
        data: the whole file.
        image: ``data`` as opened, not yet loaded, by Pillow.

    Raises:
        Damaged: a JPEG is cut or corrupt. For other formats Pillow's own exceptions pass through.
    """
    if image.format in {"JPEG", "MPO"}:
        pixels = _decode_jpeg(data)
        if pixels is not None and image.mode in {"RGB", "L"}:
            height, width, _ = pixels.shape
            return Frame(width, height, pixels)
    image.load()
    return frame_of(canonical(image))


def frame_of(image: Image.Image) -> Frame:
    """A canonical image as a frame."""
    return Frame(image.width, image.height, np.frombuffer(image.tobytes(), np.uint8))


def _decode_jpeg(data: bytes) -> NDArray[np.uint8] | None:
    """Pixels of a JPEG, None if Pillow has to decide; strict, so that a cut scan that ends in EOI is found as well.

    Pillow alone accepts such a file and returns a picture that is grey from the cut on (seen for cuts at 10 to 95 %).
    """
    try:
        return simplejpeg.decode_jpeg(data, colorspace="RGB", strict=True)
    except ValueError as error:
        if _JPEG_DAMAGE.search(str(error)):
            raise Damaged(str(error)) from error
    return None


def canonical(image: Image.Image) -> Image.Image:
    """A loaded image in canonical form (see the head of this module)."""
    if image.mode in {"I", "F"}:
        return Image.fromarray(_stretch(np.asarray(image))).convert("RGB")
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        page = Image.new("RGB", image.size, (255, 255, 255))
        page.paste(layered, mask=layered.getchannel("A"))
        return page
    return image if image.mode == "RGB" else image.convert("RGB")


def _stretch(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Finite minimum..maximum onto 0..255, rounded; what is not finite becomes 0, a flat image 0."""
    wide = values.astype(np.float64)
    finite = np.isfinite(wide)
    if not finite.any():
        return np.zeros(wide.shape, np.uint8)
    low, high = wide[finite].min(), wide[finite].max()
    scaled = (np.where(finite, wide, low) - low) * (255.0 / (high - low) if high > low else 0.0)
    return np.rint(scaled).astype(np.uint8)


def pixel_hash(frame: Frame) -> str:
    r"""SHA-256, in hex, of ``rgb8 <width> <height>\n`` and the canonical pixels, 3 bytes each, rows from the top.

    The size is part of it: a 2 x 3 and a 3 x 2 image of one colour differ.
    """
    digest = hashlib.sha256(f"rgb8 {frame.width} {frame.height}\n".encode())
    digest.update(frame.packed.data)
    return digest.hexdigest()


def perceptual_hash(frame: Frame) -> int:
    """64-bit pHash (DCT) by ImageHash, of the canonical image box-filtered to at least ``HASH_SIDE`` pixels a side.

    Of tall images every second, third, ... row enters the filter, so that each cell averages at least ``HASH_ROWS``.
    Unsigned; near-copies differ in few bits (Hamming distance), unrelated images in about 32.
    """
    across, down = max(1, frame.width // HASH_SIDE), max(1, frame.height // HASH_SIDE)
    step = max(1, down // HASH_ROWS)
    # With a stride of several rows Pillow reads the wanted ones only, and nothing else is copied.
    size = frame.width, (frame.height - 1) // step + 1
    rows = Image.frombuffer("RGB", size, frame.packed, "raw", "RGB", 3 * frame.width * step, 1)
    factors = across, down // step
    small = rows.reduce(factors) if factors != (1, 1) else rows
    return int(str(imagehash.phash(small.convert("L"))), 16)


def open_image(data: bytes, plugin: str) -> Image.Image:
    """Open with one plugin of Pillow; reads the header only."""
    return Image.open(io.BytesIO(data), formats=[plugin])
