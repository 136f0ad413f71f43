"""The panels of one picture: letters read, caption counted, picture cut, the best account of all three taken.

Belongs here: how the evidence is weighed, and what is said of each panel: label, box, score and the method that found
it. A picture without panels is one panel: its whole.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from biomedica_assets.lib.panels.layout import Region, grounds, reading_order, regions_by_gutters, regions_by_letters
from biomedica_assets.lib.panels.letters import find_letters
from biomedica_assets.lib.panels.subcaptions import subcaptions

VERSION = "panel-boxes-1"
LETTER_SIDE = 1600  # pixels of the longer side at which letters are read; larger pictures are reduced
LAYOUT_SIDE = 800  # and at which gutters are sought: a gutter of 1 % still has 8

LETTERS, GUTTERS, WHOLE = "letters", "gutters", "whole"


@dataclasses.dataclass(frozen=True, slots=True)
class Panel:
    """One panel of a picture.

    Attributes:
        label: its letter as read or, without letters, as the caption names the panel at its place; None if unknown.
        box: x0, y0, x1, y1 in pixels of the picture, half-open.
        score: 0..1, how sure the cuts and the letter are.
        method: "letters" (cut so that each letter has a panel), "gutters", or "whole" (a single picture).
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
    named = _single_letters(caption)
    rgb = picture.convert("RGB")
    reading = _reduced(rgb, LETTER_SIDE)
    letters = find_letters(np.asarray(reading.convert("L")), named)
    layout = _reduced(rgb, LAYOUT_SIDE)
    inks = grounds(np.asarray(layout))
    shrunk = layout.width / reading.width
    placed = [dataclasses.replace(x, box=_scaled(x.box, shrunk)) for x in letters]
    expected = len(named) if named else _places(caption)
    if len(placed) >= 2:
        regions, cost = regions_by_letters(inks, placed)
        method = LETTERS
        if cost > 0.75 and not named:
            regions, method = regions_by_gutters(inks, expected), GUTTERS
        elif named and len(regions) < len(named):
            regions = _complete(inks, regions, [label for label in named if label not in {r.label for r in regions}])
    else:
        regions, method = regions_by_gutters(inks, expected), GUTTERS
        if named and len(regions) == len(named):
            regions = [dataclasses.replace(r, label=label) for r, label in zip(regions, named, strict=True)]
    if len(regions) < 2:
        return [Panel(None, (0, 0, picture.width, picture.height), 1.0, WHOLE)]
    grow = picture.width / layout.width
    return [
        Panel(r.label, _inside(_scaled(r.box, grow), picture.size), round(r.score, 3), method) for r in regions
    ]


def _single_letters(caption: str | None) -> list[str]:
    """Labels of one letter that a caption names, in order; empty if it names none or uses longer ones."""
    if not caption:
        return []
    labels = [label[0] for part in subcaptions(caption) for label in part.labels if len(label) <= 3]
    return sorted(dict.fromkeys(labels))


def _places(caption: str | None) -> int:
    """How many places ("left", "right") a caption without letters tells apart; 0 if none."""
    return len({label for part in subcaptions(caption) for label in part.labels}) if caption else 0


def _complete(inks: Sequence[npt.NDArray[np.bool_]], regions: Sequence[Region], missing: Sequence[str]) -> list[Region]:
    """Where the caption names a letter that was not read, cut the region that its neighbour in the alphabet took."""
    found = list(regions)
    for label in missing:
        before = [r for r in found if r.label is not None and r.label < label]
        if not before:
            continue
        host = max(before, key=lambda r: r.label or "")
        x0, y0, x1, y1 = host.box
        parts = max((regions_by_gutters([ink[y0:y1, x0:x1]], 2) for ink in inks), key=len)
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
