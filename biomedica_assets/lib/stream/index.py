"""The index of a recipe: for each split, the byte range of every sample in the physical shards.

One file, read by range, here or far away, so that a virtual shard of a recipe of 24 million samples opens in
milliseconds and holds a few kilobytes. Little-endian::

    8 bytes   b"BMSHARD2"
    4 bytes   length of the header, unsigned
    4 bytes   CRC-32 of the header
    header    JSON: recipe, seed, block, shards [[path, bytes, ext], ...], splits {name: {...}}; see ``SplitIndex``
    padding   zero bytes to a multiple of 8
    entries   for each split in the order of the header, for each entry three unsigned 32-bit numbers:
              first byte and length of the sample, both in tar blocks of 512 bytes (so shards may reach 2 TiB), and
              the check of its bytes (``checks.check_of``)

Entries of a split are sorted by shard and position. A sample that a recipe repeats has an entry per repetition, all
second ones after all first ones and so on, so that equal samples lie far apart.
"""

from __future__ import annotations

import bisect
import dataclasses
import errno
import fcntl
import json
import os
import struct
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from biomedica_assets.lib.stream.failures import StreamError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAGIC = b"BMSHARD2"
TAR_BLOCK = 512
ENTRY_BYTES = 12
_COPIED_AT_ONCE = 8 << 20
BLOCK = 64
"""Samples that stay together when blocks are shuffled: long enough for near-sequential reading (about 13 MB of median
figures), short enough that a reader's sample buffer mixes many of them."""
VIRTUAL_SHARD_BYTES = 1 << 30
"""A process starts for each virtual shard: about 50 ms of one core, as much as handing on 400 MB."""
MIN_VIRTUAL_SHARDS = 16
IN_SHARDS, AT_SOURCE = "shards", "source"


class Entry(NamedTuple):
    """One sample: number of its shard, first byte, one past the last, and the check of what lies there."""

    shard: int
    start: int
    end: int
    check: int


class ShardFile(NamedTuple):
    """A physical shard: path below the data directory, size, extension of its images (all have the same)."""

    path: str
    bytes: int
    ext: str


@dataclasses.dataclass(frozen=True, slots=True)
class SplitIndex:
    """One split of a recipe.

    Attributes:
        offset: number of its first entry in the file.
        entries: number of entries, repetitions included.
        samples: number of distinct samples.
        bytes: bytes of all entries.
        virtual_shards: into how many virtual shards an epoch is cut unless the caller says otherwise.
        run_first: for each run of entries in one physical shard, its first entry, counted from 0 in the split.
        run_shard: number of the shard of each run.
    """

    offset: int
    entries: int
    samples: int
    bytes: int
    virtual_shards: int
    run_first: tuple[int, ...]
    run_shard: tuple[int, ...]

    @property
    def repeats(self) -> bool:
        """Whether any sample comes more than once in an epoch."""
        return self.entries > self.samples


class IndexFile(Protocol):
    """Bytes of an index, wherever they are."""

    name: str
    """For messages."""

    @property
    def fetched(self) -> int:
        """Bytes that came over a network."""
        ...

    @property
    def size(self) -> int:
        """Bytes of the file."""
        ...

    def at(self, start: int, length: int) -> bytes:
        """Bytes from ``start``; fewer at the end of the file.

        Raises:
            StreamError: they cannot be read.
        """
        ...

    def close(self) -> None:
        """Give the file back."""
        ...


class LocalFile:
    """An index on this machine. Reads by position, so one object may serve several threads."""

    fetched = 0

    def __init__(self, path: Path) -> None:
        """Args: path: the file.

        Raises:
            StreamError: it cannot be opened.
        """
        self.name = str(path)
        try:
            self._file = os.open(path, os.O_RDONLY)
            _say_that_it_is_read(self._file)
        except OSError as error:
            raise StreamError(
                f"cannot open the index {path}: {error.strerror}. If the recipe was built again and its earlier files "
                f"were removed since, ask for the recipe by name; else build it with `biomedica run --select recipe`."
            ) from error

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return os.fstat(self._file).st_size

    def at(self, start: int, length: int) -> bytes:
        """Bytes from ``start``; fewer at the end of the file."""
        return os.pread(self._file, length, start)

    def close(self) -> None:
        """Give the file back."""
        os.close(self._file)


