"""Near pairs are exactly those that comparing all with all finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from biomedica_assets.lib.select.components import connected_components
from biomedica_assets.lib.select.hamming import near_across, near_pairs

U64 = NDArray[np.uint64]


def family(seed: int, size: int) -> U64:
    """Random hashes with copies that differ in 1 to 9 bits, anywhere in the word."""
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 2**64, size, dtype=np.uint64)
    copies = [base]
    for flips in range(1, 10):
        bits = rng.permuted(np.tile(np.arange(64), (size, 1)), axis=1)[:, :flips].astype(np.uint64)
        copies.append(base ^ np.bitwise_or.reduce(np.uint64(1) << bits, axis=1))
    return np.unique(np.concatenate(copies))


def pairs(left: U64, right: U64) -> set[tuple[int, int]]:
    return set(zip(left.tolist(), right.tolist(), strict=True))


@pytest.mark.parametrize("distance", [0, 1, 2, 3, 4, 6, 8])
def test_near_pairs_are_those_of_brute_force(distance: int) -> None:
    hashes = family(distance, 60)
    found = near_pairs(hashes, distance)
    bits = np.bitwise_count(hashes[:, None] ^ hashes[None, :])
    i, j = np.nonzero(np.triu(bits <= distance, 1))
    assert pairs(found.left, found.right) == pairs(hashes[i], hashes[j])
    assert len(found.left) == len(i), "a pair came more than once"
    assert np.array_equal(found.distance, np.bitwise_count(found.left ^ found.right))
    assert found.uncompared == 0


@pytest.mark.parametrize("distance", [0, 4, 6])
def test_near_across_are_those_of_brute_force(distance: int) -> None:
    hashes, queries = family(1, 50), family(1, 50)[::3]
    queries = np.unique(np.concatenate([queries, family(2, 5)]))
    found = near_across(hashes, queries, distance)
    i, j = np.nonzero(np.bitwise_count(hashes[:, None] ^ queries[None, :]) <= distance)
    assert pairs(found.left, found.right) == pairs(hashes[i], queries[j])
    assert len(found.left) == len(i)


def test_large_buckets_are_cut_and_counted() -> None:
    """All hashes of a bucket would be compared with each other."""
    hashes = np.arange(500, dtype=np.uint64)
    cut = near_pairs(hashes, 4, largest_bucket=5)
    assert cut.uncompared > 0
    assert pairs(cut.left, cut.right) < pairs(*(getattr(near_pairs(hashes, 4), side) for side in ("left", "right")))


@pytest.mark.parametrize("size", [0, 1])
def test_few_hashes_have_no_pairs(size: int) -> None:
    assert len(near_pairs(np.zeros(size, np.uint64), 4).left) == 0


def test_a_distance_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="0 to 8"):
        near_pairs(np.zeros(1, np.uint64), 9)


@settings(max_examples=60)
@given(st.integers(1, 40), st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39)), max_size=60))
def test_components_are_those_of_a_walk(n: int, edges: list[tuple[int, int]]) -> None:
    edges = [(a % n, b % n) for a, b in edges]
    neighbours: dict[int, set[int]] = {node: set() for node in range(n)}
    for a, b in edges:
        neighbours[a].add(b)
        neighbours[b].add(a)
    expected = [-1] * n
    for node in range(n):
        open_ = [node]
        while open_:
            here = open_.pop()
            if expected[here] == -1:
                expected[here] = node
                open_.extend(neighbours[here])
    ends = np.array(edges, dtype=np.int64).reshape(-1, 2)
    assert connected_components(n, ends[:, 0], ends[:, 1]).tolist() == expected
