"""Jobs that leave nothing of their scope out of date: a chunk, everything, what follows new votes, a release.

Belongs here: which assets a scope has, and the op that walks through them as `biomedica refresh` does. What the walk
makes are runs of their own, with the assets they made as target and the tag ``biomedica/by``; what is current is not
made again. A fixed selection of assets cannot do that: it makes what is current, too, and of one partitioning only.
Concept: https://docs.dagster.io/guides/build/jobs/op-jobs
"""

from collections.abc import Callable, Sequence

import dagster as dg

from biomedica_assets.automation import runner
from biomedica_assets.automation.planner import Held, Planner, Wave, open_planner
from biomedica_assets.lib import chunks
from biomedica_assets.lib.annotate.tally import collect_votes
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import EXPERT_VOTES, LEADERBOARD, RELEASE, TABLES
from biomedica_assets.metadata import announce_one, markdown_table
from biomedica_assets.partitions import CHUNKS
from biomedica_assets.resources import LakeResource, SettingsResource
from biomedica_assets.settings import Settings

Scope = Callable[[Planner], list[str]]
BY = "biomedica/by"
"""Tag of the runs of a job of this module: the id of the job's own run."""
SHOWN = 50


def everything(planner: Planner) -> list[str]:
    """All assets."""
    return list(planner.assets)


def below_the_votes(planner: Planner) -> list[str]:
    """What votes reach, up to recipes and release; models are trained and scored when somebody asks for it."""
    models = planner.descendants(["checkpoints"]) - {RELEASE.name}
    below = planner.descendants([EXPERT_VOTES.name]) - models
    return planner.makeable([asset for asset in planner.assets if asset in below])


def of_a_release(planner: Planner) -> list[str]:
    """The release and everything it is made of, but for models and scores: those it takes as they are."""
    above = planner.ancestors([RELEASE.name], without=[LEADERBOARD.name])
    return [asset for asset in planner.assets if asset in above]


class Told(runner.Listener):
    """Writes what a walk does to the log of the job's run."""

    def __init__(self, log: dg.DagsterLogManager) -> None:
        self._log = log

    def wave(self, wave: Wave, partitions: Sequence[str | None]) -> None:
        """A wave begins."""
        self._log.info(f"{', '.join(wave.assets)}: {len(partitions):,} {wave.partitioning} partitions")

    def waiting(self, batch: runner.Batch, message: str) -> None:
        """Another process makes this partition."""
        self._log.info(f"waiting: {message}")

    def held(self, asset: str, partition: str | None, held: Held) -> None:
        """A partition waits for something from outside."""
        self._log.warning(f"{asset} of {partition or 'all'} is not made: waiting {held.reason.detail}")

    def failure(self, batch: runner.Batch, message: str) -> None:
        """A run failed."""
        self._log.error(f"{batch.assets[0]} of {batch.partition or 'all'}: {message}")

    def stopped(self, batch: runner.Batch, failures: int) -> None:
        """An asset failed so often in the same way that it is left alone."""
        self._log.error(f"{batch.assets[0]} failed in {failures} partitions in the same way; its others are not tried")


def bring(context: dg.OpExecutionContext, values: Settings, scope: Scope, *, chunk: str | None = None) -> None:
    """Walk through a scope, and say what was made.

    Args:
        context: of the op; its run's id becomes a tag of every run that the walk starts.
        values: settings of the data directory.
        scope: from the planner of the whole graph to assets.
        chunk: only this chunk of them.

    Raises:
        dg.Failure: something failed, or a partition of the scope is still out of date.
    """
    # Imported late: the graph imports the jobs.
    from biomedica_assets import definitions

    graph = definitions.build(values)
    planner = open_planner(values, graph.resolve_asset_graph())
    wanted = scope(planner)
    outcome = runner.walk(
        graph,
        context.instance,
        planner,
        select=wanted,
        chunks=None if chunk is None else [chunk],
        listener=Told(context.log),
        tags={BY: context.run_id},
    )
    rows = [{"asset": asset, "partition": partition or "-"} for asset, partition in outcome.materialised]
    context.add_output_metadata(
        {
            "made": len(rows),
            "runs": outcome.runs,
            "failed": len(outcome.failed),
            "waiting": dg.MetadataValue.md(_waiting(outcome)),
            "list": dg.MetadataValue.md(markdown_table(rows[:SHOWN]) if rows else "nothing: everything was current"),
        }
    )
    planner.forget()
    left = [one for one in planner.all_stale(wanted) if chunk is None or one.partition == chunk]
    if outcome.failed or left:
        why = [f"{batch.assets[0]} of {batch.partition or 'all'}: {text}" for batch, text in outcome.failed.items()]
        why += [f"{one.asset} of {one.partition or 'all'}: {one.reasons[0]}" for one in left]
        raise dg.Failure(f"{len(left):,} partitions are still out of date: " + "; ".join(why[:5]), allow_retries=False)


