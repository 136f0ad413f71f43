"""Rates and contents in round numbers, so that a forecast can be checked by hand."""

from __future__ import annotations

from typing import Any

from biomedica_assets.lib.forecast.contents import Contents
from biomedica_assets.lib.forecast.rates import Line, Machine, Rates, StageRate

CONTENTS = Contents(
    articles=1000, figures=3000, images=2000, xml_bytes=100_000_000, media_bytes=4_000_000_000, chunks=10, shelves=2,
    recipes=3,
)  # fmt: skip


def stage(
    asset: str, per: Any = "chunk", unit: Any = "images", *, wall: Line, processor: Line, **more: Any
) -> StageRate:
    """A rate; what is not given is nothing."""
    given = {"written": 0.0, "peak_bytes": 0, "partitions": 5, "units": 100} | more
    return StageRate(asset=asset, per=per, unit=unit, wall=wall, processor=processor, **given)


def rates(*stages: StageRate, load: float = 0.0, **more: Any) -> Rates:
    """Rates of a machine with two cores."""
    given: dict[str, Any] = {"start": Line(), "run": Line(), "runs": {}, "close": Line()} | more
    return Rates(
        source="made up", machine=Machine(cores=2, processor="a processor", memory_bytes=1 << 34, load=load),
        versions={}, date="2026-01-01", command="none", encoder="texture", contents=CONTENTS, stages=stages, **given,
    )  # fmt: skip
