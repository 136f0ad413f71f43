"""Compound figures of many layouts with the truth about their panels: for scoring, and for training detectors.

Belongs here: how panels of unequal size are laid out, gutters from none to wide, letters in and beside panels, shared
axis titles, insets, dark and light pages. ``panels`` next door makes the demo's own, simple figures.
"""

from __future__ import annotations

import dataclasses

from PIL import Image, ImageDraw, ImageOps

from biomedica_assets.lib.demo.draw import FIGURE_KINDS, draw
from biomedica_assets.lib.demo.draw.canvas import Rng, Size, font, pick

Box = tuple[int, int, int, int]
PHOTOGRAPHS = tuple(
    kind for kind in FIGURE_KINDS if kind in {"chest_radiograph", "ct", "ultrasound", "oct", "fundus", "dermoscopy",
                                              "histology", "fluorescence", "blood_smear", "immunoblot", "gel"}
)  # fmt: skip
GUTTERS = (0, 1, 2, 4, 8, 14, 24, 40)
STYLES = ("A", "a", "(A)", "(a)", "A)", "A.")


@dataclasses.dataclass(frozen=True, slots=True)
class Compound:
    """A compound figure and what is true of it.

    Attributes:
        picture: RGB.
        boxes: box of each panel (x0, y0, x1, y1, half-open), its letter included where that stands beside it.
        labels: letter of each panel, None where none is drawn.
        gutter: pixels between panels.
        traits: what makes it hard, by name ("dark page", "letters inside", ...).
    """

    picture: Image.Image
    boxes: tuple[Box, ...]
    labels: tuple[str | None, ...]
    gutter: int
    traits: tuple[str, ...]


def compound(rng: Rng) -> Compound:
    """Draw one compound figure of two to twelve panels."""
    gutter = pick(rng, GUTTERS)
    # panels that touch are told apart by what is on them; drawings on white that touch are one drawing to anybody
    photographs = gutter < 4 or bool(rng.random() < 0.4)
    dark = photographs and bool(rng.random() < 0.3)
    lettered = bool(rng.random() < 0.8)
    style = pick(rng, STYLES)
    outside = lettered and gutter >= 4 and bool(rng.random() < 0.5)
    size = int(rng.integers(11, 22))
    strip = size + 4 if outside else 0
    cells = _cells(rng, gutter)
    width, height = max(c[2] for c in cells) + 2 * gutter, max(c[3] for c in cells) + 2 * gutter + strip
    rows = sorted({c[1] for c in cells})
    page = Image.new("RGB", (width, height + strip * (len(rows) - 1)), "black" if dark else "white")
    pen = ImageDraw.Draw(page)
    boxes: list[Box] = []
    labels: list[str | None] = []
    traits = [
        name for name, on in (("dark page", dark), ("letters outside", outside), ("photographs", photographs)) if on
    ]
    for k, (x0, y0, x1, y1) in enumerate(cells):
        down = strip * (rows.index(y0) + 1)
        spans = strip * sum(1 for row in rows if y0 < row < y1)
        left, top, right, bottom = x0 + gutter, y0 + gutter + down, x1 + gutter, y1 + gutter + down + spans
        kind = pick(rng, PHOTOGRAPHS if photographs else FIGURE_KINDS)
        tile = draw(kind, rng, (right - left, bottom - top)).image.convert("RGB").resize((right - left, bottom - top))
        if bool(rng.random() < 0.12):
            tile = _with_inset(rng, tile)
            traits.append("inset")
        page.paste(tile, (left, top))
        letter = chr(65 + k)
        if style in {"a", "(a)"}:
            letter = letter.lower()
        labels.append(letter if lettered else None)
        if lettered and outside:
            pen.text(
                (left, top - strip),
                style.replace("A", letter).replace("a", letter),
                "white" if dark else "black",
                font(size),
            )
        elif lettered:
            _inside_letter(pen, tile, (left, top), style.replace("A", letter).replace("a", letter), size)
        boxes.append((left, top - strip, right, bottom))
    return Compound(page, tuple(boxes), tuple(labels), gutter, tuple(dict.fromkeys(traits)))


def _cells(rng: Rng, gutter: int) -> list[Box]:
    """Boxes of the panels: a page cut in rows, each row in columns; sometimes one column is cut again."""
    n_rows = int(rng.integers(1, 4))
    width = int(rng.integers(420, 900))
    equal = bool(rng.random() < 0.5)
    columns = int(rng.integers(1 if n_rows > 1 else 2, 5))
    cells: list[Box] = []
    y = 0
    for _ in range(n_rows):
        n = columns if equal else int(rng.integers(1 if n_rows > 1 else 2, 5))
        height = int(width / max(n, 2) * float(rng.uniform(0.7, 1.1)))
        shares = [1.0] * n if equal else [float(rng.uniform(0.7, 1.6)) for _ in range(n)]
        x = 0
        for share in shares:
            wide = max(90, int((width - gutter * (n - 1)) * share / sum(shares)))
            if not equal and height > 260 and bool(rng.random() < 0.3):
                half = (height - gutter) // 2
                cells += [(x, y, x + wide, y + half), (x, y + half + gutter, x + wide, y + height)]
            else:
                cells.append((x, y, x + wide, y + height))
            x += wide + gutter
        y += height + gutter
    return cells[:12] if len(cells) <= 12 else _cells(rng, gutter)


def _with_inset(rng: Rng, tile: Image.Image) -> Image.Image:
    """A magnified part in the lower right corner, framed: no panel of its own."""
    side = min(tile.size) // 3
    if side < 24:
        return tile
    x, y = int(rng.integers(0, tile.width - side)), int(rng.integers(0, tile.height - side))
    part = ImageOps.expand(tile.crop((x, y, x + side // 2, y + side // 2)).resize((side, side)), 1, "white")
    tile = tile.copy()
    tile.paste(part, (tile.width - part.width - 2, tile.height - part.height - 2))
    return tile


def _inside_letter(pen: ImageDraw.ImageDraw, tile: Image.Image, at: Size, text: str, size: int) -> None:
    """A letter in the upper left corner, dark on light or light on dark."""
    corner = tile.convert("L").resize((8, 8)).getpixel((0, 0))
    dark = isinstance(corner, int) and corner < 128
    pen.text((at[0] + 5, at[1] + 3), text, "white" if dark else "black", font(size), stroke_width=0)