class Index:
    """An open index."""

    def __init__(self, place: Path | IndexFile) -> None:
        """Args: place: the file.

        Raises:
            StreamError: it is missing, damaged or of another version.
        """
        self._file: IndexFile = LocalFile(place) if isinstance(place, Path) else place
        name = self._file.name
        self.path = Path(name)
        """Of an index on this machine."""
        start = self._file.at(0, 16)
        if len(start) < 16 or start[:8] != MAGIC:
            raise StreamError(
                f"{name} is not an index of a recipe (expected {MAGIC!r}, found {start[:8]!r}); build it again"
            )
        length, check = struct.unpack("<II", start[8:])
        text = self._file.at(16, length)
        try:
            if zlib.crc32(text) != check:
                raise ValueError("its bytes are not those that were written")
            header: dict[str, Any] = json.loads(text)
            self.recipe: str = header["recipe"]
            self.seed: int = header["seed"]
            self.block: int = header["block"]
            self.pictures: str = header.get("pictures", IN_SHARDS)
            """Whether samples lie in the shards whole, or pictures come from the source."""
            self.shards = tuple(ShardFile(*raw) for raw in header["shards"])
            self.splits = {name: _split(raw) for name, raw in header["splits"].items()}
        except (ValueError, KeyError, TypeError) as error:
            raise StreamError(f"the header of {name} is damaged ({error}). Build the recipe again.") from error
        self._entries_at = _aligned(16 + length)
        expected = self._entries_at + ENTRY_BYTES * sum(split.entries for split in self.splits.values())
        if (size := self._file.size) != expected:
            raise StreamError(f"{name} has {size:,} bytes, its header promises {expected:,}. Build the recipe again.")

    @property
    def fetched(self) -> int:
        """Bytes of the index that came from afar."""
        return self._file.fetched

    def copy(self, to: Path) -> None:
        """Write the whole index to a file, which appears complete or not at all.

        Raises:
            StreamError: it cannot be read.
            StoreError: the file cannot be written.
        """
        from biomedica_assets.lib.store import atomic

        with atomic.replacing(to) as temporary, temporary.open("wb") as handle:
            for start in range(0, self._file.size, _COPIED_AT_ONCE):
                handle.write(self._file.at(start, _COPIED_AT_ONCE))

    def close(self) -> None:
        """Give the file back."""
        self._file.close()

    def split(self, name: str) -> SplitIndex:
        """A split by name.

        Raises:
            StreamError: the recipe has no such split.
        """
        if name not in self.splits:
            raise StreamError(f"recipe {self.recipe} has no split {name!r}; it has {', '.join(self.splits)}")
        return self.splits[name]

    def entries(self, split: SplitIndex, low: int, high: int) -> Iterator[Entry]:
        """Entries ``low`` to ``high`` of a split, in the order of the file."""
        data = self._file.at(self._entries_at + ENTRY_BYTES * (split.offset + low), ENTRY_BYTES * (high - low))
        run = bisect.bisect_right(split.run_first, low) - 1
        shard, last = split.run_shard[run], _end_of_run(split, run)
        for number, (start, length, check) in enumerate(struct.iter_unpack("<III", data), low):
            while number >= last:
                run += 1
                shard, last = split.run_shard[run], _end_of_run(split, run)
            yield Entry(shard, start * TAR_BLOCK, (start + length) * TAR_BLOCK, check)


