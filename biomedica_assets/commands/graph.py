"""Commands that work on the graph: run, demo, ui, settings; and opening it for other commands."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biomedica_assets import instance, settings, stopping
from biomedica_assets.checks import NOTHING_WAITS, ROOT
from biomedica_assets.commands import preflight
from biomedica_assets.lib import machine
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.lineage.stale import named
from biomedica_assets.settings import Settings

if TYPE_CHECKING:
    import dagster as dg

    from biomedica_assets.automation.crew import Crew
    from biomedica_assets.automation.planner import Held, Planner
    from biomedica_assets.automation.runner import Outcome, Verdict
    from biomedica_assets.console import Bars

DEMO_DATA = Path("data/demo")
# A longer fact of a check (the command that makes twenty chunks anew) is left to the UI.
_WIDEST = 100


def run(arguments: argparse.Namespace) -> int:
    """``biomedica run``: make what is out of date."""
    from biomedica_assets.lib.chunks import chunk_range

    values = _settings(arguments)
    for key in arguments.chunk or ():
        try:
            chunk_range(key, values.chunk_span)
        except ValueError as error:
            raise PermanentFailure(f"--chunk: {error}") from error
    select = None if arguments.select is None else _selection(values, arguments.select)
    if not arguments.dry_run:
        # A wrong source is refused before the data directory remembers it.
        preflight.check(values, source=select is None or not preflight.ASKS_THE_SOURCE.isdisjoint(select))
    if arguments.source:
        settings.remember_source(values)
    return _materialise(values, arguments, select)


def _selection(values: Settings, selection: str) -> list[str]:
    """The assets of a ``--select``, and the inventory before them where none has been read yet."""
    from biomedica_assets import definitions
    from biomedica_assets.automation.runner import ROOT as INVENTORY

    graph = definitions.build(values)
    wanted, planner = selected(graph, selection) or [], planner_of(values, graph)
    by_listing = any(wave.partitioning in ("chunk", "shelf") for wave in planner.waves(wanted))
    if by_listing and INVENTORY not in wanted and not planner.partitions("chunk"):
        print(f"biomedica: no inventory has been read here yet: {INVENTORY} is made first", file=sys.stderr)
        return [INVENTORY, *wanted]
    return wanted


def demo(arguments: argparse.Namespace) -> int:
    """``biomedica demo``: an invented mirror, then the whole graph."""
    from biomedica_assets.commands import showcase
    from biomedica_assets.lib.demo.plan import MINIMUM

    if arguments.articles < MINIMUM:
        raise PermanentFailure(
            f"--articles {arguments.articles}: the demo shows every construct of an article and needs {MINIMUM}; "
            "200, the default, are enough to train on, too"
        )
    data_dir = arguments.data_dir or DEMO_DATA
    overrides: dict[str, Any] = {"data_dir": data_dir, "source": str(data_dir / "source")}
    overrides |= showcase.SETTINGS | {"pubmed": str(data_dir / showcase.PUBMED), "invented": True}
    values = settings.load(**overrides)
    instance.prepare(values)
    showcase.invent(values, articles=arguments.articles, seed=arguments.seed)
    began = time.monotonic()
    outcomes: list[Outcome] = []
    with _workplace(values) as (bars, dagster_instance, definitions, planner), crew_of(values, arguments) as crew:
        from biomedica_assets.automation import runner

        for select in showcase.steps(values, dagster_instance, planner):
            outcomes.append(
                runner.walk(definitions, dagster_instance, planner, select=select, listener=bars, crew=crew)
            )
            planner.forget()
        verdicts = runner.conclude(definitions, dagster_instance)
    code = print_outcome(runner.together(outcomes), time.monotonic() - began, verdicts)
    showcase.tell(values)
    return code


def ui(arguments: argparse.Namespace) -> int:
    """``biomedica ui``: the Dagster UI of one data directory."""
    from biomedica_assets.automation.reloading import reloading

    values = settings.load(data_dir=arguments.data_dir)
    settings.require_data(values)
    if arguments.follow:
        host, number = arguments.follow
        with reloading(values.data_dir, number, elsewhere=host):
            threading.Event().wait()  # for a signal
    _check_ui(arguments.port)
    home = instance.prepare(values)
    workspace = home / "workspace.yaml"
    module = f"{{module_name: biomedica_assets.definitions, location_name: {instance.LOCATION}}}"
    workspace.write_text(f"load_from:\n  - python_module: {module}\n")
    dg_command = Path(sys.executable).with_name("dg")
    print(f"Dagster UI of {values.data_dir.absolute()}: http://127.0.0.1:{arguments.port}", file=sys.stderr)
    command = [str(dg_command), "dev", "-w", str(workspace), "-h", "127.0.0.1", "-p", str(arguments.port)]
    with reloading(values.data_dir, arguments.port):
        return stopping.call(command)


def _check_ui(port: int) -> None:
    """Refuse a port that is taken.

    Raises:
        PermanentFailure: it is; the message says what to type instead.
    """
    if not machine.is_free(port):
        free = machine.free_port(port)
        raise PermanentFailure(
            f"port {port} of 127.0.0.1 is taken, perhaps by another UI"
            + (f"; {free} is free: --port {free}" if free else "")
        )


def show_settings(arguments: argparse.Namespace) -> int:
    """``biomedica settings``: every knob."""
    values = settings.load(data_dir=arguments.data_dir)
    print("# environment: BIOMEDICA_<NAME>; files: ./biomedica.toml, then <data directory>/biomedica.toml")
    for name, field in Settings.model_fields.items():
        print(f"{name} = {getattr(values, name)!r}\n    {field.description} (default {field.default!r})")
    return 0


def _settings(arguments: argparse.Namespace) -> Settings:
    return settings.load(data_dir=arguments.data_dir, source=arguments.source)


def graph_of(values: Settings, bars: Any = None) -> dg.Definitions:
    """The graph over a data directory, which is prepared if it is new."""
    instance.prepare(values)
    # Imported late: the partitions are computed from the settings when the graph is imported.
    from biomedica_assets import definitions

    return definitions.build(values, bars)


def crew_of(values: Settings, arguments: argparse.Namespace) -> Crew:
    """Processes that make partitions side by side; they start when there is enough to do."""
    from biomedica_assets.automation.crew import Crew, jobs_for, most_at_once

    return Crew(values, jobs_for(arguments.jobs or values.jobs, most_at_once(values)))


def planner_of(values: Settings, definitions: dg.Definitions) -> Planner:
    """What says which partitions are out of date."""
    from biomedica_assets.automation.planner import open_planner

    return open_planner(values, definitions.resolve_asset_graph())


def selected(definitions: dg.Definitions, selection: str | None) -> list[str] | None:
    """Assets of a ``--select``, None if none was given; refuses what names nothing."""
    if selection is None:
        return None
    import dagster as dg

    graph = definitions.resolve_asset_graph()
    chosen: set[str] = set()
    for part in filter(None, (piece.strip() for piece in selection.split(","))):
        try:
            keys = dg.AssetSelection.from_string(part).resolve(graph)
        except dg.DagsterInvalidSubsetError:
            keys = set()
        except dg.DagsterError as error:
            raise PermanentFailure(
                f"--select {part!r}: {error}; write names of assets, *NAME with all that it is made of, NAME* with all "
                "that is made of it, or group:NAME"
            ) from error
        if not keys:
            names = sorted(key.to_user_string() for key in graph.get_all_asset_keys())
            likely = difflib.get_close_matches(part, names, n=1)
            meant = f"did you mean {likely[0]}? There are" if likely else "there are"
            raise PermanentFailure(f"--select {part!r} names no asset; {meant} {', '.join(names)}")
        chosen |= {key.to_user_string() for key in keys}
    return sorted(chosen)


def _materialise(values: Settings, arguments: argparse.Namespace, select: list[str] | None) -> int:
    with _workplace(values) as (bars, dagster_instance, definitions, planner):
        if arguments.dry_run:
            return print_stale(planner, select)
        from biomedica_assets.automation import runner
        from biomedica_assets.commands.annotate import collect

        collect(values, dagster_instance)
        began = time.monotonic()
        with crew_of(values, arguments) as crew:
            outcome = runner.walk(
                definitions,
                dagster_instance,
                planner,
                select=select,
                chunks=arguments.chunk,
                listener=bars,
                keep_going=arguments.keep_going,
                crew=crew,
            )
        verdicts = runner.conclude(definitions, dagster_instance)
    code = print_outcome(outcome, time.monotonic() - began, verdicts)
    if unlisted := sorted(set(arguments.chunk or ()) - set(planner.partitions("chunk"))):
        raise PermanentFailure(
            f"--chunk {', '.join(unlisted)}: the inventory lists no article of it; the chunks that there are: "
            "`biomedica sql 'from pmc_inventory'`"
        )
    return code


@contextlib.contextmanager
def _workplace(values: Settings) -> Iterator[tuple[Bars, dg.DagsterInstance, dg.Definitions, Planner]]:
    """What a walk over the graph needs: bars, the data directory's instance, the graph, the planner."""
    from biomedica_assets.console import Bars

    with Bars() as bars, instance.open_instance(values) as dagster_instance:
        definitions = graph_of(values, bars)
        yield bars, dagster_instance, definitions, planner_of(values, definitions)


