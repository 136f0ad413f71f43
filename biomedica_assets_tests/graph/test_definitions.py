"""The graph as a whole: it loads, it looks as reviewed, and it agrees with the library about partitions."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import pytest

from biomedica_assets import configs, definitions, settings
from biomedica_assets.lib.tables import TABLES

SNAPSHOT = Path(__file__).with_name("graph.json")


@pytest.fixture(scope="module")
def loaded():
    return definitions.defs()


@pytest.fixture(scope="module")
def graph(loaded):
    return loaded.resolve_asset_graph()


def described(loaded, graph):
    """The graph in a form that a person reads in a diff."""
    found = {}
    for key in sorted(graph.get_all_asset_keys()):
        node = graph.get(key)
        partitions = node.partitions_def
        found[key.to_user_string()] = {
            "group": node.group_name,
            "deps": sorted(parent.to_user_string() for parent in node.parent_keys),
            "partitions": None if partitions is None else TABLES[key.to_user_string()].partitioning,
            "checks": sorted(check.name for check in node.check_keys),
            "kinds": sorted(node.kinds),
            "pools": sorted(node.pools or ()),
            "external": not node.is_executable,
        }
    return {
        "assets": found,
        "jobs": sorted(job.name for job in loaded.jobs or ()),
        "schedules": sorted(schedule.name for schedule in loaded.schedules or ()),
        "sensors": sorted(sensor.name for sensor in loaded.sensors or ()),
    }


def test_the_definitions_load(loaded):
    dg.Definitions.validate_loadable(loaded)


def test_the_graph_is_the_one_that_was_reviewed(loaded, graph):
    """Run this file as a program to write the new snapshot, and read its diff."""
    assert described(loaded, graph) == json.loads(SNAPSHOT.read_text(encoding="utf-8"))


def test_every_asset_is_a_table_and_every_table_an_asset(graph):
    assert {key.to_user_string() for key in graph.get_all_asset_keys()} == set(TABLES)


def test_partitions_are_those_of_the_table(graph):
    for key in graph.get_all_asset_keys():
        node, table = graph.get(key), TABLES[key.to_user_string()]
        assert (node.partitions_def is None) == (table.partitioning == "none"), key


# Drawn from the rows of a few images of every chunk: what Dagster's badge misses there, the planner sees.
WIDE = {("contact_sheets", "captions"), ("contact_sheets", "clusters"), ("contact_sheets", "images")}


def test_no_edge_has_a_hundred_upstream_partitions(graph):
    """Dagster silently stops tracking staleness there: fan-ins go through shelves."""
    found = set()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        for parent in node.parent_keys if node.partitions_def is None else ():
            above = graph.get(parent).partitions_def
            if above is not None and len(above.get_partition_keys()) >= 100:
                found.add((key.to_user_string(), parent.to_user_string()))
    assert found <= WIDE, found - WIDE


def test_every_asset_says_what_it_is(graph):
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description and len(node.description) > 30, key
        assert node.kinds, key
        assert "dagster/column_schema" in node.metadata, key


def test_what_runs_by_itself_is_off_until_switched_on(loaded):
    assert all(s.default_status == dg.DefaultScheduleStatus.STOPPED for s in loaded.schedules)
    assert all(s.default_status == dg.DefaultSensorStatus.STOPPED for s in loaded.sensors)


def test_an_edited_recipe_makes_its_own_partition_stale_and_no_other(tmp_path):
    values = settings.Settings(data_dir=tmp_path)
    asked = ("full", "balanced")
    before = [configs.expected(values)["recipe"](name) for name in asked]
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "full.yaml").write_text("{title: mine, seed: 5}")
    after = [configs.expected(values)["recipe"](name) for name in asked]
    assert before[0] != after[0]
    assert before[1] == after[1]


if __name__ == "__main__":
    fresh = definitions.defs()
    SNAPSHOT.write_text(json.dumps(described(fresh, fresh.resolve_asset_graph()), indent=1, sort_keys=True) + "\n")
