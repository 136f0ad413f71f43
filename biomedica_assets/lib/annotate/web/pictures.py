"""Pictures for the page: thumbnails and full views that every browser shows, made from the files of the lake.

Which file a request means is looked up in a table; no part of a path comes from the request.
"""

from __future__ import annotations

import functools
import io
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from biomedica_assets.lib.errors import BiomedicaError
from biomedica_assets.lib.images.canonical import is_plain, open_canonical

THUMB = 280
FULL = 2000
WHOLE = 12_000
_AS_IS = {"JPEG": "image/jpeg", "PNG": "image/png", "GIF": "image/gif", "WEBP": "image/webp"}


class NoPicture(BiomedicaError):
    """The image cannot be shown."""


@functools.lru_cache(maxsize=4096)  # about 10 kB each
def thumbnail(path: Path) -> tuple[bytes, str]:
    """Image of at most THUMB pixels a side as JPEG bytes, with its media type.

    Raises:
        NoPicture: the file is missing or not decodable.
    """
    return _render(path, THUMB)


def full(path: Path) -> tuple[bytes, str]:
    """The file as it is if a browser can show it and it is not huge, else a JPEG of at most FULL pixels a side."""
    return _up_to(path, FULL)


def whole(path: Path) -> tuple[bytes, str]:
    """Like ``full``, with every pixel of a picture of up to WHOLE pixels a side, for looking closely.

    Raises:
        NoPicture: the file is missing or not decodable.
    """
    return _up_to(path, WHOLE)


def _up_to(path: Path, side: int) -> tuple[bytes, str]:
    try:
        with Image.open(path) as image:
            if image.format in _AS_IS and max(image.size) <= side and (is_plain(image) or image.format == "GIF"):
                return path.read_bytes(), _AS_IS[image.format]
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise NoPicture(f"{path.name} cannot be shown: {error}") from error
    return _render(path, side)


def _render(path: Path, side: int) -> tuple[bytes, str]:
    try:
        picture = open_canonical(path, at_least=2 * side if side <= THUMB else None)
        picture.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise NoPicture(f"{path.name} cannot be shown: {error}") from error
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return buffer.getvalue(), "image/jpeg"
