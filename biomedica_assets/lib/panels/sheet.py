"""Pictures with their panels drawn on them, small enough for the metadata of an asset.

Belongs here: how boxes and letters are drawn for people, and nothing that decides.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from biomedica_assets.lib.images.canonical import open_canonical

SIDE = 360  # pixels of the longer side
QUALITY = 75
COLOURS = ("#d1495b", "#00798c", "#edae49", "#5f4bb6", "#66a182", "#2e4057")
Box = tuple[int, int, int, int]


@dataclasses.dataclass(frozen=True, slots=True)
class Shown:
    """A picture file, the boxes of its panels in its pixels, and what is written into each."""

    path: Path
    boxes: Sequence[Box]
    labels: Sequence[str]


def outlined(shown: Shown, side: int = SIDE) -> Image.Image:
    """The picture, at most ``side`` pixels long, each panel in a frame of its own colour with its label.

    Raises:
        OSError, ValueError, SyntaxError, Image.DecompressionBombError: as ``open_canonical``.
    """
    picture = open_canonical(shown.path)
    width, height = picture.size
    picture.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(16)
    for i, (box, label) in enumerate(zip(shown.boxes, shown.labels, strict=True)):
        colour = COLOURS[i % len(COLOURS)]
        x0, y0 = box[0] * picture.width // width, box[1] * picture.height // height
        x1, y1 = box[2] * picture.width // width - 1, box[3] * picture.height // height - 1
        pen.rectangle((x0, y0, max(x0, x1), max(y0, y1)), outline=colour, width=2)
        if label:
            ground = pen.textbbox((x0 + 4, y0 + 2), label, font=font)
            pen.rectangle((ground[0] - 3, ground[1] - 2, ground[2] + 3, ground[3] + 2), fill=colour)
            pen.text((x0 + 4, y0 + 2), label, "white", font)
    return picture


def strip(shown: Sequence[Shown]) -> bytes:
    """Pictures side by side as a WebP; what cannot be read is left out, and without any it is empty."""
    drawn: list[Image.Image] = []
    for one in shown:
        try:
            drawn.append(outlined(one))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            continue  # it was there when it was looked at
    if not drawn:
        return b""
    page = Image.new("RGB", (sum(p.width + 8 for p in drawn) - 8, max(p.height for p in drawn)), "white")
    x = 0
    for picture in drawn:
        page.paste(picture, (x, 0))
        x += picture.width + 8
    buffer = io.BytesIO()
    page.save(buffer, "WEBP", quality=QUALITY, method=4)
    return buffer.getvalue()
