"""Samples kept on the disk beside training, up to a limit: what was fetched once is not fetched in the next epoch.

A file for each sample, in one of ``FOLDERS`` folders. Its name is made of the shard (whose name holds its digest), the
place in it and the check, so that it never means anything else; its bytes are checked at each reading, and a file that
fails is taken away and fetched anew. Several processes share a cache without talking: files appear whole, the longest
unused ones go first, and each process looks again at a folder after it has added a 64th of the folder's share to it.
Shares are cut so that eight processes stay within the limit together.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from biomedica_assets.lib.stream.checks import matches
from biomedica_assets.lib.stream.failures import StreamError
from biomedica_assets.lib.stream.index import Entry

FOLDERS = 16
_FULL, _EMPTIED, _LOOK_AGAIN = 7 / 8, 3 / 4, 1 / 64
_CRC = 4
UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


class SampleCache:
    """A folder with samples of at most ``limit`` bytes together."""

    def __init__(self, folder: Path, limit: int, variant: str = "") -> None:
        """Open a folder.

        Args:
            folder: made if it is not there.
            limit: bytes.
            variant: what was done to samples before they are kept, such as a size; one folder holds all variants.
                The check of the shards says nothing of a sample that was changed: it is kept with a CRC-32 of its own.

        Raises:
            StreamError: the folder cannot be written.
        """
        self.hits = 0
        self._variant = variant
        self._share = limit // FOLDERS
        self._folders = [folder / f"{number:x}" for number in range(FOLDERS)]
        self._size: dict[Path, int] = {}
        self._added: dict[Path, int] = {}
        try:
            for one in self._folders:
                one.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StreamError(f"cannot make the cache {folder}: {error.strerror}; name another with --cache") from error

    def has(self, shard: str, entry: Entry) -> bool:
        """Whether the sample is here, looked at or not."""
        return self._path(shard, entry).exists()

    def get(self, shard: str, entry: Entry) -> bytes | None:
        """The sample, if it is here as it was written."""
        path = self._path(shard, entry)
        try:
            data = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        kept = data[:-_CRC] if self._variant else data
        good = data[-_CRC:] == _crc(kept) if self._variant else matches(entry, data)
        if not good:
            path.unlink(missing_ok=True)
            return None
        self.hits += 1
        return kept

    def put(self, shard: str, entry: Entry, data: memoryview) -> None:
        """Keep a sample that was checked; a full disk costs the cache, not the stream."""
        path = self._path(shard, entry)
        folder = path.parent
        data = memoryview(bytes(data) + _crc(data)) if self._variant else data
        if len(data) > self._share // 8:
            return
        if folder not in self._size or self._added[folder] > self._share * _LOOK_AGAIN:
            self._look(folder)
        if self._size[folder] + len(data) > self._share * _FULL:
            self._look(folder)
            self._make_room(folder)
        draft = folder / f".{path.name}.{os.getpid()}"
        try:
            draft.write_bytes(data)
            draft.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            return
        self._size[folder] += len(data)
        self._added[folder] += len(data)

    def _look(self, folder: Path) -> None:
        self._size[folder] = sum(size for _, size, _ in _files(folder))
        self._added[folder] = 0

    def _make_room(self, folder: Path) -> None:
        for _, size, path in sorted(_files(folder)):
            if self._size[folder] <= self._share * _EMPTIED:
                return
            path.unlink(missing_ok=True)
            self._size[folder] -= size

    def _path(self, shard: str, entry: Entry) -> Path:
        text = f"{shard}:{entry.start}:{entry.end}:{entry.check}{self._variant}"
        name = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        return self._folders[int(name[0], 16)] / name[1:]


def _crc(data: bytes | memoryview) -> bytes:
    return zlib.crc32(data).to_bytes(_CRC, "little")


class Fetches(Protocol):
    """What fetches samples: ``checks.Checked`` and ``pictures.Assembled``."""

    def read(self, entries: Iterable[Entry]) -> Iterator[tuple[Entry, memoryview]]:
        """Samples in order."""
        ...

    def anew(self, entry: Entry) -> memoryview | None:
        """One sample by itself; None if it is left out."""
        ...


def cached(
    checked: Fetches, cache: SampleCache, shards: Iterable[str], entries: Iterable[Entry]
) -> Iterator[tuple[Entry, memoryview]]:
    """Samples in order, from the cache where they are there; the others are fetched ahead and kept.

    Args:
        checked: fetches.
        cache: keeps.
        shards: names of the shards.
        entries: which samples.

    Raises:
        StreamError: see ``Checked.read``.
    """
    names = list(shards)
    order: deque[tuple[Entry, bool]] = deque()

    def missing() -> Iterator[Entry]:
        for entry in entries:
            there = cache.has(names[entry.shard], entry)
            order.append((entry, there))
            if not there:
                yield entry

    def before(fetched: Entry | None) -> Iterator[tuple[Entry, memoryview]]:
        """What comes before a sample that was fetched; those that were left out are passed over."""
        while order and order[0][0] != fetched:
            entry, there = order.popleft()
            if there:
                # Another process may have made room meanwhile.
                data = cache.get(names[entry.shard], entry) or checked.anew(entry)
                if data is not None:
                    yield entry, memoryview(data)

    for entry, sample in checked.read(missing()):
        yield from before(entry)
        order.popleft()
        cache.put(names[entry.shard], entry, sample)
        yield entry, sample
    yield from before(None)


def bytes_of(text: str) -> int:
    """A size such as ``20GB``, ``500 MB`` or ``1000``.

    Raises:
        ValueError: it is none.
    """
    number, unit = text.strip().upper().removesuffix("B").strip(), ""
    if number and number[-1] in UNITS:
        number, unit = number[:-1], number[-1]
    size = int(float(number) * UNITS[unit])
    if size <= 0:
        raise ValueError(f"{text} is no size")
    return size


def _files(folder: Path) -> list[tuple[float, int, Path]]:
    found: list[tuple[float, int, Path]] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                status = entry.stat()
                found.append((status.st_mtime, status.st_size, Path(entry.path)))
    return found
