"""A byte that changes on the way is noticed in every remote stream, by the command as people run it.

What a byte may belong to is tested in ``lib/stream/test_checks``; here every kind of place is.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import threading

import polars as pl
import pytest

from biomedica_assets.lib.release.copies import scan
from biomedica_assets.lib.tables import SHARDS, SOURCES
from biomedica_assets_tests.lib.release.test_afar import keys
from biomedica_assets_tests.lib.stream.served import Handler, Server
from biomedica_assets_tests.support.hub import WRITER, Hub
from biomedica_assets_tests.support.s3_standin import S3StandIn
from biomedica_assets_tests.support.signatures import Account

pytestmark = pytest.mark.full  # streams of processes, from five kinds of place

ALWAYS = 99


@dataclasses.dataclass
class Flip:
    """A bit of one byte of one file, in the next answers that hold it."""

    path: str
    at: int
    left: int = 0
    done: int = 0

    def __call__(self, path, start, data):
        if not path.endswith(self.path) or not start <= self.at < start + len(data) or not self.left:
            return data
        self.left, self.done = self.left - 1, self.done + 1
        changed = bytearray(data)
        changed[self.at - start] ^= 4
        return bytes(changed)


def sample_of(table, release, stream):
    """Key, shard and a byte in the middle of a sample that a stream holds."""
    there = scan(release, table).filter(pl.col("sample_key").is_in(keys(stream))).sort("sample_key").collect()
    row = there.row(there.height // 2, named=True)
    return row["sample_key"], row["shard"], (row["start"] + row["end"]) // 2


@pytest.fixture(params=["http", "s3", "hf", "source, text", "source, pictures"])
def wire(request, with_recipe, without_pictures, demo_mirror, whole):
    """Arguments and environment of a stream, what flips a byte of it, and the key of the sample that has the byte."""
    if request.param == "source, pictures":
        row = (
            scan(without_pictures, SOURCES).filter(pl.col("sample_key").is_in(keys(whole))).sort("sample_key").collect()
        )
        key, path = row["sample_key"][3], row["key"][3]
        with S3StandIn(demo_mirror) as bucket:
            bucket.on_the_way = flip = Flip(path, row["image_bytes"][3] // 2)
            yield (str(without_pictures), "--source", f"{bucket.endpoint}/{bucket.bucket}"), {}, flip, key
        return
    release, table = (without_pictures, SOURCES) if request.param == "source, text" else (with_recipe, SHARDS)
    key, *where = sample_of(table, release, whole)
    flip = Flip(*where)
    if request.param == "s3":
        with S3StandIn(release, "lab", accounts={"READER": Account("secret")}, on_the_way=flip) as bucket:
            yield ("s3://lab",), {
                "AWS_ENDPOINT_URL_S3": bucket.endpoint, "AWS_ACCESS_KEY_ID": "READER", "AWS_SECRET_ACCESS_KEY": "secret"
            }, flip, key  # fmt: skip
    elif request.param == "hf":
        with Hub(on_the_way=flip) as hub:
            repo = hub.add("lab/figures")
            for file in release.rglob("*"):
                if file.is_file() and (file.suffix in {".tar", ".index"} or file.parent == release):
                    repo.files[file.relative_to(release).as_posix()] = file.read_bytes()
            yield ("hf://datasets/lab/figures",), {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": WRITER}, flip, key
    else:

        def trouble(handler, n):
            if not handler.file().is_file():
                return False  # answered as ever
            data, low, high = handler.wanted()
            body, high = flip(handler.path, low, data[low:high]), min(high, len(data))
            handler.answer(206, body, {"Content-Range": f"bytes {low}-{high - 1}/{len(data)}"})
            return True

        kind = type("Played", (Handler,), {"root": release, "trouble": trouble, "requests": [], "sent": []})
        server = Server(("127.0.0.1", 0), kind)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        more = ("--source", str(demo_mirror)) if release is without_pictures else ()
        yield (f"http://127.0.0.1:{server.server_port}", *more), {}, flip, key
        server.shutdown()
        server.server_close()


def stream(arguments, environment):
    command = [sys.executable, "-m", "biomedica_assets.cli", "stream", *arguments, "--of", "1"]
    return subprocess.run(command, capture_output=True, check=False, env={**os.environ, **environment})


@pytest.fixture(scope="module")
def whole(with_recipe):
    """What every one of them should give."""
    return stream((str(with_recipe),), {}).stdout


def test_a_byte_that_is_flipped_on_the_way(wire, whole):
    """Once: the sample is fetched again. Always: the stream ends or leaves the sample out, and names it."""
    arguments, environment, flip, key = wire
    flip.left = 1
    done = stream(arguments, environment)
    assert (flip.done, done.returncode, done.stderr) == (1, 0, b"")
    assert done.stdout == whole
    flip.left = ALWAYS
    done = stream(arguments, environment)
    assert flip.done > 2
    assert key in done.stderr.decode() and len(done.stderr.splitlines()) == 1
    if flip.path.endswith(".tar"):
        assert done.returncode == 1 and not done.stdout.endswith(bytes(1024))
        done = stream((*arguments, "--skip-damaged"), environment)
        assert done.returncode == 0 and set(keys(whole)) - set(keys(done.stdout)) == {key}
    else:
        assert done.returncode == 0 and set(keys(whole)) - set(keys(done.stdout)) == {key}
