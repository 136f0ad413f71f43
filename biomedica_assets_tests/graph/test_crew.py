"""How many processes a walk gets, and what each of them may use."""

from __future__ import annotations

import pytest

from biomedica_assets import settings
from biomedica_assets.automation import crew


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
