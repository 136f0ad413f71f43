"""Where the panels of a compound picture lie: boxes found by cutting along gutters, guided by panel letters.

Belongs here: what counts as ink, the search for cuts, and the two ways to use them. Where letters stand on the picture,
cuts must part them and one panel holds one letter (a cut need not be quite empty: an axis label may reach across).
Where none stand, the picture is cut along its gutters as long as what results looks like panels, or until there are as
many as the caption names. The basis is the recursive X-Y cut of Nagy and Seth (1984).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from biomedica_assets.lib.panels import morphology
from biomedica_assets.lib.panels.letters import Letter

Box = tuple[int, int, int, int]  # x0, y0, x1, y1: half-open, pixels of the picture looked at
Ink = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """A picture seen against one ground.

    Attributes:
        ink: what differs from the ground, height x width.
        gray: int16 grey levels, for seams between pictures that touch.
    """

    ink: Ink
    gray: npt.NDArray[np.int16]

    def within(self, box: Box) -> Page:
        """The part of the page in a box."""
        x0, y0, x1, y1 = box
        return Page(self.ink[y0:y1, x0:x1], self.gray[y0:y1, x0:x1])


INK = 24  # levels off the ground that count as ink; JPEG noise on white stays below 16
SMALLEST = 0.13  # a panel spans this share of the picture's width and height; narrower strips are titles or legends
GUTTER = 0.012  # share of the side: narrower gaps lie between letters and lines of text
SEAM = 0.5  # share of a line where the grey level jumps, above what is usual beside it
STRAY = 0.004  # share of ink that does not close a gutter: a stray letter, a scale bar
DEPTH = 6


@dataclasses.dataclass(frozen=True, slots=True)
class Cut:
    """A place to cut a block: rows (axis 0) or columns (axis 1), in pixels of the picture.

    Attributes:
        axis: 0 cuts into upper and lower, 1 into left and right.
        start, stop: the gap, half-open.
        cost: 0 for a wide empty gutter, 1 for a cut through ink.
    """

    axis: int
    start: int
    stop: int
    cost: float


@dataclasses.dataclass(frozen=True, slots=True)
class Region:
    """A panel found: its box, the letter that stands on it if any, and how sure the cuts around it are (0..1)."""

    box: Box
    label: str | None
    score: float


def grounds(rgb: npt.NDArray[np.uint8]) -> list[Page]:
    """Ink masks of a picture (height x width x 3) for each ground it may have: white, and what its edge shows most."""
    edge = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]])
    middle = tuple(int(v) for v in np.median(edge, axis=0))
    # a ground surrounds what stands on it: half an edge of one colour is the edge of a picture
    surrounds = (np.abs(edge.astype(np.int16) - np.array(middle, np.int16)) <= INK).all(axis=1).mean() > 0.6
    colours = {(255, 255, 255), middle} if surrounds else {(255, 255, 255)}
    if all(min(colour) > 255 - INK for colour in colours):
        colours = {(255, 255, 255)}
    levels = rgb.astype(np.int16)
    gray = levels.mean(axis=2).astype(np.int16)
    offs = [np.abs(levels - np.array(colour, np.int16)).max(axis=2) for colour in sorted(colours)]
    return [Page(np.asarray(off > INK, np.bool_), gray) for off in offs]


def regions_by_letters(pages: Sequence[Page], letters: Sequence[Letter]) -> tuple[list[Region], float]:
    """Cut so that each panel holds one letter.

    The corner at which letters stand is not known: each corner is tried, and the cheapest cuts decide.

    Returns:
        Regions in alphabetical order of their letters, and the mean cost of the cuts (0..1).
    """
    best: tuple[float, list[Region]] | None = None
    for page in pages:
        for corner in ((0, 0), (0, 1), (1, 0)):  # letters at the upper left, lower left, upper right of their panel
            found = _part(page, _whole(page), list(letters), corner)
            cost = sum(cost for _, _, cost in found) / max(1, len(found)) + (0.04 if corner != (0, 0) else 0.0)
            if best is None or cost < best[0]:
                best = (cost, [Region(box, letter.label, max(0.0, 1 - c)) for box, letter, c in found])
    if best is None:
        return [], 1.0
    return sorted(best[1], key=lambda region: region.label or ""), min(1.0, best[0])


def regions_by_gutters(pages: Sequence[Page], expected: int = 0) -> list[Region]:
    """Cut along gutters.

    Args:
        pages: one picture against each ground, see ``grounds``.
        expected: number of panels that the caption names; 0 if it names none.

    Returns:
        Regions in reading order; one for a picture without gutters.
    """
    best: list[Region] = []
    for page in pages:
        height, width = page.ink.shape
        smallest = (max(2, round(SMALLEST * height)), max(2, round(SMALLEST * width)))
        found = _towards(page, expected, smallest) if expected > 1 else _open(page, _whole(page), smallest, DEPTH)
        off = (abs(len(found) - expected), 0) if expected > 1 else (0, -len(found))
        now = (abs(len(best) - expected), 0) if expected > 1 else (0, -len(best))
        if not best or off < now:
            best = found
    return reading_order(best)


def panel_like(pages: Sequence[Page], regions: Sequence[Region]) -> bool:
    """Whether parts that nothing but gutters speaks for look like panels rather than rows of a table, boxes or legends.

    Each part holds something that spans a good share of it (a frame, a photograph, a curve; text does not), none is a
    long strip, and they are of like size and share an edge line with another.
    """
    boxes = [r.box for r in regions]
    if any(max(x1 - x0, y1 - y0) > 4.5 * min(x1 - x0, y1 - y0) for x0, y0, x1, y1 in boxes):
        return False
    filled = [any(page.ink[y0:y1, x0:x1].mean() > 0.8 for page in pages) for x0, y0, x1, y1 in boxes]
    if 2 * sum(filled) >= len(filled):
        return True  # photographs on a page, perhaps with drawings among them
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in boxes]
    if min(areas) < 0.3 * float(np.median(areas)) or min(areas) < 0.12 * max(areas):
        return False
    height, width = pages[0].ink.shape
    for region in regions:
        x0, y0, x1, y1 = region.box
        if not any(_spans(page.ink[y0:y1, x0:x1]) for page in pages):
            return False
        others = [r.box for r in regions if r is not region]
        near_x, near_y = 0.04 * width, 0.04 * height
        level = any(abs(b[1] - y0) < near_y or abs(b[3] - y1) < near_y for b in others)
        if not level and not any(abs(b[0] - x0) < near_x or abs(b[2] - x1) < near_x for b in others):
            return False
    return True


def _spans(part: Ink) -> bool:
    """Whether one connected piece of ink reaches over more than a third of the part in both directions."""
    height, width = part.shape
    for rows, cols in morphology.components(part)[1]:
        tall, wide = (rows.stop - rows.start) / height, (cols.stop - cols.start) / width
        if min(tall, wide) > 0.33:
            return True
    return False


def at_corners(regions: Sequence[Region], letters: Sequence[Letter]) -> float:
    """Share of the regions whose letter stands near a corner of it: within a fifth of its width and height."""
    by_label = {letter.label: letter for letter in letters}
    good = 0
    for region in regions:
        letter = by_label.get(region.label or "")
        if letter is None:
            continue
        x0, y0, x1, y1 = region.box
        x, y = letter.middle
        size = letter.box[3] - letter.box[1]
        reach_x, reach_y = max(0.2 * (x1 - x0), 1.5 * size), max(0.2 * (y1 - y0), 1.5 * size)
        good += min(x - x0, x1 - x) <= reach_x and min(y - y0, y1 - y) <= reach_y
    return good / max(1, len(regions))


def reading_order(regions: Sequence[Region]) -> list[Region]:
    """Rows from top to bottom, each from left to right; a row is what overlaps the first of it by half its height."""
    ordered: list[Region] = []
    rest: list[Region] = list(regions)
    while rest:
        first = min(rest, key=lambda region: region.box[1])
        half = (first.box[1] + first.box[3]) / 2
        row = [region for region in rest if region.box[1] <= half]
        ordered += sorted(row, key=lambda region: (region.box[0], region.box[1]))
        rest = [region for region in rest if region not in row]
    return ordered


def trim(ink: Ink, box: Box) -> Box:
    """The box without its empty margin; as it is if it is empty."""
    x0, y0, x1, y1 = box
    part = ink[y0:y1, x0:x1]
    rows, cols = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
    if not len(rows):
        return box
    return x0 + int(cols[0]), y0 + int(rows[0]), x0 + int(cols[-1]) + 1, y0 + int(rows[-1]) + 1


def _whole(page: Page) -> Box:
    return trim(page.ink, (0, 0, page.ink.shape[1], page.ink.shape[0]))


# --- with letters -----------------------------------------------------------------------------------------------------


def _part(
    page: Page, box: Box, letters: list[Letter], corner: tuple[int, int], depth: int = 0
) -> list[tuple[Box, Letter, float]]:
    """Box, letter and cost of the last cut of each panel."""
    if len(letters) == 1:
        return [(trim(page.ink, box), letters[0], 0.0)]
    cut = min(_letter_cuts(page, box, letters, corner), key=lambda c: c.cost, default=None)
    if cut is None or depth > 24:
        return [(trim(page.ink, box), letter, 1.0) for letter in letters]
    at = (cut.start + cut.stop) // 2
    x0, y0, x1, y1 = box
    first, second = ((x0, y0, x1, at), (x0, at, x1, y1)) if cut.axis == 0 else ((x0, y0, at, y1), (at, y0, x1, y1))
    which = [letter.middle[1 - cut.axis] < at for letter in letters]
    found = [
        *_part(page, first, [x for x, w in zip(letters, which, strict=True) if w], corner, depth + 1),
        *_part(page, second, [x for x, w in zip(letters, which, strict=True) if not w], corner, depth + 1),
    ]
    return [(b, letter, max(c, cut.cost)) for b, letter, c in found]


def _letter_cuts(page: Page, box: Box, letters: Sequence[Letter], corner: tuple[int, int]) -> Iterator[Cut]:
    """The best cut between each two groups of letters that follow one another along an axis."""
    x0, y0, _x1, _y1 = box
    part = page.within(box)
    for axis in (0, 1):
        share, seams = part.ink.mean(axis=1 - axis), _seams(part.gray, axis)
        origin = y0 if axis == 0 else x0
        low, high = (1, 3) if axis == 0 else (0, 2)
        ends = sorted({(letter.box[low], letter.box[high]) for letter in letters})
        height = float(np.median([letter.box[3] - letter.box[1] for letter in letters]))
        for i in range(1, len(ends)):
            before, after = max(end for _, end in ends[:i]), ends[i][0]
            if after <= before:
                continue
            near_end = corner[0] == 1 if axis == 1 else corner[1] == 1
            cut = _best_gap(share, seams, max(0, before - origin), min(len(share), after - origin), axis, near_end)
            if cut is not None:
                # a letter stands close to the edge of its panel: the further the cut from it, the dearer
                away = (cut.start + origin - before) if near_end else (after - (cut.stop + origin))
                far = max(0.0, away - 1.5 * height) / len(share)
                yield Cut(axis, cut.start + origin, cut.stop + origin, min(1.0, cut.cost + 0.8 * far))


def _best_gap(
    share: npt.NDArray[np.float64], seams: npt.NDArray[np.float64], low: int, high: int, axis: int, near_start: bool
) -> Cut | None:
    """The cheapest gap of a block's profile within [low, high)."""
    if high <= low:
        return None
    window = share[low:high]
    level = max(STRAY, float(window.min()))
    empty = window <= level
    edges = np.flatnonzero(np.diff(np.concatenate([[False], empty, [False]]).astype(np.int8)))
    best: Cut | None = None
    wide = max(4.0, 0.03 * len(share))
    for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        ink = min(1.0, level / 0.12) if level > STRAY else 0.0
        narrow = max(0.0, 1 - (stop - start) / wide)
        away = start if near_start else (high - low) - stop
        cost = 0.6 * ink + 0.25 * narrow + 0.15 * away / max(1, high - low)
        if best is None or cost < best.cost:
            best = Cut(axis, low + start, low + stop, cost)
    at = low + int(np.argmax(seams[low:high]))
    if seams[at] >= SEAM:
        away = at - low if near_start else high - at
        cost = 0.3 + 0.5 * (1 - seams[at]) + 0.15 * away / (high - low)
        if best is None or cost < best.cost:
            best = Cut(axis, at + 1, at + 1, float(cost))
    return best


