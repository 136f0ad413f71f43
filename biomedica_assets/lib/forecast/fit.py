"""Rates from observations: a straight line through what single partitions took."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from biomedica_assets.lib.forecast.contents import Unit
from biomedica_assets.lib.forecast.rates import Line, StageRate
from biomedica_assets.lib.tables.model import Partitioning

FEWEST = 3
"""Observations from which the first, which also pays for imports, can be told from the others."""


@dataclasses.dataclass(frozen=True, slots=True)
class Observation:
    """One step that made one partition of an asset.

    Attributes:
        asset: which.
        partition: key, None if unpartitioned.
        units: articles, figures or images of the partition.
        seconds: wall time.
        cpu_seconds: processor time.
        written: bytes published.
        peak_bytes: the most memory that the process held.
    """

    asset: str
    partition: str | None
    units: int
    seconds: float
    cpu_seconds: float
    written: int
    peak_bytes: int


def stage_rate(observed: Sequence[Observation], per: Partitioning, unit: Unit) -> StageRate:
    """The rate of one asset.

    Args:
        observed: at least one, of the same asset, in the order in which they were made.
        per: how the asset is cut.
        unit: what ``units`` of the observations counts.
    """
    units = sum(one.units for one in observed)
    written = sum(one.written for one in observed)
    return StageRate(
        asset=observed[0].asset,
        per=per,
        unit=unit,
        wall=line([(one.units, one.seconds) for one in observed], per),
        processor=line([(one.units, one.cpu_seconds) for one in observed], per),
        written=written / units if units else 0.0,
        peak_bytes=max(one.peak_bytes for one in observed),
        partitions=len(observed),
        units=units,
    )


def line(points: Sequence[tuple[float, float]], per: Partitioning) -> Line:
    """The line through (units, seconds) of partitions in the order in which they were made; no part of it negative.

    The first pays for imports and whatever else is done once in a process: it stands apart where there are others to
    tell it by. The rest is least squares, whose line passes through the mean, so that the sum over what was observed
    is what was observed. Of fewer than ``FEWEST``, or if all are of one size, those of chunks and shelves are taken to
    grow with what is in them, others, of which there is one each, not to grow: nothing tells.
    """
    (first_units, first), *others = points
    if len(points) < FEWEST or len({units for units, _ in others}) == 1:
        total, units = sum(y for _, y in points), sum(x for x, _ in points)
        grows = units and per in ("chunk", "shelf")
        return Line(unit=total / units) if grows else Line(each=total / len(points))
    each, unit = _least_squares(others)
    return Line(once=max(0.0, first - each - unit * first_units), each=each, unit=unit)


def _least_squares(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Intercept and slope, both at least 0."""
    n = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0
    if slope <= 0:
        return mean_y, 0.0
    if mean_y < slope * mean_x:
        return 0.0, mean_y / mean_x
    return mean_y - slope * mean_x, slope
