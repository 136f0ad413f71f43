"""Drawings of ideas: flowcharts, chemical structures, maps, and the pictures of tables and formulae."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from biomedica_assets.lib.demo.draw.canvas import (
    Colour,
    Drawing,
    Point,
    Rng,
    Sheet,
    Size,
    axes,
    jitter,
    pick,
    picture,
    texture,
    uniform,
    values_of,
)

INK: Colour = (30, 30, 30)
PASTELS: dict[str, Colour] = {
    "blue": (176, 208, 244),
    "yellow": (250, 232, 150),
    "green": (188, 230, 180),
    "white": (255, 255, 255),
}
STEPS = ("Screened", "Eligible", "Enrolled", "Randomised", "Followed up", "Analysed")
QUARTERS: dict[str, Point] = {"north": (0, -1), "south": (0, 1), "east": (1, 0), "west": (-1, 0)}
SUBSTITUENTS = ("OH", "NH2", "Cl", "Br", "CH3", "F")


def flowchart(rng: Rng, size: Size) -> Drawing:
    """Three to six boxes joined by arrows from top to bottom, with or without boxes at the side."""
    n, colour = int(rng.integers(3, 7)), pick(rng, tuple(PASTELS))
    sided = bool(rng.random() < 0.5)
    sheet = Sheet(size)
    middle = 0.34 if sided else 0.5
    wide = 0.27 if sided else 0.33
    tall = 0.56 / n
    for k in range(n):
        y = (k + 0.5) / n
        if k:
            sheet.line(((middle, y - 1 / n + tall / 2), (middle, y - tall / 2)), INK, 1.2)
            sheet.line(
                ((middle - 0.02, y - tall / 2 - 0.025), (middle, y - tall / 2), (middle + 0.02, y - tall / 2 - 0.025)),
                INK,
            )
        sheet.box((middle - wide, y - tall / 2), (middle + wide, y + tall / 2), jitter(rng, PASTELS[colour], 6), INK, 1)
        sheet.word((middle, y), f"{STEPS[k]} (n={900 // (k + 1) + int(rng.integers(40))})", 8)
        if sided and k > 0:
            beside = y - 0.5 / n
            sheet.line(((middle, beside), (0.66, beside)), INK, 1.2)
            sheet.box((0.66, beside - tall / 2.4), (0.98, beside + tall / 2.4), (255, 255, 255), INK, 1)
            sheet.word((0.82, beside), "Excluded", 8)
    attributes = {"boxes": str(n), "colour": colour, "exclusions": "yes" if sided else "no"}
    return Drawing("flowchart", sheet.done(), attributes)


def chemical_structure(rng: Rng, size: Size) -> Drawing:
    """Skeletal formula of one to four rings in a row, with one named substituent."""
    rings, group = int(rng.integers(1, 5)), pick(rng, SUBSTITUENTS)
    sheet = Sheet(size)
    aspect = size[0] / size[1]
    radius = min(0.2, 0.72 / (rings * 1.73 + 1))
    lean = uniform(rng, -0.25, 0.25)
    start = 0.5 - radius * 1.732 * (rings - 1) / 2

    def place(x: float, y: float) -> Point:
        """Turn about the middle of the page; x and y are shares of the width."""
        u, v = x - 0.5, y - 0.5
        return 0.5 + u * np.cos(lean) - v * np.sin(lean), 0.5 + (u * np.sin(lean) + v * np.cos(lean)) * aspect

    for k in range(rings):
        cx = start + radius * 1.732 * k
        corners = [(cx + radius * np.sin(a), 0.5 + radius * np.cos(a)) for a in np.arange(7) * np.pi / 3]
        sheet.line([place(*c) for c in corners], INK, 1.6)
        for j in (0, 2, 4):
            a, b = corners[j], corners[j + 1]
            inner = [(cx + 0.8 * (p[0] - cx), 0.5 + 0.8 * (p[1] - 0.5)) for p in (a, b)]
            sheet.line([place(*p) for p in inner], INK, 1.4)
    last = start + radius * 1.732 * (rings - 1)
    for x, down, text in ((last, -1, group), (start, 1, pick(rng, ("O", "N", "OCH3")))):
        sheet.line([place(x, 0.5 + down * radius), place(x, 0.5 + down * radius * 1.7)], INK, 1.6)
        sheet.word(place(x, 0.5 + down * radius * 2.1), text, 11, (180, 30, 30) if "O" in text else (30, 60, 170))
    return Drawing("chemical_structure", sheet.done(), {"rings": str(rings), "substituent": group})


def study_map(rng: Rng, size: Size) -> Drawing:
    """An invented country in the sea with districts; one quarter is shaded red or green, sites are black dots."""
    quarter, shade = pick(rng, tuple(QUARTERS)), pick(rng, ("red", "green"))
    sites = int(rng.integers(2, 7))
    xx, yy = axes(size)
    turn = np.arctan2(yy, xx)
    coast = 0.78 + 0.16 * (texture(rng, size, 3) - 0.5) * 2
    for k in (2, 3, 5):
        coast = coast + 0.05 * np.sin(k * turn + uniform(rng, 0, 6.28))
    land = np.sqrt(xx**2 + yy**2) < coast
    far, around = np.sqrt(rng.uniform(0, 0.5, 11)), np.linspace(0, 2 * np.pi, 11, endpoint=False)
    seeds = np.stack([far * np.cos(around), far * np.sin(around)], axis=1)
    distance = np.stack([(xx - x) ** 2 + (yy - y) ** 2 for x, y in seeds])
    district = distance.argmin(axis=0)
    dx, dy = QUARTERS[quarter]
    facing = seeds @ np.array([dx, dy])
    marked = np.isin(district, np.argsort(facing)[-3:])
    shown = np.empty((size[1], size[0], 3))
    shown[:] = np.array(jitter(rng, (176, 212, 238), 8)) / 255
    shown[land] = np.array(jitter(rng, (240, 234, 212), 8)) / 255
    shown[land & marked] = np.array((214, 72, 60) if shade == "red" else (80, 168, 90)) / 255
    border = (np.asarray(picture(district / 10.0).filter(ImageFilter.FIND_EDGES)) > 8) & land
    shown[border] = 0.45
    sheet = Sheet(size)
    sheet.image.paste(picture(shown).resize(sheet.image.size, Image.Resampling.BICUBIC))
    for _ in range(sites):
        x, y = rng.uniform(0.28, 0.72, 2)
        sheet.dot((float(x), float(y)), 3, (0, 0, 0))
    sheet.word((0.93, 0.07), "N", 10)
    sheet.line(((0.93, 0.2), (0.93, 0.11)), INK, 1.4)
    sheet.line(((0.06, 0.94), (0.28, 0.94)), INK, 2)
    sheet.word((0.17, 0.9), "100 km", 7)
    return Drawing("map", sheet.done(), {"quarter": quarter, "shade": shade, "sites": str(sites)})


def table_picture(rng: Rng, size: Size) -> Drawing:
    """A table set as an image: rows and columns of figures between rules."""
    rows, columns = int(rng.integers(4, 8)), int(rng.integers(3, 6))
    sheet = Sheet(size)
    for y in (0.06, 0.18, 0.95):
        sheet.line(((0.03, y), (0.97, y)), INK, 1.2)
    for row in range(rows + 1):
        y = 0.12 if row == 0 else 0.18 + 0.77 * (row - 0.5) / rows
        for column in range(columns):
            text = f"Arm {column + 1}" if row == 0 else f"{uniform(rng, 0.1, 90):.1f}"
            sheet.word((0.06 + 0.9 * (column + 0.5) / columns, y), text, 8)
    return Drawing("table", sheet.done(), {"rows": str(rows), "columns": str(columns)})


def formula_picture(rng: Rng, size: Size) -> Drawing:
    """A formula set as an image."""
    sheet = Sheet(size)
    text = f"y = {uniform(rng, 0.1, 9):.1f} x + {uniform(rng, 0.1, 9):.1f}"
    sheet.word((0.5, 0.5), text, max(8, min(size[1] // 2, size[0] // 10)))
    return Drawing("formula", Image.fromarray(np.round(values_of(sheet.done()) * 255).astype(np.uint8)), {})
