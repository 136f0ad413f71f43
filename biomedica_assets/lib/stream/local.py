"""Physical shards on this machine: positioned reads into one buffer, with the next ranges announced to the kernel."""

from __future__ import annotations

import os
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from biomedica_assets.lib.stream.failures import StreamError
from biomedica_assets.lib.stream.index import ShardFile
from biomedica_assets.lib.stream.ranges import Range, check_size

LONGEST = 1 << 20
AHEAD = 32
"""Ranges announced ahead of the one being read. Cold disk, 25 % of the samples: 0.62 of the time of reading everything
with 32, 1.22 without any (facts/baselines.md section 3)."""
_OPEN_FILES = 64


class LocalShards:
    """Shards below a folder."""

    longest = LONGEST

    def __init__(self, root: Path, shards: Sequence[ShardFile]) -> None:
        """Args: root: the data directory. shards: path below it and expected size of each shard."""
        self._root, self._shards = root, shards
        self._files: OrderedDict[int, int] = OrderedDict()

    def read(self, ranges: Iterable[Range]) -> Iterator[memoryview]:
        """See ``Source.read``; the views share one buffer of ``LONGEST`` bytes."""
        buffer = memoryview(bytearray(LONGEST))
        coming: deque[Range] = deque()
        try:
            for wanted in ranges:
                self._announce(wanted)
                coming.append(wanted)
                if len(coming) > AHEAD:
                    yield self._bytes(coming.popleft(), buffer)
            while coming:
                yield self._bytes(coming.popleft(), buffer)
        finally:
            for file in self._files.values():
                os.close(file)
            self._files.clear()

    def _announce(self, wanted: Range) -> None:
        if hasattr(os, "posix_fadvise"):  # macOS has none and reads ahead by itself
            os.posix_fadvise(self._file(wanted.shard), wanted.start, wanted.end - wanted.start, os.POSIX_FADV_WILLNEED)

    def _bytes(self, wanted: Range, buffer: memoryview) -> memoryview:
        path, file = self._root / self._shards[wanted.shard].path, self._file(wanted.shard)
        view, got = buffer[: wanted.end - wanted.start], 0
        try:
            while got < len(view):
                n = os.preadv(file, [view[got:]], wanted.start + got)
                if n == 0:
                    raise StreamError(f"{path} ends before byte {wanted.end:,}; build the recipe again")
                got += n
        except OSError as error:
            raise StreamError(f"cannot read {path} at byte {wanted.start + got:,}: {error.strerror}") from error
        return view

    def _file(self, shard: int) -> int:
        if shard in self._files:
            self._files.move_to_end(shard)
            return self._files[shard]
        path = self._root / self._shards[shard].path
        try:
            file = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise StreamError(f"cannot open the shard {path}: {error.strerror}. Materialise shards again.") from error
        self._files[shard] = file
        check_size(os.fstat(file).st_size, self._shards[shard].bytes, str(path))
        if len(self._files) > _OPEN_FILES:
            os.close(self._files.popitem(last=False)[1])
        return file
