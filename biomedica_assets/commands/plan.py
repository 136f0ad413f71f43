"""``biomedica plan``: what making everything will take, from measured rates; nothing is made of it."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biomedica_assets import instance, settings
from biomedica_assets.lib import chunks
from biomedica_assets.lib.compute.local import available_cores
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.forecast import rates as measured_rates
from biomedica_assets.lib.forecast.contents import PUBMED_CENTRAL, Contents
from biomedica_assets.lib.forecast.forecast import Forecast, Hardware, Planned, Stage, forecast
from biomedica_assets.lib.forecast.rates import Rates
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import CHECKPOINTS, EMBEDDINGS, PMC_INVENTORY, TABLES
from biomedica_assets.settings import Settings

if TYPE_CHECKING:
    from biomedica_assets.automation.planner import Planner

_WIDTH = 118
"""Columns that the table needs; a narrower terminal breaks its lines."""
_ARTICLES_A_CHUNK = PUBMED_CENTRAL.articles // PUBMED_CENTRAL.chunks


def plan(arguments: argparse.Namespace) -> int:
    """Print the forecast."""
    values = settings.load(data_dir=arguments.data_dir, source=arguments.source)
    waiting: dict[str, str] = {}
    if arguments.measure:
        found = _measured(values, arguments)
        rates, contents, waiting = found.rates, found.contents, found.waiting
        if arguments.save:
            _save(arguments.save, rates)
    else:
        rates, contents = measured_rates.load(arguments.rates), _contents(values)
    if arguments.articles:
        n = arguments.articles
        contents = contents.scaled(
            n,
            chunks=contents.chunks if n == contents.articles else max(1, round(n / _ARTICLES_A_CHUNK)),
            shelves=contents.shelves if n == contents.articles else max(1, round(n / _ARTICLES_A_CHUNK / 50)),
        )
    hardware = _hardware(values, arguments)
    told = forecast(
        _planned(values, contents, rates, hardware, waiting),
        contents,
        rates,
        hardware,
        cards=measured_rates.cards(),
        here=arguments.measure and hardware.machines == 1 and hardware.cores == available_cores(),
    )
    if arguments.json:
        print(json.dumps(_as_json(told, contents, hardware, rates), ensure_ascii=False, indent=1))
    else:
        _tell(told, contents, hardware)
    return 0


def _measured(values: Settings, arguments: argparse.Namespace) -> Any:
    """A sample of the source through the real stages, beside the data directory, on its disk."""
    from biomedica_assets.commands import preflight

    preflight.check(values, source=True)
    near = values.data_dir.absolute().parent
    while not near.is_dir():
        near = near.parent
    with tempfile.TemporaryDirectory(prefix=".biomedica-plan-", dir=near) as folder:
        # The partitions of this process are read from the data directory when the graph is imported.
        sample = values.model_copy(update={"data_dir": Path(folder), "postgres": "", "ray": ""})
        instance.prepare(sample)
        from biomedica_assets.automation.measuring import measure
        from biomedica_assets.console import Bars

        with Bars() as bars:
            return measure(values, Path(folder), articles=arguments.sample, listener=bars, progress=bars)


def _contents(values: Settings) -> Contents:
    """What the data directory's inventory lists; all of PubMed Central where there is none."""
    manifest = Lake(values.data_dir).manifest(PMC_INVENTORY, None)
    if manifest is None:
        return PUBMED_CENTRAL
    listed = Lake(values.data_dir).read(PMC_INVENTORY, None)
    shelves = len({chunks.shelf_of_chunk(key) for key in listed["chunk"]})
    return PUBMED_CENTRAL.scaled(int(listed["rows"].sum()), chunks=listed.height, shelves=shelves)


