"""Virtual shards hold exactly the samples of the list, byte for byte, and fail loudly when the shards changed."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from biomedica_assets.lib.stream.failures import StreamError
from biomedica_assets.lib.stream.index import Index
from biomedica_assets.lib.stream.local import LocalShards
from biomedica_assets.lib.stream.ranges import Range
from biomedica_assets.lib.stream.virtual import END_OF_TAR, Selection, chunks, open_source
from biomedica_assets_tests.lib.stream.conftest import Physical, build, key_of, keys_in_order, read_tar


def tar_of(index: Index, base: Path | str, wanted: Selection) -> bytes:
    return b"".join(bytes(piece) for piece in chunks(index, open_source(index, str(base)), wanted))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Physical:
    return build(tmp_path_factory.mktemp("lake"))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sets(st.integers(0, 29), min_size=1), st.integers(1, 40), st.integers(1, 9), st.integers(0, 2), st.booleans())
def test_every_id_exactly_once_per_epoch_whatever_the_number_of_virtual_shards(
    shared: Physical, chosen: set[int], of: int, block: int, epoch: int, shuffle: bool
) -> None:
    keys = [key_of(n) for n in chosen]
    index = shared.index(keys, block=block)
    seen = Counter(
        key
        for shard in range(of)
        for key in keys_in_order(
            tar_of(index, shared.root, Selection(shard=shard, of=of, epoch=epoch, shuffle=shuffle))
        )
    )
    assert seen == Counter(keys)


def test_members_travel_unchanged_and_the_tar_ends_with_two_zero_blocks(physical: Physical) -> None:
    data = tar_of(physical.index(), physical.root, Selection(of=1))
    assert data.endswith(END_OF_TAR)
    original = {}
    for name, _, _ in physical.shards:
        original |= read_tar((physical.root / name).read_bytes())
    assert read_tar(data) == original


def test_long_samples_come_in_pieces(tmp_path: Path) -> None:
    """Samples above the size of a range are cut and put together again."""
    physical = build(tmp_path, shards=1, samples=3, draw=lambda rng: rng.randbytes(2_500_000))
    data = tar_of(physical.index(), physical.root, Selection(of=1, shuffle=False))
    assert read_tar(data) == read_tar((tmp_path / "shards/000.tar").read_bytes())


def test_repeated_samples_come_that_often_and_never_twice_in_a_row(physical: Physical) -> None:
    index = physical.index(repeat={key_of(3): 4, key_of(12): 2}, block=2)
    keys = keys_in_order(tar_of(index, physical.root, Selection(of=1)))
    assert Counter(keys) == Counter([*physical.where, *[key_of(3)] * 3, key_of(12)])
    assert all(a != b for a, b in itertools.pairwise(keys))


def test_a_shard_of_another_size_stops_the_stream(physical: Physical) -> None:
    index = physical.index()
    with (physical.root / "shards/001.tar").open("ab") as handle:
        handle.write(bytes(512))
    with pytest.raises(StreamError, match=r"001\.tar is damaged: it has .* Build the recipe again"):
        tar_of(index, physical.root, Selection(of=1))


def test_a_shard_with_other_content_of_equal_size_stops_the_stream(physical: Physical) -> None:
    index = physical.index()
    path = physical.root / "shards/001.tar"
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(StreamError, match=r"001\.tar: no member starts where the recipe says"):
        tar_of(index, physical.root, Selection(of=1))


@pytest.mark.parametrize("caption", [None, "caption"])
def test_what_was_written_before_a_failure_is_no_whole_tar(physical: Physical, caption: str | None) -> None:
    """Python's tarfile ends in silence when the bytes end between two members."""
    index = physical.index()
    path = physical.root / "shards/002.tar"
    path.write_bytes(bytes(path.stat().st_size))
    written: list[bytes] = []
    pieces = chunks(index, open_source(index, str(physical.root)), Selection(of=1, shuffle=False, caption=caption))
    with pytest.raises(StreamError):
        written.extend(bytes(piece) for piece in pieces)
    with pytest.raises(tarfile.ReadError):
        read_tar(b"".join(written))


def test_a_missing_shard_is_named(physical: Physical) -> None:
    index = physical.index()
    (physical.root / "shards/002.tar").unlink()
    with pytest.raises(StreamError, match=r"002\.tar"):
        tar_of(index, physical.root, Selection(of=1))


