"""Execute a job in this process so that Dagster's records read as if the UI had launched it.

Belongs here: what a run is recorded with. `JobDefinition.execute_in_process` records neither the assets it makes nor
the code location it belongs to: such a run has no target in the UI and is missing from the timeline (dagster 1.13.27).
Concept: https://docs.dagster.io/guides/build/jobs/job-execution
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import dagster as dg
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import create_execution_plan, execute_run
from dagster._core.execution.execution_result import ExecutionResult
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.snap import snapshot_from_execution_plan
from dagster._core.storage.tags import PARTITION_NAME_TAG

from biomedica_assets.instance import LOCATION, process_tags
from biomedica_assets.stopping import STOP

_CODE = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(LOCATION), "__repository__")
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def execute(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    *,
    assets: Iterable[str] = (),
    partition: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> ExecutionResult:
    """Run a job, or some assets of it, with the executor and the resources of its definitions; failures do not raise.

    Args:
        job: of the definitions of the data directory.
        instance: records the run.
        assets: of the job; none takes all of it.
        partition: partition key of the assets, which must have it.
        tags: further tags of the run.

    Raises:
        Stopped: the process was told to stop; the run is recorded as canceled.
    """
    wanted = frozenset(dg.AssetKey.from_user_string(asset) for asset in assets) or None
    part = job.get_subset(asset_selection=wanted) if wanted else job
    plan = create_execution_plan(part, run_config=_QUIET)
    own = {} if partition is None else {PARTITION_NAME_TAG: partition}
    run = instance.create_run(
        job_name=job.name,
        run_id=None,
        run_config=_QUIET,
        status=None,
        tags={**part.run_tags, "dagster/code_location": LOCATION, **own, **process_tags(), **(tags or {})},
        root_run_id=None,
        parent_run_id=None,
        step_keys_to_execute=None,
        execution_plan_snapshot=snapshot_from_execution_plan(plan, part.get_job_snapshot_id()),
        job_snapshot=part.get_job_snapshot(),
        parent_job_snapshot=None,
        asset_selection=wanted,
        asset_check_selection=None,
        resolved_op_selection=None,
        op_selection=None,
        remote_job_origin=_CODE.get_job_origin(job.name),
        job_code_origin=None,
        asset_graph=part.asset_layer.asset_graph,
    )
    with STOP.running(instance, run.run_id):
        return execute_run(InMemoryJob(job), run, instance)