def _waiting(outcome: runner.Outcome) -> str:
    """What waits for something from outside; that is no failure of the job."""
    rows = [
        {"asset": asset, "partition": partition or "-", "waiting": held.reason.detail}
        for (asset, partition), held in outcome.waiting.items()
    ]
    return markdown_table(rows[:SHOWN], widest=400) if rows else "nothing waits for something from outside"


def count(instance: dg.DagsterInstance, lake: Lake) -> None:
    """Take in the votes that were given since the last time."""
    before = lake.version(EXPERT_VOTES, None)
    report = collect_votes(lake)
    if report.data_version != before:
        announce_one(instance, report, EXPERT_VOTES)


@dg.op(out=dg.Out(dg.Nothing), description="Make what is out of date of one chunk.")
def one_chunk(context: dg.OpExecutionContext, settings: SettingsResource, lake: LakeResource) -> None:
    """As `biomedica refresh` would, for one partition."""
    chunk, shelf = context.partition_key, chunks.shelf_of_chunk(context.partition_key)

    def scope(planner: Planner) -> list[str]:
        assets = [asset for asset in planner.assets if TABLES[asset].partitioning == "chunk"]
        return planner.makeable(assets, {"chunk": chunk, "shelf": shelf})

    bring(context, settings.open(), scope, chunk=chunk)


@dg.op(out=dg.Out(dg.Nothing), description="Ask the source, then make what is out of date.")
def all_of_it(context: dg.OpExecutionContext, settings: SettingsResource, lake: LakeResource) -> None:
    """As `biomedica run`."""
    count(context.instance, lake.open())
    bring(context, settings.open(), everything)


@dg.op(out=dg.Out(dg.Nothing), description="Count votes, then make what they reach.")
def votes(context: dg.OpExecutionContext, settings: SettingsResource, lake: LakeResource) -> None:
    """Labels, recipes and release; no training."""
    count(context.instance, lake.open())
    bring(context, settings.open(), below_the_votes)


@dg.op(out=dg.Out(dg.Nothing), description="Ask the source, then make a release of it.")
def whole_release(context: dg.OpExecutionContext, settings: SettingsResource, lake: LakeResource) -> None:
    """The release and all that it is made of."""
    count(context.instance, lake.open())
    bring(context, settings.open(), of_a_release)


@dg.job(
    partitions_def=CHUNKS,
    description="One chunk from its listing to labels and shards: makes what is out of date and nothing else.",
)
def bring_chunk_up_to_date() -> None:
    """Afterwards nothing of the chunk is out of date."""
    one_chunk()


@dg.job(description="Ask the source for its newest inventory, then make all that is out of date, chunk by chunk.")
def bring_everything_up_to_date() -> None:
    """Afterwards nothing is out of date."""
    all_of_it()


@dg.job(description="Count the votes, then make what they reach: labels, recipes, release; no training.")
def after_new_votes() -> None:
    """Afterwards nothing that votes reach is out of date, but models."""
    votes()


@dg.job(description="Ask the source, then make a release and everything it is made of; no training.")
def new_release() -> None:
    """Afterwards the release and all above it are current."""
    whole_release()


ALL = [bring_chunk_up_to_date, bring_everything_up_to_date, after_new_votes, new_release]
