"""Fast decoders beside Pillow, each for the files of which it gives Pillow's pixels, and stricter than Pillow.

Belongs here: whether one of them may decode a file, and what its complaints mean. None of them decides alone: a file
that they do not take goes to Pillow. What becomes of the pixels is the business of ``pixels``.

* JPEG, RGB or grey: simplejpeg. CMYK is not: the two convert it differently. Strict, so that a cut scan that ends in
  EOI is found as well: Pillow alone accepts such a file and returns a picture that is grey from the cut on (seen for
  cuts at 10 to 95 %).
* PNG of 8 bits a channel, grey, RGB, RGBA or palette: the Rust decoder in kornia-rs, 2.8 times as fast on the figures
  of the test corpus (Pillow's Linux wheels inflate row by row, with the system's zlib). It checks the CRC of pixel
  data, as Pillow does not, and counts rows: Pillow alone accepts a PNG that holds too few and shows the rest black. It
  does not check the Adler-32 inside the compressed data, which that CRC covers.
"""

from __future__ import annotations

import re
from typing import Any

import kornia_rs
import numpy as np
import simplejpeg  # pyright: ignore[reportMissingTypeStubs]  # it ships no types
from numpy.typing import NDArray
from PIL import Image

from biomedica_assets.lib.images.canonical import turned_behind_pixels

# After these libjpeg goes on and the picture is part grey or garbage; "extraneous bytes before marker" is padding
# between segments, no pixel is touched.
_JPEG_DAMAGE = re.compile("premature end|corrupt jpeg data(?!.*extraneous bytes before marker)", re.IGNORECASE)
_PNG_CUT = re.compile("unexpected end of file|InsufficientInput|does not have enough data", re.IGNORECASE)
_PNG_DAMAGE = re.compile("CRC error|corrupt deflate stream", re.IGNORECASE)

# Mode of Pillow -> what kornia-rs calls it. Pillow opens other depths as other modes or, for palettes of 1, 2 and 4
# bits, as P; kornia-rs refuses those, and they go to Pillow.
_PNG_MODES = {"L": "mono", "RGB": "rgb", "RGBA": "rgba", "P": "mono"}


class Damaged(ValueError):
    """The data cannot be decoded into the whole picture; the message is the decoder's."""


def decode_fast(data: bytes, image: Image.Image) -> NDArray[np.uint8] | None:
    """Decode the first frame with a decoder faster than Pillow.

    Args:
        data: the whole file.
        image: ``data`` as opened, not loaded, by Pillow; says format, size and mode.

    Returns:
        Rows x columns x channels of ``image.mode`` (palette: indices), contiguous; None if Pillow has to decide.

    Raises:
        Damaged: the data is cut or corrupt, whatever Pillow makes of it.
    """
    if image.format in {"JPEG", "MPO"}:
        return _jpeg(data, image)
    return _png(data, image) if image.format == "PNG" and image.mode in _PNG_MODES else None


def _jpeg(data: bytes, image: Image.Image) -> NDArray[np.uint8] | None:
    try:
        pixels = simplejpeg.decode_jpeg(data, colorspace="GRAY" if image.mode == "L" else "RGB", strict=True)
    except ValueError as error:
        if _JPEG_DAMAGE.search(str(error)):
            raise Damaged(str(error)) from error
        return None
    return pixels if image.mode in {"RGB", "L"} else None


def _png(data: bytes, image: Image.Image) -> NDArray[np.uint8] | None:
    if turned_behind_pixels(data):
        return None
    decode: Any = kornia_rs.io.decode_image_png_u8
    try:
        return decode(data, (image.height, image.width), _PNG_MODES[image.mode])
    except Exception as error:  # it has no class of its own
        if _PNG_CUT.search(str(error)):
            raise Damaged(f"truncated pixel data: {error}") from error
        if _PNG_DAMAGE.search(str(error)):
            raise Damaged(str(error)) from error
        return None
