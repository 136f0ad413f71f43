"""Where work inside a step runs: one protocol, ``Engine``, and its implementations.

``local.py`` is the default: a pool of processes or threads on this machine; ``ray.py`` is a cluster, by address;
``engines.py`` chooses. Dagster orchestrates between steps; the fan-out over articles and images happens here, inside
the step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

A = TypeVar("A")
B = TypeVar("B")


class Engine(Protocol):
    """Maps a picklable module-level function over batches.

    Results come in the order of the batches whatever the number of workers, so that output does not depend on it.
    Batches and results are small: paths and byte ranges travel; the files they name lie where every worker sees them.
    """

    @property
    def workers(self) -> int:
        """How many batches run at once."""
        ...

    def map_batches(
        self, fn: Callable[[A], B], batches: Iterable[A], *, cpus: float = 1, gpus: float = 0, retries: int = 0
    ) -> Iterator[tuple[A, B | Exception]]:
        """Yield ``(batch, result)`` in order, or ``(batch, exception)`` after ``retries`` more tries.

        At most ``2 * workers`` batches are in flight: the input is consumed lazily and memory stays bounded.
        """
        ...


def results(engine: Engine | None, fn: Callable[[A], B], batches: Iterable[A]) -> Iterator[B]:
    """What a function makes of each batch, in order; an exception of a batch is raised here.

    Args:
        engine: where it runs; None runs it here.
        fn: of a module, so that a worker can run it.
        batches: consumed lazily.
    """
    if engine is None:
        yield from map(fn, batches)
        return
    for _, result in engine.map_batches(fn, batches):
        if isinstance(result, Exception):
            raise result
        yield result