def _seams(gray: npt.NDArray[np.int16], axis: int) -> npt.NDArray[np.float64]:
    """How much each step from one row (axis 0) or column (axis 1) to the next looks like the seam of two pictures.

    Share of the places along the line where the grey level jumps, less what is usual beside it: within a picture edges
    run every way, at a seam they line up over its whole length.
    """
    step = np.diff(gray, axis=axis)
    best = np.zeros(step.shape[axis])
    for least in (5, 12, 24, 48):
        up, down = (step > least).mean(axis=1 - axis), (step < -least).mean(axis=1 - axis)
        jumps = np.maximum(np.maximum(up, down), up + down if least >= 12 else 0.0)
        if len(jumps):
            best = np.maximum(best, jumps - morphology.median_along(jumps, 15))
    return np.append(np.clip(best, 0, 1), 0.0)


# --- without letters --------------------------------------------------------------------------------------------------


def _gutters(page: Page, box: Box, axis: int, smallest: tuple[int, int]) -> list[Cut]:
    """Gutters across a block between parts of panel size; narrower parts were joined to their nearest neighbour."""
    x0, y0, _x1, _y1 = box
    part = page.within(box)
    share = part.ink.mean(axis=1 - axis)
    length, origin = len(share), (y0 if axis == 0 else x0)
    empty = share <= STRAY
    edges = np.flatnonzero(np.diff(np.concatenate([[False], empty, [False]]).astype(np.int8)))
    gaps: list[tuple[int, int]] = []
    for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        wide = stop - start >= max(3, GUTTER * length)
        # between photographs a line of one or two pixels is enough, if both sides are filled up to it
        near = (share[max(0, start - 4) : start], share[stop : stop + 4])
        dense = all(len(side) and side.mean() > 0.7 for side in near)
        if start > 0 and stop < length and (wide or dense):
            gaps.append((start, stop))
    if (part.gray < 255 - INK).mean() > 0.6:  # drawings on white have frames and axes, not seams
        seams = _seams(part.gray, axis)
        for at in np.flatnonzero(seams >= SEAM + 0.1).tolist():
            if all(at < start - 5 or at > stop + 5 for start, stop in gaps):
                gaps.append((at + 1, at + 1))
    gaps.sort()
    least = smallest[axis]
    while gaps:
        bounds = [0, *(edge for gap in gaps for edge in gap), length]
        sizes = [b - a for a, b in zip(bounds[::2], bounds[1::2], strict=True)]
        thin = [i for i, size in enumerate(sizes) if size < least]
        if not thin:
            break
        i = min(thin, key=lambda k: sizes[k])
        sides = [k for k in (i - 1, i) if 0 <= k < len(gaps)]
        # nearest neighbour; a label to the left of a plot and a title above it belong to what follows
        gaps.pop(min(sides, key=lambda k: (gaps[k][1] - gaps[k][0], k != i)))
    longer = max(page.ink.shape)
    return [
        Cut(axis, origin + start, origin + stop, 1 / (1 + 60 * max(stop - start, 4) / longer)) for start, stop in gaps
    ]


