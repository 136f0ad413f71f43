"""Time this machine and this source: a small sample of the source goes through the real stages, and is thrown away.

Belongs here: choosing the sample, walking over it, reading back from Dagster's records what each step cost. What rates
are made of that is ``lib.forecast``'s. The sample grows in passes, so that what looks at everything is seen at several
sizes.
"""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import math
import os
import platform
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import dagster as dg
import polars as pl
import psutil

from biomedica_assets import definitions, instance
from biomedica_assets.automation import runner
from biomedica_assets.automation.planner import Held, Planner, open_planner
from biomedica_assets.lib import chunks
from biomedica_assets.lib.compute.local import available_cores
from biomedica_assets.lib.compute.meter import Meter
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.forecast.contents import Contents, Unit
from biomedica_assets.lib.forecast.fit import Observation, line, stage_rate
from biomedica_assets.lib.forecast.rates import Line, Machine, Rates
from biomedica_assets.lib.pmc.source import PMC_BUCKET
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import (
    ARTICLE_XML,
    ARTICLES,
    CHECKPOINTS,
    CHUNK_LISTING,
    FIGURES,
    IMAGES,
    TABLES,
    Table,
)
from biomedica_assets.lib.tables.model import Partitioning
from biomedica_assets.metadata import CPU_SECONDS, PEAK_MEMORY, STEP_SECONDS
from biomedica_assets.resources import Progressing
from biomedica_assets.settings import Settings

PASSES = 3
FEWEST_CHUNKS, MOST_CHUNKS = 12, 24
"""Chunks that a sample is spread over: with fewer, what a chunk costs cannot be told from what is in it; each takes
some seconds, however little is in it."""
_SHARES = (0.25, 1.75)
PACKAGES = ("dagster", "polars", "duckdb", "numpy", "pillow", "lxml", "torch")
_OWN = ("recipes", "profiles", "rules")
"""Folders of a data directory that shape what is made, and are small."""
_BY_ARTICLE = frozenset(
    {
        "pmc_inventory", "article_index", "article_xml", "article_heads", "pubmed_records", "notice_shelf",
        "withdrawals", "tombstones", "article_notices", "articles", "figures", "captions", "mentions",
    }
)  # fmt: skip
_BY_FIGURE = frozenset({"text_labels", "rule_counts"})


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    """What the sample told.

    Attributes:
        rates: of all stages that made something.
        contents: of the whole source, by what its inventory lists and what the sample's articles hold.
        waiting: assets of the sample that wait for something from outside -> what for.
        seconds: how long measuring took.
    """

    rates: Rates
    contents: Contents
    waiting: dict[str, str]
    seconds: float


def unit_of(asset: str) -> Unit:
    """What an asset is counted in."""
    return "articles" if asset in _BY_ARTICLE else "figures" if asset in _BY_FIGURE else "images"


def untimed(planner: Planner) -> set[str]:
    """Assets that a sample says nothing about: training, and what needs trained models."""
    return planner.descendants([CHECKPOINTS.name])


