"""How long work tells people that it is alive.

Library functions take a ``Progress`` and call it; what is drawn (a bar on a terminal, log lines with rate and time left
in a Dagster run, nothing in a test) is the caller's choice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Progress(Protocol):
    """Receiver of progress: one ``start`` per activity, then any number of ``advance``, then ``finish``."""

    def start(self, what: str, total: int | None, unit: str) -> None:
        """An activity begins, for example ``start("decode images", 4210, "images")``; total None if unknown."""
        ...

    def advance(self, n: int = 1) -> None:
        """``n`` more units are done."""
        ...

    def finish(self) -> None:
        """The activity is over."""
        ...


class Silent:
    """Progress that shows nothing."""

    def start(self, what: str, total: int | None, unit: str) -> None:
        """Ignore."""

    def advance(self, n: int = 1) -> None:
        """Ignore."""

    def finish(self) -> None:
        """Ignore."""


SILENT: Progress = Silent()


class LogProgress:
    """Progress as log lines: at most one every ``every`` seconds, with rate and time left."""

    def __init__(self, log: logging.Logger, every: float = 10.0) -> None:
        self._log, self._every = log, every
        self._what, self._total, self._unit = "", None, ""
        self._done, self._began, self._last = 0, 0.0, 0.0

    def start(self, what: str, total: int | None, unit: str) -> None:
        """Remember what is counted; logs nothing yet, so that short work stays quiet."""
        self._what, self._total, self._unit = what, total, unit
        self._done, self._began = 0, time.monotonic()
        self._last = self._began

    def advance(self, n: int = 1) -> None:
        """Count, and log when the interval has passed."""
        self._done += n
        now = time.monotonic()
        if now - self._last >= self._every:
            self._last = now
            rate = self._done / max(now - self._began, 1e-9)
            left = f", {(self._total - self._done) / rate:,.0f} s left" if self._total and rate else ""
            of = f" of {self._total:,}" if self._total else ""
            self._log.info("%s: %s%s %s, %.1f/s%s", self._what, f"{self._done:,}", of, self._unit, rate, left)

    def finish(self) -> None:
        """Log the closing line if any line was logged before it."""
        if self._last > self._began:
            took = time.monotonic() - self._began
            self._log.info("%s: %s %s in %.1f s", self._what, f"{self._done:,}", self._unit, took)


def track(items: Iterable[T], progress: Progress, what: str, total: int | None, unit: str) -> Iterator[T]:
    """Yield the items, telling ``progress`` about each one."""
    progress.start(what, total, unit)
    try:
        for item in items:
            yield item
            progress.advance()
    finally:
        progress.finish()
