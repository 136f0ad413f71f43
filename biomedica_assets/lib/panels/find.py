"""The panels of one picture: letters read, caption counted, picture cut, the best account of all three taken.

Belongs here: how the evidence is weighed, and what is said of each panel: label, box, score and the method that found
it. A picture without panels is one panel: its whole.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from PIL import Image

from biomedica_assets.lib.panels.grid import boxes_of, grid_of
from biomedica_assets.lib.panels.labels import PLACE, kind_of
from biomedica_assets.lib.panels.layout import (
    Page,
    Region,
    at_corners,
    grounds,
    panel_like,
    reading_order,
    regions_by_gutters,
    regions_by_letters,
)
from biomedica_assets.lib.panels.letters import Letter, find_letters
from biomedica_assets.lib.panels.subcaptions import subcaptions

VERSION = "panel-boxes-2"
LETTER_SIDE = 1600  # pixels of the longer side at which letters are read; larger pictures are reduced
QUICK_SIDE = 400
LAYOUT_SIDE = 800  # and at which gutters are sought: a gutter of 1 % still has 8

LETTERS, GUTTERS, GRID, WHOLE = "letters", "gutters", "grid", "whole"


@dataclasses.dataclass(frozen=True, slots=True)
class Panel:
    """One panel of a picture.

    Attributes:
        label: its letter as read or, without letters, as the caption names the panel at its place; None if unknown.
        box: x0, y0, x1, y1 in pixels of the picture, half-open.
        score: 0..1, how sure the cuts and the letter are.
        method: "letters" (cut so that each letter has a panel), "gutters", "grid" (a montage of like photographs), or
            "whole" (a single picture).
    """

    label: str | None
    box: tuple[int, int, int, int]
    score: float
    method: str


def find_panels(picture: Image.Image, caption: str | None = None) -> list[Panel]:
    """Find the panels of a picture.

    Args:
        picture: canonical RGB picture.
        caption: its caption, if known; its labels say how many panels there are and which letters to expect.

    Returns:
        Panels in the order of their letters, else in reading order; one whole panel for a single picture.
    """
    return find_named(picture, [part.labels for part in subcaptions(caption)] if caption else [])


def find_named(picture: Image.Image, told: Sequence[Sequence[str]]) -> list[Panel]:
    """Find the panels of a picture of whose caption the labels are known already.

    Args:
        picture: canonical RGB picture.
        told: labels of each sub-caption; empty where the caption names none, or is of several pictures.

    Returns:
        As ``find_panels``.
    """
    named = _single_letters(told)
    rgb = picture.convert("RGB")
    reading = _reduced(rgb, LETTER_SIDE)
    gray = np.asarray(reading.convert("L"))
    letters = find_letters(gray, named)
    layout = _reduced(rgb, LAYOUT_SIDE)
    pages = grounds(np.asarray(layout))
    shrunk = layout.width / reading.width
    placed = [dataclasses.replace(x, box=_scaled(x.box, shrunk)) for x in letters]
    expected = len(named) if named else len({label for labels in told for label in labels})
    cut = _by_gutters(pages, expected)
    regions, method = _weigh(pages, placed, named, cut)
    if method == GUTTERS and named and len(regions) == len(named):
        regions = [dataclasses.replace(r, label=label) for r, label in zip(regions, named, strict=True)]
    if not named and not any(region.label for region in regions):
        columns, rows, alike = grid_of(gray)
        if columns * rows >= max(2, len(regions)):
            return [Panel(None, box, round(alike, 3), GRID) for box in boxes_of(columns, rows, *picture.size)]
    if len(regions) < 2:
        return [Panel(None, (0, 0, picture.width, picture.height), 1.0, WHOLE)]
    grow = picture.width / layout.width
    return [Panel(r.label, _inside(_scaled(r.box, grow), picture.size), round(r.score, 3), method) for r in regions]


def split_at_gutters(picture: Image.Image) -> list[tuple[int, int, int, int]]:
    """Boxes of the parts that gutters cut a picture into, panels or not: quick, reads no letters.

    For those to whom a part too many does no harm. At a longer side of 400 pixels 118 figures of PMC have 474 parts,
    at 800 they have 491, for twice the time.

    Returns:
        In pixels of the picture, in reading order; one for a picture without gutters, none for an empty one.
    """
    small = _reduced(picture.convert("RGB"), QUICK_SIDE)
    grow = picture.width / small.width
    found = regions_by_gutters(grounds(np.asarray(small)))
    return [_inside(_scaled(region.box, grow), picture.size) for region in found]


def _weigh(
    pages: Sequence[Page], letters: Sequence[Letter], named: Sequence[str], cut: list[Region]
) -> tuple[list[Region], str]:
    """The regions that letters or gutters give, whichever account is the better one, and its name."""
    if len(letters) < 2:
        return cut, GUTTERS
    regions, cost = regions_by_letters(pages, letters)
    if not named and (cost > 0.4 or at_corners(regions, letters) < 0.75):
        return _labelled(cut, letters) or cut, GUTTERS
    if named and len(cut) == len(named) and len(letters) < 0.7 * len(named):
        return cut, GUTTERS  # a few shapes that look like letters against a cut that agrees with the caption
    full = _labelled(cut, letters)
    if full and len(full) > len(regions) and (not named or len(full) == len(named)):
        return full, GUTTERS
    read = {r.label for r in regions}
    missing = [label for label in named or _run(letters) if label not in read]
    return _complete(pages, regions, missing), LETTERS


def _labelled(cut: Sequence[Region], letters: Sequence[Letter]) -> list[Region]:
    """Regions by gutters with the alphabet laid over them, if every letter read stands where that puts it.

    One letter not read among many does not spoil a clean cut; letters on every second region do: then a letter stands
    for several parts. Rows first, then columns first.
    """
    if not cut or len(cut) < len(letters):
        return []
    first = "A" if letters[0].label.isupper() else "a"
    down = sorted(cut, key=lambda r: (round(r.box[0] / 40), r.box[1]))
    for order in (list(cut), down):
        names = {i: chr(ord(first) + i) for i in range(len(order))}
        good = 0
        for letter in letters:
            x, y = letter.middle
            # a letter beside its panel stands a little outside of it
            reach = 2.5 * (letter.box[3] - letter.box[1])
            near = [
                i
                for i, r in enumerate(order)
                if r.box[0] - reach <= x <= r.box[2] and r.box[1] - reach <= y <= r.box[3] + reach
            ]
            good += any(names[i] == letter.label for i in near)
        if good == len(letters):
            return [dataclasses.replace(r, label=names[i]) for i, r in enumerate(order)]
    return []


def _by_gutters(pages: Sequence[Page], expected: int) -> list[Region]:
    """Parts along gutters; where the caption names no panels, only if they look like panels."""
    found = regions_by_gutters(pages, expected)
    return found if len(found) > 1 and (expected > 1 or panel_like(pages, found)) else []


def _single_letters(told: Sequence[Sequence[str]]) -> list[str]:
    """The letters that labels begin with, in order; empty where panels are named otherwise."""
    letters = (label[0] for labels in told if kind_of(labels) != PLACE for label in labels if len(label) <= 3)
    return sorted(dict.fromkeys(letters))


def _run(letters: Sequence[Letter]) -> list[str]:
    """The alphabet from A up to the last letter read."""
    first = "A" if letters[0].label.isupper() else "a"
    return [chr(code) for code in range(ord(first), ord(letters[-1].label) + 1)]


def _complete(pages: Sequence[Page], regions: Sequence[Region], missing: Sequence[str]) -> list[Region]:
    """Where the caption names a letter that was not read, cut the region that its neighbour in the alphabet took."""
    found = list(regions)
    for label in missing:
        before = [r for r in found if r.label is not None and r.label < label]
        if not before:
            continue
        host = max(before, key=lambda r: r.label or "")
        x0, y0, _, _ = host.box
        parts = max((regions_by_gutters([page.within(host.box)], 2) for page in pages), key=len)
        if len(parts) != 2:
            continue
        moved = [(b[0] + x0, b[1] + y0, b[2] + x0, b[3] + y0) for b in (p.box for p in reading_order(parts))]
        found.remove(host)
        found += [
            dataclasses.replace(host, box=moved[0]),
            Region(moved[1], label, min(host.score, parts[1].score) / 2),
        ]
    return sorted(found, key=lambda r: r.label or "")


def _reduced(picture: Image.Image, side: int) -> Image.Image:
    scale = side / max(picture.size)
    if scale >= 1:
        return picture
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.BOX)


def _scaled(box: tuple[int, int, int, int], factor: float) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = (round(v * factor) for v in box)
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)


def _inside(box: tuple[int, int, int, int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    return max(0, box[0]), max(0, box[1]), min(size[0], box[2]), min(size[1], box[3])
