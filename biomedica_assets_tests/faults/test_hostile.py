"""A mirror of attacks, through the real stages: each is a reject with a reason, in bounded memory and time."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys

import pytest

from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import TABLES
from biomedica_assets_tests.faults import hostile, runs

pytestmark = pytest.mark.full  # a run over inputs that try to take all time and memory

CHUNK = "PMC007-0000"
# The largest honest image (89 megapixels, RGB) takes 270 MB decoded; the graph, Dagster and Polars 600 MB.
MEMORY, SECONDS = 6 * 2**30, 240
STAGES = ("article_index", "article_xml", "articles", "images", "shards")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The mirror, run in a process that may use so much memory and time and no more."""
    folder = tmp_path_factory.mktemp("hostile")
    expected = hostile.mirror(folder / "source")

    def bounded():
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        os.setsid()

    command = [sys.executable, "-m", "biomedica_assets.cli", "run", "--data-dir", folder / "data"]
    command += ["--source", folder / "source", "--select", ",".join(runs.SPINE)]
    ended = subprocess.run(
        list(map(str, command)), check=False, env=runs.environment(folder / "data"), capture_output=True, text=True,
        preexec_fn=bounded, timeout=600,
    )  # fmt: skip
    lake = Lake(folder / "data")
    rejects: dict[str, set[str]] = {}
    for name in STAGES:
        for row in lake.read_rejects(TABLES[name], CHUNK).to_dicts():
            rejects.setdefault(row["article_id"], set()).add(row["reason"])
            assert len(row["message"]) > 5
    return ended, lake, expected, rejects


def test_the_run_ends_well_within_its_bounds(done):
    ended, *_ = done
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_each_attack_is_a_reject_with_its_reason(done):
    _, _, expected, rejects = done
    found = {article: rejects.get(article, set()) for article, reason in expected.items() if reason != "none"}
    wrong = {a: (expected[a], sorted(r)) for a, r in found.items() if expected[a] not in r}
    assert wrong == {}, json.dumps(wrong, indent=1)


def test_what_only_looks_strange_comes_through(done):
    _, lake, expected, rejects = done
    sampled = set(lake.read(TABLES["shards"], CHUNK)["article_id"])
    wanted = {hostile.HONEST} | {article for article, reason in expected.items() if reason == "none"}
    assert sampled == wanted, {a: rejects.get(a) for a in wanted ^ sampled}


def test_nothing_is_written_beside_the_data_directory_nor_under_a_hostile_name(done):
    _, lake, *_ = done
    beside = {path.name for path in lake.root.parent.iterdir()}
    assert beside <= {"source", "data", "data.counter"}
    for path in lake.root.rglob("*"):
        assert path.name.isascii() and path.name.isprintable() and len(path.name) < 200, path
        assert not path.is_symlink()


def test_no_file_of_the_machine_got_in(done):
    _, lake, *_ = done
    secret = b"root:x:0:0"
    assert not [p for p in lake.root.rglob("*") if p.is_file() and p.suffix != ".db" and secret in p.read_bytes()]
