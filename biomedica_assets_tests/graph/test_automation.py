"""Schedules and sensors: all off, nothing twice, no flood, nobody starved."""

from __future__ import annotations

import dagster as dg
import pytest

from biomedica_assets import definitions, metadata, settings
from biomedica_assets.automation import schedules, sensors
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import ALL, ARTICLE_INDEX, CHUNK_LISTING, TABLES
from biomedica_assets.resources import LakeResource
from biomedica_assets_tests.support.listings import list_chunk


def index_chunk(lake, chunk):
    inputs = lake.inputs((CHUNK_LISTING, chunk))
    lake.publish(
        ARTICLE_INDEX, chunk, ARTICLE_INDEX.empty(), code_version="1", inputs=inputs, config={}, n_in=0, n_out=0
    )


def tick(sensor, lake, cursor=None):
    with dg.build_sensor_context(cursor=cursor, resources={"lake": LakeResource(data_dir=str(lake.root))}) as context:
        return sensor(context)


def chunks(result):
    return [request.partition_key for request in result.run_requests]


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path)


def test_everything_is_off_until_a_person_switches_it_on():
    assert all(s.default_status is dg.DefaultSensorStatus.STOPPED for s in sensors.ALL)
    assert all(s.default_status is dg.DefaultScheduleStatus.STOPPED for s in schedules.ALL)
    assert {s.name for s in sensors.ALL} == {"changed_chunks", "new_votes"}


def test_the_inventory_is_looked_for_once_a_day():
    assert [(s.name, s.cron_schedule, s.execution_timezone) for s in schedules.ALL] == [
        ("daily_inventory", "0 6 * * *", "UTC")
    ]


def test_no_run_where_every_chunk_was_made_of_its_listing(lake):
    list_chunk(lake, "PMC007-0360")
    index_chunk(lake, "PMC007-0360")
    assert isinstance(tick(sensors.changed_chunks, lake), dg.SkipReason)


def test_a_changed_chunk_gives_one_run_named_by_what_it_would_read(lake):
    list_chunk(lake, "PMC007-0360")
    index_chunk(lake, "PMC007-0360")
    version = list_chunk(lake, "PMC007-0360", etag="b")
    result = tick(sensors.changed_chunks, lake)
    assert [(r.partition_key, r.run_key) for r in result.run_requests] == [("PMC007-0360", f"PMC007-0360:{version}")]
    again = tick(sensors.changed_chunks, lake)
    assert [r.run_key for r in again.run_requests] == [r.run_key for r in result.run_requests]


def test_a_change_that_is_taken_back_gives_no_run(lake):
    list_chunk(lake, "PMC007-0360")
    index_chunk(lake, "PMC007-0360")
    list_chunk(lake, "PMC007-0360", etag="b")
    list_chunk(lake, "PMC007-0360")
    assert isinstance(tick(sensors.changed_chunks, lake), dg.SkipReason)


def test_a_tick_starts_no_more_than_its_cap_and_the_next_goes_on_behind_it(lake):
    keys = [f"PMC007-{i:04d}" for i in range(0, 1000, 20)]
    for key in keys:
        list_chunk(lake, key)
    first = tick(sensors.changed_chunks, lake)
    second = tick(sensors.changed_chunks, lake, first.cursor)
    third = tick(sensors.changed_chunks, lake, second.cursor)
    cap = sensors.CHUNKS_PER_TICK
    assert chunks(first) == keys[:cap]
    assert chunks(second) == keys[cap : 2 * cap]
    # Round the corner: chunks that failed come again, behind those that have not had their turn.
    assert chunks(third) == (keys + keys)[2 * cap : 3 * cap]


def test_votes_are_counted_when_they_changed(lake):
    assert isinstance(tick(sensors.new_votes, lake), dg.SkipReason)
    folder = lake.root / "annotations" / "votes"
    folder.mkdir(parents=True)
    (folder / "anna.jsonl").write_text("{}\n")
    first = tick(sensors.new_votes, lake)
    assert len(first.run_requests) == 1
    assert isinstance(tick(sensors.new_votes, lake, first.cursor), dg.SkipReason)
    with (folder / "anna.jsonl").open("a") as handle:
        handle.write("{}\n")
    second = tick(sensors.new_votes, lake, first.cursor)
    assert second.run_requests[0].run_key != first.run_requests[0].run_key


def test_the_jobs_of_the_sensors_make_partitions_of_chunks(lake):
    list_chunk(lake, "PMC007-0360")
    jobs = {job.name: job for job in definitions.build(settings.Settings(data_dir=lake.root)).resolve_all_job_defs()}
    assert "PMC007-0360" in jobs["bring_chunk_up_to_date"].partitions_def.get_partition_keys()
    assert jobs["refresh_inventory"].partitions_def is None


@pytest.mark.parametrize("table", ALL, ids=lambda table: table.name)
def test_column_lineage_names_columns_that_exist(table):
    lineage = metadata.column_lineage(table)
    for deps in lineage.deps_by_column.values():
        for dep in deps:
            above = TABLES[dep.asset_key.to_user_string()]
            assert dep.column_name in above.schema, f"{table.name} comes from {above.name}.{dep.column_name}"


def test_column_lineage_leads_from_a_sample_to_the_inventory():
    seen, todo = set(), {("shards", "sha256"), ("shards", "article_id")}
    while todo:
        name, column = todo.pop()
        seen.add((name, column))
        deps = metadata.column_lineage(TABLES[name]).deps_by_column.get(column, [])
        todo |= {(d.asset_key.to_user_string(), d.column_name) for d in deps} - seen
    assert ("chunk_listing", "article_id") in seen and ("images", "sha256") in seen
