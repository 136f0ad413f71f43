"""Byte ranges on their way from physical shards to a tar: neighbours joined, long ones cut.

Belongs here: what local and remote sources share. A source turns an iterator of ranges into their bytes, in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from biomedica_assets.lib.stream.failures import StreamError
from biomedica_assets.lib.stream.index import Entry


class Range(NamedTuple):
    """Bytes ``start`` to ``end`` of a shard."""

    shard: int
    start: int
    end: int


class Source(Protocol):
    """Where the bytes of the physical shards are."""

    def read(self, ranges: Iterable[Range]) -> Iterator[memoryview]:
        """Bytes of the ranges in order. A view lies in one range and is valid until the next one is asked for.

        Raises:
            StreamError: a shard is missing, is not the one the recipe was made from, or cannot be read.
        """
        ...


def joined(entries: Iterable[Entry], longest: int) -> Iterator[Range]:
    """Ranges of the entries in order: entries that touch become one range, none is longer than ``longest`` bytes."""
    shard, start, end = -1, 0, 0
    for entry in entries:
        if entry.shard == shard and entry.start == end:
            end = entry.end
            continue
        yield from _cut(shard, start, end, longest)
        shard, start, end, _ = entry
    yield from _cut(shard, start, end, longest)


def _cut(shard: int, start: int, end: int, longest: int) -> Iterator[Range]:
    for low in range(start, end, longest):
        yield Range(shard, low, min(end, low + longest))


def check_size(found: int, expected: int, what: str) -> None:
    """Make sure that a shard has the size that the recipe knows.

    Raises:
        StreamError: it has another.
    """
    if found != expected:
        raise StreamError(
            f"{what} has {found:,} bytes, the recipe was built from one of {expected:,}; build the recipe again"
        )
