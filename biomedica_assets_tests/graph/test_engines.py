"""Dagster's SQLite storages keep their engines: names of the pinned version are replaced, which this guards."""

from __future__ import annotations

import dagster as dg
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from sqlalchemy.pool import NullPool

from biomedica_assets.automation import engines


def test_a_run_makes_an_engine_for_each_database_and_no_more(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(engines, "create_engine", lambda url, **more: made.append(url) or original(url, **more))
    original = sqlite_event_log.db.create_engine
    engines._kept.cache_clear()
    engines.keep_engines()

    @dg.asset
    def one():
        return 1

    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        assert dg.materialize([one], instance=instance).success
        (run,) = instance.get_runs()
        assert [event.dagster_event.event_type_value for event in instance.all_logs(run.run_id) if event.dagster_event]
    assert 2 <= len(made) == len(set(made)) <= 4
    engines._kept.cache_clear()


def test_both_storages_ask_for_engines_by_the_name_that_is_replaced():
    for place in (sqlite_event_log, sqlite_run_storage):
        assert place.create_engine is engines._engine


def test_an_engine_of_another_kind_is_none_of_ours():
    first, second = (engines._engine("sqlite://", poolclass=None) for _ in range(2))
    assert first is not second
    one, other = (engines._engine("sqlite:///x.db", poolclass=NullPool, connect_args={"timeout": 3}) for _ in range(2))
    assert one is other
