"""``biomedica status``: one screen of what is here, what is out of date, what waits for whom, and the next command.

Belongs here: how that is told. What is out of date or waits is the planner's to know. Nothing is changed, not even in a
directory that is new.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import rich.console
import rich.table

from biomedica_assets import settings
from biomedica_assets.commands.graph import planner_of, waiting_lines
from biomedica_assets.lib.pmc.source import PMC_BUCKET
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.store.overview import Line, overview
from biomedica_assets.lib.tables import CHUNK_LISTING, CLUSTER_MODEL, EXPERT_VOTES, PMC_INVENTORY, RELEASE

if TYPE_CHECKING:
    from biomedica_assets.automation.planner import Stale

SHOWN = 6
"""Assets that are out of date and named."""


def status(arguments: argparse.Namespace) -> int:
    """``biomedica status``: what is here, behind and waiting; with ``--all`` a line per asset, too."""
    values = settings.load(data_dir=arguments.data_dir)
    lake, console = Lake(values.data_dir), rich.console.Console(highlight=False, soft_wrap=True)
    manifest = lake.manifest(PMC_INVENTORY, None)
    if manifest is None:
        _say(console, f"{lake.root} holds no data yet")
        _say(console, _next(arguments, f"run --source DIR|s3://{PMC_BUCKET}"))
        return 0
    snapshot, chunks = manifest.config.get("snapshot", "unknown"), lake.partitions(CHUNK_LISTING)
    _say(console, f"{lake.root}: source {values.source_or_default}, inventory {snapshot}, {len(chunks):,} chunks")
    # Imported late: the graph takes a second or two.
    from biomedica_assets import definitions

    graph = definitions.build(values)
    nodes = graph.resolve_asset_graph()
    groups = {key.to_user_string(): str(nodes.get(key).group_name) for key in nodes.toposorted_asset_keys}
    lines = overview(lake)
    console.print(by_asset(lines) if arguments.all else by_group(lines, groups))
    planner = planner_of(values, graph)
    found = list(planner.behind())
    behind = [entry for entry in found if not entry.waits and not entry.held]
    holds = {at: held for e in found if e.held and (held := planner.waits_for(*(at := (e.asset, e.partition))))}
    for line in [*behind_lines(behind, sum(entry.waits for entry in found)), *waiting_lines(holds)]:
        _say(console, line)
    _say(console, _next(arguments, *next_commands(lake, any_behind=bool(behind))))
    return 0


def by_group(lines: Iterable[Line], groups: Mapping[str, str]) -> rich.table.Table:
    """Rows and bytes of each group of assets, in the order of the graph."""
    table = _table("group", "partitions", "rows", "left out", "MB")
    ordered = list(dict.fromkeys(groups.values()))
    of = {group: [line for line in lines if groups.get(line.asset) == group] for group in ordered}
    for group, mine in of.items():
        left_out = sum(n for line in mine for n in line.rejects.values())
        totals = (sum(line.partitions for line in mine), sum(line.rows for line in mine), left_out)
        size = sum(line.bytes for line in mine) / 1e6
        table.add_row(group, *(f"{n:,}" for n in totals), f"{size:,.1f}", style="" if mine else "dim")
    return table


def by_asset(lines: Iterable[Line]) -> rich.table.Table:
    """Rows and bytes of each asset, and why what was left out."""
    table = _table("asset", "partitions", "rows", "left out", "MB")
    for line in lines:
        why = ", ".join(f"{reason} {n:,}" for reason, n in sorted(line.rejects.items(), key=lambda item: -item[1]))
        table.add_row(line.asset, f"{line.partitions:,}", f"{line.rows:,}", why, f"{line.bytes / 1e6:,.1f}")
    return table


def behind_lines(behind: Iterable[Stale], waits: int) -> list[str]:
    """What is out of date, a line per asset with the first reason of its first partition.

    Args:
        behind: partitions that are out of date in themselves.
        waits: how many others stand below them.
    """
    of: dict[str, list[Stale]] = {}
    for entry in behind:
        of.setdefault(entry.asset, []).append(entry)
    if not of:
        return ["out of date: nothing"]
    n, below = sum(map(len, of.values())), f"; {waits:,} wait for them" if waits else ""
    lines = [f"out of date: {n:,} partitions of {len(of)} assets{below}"]
    lines += [f"  {asset} ({len(entries):,}): {entries[0].reasons[0]}" for asset, entries in list(of.items())[:SHOWN]]
    more = len(of) - SHOWN
    return [*lines, f"  and {more} assets more (`biomedica stale` lists all)"] if more > 0 else lines


def next_commands(lake: Lake, *, any_behind: bool) -> Sequence[str]:
    """What a person would do next with a data directory that an inventory was read into."""
    if any_behind:
        return ("refresh",)
    votes = lake.manifest(EXPERT_VOTES, None)
    label = () if lake.manifest(CLUSTER_MODEL, None) is None or (votes and votes.rows) else ("annotate",)
    return (*label, "ui") if lake.manifest(RELEASE, None) else (*label, "run")


def _next(arguments: argparse.Namespace, *commands: str) -> str:
    where = f" --data-dir {shlex.quote(str(arguments.data_dir))}" if arguments.data_dir else ""
    named = (
        f"biomedica {name}{where}{' ' * bool(rest)}{rest}" for name, _, rest in (c.partition(" ") for c in commands)
    )
    return f"next: {', or '.join(named)}"


def _table(*columns: str) -> rich.table.Table:
    table = rich.table.Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="left" if column in ("group", "asset") else "right", overflow="fold")
    return table


def _say(console: rich.console.Console, line: str) -> None:
    console.print(line, markup=False)
