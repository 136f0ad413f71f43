"""A shard that cannot be read, through the real command: it fails, says which shard and what to do, and no reader takes
what was written before for the whole."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from biomedica_assets.lib.stream import command
from biomedica_assets.lib.stream.virtual import END_OF_TAR
from biomedica_assets_tests.lib.stream.conftest import Physical, keys_in_order, read_tar
from biomedica_assets_tests.lib.stream.served import Handler, Trouble, never

WHICH = ["shards/000.tar", "shards/002.tar"]
BIOMEDICA = Path(sys.executable).with_name("biomedica")


def arguments(physical: Physical, base: str | Path) -> list[str]:
    return ["--index", str(physical.index().path), "--base", str(base), "--of", "1", "--no-shuffle"]


def streamed(physical: Physical, base: str | Path, *more: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([BIOMEDICA, "stream", *arguments(physical, base), *more], capture_output=True, check=False)


def no_whole_tar(data: bytes) -> None:
    assert not data.endswith(END_OF_TAR)
    with pytest.raises(tarfile.ReadError):
        read_tar(data)


def test_the_command_streams_what_can_be_read(serve: Callable[[Physical, Trouble], str], physical: Physical) -> None:
    for base in (physical.root, serve(physical, never)):
        done = streamed(physical, base)
        assert (done.returncode, done.stderr) == (0, b"")
        assert keys_in_order(done.stdout) == list(physical.where)


def missing(path: Path) -> None:
    path.unlink()


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1024])


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def zeroed(path: Path) -> None:
    """What some disks give back after a power cut: the size is right."""
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize("options", [(), ("--caption", "caption")], ids=["as it is", "other captions"])
@pytest.mark.parametrize("which", WHICH)
@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (missing, ": No such file or directory. Build the recipe again"),
        (truncated, " is damaged: it has 1,024 bytes, "),
        (a_folder, " bytes, "),
        (zeroed, ": no member starts where the recipe says"),
    ],
)
def test_on_disk(
    physical: Physical, damage: Callable[[Path], None], says: str, which: str, options: tuple[str, ...]
) -> None:
    damage(physical.root / which)
    done = streamed(physical, physical.root, *options)
    assert done.returncode == 1
    assert which in done.stderr.decode()
    assert says in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1, "one line, no traceback"
    no_whole_tar(done.stdout)


@pytest.mark.parametrize("which", WHICH)
@pytest.mark.parametrize(
    ("status", "cure"),
    [(404, "--base must be the folder that has shards/ in it"), (403, "give a token with --token-file, or make")],
)
def test_by_http(
    serve: Callable[[Physical, Trouble], str], physical: Physical, status: int, cure: str, which: str
) -> None:
    def trouble(handler: Handler, n: int) -> bool:
        if handler.path.endswith(which):
            handler.answer(status)
        return handler.path.endswith(which)

    done = streamed(physical, serve(physical, trouble))
    assert done.returncode == 1
    assert f"{which}: status {status} (" in done.stderr.decode()
    assert cure in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1, "one line, no traceback"
    no_whole_tar(done.stdout)


@pytest.mark.parametrize("which", WHICH)
def test_a_body_that_always_breaks_off(
    serve: Callable[[Physical, Trouble], str], physical: Physical, which: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """In this process, where the waits between the tries are short."""

    def trouble(handler: Handler, n: int) -> bool:
        if not handler.path.endswith(which):
            return False
        data, low, high = handler.wanted()
        sent = data[low : min(high, 1000)]
        span = {"Content-Range": f"bytes {low}-{high - 1}/{len(data)}", "Content-Length": str(high - low)}
        handler.answer(206, sent, span)
        handler.close_connection = True
        return True

    assert command.main(arguments(physical, serve(physical, trouble))) == 1
    out, err = capfdbinary.readouterr()
    assert f"{which} at byte 1,000: " in err.decode()
    assert "bytes did not come (tried 6 times); start again when the server answers" in err.decode()
    no_whole_tar(out)


def test_a_token_file_that_is_not_there_is_named(physical: Physical) -> None:
    done = streamed(physical, "http://127.0.0.1:9", "--token-file", "no/such/token")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"No such file or directory: 'no/such/token'" in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_a_full_disk_below_the_output_is_no_end(physical: Physical) -> None:
    if not (full := Path("/dev/full")).exists():
        pytest.skip("this system has no /dev/full")
    with full.open("wb") as sink:
        done = subprocess.run(
            [BIOMEDICA, "stream", *arguments(physical, physical.root)], stdout=sink, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 1
    assert b"No space left on device" in done.stderr
    assert done.stderr.count(b"\n") == 1