def _open(page: Page, box: Box, smallest: tuple[int, int], depth: int) -> list[Region]:
    """Cut as long as both axes offer parts of panel size; the axis that gives more panels is taken."""
    box = trim(page.ink, box)
    x0, y0, x1, y1 = box
    if y1 - y0 < smallest[0] or x1 - x0 < smallest[1]:
        return []
    whole = [Region(box, None, 1.0)]
    if depth == 0:
        return whole
    best = whole
    for axis in (0, 1):
        cuts = _gutters(page, box, axis, smallest)
        if not cuts:
            continue
        found = [region for part in _slices(box, cuts) for region in _open(page, part, smallest, depth - 1)]
        if len(found) > len(best):
            score = 1 - max(cut.cost for cut in cuts)
            best = [dataclasses.replace(region, score=min(region.score, score)) for region in found]
    return best


def _slices(box: Box, cuts: Sequence[Cut]) -> list[Box]:
    x0, y0, x1, y1 = box
    if cuts[0].axis == 0:
        bounds = [y0, *(edge for cut in cuts for edge in (cut.start, cut.stop)), y1]
        return [(x0, a, x1, b) for a, b in zip(bounds[::2], bounds[1::2], strict=True)]
    bounds = [x0, *(edge for cut in cuts for edge in (cut.start, cut.stop)), x1]
    return [(a, y0, b, y1) for a, b in zip(bounds[::2], bounds[1::2], strict=True)]


def _towards(page: Page, expected: int, smallest: tuple[int, int]) -> list[Region]:
    """Cut at the widest gutter anywhere until there are as many parts as expected, or none is left to cut."""
    parts = [Region(_whole(page), None, 1.0)]
    while len(parts) < expected:
        offers: list[tuple[float, int, Cut]] = []
        for i, part in enumerate(parts):
            for axis in (0, 1):
                cuts = _gutters(page, part.box, axis, smallest)
                # equal gutters of a grid are cut at once, so that a row of three does not become one and two
                offers += [(cut.cost, i, cut) for cut in cuts]
        if not offers:
            break
        cost, i, cut = min(offers, key=lambda offer: (offer[0], offer[1]))
        halves = [trim(page.ink, piece) for piece in _slices(parts[i].box, [cut])]
        parts[i : i + 1] = [Region(piece, None, min(parts[i].score, 1 - cost)) for piece in halves]
    return parts