def print_stale(planner: Planner, select: Sequence[str] | None) -> int:
    """One line per partition that is out of date or waits for one that is; the counts go to standard error."""
    n = waiting = held = 0
    for entry in planner.behind(select):
        waiting, held = waiting + entry.waits, held + entry.held
        n += not entry.waits and not entry.held
        why = "; ".join(str(reason) for reason in entry.reasons[:4])
        more = f"; and {len(entry.reasons) - 4} more" if len(entry.reasons) > 4 else ""
        print(f"{entry.asset}\t{entry.partition or '-'}\t{why}{more}")
    below = f"; {waiting:,} wait for them" if waiting else ""
    outside = f"; {held:,} wait for something from outside" if held else ""
    current = "everything that can be made is current" if held else "everything is current"
    print((f"{n:,} partitions are out of date{below}" if n or waiting else current) + outside, file=sys.stderr)
    return 0


def waiting_lines(waiting: Mapping[tuple[str, str | None], Held]) -> list[str]:
    """What waits for something from outside, one line for each thing and its cure; then what waits for those."""
    own: dict[tuple[str, Held], list[str | None]] = {}
    below: Counter[str] = Counter()
    for (asset, partition), held in waiting.items():
        if held.cure:
            own.setdefault((asset, held), []).append(partition)
        else:
            below[asset] += 1
    lines = [f"waiting: {named(asset, keys)} for {held.what}; {held.cure}" for (asset, held), keys in own.items()]
    if below:
        listed = ", ".join(asset if n == 1 else f"{asset} ({n:,})" for asset, n in below.items())
        lines.append(f"waiting for those: {listed}")
    return lines


