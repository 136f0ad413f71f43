"""Samples -> the bytes of a shard, with its digest and the place of every member.

Hashing the shard costs more than writing it (534 MB in memory: written at 1.8 GB/s, at 0.95 with SHA-256 in the same
thread), so it runs beside the writing; both release the GIL. That an image is still the one that was verified is told
by size and CRC-32, since a second SHA-256 would cost as much as the first. The check runs beside the writing, too: a
shard with a wrong image in it is thrown away before it has a name, and written again without the image.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import os
import zlib
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from biomedica_assets.lib.errors import Reject, RejectReason
from biomedica_assets.lib.shards import tar
from biomedica_assets.lib.shards.order import Planned, Sample
from biomedica_assets.lib.store import atomic

# Written and handed to the hashing thread in batches of about this size: small enough to be in the cache still, large
# beside the 0.1 ms that a hand-over costs. writev takes at most 1024 buffers (IOV_MAX), a sample has 3.
BATCH_BYTES, BATCH_SAMPLES = 2**20, 300
# Batches that may wait to be hashed, which bounds memory.
BATCHES_BEHIND = 8
STAGE = "shards"
DIGEST_IN_NAME = 12


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One written sample: where its members lie, in bytes from the beginning of the shard, and the check of its bytes.

    ``check`` is the CRC-32 of the image XOR that of all other bytes, see ``lib.stream.checks``.
    """

    sample: Sample
    start: int
    image_start: int
    txt_start: int
    json_start: int
    end: int
    check: int


@dataclasses.dataclass(frozen=True, slots=True)
class Written:
    """A shard on the disk; ``path`` None if none of its samples could be read, then there is no file."""

    path: Path | None
    sha256: str
    bytes: int
    entries: tuple[Entry, ...]
    rejects: tuple[Reject, ...]


def write_shard(
    root: Path, planned: Planned, advance: Callable[[int], None] = lambda n: None, below: str = "shards"
) -> Written:
    """Write one shard to ``<below>/<license group>/<name>-<digest>.tar``, atomically.

    The digest in the name makes the name as immutable as the bytes: a shard that a manifest names is never overwritten
    by another, and a recipe that was made from the old one goes on reading it.

    Args:
        root: the data directory.
        planned: what goes in.
        advance: told how many samples are done.
        below: folder of the data directory.

    Raises:
        StoreError: the disk cannot be written.
        OSError: an image is there but cannot be read.
    """
    folder = root / below / planned.license_group
    unnamed = folder / f"{planned.name}.tar"
    try:
        with atomic.replacing(unnamed) as temporary, _Shard(root, temporary, advance) as shard:
            for sample in planned.samples:
                shard.add(sample)
            shard.finish()
    except _ChangedImages as changed:
        again = write_shard(root, _without(planned, changed.samples), below=below)
        return dataclasses.replace(again, rejects=(*map(_changed, changed.samples), *again.rejects))
    digest = shard.digest.hexdigest()
    if not shard.entries:
        unnamed.unlink()
        return Written(None, digest, 0, (), tuple(shard.rejects))
    named = folder / f"{planned.name}-{digest[:DIGEST_IN_NAME]}.tar"
    unnamed.replace(named)
    atomic.sync(folder)
    return Written(named, digest, shard.size, tuple(shard.entries), tuple(shard.rejects))


