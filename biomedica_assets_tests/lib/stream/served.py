"""Shards behind a loopback server that can be told to fail."""

from __future__ import annotations

import http.server
import re
import zlib
from collections.abc import Callable
from pathlib import Path

Trouble = Callable[["Handler", int], bool]


class Handler(http.server.BaseHTTPRequestHandler):
    """Range requests over a folder; ``trouble`` may answer first (and say so) to play a fault."""

    protocol_version = "HTTP/1.1"
    root: Path
    trouble: Trouble
    requests: list[tuple[str, str | None]]
    sent: list[int]

    def do_GET(self) -> None:
        self.requests.append((self.path, self.headers.get("Authorization")))
        if type(self).trouble(self, len(self.requests)):
            return
        if not self.file().is_file():
            self.answer(404)
            return
        data, low, high = self.wanted()
        high = min(high, len(data))
        headers = {"Content-Range": f"bytes {low}-{high - 1}/{len(data)}", "ETag": f'"{zlib.crc32(data):x}"'}
        self.answer(206, data[low:high], headers)

    def file(self) -> Path:
        return self.root / self.path.lstrip("/").removeprefix("elsewhere/")

    def wanted(self) -> tuple[bytes, int, int]:
        data = self.file().read_bytes()
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"])
        assert match
        return data, int(match[1]), int(match[2]) + 1

    def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.sent.append(len(body))

    def log_message(self, *_: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Readers that hang up are part of the tests."""


def never(handler: Handler, n: int) -> bool:
    return False
