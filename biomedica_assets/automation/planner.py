"""Which partitions of which assets are out of date, and in which order they are made.

Belongs here: reading the asset graph (dependencies, code versions, what runs together) and asking ``lib.lineage`` about
each partition. Dagster's own staleness is not drawn for partitions and is not tracked across wide fan-ins; this is.
"""

import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

from biomedica_assets import configs
from biomedica_assets.automation.readiness import ANY_OF, DECIDED_LATE, WITHOUT, Readiness
from biomedica_assets.lib.errors import WaitingFor
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
    def held(self) -> bool:
        """Whether it cannot be made until something comes from outside; the reason says what, and the cure."""
        return self.reasons[0].cause is stale.Cause.OUTSIDE

    @property
    def waits(self) -> bool:
        """Whether it is current in itself and only stands below something that is not."""
        return self.reasons[0].cause is stale.Cause.WAITS


@dataclasses.dataclass(frozen=True, slots=True)
class Held:
    """What a partition waits for that is to come from outside, or from what waits for that itself.

    Attributes:
        what: it.
        cure: what a person can do; empty if an input waits, whose cure it is.
    """

    what: str
    cure: str = ""

    @property
    def reason(self) -> stale.Reason:
        """It, as a reason why the partition is out of date."""
        return stale.Reason(stale.Cause.OUTSIDE, f"for {self.what}; {self.cure}" if self.cure else f"for {self.what}")


@dataclasses.dataclass(frozen=True, slots=True)
class Wave:
    """Assets of one partitioning that can be made in one run, after all earlier waves."""

    partitioning: str
    assets: tuple[str, ...]