class _ChangedImages(Exception):
    """Images were written whose bytes are not those that were verified; nothing of the shard can be kept."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        super().__init__(f"{len(samples)} changed images")
        self.samples = samples


class _Shard:
    """A shard being written: batches go to the file in this thread, then to the digest in another."""

    def __init__(self, root: Path, path: Path, advance: Callable[[int], None]) -> None:
        self.digest = hashlib.sha256()
        self.size = 0
        self.entries: list[Entry] = []
        self.rejects: list[Reject] = []
        self._root, self._advance = root, advance
        self._out = path.open("wb", buffering=0)
        self._hasher = ThreadPoolExecutor(1)
        self._behind: collections.deque[Future[None]] = collections.deque()
        self._buffers: list[bytes] = []
        self._images: list[tuple[Sample, bytes]] = []
        self._buffered = 0
        self._changed: list[Sample] = []

    def __enter__(self) -> _Shard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._out.close()
        self._hasher.shutdown(cancel_futures=True)

    def add(self, sample: Sample) -> None:
        """Append a sample, or reject it if its image is gone or of another size."""
        image = _read(self._root, sample)
        if isinstance(image, Reject):
            self.rejects.append(image)
            self._advance(1)
            return
        members = _members(sample, image)
        entry = _place(sample, self.size, _check_of(sample, members))
        self.entries.append(entry)
        self.size = entry.end
        self._buffers += members
        self._images.append((sample, image))
        self._buffered += len(image)
        if self._buffered >= BATCH_BYTES or len(self._images) == BATCH_SAMPLES:
            self._flush()

    def finish(self) -> None:
        """Write the end, wait for the digest.

        Raises:
            _ChangedImages: what was written is not what was verified.
        """
        self._buffers.append(tar.END)
        self.size += len(tar.END)
        self._flush()
        while self._behind:
            self._behind.popleft().result()
        if self._changed:
            raise _ChangedImages(self._changed)

    def _flush(self) -> None:
        _write(self._out.fileno(), self._buffers)
        self._behind.append(self._hasher.submit(self._check, self._buffers, self._images))
        self._advance(len(self._images))
        self._buffers, self._images, self._buffered = [], [], 0
        if len(self._behind) > BATCHES_BEHIND:
            self._behind.popleft().result()

    def _check(self, buffers: Sequence[bytes], images: Sequence[tuple[Sample, bytes]]) -> None:
        for buffer in buffers:
            self.digest.update(buffer)
        self._changed += [sample for sample, image in images if not _is_verified(sample, image)]


def _is_verified(sample: Sample, image: bytes) -> bool:
    """Whether the bytes are those that were verified: by CRC-32 where it is known, else by SHA-256."""
    if sample.crc32 is None:
        return hashlib.sha256(image).hexdigest() == sample.sha256
    return zlib.crc32(image) == sample.crc32


def _without(planned: Planned, samples: Collection[Sample]) -> Planned:
    left_out = {sample.key for sample in samples}
    return dataclasses.replace(planned, samples=tuple(s for s in planned.samples if s.key not in left_out))


def _read(root: Path, sample: Sample) -> bytes | Reject:
    """The image, or why it cannot be the one that was verified."""
    try:
        with (root / sample.path).open("rb", buffering=0) as handle:
            data = handle.read()
    except FileNotFoundError:
        message = f"{sample.path} is gone from the mirror; materialise images again"
        return Reject(sample.article_id, STAGE, RejectReason.OBJECT_MISSING, message, sample.key)
    return data if len(data) == sample.image_bytes else _changed(sample)


def _changed(sample: Sample) -> Reject:
    message = f"{sample.path} has changed since it was verified; materialise images again"
    return Reject(sample.article_id, STAGE, RejectReason.CHECKSUM_MISMATCH, message, sample.key)


def _check_of(sample: Sample, members: tuple[bytes, bytes, bytes]) -> int:
    """The check of a sample's bytes; the CRC-32 of its image is known, and told apart if it is not that one."""
    head, image, rest = members
    known = zlib.crc32(image) if sample.crc32 is None else sample.crc32
    return known ^ zlib.crc32(rest, zlib.crc32(head))


def _place(sample: Sample, start: int, check: int) -> Entry:
    image_start = start + tar.BLOCK
    txt_start = start + tar.member_bytes(sample.image_bytes) + tar.BLOCK
    json_start = txt_start + tar.member_bytes(len(sample.txt))
    return Entry(sample, start, image_start, txt_start, json_start, start + sample.tar_bytes, check)


def _members(sample: Sample, image: bytes) -> tuple[bytes, bytes, bytes]:
    """Header of the image, the image, and everything else in one piece; the image itself is never copied."""
    rest = [tar.padding(len(image))]
    for extension, data in (("txt", sample.txt), ("json", sample.json)):
        rest += (tar.header(f"{sample.key}.{extension}", len(data)), data, tar.padding(len(data)))
    return tar.header(f"{sample.key}.{sample.extension}", len(image)), image, b"".join(rest)


def _write(descriptor: int, buffers: Sequence[bytes]) -> None:
    """Write all buffers; writev may stop early (at 2 GiB, at a signal, on a nearly full disk)."""
    if not buffers:
        return
    total = sum(map(len, buffers))
    written = os.writev(descriptor, buffers)
    if written < total:
        rest = memoryview(b"".join(buffers))
        while written < total:
            written += os.write(descriptor, rest[written:])
