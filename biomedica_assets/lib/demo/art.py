"""The picture of one figure, simple or compound, with the caption that states what it shows."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence

from PIL import Image

from biomedica_assets.lib.demo import captions
from biomedica_assets.lib.demo.draw import FIGURE_KINDS, draw, panels
from biomedica_assets.lib.demo.draw.canvas import Rng, Size, pick
from biomedica_assets.lib.demo.truth import Panel

MIXED = "mixed"
TITLES = ("Representative findings.", "Overview of the results.", "Imaging findings.", "Main results of the study.")


@dataclasses.dataclass(frozen=True, slots=True)
class Art:
    """What a figure shows: the picture, the kinds and attributes of its panels, the words for it."""

    image: Image.Image
    kind: str
    panels: tuple[Panel, ...]
    title: str
    paragraphs: tuple[str, ...]


def single(rng: Rng, kind: str | None = None, size: Size | None = None) -> Art:
    """A simple figure of a kind, or of any."""
    kind = kind or pick(rng, FIGURE_KINDS)
    size = size or (int(rng.integers(168, 256)), int(rng.integers(160, 240)))
    drawing = draw(kind, rng, size)
    blocks = captions.blocks(kind, drawing.attributes, rng)
    return Art(drawing.image, kind, (Panel(kind, drawing.attributes),), blocks[0], tuple(blocks[1:]))


def compound(rng: Rng, kinds: Sequence[str] | None = None) -> Art:
    """A figure of two to six lettered panels; without ``kinds`` one kind for all or a mixture, evenly often."""
    if kinds is None:
        count = int(rng.integers(2, 7))
        one = pick(rng, FIGURE_KINDS)
        kinds = [one] * count if rng.random() < 0.5 else [pick(rng, FIGURE_KINDS) for _ in range(count)]
    grid = panels.layout(rng, len(kinds))
    size = panels.panel_size(rng, grid)
    drawings = [draw(kind, rng, size) for kind in kinds]
    page = panels.compose(rng, [d.image for d in drawings], grid)
    parts: list[str] = []
    for letter, drawing in zip(panels.LETTERS, drawings, strict=False):
        parts.append(f"({letter}) {captions.describe(drawing.kind, drawing.attributes, rng)}.")
    kind = kinds[0] if len(set(kinds)) == 1 else MIXED
    shown = tuple(Panel(d.kind, d.attributes) for d in drawings)
    return Art(page, kind, shown, pick(rng, TITLES), (" ".join(parts),))


def any_art(rng: Rng) -> Art:
    """A figure as an ordinary article has it: every fifth is compound."""
    return compound(rng) if rng.random() < 0.2 else single(rng)


def encoded(image: Image.Image, form: str, quality: int = 86) -> bytes:
    """The bytes of an image file, without any date in them.

    Args:
        image: mode L or RGB.
        form: jpg, png, tif, webp, gif, or a rarer one: cmyk (JPEG), png16, palette (PNG), animated (GIF), pages (TIFF).
        quality: JPEG and WebP quality.
    """
    buffer = io.BytesIO()
    if form == "jpg":
        image.save(buffer, "JPEG", quality=quality)
    elif form == "cmyk":
        image.convert("CMYK").save(buffer, "JPEG", quality=quality)
    elif form == "png":
        image.save(buffer, "PNG")
    elif form == "png16":
        deep = image.convert("I").point(lambda v: v * 257)
        deep.convert("I;16").save(buffer, "PNG")
    elif form == "palette":
        image.convert("RGB").quantize(64).save(buffer, "PNG")
    elif form == "gif":
        image.convert("RGB").quantize(128).save(buffer, "GIF")
    elif form == "animated":
        frames = [image.convert("RGB").rotate(3 * k).quantize(64) for k in range(3)]
        frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=200)
    elif form == "tif":
        image.save(buffer, "TIFF", compression="tiff_lzw")
    elif form == "pages":
        image.save(buffer, "TIFF", compression="tiff_lzw", save_all=True, append_images=[image.rotate(5)])
    elif form == "webp":
        image.save(buffer, "WEBP", quality=quality)
    else:
        raise ValueError(f"no image form {form!r}")
    return buffer.getvalue()


EXTENSION = {"cmyk": "jpg", "png16": "png", "palette": "png", "animated": "gif", "pages": "tif"}
"""File extension of the forms whose name is none."""
