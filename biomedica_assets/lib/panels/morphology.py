"""What is used of ``scipy.ndimage``, with types (it ships none).

Belongs here: one-line wrappers and nothing else.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Mask = npt.NDArray[np.bool_]
_AROUND = np.ones((3, 3), int)


def components(mask: Mask) -> tuple[npt.NDArray[np.int32], list[tuple[slice, slice]]]:
    """Pieces of a mask, diagonals joined: their numbers from 1, and the rows and columns each spans."""
    labelled = cast(Any, ndimage.label(mask, structure=_AROUND))
    numbered = cast(npt.NDArray[np.int32], labelled[0])
    return numbered, cast(list[tuple[slice, slice]], ndimage.find_objects(numbered))


def mean_around(level: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.float32]:
    """Mean of the square of ``size`` pixels around each pixel."""
    return cast(npt.NDArray[np.float32], ndimage.uniform_filter(level, size=size, mode="nearest"))


def grown(mask: Mask) -> Mask:
    """The mask and the pixels beside it."""
    return cast(Mask, ndimage.binary_dilation(mask))


def median_along(values: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.float64]:
    """Running median of a line."""
    return cast(npt.NDArray[np.float64], ndimage.median_filter(values, size=size, mode="nearest"))
