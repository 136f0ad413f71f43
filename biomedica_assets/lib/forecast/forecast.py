"""The forecast: how long each stage takes on given machines, what it writes and costs, and what limits the whole.

The model is simple enough to be checked by hand. A step takes as long as it was measured to, never less than its bytes
take through the network; so many runs go side by side; and all together they cannot use more processor time, network
or card time than there is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Literal

from biomedica_assets.lib.forecast.contents import Contents
from biomedica_assets.lib.forecast.rates import CardRate, Rates, StageRate
from biomedica_assets.lib.tables.model import Partitioning

Limit = Literal["steps", "processor", "network", "card"]
EFFICIENCY = 0.8
"""Share of the cores' time that goes into steps when several runs share them."""
FAR = 100
"""Times what was measured from which a forecast says how far it reaches beyond."""
RUNS = "runs (Dagster's records, planning)"
START, CLOSE = "start", "checks of the whole"


@dataclasses.dataclass(frozen=True, slots=True)
class Hardware:
    """What does the work.

    Attributes:
        cores: of one machine.
        machines: how many, all alike.
        cards: graphics cards of one machine.
        card: their name, as ``CardRate.card`` has it.
        jobs: partitions made side by side on one machine.
        bandwidth: bytes per second from the source to one machine; None if that is no limit (a local folder).
        price: money per hour and machine.
    """

    cores: int
    machines: int = 1
    cards: int = 0
    card: str = ""
    jobs: int = 1
    bandwidth: float | None = None
    price: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Planned:
    """One asset of the graph, in the order of making: ``wave`` counts the groups that wait for those before them."""

    asset: str
    per: Partitioning
    wave: int
    note: str = ""
    """Why it is not forecast; empty if it is."""
    model: str = ""
    """What its card runs, if it may use one."""
    samples: int = 0
    """Samples that a training sees; 0 if it is no training."""


@dataclasses.dataclass(frozen=True, slots=True)
class Stage:
    """What one asset takes.

    Attributes:
        asset: it, or one of ``RUNS``, ``START``, ``CLOSE``.
        per: how it is cut.
        partitions: how many.
        seconds: wall time with so many side by side.
        core_seconds: processor time.
        fetched: bytes from the source.
        written: bytes.
        peak_bytes: memory of one process, as far as measured.
        money: for the machines while it runs.
        limit: what its time is made of.
        beyond: how many times more units than were measured.
    """

    asset: str
    per: Partitioning
    partitions: int
    seconds: float
    core_seconds: float
    fetched: int
    written: int
    peak_bytes: int
    money: float
    limit: Limit
    beyond: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Forecast:
    """All stages, and the whole.

    Attributes:
        stages: in the order of making.
        seconds: wall time of the whole. Stages of one wave share machines, so it is less than their sum where they
            are limited by different things, and never less than the largest.
        core_seconds: processor time.
        money: for the machines.
        fetched: bytes from the source.
        written: bytes written.
        peak_bytes: memory that the largest process holds, times the processes side by side on one machine.
        bottleneck: the stage that takes longest and what limits it, in words.
        without: assets that are not in it, and why.
        assumptions: what it stands on, a line each.
    """

    stages: tuple[Stage, ...]
    seconds: float
    core_seconds: float
    money: float
    fetched: int
    written: int
    peak_bytes: int
    bottleneck: str
    without: tuple[tuple[str, str], ...]
    assumptions: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class _Work:
    """A stage before it is known how it shares the machines."""

    asset: str
    per: Partitioning
    partitions: int
    alone: float
    core_seconds: float
    network: float
    card: float
    fetched: int
    written: int
    peak_bytes: int
    beyond: float


