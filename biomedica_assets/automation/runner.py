"""Materialise outside the UI what the UI would: the same job, the same instance, one process.

Belongs here: walking the planner's waves, running each batch through Dagster's implicit asset job in this process, and
telling what happened. What is current is not run again.
"""

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence

import dagster as dg
from dagster._core.execution.execution_result import ExecutionResult

from biomedica_assets.automation.jobs import check_everything
from biomedica_assets.automation.planner import Planner, Wave
from biomedica_assets.automation.runs import execute
from biomedica_assets.partitions import follow

ROOT = "pmc_inventory"
"""Always asked first: only the source knows whether something changed there."""
OURS = "biomedica_assets."
_SHORT = (dg.IntMetadataValue, dg.TextMetadataValue)


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """One Dagster run: these assets of this partition."""

    assets: tuple[str, ...]
    partition: str | None


@dataclasses.dataclass(slots=True)
class Outcome:
    """What a walk over the graph did; ``left`` says that it stopped at its limit with work to do."""

    runs: int = 0
    materialised: list[tuple[str, str | None]] = dataclasses.field(default_factory=list)
    failed: dict[Batch, str] = dataclasses.field(default_factory=dict)
    left: bool = False
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.failed


def together(outcomes: Iterable[Outcome]) -> Outcome:
    """Several walks as one; what failed in one and was made in a later one has not failed."""
    whole = Outcome()
    for outcome in outcomes:
        whole.runs += outcome.runs
        whole.materialised += outcome.materialised
        made = set(outcome.materialised)
        kept = {b: why for b, why in whole.failed.items() if not {(a, b.partition) for a in b.assets} <= made}
        whole.failed = kept | outcome.failed
        whole.left |= outcome.left
        whole.seconds += outcome.seconds
    return whole


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What a check of the whole data directory found; ``facts`` are its numbers and the command that mends it."""

    check: str
    passed: bool
    facts: dict[str, str]


class Listener:
    """What a caller is told while the runner works; every method may be overridden."""

    def wave(self, wave: Wave, partitions: Sequence[str | None]) -> None:
        """A wave begins; ``partitions`` are the ones that may be worked on."""

    def batch(self, batch: Batch) -> None:
        """A run begins."""

    def partition_done(self, partition: str | None) -> None:
        """A partition is current, or its run failed."""

    def failure(self, batch: Batch, message: str) -> None:
        """A run failed; the walk goes on with the other partitions."""


def walk(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    planner: Planner,
    *,
    select: Iterable[str] | None = None,
    chunks: Sequence[str] | None = None,
    listener: Listener | None = None,
    prune: Callable[[Wave, str | None], bool] | None = None,
    most_runs: int | None = None,
) -> Outcome:
    """Make everything that is out of date, wave by wave.

    Args:
        definitions: the graph with its resources.
        instance: Dagster instance that records the runs.
        planner: says what is out of date.
        select: assets to consider; None takes all.
        chunks: chunk keys to consider; None takes all that the inventory lists. Shelves, recipes and unpartitioned
            assets are not limited by it.
        listener: told about progress.
        prune: returns True for a (wave, partition) that is to be left alone.
        most_runs: stop after so many runs; None goes on to the end.

    Returns:
        What was run, what was made and what failed. A failed partition does not stop the others; what depends on it is
        not made, because it stays out of date.
    """
    told, outcome, began = listener or Listener(), Outcome(), time.monotonic()
    assets = list(select) if select is not None else planner.assets
    job = definitions.resolve_implicit_global_asset_job_def()
    blocked: set[str] = set()
    follow(planner.data_dir)
    if ROOT in assets:
        batch = Batch(tuple(sorted(planner.together(ROOT))), None)
        told.batch(batch)
        _run(job, instance, batch, outcome, told)
        planner.forget()
        follow(planner.data_dir)
        assets = [asset for asset in assets if asset != ROOT]
    for wave in planner.waves(assets):
        keys = planner.partitions(wave.partitioning)
        if wave.partitioning == "chunk" and chunks is not None:
            keys = [key for key in keys if key in set(chunks)]
        told.wave(wave, keys)
        for key in keys:
            while (batch := _next(planner, wave, key, blocked, prune)) is not None:
                if most_runs is not None and outcome.runs >= most_runs:
                    outcome.left = True
                    break
                told.batch(batch)
                ok = _run(job, instance, batch, outcome, told)
                planner.forget()
                if not ok:
                    blocked |= planner.descendants(batch.assets) if key is None else set()
                    break
            if outcome.left:
                break
            told.partition_done(key)
        if outcome.left:
            break
    outcome.seconds = time.monotonic() - began
    return outcome


def conclude(definitions: dg.Definitions, instance: dg.DagsterInstance) -> list[Verdict]:
    """Ask the checks of the whole data directory; called when a walk is over, since before that much is not made yet.

    The verdicts are recorded in the instance, where the UI shows them. A check that breaks has not passed.
    """
    result = execute(definitions.resolve_job_def(check_everything.name), instance)
    found = [
        Verdict(
            evaluation.check_name,
            evaluation.passed,
            {name: str(value.value) for name, value in evaluation.metadata.items() if isinstance(value, _SHORT)},
        )
        for evaluation in result.get_asset_check_evaluations()
    ]
    broken = [] if result.success else [Verdict(check_everything.name, False, {"error": _why(result)})]
    return sorted([*found, *broken], key=lambda verdict: verdict.check)


def _next(
    planner: Planner, wave: Wave, key: str | None, blocked: set[str], prune: Callable[[Wave, str | None], bool] | None
) -> Batch | None:
    if prune is not None and prune(wave, key):
        return None
    names = planner.next_batch([asset for asset in wave.assets if asset not in blocked], key)
    return Batch(tuple(names), key) if names else None


def _run(job: dg.JobDefinition, instance: dg.DagsterInstance, batch: Batch, outcome: Outcome, told: Listener) -> bool:
    result = execute(job, instance, assets=batch.assets, partition=batch.partition)
    outcome.runs += 1
    made = {
        event.step_materialization_data.materialization.asset_key.to_user_string()
        for event in result.get_asset_materialization_events()
    }
    outcome.materialised += [(asset, batch.partition) for asset in batch.assets if asset in made]
    if not result.success:
        message = _why(result)
        outcome.failed[batch] = message
        told.failure(batch, message)
    return result.success


def _why(result: ExecutionResult) -> str:
    """The innermost cause of the first failed step, or the check that blocked."""
    for event in result.all_events:
        if event.is_step_failure:
            error = event.step_failure_data.error
            innermost = error
            while error is not None:
                # Ours say what to do; what they were raised from (an errno) does not.
                if error.message.startswith(OURS):
                    name, _, message = error.message.strip().partition(": ")
                    return f"{event.step_key}: {name.rpartition('.')[2]}: {message}"
                innermost, error = error, error.cause
            return f"{event.step_key}: {innermost.message.strip() if innermost else 'failed'}"
        if event.event_type_value == "ASSET_CHECK_EVALUATION":
            evaluation = event.asset_check_evaluation_data
            if not evaluation.passed and evaluation.blocking:
                return f"check {evaluation.check_name} of {evaluation.asset_key.to_user_string()} did not pass"
    return "the run failed; its log in the UI says more"