def test_a_damaged_index_is_refused(physical: Physical) -> None:
    path = physical.index().path
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StreamError, match="its header promises"):
        Index(path)
    path.write_bytes(b"something else entirely")
    with pytest.raises(StreamError, match="not an index"):
        Index(path)


def test_equal_recipes_give_equal_index_bytes(physical: Physical) -> None:
    first = physical.index().path.read_bytes()
    assert physical.index().path.read_bytes() == first


def _run(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "biomedica_assets.cli", "stream", *arguments]
    return subprocess.run(command, capture_output=True, check=False)


def test_command_writes_what_the_library_yields(physical: Physical) -> None:
    index = physical.index()
    done = _run("--index", str(index.path), "--data-dir", str(physical.root), "--shard", "1", "--of", "3")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == tar_of(index, physical.root, Selection(shard=1, of=3))


def test_command_names_what_is_wrong_and_exits_with_one(physical: Physical) -> None:
    index = str(physical.index().path)
    done = _run("--index", index, "--data-dir", str(physical.root), "--split", "tset")
    assert done.returncode == 1
    assert b"has no split 'tset'; it has train" in done.stderr
    done = _run("--recipe", "nowhere", "--data-dir", str(physical.root))
    assert done.returncode == 1
    assert b"'nowhere' has not been built" in done.stderr
    assert _run("--shard", "1").returncode == 2


def test_command_ends_quietly_when_the_reader_leaves(tmp_path: Path) -> None:
    physical = build(tmp_path, shards=1, samples=20, draw=lambda rng: rng.randbytes(200_000))
    index = physical.index()
    command = [sys.executable, "-m", "biomedica_assets.cli", "stream", "--index", str(index.path)]
    command += ["--data-dir", str(tmp_path), "--of", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        os.read(process.stdout.fileno(), 512)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141


def test_nothing_slow_is_imported_on_the_way_to_the_first_byte() -> None:
    code = (
        "import sys, biomedica_assets.lib.stream.command, biomedica_assets.lib.stream.http\n"
        "slow = {'dagster','torch','webdataset','polars','duckdb','numpy','pydantic','yaml'} & set(sys.modules)\n"
        "sys.exit(','.join(sorted(slow)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("cut", [100, 512, 600, 1024, 2000, 2048])
def test_wherever_the_source_breaks_off_the_tar_is_no_whole_one(physical: Physical, cut: int) -> None:
    """Inside a header, between members, inside data: tarfile would take two of the three for an end."""
    index = physical.index()

    class Breaking:
        longest = 1 << 20

        def read(self, ranges: Iterable[Range]) -> Iterator[memoryview]:
            left = cut
            for view in LocalShards(physical.root, index.shards).read(ranges):
                yield view[:left]
                left -= len(view[:left])
                if left == 0:
                    raise StreamError("the wire was cut")

    written: list[bytes] = []
    with pytest.raises(StreamError, match="the wire was cut"):
        written.extend(bytes(piece) for piece in chunks(index, Breaking(), Selection(of=1, shuffle=False)))
    with pytest.raises(tarfile.ReadError):
        read_tar(b"".join(written))


@pytest.mark.parametrize("options", [(), ("--caption", "caption")])
def test_what_a_command_wrote_before_it_failed_is_no_whole_tar(physical: Physical, options: tuple[str, ...]) -> None:
    """Into a pipe pages of files are handed on as they are, another way than that of the bytes of other captions."""
    index = physical.index()
    path = physical.root / "shards/002.tar"
    path.write_bytes(bytes(path.stat().st_size))
    done = _run("--index", str(index.path), "--data-dir", str(physical.root), "--of", "1", "--no-shuffle", *options)
    assert done.returncode == 1
    assert b"002.tar: no member starts where the recipe says" in done.stderr
    with pytest.raises(tarfile.ReadError):
        read_tar(done.stdout)


def test_long_samples_go_through_a_pipe_unchanged(tmp_path: Path) -> None:
    """Samples longer than a range: members begin in one range and end in another."""
    physical = build(tmp_path, shards=2, samples=3, draw=lambda rng: rng.randbytes(2_500_000))
    index = physical.index()
    done = _run("--index", str(index.path), "--data-dir", str(tmp_path), "--of", "1")
    assert (done.returncode, done.stdout) == (0, tar_of(index, tmp_path, Selection(of=1)))
