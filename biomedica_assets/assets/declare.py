"""How an asset that is a table is declared: what it is made from, at what cost, and its one call into ``lib``.

``@table_asset(TABLE, ...)`` is ``@dagster.asset`` with what every table has in common filled in: name, description,
partitions, column schema and inline checks come from the table, mappings between chunks and shelves from how both
tables are cut. The body gets a ``Step`` and returns what the library reports.

Concept: https://docs.dagster.io/guides/build/assets
"""

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import dagster as dg

from biomedica_assets.lib.compute import Engine
from biomedica_assets.lib.compute.meter import Meter
from biomedica_assets.lib.embed import Encoder
from biomedica_assets.lib.errors import WaitingFor
from biomedica_assets.lib.pmc.source import PmcSource
from biomedica_assets.lib.progress import Progress
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import TABLES, Table
from biomedica_assets.links import addresses
from biomedica_assets.metadata import announce, as_result, check_specs, definition_metadata, waiting_results
from biomedica_assets.partitions import CHUNK_TO_SHELF, CHUNKS, RECIPES, SHELVES
from biomedica_assets.settings import Settings

Pool = Literal["network", "cpu", "gpu", "disk"]
Resource = Literal["source", "engine", "encoder"]
_PARTITIONS = {"chunk": CHUNKS, "shelf": SHELVES, "recipe": RECIPES, "none": None}
_ALWAYS = frozenset({"settings", "lake", "progress"})


@dataclasses.dataclass(frozen=True)
class Step:
    """What the body of an asset works with.

    Attributes:
        context: Dagster's.
        data: the data directory, with the lease of the partition that is made.
        values: the settings.
    """

    context: dg.AssetExecutionContext
    data: Lake
    values: Settings

    @property
    def partition(self) -> str:
        """Key of the partition: a chunk, a shelf, a recipe."""
        return self.context.partition_key

    @property
    def progress(self) -> Progress:
        """Where the step shows how far it is."""
        return self.context.resources.progress.open(self.context.log)

    def engine(self, kind: Literal["threads", "processes"]) -> Engine:
        """Where the fan-out of the step runs; needs ``engine``."""
        return self.context.resources.engine.open(kind)

    @property
    def source(self) -> PmcSource:
        """Where articles come from; needs ``source``."""
        return self.context.resources.source.open()

    @property
    def encoder(self) -> Encoder:
        """What embeds images; needs ``encoder``."""
        return self.context.resources.encoder.open()

    def announce(self, table: Table, versions: Mapping[str, str]) -> None:
        """Report partitions of another table that the step wrote."""
        announce(self.context.instance, table.name, versions)


