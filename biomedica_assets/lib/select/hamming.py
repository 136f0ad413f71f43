"""Pairs of 64-bit hashes that differ in at most d bits: exact, in sorted order, without a quadratic step.

d differing bits spoil at most d of d + 3 bands, so three bands agree. For each choice of three bands the hashes are
rearranged so that those bands come first, sorted, and compared with their neighbours as long as the three bands agree
(Manku, Jain, Sarma, "Detecting near-duplicates for web crawling", WWW 2007, with sorting in place of their tables).
Measured with 5 million hashes and d = 4: facts/baselines.md section 6, and ``benchmarks/near_duplicates.py``.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
BITS = 64
KEPT = 3
LARGEST_DISTANCE = 8
LARGEST_BUCKET = 2_000
"""Hashes that agree in three bands and are compared with each other. Real figures fill larger buckets only with
pictures of almost nothing (white pages); comparing 2 000 with each other takes about 70 ms a choice of bands."""


@dataclasses.dataclass(frozen=True, slots=True)
class NearPairs:
    """Pairs within the distance.

    Attributes:
        left: one hash of each pair, uint64 (n,); smaller than ``right`` for pairs within one set.
        right: the other, uint64 (n,).
        distance: differing bits, int64 (n,).
        uncompared: hashes in buckets above the limit that were not compared with all others there; 0 means exact.
    """

    left: U64
    right: U64
    distance: NDArray[np.int64]
    uncompared: int


@dataclasses.dataclass(frozen=True, slots=True)
class _Layout:
    """One rearrangement of the bits: runs of (from, width, to), and how many low bits are not in the kept bands."""

    runs: tuple[tuple[int, int, int], ...]
    low_bits: int
    forbidden: tuple[int, ...]
    """Masks, in the rearranged order, of bands before the last kept one: if one of them agrees too, another choice of
    bands finds the pair, and this one leaves it alone."""

    def arrange(self, hashes: U64) -> U64:
        return _moved(hashes, self.runs)

    def restore(self, arranged: U64) -> U64:
        return _moved(arranged, [(to, width, at) for at, width, to in self.runs])


def near_pairs(hashes: U64, distance: int, *, largest_bucket: int = LARGEST_BUCKET) -> NearPairs:
    """All pairs of distinct hashes that differ in at most ``distance`` bits.

    Args:
        hashes: distinct values, uint64 (n,).
        distance: 0 to 8. Work grows with the number of band choices: 35 for 4, 84 for 6, 165 for 8.
        largest_bucket: neighbours a hash is compared with when more agree in three bands.

    Raises:
        ValueError: the distance is out of range.
    """
    found: list[tuple[U64, U64]] = []
    uncompared = 0
    for layout in _layouts(distance):
        arranged = np.sort(layout.arrange(hashes))
        alive = np.arange(max(0, len(arranged) - 1))
        limit = np.uint64(1 << layout.low_bits)
        for step in range(1, largest_bucket + 1):
            # alive holds the positions whose neighbour `step` further on may still share the three bands.
            alive = alive[: np.searchsorted(alive, len(arranged) - step)]
            differing = arranged[alive] ^ arranged[alive + step] if step > 1 else arranged[1:] ^ arranged[:-1]
            same = differing < limit
            alive, differing = alive[same], differing[same]
            if not len(alive):
                break
            near = _wanted(differing, distance, layout)
            found.append((arranged[alive[near]], arranged[alive[near] + step]))
            found[-1] = layout.restore(found[-1][0]), layout.restore(found[-1][1])
        uncompared += len(alive)
    left, right = _joined(found)
    left, right = np.minimum(left, right), np.maximum(left, right)
    return _sorted(left, right, uncompared)


def near_across(hashes: U64, queries: U64, distance: int, *, largest_bucket: int = LARGEST_BUCKET) -> NearPairs:
    """All pairs of a hash and a query that differ in at most ``distance`` bits, equal ones included.

    Args:
        hashes: distinct values, uint64 (n,).
        queries: distinct values, uint64 (m,); best the smaller set.
        distance: 0 to 8.
        largest_bucket: queries a hash is compared with when more agree in three bands.
    """
    found: list[tuple[U64, U64]] = []
    uncompared = 0
    for layout in _layouts(distance):
        base, asked = np.sort(layout.arrange(hashes)), np.sort(layout.arrange(queries))
        low = np.uint64((1 << layout.low_bits) - 1)
        first = np.searchsorted(asked, base & ~low)
        count = np.searchsorted(asked, base | low, side="right") - first
        uncompared += int((count > largest_bucket).sum())
        for step in range(int(min(count.max(initial=0), largest_bucket))):
            alive = np.flatnonzero(count > step)
            one, other = base[alive], asked[first[alive] + step]
            near = _wanted(one ^ other, distance, layout)
            found.append((layout.restore(one[near]), layout.restore(other[near])))
    return _sorted(*_joined(found), uncompared)


def _layouts(distance: int) -> Iterator[_Layout]:
    if not 0 <= distance <= LARGEST_DISTANCE:
        raise ValueError(f"distance {distance} is out of range: 0 to {LARGEST_DISTANCE} bits of {BITS}")
    count = distance + KEPT
    edges = [BITS * n // count for n in range(count + 1)]
    bands = list(itertools.pairwise(edges))
    for kept in itertools.combinations(range(count), KEPT):
        order = [*kept, *(n for n in range(count) if n not in kept)]
        to, runs, places = BITS, list[tuple[int, int, int]](), dict[int, tuple[int, int]]()
        for n in order:
            low, high = bands[n]
            to -= high - low
            places[n] = (to, high - low)
            runs.append((low, high - low, to))
        forbidden = tuple(_mask(*places[n]) for n in range(max(kept)) if n not in kept)
        yield _Layout(_merged(runs), BITS - sum(bands[n][1] - bands[n][0] for n in kept), forbidden)


def _merged(runs: Sequence[tuple[int, int, int]]) -> tuple[tuple[int, int, int], ...]:
    """Runs that move by the same amount and touch become one: half the passes over the hashes."""
    merged: list[tuple[int, int, int]] = []
    for low, width, to in sorted(runs):
        if merged and merged[-1][0] + merged[-1][1] == low and merged[-1][2] + merged[-1][1] == to:
            merged[-1] = (merged[-1][0], merged[-1][1] + width, merged[-1][2])
        else:
            merged.append((low, width, to))
    return tuple(merged)


def _moved(hashes: U64, runs: Sequence[tuple[int, int, int]]) -> U64:
    out = np.zeros_like(hashes)
    for low, width, to in runs:
        part = hashes & np.uint64(_mask(low, width))
        if to > low:
            np.left_shift(part, np.uint64(to - low), out=part)
        elif low > to:
            np.right_shift(part, np.uint64(low - to), out=part)
        out |= part
    return out


def _wanted(differing: U64, distance: int, layout: _Layout) -> NDArray[np.bool_]:
    near = np.bitwise_count(differing) <= distance
    for mask in layout.forbidden:
        near &= (differing & np.uint64(mask)) != 0
    return near


def _mask(low: int, width: int) -> int:
    return ((1 << width) - 1) << low


def _joined(found: Sequence[tuple[U64, U64]]) -> tuple[U64, U64]:
    none = np.zeros(0, dtype=np.uint64)
    return np.concatenate([none, *(p[0] for p in found)]), np.concatenate([none, *(p[1] for p in found)])


def _sorted(left: U64, right: U64, uncompared: int) -> NearPairs:
    order = np.lexsort((right, left))
    left, right = left[order], right[order]
    return NearPairs(left, right, np.bitwise_count(left ^ right).astype(np.int64), uncompared)
