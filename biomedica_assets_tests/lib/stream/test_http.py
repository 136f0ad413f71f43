"""Shards behind a loopback server: equal bytes, retries, redirects, and clear ends when it cannot work."""

from __future__ import annotations

import http.client
import itertools
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from biomedica_assets.lib.stream.addresses import web_address
from biomedica_assets.lib.stream.failures import StreamError
from biomedica_assets.lib.stream.http import LANES, HttpShards
from biomedica_assets.lib.stream.ranges import Range
from biomedica_assets.lib.stream.virtual import Selection
from biomedica_assets_tests.lib.stream.conftest import Physical, build
from biomedica_assets_tests.lib.stream.served import Handler, Trouble, never
from biomedica_assets_tests.lib.stream.test_virtual import tar_of


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


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (404, "status 404 .no such shard; --base must be the folder that has shards/ in it"),
        (403, "status 403 .the server refuses; give a token"),
        (401, "status 401 .give a token with --token-file"),
        (416, "status 416 .the shard ends before; build the recipe again"),
        (410, "status 410 .Gone"),
        (200, "does not answer ranges; use one that does"),
    ],
)
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


def test_a_shard_that_changes_while_it_is_read_is_refused(
    serve: Callable[[Physical, Trouble], str], tmp_path: Path
) -> None:
    """Of equal size, so that only its tag tells that members would be put together from two files."""

    def trouble(handler: Handler, n: int) -> bool:
        data, low, high = handler.wanted()
        span = {"Content-Range": f"bytes {low}-{high - 1}/{len(data)}"}
        handler.answer(206, data[low:high], span | {"ETag": '"one"' if low == 0 else '"two"'})
        return True

    physical = build(tmp_path, shards=1, samples=1, draw=lambda rng: bytes(100_000))
    shards = physical.index().shards
    source = HttpShards(serve(physical, trouble), shards)
    with pytest.raises(StreamError, match=r'000\.tar changed while it was read \("one" became "two"\)'):
        list(source.read([Range(0, 0, 512), Range(0, shards[0].bytes - 512, shards[0].bytes)]))


def test_weak_tags_may_differ(serve: Callable[[Physical, Trouble], str], physical: Physical) -> None:
    """They promise no equal bytes, and servers behind one address give different ones."""

    def trouble(handler: Handler, n: int) -> bool:
        data, low, high = handler.wanted()
        handler.answer(
            206, data[low:high], {"Content-Range": f"bytes {low}-{high - 1}/{len(data)}", "ETag": f'W/"{n}"'}
        )
        return True

    index = physical.index()
    assert tar_of(index, serve(physical, trouble), Selection(of=1)) == tar_of(index, physical.root, Selection(of=1))


def test_another_range_than_the_one_asked_for_is_refused(
    serve: Callable[[Physical, Trouble], str], physical: Physical
) -> None:
    def trouble(handler: Handler, n: int) -> bool:
        data, low, high = handler.wanted()
        handler.answer(206, data[: high - low], {"Content-Range": f"bytes 7-{high - low + 6}/{len(data)}"})
        return True

    with pytest.raises(StreamError, match="was asked for, 'bytes 7-"):
        tar_of(physical.index(), serve(physical, trouble), Selection(of=1))


def test_connections_open_one_by_one_as_answers_come(
    serve: Callable[[Physical, Trouble], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many readers that open all of theirs at once overflow a small server, whose kernel lets them wait a second."""
    opened: list[int] = []
    connect = http.client.HTTPConnection.connect

    def counted(self: http.client.HTTPConnection) -> None:
        opened.append(1)
        connect(self)

    monkeypatch.setattr(http.client.HTTPConnection, "connect", counted)
    physical = build(tmp_path, shards=1, samples=1, draw=lambda rng: bytes(1_600_000))
    ranges = [Range(0, low, low + 512) for low in range(0, 1_500_000, 100_000)]
    views = HttpShards(serve(physical, never), physical.index().shards).read(ranges)
    seen = [len(opened) for _ in views]
    assert seen[0] == 2
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(seen))
    assert seen[-1] == LANES
    assert len(seen) == len(ranges) > LANES


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
