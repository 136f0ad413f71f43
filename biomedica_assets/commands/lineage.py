"""Commands about what depends on what: stale, refresh, changes, trace."""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Sequence
from typing import Any

from biomedica_assets import instance, settings
from biomedica_assets.commands import preflight
from biomedica_assets.commands.graph import crew_of, graph_of, planner_of, print_outcome, print_stale, selected
from biomedica_assets.lib.lineage import changes as changed
from biomedica_assets.lib.lineage import trace as tracing
from biomedica_assets.lib.store.lake import Lake

# A text longer than this is cut where a trace is printed for people; --json has all of it.
_WIDEST = 100


def stale(arguments: argparse.Namespace) -> int:
    """``biomedica stale``: what is out of date, and why."""
    values = settings.load(data_dir=arguments.data_dir)
    definitions = graph_of(values)
    planner = planner_of(values, definitions)
    return print_stale(planner, selected(definitions, arguments.select))


def refresh(arguments: argparse.Namespace) -> int:
    """``biomedica refresh``: make what is out of date and nothing else; the source's inventory is not asked."""
    from biomedica_assets.automation import runner
    from biomedica_assets.console import Bars

    values = settings.load(data_dir=arguments.data_dir)
    if not arguments.dry_run:
        preflight.check(values, source=False)
    with Bars() as bars, instance.open_instance(values) as dagster_instance:
        definitions = graph_of(values, bars)
        planner = planner_of(values, definitions)
        wanted = selected(definitions, arguments.select) or planner.assets
        if arguments.dry_run:
            return print_stale(planner, wanted)
        if not planner.reasons(runner.ROOT, None):
            wanted = [asset for asset in wanted if asset != runner.ROOT]
        began = time.monotonic()
        with crew_of(values, arguments) as crew:
            outcome = runner.walk(
                definitions,
                dagster_instance,
                planner,
                select=wanted,
                listener=bars,
                most_runs=arguments.max,
                keep_going=arguments.keep_going,
                crew=crew,
            )
        # With nothing to do nothing changed, and the last verdicts stand.
        verdicts = runner.conclude(definitions, dagster_instance) if outcome.runs else []
    return print_outcome(outcome, time.monotonic() - began, verdicts)


def changes(arguments: argparse.Namespace) -> int:
    """``biomedica changes``: what the last inventory brought."""
    lake = Lake(settings.load(data_dir=arguments.data_dir).data_dir)
    found = list(changed.last_changes(lake))
    if arguments.json:
        for change in found:
            print(json.dumps(dataclasses.asdict(change)))
        return 0
    import rich.console
    import rich.table

    console = rich.console.Console()
    if not found:
        console.print("The last inventory brought no change.")
        return 0
    table = rich.table.Table("chunk", "what", "articles", "for example")
    for chunk, kinds in changed.counts(found).items():
        for kind, n in kinds.items():
            one = next(c for c in found if c.chunk == chunk and c.kind == kind)
            table.add_row(chunk, kind, f"{n:,}", f"{one.article_id} {one.detail}".strip())
    console.print(table)
    return 0


def trace(arguments: argparse.Namespace) -> int:
    """``biomedica trace``: what a thing was made from, and what contains it."""
    lake = Lake(settings.load(data_dir=arguments.data_dir).data_dir)
    follow = tracing.affected if arguments.affected else tracing.trace
    found = follow(lake, arguments.name)
    if arguments.json:
        print(json.dumps(dataclasses.asdict(found), ensure_ascii=False))
        return 0
    print(found.subject)
    if found.made_from:
        _print_links("made from", found.made_from)
    _print_links("contained in", found.contained_in)
    if found.not_made:
        print(f"not made yet: {', '.join(found.not_made)}")
    return 0


def _print_links(title: str, links: Sequence[tracing.Link]) -> None:
    print(f"  {title}:" if links else f"  {title}: nothing")
    for link in links:
        print(f"    {link.what:<12} {link.name}")
        for name, value in link.facts.items():
            print(f"                 {name}: {_short(value)}")


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _WIDEST else text[: _WIDEST - 3] + "..."
