"""Functions that engines are given: of a module, as the project's own are."""

from __future__ import annotations

import functools
import os
import time
from pathlib import Path

import numpy as np


def slower_first(n: int) -> int:
    time.sleep(0.2 if n == 0 else 0.0)
    return n * n


def odd_fails(n: int) -> int:
    if n % 2:
        raise ValueError(f"{n} is odd")
    return n


def third_time(folder: Path, n: int) -> int:
    """Fails twice for each batch; leaves a file for each try."""
    tries = len([*folder.glob(f"{n}-*")])
    (folder / f"{n}-{tries}").touch()
    if tries < 2:
        raise OSError(f"try {tries}")
    return n


def leaves_a_file(folder: Path, n: int) -> int:
    time.sleep(0.15)
    (folder / str(n)).touch()
    return n


def zeros(n: int) -> np.ndarray:
    """Large enough that an engine may keep it in memory that is shared."""
    return np.zeros(50_000 + n)


def dot(weights: np.ndarray, rows: np.ndarray) -> float:
    return float(weights[: len(rows)] @ rows)


def of_file(name: str) -> str:
    return Path(name).read_text(encoding="utf-8")


@functools.cache
def remembered(name: str) -> str:
    return of_file(name)


def threads(_: int) -> list[str | None]:
    return [os.environ.get(name) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")]


def dies(folder: Path, times: int, n: int) -> int:
    """Takes its process with it, so often for batch 3."""
    if n == 3 and len([*folder.glob("died-*")]) < times:
        (folder / f"died-{time.time_ns()}").touch()
        os._exit(1)
    return n


def where(n: int) -> tuple[int, str]:
    import ray

    time.sleep(0.1)
    return n, ray.get_runtime_context().get_node_id()


class NeedsTwo(Exception):
    """Cannot be unpickled, as exceptions with two arguments cannot."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} {two}")


def needs_two(n: int) -> int:
    raise NeedsTwo(n, n)