def forecast(
    planned: Sequence[Planned],
    contents: Contents,
    rates: Rates,
    hardware: Hardware,
    *,
    cards: Iterable[CardRate] = (),
    here: bool = False,
) -> Forecast:
    """Multiply rates by contents.

    Args:
        planned: what is to be made.
        contents: how much of it.
        rates: what stages cost.
        hardware: what does the work.
        cards: what graphics cards do; used for the models of ``planned`` where the hardware has such cards.
        here: the rates were measured a moment ago on this very hardware: wall times stand as they are. Otherwise, and
            where other work was going on, processor times stand for them.
    """
    found = {(rate.asset, rate.model): rate for rate in cards if rate.card == hardware.card}
    walls = here or not rates.machine.busy
    without: list[tuple[str, str]] = []
    waves: dict[int, list[_Work]] = {}
    for one in planned:
        rate = rates.of(one.asset)
        on_card = found.get((one.asset, one.model)) if one.model and hardware.cards else None
        if note := one.note or _unknown(rate, on_card, contents):
            without.append((one.asset, note))
            continue
        waves.setdefault(one.wave, []).append(_work(one, rate, on_card, contents, hardware, walls=walls))
    seconds, stages = 0.0, [_overhead(START, rates.start.of(1, 0), hardware)]
    runs, made = 0.0, 0.0
    for wave in sorted(waves):
        works = waves[wave]
        per = works[0].per
        share = _slots(per, hardware)
        mine = contents.partitions(per) * rates.runs.get(per, 1.0)
        runs, made = runs + mine / share, made + contents.partitions(per) * len(works) / share
        bounds = {
            "steps": sum(work.alone for work in works) / share,
            "processor": sum(work.core_seconds for work in works) / _cores(per, hardware),
            "network": sum(work.network for work in works) / _machines(per, hardware),
            "card": sum(work.card for work in works) / (max(1, hardware.cards) * _machines(per, hardware)),
        }
        seconds += max(bounds.values())
        stages += [_stage(work, hardware) for work in works]
    stages.append(_overhead(RUNS, rates.run.of(runs, made), hardware))
    stages.append(_overhead(CLOSE, rates.close.of(contents.chunks, 0), hardware))
    seconds += sum(stage.seconds for stage in stages if stage.asset in (START, RUNS, CLOSE))
    longest = max(stages, key=lambda stage: stage.seconds)
    return Forecast(
        stages=tuple(stages),
        seconds=seconds,
        core_seconds=sum(stage.core_seconds for stage in stages),
        money=seconds / 3600 * hardware.price * hardware.machines,
        fetched=sum(stage.fetched for stage in stages),
        written=sum(stage.written for stage in stages),
        peak_bytes=max(stage.peak_bytes * _side_by_side(stage.per, hardware) for stage in stages),
        bottleneck=f"{longest.asset}: {_WORDS[longest.limit]}",
        without=tuple(without),
        assumptions=tuple(_assumptions(rates, hardware, stages, walls=walls, here=here, cards=found.values())),
    )


_WORDS: dict[Limit, str] = {
    "steps": "its steps one after the other, as many side by side as there are runs at once",
    "processor": "processor time: more cores or machines",
    "network": "bytes through the network: more bandwidth",
    "card": "the graphics cards: more of them",
}


def _unknown(rate: StageRate | None, card: CardRate | None, contents: Contents) -> str:
    """Why nothing is known of a stage: a sample in which it had nothing to do says nothing of one that has."""
    if card is not None:
        return ""
    if rate is None:
        return "not measured"
    if not rate.units and contents.of(rate.unit):
        return f"not measured: the sample held no {rate.unit}; a larger --sample may"
    return ""


def _work(
    one: Planned, rate: StageRate | None, card: CardRate | None, contents: Contents, hardware: Hardware, *, walls: bool
) -> _Work:
    partitions = contents.partitions(one.per)
    units = contents.images if rate is None else contents.of(rate.unit)
    # What a recipe or the whole reads is everything; a chunk or a shelf reads its own.
    every = units * partitions if one.per == "recipe" else units
    fetched = _fetched(one.asset, contents)
    core = rate.processor.of(partitions, every) if rate else 0.0
    alone = (rate.wall.of(partitions, every) if walls else core) if rate else 0.0
    on_card = 0.0
    if card is not None:
        on_card = (one.samples * partitions if one.samples else every) / card.per_second
        # Cores feed the card; what they take is in the card's rate, which was measured with them.
        core, alone = on_card * min(card.cores, hardware.cores), on_card
    network = fetched / hardware.bandwidth if hardware.bandwidth else 0.0
    return _Work(
        asset=one.asset,
        per=one.per,
        partitions=partitions,
        alone=max(alone, network),
        core_seconds=core,
        network=network,
        card=on_card,
        fetched=fetched,
        written=round(rate.written * every) if rate else 0,
        peak_bytes=rate.peak_bytes if rate else 0,
        beyond=every / rate.units if rate and rate.units else 0.0,
    )


