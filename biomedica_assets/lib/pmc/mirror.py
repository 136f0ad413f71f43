"""The local mirror: objects of articles, each verified against the MD5 of the metadata before it is stored.

``mirror/<shelf>/<thousand>/<article_id>/<name>`` below the data directory, for example
``mirror/PMC012/0340/PMC12340123.1/gr1.jpg``: no folder gets more than some thousand entries.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import unquote

from biomedica_assets.lib import chunks
from biomedica_assets.lib.errors import Reject, RejectReason
from biomedica_assets.lib.pmc.ledger import Ledger, Verified
from biomedica_assets.lib.pmc.metadata import MetadataRefused, read_metadata
from biomedica_assets.lib.pmc.names import safe_name
from biomedica_assets.lib.pmc.source import KeyRefused, ObjectMissing, PmcSource, SourceError
from biomedica_assets.lib.progress import SILENT, Progress
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.store.lake import Lake

FOLDER = "mirror"
# Writing waits for the disk to confirm; this many files are confirmed at once.
WRITERS = 8


class Wanted(Protocol):
    """What ``Mirror.ensure`` needs to know of an object."""

    @property
    def article_id(self) -> str:
        """Article version it belongs to."""
        ...

    @property
    def key(self) -> str:
        """Key in the source, below the article's prefix."""
        ...

    @property
    def md5(self) -> str:
        """MD5 of its bytes, as the article's metadata says."""
        ...


W = TypeVar("W", bound=Wanted)


@dataclasses.dataclass(frozen=True, slots=True)
class MirrorObject:
    """The plainest ``Wanted``."""

    article_id: str
    key: str
    md5: str


