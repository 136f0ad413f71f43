"""Bytes -> the canonical picture, the same whichever decoder did the work, and the hash of exactly its pixels.

What the canonical picture is, ``canonical`` says. Pillow is the reference; ``decoders`` has what decodes most files
faster, to the same pixels (test_decoders.py).
"""

from __future__ import annotations

import dataclasses
import io

import blake3
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from biomedica_assets.lib.images.canonical import canonical, is_deep_colour, is_plain, orientation
from biomedica_assets.lib.images.decoders import decode_fast


@dataclasses.dataclass(frozen=True, slots=True)
class Frame:
    """The pixels of a canonical picture.

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
        Damaged: a JPEG or PNG is cut or corrupt. For what Pillow decodes its own exceptions pass through.
    """
    if is_deep_colour(image):
        return frame_of(canonical(image))
    pixels = decode_fast(data, image)
    if pixels is None:
        return frame_of(canonical(image))
    if image.mode == "RGB" and is_plain(image):
        return Frame(image.width, image.height, pixels)
    return frame_of(canonical(_as_loaded(image, pixels), orientation(image)))


def _as_loaded(image: Image.Image, pixels: NDArray[np.uint8]) -> Image.Image:
    """What Pillow would have loaded: the pixels with the palette and transparent colours of the opened image."""
    loaded = Image.frombuffer(image.mode, image.size, pixels, "raw", image.mode, 0, 1)
    loaded.info = dict(image.info)
    if image.palette is not None:
        loaded.putpalette(image.palette.palette, image.palette.rawmode or image.palette.mode)
    return loaded


def frame_of(image: Image.Image) -> Frame:
    """A canonical picture as a frame."""
    return Frame(image.width, image.height, np.frombuffer(image.tobytes(), np.uint8))


def pixel_hash(frame: Frame) -> str:
    r"""BLAKE3 (256 bits), in hex, of ``rgb8 <width> <height>\n`` and the canonical pixels, 3 bytes each, from the top.

    The size is part of it: a 2 x 3 and a 3 x 2 image of one colour differ. As collision-proof as SHA-256 (128 bits of
    work), and 3.8 times as fast (7.8 GB/s against 2.0 GB/s with the SHA instructions of the processor, 0.4 without),
    which is a fifth of all the time that verifying an image takes.
    """
    digest = blake3.blake3(f"rgb8 {frame.width} {frame.height}\n".encode())
    digest.update(frame.packed.data)
    return digest.hexdigest()


def open_image(data: bytes, plugin: str) -> Image.Image:
    """Open with one plugin of Pillow; reads the header only."""
    return Image.open(io.BytesIO(data), formats=[plugin])