class Planner:
    """Plans over one graph, one data directory and one set of settings."""

    def __init__(
        self,
        graph: AssetGraph,
        lake: Lake,
        expected: Expected,
        recipes: Callable[[], Sequence[str]],
        readiness: Readiness | None = None,
    ) -> None:
        """Args: expected: settings by asset; recipes: their names; readiness: what else to ask, None for nothing."""
        self._graph, self._lake, self._expected, self._recipes = graph, lake, expected, recipes
        self._versions = stale.Versions(lake)
        self._readiness = readiness
        self._held: dict[tuple[str, str | None], Held | None] = {}
        self._learnt: dict[tuple[str, str | None] | str, WaitingFor] = {}
        self.assets = [k.to_user_string() for k in graph.toposorted_asset_keys]
        self._may_wait = self.descendants(readiness.assets if readiness else ())

    def forget(self) -> None:
        """Data were written: look again."""
        self._versions.forget()
        self._held.clear()

    def parents(self, asset: str) -> list[str]:
        """Assets that ``asset`` reads."""
        return sorted(key.to_user_string() for key in self._node(asset).parent_keys)

    @property
    def data_dir(self) -> Path:
        """The data directory."""
        return self._lake.root

    def descendants(self, assets: Iterable[str], *, needing: bool = False) -> set[str]:
        """The assets and everything that depends on them, by way of what a run can make.

        Args:
            assets: which.
            needing: leave out what can do without them (``readiness.WITHOUT``).
        """
        found = set(assets)
        for asset in self.assets:
            above = found.intersection(self.parents(asset)) - (
                WITHOUT.get(asset, frozenset()) if needing else frozenset()
            )
            if above and self.executable(asset):
                found.add(asset)
        return found

    def ancestors(self, assets: Iterable[str], without: Iterable[str] = ()) -> set[str]:
        """The assets and everything they are made of, but for some and what only those are made of."""
        found, left_out = set(assets), set(without)
        for asset in reversed(self.assets):
            if asset in found:
                found |= set(self.parents(asset)) - left_out
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

    def on_card(self, assets: Iterable[str], light: Collection[str] = ()) -> bool:
        """Whether steps of these assets, ``light`` ones aside, run models: one at a time fits a card and its memory."""
        return any(asset not in light and "gpu" in (self._node(asset).pools or ()) for asset in assets)

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

    def waits_for(self, asset: str, partition: str | None) -> Held | None:
        """Why a partition that is out of date cannot be made until something comes from outside; None if it can.

        It waits itself, or an input that it cannot do without does.
        """
        at = (asset, partition)
        if at not in self._held:
            out_of_date = asset in self._may_wait and self.executable(asset) and self.reasons(asset, partition)
            self._held[at] = self._outside(asset, partition) if out_of_date else None
        return self._held[at]

    def learn(self, asset: str, partition: str | None, waiting: WaitingFor) -> None:
        """A step found out that its partition, or every one of its asset, waits: it is not begun again."""
        self._learnt[asset if waiting.everywhere else (asset, partition)] = waiting
        self._may_wait |= self.descendants([asset])
        self._held.clear()

    def _outside(self, asset: str, partition: str | None) -> Held | None:
        waiting = self._learnt.get(asset) or self._learnt.get((asset, partition))
        also: Sequence[Table] = ()
        if self._readiness is not None:
            waiting = waiting or self._readiness.waits_for(asset, partition)
            also = self._readiness.also_reads(asset, partition)
        if waiting is not None:
            return Held(waiting.what, waiting.cure)
        for parent in [*self.parents(asset), *(table.name for table in also)]:
            if parent in WITHOUT.get(asset, ()) or parent not in self._may_wait:
                continue
            keys = self.partitions(TABLES[parent].partitioning)
            read = [key for key in keys if stale.will_read(TABLES[asset], partition, TABLES[parent], key)]
            held = [key for key in read if self.waits_for(parent, key)]
            if held and (len(held) == len(read) or parent not in ANY_OF.get(asset, ())):
                return Held(stale.named(parent, held))
        return None

    def stale(self, assets: Iterable[str], partition: str | None) -> list[Stale]:
        """The assets whose partition is out of date and can be made, in topological order."""
        wanted = set(assets)
        found = ((asset, self.reasons(asset, partition)) for asset in self.assets if asset in wanted)
        return [Stale(asset, partition, why) for asset, why in found if why and not self.waits_for(asset, partition)]

    def all_stale(self, assets: Iterable[str] | None = None) -> Iterator[Stale]:
        """Everything that is out of date and can be made, wave by wave."""
        for wave in self.waves(assets if assets is not None else self.assets):
            for partition in self.partitions(wave.partitioning):
                yield from self.stale(wave.assets, partition)

    def all_held(self, assets: Iterable[str] | None = None) -> Iterator[Stale]:
        """Everything that is out of date and waits for something from outside (``Cause.OUTSIDE``), wave by wave."""
        for wave in self.waves(self._may_wait.intersection(self.assets if assets is None else assets)):
            for partition in self.partitions(wave.partitioning):
                found = ((asset, self.waits_for(asset, partition)) for asset in wave.assets)
                yield from (Stale(asset, partition, (held.reason,)) for asset, held in found if held)

    def behind(self, assets: Iterable[str] | None = None) -> Iterator[Stale]:
        """Everything that is out of date or waits, wave by wave.

        What waits does so for something from outside (``Cause.OUTSIDE``), or is current and stands below something that
        is out of date (``Cause.WAITS``).
        """
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
                    if held := self.waits_for(asset, partition):
                        if asset in wanted:
                            yield Stale(asset, partition, (held.reason,))
                        continue
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
        asset is current again and no run is spent. Missing ones have to be made anyway and join the same run, but for
        those that may turn out to wait for something from outside (``DECIDED_LATE``), and what stands below them.
        """
        found = {s.asset: s for s in self.stale(assets, partition)}
        batch: set[str] = set()
        for asset in self.assets:
            if asset not in found:
                continue
            stale_parents = found.keys() & set(self.parents(asset))
            joins = found[asset].missing and stale_parents <= batch and asset not in DECIDED_LATE
            if joins or not stale_parents:
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
    lake = Lake(values.data_dir)
    return Planner(graph, lake, configs.expected(values), lambda: configs.recipes(values), Readiness(values, lake))
