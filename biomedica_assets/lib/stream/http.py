"""Physical shards behind HTTP or an S3 endpoint: range requests in flight ahead of the reader, retried, bounded.

An S3 bucket that anyone may read is plain HTTPS: ``s3://bucket/prefix`` is turned into its address. Another endpoint is
given as its ``http(s)://host/bucket/prefix``.
"""

from __future__ import annotations

import concurrent.futures
import http.client
import random
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple
from urllib.parse import quote, urljoin, urlsplit

from biomedica_assets.lib.stream.failures import StreamError
from biomedica_assets.lib.stream.index import ShardFile
from biomedica_assets.lib.stream.ranges import Range, check_head, check_size

LONGEST = 2 << 20
CONNECTIONS = 8
IN_FLIGHT = 16
"""Requests sent or waiting to be written: 16 of at most 2 MiB keep the process below 100 MB."""
GAP = 64 << 10
"""Bytes read and dropped rather than asked for around: below this a second request costs more than the bytes."""
TRIES = 6
TIMEOUT = 60.0
_REDIRECTS = 5
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 20.0
_RETRY_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_REDIRECT_STATUS = frozenset({301, 302, 303, 307, 308})


class _Request(NamedTuple):
    """One range request and the parts of its answer that are wanted."""

    shard: int
    start: int
    end: int
    parts: tuple[Range, ...]