def _hardware(values: Settings, arguments: argparse.Namespace) -> Hardware:
    from biomedica_assets.automation.crew import jobs_for, most_at_once

    cores, most = arguments.cores or available_cores(), most_at_once(values)
    jobs = arguments.jobs or values.jobs or (max(1, min(cores // 2, most)) if arguments.cores else jobs_for(0, most))
    return Hardware(
        cores=cores,
        machines=arguments.machines,
        cards=arguments.cards,
        card=arguments.card,
        jobs=jobs,
        bandwidth=arguments.bandwidth * 1e6 if arguments.bandwidth else None,
        price=arguments.price,
    )


def _planned(
    values: Settings, contents: Contents, rates: Rates, hardware: Hardware, waiting: dict[str, str]
) -> list[Planned]:
    """Every asset that a run can make, wave by wave."""
    from biomedica_assets import configs

    planner = _planner(values)
    profile = configs.training_profile(values)
    planned: list[Planned] = []
    for n, wave in enumerate(planner.waves(planner.assets)):
        for asset in wave.assets:
            note, model, samples = waiting.get(asset, ""), "", 0
            if asset == EMBEDDINGS.name:
                model = values.encoder
                if rates.encoder != values.encoder and not _on_card(asset, model, hardware):
                    note = note or f"no rate of encoder {model} on this hardware; {rates.encoder} was measured"
            elif asset == CHECKPOINTS.name:
                model = profile.model
                recipe = profile.epochs_by_recipe.values() or [profile.epochs]
                samples = round(
                    min(contents.images, profile.max_samples or contents.images) * sum(recipe) / len(recipe)
                )
            planned.append(Planned(asset, TABLES[asset].partitioning, n, note, model, samples))
    return planned


def _on_card(asset: str, model: str, hardware: Hardware) -> bool:
    rated = ((rate.asset, rate.model, rate.card) for rate in measured_rates.cards())
    return bool(hardware.cards) and (asset, model, hardware.card) in rated


def _planner(values: Settings) -> Planner:
    """The graph's planner; nothing is prepared, since nothing is run."""
    from biomedica_assets import definitions
    from biomedica_assets.automation.planner import open_planner

    return open_planner(values, definitions.build(values).resolve_asset_graph())


def _save(path: Path, rates: Rates) -> None:
    try:
        path.write_text(measured_rates.dump(rates), encoding="utf-8")
    except OSError as error:
        raise PermanentFailure(f"--save {path} cannot be written: {error.strerror}") from error
    print(f"biomedica: rates are in {path}: biomedica plan --rates {path}", file=sys.stderr)


def _as_json(told: Forecast, contents: Contents, hardware: Hardware, rates: Rates) -> dict[str, Any]:
    return {
        "contents": contents.model_dump(),
        "hardware": dataclasses.asdict(hardware),
        "forecast": dataclasses.asdict(told),
        "measured": rates.model_dump(mode="json", exclude={"stages", "contents"}),
    }


def _tell(told: Forecast, contents: Contents, hardware: Hardware) -> None:
    """A line for each stage, then the whole, what limits it, and what it stands on."""
    import rich.console
    import rich.table

    console = rich.console.Console(highlight=False, soft_wrap=True)
    console.width = max(console.width, _WIDTH)
    machines = f"{hardware.machines} machines of " if hardware.machines > 1 else ""
    cards = f", {hardware.cards} {hardware.card}" if hardware.cards else ""
    console.print(
        f"{contents.articles:,} articles, {contents.figures:,} figures, {contents.images:,} images in "
        f"{contents.chunks:,} chunks; {machines}{hardware.cores} cores{cards}, {hardware.jobs} side by side",
        markup=False,
    )
    table = rich.table.Table(box=None, pad_edge=False, header_style="bold")
    for name in ("stage", "partitions", "time", "core h", "fetched", "written", "memory", "money", "limit"):
        table.add_column(name, justify="left" if name in ("stage", "limit") else "right", no_wrap=True)
    for stage in told.stages:
        table.add_row(*_cells(stage))
    console.print(table)
    console.print(
        f"together: {_duration(told.seconds)}, {told.core_seconds / 3600:,.1f} core hours, "
        f"{_size(told.fetched)} fetched, {_size(told.written)} written, {_size(told.peak_bytes)} of memory, "
        f"{told.money:,.2f} at {hardware.price:g} an hour"
        + (f" and machine, {hardware.machines} machines" if hardware.machines > 1 else ""),
        markup=False,
    )
    console.print(f"bottleneck: {told.bottleneck}", markup=False)
    for line in told.assumptions:
        console.print(f"assumed: {line}", markup=False)
    reasons: dict[str, list[str]] = {}
    for asset, why in told.without:
        reasons.setdefault(why, []).append(asset)
    for why, assets in reasons.items():
        console.print(f"not in it: {', '.join(assets)} ({why})", markup=False)


def _cells(stage: Stage) -> list[str]:
    return [
        stage.asset,
        f"{stage.partitions:,}",
        _duration(stage.seconds),
        f"{stage.core_seconds / 3600:,.2f}",
        _size(stage.fetched),
        _size(stage.written),
        _size(stage.peak_bytes),
        f"{stage.money:,.2f}",
        stage.limit,
    ]


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


def _size(size: float) -> str:
    for name, one in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= one:
            return f"{size / one:,.1f} {name}"
    return f"{size:.0f} B" if size else ""
