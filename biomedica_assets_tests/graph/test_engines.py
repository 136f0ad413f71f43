"""Dagster's SQLite storages keep their engines: names of the pinned version are replaced, which this guards."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import threading

import dagster as dg
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from sqlalchemy.pool import NullPool

from biomedica_assets.automation import engines


def test_a_run_makes_an_engine_for_each_database_and_no_more(tmp_path, monkeypatch):
    made = []
    engines._empty()  # the pattern of a run's database is made once
    monkeypatch.setattr(engines, "create_engine", lambda url, **more: made.append(url) or original(url, **more))
    original = sqlite_event_log.db.create_engine
    engines.let_go()
    engines.keep_engines()

    @dg.asset
    def one():
        return 1

    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        assert dg.materialize([one], instance=instance).success
        (run,) = instance.get_runs()
        assert [event.dagster_event.event_type_value for event in instance.all_logs(run.run_id) if event.dagster_event]
    assert 2 <= len(made) == len(set(made)) <= 4
    engines.let_go()


def test_a_log_that_is_watched_grows_while_its_run_goes_on(tmp_path):
    """The UI watches the database's file, which SQLite leaves alone as long as a connection is open."""
    engines.keep_engines()
    seen = threading.Event()

    @dg.asset
    def waits():
        storage.watch(instance.get_runs()[0].run_id, None, lambda *_: seen.set())
        instance.report_engine_event("more", instance.get_runs()[0])
        assert seen.wait(20)

    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        storage = instance.event_log_storage
        assert dg.materialize([waits], instance=instance).success
    engines.let_go()


def test_what_was_written_is_read_by_another_process_and_after_the_end(tmp_path):
    engines.keep_engines()

    @dg.asset
    def one():
        return 1

    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        run = dg.materialize([one], instance=instance).run_id
        script = (
            "import dagster as dg, sys\n"
            "with dg.DagsterInstance.local_temp(sys.argv[1]) as i: print(len(i.all_logs(sys.argv[2])))"
        )
        read = [sys.executable, "-c", script, str(tmp_path), run]
        during = subprocess.run(read, capture_output=True, text=True, check=True).stdout
        engines.let_go()
        assert not list(tmp_path.rglob("*.db-wal")), "the log is written back"
        assert subprocess.run(read, capture_output=True, text=True, check=True).stdout == during
        assert int(during) == len(instance.all_logs(run)) > 5


def test_a_run_s_database_begins_as_dagster_sets_it_up(tmp_path):
    """Tables, indexes, revision and journal; an existing one is left alone, one cut short is set up by Dagster."""

    def schema(path):
        with contextlib.closing(sqlite3.connect(path)) as found:
            rows = found.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall()
            return rows, *(
                found.execute(q).fetchall() for q in ("SELECT * FROM alembic_version", "PRAGMA journal_mode")
            )

    engines.keep_engines()
    storage = sqlite_event_log.SqliteEventLogStorage(str(tmp_path))
    theirs = engines.create_engine(f"sqlite:///{tmp_path}/theirs.db", poolclass=NullPool)
    engines._set_up(storage, theirs)
    (tmp_path / "torn.db").touch()
    for name in ("new", "torn"):
        with storage.run_connection(name):
            pass
        engines.let_go()
        assert schema(tmp_path / f"{name}.db") == schema(tmp_path / "theirs.db")
    assert not list(tmp_path.glob(".*"))


def test_both_storages_ask_for_engines_by_the_name_that_is_replaced():
    for place in (sqlite_event_log, sqlite_run_storage):
        assert place.create_engine is engines._engine


def test_an_engine_of_another_kind_is_none_of_ours():
    first, second = (engines._engine("sqlite://", poolclass=None) for _ in range(2))
    assert first is not second
    one, other = (engines._engine("sqlite:///x.db", poolclass=NullPool, connect_args={"timeout": 3}) for _ in range(2))
    assert one is other