def measure(
    values: Settings,
    folder: Path,
    *,
    articles: int,
    listener: runner.Listener | None = None,
    progress: Progressing | None = None,
) -> Measured:
    """Make a sample of the source in an empty folder and time every stage.

    Args:
        values: settings of the data directory that is planned for; its recipes, profiles and rules are taken along.
        folder: an empty one, on the disk that is planned for; it holds a data directory afterwards.
        articles: how many, over at most ``MOST_CHUNKS`` chunks.
        listener: told about runs.
        progress: shows the progress of steps.

    Raises:
        PermanentFailure: the source lists nothing, or nothing could be made of it.
    """
    began, load, meter = time.monotonic(), _others(), Meter()
    # Records of its own: the sample is thrown away.
    own = {"data_dir": folder, "source": _absolute(values.source_or_default), "postgres": "", "ray": ""}
    here = values.model_copy(update=own)
    for name in _OWN:
        if (values.data_dir / name).is_dir():
            shutil.copytree(values.data_dir / name, folder / name)
    start = time.time() - psutil.Process().create_time()
    with instance.open_instance(here) as records:
        graph = definitions.build(here, progress)
        planner = open_planner(here, graph.resolve_asset_graph())
        lake = Lake(folder)
        start += meter.lap().seconds
        first = runner.walk(graph, records, planner, select=[runner.ROOT], listener=listener)
        if first.failed:
            raise PermanentFailure(f"nothing to measure: {next(iter(first.failed.values()))}")
        listed = {chunk: lake.read(CHUNK_LISTING, chunk) for chunk in lake.partitions(CHUNK_LISTING)}
        whole = _Whole(sum(one.height for one in listed.values()), len(listed), len(_shelves(listed)))
        sample = _sample({chunk: one for chunk, one in listed.items() if one.height}, articles)
        if not sample:
            raise PermanentFailure(f"nothing to measure: {here.source} lists no article")
        for chunk in listed:
            lake.remove(CHUNK_LISTING, chunk)
        select = sorted({*planner.assets} - {runner.ROOT} - untimed(planner))
        seen = _Seen(records, lake, whole.articles)
        waves = Counter(wave.partitioning for wave in planner.waves(select))
        outcomes = [first]
        for part in _passes(sample):
            for chunk in part:
                _list(lake, chunk, sample[chunk])
            planner.forget()
            outcomes.append(runner.walk(graph, records, planner, select=select, listener=listener))
            seen.look(part)
        meter.lap()
        runner.conclude(graph, records)
        closing = meter.lap()
    outcome = runner.together(outcomes)
    if outcome.failed:
        batch, why = next(iter(outcome.failed.items()))
        raise PermanentFailure(f"nothing was forecast, since a stage of the sample fails: {batch.assets[0]}: {why}")
    return Measured(
        rates=_rates(
            here,
            lake,
            seen,
            outcomes,
            articles=articles,
            load=load,
            start=start,
            close=closing.seconds / len(sample),
            chunk_waves=waves["chunk"],
        ),
        contents=_contents(lake, sample, here).scaled(
            whole.articles, chunks=whole.chunks, shelves=whole.shelves, recipes=len(planner.partitions("recipe"))
        ),
        waiting=_waiting(outcome.waiting),
        seconds=time.monotonic() - began,
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _Whole:
    """What the inventory lists."""

    articles: int
    chunks: int
    shelves: int


class _Seen:
    """What was observed, pass by pass."""

    def __init__(self, records: dg.DagsterInstance, lake: Lake, listed: int) -> None:
        self._records, self._lake, self._listed = records, lake, listed
        self._known: set[tuple[str, float]] = set()
        self._in_steps: dict[str, list[float]] = {}
        self._counted: set[str] = set()
        self.observations: dict[str, list[Observation]] = {}
        self.runs: Counter[str] = Counter()
        self.partitions: Counter[str] = Counter()
        self.beside: list[tuple[int, float]] = []
        """Of each run: how many assets it made, and its seconds beside their steps."""
        self.in_runs = 0.0

    def look(self, fresh: Sequence[str]) -> None:
        """Read what a pass recorded.

        Args:
            fresh: chunks that it made for the first time: only their runs are counted, since the runs of others make
                little.
        """
        for asset, table in TABLES.items():
            for one in self._events(asset, table):
                self.observations.setdefault(asset, []).append(one)
        for record in reversed(self._records.get_run_records()):
            run, partition = record.dagster_run, record.dagster_run.tags.get("dagster/partition")
            if run.run_id in self._counted or record.start_time is None or record.end_time is None:
                continue
            self._counted.add(run.run_id)
            self.runs["chunk"] += partition in fresh
            steps, took = self._in_steps.get(run.run_id, []), record.end_time - record.start_time
            self.beside.append((len(steps), max(0.0, took - sum(steps))))
            self.in_runs += took
        self.partitions["chunk"] += len(fresh)

    def _events(self, asset: str, table: Table) -> list[Observation]:
        wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset))
        found: list[Observation] = []
        for record in reversed(self._records.fetch_materializations(wanted, limit=10_000).records):
            made = record.asset_materialization
            if made is None or STEP_SECONDS not in made.metadata or (asset, record.timestamp) in self._known:
                continue
            self._known.add((asset, record.timestamp))
            self._in_steps.setdefault(record.run_id, []).append(_number(made, STEP_SECONDS))
            found.append(
                Observation(
                    asset=asset,
                    partition=made.partition,
                    units=self._units(asset, table, made.partition),
                    seconds=_number(made, STEP_SECONDS),
                    cpu_seconds=_number(made, CPU_SECONDS),
                    written=int(_number(made, "bytes")),
                    peak_bytes=int(_number(made, PEAK_MEMORY)),
                )
            )
        return found

    def _units(self, asset: str, table: Table, partition: str | None) -> int:
        """Articles, figures or images that a partition was made of."""
        if asset == runner.ROOT:
            return self._listed
        counted = {"articles": ARTICLES, "figures": FIGURES, "images": IMAGES}[unit_of(asset)]
        keys = self._lake.partitions(counted)
        if table.partitioning == "chunk":
            keys = [key for key in keys if key == partition]
        elif table.partitioning == "shelf":
            keys = [key for key in keys if chunks.shelf_of_chunk(key) == partition]
        return sum(found.rows for key in keys if (found := self._lake.manifest(counted, key)))