def print_outcome(outcome: Outcome, seconds: float, verdicts: Sequence[Verdict]) -> int:
    """What a walk made, every failure, and every check of the whole that did not pass; returns the exit code."""
    made = len(outcome.materialised)
    print(f"{made:,} partitions made in {outcome.runs:,} runs, {len(outcome.failed):,} failed, {seconds:,.1f} s")
    for batch, message in outcome.failed.items():
        print(f"  failed: {batch.assets[0]}{f' of {batch.partition}' if batch.partition else ''}: {message}")
    for line in waiting_lines(outcome.waiting):
        print(f"  {line}")
    for asset, n in outcome.stopped.items():
        print(
            f"  stopped: {asset} failed in {n} partitions in the same way; neither its others nor what needs it were "
            "tried (--keep-going tries all)"
        )
    if outcome.left:
        print("  stopped at --max; run again to go on")
    for verdict in verdicts:
        # What waits is told above, with its cures.
        if not verdict.passed and not (verdict.check == NOTHING_WAITS and outcome.waiting):
            facts = ", ".join(f"{name} {value}" for name, value in verdict.facts.items() if len(value) <= _WIDEST)
            print(f"  check {verdict.check} did not pass: {facts}; the asset {ROOT} has the rest in the UI")
    return 0 if outcome.ok else 1
