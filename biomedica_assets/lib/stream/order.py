"""Which entries a virtual shard holds: an epoch is a shuffled order of blocks, a virtual shard an equal slice of it.

Nothing is stored and nothing is drawn: the shuffle is a keyed bijection computed where it is needed, so any slice of
any epoch opens at once. Whatever the number of virtual shards, their slices cover the epoch, and each entry lies in
exactly one of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from biomedica_assets.lib.stream.failures import StreamError
from biomedica_assets.lib.stream.index import Entry

_ROUNDS = 6
_MASK = (1 << 64) - 1


class Shuffle:
    """A pseudorandom bijection of ``range(size)``, chosen by a key: a Feistel network with cycle walking."""

    def __init__(self, size: int, key: str) -> None:
        """Args: size: number of things, at least 1. key: equal keys give equal orders."""
        self.size = size
        self._half = max(1, ((size - 1).bit_length() + 1) // 2)
        raw = hashlib.sha256(key.encode()).digest() + hashlib.sha256(b"2" + key.encode()).digest()
        self._keys = [int.from_bytes(raw[8 * n : 8 * n + 8], "little") for n in range(_ROUNDS)]

    def __getitem__(self, place: int) -> int:
        """What stands at a place of the shuffled order."""
        while True:
            place = self._encrypt(place)
            if place < self.size:
                return place

    def place(self, thing: int) -> int:
        """Where a thing stands: the inverse of ``[]``."""
        while True:
            thing = self._decrypt(thing)
            if thing < self.size:
                return thing

    def _encrypt(self, value: int) -> int:
        half, low = self._half, (1 << self._half) - 1
        left, right = value >> half, value & low
        for key in self._keys:
            left, right = right, left ^ (_mix(right, key) & low)
        return left << half | right

    def _decrypt(self, value: int) -> int:
        half, low = self._half, (1 << self._half) - 1
        left, right = value >> half, value & low
        for key in reversed(self._keys):
            left, right = right ^ (_mix(left, key) & low), left
        return left << half | right


def slices(
    n: int, block: int, *, shard: int, of: int, seed: int, epoch: int, shuffle: bool = True
) -> Iterator[tuple[int, int]]:
    """Runs of entries ``(low, high)`` that make one virtual shard, in its order.

    Args:
        n: entries of the split.
        block: entries that stay together.
        shard: which virtual shard, from 0.
        of: how many there are.
        seed: of the recipe.
        epoch: from 0; each has its own order.
        shuffle: False keeps the order of the physical shards.

    Raises:
        StreamError: ``shard`` is not one of ``of``.
    """
    if not 0 <= shard < of:
        raise StreamError(f"virtual shard {shard} of {of} does not exist; shards are counted from 0 to {of - 1}")
    place, stop = shard * n // of, (shard + 1) * n // of
    if not shuffle:
        yield from ((low, min(stop, low + block)) for low in range(place, stop, block))
        return
    if place == stop:
        return
    blocks = -(-n // block)
    order = Shuffle(blocks, f"{seed}/{epoch}")
    # Only the last block may be short; every place after it is nearer by what it lacks.
    short_at, lacks = order.place(blocks - 1), blocks * block - n
    slot = place // block
    if slot >= short_at and place >= short_at * block + block - lacks:
        slot = (place + lacks) // block
    while place < stop:
        first = slot * block - (lacks if slot > short_at else 0)
        size = block - (lacks if slot == short_at else 0)
        low = order[slot] * block
        yield low + place - first, low + min(size, stop - first)
        place, slot = first + size, slot + 1


def apart(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The entries, with equal neighbours moved apart: readers take two samples of one key in a row for one.

    Raises:
        StreamError: nothing stands between them (a virtual shard that is almost only one sample).
    """
    last: Entry | None = None
    held: list[Entry] = []
    for entry in entries:
        if entry == last:
            held.append(entry)
            continue
        yield entry
        last = entry
        if held:
            last = held.pop()
            yield last
    if held:
        raise StreamError(
            "a sample is repeated with nothing else between the copies; ask for fewer virtual shards or lower the "
            "weights of the recipe"
        )


def _mix(value: int, key: int) -> int:
    """Scramble a number: the finaliser of SplitMix64 (Steele, Lea, Flood 2014) over ``value + key``."""
    z = (value + key) & _MASK
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & _MASK
    return z ^ (z >> 31)