def _rates(
    values: Settings,
    lake: Lake,
    seen: _Seen,
    outcomes: Sequence[runner.Outcome],
    *,
    articles: int,
    load: float,
    start: float,
    close: float,
    chunk_waves: int,
) -> Rates:
    walked = sum(outcome.seconds for outcome in outcomes)
    between = max(0.0, walked - seen.in_runs) / max(1, len(seen.beside))
    beside = line(seen.beside, "none")
    made = {asset for asset, found in seen.observations.items() if found}
    per_partition: dict[Partitioning, float] = dict.fromkeys({TABLES[asset].partitioning for asset in made}, 1.0)
    per_partition["chunk"] = seen.runs["chunk"] / max(1, seen.partitions["chunk"] * chunk_waves)
    return Rates(
        source=f"{lake.root.name}" if values.invented else _named(values.source),
        machine=Machine(
            cores=available_cores(), processor=_processor(), memory_bytes=psutil.virtual_memory().total, load=load
        ),
        versions={name: importlib.metadata.version(name) for name in PACKAGES} | {"python": platform.python_version()},
        date=datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        command=f"biomedica plan --measure --source SOURCE --sample {articles}",
        encoder=values.encoder,
        contents=_contents(lake, lake.partitions(ARTICLES), values),
        stages=tuple(
            stage_rate(seen.observations[asset], table.partitioning, unit_of(asset))
            for asset, table in TABLES.items()
            if asset in made
        ),
        start=Line(once=round(start, 2)),
        run=Line(once=beside.once, each=beside.each + between, unit=beside.unit),
        runs=per_partition,
        close=Line(each=close),
        bandwidth=None,
    )


def _sample(listed: dict[str, pl.DataFrame], articles: int) -> dict[str, pl.DataFrame]:
    """About so many articles, of chunks spread over the whole range: all of small chunks, the first of large ones.

    Of large chunks few and many are taken in turn, so that what a chunk costs and what an article costs can be told
    apart.
    """
    keys = sorted(listed)
    if not keys:
        return {}
    mean = sum(one.height for one in listed.values()) / len(keys)
    n = min(len(keys), max(FEWEST_CHUNKS, min(MOST_CHUNKS, round(articles / mean))))
    spread = [keys[int((i + 0.5) * len(keys) / n)] for i in range(n)]
    if n * mean <= 1.5 * articles:
        return {key: listed[key] for key in spread}
    return {key: listed[key].head(math.ceil(articles / n * _SHARES[i % 2])) for i, key in enumerate(spread)}


def _passes(sample: Iterable[str]) -> list[list[str]]:
    """The chunks in ``PASSES`` parts, each spread over all of them."""
    keys = list(sample)
    parts = [keys[n::PASSES] for n in range(PASSES)]
    return [part for part in parts if part]


def _list(lake: Lake, chunk: str, rows: pl.DataFrame) -> None:
    lake.publish(
        CHUNK_LISTING, chunk, rows, code_version="sample", inputs={}, config={}, n_in=rows.height, n_out=rows.height
    )


def _contents(lake: Lake, sampled: Iterable[str], values: Settings) -> Contents:
    keys = [*sampled]

    def rows(table: Table) -> int:
        return sum(found.rows for key in keys if (found := lake.manifest(table, key)))

    def size(table: Table) -> int:
        made = [key for key in keys if lake.manifest(table, key)]
        return int(lake.scan(table, made).select(pl.col("bytes").sum()).collect().item() or 0)

    return Contents(
        articles=sum(lake.read(CHUNK_LISTING, key).height for key in keys),
        figures=rows(FIGURES),
        images=rows(IMAGES),
        xml_bytes=size(ARTICLE_XML),
        media_bytes=size(IMAGES),
        chunks=len(keys),
        shelves=len(_shelves(keys)),
        recipes=0,
    )


def _shelves(keys: Iterable[str]) -> set[str]:
    return {chunks.shelf_of_chunk(key) for key in keys}


def _waiting(waiting: dict[tuple[str, str | None], Held]) -> dict[str, str]:
    return {asset: f"waits for {held.what}" for (asset, _), held in waiting.items()}


def _number(made: dg.AssetMaterialization, name: str) -> float:
    value = made.metadata[name].value if name in made.metadata else 0
    return float(value) if isinstance(value, int | float) else 0.0


def _others() -> float:
    """Cores' worth of work that goes on already."""
    return round(os.getloadavg()[0], 2)


def _absolute(source: str) -> str:
    return source if "://" in source else str(Path(source).absolute())


def _named(source: str) -> str:
    """A source as a document may name it: a bucket by its address, a folder not by where it lies."""
    return source if "://" in source else f"a folder in the layout of s3://{PMC_BUCKET}"


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or sys.platform
    named = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return named[0] if named else platform.machine()
