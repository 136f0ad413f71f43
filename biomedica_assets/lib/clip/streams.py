"""Samples of virtual shards in a loader worker: read, opened again where they broke, counted, in seeded disorder.

A virtual shard is the standard output of a command (``pipe:…`` of a WebDataset pattern). Its tar is read here, in 6
microseconds a sample, rather than by webdataset and ``tarfile``, which take 45 for formats, links and owners that no
virtual shard has (measured on 4 096 samples of 17 kB); and a stream that stops between two members, which ``tarfile``
takes for its end, is an error here.
"""

from __future__ import annotations

import contextlib
import io
import random
import shlex
import subprocess
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import IO, Any, Protocol, cast

from PIL import Image

from biomedica_assets.lib.errors import BiomedicaError
from biomedica_assets.lib.images.canonical import FORMATS, canonical, is_plain

PIPE = "pipe:"
_BLOCK = 512
_BUFFER = 1 << 20
_REGULAR = (b"0", b"\0")
IMAGES = ("jpg", "jpeg", "png", "webp")
"""Members that open_clip_train 3.3 takes for a sample's image (``filter_no_caption_or_no_image``)."""
ENCODED = "png"
"""What an image is encoded as again where open_clip would not read it, or would see another picture than all others."""
OTHERS = ("gif", "tif", "tiff", "bmp")
"""Members that are images as well, of which open_clip_train drops the sample."""
WANTED = frozenset((*IMAGES, *OTHERS, "txt"))
"""What training uses of a sample; the rest is passed over, and webdataset has no JSON to decode."""

Sample = dict[str, Any]
"""``__key__``, ``__url__`` and the bytes of the members by extension."""
Reader = Callable[[str], Iterator[Sample]]
"""Samples of the stream of a URL."""


class Telling(Protocol):
    """Where events go."""

    def write(self, **event: Any) -> None:
        """Append one event."""
        ...


class StreamsBroken(BiomedicaError):
    """More virtual shards than the limit could not be read."""


class StreamBroken(BiomedicaError):
    """A stream is not a whole tar, or its command failed."""


def read(url: str) -> Iterator[Sample]:
    """Samples of the tar that a command writes; the command is started at once, whenever the first is asked for.

    Args:
        url: ``pipe:`` and a command line as ``shlex.join`` makes it; it is run without a shell.

    Raises:
        StreamBroken: it ends before the end of the tar, is none, or the command fails, even after its last byte.
    """
    command = shlex.split(url.removeprefix(PIPE))
    if not url.startswith(PIPE) or not command:
        raise StreamBroken(f"{url} is not a command behind {PIPE!r}")
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, bufsize=_BUFFER)
    except OSError as error:
        raise StreamBroken(f"cannot start {command[0]}: {error.strerror}") from error
    return _Started(process, url)


class _Started(Iterator[Sample]):
    """Samples of a command that runs; ``close`` ends it, also if none was asked for."""

    def __init__(self, process: subprocess.Popen[bytes], url: str) -> None:
        self._process, self._url = process, url
        self._samples = self._read()

    def __next__(self) -> Sample:
        return next(self._samples)

    def close(self) -> None:
        """End the command, which may have more to say."""
        self._samples.close()
        self._process.terminate()
        cast("IO[bytes]", self._process.stdout).close()
        self._process.wait()

    def _read(self) -> Generator[Sample]:
        output = cast("IO[bytes]", self._process.stdout)
        try:
            yield from grouped(members(output), self._url)
            while output.read(_BUFFER):
                pass  # what writes on after the end of its tar (zeros of a whole record) would die of a closed pipe
            if code := self._process.wait():
                raise StreamBroken(f"the command ended with {code}; the log of the run has what it said")
        finally:
            # A reader that has enough for its epoch leaves before the end.
            self._process.terminate()
            output.close()
            self._process.wait()


