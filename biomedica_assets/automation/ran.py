"""What came of a run, in a form that travels between processes: what it made, what it waits for, why it failed."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from biomedica_assets.lib.errors import WaitingFor
from biomedica_assets.lib.store import lease
from biomedica_assets.metadata import as_waiting

if TYPE_CHECKING:
    from dagster._core.execution.execution_result import ExecutionResult

OURS = "biomedica_assets."


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """One Dagster run: these assets of this partition."""

    assets: tuple[str, ...]
    partition: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Ran:
    """What came of a run.

    Attributes:
        ok: nothing failed.
        made: assets that were materialised.
        taken: a step failed because a run of another process had begun to make its partition.
        waiting: steps that made nothing, since they found that they wait for something from outside: asset, what, cure,
            whether all its partitions do.
        only_waits: some wait, and no step failed.
        at: the first step that failed; empty if none did.
        message: why, for people; empty if nothing failed.
    """

    ok: bool
    made: frozenset[str] = frozenset()
    taken: bool = False
    waiting: tuple[tuple[str, str, str, bool], ...] = ()
    only_waits: bool = False
    at: str = ""
    message: str = ""

    def waits(self) -> list[tuple[str, WaitingFor]]:
        """``waiting`` as the planner learns it."""
        return [(asset, WaitingFor(what, cure, everywhere=all_)) for asset, what, cure, all_ in self.waiting]


def ran(result: ExecutionResult) -> Ran:
    """Sum a run up."""
    made = frozenset(
        event.step_materialization_data.materialization.asset_key.to_user_string()
        for event in result.get_asset_materialization_events()
    )
    found = {str(event.step_key): waiting for event in result.all_events if (waiting := as_waiting(event))}
    if result.success and not found:
        return Ran(ok=True, made=made)
    failed = [str(event.step_key) for event in result.all_events if event.is_step_failure]
    return Ran(
        ok=False,
        made=made,
        taken=_taken_meanwhile(result),
        waiting=tuple((asset, one.what, one.cure, one.everywhere) for asset, one in found.items()),
        only_waits=bool(found) and result.success,
        at=next(iter([*failed, *found])) if failed or found else "",
        message=str(next(iter(found.values()))) if result.success else why(result),
    )


def _taken_meanwhile(result: ExecutionResult) -> bool:
    errors = [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
    while errors:
        error = errors.pop()
        if error is not None:
            if error.cls_name == lease.PartitionBusy.__name__:
                return True
            errors.append(error.cause)
    return False


def why(result: ExecutionResult) -> str:
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
