"""SQLite engines that Dagster's storages keep instead of making one for each event.

With dagster 1.13.27 every read and write of its SQLite records makes an SQLAlchemy engine anew, and with it an empty
cache of compiled statements: 8,700 engines in a run over 12 small chunks, a fifth of its CPU time. The engines have no
pool of connections (``NullPool``), so one may serve every thread and be disposed of at any time.
"""

from __future__ import annotations

import functools
from typing import Any

from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.sql import create_engine
from sqlalchemy.pool import NullPool

MOST = 64
"""Engines kept: each run has a database of its own, which nobody asks for long after its end."""
_PLACES = (sqlite_event_log, sqlite_run_storage)


@functools.lru_cache(MOST)
def _kept(url: str, timeout: float | None) -> Any:
    return create_engine(url, poolclass=NullPool, connect_args={} if timeout is None else {"timeout": timeout})


def _engine(url: str, *, poolclass: type[Any] | None = None, connect_args: dict[str, Any] | None = None) -> Any:
    given = connect_args or {}
    if poolclass is not NullPool or not set(given) <= {"timeout"}:
        return create_engine(url, poolclass=poolclass, connect_args=given)
    return _kept(str(url), given.get("timeout"))


def keep_engines() -> None:
    """Let Dagster's SQLite storages of this process keep their engines."""
    for place in _PLACES:
        vars(place)["create_engine"] = _engine
