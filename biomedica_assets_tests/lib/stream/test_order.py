"""Laws of the order: whatever the numbers, an epoch is cut into slices without gap or overlap."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_assets.lib.stream.failures import StreamError
from biomedica_assets.lib.stream.index import Entry
from biomedica_assets.lib.stream.order import Shuffle, apart, slices


@given(st.integers(1, 700), st.text(max_size=5))
def test_shuffle_is_a_bijection_and_place_its_inverse(size: int, key: str) -> None:
    shuffle = Shuffle(size, key)
    order = [shuffle[n] for n in range(size)]
    assert sorted(order) == list(range(size))
    assert [shuffle.place(thing) for thing in order] == list(range(size))


def _spread(n: int, block: int, of: int, seed: int, epoch: int, *, shuffle: bool = True) -> list[list[int]]:
    return [
        [
            entry
            for low, high in slices(n, block, shard=shard, of=of, seed=seed, epoch=epoch, shuffle=shuffle)
            for entry in range(low, high)
        ]
        for shard in range(of)
    ]


@given(st.integers(0, 400), st.integers(1, 70), st.integers(1, 90), st.integers(0, 3), st.integers(0, 3), st.booleans())
def test_every_entry_lies_in_exactly_one_virtual_shard(
    n: int, block: int, of: int, seed: int, epoch: int, shuffle: bool
) -> None:
    shards = _spread(n, block, of, seed, epoch, shuffle=shuffle)
    assert sorted(entry for shard in shards for entry in shard) == list(range(n))
    sizes = {len(shard) for shard in shards}
    assert max(sizes) - min(sizes) <= 1


@given(st.integers(1, 400), st.integers(1, 70), st.integers(1, 40))
def test_the_epoch_does_not_depend_on_the_number_of_virtual_shards(n: int, block: int, of: int) -> None:
    """Training on more workers reads the same epoch, only cut elsewhere."""
    assert [e for shard in _spread(n, block, of, 1, 2) for e in shard] == _spread(n, block, 1, 1, 2)[0]


def test_epochs_and_seeds_differ() -> None:
    orders = {tuple(_spread(1000, 10, 1, seed, epoch)[0]) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


def test_shuffled_blocks_look_shuffled() -> None:
    """The mean distance of neighbours in a random order of n is n / 3."""
    shuffle = Shuffle(3000, "k")
    order = [shuffle[n] for n in range(3000)]
    mean = sum(abs(a - b) for a, b in itertools.pairwise(order)) / 2999
    assert 900 < mean < 1100


def test_a_virtual_shard_that_does_not_exist_is_refused() -> None:
    with pytest.raises(StreamError, match="counted from 0 to 3"):
        list(slices(10, 2, shard=4, of=4, seed=0, epoch=0))


@given(st.lists(st.integers(0, 3), max_size=30))
def test_equal_neighbours_move_apart_and_nothing_is_lost(numbers: list[int]) -> None:
    entries = [Entry(0, n * 512, n * 512 + 512, n) for n in numbers]
    try:
        moved = list(apart(entries))
    except StreamError:
        most = max(Counter(numbers).values())
        assert most > 1
        return
    assert Counter(moved) == Counter(entries)
    assert all(a != b for a, b in itertools.pairwise(moved))
