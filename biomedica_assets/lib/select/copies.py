"""Altered copies of test images among the pictures of the corpus: proposed by description, confirmed by their pixels.

For each test image the pictures most like one of its views are compared, the likest first, until a batch of them holds
no copy. So the work grows with the number of test images and of copies, not with that of pictures.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from biomedica_assets.lib.select.agreement import Agreement, CopyRules, agreement
from biomedica_assets.lib.select.frames import Box
from biomedica_assets.lib.select.registration import FINEST, register
from biomedica_assets.lib.select.views import (
    LENGTH,
    ORIENTATIONS,
    TEST_VIEWS,
    Grey,
    View,
    batches,
    permutations,
    unit_vectors,
)

BATCH = 16
"""Pictures compared with a test image before it is asked whether one of them was a copy."""
MOST = 64
"""Pictures compared with a test image at most."""
LEAST_LIKENESS = 0.75
"""Of 2 000 altered copies of the labelled images one was less like its original, by 0.78 the next."""
GUESSES = 3
"""Places and orientations that are tried for a pair."""
_TESTS_AT_ONCE, _VIEWS_AT_ONCE = 16, 4096

U8 = NDArray[np.uint8]
I64 = NDArray[np.int64]


@dataclasses.dataclass(frozen=True, slots=True)
class Described:
    """A picture of the corpus as it was described.

    Attributes:
        views: boxes in its pixels.
        descriptions: uint8 (views, 128).
    """

    views: Sequence[View]
    descriptions: U8


@dataclasses.dataclass(frozen=True, slots=True)
class Copy:
    """Where a test image was found.

    Attributes:
        frame: part of the picture that shows it, in its pixels.
        orientation: how the test image is turned in it.
        agreement: how well they agree.
    """

    frame: Box
    orientation: int
    agreement: Agreement


def likest(tests: U8, descriptions: U8, owner: I64, most: int = MOST) -> list[tuple[I64, NDArray[np.float32]]]:
    """The pictures that are most like each test image in any view and orientation.

    Args:
        tests: descriptions of the views of test images, uint8 (tests, ``TEST_VIEWS``, 128).
        descriptions: those of the views of pictures, uint8 (views, 128).
        owner: number of the picture of each view, int64 (views,), ascending.
        most: pictures a test image at most.

    Returns:
        For each test image numbers of pictures and their likeness (cosine), the likest first; below
        ``LEAST_LIKENESS`` none.
    """
    first = np.flatnonzero(np.diff(owner, prepend=-1))
    found: list[tuple[I64, NDArray[np.float32]]] = []
    turned = permutations()
    for part in batches(len(tests), _TESTS_AT_ONCE):
        upright = unit_vectors(tests[part])
        asked = upright[:, :, turned].reshape(-1, LENGTH)  # tests x views x orientations
        best = np.full((len(upright), len(first)), -1.0, np.float32)
        for some in batches(len(descriptions), _VIEWS_AT_ONCE):
            likeness = unit_vectors(descriptions[some]) @ asked.T
            per_test = likeness.reshape(len(likeness), len(upright), -1).max(axis=2)
            owners: I64 = np.searchsorted(first, np.arange(some.start, some.stop, dtype=np.int64), side="right") - 1
            np.maximum.at(best.T, owners, per_test)
        for row in best:
            order = np.argsort(-row, kind="stable")[:most]
            order = order[row[order] >= LEAST_LIKENESS]
            found.append((owner[first[order]], row[order]))
    return found


def find_copy(
    test: Grey, views: Sequence[View], described_test: U8, grey: Grey, picture: Described, rules: CopyRules
) -> Copy | None:
    """Whether a picture is, or holds, a copy of a test image.

    Args:
        test: the test image.
        views: its views (``probe_views``).
        described_test: their descriptions, uint8 (``TEST_VIEWS``, 128).
        grey: the picture.
        picture: its views and descriptions; boxes in the pixels of ``grey``.
        rules: what counts as a copy.
    """
    for frame, view, orientation in guesses(described_test, picture.descriptions):
        overlay = register(grey, picture.views[frame], test, views[view], orientation)
        if overlay is None:
            continue
        seen = agreement(overlay)
        if seen.passes(rules):
            return Copy(picture.views[frame].box, orientation, seen)
    return None


def whole_agreement(one: Grey, other: Grey) -> Agreement | None:
    """How well two whole pictures agree, upright, as finely as both have pixels; None if they cannot be laid over.

    For figures of the corpus: plots of one kind differ in fine lines only.
    """
    wholes = [View((0.0, 0.0, float(grey.shape[1]), float(grey.shape[0]))) for grey in (one, other)]
    overlay = register(one, wholes[0], other, wholes[1], 0, FINEST)
    return None if overlay is None else agreement(overlay)


def guesses(test: U8, picture: U8, most: int = GUESSES) -> list[tuple[int, int, int]]:
    """The likeliest ways in which a picture may show a test image: its view, the test's view, the orientation.

    Of several views of the test image for one view and orientation only the likeliest is given: they lead to one place.
    """
    asked = unit_vectors(test)[:, permutations()].reshape(-1, LENGTH)
    likeness = (unit_vectors(picture) @ asked.T).reshape(len(picture), TEST_VIEWS, ORIENTATIONS)
    view = likeness.argmax(axis=1)
    best = likeness.max(axis=1)
    order = np.argsort(-best, axis=None, kind="stable")[:most]
    frames, orientations = np.unravel_index(order, best.shape)
    return [(int(f), int(view[f, o]), int(o)) for f, o in zip(frames, orientations, strict=True)]
