"""Samples -> the bytes of a shard, with its digest and the place of every member.

Three things run side by side, because each releases the GIL: reading and checking images, writing, hashing the shard.
SHA-256 costs more than writing (a shard of 534 MB: written at 1.8 GB/s, at 0.95 with a digest in the same thread), and
here it is needed twice: of each image, which must be the one that was verified, and of the shard.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from biomedica_assets.lib.errors import Reject, RejectReason
from biomedica_assets.lib.shards import tar
from biomedica_assets.lib.shards.order import Planned, Sample
from biomedica_assets.lib.store import atomic

# Images are handed from thread to thread in batches of about this size: small beside memory, large beside the 0.1 ms
# that a hand-over costs. writev takes at most 1024 buffers (IOV_MAX), a sample has 9.
BATCH_BYTES, BATCH_SAMPLES = 8 * 2**20, 100
READERS, BATCHES_AHEAD = 2, 4
STAGE = "shards"
DIGEST_IN_NAME = 12

A = TypeVar("A")
B = TypeVar("B")


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One written sample: where its members lie, in bytes from the beginning of the shard."""

    sample: Sample
    start: int
    image_start: int
    txt_start: int
    json_start: int
    end: int


@dataclasses.dataclass(frozen=True, slots=True)
class Written:
    """A shard on the disk; ``path`` None if none of its samples could be read, then there is no file."""

    path: Path | None
    sha256: str
    bytes: int
    entries: tuple[Entry, ...]
    rejects: tuple[Reject, ...]


def write_shard(root: Path, planned: Planned, advance: Callable[[int], None] = lambda n: None) -> Written:
    """Write one shard to ``shards/<license group>/<name>-<digest>.tar``, atomically.

    The digest in the name makes the name as immutable as the bytes: a shard that a manifest names is never overwritten
    by another, so a reader of the old manifest keeps reading the old shard until it is removed.

    Args:
        root: the data directory.
        planned: what goes in.
        advance: told how many samples are done.

    Raises:
        StoreError: the disk cannot be written.
        OSError: an image is there but cannot be read.
    """
    folder = root / "shards" / planned.license_group
    digest = hashlib.sha256()
    entries: list[Entry] = []
    rejects: list[Reject] = []
    size = 0
    unnamed = folder / f"{planned.name}.tar"
    with (
        atomic.replacing(unnamed) as temporary,
        temporary.open("wb", buffering=0) as out,
        ThreadPoolExecutor(READERS) as readers,
        ThreadPoolExecutor(1) as hasher,
    ):
        hashing: collections.deque[Future[None]] = collections.deque()
        for batch in _ahead(readers, functools.partial(_read_all, root), _batches(planned.samples)):
            buffers: list[bytes] = []
            for sample, image in batch:
                if isinstance(image, Reject):
                    rejects.append(image)
                    continue
                entry = _place(sample, size)
                entries.append(entry)
                size = entry.end
                buffers += _members(sample, image)
            _write(out.fileno(), buffers)
            hashing.append(hasher.submit(_each, digest.update, buffers))
            if len(hashing) > BATCHES_AHEAD:
                hashing.popleft().result()
            advance(len(batch))
        _write(out.fileno(), [tar.END])
        for future in hashing:
            future.result()
    digest.update(tar.END)
    size += len(tar.END)
    if not entries:
        unnamed.unlink()
        return Written(None, digest.hexdigest(), 0, (), tuple(rejects))
    named = folder / f"{planned.name}-{digest.hexdigest()[:DIGEST_IN_NAME]}.tar"
    unnamed.replace(named)
    atomic.sync(folder)
    return Written(named, digest.hexdigest(), size, tuple(entries), tuple(rejects))


def _batches(samples: Iterable[Sample]) -> Iterator[list[Sample]]:
    part: list[Sample] = []
    size = 0
    for sample in samples:
        part.append(sample)
        size += sample.image_bytes
        if size >= BATCH_BYTES or len(part) == BATCH_SAMPLES:
            yield part
            part, size = [], 0
    if part:
        yield part


def _ahead(pool: ThreadPoolExecutor, fn: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
    """Results in order, computed a few items ahead of the consumer."""
    flying: collections.deque[Future[B]] = collections.deque()
    try:
        for item in items:
            flying.append(pool.submit(fn, item))
            if len(flying) >= BATCHES_AHEAD:
                yield flying.popleft().result()
        while flying:
            yield flying.popleft().result()
    finally:
        for future in flying:
            future.cancel()


def _read_all(root: Path, samples: Sequence[Sample]) -> list[tuple[Sample, bytes | Reject]]:
    return [(sample, _read(root, sample)) for sample in samples]


def _read(root: Path, sample: Sample) -> bytes | Reject:
    """The image, or why it is not what was verified."""
    try:
        with (root / sample.path).open("rb", buffering=0) as handle:
            data = handle.read()
    except FileNotFoundError:
        message = f"{sample.path} is gone from the mirror; materialise images again"
        return Reject(sample.article_id, STAGE, RejectReason.OBJECT_MISSING, message, sample.key)
    if hashlib.sha256(data).hexdigest() != sample.sha256:
        message = f"{sample.path} has changed since it was verified; materialise images again"
        return Reject(sample.article_id, STAGE, RejectReason.CHECKSUM_MISMATCH, message, sample.key)
    return data


def _place(sample: Sample, start: int) -> Entry:
    image_start = start + tar.BLOCK
    txt_start = start + tar.member_bytes(sample.image_bytes) + tar.BLOCK
    json_start = txt_start + tar.member_bytes(len(sample.txt))
    return Entry(sample, start, image_start, txt_start, json_start, start + sample.tar_bytes)


def _members(sample: Sample, image: bytes) -> list[bytes]:
    """Headers, data and padding of the three members; image first, so that a reader sees the format at once."""
    parts: list[bytes] = []
    for extension, data in ((sample.extension, image), ("txt", sample.txt), ("json", sample.json)):
        parts += (tar.header(f"{sample.key}.{extension}", len(data)), data, tar.padding(len(data)))
    return parts


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


def _each(update: Callable[[bytes], None], buffers: Sequence[bytes]) -> None:
    for buffer in buffers:
        update(buffer)
