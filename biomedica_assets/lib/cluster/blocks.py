"""Large matrices in pieces: descriptions of row ranges that a worker reads itself, and what keeps results the same.

A block travels to a worker as a path and two numbers. Its size is a constant, its order that of the file, and a worker
computes it with one thread; so sums come out bit for bit equal however many workers there are.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from biomedica_assets.lib.compute import Engine

ROWS = 32_768  # at most; 3 MB of float32 at 25 dimensions
CELLS = 2**22  # at most; 4 096 rows at 1 024 dimensions: 8 MB read, 32 MB while a worker centres them
R = TypeVar("R")


@dataclasses.dataclass(frozen=True, slots=True)
class Block:
    """Rows ``start`` to ``stop`` of a row-major file of numbers, all of them or the ``chosen`` ones."""

    path: str
    offset: int
    dimension: int
    dtype: str
    start: int
    stop: int
    chosen: NDArray[np.int64] | None = None

    @property
    def rows(self) -> int:
        """Rows that ``read`` returns."""
        return self.stop - self.start if self.chosen is None else len(self.chosen)

    def read(self) -> NDArray[np.float32]:
        """The rows as float32; ``chosen`` counts from the start of the block."""
        dtype = np.dtype(self.dtype)
        with Path(self.path).open("rb") as handle:
            handle.seek(self.offset + self.start * self.dimension * dtype.itemsize)
            values = np.fromfile(handle, dtype, (self.stop - self.start) * self.dimension)
        matrix = values.reshape(-1, self.dimension)
        return np.asarray(matrix if self.chosen is None else matrix[self.chosen], np.float32)


def cut(path: str, offset: int, dimension: int, dtype: str, rows: int) -> Iterator[Block]:
    """The blocks of a file, in order."""
    step = max(1, min(ROWS, CELLS // max(1, dimension)))
    for start in range(0, rows, step):
        yield Block(path, offset, dimension, dtype, start, min(start + step, rows))


def mapped(engine: Engine, fn: Callable[[Block], R], blocks: Iterable[Block]) -> Iterator[tuple[Block, R]]:
    """``fn`` over blocks in the engine's workers, in order; an exception of a block is raised here."""
    for block, result in engine.map_batches(fn, blocks):
        if isinstance(result, Exception):
            raise result
        yield block, result


@contextlib.contextmanager
def one_thread() -> Generator[None]:
    """Let BLAS and OpenMP use one thread meanwhile: the order of their sums must not depend on the machine."""
    threads = importlib.import_module("threadpoolctl")
    with threads.threadpool_limits(1):
        yield
