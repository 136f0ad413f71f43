"""Physical shards behind HTTP or an S3 endpoint: range requests ahead of the reader on several connections, retried.

No threads: each of up to ``LANES`` connections has one request out, and while one answer is read the others arrive in
the kernel's buffers. Bytes go from the socket through one buffer to the reader, so memory does not grow with anything.
Measured on loopback, 25 % of the samples: a pool of eight threads took 3.7 times as long (they fight for one
interpreter lock).

Connections open one by one as answers come. Eight at once, from each of several readers, overflow the queue of new
connections of a small server (five in Python's ``socketserver``); the kernel then drops some and tries again a second
later, which made 880 MB on loopback take 1.6 seconds instead of 0.8, and 3.8 instead of 1.2 in four processes.

An S3 bucket is plain HTTPS: ``s3://bucket/prefix`` is turned into its address, which ``s3`` signs where the environment
has credentials.
"""

from __future__ import annotations

import functools
import http.client
import random
import ssl
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple
from urllib.parse import quote, urljoin, urlsplit

from biomedica_assets.lib.stream import s3
from biomedica_assets.lib.stream.addresses import web_address
from biomedica_assets.lib.stream.failures import StreamError
from biomedica_assets.lib.stream.index import ShardFile
from biomedica_assets.lib.stream.ranges import Range, check_size

LONGEST = 8 << 20
"""From a server that paces each connection at 60 MB/s and answers after 30 ms, all samples come at 227 MB/s with
16 MiB, 286 with 8, 282 with 4, 230 with 2 (one connection: 58)."""
LANES, LANES_AT_FIRST = 8, 2
LANES_OF_SMALL, SMALL = 32, 16 << 20
"""More connections than ``LANES`` while less than ``SMALL`` bytes are under way: a random quarter is one request for
each sample of some 200 kB, and eight of them would not fill a long way."""
GAP, GAPS = 64 << 10, 0.03
"""Bytes read and dropped rather than asked for around: below this a second request costs more than the bytes. All of
them together may be this part of what is wanted, so that a quarter of a release costs a quarter."""
UNKNOWN = -1
"""Size of a file that only the server knows."""
TRIES = 6
TIMEOUT = 60.0
_BUFFER = 1 << 20
_REDIRECTS = 5
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 20.0
_RETRY_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_REDIRECT_STATUS = frozenset({301, 302, 303, 307, 308})
_WAY_OUT = {
    200: "the server does not answer ranges; use one that does, such as nginx, caddy or an S3 endpoint",
    401: "give a token with --token-file, or for hf:// in HF_TOKEN",
    403: "the server refuses; give a token with --token-file, or make the shards readable",
    404: "no such shard; --base must be the folder that has shards/ in it, and the shards must have been sent there",
    416: "the shard ends before; build the recipe again, or send the shard again",
}


class _Request(NamedTuple):
    """One range request and the parts of its answer that are wanted."""

    shard: int
    start: int
    end: int
    parts: tuple[Range, ...]


class _AgainError(Exception):
    """The request failed in a way that may pass; ``wait`` is what the server asked for, in seconds."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class Lane:
    """One place for a request under way, with its connection."""

    def __init__(self) -> None:
        self.connection: http.client.HTTPConnection | None = None
        self.at = ("", "")
        self.answer: http.client.HTTPResponse | None = None

    def send(self, url: str, headers: dict[str, str]) -> None:
        """Send a request; the answer is not waited for."""
        there = urlsplit(url)
        if self.connection is None or self.at != (there.scheme, there.netloc):
            self.drop()
            if there.scheme not in {"http", "https"}:
                raise StreamError(f"redirected to an address of kind {there.scheme!r}; only http and https are read")
            self.connection = (
                http.client.HTTPSConnection(there.netloc, timeout=TIMEOUT, context=_tls())
                if there.scheme == "https"
                else http.client.HTTPConnection(there.netloc, timeout=TIMEOUT)
            )
            self.at = (there.scheme, there.netloc)
        self.connection.request("GET", f"{there.path}?{there.query}" if there.query else there.path, headers=headers)

    def receive(self) -> http.client.HTTPResponse:
        """Wait for the head of the answer."""
        if self.connection is None:
            raise _AgainError("the connection was closed")
        self.answer = self.connection.getresponse()
        return self.answer

    def drop(self) -> None:
        """Close the connection: after a failure nobody knows what is still to come on it."""
        if self.answer is not None:
            self.answer.close()
        if self.connection is not None:
            self.connection.close()
        self.connection = self.answer = None


@functools.cache
def _tls() -> ssl.SSLContext:
    """One for all connections: reading the certificates of the system takes 16 ms each time."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


