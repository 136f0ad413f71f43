"""The jobs about files, as the UI starts them."""

from __future__ import annotations

import pytest

from biomedica_assets import definitions, settings
from biomedica_assets.automation.upkeep import collect_garbage
from biomedica_assets.lib.lineage.stale import Cause, Versions
from biomedica_assets.lib.shards.config import ShardConfig
from biomedica_assets.lib.shards.stage import build_shards
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import SHARDS
from biomedica_assets_tests.lib.shards.test_stage import sixteen
from biomedica_assets_tests.lib.shards.world import CHUNK as SHARD_CHUNK
from biomedica_assets_tests.lib.store.test_damage import flip
from biomedica_assets_tests.lib.store.test_lake import CHUNK, TABLE, publish, rows


@pytest.fixture
def lake(tmp_path):
    lake = Lake(tmp_path)
    publish(lake, rows(2))
    publish(lake, rows(3))
    return lake


def run(lake, job, **config):
    graph = definitions.build(settings.Settings(data_dir=lake.root))
    ops = {"ops": {"unreferenced_files": {"config": config}}} if config else {}
    return graph.resolve_job_def(job).execute_in_process(
        run_config=ops | {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}, raise_on_error=False
    )


def told(result):
    (event,) = [e for e in result.all_events if e.event_type_value == "STEP_OUTPUT"]
    return {name: value.value for name, value in event.step_output_data.metadata.items()}


def test_garbage_is_listed_and_stays_until_it_is_asked_for(lake):
    parts = set(lake.folder(TABLE, CHUNK).iterdir())
    facts = told(run(lake, collect_garbage.name, grace_hours=0.0))
    assert (facts["files"], facts["removed"]) == (1, False)
    assert set(lake.folder(TABLE, CHUNK).iterdir()) == parts
    assert told(run(lake, collect_garbage.name))["files"] == 0, "an hour of grace unless told otherwise"
    facts = told(run(lake, collect_garbage.name, remove=True, grace_hours=0.0))
    assert facts["bytes"] > 0
    assert len(parts - set(lake.folder(TABLE, CHUNK).iterdir())) == 1
    assert lake.read(TABLE, CHUNK).height == 3


def test_a_check_of_every_byte_fails_on_damage_and_makes_it_a_reason(tmp_path):
    lake = sixteen(tmp_path, n=2)
    build_shards(lake, SHARD_CHUNK, config=ShardConfig())
    assert run(lake, "check_files").success
    flip(lake.part(SHARDS, SHARD_CHUNK))
    result = run(lake, "check_files")
    assert not result.success
    (failure,) = [e for e in result.all_events if e.is_step_failure]
    assert "1 files are not what was written" in failure.step_failure_data.error.message
    (reason,) = Versions(lake).faults(SHARDS, SHARD_CHUNK)
    assert reason.cause is Cause.DAMAGED
    build_shards(lake, SHARD_CHUNK, config=ShardConfig())
    assert Versions(lake).faults(SHARDS, SHARD_CHUNK) == []
    assert run(lake, "check_files").success