def members(stream: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    """Name and data of each member of a ustar archive, up to the two empty blocks that end it.

    Raises:
        StreamBroken: it ends before them, or something else than a regular file stands where a member should.
    """
    while True:
        header = _exactly(stream, _BLOCK)
        if header.count(0) == _BLOCK:
            if _exactly(stream, _BLOCK).count(0) != _BLOCK:
                raise StreamBroken("something follows a single empty block")
            return
        if header[257:262] != b"ustar" or header[156:157] not in _REGULAR:
            raise StreamBroken("there is no header of a regular file where a member should start")
        try:
            name, prefix = (header[part].split(b"\0", 1)[0].decode() for part in (slice(0, 100), slice(345, 500)))
            size = int(header[124:136].rstrip(b"\0 ") or b"0", 8)
        except ValueError as error:
            raise StreamBroken(f"the header of a member is damaged ({error})") from error
        data = _exactly(stream, size)
        _exactly(stream, -size % _BLOCK)
        yield f"{prefix}/{name}" if prefix else name, data


def _exactly(stream: IO[bytes], n: int) -> bytes:
    data = stream.read(n)
    if len(data) < n:
        raise StreamBroken("the stream ends before the end of the tar")
    return data


def as_others_see_it(sample: Sample) -> Sample:
    """The sample with an image of which open_clip sees the canonical picture.

    Most are as they were: a JPEG or PNG in grey or sRGB, upright, without transparency, costs a look at its header. Any
    other, and every gif, tiff and bmp, becomes a PNG of the canonical picture; ``__encoded__`` then names the member
    that it was. An image that cannot be decoded stays: open_clip leaves its sample out and says so.
    """
    extension = next((name for name in (*IMAGES, *OTHERS) if name in sample), None)
    if extension is None:
        return sample
    try:
        with Image.open(io.BytesIO(sample[extension]), formats=FORMATS) as image:
            if extension in IMAGES and is_plain(image):
                return sample
            picture = canonical(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return sample
    buffer = io.BytesIO()
    picture.save(buffer, ENCODED, compress_level=0)  # read again in this process: room costs less than time
    kept = {name: value for name, value in sample.items() if name != extension}
    return {**kept, ENCODED: buffer.getvalue(), "__encoded__": extension}


def grouped(found: Iterable[tuple[str, bytes]], url: str) -> Iterator[Sample]:
    """Neighbouring members of one key as a sample: the key is the name up to the first dot of its last part."""
    sample: Sample = {}
    for name, data in found:
        dot = name.find(".", name.rfind("/") + 1)
        key, extension = (name[:dot], name[dot + 1 :].lower()) if dot >= 0 else (name, "")
        if sample.get("__key__") != key or extension in sample:
            if sample:
                yield sample
            sample = {"__key__": key, "__url__": url}
        if extension in WANTED:
            sample[extension] = data
    if sample:
        yield sample


def samples_of_streams(
    urls: Iterable[str], reader: Reader, *, retries: int, most_broken: int, events: Telling
) -> Iterator[Sample]:
    """Samples of each stream in turn; a stream that breaks off is opened again and its first samples skipped.

    A virtual shard gives the same bytes each time, so skipping what was already used loses and repeats nothing.

    Raises:
        StreamsBroken: more than ``most_broken`` streams of this process stayed broken.
    """
    broken = 0
    coming = iter(urls)
    url, ahead = next(coming, None), _Ahead(reader)
    try:
        while url is not None:
            following, used = next(coming, None), 0
            for attempt in range(retries + 1):
                try:
                    for position, sample in enumerate(ahead.take(url)):
                        ahead.start(following)
                        if position >= used:
                            used += 1
                            yield as_others_see_it(sample)
                    break
                except (OSError, StreamBroken) as error:
                    last = attempt == retries
                    events.write(kind="broken" if last else "retry", stream=url, error=str(error)[:500])
                    if last:
                        broken += 1
                        if broken > most_broken:
                            raise StreamsBroken(
                                f"{broken} virtual shards could not be read; the last: {error}"
                            ) from error
            url = following
    finally:
        ahead.close()


class _Ahead:
    """The stream that is read, and the one after it, started while the first gives samples.

    What comes from afar takes its time to begin; started early, it is there when its turn comes.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._url: str | None = None
        self._next: Iterator[Sample] | None = None
        self._now: Iterator[Sample] | None = None

    def start(self, url: str | None) -> None:
        """Start a stream, if it is not started; one that cannot be is left for its turn."""
        if url is None or url == self._url:
            return
        self._url = url
        with contextlib.suppress(OSError, StreamBroken):
            self._next = self._reader(url)

    def take(self, url: str) -> Iterator[Sample]:
        """The stream that was started, or another of the same address; the one before it is ended."""
        _close(self._now)
        started, self._next = (self._next, None) if url == self._url else (None, self._next)
        self._now = self._reader(url) if started is None else started
        return self._now

    def close(self) -> None:
        """End what runs."""
        _close(self._now)
        _close(self._next)


def _close(stream: object) -> None:
    close = getattr(stream, "close", None)
    if close is not None:
        close()


def shuffled(samples: Iterable[Sample], size: int, seed: str) -> Iterator[Sample]:
    """The samples in seeded disorder, ``size`` of them in memory once the buffer has grown to that.

    The first comes when a fifth is there, and two are read for each one given until the buffer is full: an epoch
    begins after 1 000 samples rather than 5 000 (those are open_clip_train's numbers). webdataset's own buffer is
    seeded by the clock, so no run could be repeated with it.
    """
    rng = random.Random(seed)  # noqa: S311 - disorder, not secrecy
    buffer: list[Sample] = []
    coming, least = iter(samples), max(1, size // 5)
    for sample in coming:
        buffer.append(sample)
        if len(buffer) < least:
            continue
        if len(buffer) < size and (another := next(coming, None)) is not None:
            buffer.append(another)
        last = len(buffer) - 1
        chosen = rng.randint(0, last)
        buffer[chosen], buffer[last] = buffer[last], buffer[chosen]
        yield buffer.pop()
    rng.shuffle(buffer)
    yield from buffer
