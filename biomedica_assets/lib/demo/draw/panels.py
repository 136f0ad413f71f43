"""Compound figures: two to six pictures on one white page, each with its letter."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from biomedica_assets.lib.demo.draw.canvas import Rng, Size, font, pick

GRIDS: dict[int, tuple[tuple[int, int], ...]] = {
    2: ((2, 1), (1, 2)),
    3: ((3, 1),),
    4: ((2, 2), (4, 1)),
    5: ((3, 2),),
    6: ((3, 2), (2, 3)),
}
"""Columns and rows that hold a number of panels."""
LETTERS = "ABCDEF"


def layout(rng: Rng, count: int) -> tuple[int, int]:
    """Columns and rows for ``count`` panels (2 to 6)."""
    return pick(rng, GRIDS[count])


def compose(rng: Rng, panels: Sequence[Image.Image], grid: tuple[int, int]) -> Image.Image:
    """Lay equally large panels out in reading order, with gaps and letters A, B, C ...

    Args:
        rng: decides the width of the gap and the style of the letters.
        panels: pictures of one size, as many as the grid holds or fewer.
        grid: columns and rows.

    Returns:
        An RGB picture.
    """
    columns, rows = grid
    width, height = panels[0].size
    gap = int(rng.integers(3, 9))
    above = pick(rng, (True, False))
    strip = 13 if above else 0
    page = Image.new("RGB", (columns * width + (columns + 1) * gap, rows * (height + strip + gap) + gap), "white")
    pen = ImageDraw.Draw(page)
    for k, panel in enumerate(panels):
        x = gap + k % columns * (width + gap)
        y = gap + k // columns * (height + strip + gap)
        page.paste(panel.convert("RGB"), (x, y + strip))
        if above:
            pen.text((x + 1, y - 1), LETTERS[k], "black", font(13))
        else:
            pen.rectangle((x + 2, y + 2, x + 15, y + 16), "white")
            pen.text((x + 4, y + 1), LETTERS[k], "black", font(13))
    return page


def panel_size(rng: Rng, grid: tuple[int, int]) -> Size:
    """Size of one panel so that the page stays near 220 to 330 pixels wide."""
    columns, rows = grid
    side = int(rng.integers(220, 330)) // max(columns, rows - 1, 2)
    return max(side, 96), max(round(side * 0.9), 88)
