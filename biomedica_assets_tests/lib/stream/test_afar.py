"""A release that lies elsewhere: its recipes are found, nothing but what is wanted is fetched, and that only once."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from biomedica_assets.lib.stream import afar
from biomedica_assets.lib.stream import http as http_module
from biomedica_assets.lib.stream.addresses import web_address
from biomedica_assets.lib.stream.afar import RemoteFile, index_path, open_index
from biomedica_assets.lib.stream.cache import SampleCache, bytes_of
from biomedica_assets.lib.stream.failures import StreamError
from biomedica_assets.lib.stream.index import Index
from biomedica_assets.lib.stream.virtual import Selection, chunks, open_source
from biomedica_assets_tests.lib.stream.conftest import Physical, build, keys_in_order
from biomedica_assets_tests.lib.stream.served import Handler, Trouble, never
from biomedica_assets_tests.lib.stream.test_virtual import tar_of
from biomedica_assets_tests.support.hub import WRITER, Hub

Serve = Callable[[Physical, Trouble], str]
ALL = Selection(of=1)


def published(physical: Physical, **recipes: list[str]) -> Physical:
    """The folder of the shards as a release: indexes where one has them, and a manifest."""
    for name, keys in recipes.items():
        (physical.root / index_path(name)).parent.mkdir(exist_ok=True)
        physical.index(keys).path.replace(physical.root / index_path(name))
    files = [{"path": path.relative_to(physical.root).as_posix()} for path in physical.root.rglob("*.*")]
    (physical.root / "MANIFEST.json").write_text(json.dumps({"files": files}))
    return physical


@pytest.fixture
def release(physical: Physical) -> Physical:
    keys = list(physical.where)
    return published(physical, full=keys, quarter=keys[::4])


def sizes(physical: Physical, keys: list[str]) -> int:
    return sum(physical.where[key][2] - physical.where[key][1] for key in keys)


def stream(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "biomedica_assets.cli", "stream", *arguments]
    return subprocess.run(command, capture_output=True, check=False, env={**os.environ, **environment})


def test_a_recipe_of_a_release_is_streamed_from_a_folder_and_from_an_address(serve: Serve, release: Physical) -> None:
    base = serve(release, never)
    for name in ("full", "quarter"):
        index = open_index(str(release.root), name)
        assert tar_of(open_index(base, name), base, ALL) == tar_of(index, release.root, ALL)


def test_the_command_needs_nothing_but_the_address(serve: Serve, release: Physical, tmp_path: Path) -> None:
    base = serve(release, never)
    here = stream(str(release.root), "--of", "1")
    there = stream(base, "--of", "1", "--stats", str(tmp_path / "told"))
    assert here.returncode == there.returncode == 0, there.stderr
    assert here.stdout == there.stdout
    assert len(keys_in_order(there.stdout)) == len(release.where)
    told = json.loads((tmp_path / "told").read_text())
    assert told["samples"] == len(release.where)
    assert told["bytes"] == sizes(release, list(release.where))
    assert told["fetched"] == sum(release.served.sent)
    assert 1 << 20 < told["peak_bytes"] < 150 << 20


def test_an_unknown_recipe_is_answered_with_those_there_are(serve: Serve, release: Physical) -> None:
    base = serve(release, never)
    for place in (str(release.root), base):
        with pytest.raises(StreamError, match="no recipe 'balanced'; there are: full, quarter"):
            open_index(place, "balanced")
    (release.root / index_path("full")).unlink()
    published(release)
    for place in (str(release.root), base):
        assert open_index(place, None).recipe == "r"  # the only one there is


def test_what_is_no_release_is_told(serve: Serve, physical: Physical) -> None:
    with pytest.raises(StreamError, match=r"is no release: MANIFEST\.json"):
        open_index(str(physical.root), "full")
    with pytest.raises(StreamError, match=r"MANIFEST\.json: status 404"):
        open_index(serve(physical, never), "full")


@pytest.mark.parametrize("step", ["random", "fourth"])
def test_a_quarter_costs_a_quarter_and_at_most_5_percent(serve: Serve, tmp_path: Path, step: str) -> None:
    """Index and all; sizes as of the demo's pictures, where gaps between samples of a quarter are short."""
    physical = build(tmp_path, shards=4, samples=250, draw=lambda rng: rng.randbytes(rng.randrange(2_000, 40_000)))
    keys = list(physical.where)
    chosen = keys[::4] if step == "fourth" else sorted(random.Random(3).sample(keys, len(keys) // 4))
    published(physical, quarter=chosen)
    base = serve(physical, never)
    done = stream(base, "--recipe", "quarter", "--of", "1")
    assert done.returncode == 0, done.stderr
    assert len(keys_in_order(done.stdout)) == len(chosen)
    assert sum(physical.served.sent) <= 1.05 * sizes(physical, chosen)


def test_the_first_sample_comes_within_a_second(serve: Serve, tmp_path: Path) -> None:
    """From the start of the process, with 50 ms for each answer."""
    physical = build(tmp_path, shards=4, samples=250, draw=lambda rng: rng.randbytes(rng.randrange(2_000, 40_000)))
    published(physical, full=list(physical.where))

    def slow(handler: Handler, n: int) -> bool:
        time.sleep(0.05)
        return False

    base = serve(physical, slow)
    took: list[float] = []
    for _ in range(3):
        began = time.monotonic()
        command = [sys.executable, "-m", "biomedica_assets.cli", "stream", base, "--of", "1"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.read(60_000)
        took.append(time.monotonic() - began)
        process.stdout.close()
        process.wait()
    assert min(took) < 1


def test_an_index_too_large_to_hold_is_read_by_range(
    serve: Serve, release: Physical, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(afar, "WHOLE", 100)
    base = serve(release, never)
    size = (release.root / index_path("full")).stat().st_size
    index = open_index(base, "full")
    assert index.fetched < size
    local = open_index(str(release.root), "full")
    assert tar_of(index, base, Selection(of=7)) == tar_of(local, release.root, Selection(of=7))


def test_a_server_that_gives_small_files_whole_serves(serve: Serve, release: Physical) -> None:
    """As the Hub does with what lies in git itself."""

    def whole(handler: Handler, n: int) -> bool:
        if not handler.path.endswith(".index"):
            return False
        handler.answer(200, handler.file().read_bytes())
        return True

    base = serve(release, whole)
    assert open_index(base, "full").splits == open_index(str(release.root), "full").splits


def test_a_damaged_header_of_an_index_is_noticed(serve: Serve, release: Physical) -> None:
    path = release.root / index_path("full")
    data = bytearray(path.read_bytes())
    data[data.index(b'"seed":0') + 7] += 1
    path.write_bytes(data)
    with pytest.raises(StreamError, match=r"header of .* is damaged"):
        open_index(serve(release, never), "full")


def test_the_second_epoch_comes_from_the_cache(serve: Serve, release: Physical, tmp_path: Path) -> None:
    base, kept = serve(release, never), SampleCache(tmp_path / "cache", 10**8)
    index = open_index(base, "full", cache=tmp_path / "cache")
    asked: list[int] = []
    for epoch in range(2):
        wanted = Selection(of=1, epoch=epoch)
        pieces = chunks(index, open_source(index, base), wanted, kept)
        assert b"".join(bytes(p) for p in pieces) == tar_of(index, release.root, wanted)
        asked.append(len(release.served.requests))
    assert asked[0] == asked[1]
    assert kept.hits == len(release.where)


def test_half_a_cache_gives_the_same_bytes(serve: Serve, release: Physical, tmp_path: Path) -> None:
    base, kept = serve(release, never), SampleCache(tmp_path / "cache", 10**8)
    index = open_index(base, "quarter")
    list(chunks(index, open_source(index, base), ALL, kept))
    full = open_index(base, "full")
    pieces = chunks(full, open_source(full, base), ALL, kept)
    assert b"".join(bytes(piece) for piece in pieces) == tar_of(full, release.root, ALL)
    assert kept.hits == index.split("train").entries


def test_a_file_of_the_cache_that_changed_is_fetched_anew(serve: Serve, release: Physical, tmp_path: Path) -> None:
    base, kept = serve(release, never), SampleCache(tmp_path / "cache", 10**8)
    index = open_index(base, "full")
    list(chunks(index, open_source(index, base), ALL, kept))
    for number, path in enumerate(sorted((tmp_path / "cache").glob("?/*"))):
        if number % 3 == 0:
            path.write_bytes(b"" if number % 2 else path.read_bytes()[:-1] + b"x")
    pieces = chunks(index, open_source(index, base), ALL, kept)
    assert b"".join(bytes(piece) for piece in pieces) == tar_of(index, release.root, ALL)


def test_the_cache_stays_within_its_limit_and_forgets_what_was_used_least(serve: Serve, tmp_path: Path) -> None:
    physical = build(tmp_path / "r", samples=200, draw=lambda rng: rng.randbytes(rng.randrange(2_000, 6_000)))
    published(physical, full=list(physical.where))
    base, limit = serve(physical, never), 16 * 100_000
    kept = SampleCache(tmp_path / "cache", limit)
    index = open_index(base, "full")
    for epoch in range(3):
        for _ in chunks(index, open_source(index, base), Selection(of=1, epoch=epoch), kept):
            assert sum(path.stat().st_size for path in (tmp_path / "cache").glob("?/*")) <= limit
    assert sum(path.stat().st_size for path in (tmp_path / "cache").glob("?/*")) > limit / 2
    assert not list((tmp_path / "cache").glob("?/.*"))


def test_damaged_samples_are_left_out_of_a_cache_too(serve: Serve, release: Physical, tmp_path: Path) -> None:
    from biomedica_assets_tests.lib.stream.test_checks import flipping

    _, start, _ = release.where["s00013"]
    base, kept = serve(release, flipping("001.tar", start + 513, 99)), SampleCache(tmp_path / "cache", 10**8)
    index = open_index(base, "full")
    wanted = Selection(of=1, skip_damaged=True)
    for _ in range(2):
        pieces = chunks(index, open_source(index, base), wanted, kept)
        found = keys_in_order(b"".join(bytes(piece) for piece in pieces))
        assert sorted(found) == sorted(key for key in release.where if key != "s00013")


def test_a_cached_index_follows_the_release_and_serves_without_it(
    serve: Serve, release: Physical, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = [False]

    def trouble(handler: Handler, n: int) -> bool:
        if gone[0]:
            handler.close_connection = True
        return gone[0]

    base = serve(release, trouble)
    first = open_index(base, "full", cache=tmp_path / "cache").split("train").entries
    published(release, full=list(release.where)[:5])
    assert open_index(base, "full", cache=tmp_path / "cache").split("train").entries == 5 != first
    gone[0] = True
    monkeypatch.setattr(http_module, "TRIES", 2)
    assert open_index(base, "full", cache=tmp_path / "cache").split("train").entries == 5
    assert "going on with" in capsys.readouterr().err


def test_addresses_of_the_hub() -> None:
    assert web_address("hf://datasets/lab/figures") == "https://huggingface.co/datasets/lab/figures/resolve/main"
    assert web_address("hf://datasets/lab/figures@v1/a/", "http://h") == "http://h/datasets/lab/figures/resolve/v1/a"
    for wrong in ("hf://lab/figures", "hf://datasets/lab", "hf://models/lab/x"):
        with pytest.raises(StreamError, match="names no dataset"):
            web_address(wrong)


def test_a_private_repository_of_the_hub_is_read_with_its_token(release: Physical) -> None:
    with Hub() as hub:
        repo = hub.add("lab/figures")
        for path in release.root.rglob("*.*"):
            repo.files[path.relative_to(release.root).as_posix()] = path.read_bytes()
        place = "hf://datasets/lab/figures"
        good = stream(place, "--of", "1", HF_ENDPOINT=hub.endpoint, HF_TOKEN=WRITER)
        bad = stream(place, "--of", "1", HF_ENDPOINT=hub.endpoint, HF_TOKEN="hf_wrong")
    assert good.returncode == 0, good.stderr
    assert good.stdout == tar_of(Index(release.root / index_path("full")), release.root, ALL)
    assert bad.returncode == 1
    (line,) = bad.stderr.decode().splitlines()
    assert "status 401" in line and "HF_TOKEN" in line


def test_a_token_is_not_sent_to_other_servers(serve: Serve, release: Physical) -> None:
    """HF_TOKEN is for the Hub: an address of anybody does not get it."""
    base = serve(release, never)
    assert stream(base, "--of", "1", HF_TOKEN="secret").returncode == 0
    assert {token for _, token in release.served.requests} == {None}


@pytest.mark.parametrize(("text", "size"), [("20GB", 20e9), ("500 mb", 5e8), ("1.5T", 1.5e12), ("100", 100)])
def test_sizes(text: str, size: float) -> None:
    assert bytes_of(text) == size


@pytest.mark.parametrize("text", ["", "much", "-1GB", "0"])
def test_a_size_that_is_none_is_told(text: str, release: Physical, tmp_path: Path) -> None:
    done = stream(str(release.root), "--of", "1", "--cache", str(tmp_path / "c"), f"--cache-size={text}")
    assert done.returncode == 1
    assert b"give a size such as 500MB" in done.stderr


def test_a_file_says_its_size_and_gives_any_part(
    serve: Serve, release: Physical, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, data = serve(release, never), (release.root / "shards/000.tar").read_bytes()
    for limit in (0, 10**9):
        monkeypatch.setattr(afar, "WHOLE", limit)
        file = RemoteFile(base, "shards/000.tar")
        assert file.size == len(data)
        assert file.at(700, 1000) == data[700:1700]
        assert file.at(len(data) - 10, 1000) == data[-10:]
        assert file.at(len(data), 10) == b""
        file.close()
