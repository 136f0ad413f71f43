"""Intervals by resampling groups: what the same test set, drawn again, might have said.

Items of one patient, or copies of one image, are not independent; so whole groups are drawn with replacement. One
``Resampler`` serves all metrics of a task, so differences between metrics and models are paired.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
BLOCK_BYTES = 64_000_000  # weights of one block of replicates; keeps 32,768 items x 1,000 replicates in bounds


@dataclasses.dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its interval.

    Attributes:
        value: on the test set itself; nan if undefined.
        low: lower end of the interval.
        high: upper end.
        se: standard deviation of the replicates.
    """

    value: float
    low: float
    high: float
    se: float

    @property
    def defined(self) -> bool:
        """Whether there is a value at all."""
        return not np.isnan(self.value)


UNDEFINED = Estimate(float("nan"), float("nan"), float("nan"), float("nan"))


def group_codes(groups: Sequence[str]) -> tuple[I64, int]:
    """Groups as numbers in order of first appearance, and how many there are."""
    seen: dict[str, int] = {}
    codes = np.fromiter((seen.setdefault(g, len(seen)) for g in groups), np.int64, len(groups))
    return codes, len(seen)


@dataclasses.dataclass(frozen=True, slots=True)
class Resampler:
    """Draws of groups with replacement.

    Attributes:
        n_groups: how many groups there are.
        replicates: how many draws.
        seed: same seed, same draws.
        confidence: coverage aimed at.
    """

    n_groups: int
    replicates: int = 1000
    seed: int = 0
    confidence: float = 0.95

    def weights(self, width: int = 1) -> Iterator[F64]:
        """How often each group was drawn: blocks of rows, replicates in all, each row summing to ``n_groups``.

        ``width`` is how many numbers the caller makes of a row; it bounds the block, not the draws.
        """
        rng = np.random.default_rng(self.seed)
        rows = max(1, min(self.replicates, BLOCK_BYTES // (8 * max(self.n_groups, width, 1))))
        for start in range(0, self.replicates, rows):
            n = min(rows, self.replicates - start)
            drawn = rng.integers(0, self.n_groups, size=(n, self.n_groups))
            drawn += np.arange(n)[:, None] * self.n_groups
            yield np.bincount(drawn.ravel(), minlength=n * self.n_groups).reshape(n, self.n_groups).astype(np.float64)

    def replicate(self, statistic: Callable[[F64], F64], width: int = 1) -> F64:
        """A statistic of the group weights (rows x groups -> rows x k) for every draw: replicates x k."""
        return np.concatenate([statistic(w) for w in self.weights(width)], axis=0)

    def estimate(self, value: float, replicates: F64) -> Estimate:
        """Percentile interval of replicates around a value; replicates without a value (nan) do not count."""
        usable = replicates[~np.isnan(replicates)]
        if np.isnan(value) or not usable.size:
            return UNDEFINED
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(usable, [tail, 1 - tail])
        return Estimate(float(value), float(min(low, value)), float(max(high, value)), float(usable.std()))


def mean_estimates(values: F64, groups: I64, resampler: Resampler) -> list[Estimate]:
    """Means of columns with intervals.

    Args:
        values: items x k; nan where an item does not count for a column.
        groups: group number of each item.
        resampler: over the groups.

    Where every item agrees (all right, or all wrong) resampling would claim certainty; the exact binomial bound with
    one trial per group is given instead (Clopper and Pearson 1934).
    """
    sums, counts = group_sums(values, groups, resampler.n_groups)
    with np.errstate(invalid="ignore", divide="ignore"):
        points = sums.sum(0) / counts.sum(0)
        drawn = resampler.replicate(lambda w: (w @ sums) / (w @ counts), width=values.shape[1])
    made: list[Estimate] = []
    for k, point in enumerate(points):
        estimate = resampler.estimate(float(point), drawn[:, k])
        column = values[:, k]
        if estimate.defined and np.isin(column[~np.isnan(column)], (0.0, 1.0)).all() and point in (0.0, 1.0):
            estimate = _all_alike(float(point), int((counts[:, k] > 0).sum()), resampler.confidence, estimate.se)
        made.append(estimate)
    return made


def group_sums(values: F64, groups: I64, n_groups: int) -> tuple[F64, F64]:
    """Sum and number of the values of each group and column (nan does not count): groups x k each."""
    known = ~np.isnan(values)
    return _by_group(np.where(known, values, 0.0), groups, n_groups), _by_group(known, groups, n_groups)


def _by_group(columns: NDArray[Any], groups: I64, n_groups: int) -> F64:
    summed = [np.bincount(groups, column.astype(np.float64), n_groups) for column in columns.T]
    return np.stack(summed, axis=1).astype(np.float64)


def _all_alike(point: float, n: int, confidence: float, se: float) -> Estimate:
    # the quantile of Beta(n, 1) at p is p ** (1 / n)
    bound = ((1 - confidence) / 2) ** (1 / n)
    return Estimate(1.0, bound, 1.0, se) if point == 1.0 else Estimate(0.0, 0.0, 1 - bound, se)
