"""What every engine promises, asked of each: order, exceptions as results, retries, bounds, an end in the middle."""

from __future__ import annotations

import functools
import time

import numpy as np
import pytest

from biomedica_assets.lib.compute.local import LocalEngine
from biomedica_assets.lib.compute.ray import ClusterUnreachable, RayEngine, connect, disconnect
from biomedica_assets_tests.lib.compute import work
from biomedica_assets_tests.support import ray_cluster

HEAVY = pytest.mark.full  # starts processes, or a cluster
LOCAL = ["serial", "threads", pytest.param("processes", marks=HEAVY)]
ALL = [*LOCAL, pytest.param("ray", marks=HEAVY), pytest.param("client", marks=HEAVY)]


@pytest.fixture(scope="module")
def cluster():
    if not ray_cluster.installed():
        pytest.skip("Ray is not installed (pip install 'biomedica-assets[ray]')")
    with ray_cluster.running(nodes=2) as found:
        yield found
        disconnect()


def reached(address):
    """An address that answers: Ray gives the server of a client 30 seconds to start, too few on a busy machine."""
    for left in reversed(range(4)):
        try:
            connect(address)
        except ClusterUnreachable:
            if not left:
                raise
        else:
            break
    return address


@pytest.fixture(scope="module", params=ALL)
def engine(request):
    match request.param:
        case "ray":
            return RayEngine(request.getfixturevalue("cluster").address)
        case "client":
            return RayEngine(reached(request.getfixturevalue("cluster").client))
        case kind:
            return LocalEngine(kind, 2)


def test_results_come_in_the_order_of_the_batches_with_the_callers_own(engine):
    batches = [*range(12)]
    found = [*engine.map_batches(work.slower_first, batches)]
    assert found == [(n, n * n) for n in batches]
    own = [[n] for n in range(3)]
    assert all(batch is one for (batch, _), one in zip(engine.map_batches(len, own), own, strict=True))
    assert [*engine.map_batches(work.slower_first, [])] == []


def test_an_exception_is_the_result_of_its_batch_and_stops_no_other(engine):
    found = dict(engine.map_batches(work.odd_fails, range(6)))
    assert {n: found[n] for n in (0, 2, 4)} == {0: 0, 2: 2, 4: 4}
    assert [(type(found[n]), str(found[n])) for n in (1, 3, 5)] == [(ValueError, f"{n} is odd") for n in (1, 3, 5)]


def test_a_batch_is_tried_as_often_as_asked(engine, tmp_path):
    for retries, came in ((1, OSError), (2, int)):
        folder = tmp_path / str(retries)
        folder.mkdir()
        found = dict(engine.map_batches(functools.partial(work.third_time, folder), range(3), retries=retries))
        assert {type(result) for result in found.values()} == {came}
        assert len([*folder.iterdir()]) == 3 * (retries + 1)


def test_no_more_is_taken_than_can_be_in_flight(engine):
    taken = []
    came = engine.map_batches(work.odd_fails, (taken.append(n) or n for n in range(0, 100, 2)))
    assert next(came) == (0, 0)
    assert len(taken) <= 2 * engine.workers
    came.close()


def test_closing_takes_back_what_waits(engine, tmp_path):
    came = engine.map_batches(functools.partial(work.leaves_a_file, tmp_path), range(60))
    assert next(came) == (0, 0)
    came.close()
    time.sleep(0.5)
    done = len([*tmp_path.iterdir()])
    assert done <= 2 * engine.workers + 1
    time.sleep(0.5)
    assert len([*tmp_path.iterdir()]) == done


def test_arrays_travel_both_ways_and_can_be_written_to(engine):
    for n, found in engine.map_batches(work.zeros, range(3)):
        found[0] += n
        assert found[0] == n and len(found) == 50_000 + n
    weights, rows = np.arange(200_000.0), [np.ones(10), np.ones(20)]
    assert [answer for _, answer in engine.map_batches(functools.partial(work.dot, weights), rows)] == [45.0, 190.0]


def test_paths_may_be_relative(engine, tmp_path, monkeypatch):
    (tmp_path / "words").write_text("here", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert [*engine.map_batches(work.of_file, ["words"])] == [("words", "here")]
