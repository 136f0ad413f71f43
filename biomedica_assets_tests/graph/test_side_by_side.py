"""Partitions made side by side, each in a process: the same bytes, the same records, and nobody in another's way."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import dagster as dg
import psutil
import pytest

from biomedica_assets import definitions, instance, settings
from biomedica_assets.automation import crew, runner
from biomedica_assets.automation.planner import open_planner
from biomedica_assets.automation.ran import Batch, Ran
from biomedica_assets.lib.store import lease
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import FIGURES, IMAGES, SHARDS
from biomedica_assets_tests.support.mirrors import MirrorBuilder

pytestmark = pytest.mark.full  # processes that import the graph

CHUNKS = [f"PMC000-{first:04d}" for first in range(0, 100, 20)]
MADE = ["article_index", "article_xml", "article_heads", "pubmed_records", "notice_shelf", "withdrawals", "figures",
        "articles", "captions", "mentions", "images", "shards"]  # fmt: skip
SHORT = ["article_index", "article_xml"]


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    made = MirrorBuilder(tmp_path_factory.mktemp("m") / "mirror")
    for n in range(5):
        made.article(f"PMC{n * 20_000 + 7}.1")
    made.inventory("2026-11-21T01-00Z")
    return made.root


class Told(runner.Listener):
    def __init__(self):
        self.begun, self.done = [], []

    def batch(self, batch):
        self.begun.append(batch)

    def partition_done(self, partition):
        self.done.append(partition)


def walked(root, mirror, jobs, monkeypatch, made=SHORT, **more):
    monkeypatch.setattr(runner, "WORTH", 0.0)
    for name in ("DAGSTER_HOME", "BIOMEDICA_DATA_DIR"):
        monkeypatch.setenv(name, "")  # put back afterwards
    values = settings.Settings(data_dir=root, source=str(mirror), encoder="texture")
    told = Told()
    with instance.open_instance(values) as records, crew.Crew(values, jobs) as hands:
        graph = definitions.build(values)
        planner = open_planner(values, graph.resolve_asset_graph())
        outcome = runner.walk(
            graph, records, planner, select=["pmc_inventory", *made], listener=told, crew=hands, **more
        )
        runs = records.get_runs(dg.RunsFilter())
        left = [*planner.all_stale(made)]
    return outcome, told, runs, left


def test_the_bytes_are_those_of_one_process_and_nothing_is_left(tmp_path, mirror, monkeypatch):
    alone = walked(tmp_path / "a", mirror, 1, monkeypatch, MADE)
    side_by_side = walked(tmp_path / "b", mirror, 2, monkeypatch, MADE)
    for outcome, told, runs, left in (alone, side_by_side):
        assert outcome.ok and left == [] and sorted({*told.done} - {None}) == sorted({*CHUNKS, "PMC000"})
        assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS} and len(runs) == outcome.runs
    assert sorted(alone[0].materialised, key=str) == sorted(side_by_side[0].materialised, key=str)
    one, other = Lake(tmp_path / "a"), Lake(tmp_path / "b")
    for table in (FIGURES, IMAGES, SHARDS):
        assert one.partitions(table) == other.partitions(table) == CHUNKS
        assert [one.version(table, c) for c in CHUNKS] == [other.version(table, c) for c in CHUNKS]
        assert [one.manifest(table, c).stored for c in CHUNKS] == [other.manifest(table, c).stored for c in CHUNKS]


def test_a_limit_of_runs_holds(tmp_path, mirror, monkeypatch):
    outcome, _, runs, left = walked(tmp_path, mirror, 2, monkeypatch, most_runs=4)
    assert outcome.left and outcome.runs == len(runs) == 4 and left


def test_one_that_fails_stops_no_other(tmp_path, mirror, monkeypatch):
    (tmp_path / "mirror" / "PMC000").mkdir(parents=True)
    (tmp_path / "mirror" / "PMC000" / "0020").write_text("a file where the folder of an article goes")
    outcome, _, _, _ = walked(tmp_path, mirror, 2, monkeypatch)
    assert {batch.partition for batch in outcome.failed} == {CHUNKS[1]}
    assert {chunk for asset, chunk in outcome.materialised if asset == "article_xml"} == {*CHUNKS} - {CHUNKS[1]}


def test_three_that_fail_alike_stop_the_asset(tmp_path, mirror, monkeypatch):
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "PMC000").write_text("a file where a folder goes")
    outcome, _, _, _ = walked(tmp_path, mirror, 2, monkeypatch)
    assert 3 <= len(outcome.failed) <= 4 and outcome.stopped


def test_a_process_that_dies_is_a_failed_run_and_the_others_go_on(tmp_path, mirror, monkeypatch):
    killed = []

    def kill_one():
        until = time.monotonic() + 120
        while time.monotonic() < until and not killed:
            for child in psutil.Process().children():
                with contextlib.suppress(psutil.Error):
                    if lease.held(tmp_path) and "spawn_main" in " ".join(child.cmdline()):
                        child.kill()
                        killed.append(child.pid)
                        break
            time.sleep(0.01)

    thread = threading.Thread(target=kill_one)
    thread.start()
    outcome, _, _, left = walked(tmp_path, mirror, 2, monkeypatch)
    thread.join()
    assert killed
    assert any("was ended by SIGKILL; memory may have run out" in why for why in outcome.failed.values())
    assert {one.partition for one in left} <= {batch.partition for batch in outcome.failed}


def test_a_batch_that_kills_its_process_is_told_with_its_cause():
    hands = crew.Crew(settings.Settings(), 1)
    ours, theirs = crew.multiprocessing.get_context("spawn").Pipe()
    process = crew.multiprocessing.get_context("spawn").Process(target=os._exit, args=(3,))
    process.start()
    theirs.close()
    hands._hands.append(crew._Hand(process, ours, Batch(("figures",), "PMC000-0000")))
    batch, came = hands.wait()
    assert batch.partition == "PMC000-0000"
    assert came == Ran(ok=False, at="figures", message="figures: the process of the run ended with code 3")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_within_five_seconds_and_nothing_is_failed(tmp_path, mirror, number):
    command = ["run", "--data-dir", tmp_path / "d", "--source", mirror]
    environment = os.environ | {"BIOMEDICA_ENCODER": "texture"}
    program = (
        "import sys; from biomedica_assets.automation import runner; runner.WORTH = 0.0; "
        "from biomedica_assets.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, command), "--jobs", "2", "--select", "*article_xml"],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    until = time.monotonic() + 120
    while time.monotonic() < until and not [*(tmp_path / "d" / "tables" / "article_xml").glob("*/*.parquet")]:
        assert process.poll() is None
        time.sleep(0.05)
    below = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
    began = time.monotonic()
    process.send_signal(number)
    assert process.wait(20) == 128 + number
    assert time.monotonic() - began < 5
    assert below and not [pid for pid in below if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"]
    values = settings.Settings(data_dir=tmp_path / "d", source=str(mirror), encoder="texture")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", "")
        patch.setenv("BIOMEDICA_DATA_DIR", "")
        with instance.open_instance(values) as records:
            states = {run.status.value for run in records.get_runs()}
    assert states <= {"SUCCESS", "CANCELED"}
