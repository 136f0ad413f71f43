"""Jobs about the files of the data directory rather than about assets: what nothing refers to, what is damaged.

Belongs here: ops that call ``lib.store.gc`` and ``lib.store.fsck`` and report, as the commands of
these names do.
Concept: https://docs.dagster.io/guides/build/ops
"""

import functools
from collections.abc import Sequence

import dagster as dg

from biomedica_assets.automation import runner
from biomedica_assets.automation.planner import Planner, Wave
from biomedica_assets.lib.store import fsck, gc
from biomedica_assets.lib.store.owners import Owner
from biomedica_assets.metadata import markdown_table
from biomedica_assets.resources import LakeResource, Progressing

SHOWN = 100


class GarbageConfig(dg.Config):
    """What `collect_garbage` does; as it stands it only looks."""

    remove: bool = False
    grace_hours: float = 1.0


@dg.op(out=dg.Out(dg.Nothing), description="List files that nothing refers to any more; with `remove`, take them away.")
def unreferenced_files(
    context: dg.OpExecutionContext, config: GarbageConfig, lake: LakeResource, progress: dg.ResourceParam[Progressing]
) -> None:
    """As `biomedica gc`."""
    data, grace, told = lake.open(), config.grace_hours * 3600, progress.open(context.log)
    found = gc.survey(data, grace=grace, progress=told)
    if config.remove:
        found = gc.remove(data, found, grace=grace, progress=told)
    context.log.info(gc.told(found, removed=config.remove))
    rows = [{"file": one.path, "bytes": one.bytes, "of": str(one.owner)} for one in found.garbage[:SHOWN]]
    context.add_output_metadata(
        {
            "files": len(found.garbage),
            "bytes": found.bytes,
            "removed": config.remove,
            "stay_for_now": len(found.waiting),
            "list": dg.MetadataValue.md(markdown_table(rows) if rows else "nothing"),
        }
    )


@dg.op(out=dg.Out(dg.Nothing), description="Hash every file and mark the partitions that are not what was written.")
def every_byte(context: dg.OpExecutionContext, lake: LakeResource, progress: dg.ResourceParam[Progressing]) -> None:
    """As `biomedica fsck`; what it marks is out of date from then on, and `refresh` makes it again."""
    found = fsck.check(lake.open(), progress.open(context.log))
    for fault in found.faults:
        context.log.warning(f"{fault.path} {fault.what}; {fault.owner or 'nothing makes it again'}")
    context.log.info(f"{found.files:,} files, {found.bytes:,} bytes hashed; {len(found.faults):,} are damaged")
    if found.faults:
        raise dg.Failure(
            f"{len(found.faults):,} files are not what was written; `biomedica refresh` makes "
            f"{len(found.partitions):,} partitions again",
            metadata={"damaged": dg.MetadataValue.md(markdown_table([_row(f) for f in found.faults[:SHOWN]]))},
        )


def _row(fault: fsck.Fault) -> dict[str, str]:
    return {"file": fault.path, "what": fault.what, "makes it again": str(fault.owner or "nothing: bring back a copy")}


@dg.job(description="What no table, recipe, release or training refers to any more, with its bytes; `remove` takes it.")
def collect_garbage() -> None:
    """Dry unless its configuration says `remove`."""
    unreferenced_files()


@dg.job(description="Hash every file of the data directory; what is damaged is out of date from then on.")
def check_files() -> None:
    """Reads everything, so it takes as long as the disk needs."""
    every_byte()


def repair(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    planner: Planner,
    damaged: Sequence[Owner],
    listener: runner.Listener | None = None,
) -> runner.Outcome:
    """Make exactly these partitions again, each after those it reads; what else is out of date stays so.

    Args:
        definitions: the graph with its resources.
        instance: records the runs.
        planner: of the data directory.
        damaged: what a check found (``fsck.Found.partitions``).
        listener: told about progress.
    """
    wanted = {(owner.asset, owner.partition) for owner in damaged}
    # Listings come from the inventory; what else is only reported comes from what it hangs on.
    for reported in [asset for asset, _ in wanted if not planner.executable(asset)]:
        wanted |= {(asset, None) for asset in planner.parents(reported)} or {(runner.ROOT, None)}
    made: list[runner.Outcome] = []
    for wave in planner.waves(planner.assets):
        for key in planner.partitions(wave.partitioning):
            mine = [asset for asset in wave.assets if (asset, key) in wanted]
            if mine:
                only = functools.partial(_is_another, key)
                made.append(runner.walk(definitions, instance, planner, select=mine, listener=listener, prune=only))
    return runner.together(made)


def _is_another(key: str | None, _: Wave, other: str | None) -> bool:
    return other != key


ALL = [collect_garbage, check_files]
