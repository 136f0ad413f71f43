"""Work on a cluster: what it refuses and says, nodes that go, and real stages with the bytes of this machine."""

from __future__ import annotations

import functools
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from biomedica_assets import cli, configs, settings
from biomedica_assets.lib.annotate.panels import stage_panels
from biomedica_assets.lib.chunks import shelf_of_chunk
from biomedica_assets.lib.cluster import FitSettings, SheetSettings, assign_chunk, fit_clusters, make_contact_sheets
from biomedica_assets.lib.compute import ray as engines
from biomedica_assets.lib.compute.local import LocalEngine
from biomedica_assets.lib.compute.ray import ClusterUnreachable, RayEngine, WorkerLost
from biomedica_assets.lib.embed import embed_chunk, open_encoder, shelve
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.images import collect
from biomedica_assets.lib.images.limits import ImageLimits
from biomedica_assets.lib.images.stage import build_images
from biomedica_assets.lib.jats import stage as jats
from biomedica_assets.lib.pmc.fetch import fetch_xml
from biomedica_assets.lib.pmc.index import build_index
from biomedica_assets.lib.pmc.inventory import refresh_inventory
from biomedica_assets.lib.pmc.mirror import Mirror
from biomedica_assets.lib.pmc.source import open_source
from biomedica_assets.lib.progress import SILENT, Silent
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import CHUNK_LISTING, IMAGES
from biomedica_assets_tests.lib.compute import work
from biomedica_assets_tests.support import ray_cluster

ROOT = Path(__file__).resolve().parents[3]
STOPPED = """
import functools, sys
from pathlib import Path
from biomedica_assets.lib.compute.ray import RayEngine
from biomedica_assets.stopping import STOP, Stopped
from biomedica_assets_tests.lib.compute import work

try:
    with STOP.watching():
        leaves = functools.partial(work.leaves_a_file, Path(sys.argv[2]))
        for n, _ in RayEngine(sys.argv[1]).map_batches(leaves, range(200)):
            print(n, flush=True)
except Stopped as stopped:
    sys.exit(stopped.code)
"""


@pytest.mark.parametrize("address", ["here", "http://head:6379", "head", "ray://head", "ray://a b:1"])
def test_an_address_that_cannot_be_meant_is_refused(tmp_path, address):
    with pytest.raises(settings.SettingsError, match="Ray cluster"):
        settings.load(data_dir=tmp_path, ray=address)


@pytest.mark.parametrize("address", ["", "auto", "head:6379", "ray://head.example:10001"])
def test_an_address_is_taken_and_no_part_of_a_release(tmp_path, address):
    values = settings.load(data_dir=tmp_path, ray=address)
    assert configs.release_config(values).settings == configs.release_config(settings.load(data_dir=tmp_path)).settings


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ClusterUnreachable, match=r"not installed; pip install 'biomedica-assets\[ray\]'"):
        next(RayEngine("auto").map_batches(work.odd_fails, [0]))


