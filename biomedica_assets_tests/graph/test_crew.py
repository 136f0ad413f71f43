"""How many processes a walk gets, and what each of them may use."""

from __future__ import annotations

import multiprocessing
import threading

import pytest

from biomedica_assets import settings
from biomedica_assets.automation import crew
from biomedica_assets.automation.ran import Batch, Ran


@pytest.mark.parametrize(
    ("wanted", "cores", "gigabytes", "jobs"),
    [(0, 1, 64, 1), (0, 2, 64, 1), (0, 4, 64, 2), (0, 64, 64, 8), (0, 64, 5, 2), (0, 64, 0, 1), (5, 2, 1, 5)],
)
def test_jobs_follow_cores_and_memory_unless_told(monkeypatch, wanted, cores, gigabytes, jobs):
    memory = type("Memory", (), {"available": gigabytes << 30})
    monkeypatch.setattr(crew, "available_cores", lambda: cores)
    monkeypatch.setattr(crew.psutil, "virtual_memory", lambda: memory)
    assert crew.jobs_for(wanted) == jobs


def test_each_process_has_its_share_of_cores_and_requests(monkeypatch):
    monkeypatch.setattr(crew, "available_cores", lambda: 16)
    share = crew.share_of(settings.Settings(), 8)
    assert (share.workers, share.fetch_concurrency) == (2, 8)
    assert crew.share_of(settings.Settings(workers=3), 8).workers == 1


def test_what_goes_wrong_in_a_process_is_told_and_the_next_run_is_taken():
    ours, theirs = multiprocessing.Pipe()
    batches = [Batch((name,), None) for name in ("figures", "shards", "recipe")]

    def do(batch, tags):
        if batch.assets == ("shards",):
            raise OSError(28, "No space left on device")
        return Ran(ok=True, made=frozenset(batch.assets))

    worker = threading.Thread(target=crew.answer, args=(theirs, do))
    worker.start()
    told = []
    for batch in batches:
        ours.send((batch, {}))
        told.append(ours.recv())
    ours.close()
    worker.join(10)
    assert not worker.is_alive()
    assert [one.ok for one in told] == [True, False, True]
    assert (told[1].at, told[1].message) == ("shards", "shards: OSError: [Errno 28] No space left on device")


@pytest.mark.full  # two processes that import Dagster
def test_a_process_that_cannot_open_the_records_says_why(tmp_path):
    (tmp_path / "dagster_home").write_text("a file where a folder should be")
    with crew.Crew(settings.Settings(data_dir=tmp_path), 1) as hands:
        for asset in ("pmc_inventory", "article_index"):
            hands.begin(Batch((asset,), None))
            batch, told = hands.wait()
            assert batch.assets == (asset,) and not told.ok
            assert "cannot start" in told.message and "dagster_home" in told.message
