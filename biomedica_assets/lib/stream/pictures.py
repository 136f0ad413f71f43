"""Samples without a copy of their pictures: text comes from the release, each picture from PubMed Central's bucket.

Belongs here: fetching pictures ahead of their turn, and putting samples together. The rules:

* ``in_flight`` pictures are asked for at once; they are handed on in the order of the recipe, whatever arrives first.
  Those that wait for their turn are bounded in number and in bytes, so memory does not grow with an epoch.
* A picture is the one that the release was made from or it is none: its SHA-256 is in the record of the sample. The
  sample that is put together has the check of the one in the shards: it is the same, bit for bit.
* What the bucket no longer has, or has with other content, is left out, named on standard error and counted. What
  arrives damaged is fetched again. A bucket that refuses, or has none of the pictures, ends the stream.
* ``shrink`` makes a picture whose shorter side is longer than that a JPEG of that side, before it is kept in a cache.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import io
import json
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, cast

from biomedica_assets.lib.stream.checks import Remote, check_of, named, split
from biomedica_assets.lib.stream.failures import StreamError
from biomedica_assets.lib.stream.headers import header, member_name, member_size
from biomedica_assets.lib.stream.index import TAR_BLOCK, Entry, ShardFile
from biomedica_assets.lib.stream.local import LocalShards
from biomedica_assets.lib.stream.ranges import Range

PMC = "s3://pmc-oa-opendata"
IN_FLIGHT = 64
AHEAD = 4
"""Pictures that are fetched or wait for their turn, for each one in flight: one that is slow holds up no others until
three rounds of them have come."""
AHEAD_BYTES = 128 << 20
TRIES = 3
QUALITY = 95
_EXTENSIONS = {"jpeg": "jpg", "tiff": "tif"}


@dataclasses.dataclass(frozen=True, slots=True)
class Lost:
    """A picture that cannot be had, and why."""

    why: str


class Source(Protocol):
    """Where pictures are."""

    @property
    def location(self) -> str:
        """For people."""
        ...

    def get(self, key: str) -> bytes | Lost:
        """Bytes of an object, as they came, or why there is none of that key. Called from several threads.

        Raises:
            StreamError: the source does not deliver, after all tries.
        """
        ...


class Text(NamedTuple):
    """What a release holds of a sample: its members but the picture, and what names and proves that."""

    entry: Entry
    members: bytes
    name: str
    key: str
    size: int
    sha256: str


@dataclasses.dataclass(slots=True)
class FromBucket:
    """Text of a release, wherever that lies, and pictures of a bucket.

    Attributes:
        texts: where the text is.
        pictures: where the pictures are.
        in_flight: pictures that are asked for at once.
        shrink: longest shorter side of a picture in pixels; None leaves all as they are.
        picture_bytes: bytes of pictures that came.
    """

    texts: LocalShards | Remote
    pictures: Source
    in_flight: int = IN_FLIGHT
    shrink: int | None = None
    picture_bytes: int = 0

    @property
    def fetched(self) -> int:
        """Bytes that came from afar, of text and pictures."""
        return int(getattr(self.texts, "fetched", 0)) + self.picture_bytes


class Assembled:
    """Samples put together of text and pictures; see ``checks.Checked``, whose place it takes."""

    def __init__(self, source: FromBucket, shards: Sequence[ShardFile], *, skip: bool = False) -> None:
        """Args: source: text and pictures. shards: the recipe's. skip: leave out a sample whose text is damaged."""
        self._source, self._shards, self._skip = source, shards, skip
        self.skipped = 0
        """Samples that were left out."""
        self._made = 0

    def read(self, entries: Iterable[Entry]) -> Iterator[tuple[Entry, memoryview]]:
        """Samples in order.

        Raises:
            StreamError: the text cannot be read, or the bucket refuses or has nothing.
        """
        for text, picture in self._with_pictures(self._texts(entries)):
            sample = self._sample(text, picture)
            if sample is not None:
                self._made += 1
                yield text.entry, memoryview(sample)
        if self.skipped and not self._made:
            raise StreamError(
                f"none of the {self.skipped:,} pictures could be had from {self._source.pictures.location}; name the "
                "bucket that has them with --source"
            )

    def anew(self, entry: Entry) -> memoryview | None:
        """One sample by itself; None if it is left out."""
        text = self._text(entry, self._again(entry))
        sample = self._sample(text, self._fetch(text))
        return None if sample is None else memoryview(sample)

    def _texts(self, entries: Iterable[Entry]) -> Iterator[Text]:
        for entry, view in split(self._source.texts, entries):
            data = bytes(view)
            try:
                text = self._text(entry, data)
            except StreamError:
                try:
                    text = self._text(entry, self._again(entry))
                except StreamError as error:
                    if not self._skip:
                        raise
                    self._leave_out(f"{error}; left out")
                    continue
            yield text

    def _text(self, entry: Entry, data: bytes) -> Text:
        try:
            name, length = member_name(data[:TAR_BLOCK]), member_size(data[:TAR_BLOCK])
            at = TAR_BLOCK + -(-length // TAR_BLOCK) * TAR_BLOCK
            size = member_size(data[at : at + TAR_BLOCK])
            record: Any = json.loads(data[at + TAR_BLOCK : at + TAR_BLOCK + size])
            kind = str(record["image_format"])
            stem = name.removesuffix(".txt")
            return Text(
                entry, data, f"{stem}.{_EXTENSIONS.get(kind, kind)}", str(record["source_key"]),
                int(record["image_bytes"]), str(record["sha256"]),
            )  # fmt: skip
        except (ValueError, KeyError, TypeError) as error:
            raise StreamError(
                f"the text of sample {named(data, entry)} of {self._shards[entry.shard].path} is damaged ({error}). "
                "Upload the release again, or leave such samples out with --skip-damaged"
            ) from error

    def _again(self, entry: Entry) -> bytes:
        wanted = Range(entry.shard, entry.start, entry.end)
        texts = self._source.texts
        if isinstance(texts, LocalShards):
            return texts.bytes_of(wanted.shard, wanted.start, wanted.end - wanted.start)
        return texts.once(wanted)

    def _with_pictures(self, texts: Iterable[Text]) -> Iterator[tuple[Text, bytes | Lost]]:
        """Each text with its picture, in order; later ones are under way meanwhile."""
        most, ahead = self._source.in_flight, 0
        waiting: deque[tuple[Text, concurrent.futures.Future[bytes | Lost]]] = deque()
        coming = iter(texts)
        pool = concurrent.futures.ThreadPoolExecutor(most, thread_name_prefix="pictures")
        try:
            text = next(coming, None)
            while text is not None or waiting:
                while text is not None and (
                    not waiting or (len(waiting) < AHEAD * most and ahead + text.size <= AHEAD_BYTES)
                ):
                    waiting.append((text, pool.submit(self._fetch, text)))
                    ahead += text.size
                    text = next(coming, None)
                first, future = waiting.popleft()
                found = future.result()
                ahead -= first.size
                self._source.picture_bytes += len(found) if isinstance(found, bytes) else 0
                yield first, found
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _fetch(self, text: Text) -> bytes | Lost:
        """The picture of a sample, verified. Runs in a thread of its own.

        Raises:
            StreamError: the bucket does not answer, refuses, or answers otherwise each time.
        """
        seen: set[str] = set()
        for _ in range(TRIES):
            data = self._source.pictures.get(text.key)
            if isinstance(data, Lost):
                return data
            digest = hashlib.sha256(data).hexdigest()
            if len(data) == text.size and digest == text.sha256:
                return data
            if digest in seen:  # twice the same: it is not the way that changes it
                return Lost(f"{text.key} has changed in the source since this release was made")
            seen.add(digest)
        raise StreamError(
            f"{text.key} arrives from {self._source.pictures.location} otherwise each of {TRIES} times; the network "
            "damages what it carries"
        )

    def _sample(self, text: Text, picture: bytes | Lost) -> bytes | None:
        key = text.name.partition(".")[0]
        if isinstance(picture, Lost):
            return self._leave_out(f"sample {key} left out: {picture.why}")
        sample = _joined(text, text.name, picture)
        if check_of(sample) != text.entry.check:
            # The picture is proven, so it is the text: once more, by itself.
            text = self._text(text.entry, self._again(text.entry))
            sample = _joined(text, text.name, picture)
            if check_of(sample) != text.entry.check:
                what = f"the text of sample {key} is not what was written, both times it was fetched"
                if self._skip:
                    return self._leave_out(f"{what}; left out")
                raise StreamError(f"{what}. Upload the release again, or leave such samples out with --skip-damaged")
        if self._source.shrink is None:
            return sample
        small = shrunk(picture, self._source.shrink)
        return sample if small is None else _joined(text, f"{key}.jpg", small)

    def _leave_out(self, what: str) -> None:
        self.skipped += 1
        print(f"biomedica stream: {what}", file=sys.stderr)  # noqa: T201 - standard error of a command


def _joined(text: Text, name: str, picture: bytes) -> bytes:
    return b"".join((header(name, len(picture)), picture, bytes(-len(picture) % TAR_BLOCK), text.members))


def shrunk(picture: bytes, side: int) -> bytes | None:
    """A picture as a JPEG whose shorter side is ``side`` pixels; None if its shorter side is no longer than that.

    What all stages see of it (``images.canonical``), reduced by averaging and a Lanczos filter. One that cannot be
    decoded stays as it is.
    """
    from PIL import Image

    from biomedica_assets.lib.images.canonical import FORMATS, open_canonical

    try:
        with Image.open(io.BytesIO(picture), formats=FORMATS) as opened:
            if min(opened.size) <= side:
                return None
        whole = open_canonical(picture, at_least=2 * side)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    scale = side / min(whole.size)
    size = cast("tuple[int, int]", tuple(max(1, round(n * scale)) for n in whole.size))
    small = whole.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return buffer.getvalue()