@pytest.mark.skipif(not ray_cluster.installed(), reason="Ray is not installed")
def test_a_cluster_that_is_not_there_is_told_at_once_and_before_a_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(engines, "_node_runs_here", lambda: False)
    assert "no node of a Ray cluster runs on this machine" in str(engines.fault("auto"))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"ray://127.0.0.1:{closed.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(ClusterUnreachable, match=f"ray {address}: .*; start the cluster"):
            engines.connect(address)
        assert time.monotonic() - began < 2
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("BIOMEDICA_RAY", address)
        assert cli.main(["run", "--data-dir", str(tmp_path / "d"), "--source", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(f"biomedica: ray: {address}: ")
    assert not (tmp_path / "d").exists()


def test_a_mark_is_made_once_however_many_make_it(tmp_path):
    found: list[str] = []
    makers = [threading.Thread(target=lambda: found.append(engines._marked(tmp_path / "data"))) for _ in range(8)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert len(found) == 8 and len({*found}) == 1 and len(found[0]) == 32
    assert [path.name for path in (tmp_path / "data").iterdir()] == [engines.MARK]


@pytest.fixture(scope="module")
def cluster():
    if not ray_cluster.installed():
        pytest.skip("Ray is not installed (pip install 'biomedica-assets[ray]')")
    with ray_cluster.running(nodes=2) as found:
        yield found
        engines.disconnect()


@pytest.fixture
def engine(cluster, tmp_path):
    return RayEngine(cluster.address, tmp_path / "data")


@pytest.mark.full
def test_connecting_leaves_signals_to_the_command(engine):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert engine.workers == 2
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.full
def test_a_worker_computes_with_one_thread(engine):
    assert [*engine.map_batches(work.threads, [0])] == [(0, ["1", "1", "1"])]


@pytest.mark.full
def test_what_a_function_remembers_of_a_file_ends_with_its_map(engine, tmp_path):
    path = tmp_path / "words"
    for text in ("before", "after"):
        path.write_text(text, encoding="utf-8")
        assert {found for _, found in engine.map_batches(work.remembered, [str(path)] * 6)} == {text}


@pytest.mark.full
def test_cards_that_no_node_has_are_refused_and_not_waited_for(engine):
    with pytest.raises(ClusterUnreachable, match="none of its 2 nodes has 1 cores and 1 cards"):
        next(engine.map_batches(work.odd_fails, [0], gpus=1))


@pytest.mark.full
def test_a_function_that_cannot_travel_is_refused(engine):
    with pytest.raises(PermanentFailure, match=r"cannot be sent to another machine: .*lock"):
        next(engine.map_batches(functools.partial(work.dot, threading.Lock()), [0]))


@pytest.mark.full
def test_a_node_that_sees_another_disk_ends_the_work_with_its_name(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "_marked", lambda _disk: "another")
    with pytest.raises(PermanentFailure, match=f"{os.uname().nodename} does not see {tmp_path}/data as it is here"):
        next(engine.map_batches(work.odd_fails, [0]))


@pytest.mark.full
def test_a_node_with_other_code_ends_the_work(engine, monkeypatch):
    there = engines.made_of()
    monkeypatch.setattr(engines, "made_of", lambda: there | {"numpy": "0.1"})
    # Workers that have been looked at are known by the disk.
    with pytest.raises(PermanentFailure, match=r"has other code than this command \(numpy .* for 0.1\)"):
        next(engine.map_batches(work.odd_fails, [0]))


@pytest.mark.full
def test_a_worker_that_dies_costs_a_batch_another_try_and_no_more(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "LOST_WORKERS", 2)
    assert dict(engine.map_batches(functools.partial(work.dies, tmp_path, 2), range(6))) == {n: n for n in range(6)}
    found = dict(engine.map_batches(functools.partial(work.dies, tmp_path, 99), range(6)))
    assert isinstance(lost := found.pop(3), WorkerLost) and "no worker finished a batch in 3 tries" in str(lost)
    assert found == {n: n for n in range(6) if n != 3}
    assert len([*tmp_path.glob("died-*")]) == 2 + 3


@pytest.mark.full
def test_an_exception_that_cannot_travel_is_told(engine):
    ((_, told),) = engine.map_batches(work.needs_two, [1])
    assert isinstance(told, Exception) and "NeedsTwo" in str(told)


def begun(root, source):
    """A data directory whose chunks have their index and their XML; and the chunk with most articles."""
    values = settings.Settings(
        data_dir=root, source=str(source), license_groups=("commercial", "noncommercial", "other")
    )
    lake, opened = Lake(root), open_source(str(source))
    refresh_inventory(lake, opened, chunk_span=values.chunk_span, max_pmcid=values.max_pmcid)
    for chunk in lake.partitions(CHUNK_LISTING):
        build_index(lake, chunk, opened, rules=configs.selection_rules(values))
        fetch_xml(lake, chunk, opened)
    chunks = lake.partitions(CHUNK_LISTING)
    return max(chunks, key=lambda chunk: lake.read(CHUNK_LISTING, chunk).height)


def images(lake, chunk, source, engine, progress=SILENT):
    fetch = Mirror(lake, open_source(str(source))).ensure
    return build_images(lake, chunk, fetch=fetch, limits=ImageLimits(), engine=engine, progress=progress)


def made(root, chunk, source, engine):
    """A chunk up to its clusters and panels: each stage that hands work to an engine."""
    lake = Lake(root)
    jats.parse_chunk(lake, chunk, engine=engine)
    images(lake, chunk, source, engine)
    stage_panels(lake, chunk, engine)
    embed_chunk(lake, chunk, encoder=open_encoder("texture"), engine=engine, batch_size=4)
    shelve(lake, shelf_of_chunk(chunk))
    fit_clusters(lake, engine=engine, settings=FitSettings(k=4, n_components=5))
    assign_chunk(lake, chunk, engine=engine)
    make_contact_sheets(lake, engine=engine, settings=SheetSettings(per_role=2))


def contents(root):
    """Every file but the mark, and those that tell the times of the mirror's files."""
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and ".verified" not in path.parts]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files if path.name != engines.MARK}


@pytest.fixture(scope="module")
def ready(tmp_path_factory, demo_mirror):
    root = tmp_path_factory.mktemp("ready") / "data"
    return root, begun(root, demo_mirror)


@pytest.mark.full
def test_a_chunk_made_on_the_cluster_has_the_bytes_of_one_made_here(cluster, ready, demo_mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(jats, "_BATCH", 3)
    origin, chunk = ready
    here, there = tmp_path / "here", tmp_path / "there"
    for root, engine in ((here, LocalEngine("threads", 2)), (there, RayEngine(cluster.address, there))):
        shutil.copytree(origin, root)
        made(root, chunk, demo_mirror, engine)
    ours, theirs = contents(here), contents(there)
    assert theirs.keys() == ours.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []
    assert (there / engines.MARK).exists()
    assert Lake(there).read(IMAGES, chunk).height > 20


def soon(engine, nodes):
    """Wait until the cluster knows how many nodes it has: one that is gone is missed for some seconds."""
    until = time.monotonic() + 60
    while engine.workers != nodes and time.monotonic() < until:
        time.sleep(0.2)
    return engine.workers == nodes


@pytest.fixture
def short_lived():
    """A cluster of its own, left before it ends: a program whose own node is gone is ended by Ray."""
    if not ray_cluster.installed():
        pytest.skip("Ray is not installed (pip install 'biomedica-assets[ray]')")
    engines.disconnect()
    with ray_cluster.running(nodes=2) as found:
        yield found
        engines.disconnect()


@pytest.mark.full
def test_a_chunk_survives_the_loss_of_a_node_in_its_middle(short_lived, ready, demo_mirror, tmp_path, monkeypatch):
    """A node dies at once, with what it works on: nothing is lost, nothing doubled, and the bytes are the same."""
    monkeypatch.setattr(collect, "BATCH", 1)
    origin, chunk = ready
    shutil.copytree(origin, tmp_path / "first")
    jats.parse_chunk(Lake(tmp_path / "first"), chunk, engine=LocalEngine("serial"))
    for name in ("here", "there"):
        shutil.copytree(tmp_path / "first", tmp_path / name)
    engine = RayEngine(short_lived.address, tmp_path / "there")
    used: set[str] = set()
    come: list[int] = []
    for n, (_, node) in engine.map_batches(work.where, range(60)):
        come.append(n)
        used.add(node)
        if n == 12:
            short_lived.lose(1)
    assert (come, len(used)) == ([*range(60)], 2)
    assert soon(engine, 1)
    number = short_lived.add()
    assert soon(engine, 2)

    class Breaks(Silent):
        done = 0

        def advance(self, n=1):
            self.done += n
            if self.done == 5:
                short_lived.lose(number)

    progress = Breaks()
    report = images(Lake(tmp_path / "there"), chunk, demo_mirror, engine, progress)
    assert soon(engine, 1)
    images(Lake(tmp_path / "here"), chunk, demo_mirror, LocalEngine("threads", 2))
    assert report.n_in == report.n_out + sum(report.rejects.values()) and progress.done >= 20
    ours, theirs = contents(tmp_path / "here"), contents(tmp_path / "there")
    assert [name for name in ours | theirs if ours.get(name) != theirs.get(name)] == []


@pytest.mark.full
def test_a_run_by_the_command_uses_the_cluster(cluster, ready, demo_mirror, tmp_path):
    """The tables are those of a run without the cluster, and Ray says nothing."""
    command = [sys.executable, "-m", "biomedica_assets.cli", "run", "--source", str(demo_mirror), "--jobs", "1"]
    command += ["--chunk", ready[1], "--select", "*images"]
    told = {}
    for name, address in (("here", ""), ("there", cluster.address)):
        environment = os.environ | {
            "BIOMEDICA_DATA_DIR": str(tmp_path / name), "DAGSTER_HOME": str(tmp_path / name / "dagster_home"),
            "BIOMEDICA_RAY": address, "BIOMEDICA_ENCODER": "texture", "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        told[name] = ended.stdout + ended.stderr
        assert ended.returncode == 0, told[name]
    ours, theirs = (contents(tmp_path / name / "tables") for name in ("here", "there"))
    assert [name for name in ours | theirs if ours.get(name) != theirs.get(name)] == [] and len(ours) > 20
    assert (tmp_path / "there" / engines.MARK).exists() and not (tmp_path / "here" / engines.MARK).exists()
    assert not re.search(r"ray|worker\.py", told["there"])


@pytest.mark.full
def test_a_command_that_is_told_to_stop_ends_soon_and_leaves_the_cluster_as_it_was(cluster, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", STOPPED, cluster.address, tmp_path], env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "0\n"
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143 and time.monotonic() - began < 5
    process.stdout.close()
    done = len([*tmp_path.iterdir()])
    time.sleep(1)
    assert len([*tmp_path.iterdir()]) == done < 100
    assert dict(RayEngine(cluster.address).map_batches(work.odd_fails, [0, 2])) == {0: 0, 2: 2}
