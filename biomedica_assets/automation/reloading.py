"""Let a running UI offer what an inventory has just listed.

A web server knows the partitions that its code location had when it was loaded. Whoever supervises it asks it to load
the location again, by Dagster's own client, when other chunks or recipes are there; web server and daemon follow.
The UI goes on showing what it knew for the 2.4 s that it takes (dagster 1.13.27, 650 chunks; 19 s under a load of 5).
Concept: https://docs.dagster.io/api/clients/graphql
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
from collections.abc import Callable, Generator
from pathlib import Path

from biomedica_assets.instance import LOCATION
from biomedica_assets.offered import Keys, changed_at, keys

LOOK = 1.0
"""Seconds between two looks at the times of files."""
LOOK_CLOSELY = 30.0
"""Seconds between two looks at every chunk: one that was emptied goes without a new inventory."""

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def reloading(
    data_dir: Path, port: int, reload: Callable[[int], bool] | None = None, *, elsewhere: str = ""
) -> Generator[None]:
    """Keep the partitions that a UI offers those of the data directory while the block runs.

    Args:
        data_dir: whose partitions.
        port: of the web server.
        reload: asks the server at a port to load again, and says whether it did; None uses Dagster's client.
        elsewhere: host of a server that others have started, nobody knows when: it is asked to load again at once.
    """
    over = threading.Event()
    ask = reload or functools.partial(_reload, host=elsewhere or "127.0.0.1")
    shown = Keys((), (), ()) if elsewhere else keys(data_dir)
    watch = threading.Thread(target=_watch, args=(data_dir, port, shown, ask, over), daemon=True)
    watch.start()
    try:
        yield
    finally:
        over.set()


def _watch(data_dir: Path, port: int, shown: Keys, reload: Callable[[int], bool], over: threading.Event) -> None:
    at, waited = changed_at(data_dir), LOOK_CLOSELY if shown != keys(data_dir) else 0.0
    while not over.wait(LOOK):
        waited += LOOK
        try:
            now = changed_at(data_dir)
            if now == at and waited < LOOK_CLOSELY:
                continue
            found = keys(data_dir)
            if found != shown and not reload(port):
                continue  # it is not up yet, or busy: the next look tries again
            shown, at, waited = _told(found, shown), now, 0.0
        except OSError as error:
            _log.debug("cannot look at %s: %s", data_dir, error)


def _told(found: Keys, shown: Keys) -> Keys:
    if found != shown:
        new, gone = len({*found.chunks} - {*shown.chunks}), len({*shown.chunks} - {*found.chunks})
        _log.info("the UI offers %d chunks: %d new, %d gone", len(found.chunks), new, gone)
    return found


def _reload(port: int, host: str = "127.0.0.1") -> bool:
    # Imported late: most lives of a UI see no new chunk, and this costs a second and 100 MB.
    from dagster_graphql import DagsterGraphQLClient, DagsterGraphQLClientError, ReloadRepositoryLocationStatus

    try:
        done = DagsterGraphQLClient(host, port_number=port).reload_repository_location(LOCATION)
    except (DagsterGraphQLClientError, OSError) as error:
        _log.debug("%s:%d: %s", host, port, error)
        return False
    if done.status is not ReloadRepositoryLocationStatus.SUCCESS:
        _log.warning("the UI could not load the graph again: %s", done.message)
    return True
