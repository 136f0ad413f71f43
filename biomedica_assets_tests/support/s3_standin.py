"""A read-only S3 on loopback over a directory, which fails on request.

GET and HEAD of objects and of ranges of them, ListObjectsV2 with prefix, delimiter and continuation; path style, one
bucket, which anyone may read unless it has ``accounts``: then objects are for signed addresses.
Faults are planned per key: the first requests for it meet the faults in order, later ones are served well.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import re
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Literal
from xml.sax.saxutils import escape

from aiohttp import web

from biomedica_assets_tests.support.signatures import Account, refusal

Fault = Literal["503", "500", "429", "403", "404", "hang", "reset", "truncate", "corrupt"]
PAGE = 1000


@dataclasses.dataclass
class S3StandIn:
    """Use as a context manager; ``endpoint`` is what a client connects to.

    Attributes:
        root: directory whose files are the objects; read anew for every request.
        bucket: name of the bucket.
        faults: key -> faults of its next requests, None for none, consumed from the left; change it while the server
            runs. A listing has the key ``?<prefix>`` and knows only faults with a status.
        storm: fails a request with 503 when it says so; called with the number of requests now in flight.
        before: called with the key before an object is served, for example to change the object.
        on_the_way: makes of key, offset and bytes the bytes that arrive.
        delay: seconds that every answer takes.
        accounts: access key -> who may read; without any, everyone may.
        region: said to those whose requests are of another.
        refused: why requests were refused.
        requests: how often each key was asked for.
        most_in_flight: highest number of simultaneous requests seen.
    """

    root: Path
    bucket: str = "pmc-oa-opendata"
    faults: dict[str, list[Fault | None]] = dataclasses.field(default_factory=dict)
    storm: Callable[[int], bool] | None = None
    before: Callable[[str], None] | None = None
    on_the_way: Callable[[str, int, bytes], bytes] = lambda key, start, data: data
    delay: float = 0.0
    requests: Counter[str] = dataclasses.field(default_factory=Counter)
    most_in_flight: int = 0
    accounts: dict[str, Account] = dataclasses.field(default_factory=dict)
    region: str = "us-east-1"
    refused: Counter[str] = dataclasses.field(default_factory=Counter)
    endpoint: str = ""

    def __enter__(self) -> S3StandIn:
        """Start serving in a thread of its own."""
        self._in_flight = 0
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(ready,), daemon=True)
        self._thread.start()
        if not ready.wait(300):
            raise RuntimeError("the S3 stand-in did not start")
        return self

    def __exit__(self, *_: object) -> None:
        """Stop and free the port."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)

    def forget(self) -> None:
        """Set the counts back to zero."""
        self.requests.clear()
        self.most_in_flight = 0

    def _serve(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._main(ready))
        self._loop.close()

    async def _main(self, ready: threading.Event) -> None:
        self._stop = asyncio.Event()
        app = web.Application()
        app.router.add_get(f"/{self.bucket}/{{key:.*}}", self._object)
        app.router.add_get(f"/{self.bucket}", self._list)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _object(self, request: web.Request) -> web.StreamResponse:
        key = request.match_info["key"]
        if not key:
            return await self._list(request)
        self.requests[key] += 1
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            if self.accounts and (no := self._refusal(request)) is not None:
                self.refused[no] += 1
                status = 400 if no == "AuthorizationQueryParametersError" else 403
                return _error(status, no, {"x-amz-bucket-region": self.region})
            if self.storm and self.storm(self._in_flight):
                await asyncio.sleep(0.002)
                return _error(503, "SlowDown")
            await asyncio.sleep(self.delay)
            return await self._answer(request, key)
        finally:
            self._in_flight -= 1

    def _refusal(self, request: web.Request) -> str | None:
        said = request.query.get("X-Amz-Credential", f"//{self.region}").split("/")[2]
        if said != self.region:
            return "AuthorizationQueryParametersError"
        return refusal(request.method, f"{self.endpoint}{request.raw_path}", self.accounts)

    async def _answer(self, request: web.Request, key: str) -> web.StreamResponse:
        fault = self.faults[key].pop(0) if self.faults.get(key) else None
        if self.before:
            self.before(key)
        path = self.root / key
        if fault == "404" or not path.is_file():
            return _error(404, "NoSuchKey")
        if fault and fault.isdigit():
            return _error(int(fault), {"503": "SlowDown", "403": "AccessDenied"}.get(fault, "InternalError"))
        if fault == "hang":
            await asyncio.sleep(30)
        data = path.read_bytes()
        headers = {"ETag": f'"{hashlib.md5(data).hexdigest()}"', "Last-Modified": "Fri, 20 Nov 2026 01:02:03 GMT"}
        if fault == "corrupt":
            data = bytes([data[0] ^ 1]) + data[1:]
        status, whole, start = 200, len(data), 0
        if span := re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range", "")):
            start = int(span[1])
            status, data = 206, data[start : int(span[2]) + 1]
            headers["Content-Range"] = f"bytes {start}-{start + len(data) - 1}/{whole}"
        data = self.on_the_way(key, start, data)
        if fault in {"truncate", "reset"}:
            response = web.StreamResponse(status=status, headers={**headers, "Content-Length": str(len(data))})
            await response.prepare(request)
            await response.write(data[: len(data) // 2])
            assert request.transport is not None
            if fault == "reset":
                request.transport.abort()
            else:
                request.transport.close()
            return response
        return web.Response(status=status, body=data, headers=headers, content_type="binary/octet-stream")

    async def _list(self, request: web.Request) -> web.Response:
        query = request.query
        prefix, delimiter, after = (
            query.get("prefix", ""),
            query.get("delimiter", ""),
            query.get("continuation-token", ""),
        )
        self.requests[f"?{prefix}"] += 1
        if planned := self.faults.get(f"?{prefix}"):
            return _error(int(planned.pop(0)), "SlowDown")
        entries = sorted({self._entry(key, prefix, delimiter) for key in self._keys() if key.startswith(prefix)})
        page = [entry for entry in entries if entry > after][:PAGE]
        more = bool(page) and page[-1] != entries[-1]
        body = "".join(
            f"<CommonPrefixes><Prefix>{escape(entry)}</Prefix></CommonPrefixes>"
            if delimiter and entry.endswith(delimiter)
            else f"<Contents><Key>{escape(entry)}</Key><LastModified>2026-11-20T01:02:03.000Z</LastModified>"
            f"<ETag>&quot;0&quot;</ETag><Size>{(self.root / entry).stat().st_size}</Size></Contents>"
            for entry in page
        )
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        xml = (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{self.bucket}</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(page)}</KeyCount>"
            f"<MaxKeys>{PAGE}</MaxKeys><IsTruncated>{str(more).lower()}</IsTruncated>{token}{body}</ListBucketResult>"
        )
        return web.Response(text=xml, content_type="application/xml")

    def _keys(self) -> list[str]:
        return [path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file()]

    @staticmethod
    def _entry(key: str, prefix: str, delimiter: str) -> str:
        head, found, _ = key.removeprefix(prefix).partition(delimiter) if delimiter else (key, "", "")
        return prefix + head + found if found else key


def _error(status: int, code: str, headers: dict[str, str] | None = None) -> web.Response:
    text = f"<Error><Code>{code}</Code></Error>"
    return web.Response(status=status, text=text, headers=headers, content_type="application/xml")
