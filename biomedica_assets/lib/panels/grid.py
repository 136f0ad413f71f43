"""Montages: photographs of one size that touch, row by row, without letters and without gutters.

Belongs here: the two signs of such a grid. Its cells show alike things in alike places, so that the picture's profile
repeats from cell to cell; and where two cells meet the ground changes a little along the whole line, also where no eye
sees it (three grey levels on white are enough, since they are averaged along the line).

The thresholds were drawn between six montages, all of one article, and 132 other real figures, none of which is taken
for one; whether montages of other articles pass them is not known.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from biomedica_assets.lib.panels import morphology

MOST = 8  # cells in a row or column
NOISE = 0.5  # share of neighbouring pixels that differ: photographs have 0.5 to 0.95, drawings below 0.45
ALIKE = 0.88  # mean correlation of the cells' profiles; the six have 0.90 to 0.99, other figures up to 0.81
SEAM = 0.3  # mean share of the bands in which the ground changes at the lines; the six have 0.31 to 0.67
_NARROWEST = 30  # pixels of a cell
_BANDS = 24
_STEP = 1.0  # grey levels by which the ground has to change, beside what is usual there

Gray = npt.NDArray[np.uint8]
Levels = npt.NDArray[np.float64]
Box = tuple[int, int, int, int]


def grid_of(gray: Gray) -> tuple[int, int, float]:
    """Columns and rows of a montage, and how alike its cells are (0..1); 1, 1, 0 for any other picture.

    Args:
        gray: height x width, not reduced to less than about 400 pixels.
    """
    if min(gray.shape) < 100 or np.count_nonzero(gray[:, 1:] != gray[:, :-1]) < NOISE * gray.size:
        return 1, 1, 0.0
    (columns, across), (rows, down) = _cells(gray), _cells(gray.T)
    return columns, rows, min(across, down) if columns * rows > 1 else 0.0


def boxes_of(columns: int, rows: int, width: int, height: int) -> list[Box]:
    """Cells of a grid on a picture of a size in pixels, in reading order."""
    xs = [round(width * i / columns) for i in range(columns + 1)]
    ys = [round(height * i / rows) for i in range(rows + 1)]
    return [(x0, y0, x1, y1) for y0, y1 in pairwise(ys) for x0, x1 in pairwise(xs)]


def _cells(gray: Gray) -> tuple[int, float]:
    """In how many equal columns a picture falls, and how alike they are; 1, 1 if in none."""
    seams = _changes(gray)
    length = len(seams) - 1
    profile = np.asarray(255 - np.mean(gray, axis=0, dtype=np.float64))
    for n in range(MOST, 1, -1):
        if length // n < _NARROWEST:
            continue
        at = [round(length * k / n) for k in range(1, n)]
        met = float(np.mean([seams[x - 2 : x + 3].max() for x in at]))
        if met >= SEAM and (alike := _alike(profile, n)) >= ALIKE:
            return n, alike
    return 1, 1.0


def _alike(profile: Levels, n: int) -> float:
    """Mean correlation between the ``n`` parts of a profile."""
    length, part = len(profile), len(profile) // n
    starts = [min(round(length * k / n), length - part) for k in range(n)]
    cells = np.stack([profile[start : start + part] for start in starts])
    if float(cells.std(axis=1).min()) < 1e-6:
        return 0.0
    agreement: Levels = np.asarray(np.corrcoef(cells), np.float64)
    return float(np.mean(agreement[np.triu_indices(n, 1)]))


def _changes(gray: Gray) -> Levels:
    """For each line between two columns the share of the bands in which the mean level changes there and not around."""
    level = gray.astype(np.float32)
    height, width = level.shape
    step = np.zeros((height, width + 1), np.float32)
    step[:, 2 : width - 1] = (
        level[:, 2 : width - 1] + level[:, 3:] - level[:, : width - 3] - level[:, 1 : width - 2]
    ) / 2
    n = min(_BANDS, height)
    edges = [height * i // n for i in range(n + 1)]
    bands = np.stack([np.abs(np.mean(step[a:b], axis=0, dtype=np.float64)) for a, b in pairwise(edges)])
    usual = np.stack([morphology.median_along(band, 25) for band in bands])
    return np.asarray(np.mean(bands > _STEP + 2.5 * usual, axis=0, dtype=np.float64), np.float64)
