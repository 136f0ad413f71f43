"""Commands about the data themselves: SQL over the catalog, single files, what is damaged and what nobody needs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from biomedica_assets.lib.store.owners import Owner
    from biomedica_assets.settings import Settings


def parse(arguments: argparse.Namespace) -> int:
    """``biomedica parse``: JSON lines on standard output."""
    from biomedica_assets.lib.jats.jsonl import parse_files
    from biomedica_assets.lib.panels.jsonl import subcaptions_json

    def with_subcaptions(figure: dict[str, Any]) -> dict[str, Any]:
        return figure | {"subcaptions": subcaptions_json(figure["caption"])}

    return parse_files(arguments.files, sys.stdout, sys.stderr, figure=with_subcaptions)


def panels(arguments: argparse.Namespace) -> int:
    """``biomedica panels``: the panels of pictures, JSON lines on standard output."""
    from biomedica_assets.lib.images.canonical import open_canonical
    from biomedica_assets.lib.panels.jsonl import print_panels

    return print_panels(arguments.files, arguments.caption, open_canonical, sys.stdout, sys.stderr)


def sql(arguments: argparse.Namespace) -> int:
    """``biomedica sql``: one statement against the catalog."""
    from biomedica_assets import settings
    from biomedica_assets.lib.store import sql as asking
    from biomedica_assets.lib.store.lake import Lake

    lake = Lake(settings.load(data_dir=arguments.data_dir).data_dir)
    for text in asking.answer(lake, arguments.query, arguments.format, write=arguments.write):
        sys.stdout.write(text)
    return 0


def gc(arguments: argparse.Namespace) -> int:
    """``biomedica gc``: what nothing refers to any more; with --remove, take it away."""
    import rich.console

    from biomedica_assets import settings
    from biomedica_assets.console import bar
    from biomedica_assets.lib.store import gc as garbage
    from biomedica_assets.lib.store.lake import Lake

    lake = Lake(settings.load(data_dir=arguments.data_dir).data_dir)
    grace = arguments.grace * 3600
    with bar(rich.console.Console(stderr=True)) as progress:
        found = garbage.survey(lake, grace=grace, progress=progress)
        if arguments.remove:
            found = garbage.remove(lake, found, grace=grace, progress=progress)
    print(garbage.told(found, removed=arguments.remove, each=arguments.files))
    return 0


def fsck(arguments: argparse.Namespace) -> int:
    """``biomedica fsck``: hash everything; with --repair, make the damaged partitions again. 1 if damage is left."""
    import rich.console

    from biomedica_assets import settings
    from biomedica_assets.console import bar
    from biomedica_assets.lib.store import fsck as checking
    from biomedica_assets.lib.store.lake import Lake

    values = settings.load(data_dir=arguments.data_dir)
    lake = Lake(values.data_dir)

    def look() -> checking.Found:
        with bar(rich.console.Console(stderr=True)) as progress:
            return checking.check(lake, progress)

    found = look()
    for fault in found.faults:
        where = f"makes {fault.owner} again" if fault.owner else "nothing makes it again: bring back a copy"
        print(f"{fault.path}\t{fault.what}\t{where}")
    print(f"{found.files:,} files, {found.bytes / 1e9:,.2f} GB hashed; {len(found.faults):,} are not what was written")
    if found.partitions and not arguments.repair:
        print(f"`biomedica fsck --repair` makes these {len(found.partitions):,} partitions again; `stale` names them")
    if not found.partitions or not arguments.repair:
        return int(bool(found.faults))
    _repair(values, found.partitions)
    left = look()
    print(f"{len(found.partitions):,} partitions were damaged, {len(left.partitions):,} are")
    return int(bool(left.faults))


def _repair(values: Settings, damaged: Sequence[Owner]) -> None:
    """Make exactly these partitions again, each after those it reads; what else is out of date stays so."""
    from biomedica_assets import instance
    from biomedica_assets.automation import upkeep
    from biomedica_assets.commands.graph import graph_of, planner_of, waiting_lines
    from biomedica_assets.console import Bars

    with Bars() as bars, instance.open_instance(values) as dagster_instance:
        definitions = graph_of(values, bars)
        planner = planner_of(values, definitions)
        made = upkeep.repair(definitions, dagster_instance, planner, damaged, bars)
        for batch, message in made.failed.items():
            print(f"  failed: {batch.assets[0]} of {batch.partition or 'all'}: {message}")
        for line in waiting_lines(made.waiting):
            print(f"  {line}")


def export(arguments: argparse.Namespace) -> int:
    """``biomedica export``: physical shards of one split of a recipe."""
    import rich.console

    from biomedica_assets import settings
    from biomedica_assets.console import bar
    from biomedica_assets.lib.stream import export as copies
    from biomedica_assets.lib.stream.find import find_index
    from biomedica_assets.lib.stream.index import Index
    from biomedica_assets.lib.stream.virtual import Selection

    root = settings.load(data_dir=arguments.data_dir).data_dir
    wanted = Selection(split=arguments.split, of=arguments.of)
    with bar(rich.console.Console(stderr=True)) as progress:
        index = Index(find_index(root, arguments.recipe))
        made = copies.export(index, str(root), arguments.target, wanted, progress=progress)
    print(f"{len(made):,} shards in {arguments.target}")
    formats = sorted({shard.name.split("-")[-2] for shard in made})
    if len(formats) > 1:
        print(
            f"One image format to a shard: {', '.join(formats)}. Hugging Face's reader takes the members of the first "
            "shard for those of all: load each format by itself, or all with the types of "
            "biomedica_assets.lib.shards.sample.hf_features"
        )
    return 0