def table_asset(
    table: Table,
    *,
    group: str,
    version: str,
    made_from: Iterable[Table] = (),
    kinds: Iterable[str] = ("parquet",),
    pool: Pool | None = None,
    needs: Iterable[Resource] = (),
    tags: Mapping[str, str] | None = None,
) -> Callable[[Callable[[Step], Report]], dg.AssetsDefinition]:
    """Declare the asset of one table.

    Args:
        table: what it writes.
        group: of the graph.
        version: of the code that makes it; another one makes every partition out of date.
        made_from: tables that it reads.
        kinds: as Dagster shows them.
        pool: what its steps compete for.
        needs: further resources than settings, data directory and progress.
        tags: of the asset.
    """

    def declared(body: Callable[[Step], Report]) -> dg.AssetsDefinition:
        @dg.asset(
            name=table.name,
            deps=_deps(table, made_from),
            partitions_def=_PARTITIONS[table.partitioning],
            group_name=group,
            kinds={*kinds},
            code_version=version,
            pool=pool,
            tags=tags,
            description=_described(body),
            required_resource_keys={*_ALWAYS, *needs},
            check_specs=check_specs(table.name),
            metadata=definition_metadata(table),
            output_required=False,  # a step that waits makes nothing
        )
        def step(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
            values = context.resources.settings.open()
            try:
                with context.resources.lake.hold(context) as data:
                    meter = Meter()
                    made = _result(body(Step(context, data, values)), data, values, meter)
            except WaitingFor as waiting:
                yield from _waits(context, (table,), waiting)
            else:
                yield made

        return step

    return declared


def table_assets(
    name: str,
    *,
    tables: Mapping[Table, str],
    version: str,
    made_from: Iterable[Table],
    kinds: Iterable[str] = ("parquet",),
    pool: Pool | None = None,
    needs: Iterable[Resource] = (),
) -> Callable[[Callable[[Step], Iterable[Report]]], dg.AssetsDefinition]:
    """Declare the assets of several tables that one step writes.

    Args:
        name: of the step.
        tables: what it writes, in order, all cut alike -> group of the graph.
        version: as for ``table_asset``, and so are the others.
        made_from: see there.
        kinds: see there.
        pool: see there.
        needs: see there.
    """
    first, *_ = tables
    reads = tuple(made_from)

    def declared(body: Callable[[Step], Iterable[Report]]) -> dg.AssetsDefinition:
        @dg.multi_asset(
            name=name,
            specs=[
                dg.AssetSpec(
                    table.name,
                    deps=_deps(table, reads),
                    group_name=group,
                    kinds={*kinds},
                    code_version=version,
                    metadata=definition_metadata(table),
                    description=table.meaning,
                    skippable=True,  # as for one table
                )
                for table, group in tables.items()
            ],
            partitions_def=_PARTITIONS[first.partitioning],
            pool=pool,
            description=_described(body),
            required_resource_keys={*_ALWAYS, *needs},
            check_specs=check_specs(*(table.name for table in tables)),
        )
        def step(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
            values = context.resources.settings.open()
            left = {table.name: table for table in tables}
            try:
                with context.resources.lake.hold(context) as data:
                    meter = Meter()
                    for report in body(Step(context, data, values)):
                        del left[report.asset]
                        yield _result(report, data, values, meter, keyed=True)
            except WaitingFor as waiting:
                yield from _waits(context, left.values(), waiting)

        return step

    return declared


def reported(
    table: Table, text: str, *, group: str, made_from: Iterable[Table] = (), kinds: Iterable[str] = ("parquet",)
) -> dg.AssetSpec:
    """Declare a table that no step of its own writes: another step or people do, and it is reported.

    Args:
        table: it.
        text: who writes and reports it, behind the table's meaning.
        group: of the graph.
        made_from: tables that it follows from.
        kinds: as Dagster shows them.
    """
    return dg.AssetSpec(
        table.name,
        deps=_deps(table, made_from),
        group_name=group,
        kinds={*kinds},
        partitions_def=_PARTITIONS[table.partitioning],
        metadata=definition_metadata(table),
        description=f"{table.meaning} {text}",
    )


def _result(report: Report, data: Lake, values: Settings, meter: Meter, *, keyed: bool = False) -> dg.MaterializeResult:
    """What the library reported, as Dagster's result, with what it took and links to the page that shows it."""
    cost = meter.lap()
    links = addresses(values.explore_page, report, TABLES[report.asset], values.chunk_span)
    return as_result(report, data, tolerance=values.max_reject_fraction, keyed=keyed, cost=cost, links=links)


def _waits(
    context: dg.AssetExecutionContext, tables: Iterable[Table], waiting: WaitingFor
) -> Iterator[dg.AssetCheckResult]:
    """Say what a step waits for, in the log and in the place of what it would have made."""
    context.log.warning(str(waiting))
    yield from waiting_results((table.name for table in tables), waiting)


def _deps(table: Table, made_from: Iterable[Table]) -> Sequence[Any]:
    """Edges to the tables that are read; a shelf reads the chunks of its million."""
    return [
        dg.AssetDep(read.name, partition_mapping=CHUNK_TO_SHELF)
        if (read.partitioning, table.partitioning) == ("chunk", "shelf")
        else read.name
        for read in made_from
    ]


def _described(body: Callable[..., Any]) -> str:
    return inspect.cleandoc(body.__doc__ or "")
