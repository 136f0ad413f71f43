"""Ending a command on SIGINT or SIGTERM: nothing is recorded as failed, no process is left, and it takes 5 seconds.

Belongs here: all that handles signals. Dagster puts handlers of its own in place while it executes a run, and notes an
interrupt that it did not ask for as a failure; only a run that is canceling becomes canceled (dagster 1.13.27). So
it is kept from doing that, and signals are read from the interpreter's wakeup descriptor: a thread marks the run
first, and then interrupts the main thread by another signal.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Generator, Iterable
from types import FrameType
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    import dagster as dg

SIGNALS = (signal.SIGINT, signal.SIGTERM)
WITHIN = 3.5
"""Seconds that a command has to end by itself; then it is ended."""
_ONE_WISH = 0.5
"""Seconds within which a second signal is the same wish: a terminal, or ``timeout``, may tell a process twice."""
_QUIT = b"\0"


class Stopped(KeyboardInterrupt):
    """The command was told to stop; ``code`` is its exit code, 128 and the number of the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


class Stop:
    """Counts the signals of this process, marks its run, interrupts it, and ends it if it does not end by itself."""

    def __init__(self) -> None:
        self.number = 0
        self._first = 0.0
        self._run: tuple[dg.DagsterInstance, str] | None = None
        self._interrupts = 0

    def check(self) -> None:
        """Go no further if a signal came; to be called between two steps of work.

        Raises:
            Stopped: one came.
        """
        if self.number:
            raise Stopped(self.number)

    @contextlib.contextmanager
    def watching(self) -> Generator[None]:
        """Watch while the block runs; outside the main thread, or in a block of another, signals are left alone."""
        if threading.current_thread() is not threading.main_thread() or self._interrupts:
            yield
            return
        self.number, self._first, self._interrupts = 0, 0.0, signal.SIGUSR1
        read, write = os.pipe()
        os.set_blocking(write, False)

        def forward(number: int, _frame: FrameType | None) -> None:
            # A web server takes the wakeup descriptor for itself, and raises the signal again when it has ended.
            if not self.number:
                os.write(write, bytes([number]))

        def interrupt(_number: int, _frame: FrameType | None) -> None:
            if self._interrupts:
                raise Stopped(self.number)

        before = {number: signal.signal(number, forward) for number in SIGNALS}
        before[signal.SIGUSR1] = signal.signal(signal.SIGUSR1, interrupt)
        wakeup = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        watch = threading.Thread(target=self._watch, args=(read,), daemon=True, name="stopping")
        watch.start()
        try:
            yield
            self.check()
        finally:
            self._interrupts = 0
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            if self.number:
                end_descendants()
            else:
                os.write(write, _QUIT)
                watch.join()
                os.close(read)
                os.close(write)
            # Else the watch goes on to the end of the process: threads may keep it from ending.

    @contextlib.contextmanager
    def running(self, instance: dg.DagsterInstance, run_id: str) -> Generator[None]:
        """A run of Dagster is executed in the block: it is canceled, not failed, if a signal comes.

        Raises:
            Stopped: a signal came.
        """
        self.check()
        from dagster._utils import interrupts

        self._run = (instance, run_id)
        replace = interrupts._replace_interrupt_signal  # pyright: ignore[reportPrivateUsage]
        if self._interrupts:
            # Its handlers would end the step before the run is marked.
            interrupts._replace_interrupt_signal = _leave  # pyright: ignore[reportPrivateUsage]
        try:
            yield
        finally:
            interrupts._replace_interrupt_signal = replace  # pyright: ignore[reportPrivateUsage]
            if self.number:
                self._cancel()
            self._run = None
        self.check()

    def _watch(self, read: int) -> None:
        while (got := os.read(read, 1)) != _QUIT:
            if not got or got[0] not in SIGNALS:
                continue
            if self.number:
                if time.monotonic() - self._first > _ONE_WISH:
                    self._end()
                continue
            self._first, self.number = time.monotonic(), got[0]
            late = threading.Timer(WITHIN, self._end)
            late.daemon = True
            late.start()
            self._mark()
            if self._interrupts:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    def _mark(self) -> None:
        if (current := self._run) is not None:
            instance, run_id = current
            run = instance.get_run_by_id(run_id)
            if run is not None and not run.is_finished:
                instance.report_run_canceling(run, f"stopped by {signal.Signals(self.number).name}")

    def _cancel(self) -> None:
        if (current := self._run) is not None:
            instance, run_id = current
            run = instance.get_run_by_id(run_id)
            if run is not None and not run.is_finished:
                instance.report_run_canceled(run, f"stopped by {signal.Signals(self.number).name}")

    def _end(self) -> None:
        """End the process and all below it now."""
        below = descendants(os.getpid())
        kill(below, signal.SIGTERM)
        canceling = threading.Thread(target=self._cancel, daemon=True)
        canceling.start()
        canceling.join(0.7)  # the database may be locked by the thread that hangs
        kill({*below, *descendants(os.getpid())}, signal.SIGKILL)
        os._exit(128 + self.number)


def _leave(_handler: object) -> None:
    """In place of Dagster's function that replaces signal handlers."""


STOP = Stop()
"""Of this process."""


def descendants(pid: int) -> set[int]:
    """Processes below a process; none if it is gone."""
    try:
        return {child.pid for child in psutil.Process(pid).children(recursive=True)}
    except psutil.NoSuchProcess:
        return set()


def end_descendants() -> None:
    """End all processes below this one: they are asked, and killed half a second later."""
    below = descendants(os.getpid())
    kill(below, signal.SIGTERM)
    until = time.monotonic() + _ONE_WISH
    while time.monotonic() < until and descendants(os.getpid()) & below:
        time.sleep(0.05)
    kill(descendants(os.getpid()) & below, signal.SIGKILL)


def kill(pids: Iterable[int], number: int) -> None:
    """Send a signal to each of the processes that is still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def call(command: list[str]) -> int:
    """Run a command to its end and return its code; if this process is told to stop, so is all below it.

    Raises:
        Stopped: it was; nothing of the command is left.
    """
    # A session of its own: a terminal's SIGINT comes once, from here.
    process = subprocess.Popen(command, start_new_session=True)
    try:
        return process.wait()
    finally:
        if process.poll() is None:
            below = descendants(process.pid)
            process.send_signal(signal.SIGINT)  # Dagster's way of being asked to end its servers
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(2.0)
            kill({process.pid, *below, *descendants(process.pid)}, signal.SIGKILL)
            process.wait()
