"""Whether the bytes of a sample are those that were written: a check of 32 bits for each, and the source that asks it.

Belongs here: what the check is, and samples from afar that are passed on only once they have it. A network card, a
proxy or a disk flips a bit in some terabytes without anybody noticing; TCP's checksum has 16 bits.

Does not belong here: shards on this machine, which go to the reader without a copy and whose digests ``biomedica fsck``
compares.
"""

from __future__ import annotations

import sys
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from biomedica_assets.lib.stream.failures import StreamError
from biomedica_assets.lib.stream.headers import member_name, member_size
from biomedica_assets.lib.stream.index import TAR_BLOCK, Entry, ShardFile
from biomedica_assets.lib.stream.ranges import Range, Source, joined


def check_of(sample: bytes | memoryview) -> int:
    """CRC-32 of the data of a sample's first member, its image, XOR CRC-32 of all its other bytes.

    The first is known from the verification of the image, so that writing a shard costs no second pass over it.

    Raises:
        ValueError: the sample does not begin with the header of a member.
    """
    view = memoryview(sample)
    end = TAR_BLOCK + member_size(bytes(view[:TAR_BLOCK]))
    return zlib.crc32(view[TAR_BLOCK:end]) ^ zlib.crc32(view[end:], zlib.crc32(view[:TAR_BLOCK]))


class Cutting(Source, Protocol):
    """A source that says how long a range may be."""

    @property
    def longest(self) -> int:
        """Bytes of the longest range."""
        ...


class Remote(Cutting, Protocol):
    """A source far away."""

    def once(self, wanted: Range) -> bytes:
        """Bytes of one range, asked for anew while others are under way."""
        ...


class Checked:
    """Samples from afar, each whole and as it was written, or not passed on."""

    def __init__(self, source: Remote, shards: Sequence[ShardFile], *, skip: bool = False) -> None:
        """Where samples come from, and what becomes of a damaged one.

        Args:
            source: where they come from.
            shards: the recipe's shards, to name them.
            skip: leave out a sample that is damaged the second time, too, and say so on standard error, instead of
                ending the stream.
        """
        self._source, self._shards, self._skip = source, shards, skip
        self.skipped = 0
        """Samples that were left out."""

    def read(self, entries: Iterable[Entry]) -> Iterator[tuple[Entry, memoryview]]:
        """Samples in order; a view is valid until the next one is asked for.

        Raises:
            StreamError: a shard cannot be read, or a sample is damaged both times it was fetched.
        """
        for entry, sample in split(self._source, entries):
            checked = sample if matches(entry, sample) else self.anew(entry)
            if checked is not None:
                yield entry, checked

    def anew(self, entry: Entry) -> memoryview | None:
        """One sample, fetched by itself; None if it is damaged and left out.

        Raises:
            StreamError: it is damaged.
        """
        sample = memoryview(self._source.once(Range(entry.shard, entry.start, entry.end)))
        if matches(entry, sample):
            return sample
        found = f"sample {named(sample, entry)} of {self._shards[entry.shard].path} is damaged"
        if not self._skip:
            raise StreamError(
                f"{found}: its bytes are not those that were written, both times they were fetched. Send the shard "
                "again, or leave such samples out with --skip-damaged"
            )
        self.skipped += 1
        print(f"biomedica stream: {found} and left out", file=sys.stderr)  # noqa: T201 - standard error of a command
        return None


def split(source: Cutting, entries: Iterable[Entry]) -> Iterator[tuple[Entry, memoryview]]:
    """The bytes of each entry, in order; a view is valid until the next one is asked for."""
    due: deque[Entry] = deque()
    held = bytearray()
    for view in source.read(joined(_noted(entries, due), source.longest)):
        at = 0
        while at < len(view):
            entry = due[0]
            size = entry.end - entry.start
            part = view[at : at + size - len(held)]
            at += len(part)
            if held or len(part) < size:
                held += part
                if len(held) < size:
                    continue
            sample = memoryview(bytes(held)) if held else part
            held.clear()
            due.popleft()
            yield entry, sample


def matches(entry: Entry, sample: bytes | memoryview) -> bool:
    """Whether these are the bytes that an index promises."""
    try:
        return check_of(sample) == entry.check
    except ValueError:
        return False


def named(sample: bytes | memoryview, entry: Entry) -> str:
    """Key of a sample by its first header, which may be the part that is damaged."""
    try:
        name = member_name(bytes(sample[:TAR_BLOCK]))
    except ValueError:
        name = ""
    key = name.rpartition("/")[2].partition(".")[0]
    return f"{key} at byte {entry.start:,}" if key.isprintable() and key else f"at byte {entry.start:,}"


def _noted(entries: Iterable[Entry], due: deque[Entry]) -> Iterator[Entry]:
    for entry in entries:
        due.append(entry)
        yield entry
