"""Shards behind a loopback server: equal bytes, retries, redirects, and clear ends when it cannot work."""

from __future__ import annotations

import http.server
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from biomedica_assets.lib.stream import http as http_module
from biomedica_assets.lib.stream.failures import StreamError
from biomedica_assets.lib.stream.http import web_address
from biomedica_assets.lib.stream.virtual import Selection
from biomedica_assets_tests.lib.stream.conftest import Physical, build
from biomedica_assets_tests.lib.stream.test_virtual import tar_of

Trouble = Callable[["Handler", int], bool]


class Handler(http.server.BaseHTTPRequestHandler):
    """Range requests over a folder; ``trouble`` may answer first (and say so) to play a fault."""

    protocol_version = "HTTP/1.1"
    root: Path
    trouble: Trouble
    requests: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        self.requests.append((self.path, self.headers.get("Authorization")))
        if type(self).trouble(self, len(self.requests)):
            return
        data, low, high = self.wanted()
        self.answer(206, data[low:high], {"Content-Range": f"bytes {low}-{high - 1}/{len(data)}"})

    def wanted(self) -> tuple[bytes, int, int]:
        data = (self.root / self.path.lstrip("/").removeprefix("elsewhere/")).read_bytes()
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"])
        assert match
        return data, int(match[1]), int(match[2]) + 1

    def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Readers that hang up are part of the tests."""


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Physical, Trouble], str]]:
    monkeypatch.setattr(http_module, "_FIRST_WAIT", 0.001)
    servers: list[Server] = []

    def start(physical: Physical, trouble: Trouble) -> str:
        kind = type("Played", (Handler,), {"root": physical.root, "trouble": trouble, "requests": []})
        server = Server(("127.0.0.1", 0), kind)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def never(handler: Handler, n: int) -> bool:
    return False


def test_bytes_are_those_of_the_disk(serve: Callable[[Physical, Trouble], str], tmp_path: Path) -> None:
    """With gaps to read over, ranges to cut and several requests in flight."""
    physical = build(
        tmp_path, shards=2, samples=12, draw=lambda rng: rng.randbytes(rng.choice([100, 70_000, 3_000_000]))
    )
    index = physical.index(list(physical.where)[::2])
    base = serve(physical, never)
    assert tar_of(index, base, Selection(of=1)) == tar_of(index, tmp_path, Selection(of=1))


def test_busy_answers_and_cut_bodies_are_tried_again(
    serve: Callable[[Physical, Trouble], str], physical: Physical
) -> None:
    asked: Counter[tuple[str, str]] = Counter()

    def trouble(handler: Handler, n: int) -> bool:
        request = handler.path, handler.headers["Range"]
        asked[request] += 1
        if asked[request] == 1:
            handler.answer(503, b"slow down")
        elif asked[request] == 2:
            data, low, high = handler.wanted()
            handler.answer(206, data[low : (low + high) // 2], {"Content-Length": str(high - low)})
            handler.close_connection = True
        return asked[request] < 3

    index = physical.index()
    base = serve(physical, trouble)
    assert tar_of(index, base, Selection(of=1)) == tar_of(index, physical.root, Selection(of=1))


def test_a_server_that_stays_broken_ends_the_stream(
    serve: Callable[[Physical, Trouble], str], physical: Physical
) -> None:
    def trouble(handler: Handler, n: int) -> bool:
        handler.answer(500)
        return True

    with pytest.raises(StreamError, match=r"status 500 \(tried 6 times\)"):
        tar_of(physical.index(), serve(physical, trouble), Selection(of=1))


@pytest.mark.parametrize(("status", "says"), [(404, "status 404"), (200, "does not answer ranges")])
def test_what_cannot_get_better_is_not_tried_again(
    serve: Callable[[Physical, Trouble], str], physical: Physical, status: int, says: str
) -> None:
    def trouble(handler: Handler, n: int) -> bool:
        handler.answer(status)
        return True

    with pytest.raises(StreamError, match=says):
        tar_of(physical.index(), serve(physical, trouble), Selection(of=1))


def test_a_shard_of_another_size_is_refused(serve: Callable[[Physical, Trouble], str], physical: Physical) -> None:
    index = physical.index()
    with (physical.root / "shards/000.tar").open("ab") as handle:
        handle.write(bytes(512))
    with pytest.raises(StreamError, match="build the recipe again"):
        tar_of(index, serve(physical, never), Selection(of=1))


def test_redirects_are_followed_and_take_no_token_elsewhere(
    serve: Callable[[Physical, Trouble], str], physical: Physical
) -> None:
    """A gated repository sends its readers on to a storage host with an address of its own."""
    from biomedica_assets.lib.stream.virtual import chunks, open_source

    seen: list[str | None] = []

    def store(handler: Handler, n: int) -> bool:
        seen.append(handler.headers.get("Authorization"))
        return False

    storage = serve(physical, store)

    def gate(handler: Handler, n: int) -> bool:
        if handler.headers.get("Authorization") != "Bearer secret":
            handler.answer(401)
        else:
            handler.answer(302, headers={"Location": f"{storage}/elsewhere{handler.path}"})
        return True

    index = physical.index()
    pieces = chunks(index, open_source(index, serve(physical, gate), "secret"), Selection(of=1))
    assert b"".join(bytes(p) for p in pieces) == tar_of(index, physical.root, Selection(of=1))
    assert set(seen) == {None}


def test_bucket_addresses() -> None:
    assert web_address("s3://some-bucket/a/b/") == "https://some-bucket.s3.amazonaws.com/a/b"
    assert web_address("s3://dotted.bucket/a") == "https://s3.amazonaws.com/dotted.bucket/a"
    assert web_address("http://localhost:9000/bucket/") == "http://localhost:9000/bucket"
    with pytest.raises(StreamError, match="no address"):
        web_address("ftp://host/x")