def _stage(work: _Work, hardware: Hardware) -> Stage:
    """How long a stage takes by itself, and what limits it."""
    machines = _machines(work.per, hardware)
    bounds: dict[Limit, float] = {
        "card": work.card / (max(1, hardware.cards) * machines),
        "network": work.network / machines,
        "processor": work.core_seconds / _cores(work.per, hardware),
        "steps": work.alone / _slots(work.per, hardware),
    }
    limit = max(bounds, key=lambda name: bounds[name])
    return Stage(
        asset=work.asset,
        per=work.per,
        partitions=work.partitions,
        seconds=bounds[limit],
        core_seconds=work.core_seconds,
        fetched=work.fetched,
        written=work.written,
        peak_bytes=work.peak_bytes,
        money=bounds[limit] / 3600 * hardware.price * hardware.machines,
        limit=limit,
        beyond=work.beyond,
    )


def _overhead(name: str, seconds: float, hardware: Hardware) -> Stage:
    money = seconds / 3600 * hardware.price * hardware.machines
    return Stage(name, "none", 1, seconds, seconds, 0, 0, 0, money, "steps")


def _fetched(asset: str, contents: Contents) -> int:
    return {"article_xml": contents.xml_bytes, "images": contents.media_bytes}.get(asset, 0)


def _machines(per: Partitioning, hardware: Hardware) -> int:
    """What is one partition is made on one machine."""
    return 1 if per == "none" else hardware.machines


def _side_by_side(per: Partitioning, hardware: Hardware) -> int:
    return 1 if per == "none" else hardware.jobs


def _slots(per: Partitioning, hardware: Hardware) -> int:
    return _side_by_side(per, hardware) * _machines(per, hardware)


def _cores(per: Partitioning, hardware: Hardware) -> float:
    """Cores' worth of work a second; a single run was measured to use what it uses."""
    share = EFFICIENCY if _side_by_side(per, hardware) > 1 else 1.0
    return hardware.cores * share * _machines(per, hardware)


def _assumptions(
    rates: Rates, hardware: Hardware, stages: Sequence[Stage], *, walls: bool, here: bool, cards: Iterable[CardRate]
) -> Iterable[str]:
    machine = rates.machine
    yield (
        f"rates of {rates.source}: {rates.contents.articles:,} articles, {rates.contents.images:,} images, on "
        f"{machine.cores} cores of {machine.processor}, {rates.date}"
        + (f", beside other work ({machine.load:.1f} cores' worth)" if machine.busy else "")
    )
    if here:
        yield "wall times as measured here a moment ago, other work on this machine included"
    elif not walls:
        yield "processor time stands for wall time: other work was going on when it was measured"
    if hardware.jobs > 1:
        yield f"{hardware.jobs} runs side by side on a machine use {EFFICIENCY:.0%} of its cores' time"
    if hardware.bandwidth:
        yield f"the source delivers {hardware.bandwidth / 1e6:,.0f} MB/s to each machine"
    else:
        yield "reading the source is no limit (give --bandwidth)"
    yield "memory is that of one process as far as measured; what a step's own pool of processes holds comes on top"
    for rate in cards:
        rated = f"{rate.per_second:,.0f}/s on {rate.card} and {rate.cores} cores"
        yield f"{rate.asset} with {rate.model}: {rated}, {rate.date}" + (f" ({rate.note})" if rate.note else "")
    far = [stage for stage in stages if stage.beyond > FAR]
    if far:
        most = max(far, key=lambda stage: stage.beyond)
        yield (
            f"{len(far)} stages reach far beyond what was measured, {most.asset} {most.beyond:,.0f} times: a straight "
            "line is assumed"
        )