class HttpShards:
    """Shards below an address."""

    longest = LONGEST

    def __init__(self, base: str, shards: Sequence[ShardFile], token: str | None = None) -> None:
        """Args: base: address below which the shards lie. shards: the recipe's shards. token: bearer token."""
        self._place, self._base, self._shards, self._token = base, web_address(base), shards, token
        self._signed = s3.signed(base)
        self._moved: dict[int, str] = {}
        self._tags: dict[int, str] = {}
        self._buffer = memoryview(bytearray(_BUFFER))
        self._totals: dict[int, int] = {}
        self.fetched = 0
        """Bytes of shards that came, wanted or not, also those that came in vain."""

    def read(self, ranges: Iterable[Range]) -> Iterator[memoryview]:
        """See ``Source.read``; the views share one buffer of 1 MiB."""
        free = deque(Lane() for _ in range(LANES_AT_FIRST))
        under_way: deque[tuple[_Request, Lane]] = deque()
        made = len(free)
        try:
            for request in _merged(ranges):
                if not free:
                    yield from self._parts(*under_way[0])
                    free.append(under_way.popleft()[1])
                    small = sum(r.end - r.start for r, _ in under_way) < SMALL
                    if made < (LANES_OF_SMALL if small else LANES):
                        free.append(Lane())
                        made += 1
                self._ask_early(free[0], request)
                under_way.append((request, free.popleft()))
            while under_way:
                yield from self._parts(*under_way[0])
                free.append(under_way.popleft()[1])
        finally:
            for lane in (*free, *(lane for _, lane in under_way)):
                lane.drop()

    def once(self, wanted: Range) -> bytes:
        """Bytes of one range over a connection of its own, while ``read`` goes on with others."""
        other = HttpShards(self._place, self._shards, self._token)
        data = b"".join(bytes(view) for view in other.read([wanted]))
        self.fetched += other.fetched
        return data

    def _ask_early(self, lane: Lane, request: _Request) -> None:
        """Send a request ahead of its turn; what fails now is tried again when its turn comes."""
        try:
            lane.send(self._url(request.shard), self._headers(self._url(request.shard), request.start, request.end))
        except (OSError, http.client.HTTPException):
            lane.drop()

    def _parts(self, request: _Request, lane: Lane) -> Iterator[memoryview]:
        """The wanted bytes of a request whose turn has come, what lies between its parts left out."""
        position, parts = request.start, deque(request.parts)
        for view in self._body(request, lane):
            end = position + len(view)
            while parts and parts[0].start < end:
                part = parts[0]
                yield view[max(part.start, position) - position : min(part.end, end) - position]
                if part.end > end:
                    break
                parts.popleft()
            position = end

    def body(self, shard: int, start: int, end: int, lane: Lane) -> Iterator[memoryview]:
        """Bytes of one range over a connection that stays open."""
        return self._body(_Request(shard, start, end, ()), lane, sent=False)

    def total(self, shard: int) -> int:
        """Size of a shard of which something was read.

        Raises:
            StreamError: the server does not tell it.
        """
        if shard not in self._totals:
            raise StreamError(f"{self._name(shard)}: the server does not say how long it is; use one that does")
        return self._totals[shard]

    def tag(self, shard: int) -> str:
        """``ETag`` of a shard of which something was read; empty if there was none, or a weak one."""
        return self._tags.get(shard, "")

    def _body(self, request: _Request, lane: Lane, *, sent: bool = True) -> Iterator[memoryview]:
        """All bytes of a request; after a failure the rest is asked for again."""
        position, left, wait, asked = request.start, TRIES, _FIRST_WAIT, sent
        while True:
            try:
                if not asked or lane.connection is None:
                    lane.send(self._url(request.shard), self._headers(self._url(request.shard), position, request.end))
                asked = False
                answer = self._answer(request.shard, position, request.end, lane)
                while position < request.end:
                    n = answer.readinto(self._buffer[: min(_BUFFER, request.end - position)])
                    if n == 0:
                        raise _AgainError(f"{request.end - position:,} bytes did not come")
                    position, left, wait = position + n, TRIES, _FIRST_WAIT
                    self.fetched += n
                    yield self._buffer[:n]
                answer.read()
                return
            except (_AgainError, OSError, http.client.HTTPException) as error:
                lane.drop()
                self._moved.pop(request.shard, None)
                left -= 1
                if left == 0:
                    raise StreamError(
                        f"cannot read {self._name(request.shard)} at byte {position:,}: "
                        f"{error or type(error).__name__} (tried {TRIES} times); start again when the server answers"
                    ) from error
                asked_for = error.wait if isinstance(error, _AgainError) else 0.0
                # Half to full wait at random, so that many readers do not come back at once.
                time.sleep(min(_LONGEST_WAIT, max(asked_for, wait * random.uniform(0.5, 1))))  # noqa: S311
                wait *= 2

    def _answer(self, shard: int, start: int, end: int, lane: Lane) -> http.client.HTTPResponse:
        """The head of the answer, redirects followed and remembered."""
        url = self._url(shard)
        for _ in range(_REDIRECTS):
            answer = lane.receive()
            if answer.status not in _REDIRECT_STATUS:
                self._check(answer, shard, start)
                return answer
            if not (where := answer.getheader("Location", "")):  # S3 says so of a bucket of another region
                self._check(answer, shard, start)
            answer.read()
            url = urljoin(url, where)
            self._moved[shard] = url
            lane.send(url, self._headers(url, start, end))
        raise StreamError(f"{self._name(shard)}: more than {_REDIRECTS} redirects")

    def _check(self, answer: http.client.HTTPResponse, shard: int, start: int) -> None:
        if answer.status in _RETRY_STATUS:
            after = answer.getheader("Retry-After", "")
            raise _AgainError(f"status {answer.status}", float(after) if after.isdigit() else 0.0)
        if answer.status == http.client.OK and start == 0 and self._shards[shard].bytes == UNKNOWN:
            # Small files that the Hub keeps in git come whole whatever is asked for.
            self._totals[shard] = int(answer.getheader("Content-Length", "0"))
            return
        if answer.status != http.client.PARTIAL_CONTENT:
            if shard in self._moved:  # a signed address that has run out: ask at the first one again
                raise _AgainError(f"status {answer.status} where a redirect led")
            if self._signed and self._signed.forget(self._shards[shard].path):
                raise _AgainError(f"status {answer.status} of an address that was signed before")
            hint = _WAY_OUT.get(answer.status, answer.reason)
            if self._place.startswith(s3.SCHEME):
                region = answer.getheader("x-amz-bucket-region")
                hint = s3.way_out(answer.status, region, signing=self._signed is not None) or hint
            raise StreamError(f"cannot read {self._name(shard)}: status {answer.status} ({hint})")
        span, _, total = answer.getheader("Content-Range", "").partition("/")
        if total.isdigit():
            self._totals[shard] = int(total)
            if self._shards[shard].bytes != UNKNOWN:
                check_size(int(total), self._shards[shard].bytes, self._name(shard))
        if span and not span.startswith(f"bytes {start}-"):
            raise StreamError(f"{self._name(shard)}: byte {start:,} was asked for, {span!r} was answered")
        tag = answer.getheader("ETag", "")
        if tag.startswith('"') and self._tags.setdefault(shard, tag) != tag:  # weak ones do not promise equal bytes
            raise StreamError(
                f"{self._name(shard)} changed while it was read ({self._tags[shard]} became {tag}); "
                "build the recipe again"
            )

    def _url(self, shard: int) -> str:
        if (moved := self._moved.get(shard)) is not None:
            return moved
        path = self._shards[shard].path
        return self._signed.url(path) if self._signed else f"{self._base}/{quote(path)}"

    def _headers(self, url: str, start: int, end: int) -> dict[str, str]:
        headers = {"Range": f"bytes={start}-{end - 1}", "Accept-Encoding": "identity"}
        if self._token and urlsplit(url)[:2] == urlsplit(self._base)[:2]:  # never to where a redirect leads
            headers["Authorization"] = f"Bearer {self._token}"
        return headers

    def _name(self, shard: int) -> str:
        return f"{self._base}/{self._shards[shard].path}"


def _merged(ranges: Iterable[Range]) -> Iterator[_Request]:
    """Requests for the ranges, up to ``LONGEST`` bytes: those with little between them share one."""
    parts: list[Range] = []
    wanted = dropped = 0
    for part in ranges:
        wanted += part.end - part.start
        if parts:
            first, last = parts[0], parts[-1]
            gap = part.start - last.end
            near = part.shard == last.shard and 0 <= gap <= GAP and dropped + gap <= GAPS * wanted
            if near and part.end - first.start <= LONGEST:
                dropped += gap
            else:
                yield _Request(first.shard, first.start, last.end, tuple(parts))
                parts = []
        parts.append(part)
    if parts:
        yield _Request(parts[0].shard, parts[0].start, parts[-1].end, tuple(parts))