class Mirror:
    """Brings objects of a source to this disk.

    Attributes:
        fetched: objects stored by this instance.
        fetched_bytes: their size.
        present: objects that were there already.
    """

    def __init__(self, lake: Lake, source: PmcSource, *, stage: str = "images", rehash: bool = False) -> None:
        """Open the mirror.

        Args:
            lake: the data directory.
            source: where objects come from.
            stage: asset whose rejects these are.
            rehash: hash files that are there instead of trusting their size and time.
        """
        self._root = lake.root / FOLDER
        self._source = source
        self._stage = stage
        self._rehash = rehash
        self._ledgers: dict[tuple[str, str], Ledger] = {}
        self._changed: dict[str, dict[str, str]] = {}
        self._swept: set[str] = set()
        self.fetched = self.fetched_bytes = self.present = 0

    def path(self, wanted: Wanted) -> Path:
        """Where an object lies, or will lie.

        Raises:
            KeyRefused: its key is not below its article's prefix.
        """
        prefix = f"{wanted.article_id}/"
        if not wanted.key.startswith(prefix) or wanted.key == prefix:
            raise KeyRefused(wanted.key, f"key {wanted.key[:200]!r} is not below {prefix}")
        return self._root.joinpath(*_place(wanted), wanted.article_id, safe_name(wanted.key.removeprefix(prefix)))

    def verified(self, wanted: Wanted) -> Verified | None:
        """Size and MD5 of an object that lies here verified, else None.

        The MD5 is another than ``wanted.md5`` if the source had changed the object after its metadata was read.
        """
        path = self.path(wanted)
        return self._ledger(wanted).find(_name(path), path, wanted.md5)

    def ensure(self, objects: Iterable[W], progress: Progress = SILENT) -> Iterator[tuple[W, Path | Reject]]:
        """Bring every object here; what is here already and right is not fetched.

        Bytes that do not match their MD5 are fetched once more, and the article's metadata is read once more in case
        the object changed; bytes that match neither are a reject (``CHECKSUM_MISMATCH``) and are not stored.

        Args:
            objects: what is wanted; an object named twice is yielded once.
            progress: told about each object.

        Yields:
            Each object with its path, or with the reject; in any order.

        Raises:
            StoreError: the disk cannot be written.
        """
        distinct = list(dict.fromkeys(objects))
        progress.start(f"fetch for {self._stage}", len(distinct), "objects")
        ready: deque[tuple[W, Path | Reject]] = deque()
        for one in self._bring(distinct, ready):
            yield one
            progress.advance()
        progress.finish()

    def _bring(self, objects: list[W], ready: deque[tuple[W, Path | Reject]]) -> Iterator[tuple[W, Path | Reject]]:
        again: list[W] = []
        with concurrent.futures.ThreadPoolExecutor(WRITERS, thread_name_prefix="mirror") as pool:
            writing: deque[tuple[W, str, concurrent.futures.Future[Path]]] = deque()
            for wanted, answer in self._source.get_many(self._lacking(objects, ready), lambda one: one.key):
                data = self._decoded(wanted, answer)
                if isinstance(data, SourceError):
                    ready.append((wanted, self._reject(wanted, data)))
                elif (md5 := _md5(data)) == wanted.md5:
                    writing.append((wanted, md5, pool.submit(self._write, wanted, data)))
                else:
                    again.append(wanted)
                while len(writing) > 2 * WRITERS:
                    ready.append(self._written(*writing.popleft()))
                while ready:
                    yield ready.popleft()
            while writing:
                ready.append(self._written(*writing.popleft()))
            for wanted, answer in self._source.get_many(again, lambda one: one.key):
                ready.append((wanted, self._second_try(wanted, self._decoded(wanted, answer))))
        while ready:
            yield ready.popleft()

    def _lacking(self, objects: Iterable[W], ready: deque[tuple[W, Path | Reject]]) -> Iterator[W]:
        """Objects that must be fetched; the others go to ``ready``."""
        for wanted in objects:
            try:
                path = self.path(wanted)
            except KeyRefused as error:
                ready.append((wanted, self._reject(wanted, error)))
                continue
            if self._is_here(wanted, path):
                self.present += 1
                ready.append((wanted, path))
            else:
                if wanted.article_id not in self._swept:
                    # What a kill left behind; nothing of this article is being written yet.
                    atomic.sweep(path.parent)
                    self._swept.add(wanted.article_id)
                yield wanted

    def _is_here(self, wanted: Wanted, path: Path) -> bool:
        ledger = self._ledger(wanted)
        if not self._rehash and ledger.find(_name(path), path, wanted.md5):
            return True
        try:
            with path.open("rb") as handle:
                md5 = hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        except (FileNotFoundError, NotADirectoryError):
            return False
        if md5 == wanted.md5:
            ledger.add(_name(path), path, wanted.md5, md5)
        return md5 == wanted.md5

    def _decoded(self, wanted: Wanted, answer: bytes | SourceError) -> bytes | SourceError:
        """The answer, or that for the percent-decoded key if the source has no object under the key as it stands."""
        if not isinstance(answer, ObjectMissing) or (decoded := unquote(wanted.key)) == wanted.key:
            return answer
        try:
            return self._source.get(decoded)
        except SourceError:
            return answer

    def _second_try(self, wanted: Wanted, data: bytes | SourceError) -> Path | Reject:
        if isinstance(data, SourceError):
            return self._reject(wanted, data)
        md5, now = _md5(data), self._md5_now(wanted)
        if md5 in {wanted.md5, now}:
            return self._written(wanted, md5, self._write(wanted, data))[1]
        stated = wanted.md5 if now in {None, wanted.md5} else f"{wanted.md5}, now {now}"
        message = f"{wanted.key} has MD5 {md5} ({len(data):,} bytes) at the second try, the metadata says {stated}"
        return Reject(wanted.article_id, self._stage, RejectReason.CHECKSUM_MISMATCH, message, wanted.key)

    def _md5_now(self, wanted: Wanted) -> str | None:
        """MD5 that the article's metadata JSON gives for the object now, None if it does not name it any more."""
        if wanted.article_id not in self._changed:
            objects: dict[str, str] = {}
            try:
                data = self._source.get(f"metadata/{wanted.article_id}.json")
                metadata = read_metadata(data, wanted.article_id, self._source.buckets)
            except (SourceError, MetadataRefused):
                pass  # then the MD5 that was asked for is the only one that counts
            else:
                objects = {one.key: one.md5 for one in (*metadata.media, *([metadata.xml] if metadata.xml else []))}
            self._changed[wanted.article_id] = objects
        return self._changed[wanted.article_id].get(wanted.key)

    def _write(self, wanted: Wanted, data: bytes) -> Path:
        path = self.path(wanted)
        atomic.write_bytes(path, data)
        return path

    def _written(self, wanted: W, md5: str, path: Path | concurrent.futures.Future[Path]) -> tuple[W, Path | Reject]:
        path = path if isinstance(path, Path) else path.result()
        entry = self._ledger(wanted).add(_name(path), path, wanted.md5, md5)
        self.fetched += 1
        self.fetched_bytes += entry.size
        return wanted, path

    def _reject(self, wanted: Wanted, error: SourceError) -> Reject:
        reason = RejectReason.FETCH_FAILED
        if isinstance(error, ObjectMissing):
            reason = RejectReason.OBJECT_MISSING
        elif isinstance(error, KeyRefused):
            reason = RejectReason.UNSAFE_NAME
        return Reject(wanted.article_id, self._stage, reason, str(error), wanted.key)

    def _ledger(self, wanted: Wanted) -> Ledger:
        place = _place(wanted)
        if place not in self._ledgers:
            self._ledgers[place] = Ledger(self._root / ".verified" / place[0] / f"{place[1]}.jsonl")
        return self._ledgers[place]


def _place(wanted: Wanted) -> tuple[str, str]:
    """Shelf and thousand of an article."""
    pmcid, _ = chunks.parse_article_id(wanted.article_id)
    return chunks.shelf_of(pmcid), f"{pmcid % chunks.SHELF_SPAN // 1000:04d}"


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
