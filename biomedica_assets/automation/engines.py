"""SQLite engines and connections that Dagster's storages keep instead of making them for each event.

With dagster 1.13.27 every read and write of its SQLite records makes an SQLAlchemy engine anew, and with it an empty
cache of compiled statements: 8,700 engines in a run over 12 small chunks, a fifth of its CPU time. It also opens and
closes a connection each time, and the last one that closes a database writes its whole log back into it and waits for
the disk: `benchmarks/record_cost.py` has what that costs. A kept connection leaves that to SQLite, which does it every
thousand pages, and waits for the disk only then (``synchronous=NORMAL``): a killed process loses nothing, a power cut
may lose the last records, never the database. What was made is known by the manifests of the lake, not by these
records.
Each run has a database of its own, and to set one up all of Dagster's migrations are read and compiled: three fifths of
what a run's records cost. The first is set up so, the others begin as its copy.
The web server shows a run's log as it grows by watching the file of its database, so that is touched when a record has
been written.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import tempfile
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import sqlalchemy.exc
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.sql import create_engine
from sqlalchemy import event
from sqlalchemy.pool import NullPool, QueuePool

MOST = 16
"""Engines kept: each run has a database of its own, which nobody asks for long after its end."""
_PLACES = (sqlite_event_log, sqlite_run_storage)
_kept: OrderedDict[tuple[str, float | None], Any] = OrderedDict()
_lock = threading.Lock()
_set_up = sqlite_event_log.SqliteEventLogStorage._initdb


def _keep(url: str, timeout: float | None) -> Any:
    with _lock:
        if (url, timeout) in _kept:
            _kept.move_to_end((url, timeout))
            return _kept[url, timeout]
        # SQLite's own locks keep threads apart; a pool gives one connection to one of them at a time.
        given = {"check_same_thread": False} | ({} if timeout is None else {"timeout": timeout})
        made = create_engine(url, poolclass=QueuePool, pool_size=1, max_overflow=-1, connect_args=given)
        event.listen(made, "connect", _prepare)
        event.listen(made, "checkin", functools.partial(_touch, str(made.url.database)))
        made.dispose = _stay  # the storages dispose of an engine after each use
        _kept[url, timeout] = made
        oldest = _kept.popitem(last=False)[1] if len(_kept) > MOST else None
    if oldest is not None:
        _close(oldest)
    return made


def _prepare(connection: Any, _: object) -> None:
    connection.execute("PRAGMA synchronous=NORMAL").close()


def _touch(path: str, *_: object) -> None:
    with contextlib.suppress(OSError):  # deleted meanwhile, with its run
        os.utime(path)


def _stay(*_: object, **__: object) -> None:
    """Keep the connection."""


def _close(engine: Any) -> None:
    type(engine).dispose(engine)


def _engine(url: str, *, poolclass: type[Any] | None = None, connect_args: dict[str, Any] | None = None) -> Any:
    given = connect_args or {}
    if poolclass is not NullPool or not set(given) <= {"timeout"}:
        return create_engine(url, poolclass=poolclass, connect_args=given)
    return _keep(str(url), given.get("timeout"))


@functools.cache
def _empty() -> bytes:
    """An empty database of a run, as Dagster sets it up."""
    with tempfile.TemporaryDirectory(prefix="biomedica-") as folder:
        storage = sqlite_event_log.SqliteEventLogStorage(folder)
        path = Path(folder, "run.db")
        engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
        _set_up(storage, engine)
        engine.dispose()
        return path.read_bytes()


def _init(self: Any, engine: Any, for_index_shard: bool = False) -> None:
    """In place of ``SqliteEventLogStorage._initdb``, which does nothing to a database that has a revision."""
    path = Path(engine.url.database)
    if not for_index_shard and path.suffix == ".db":
        if not path.exists():
            new = path.with_name(f".{path.name}-{os.getpid()}-{threading.get_ident()}")
            new.write_bytes(_empty())
            with contextlib.suppress(OSError):  # another process was faster, or the disk knows no links
                os.link(new, path)
            new.unlink()
        with engine.connect() as connection:
            if _has_revision(connection):
                return
    _set_up(self, engine, for_index_shard)


def _has_revision(connection: Any) -> bool:
    with contextlib.suppress(sqlalchemy.exc.OperationalError):  # no such table
        return bool(connection.execute(sqlalchemy.text("SELECT version_num FROM alembic_version")).scalar())
    return False


def keep_engines() -> None:
    """Let Dagster's SQLite storages of this process keep their engines and a connection of each."""
    for place in _PLACES:
        vars(place)["create_engine"] = _engine
    sqlite_event_log.SqliteEventLogStorage._initdb = _init


def let_go() -> None:
    """Close what is kept; the last one that closes a database writes its log back into it."""
    with _lock:
        engines = list(_kept.values())
        _kept.clear()
    for engine in engines:
        _close(engine)


atexit.register(let_go)
