"""One batch, tried as often as asked: what every engine does in its workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def attempt(fn: Callable[[A], B], batch: A, retries: int) -> B | Exception:
    """Run once and up to ``retries`` times more; the last exception is a result, the caller decides about it."""
    last: Exception | None = None
    for _ in range(retries + 1):
        try:
            return fn(batch)
        except Exception as error:  # noqa: BLE001 - handed to the caller as the batch's result
            last = error
    assert last is not None  # noqa: S101
    return last
