"""``Engine`` on this machine: in the calling thread, in threads, or in spawned processes."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, TypeVar

from biomedica_assets.lib.compute.attempt import attempt

A = TypeVar("A")
B = TypeVar("B")
_ALONE_SECONDS = 0.7
_END: Any = object()
Kind = Literal["serial", "threads", "processes"]


def available_cores() -> int:
    """Cores this process may use (its affinity mask, which containers set; not the machine's count)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalEngine:
    """Threads for work that releases the GIL (decoding, hashing, reading), processes for Python-heavy work."""

    def __init__(self, kind: Kind = "threads", workers: int | None = None) -> None:
        """Args: kind: where batches run; workers: how many at once, None for one per core."""
        self.kind: Kind = kind
        self.workers = 1 if kind == "serial" else max(1, workers or available_cores())

    def map_batches(
        self, fn: Callable[[A], B], batches: Iterable[A], *, cpus: float = 1, gpus: float = 0, retries: int = 0
    ) -> Iterator[tuple[A, B | Exception]]:
        """See ``Engine.map_batches``; ``cpus`` and ``gpus`` place nothing on one machine."""
        if self.kind == "serial" or self.workers == 1:
            for batch in batches:
                yield batch, attempt(fn, batch, retries)
            return
        remaining = iter(batches)
        if self.kind == "processes":
            # A small chunk is done before a pool of processes has started (0.5 to 1 s each for their imports).
            until = time.monotonic() + _ALONE_SECONDS
            while time.monotonic() < until:
                batch = next(remaining, _END)
                if batch is _END:
                    return
                yield batch, attempt(fn, batch, retries)
        with self._pool() as pool:
            flying: deque[tuple[A, concurrent.futures.Future[B | Exception]]] = deque()
            try:
                for batch in remaining:
                    flying.append((batch, pool.submit(attempt, fn, batch, retries)))
                    if len(flying) >= 2 * self.workers:
                        yield self._next(flying)
                while flying:
                    yield self._next(flying)
            finally:
                for _, future in flying:
                    future.cancel()

    def _pool(self) -> concurrent.futures.Executor:
        if self.kind == "threads":
            return concurrent.futures.ThreadPoolExecutor(self.workers)
        # spawn: forking a process that holds Polars' or torch's threads deadlocks.
        context = multiprocessing.get_context("spawn")
        return concurrent.futures.ProcessPoolExecutor(self.workers, mp_context=context)

    @staticmethod
    def _next(flying: deque[tuple[A, concurrent.futures.Future[B | Exception]]]) -> tuple[A, B | Exception]:
        batch, future = flying.popleft()
        return batch, future.result()