def write(
    path: Path,
    *,
    recipe: str,
    seed: int,
    shards: Sequence[tuple[str, int, str]],
    splits: Mapping[str, Mapping[str, NDArray[np.int64]]],
    block: int = BLOCK,
    pictures: str = IN_SHARDS,
) -> None:
    """Write an index atomically; equal arguments give equal bytes.

    Args:
        path: where to.
        recipe: name of the recipe.
        seed: of the shuffle of blocks.
        shards: path below the data directory, size in bytes and extension of the images of each physical shard.
        splits: for each split five int64 (n,), sorted by shard and start: ``shard``, the number in ``shards``;
            ``start`` and ``end`` in bytes, multiples of 512; ``repeat``, how often it comes in an epoch;
            ``check``, see ``checks.check_of``.
        block: samples that stay together when blocks are shuffled.
        pictures: ``source`` where the shards hold text alone; ``check`` is that of the sample with its picture.

    Raises:
        StreamError: an entry is not made of tar blocks, or lies outside its shard.
    """
    import numpy as np

    from biomedica_assets.lib.store import atomic

    offset = 0
    described: dict[str, dict[str, Any]] = {}
    tables: list[NDArray[np.uint32]] = []
    sizes = np.array([size for _, size, _ in shards], dtype=np.int64)
    for name, given in splits.items():
        low, high = given["start"], given["end"]
        if np.any(low % TAR_BLOCK) or np.any(high % TAR_BLOCK) or np.any(low >= high):
            raise StreamError(f"split {name} of {recipe}: a sample is not a run of whole tar blocks")
        if np.any(high > sizes[given["shard"]]):
            raise StreamError(f"split {name} of {recipe}: a sample ends behind its shard; make the shards again")
        order = _in_passes(given["repeat"])
        shard = given["shard"][order]
        first = np.flatnonzero(np.diff(shard, prepend=-1)) if len(shard) else np.zeros(0, dtype=np.int64)
        total = int((high - low)[order].sum())
        described[name] = {
            "offset": offset,
            "entries": len(order),
            "samples": len(low),
            "bytes": total,
            "virtual_shards": max(1, min(len(order), max(MIN_VIRTUAL_SHARDS, round(total / VIRTUAL_SHARD_BYTES)))),
            "run_first": first.tolist(),
            "run_shard": shard[first].tolist(),
        }
        table = np.empty((len(order), 3), dtype="<u4")
        table[:, 0] = low[order] // TAR_BLOCK
        table[:, 1] = (high - low)[order] // TAR_BLOCK
        table[:, 2] = given["check"][order]
        tables.append(table)
        offset += len(order)
    header: dict[str, Any] = {
        "recipe": recipe,
        "seed": seed,
        "block": block,
        "shards": list(shards),
        "splits": described,
    }
    if pictures != IN_SHARDS:
        header["pictures"] = pictures
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    with atomic.replacing(path) as temporary, temporary.open("wb") as handle:
        handle.write(MAGIC + struct.pack("<II", len(text), zlib.crc32(text)) + text)
        handle.write(b"\0" * (_aligned(handle.tell()) - handle.tell()))
        for table in tables:
            handle.write(table.tobytes())


def _say_that_it_is_read(file: int) -> None:
    """Hold an index while it is open, so that `biomedica gc` leaves it and its shards alone; the kernel lets go of it.

    The time of access is for gaps between one virtual shard and the next, in which nobody holds it.

    Raises:
        FileNotFoundError: it was removed while it was being opened.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_SH)
        status = os.fstat(file)
        if status.st_nlink == 0:
            raise FileNotFoundError(errno.ENOENT, "it was removed just now")
        os.utime(file, ns=(time.time_ns(), status.st_mtime_ns))
    except FileNotFoundError:
        raise
    except OSError:
        pass  # a file system without locks, or one that may only be read


def _in_passes(repeat: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions of the samples, all first repetitions, then all second ones, and so on."""
    import numpy as np

    most = int(repeat.max(initial=1))
    return np.concatenate([np.flatnonzero(repeat > n) for n in range(most)])


def _end_of_run(split: SplitIndex, run: int) -> int:
    return split.run_first[run + 1] if run + 1 < len(split.run_first) else split.entries


def _aligned(n: int) -> int:
    return -(-n // 8) * 8


def _split(raw: dict[str, Any]) -> SplitIndex:
    runs: dict[str, Any] = {name: tuple(raw[name]) for name in ("run_first", "run_shard")}
    return SplitIndex(**(raw | runs))