class _Again(Exception):
    """The request failed in a way that may pass; ``wait`` is what the server asked for, in seconds."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class _Connections(threading.local):
    """Open connections of one thread, by scheme and host."""

    def __init__(self) -> None:
        self.connections: dict[tuple[str, str], http.client.HTTPConnection] = {}

    def drop(self) -> None:
        """Close them all: after a failure nobody knows what is still to come on them."""
        for connection in self.connections.values():
            connection.close()
        self.connections.clear()


class HttpShards:
    """Shards below an address."""

    longest = LONGEST

    def __init__(self, base: str, shards: Sequence[ShardFile], token: str | None = None) -> None:
        """Args: base: address below which the shards lie. shards: path and expected size. token: bearer token."""
        self._base, self._shards, self._token = web_address(base), shards, token
        self._here = _Connections()
        self._open: list[http.client.HTTPConnection] = []
        self._stopped = threading.Event()

    def read(self, ranges: Iterable[Range]) -> Iterator[memoryview]:
        """See ``Source.read``."""
        pool = concurrent.futures.ThreadPoolExecutor(CONNECTIONS)
        coming: deque[tuple[_Request, concurrent.futures.Future[memoryview]]] = deque()
        try:
            for request in _merged(ranges):
                coming.append((request, pool.submit(self._fetch, request)))
                if len(coming) >= IN_FLIGHT:
                    yield from self._parts(*coming.popleft())
            while coming:
                yield from self._parts(*coming.popleft())
        finally:
            self._stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            for connection in self._open:
                connection.close()

    def _parts(self, request: _Request, answer: concurrent.futures.Future[memoryview]) -> Iterator[memoryview]:
        data = answer.result()
        for part in request.parts:
            view = data[part.start - request.start : part.end - request.start]
            if part.head:
                check_head(view, self._name(request.shard), part.start)
            yield view

    def _fetch(self, request: _Request) -> memoryview:
        wait = _FIRST_WAIT
        for left in reversed(range(TRIES)):
            try:
                return self._attempt(request)
            except (_Again, OSError, http.client.HTTPException) as error:
                self._here.drop()
                if left == 0 or self._stopped.is_set():
                    raise StreamError(
                        f"cannot read {self._name(request.shard)} at byte {request.start:,}: "
                        f"{error or type(error).__name__} (tried {TRIES} times)"
                    ) from error
                asked = error.wait if isinstance(error, _Again) else 0.0
                # Half to full wait at random, so that many readers do not come back at once.
                self._stopped.wait(min(_LONGEST_WAIT, max(asked, wait * random.uniform(0.5, 1))))  # noqa: S311
                wait *= 2
        raise AssertionError("the last try returns or raises")

    def _attempt(self, request: _Request) -> memoryview:
        url = f"{self._base}/{quote(self._shards[request.shard].path)}"
        for _ in range(_REDIRECTS):
            answer = self._ask(url, request)
            if answer.status not in _REDIRECT_STATUS:
                return self._body(answer, request)
            url = urljoin(url, answer.getheader("Location", ""))
            answer.read()
        raise StreamError(f"{self._name(request.shard)}: more than {_REDIRECTS} redirects")

    def _ask(self, url: str, request: _Request) -> http.client.HTTPResponse:
        at = urlsplit(url)
        headers = {"Range": f"bytes={request.start}-{request.end - 1}", "Accept-Encoding": "identity"}
        if self._token and at[:2] == urlsplit(self._base)[:2]:  # never to where a redirect leads
            headers["Authorization"] = f"Bearer {self._token}"
        connection = self._connection(at.scheme, at.netloc)
        connection.request("GET", f"{at.path}?{at.query}" if at.query else at.path, headers=headers)
        return connection.getresponse()

    def _body(self, answer: http.client.HTTPResponse, request: _Request) -> memoryview:
        name = self._name(request.shard)
        if answer.status in _RETRY_STATUS:
            asked = answer.getheader("Retry-After", "")
            raise _Again(f"status {answer.status}", float(asked) if asked.isdigit() else 0.0)
        if answer.status != http.client.PARTIAL_CONTENT:
            hint = "the server does not answer ranges" if answer.status == http.client.OK else answer.reason
            raise StreamError(f"cannot read {name}: status {answer.status} ({hint})")
        total = answer.getheader("Content-Range", "").rpartition("/")[2]
        if total.isdigit():
            check_size(int(total), self._shards[request.shard].bytes, name)
        buffer = bytearray(request.end - request.start)
        view, got = memoryview(buffer), 0
        while got < len(view):
            n = answer.readinto(view[got:])
            if n == 0:
                raise _Again(f"{got:,} of {len(view):,} bytes came")
            got += n
        answer.read()
        return view

    def _connection(self, scheme: str, netloc: str) -> http.client.HTTPConnection:
        kept = self._here.connections
        if (scheme, netloc) not in kept:
            kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
            if scheme not in kinds:
                raise StreamError(f"{self._base}: redirected to an address of kind {scheme!r}")
            kept[scheme, netloc] = kinds[scheme](netloc, timeout=TIMEOUT)
            self._open.append(kept[scheme, netloc])
        return kept[scheme, netloc]

    def _name(self, shard: int) -> str:
        return f"{self._base}/{self._shards[shard].path}"


def web_address(base: str) -> str:
    """The ``http(s)://`` address of a base, without a slash at its end.

    Raises:
        StreamError: it is of no known kind.
    """
    scheme, _, rest = base.rstrip("/").partition("://")
    if scheme == "s3":
        bucket, _, prefix = rest.partition("/")
        # A dot in the name does not fit the certificate of *.s3.amazonaws.com.
        host = f"s3.amazonaws.com/{bucket}" if "." in bucket else f"{bucket}.s3.amazonaws.com"
        return f"https://{host}/{prefix}".rstrip("/")
    if scheme not in {"http", "https"} or not rest:
        raise StreamError(f"{base} is no address of shards; give a folder, http(s):// or s3://")
    return f"{scheme}://{rest}"


def _merged(ranges: Iterable[Range]) -> Iterator[_Request]:
    """Requests for the ranges: those less than ``GAP`` apart share one, up to ``LONGEST`` bytes."""
    parts: list[Range] = []
    for part in ranges:
        if parts:
            first, last = parts[0], parts[-1]
            near = part.shard == last.shard and 0 <= part.start - last.end <= GAP
            if not near or part.end - first.start > LONGEST:
                yield _Request(first.shard, first.start, last.end, tuple(parts))
                parts = []
        parts.append(part)
    if parts:
        yield _Request(parts[0].shard, parts[0].start, parts[-1].end, tuple(parts))
