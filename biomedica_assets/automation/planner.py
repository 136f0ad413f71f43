"""Which partitions of which assets are out of date, and in which order they are made.

Belongs here: reading the asset graph (dependencies, code versions, what runs together) and asking ``lib.lineage`` about
each partition. Dagster's own staleness is not drawn for partitions and is not tracked across wide fan-ins; this is.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

from biomedica_assets import configs
from biomedica_assets.lib.lineage import listed, stale
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import TABLES, Table
from biomedica_assets.settings import Settings

Expected = Mapping[str, Callable[[str | None], Mapping[str, Any]]]
"""Asset -> function from a partition to the settings that shape it, as its manifest would record them."""


@dataclasses.dataclass(frozen=True, slots=True)
class Stale:
    """One partition that is out of date, and why."""

    asset: str
    partition: str | None
    reasons: tuple[stale.Reason, ...]

    @property
    def missing(self) -> bool:
        """Whether it has never been made."""
        return self.reasons[0].cause is stale.Cause.MISSING

    @property
    def waits(self) -> bool:
        """Whether it is current in itself and only stands below something that is not."""
        return self.reasons[0].cause is stale.Cause.WAITS


@dataclasses.dataclass(frozen=True, slots=True)
class Wave:
    """Assets of one partitioning that can be made in one run, after all earlier waves."""

    partitioning: str
    assets: tuple[str, ...]


class Planner:
    """Plans over one graph, one data directory and one set of settings."""

    def __init__(self, graph: AssetGraph, lake: Lake, expected: Expected, recipes: Callable[[], Sequence[str]]) -> None:
        """Args: graph: resolved asset graph; lake: data; expected: settings by asset; recipes: names of recipes."""
        self._graph, self._lake, self._expected, self._recipes = graph, lake, expected, recipes
        self._versions = stale.Versions(lake)
        self.assets = [k.to_user_string() for k in graph.toposorted_asset_keys]

    def forget(self) -> None:
        """Data were written: look again."""
        self._versions.forget()

    def parents(self, asset: str) -> list[str]:
        """Assets that ``asset`` reads."""
        return sorted(key.to_user_string() for key in self._node(asset).parent_keys)

    @property
    def data_dir(self) -> Path:
        """The data directory."""
        return self._lake.root

    def descendants(self, assets: Iterable[str]) -> set[str]:
        """The assets and everything that depends on them, by way of what a run can make."""
        found = set(assets)
        for asset in self.assets:
            if found.intersection(self.parents(asset)) and self.executable(asset):
                found.add(asset)
        return found

    def ancestors(self, assets: Iterable[str]) -> set[str]:
        """The assets and everything they are made of."""
        found = set(assets)
        for asset in reversed(self.assets):
            if asset in found:
                found |= set(self.parents(asset))
        return found

    def makeable(self, assets: Sequence[str], at: Mapping[str, str] | None = None) -> list[str]:
        """Those of the assets that can be made from each other and from what is there, in the order given.

        What exists can be made again; partitions that another asset reports (listings, tombstones) hold nothing up.

        Args:
            assets: which.
            at: partitioning -> the partition that is to be there; any, where none is given.
        """
        able: set[str] = set()
        for asset in self.assets:
            there = (p in able or self._exists(p, at or {}) or self._reported(p) for p in self.parents(asset))
            if asset in assets and (self._exists(asset, at or {}) or all(there)):
                able.add(asset)
        return [asset for asset in assets if asset in able and self.executable(asset)]

    def _reported(self, asset: str) -> bool:
        return TABLES[asset].partitioning != "none" and not self.executable(asset)

    def _exists(self, asset: str, at: Mapping[str, str]) -> bool:
        table = TABLES[asset]
        if table.partitioning == "none" or table.partitioning in at:
            return self._versions.manifest(table, at.get(table.partitioning)) is not None
        return bool(self._lake.partitions(table))

    def together(self, asset: str) -> set[str]:
        """Assets made by the same step, ``asset`` included."""
        return {key.to_user_string() for key in self._node(asset).execution_set_asset_keys}

    def executable(self, asset: str) -> bool:
        """Whether a run can make it (an external asset is only reported)."""
        return self._node(asset).is_executable

    def waves(self, assets: Iterable[str]) -> list[Wave]:
        """Cut the graph where the partitioning changes, in topological order."""
        level: dict[str, int] = {}
        for asset in self.assets:
            mine = TABLES[asset].partitioning
            above = [(level[p], TABLES[p].partitioning) for p in self.parents(asset)]
            level[asset] = max((at + (kind != mine) for at, kind in above), default=0)
        for asset in self.assets:
            level[asset] = max(level[a] for a in self.together(asset))
        wanted = {asset for asset in assets if self.executable(asset)}
        groups: dict[tuple[int, str], list[str]] = {}
        for asset in self.assets:
            if asset in wanted:
                groups.setdefault((level[asset], TABLES[asset].partitioning), []).append(asset)
        return [Wave(kind, tuple(members)) for (_, kind), members in sorted(groups.items())]

    def partitions(self, partitioning: str) -> list[str | None]:
        """Partitions that should exist: the chunks the inventory lists, their shelves, the recipes."""
        match partitioning:
            case "chunk":
                return [*listed.listed_chunks(self._lake, self._versions.manifest)]
            case "shelf":
                return [*listed.listed_shelves(self._lake)]
            case "recipe":
                return [*self._recipes()]
            case _:
                return [None]

    def reasons(self, asset: str, partition: str | None) -> tuple[stale.Reason, ...]:
        """Why this partition is out of date in itself; empty if it is current or only waits for its inputs."""
        table = TABLES[asset]
        expected = stale.Expectation(
            code_version=self._node(asset).code_version,
            config=self._expected[asset](partition) if asset in self._expected else None,
            inputs=self._versions.inputs(table, partition, [self._table(p) for p in self.parents(asset)]),
        )
        manifest, faults = self._versions.manifest(table, partition), self._versions.faults(table, partition)
        return tuple(faults if manifest is None and faults else [*faults, *stale.reasons(manifest, expected)])

    def stale(self, assets: Iterable[str], partition: str | None) -> list[Stale]:
        """The assets whose partition is out of date, in topological order."""
        wanted = set(assets)
        found = ((asset, self.reasons(asset, partition)) for asset in self.assets if asset in wanted)
        return [Stale(asset, partition, why) for asset, why in found if why]

    def all_stale(self, assets: Iterable[str] | None = None) -> Iterator[Stale]:
        """Everything that is out of date, wave by wave."""
        for wave in self.waves(assets if assets is not None else self.assets):
            for partition in self.partitions(wave.partitioning):
                yield from self.stale(wave.assets, partition)

    def behind(self, assets: Iterable[str] | None = None) -> Iterator[Stale]:
        """Everything that is out of date, and everything below it that waits for it (``Cause.WAITS``), wave by wave."""
        wanted = set(self.assets if assets is None else assets)
        above = self.ancestors(wanted)
        late: set[tuple[str, str | None]] = set()
        for asset in (asset for asset in self.assets if asset in above and not self.executable(asset)):
            # What others report (listings, votes) is never out of date in itself, but it can be damaged.
            table = TABLES[asset]
            for partition in [None] if table.partitioning == "none" else self._lake.partitions(table):
                if why := self._versions.faults(table, partition):
                    late.add((asset, partition))
                    if asset in wanted:
                        yield Stale(asset, partition, tuple(why))
        for wave in self.waves(above):
            for partition in self.partitions(wave.partitioning):
                for asset in wave.assets:
                    why = self.reasons(asset, partition)
                    parents = [self._table(parent) for parent in self.parents(asset)]
                    if not why and self._versions.manifest(TABLES[asset], partition):
                        why = tuple(stale.waits(self._lake, TABLES[asset], partition, parents, late))
                    if why:
                        late.add((asset, partition))
                        if asset in wanted:
                            yield Stale(asset, partition, why)

    def next_batch(self, assets: Iterable[str], partition: str | None) -> list[str]:
        """What to make next of one partition: the stale assets nothing stale stands above, plus what is missing below.

        An asset that exists is remade only when its inputs are final: if the rerun of an input changes nothing, the
        asset is current again and no run is spent. Missing ones have to be made anyway and join the same run.
        """
        found = {s.asset: s for s in self.stale(assets, partition)}
        batch: set[str] = set()
        for asset in self.assets:
            if asset not in found:
                continue
            stale_parents = found.keys() & set(self.parents(asset))
            if (found[asset].missing and stale_parents <= batch) or not stale_parents:
                batch |= self.together(asset)
        return [asset for asset in self.assets if asset in batch]

    def _node(self, asset: str) -> Any:
        return self._graph.get(dg.AssetKey.from_user_string(asset))

    @staticmethod
    def _table(asset: str) -> Table:
        return TABLES[asset]


def open_planner(values: Settings, graph: AssetGraph) -> Planner:
    """The planner of a data directory.

    Args:
        values: its settings.
        graph: the whole graph, resolved.
    """
    return Planner(graph, Lake(values.data_dir), configs.expected(values), lambda: configs.recipes(values))
