"""Checks that find what failed, what is behind and what must not be there, each with the command that mends it."""

from __future__ import annotations

import dagster as dg
import pytest

from biomedica_assets.checks import inventory, staleness
from biomedica_assets.lib.store import lease
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import TABLES
from biomedica_assets.resources import LakeResource, SettingsResource
from biomedica_assets_tests.graph.test_spine import Place
from biomedica_assets_tests.lib.lineage.test_trace import retract
from biomedica_assets_tests.lib.lineage.world import build

CHUNK = "PMC007-0360"


@pytest.fixture(scope="module")
def place(tmp_path_factory, demo_mirror):
    return Place(tmp_path_factory.mktemp("recovery"), demo_mirror)


def failed(place):
    return inventory.no_failed_chunk(dg.build_asset_check_context(instance=place.instance))


def behind(place):
    resources = {"lake": LakeResource(data_dir=str(place.lake.root)), "settings": SettingsResource.of(place.settings)}
    return staleness.nothing_out_of_date(**resources)


def test_a_failed_partition_is_listed_with_its_command_until_it_is_made(place):
    only = {"select": ["pmc_inventory", "article_index"], "chunks": [CHUNK]}
    with lease.hold(place.lake.root, ["article_index"], CHUNK):
        outcome = place.walk(**only)
    assert [batch.partition for batch in outcome.failed] == [CHUNK]
    assert "is being made by process" in next(iter(outcome.failed.values()))
    check = failed(place)
    assert not check.passed
    assert check.metadata["recover_with"].value == f"biomedica run --chunk {CHUNK}"
    assert place.walk(**only).ok
    assert failed(place).passed


def test_a_partition_behind_its_input_is_listed_with_the_reason(place):
    place.walk(select=["pmc_inventory", "article_index"], chunks=[CHUNK])
    assert behind(place).passed
    manifest = place.lake.folder(TABLES["article_index"], CHUNK) / "_manifest.json"
    manifest.write_text(manifest.read_text().replace('"code_version": "', '"code_version": "older-'))
    check = behind(place)
    assert not check.passed
    assert check.metadata["out_of_date"].value == 1
    assert check.metadata["recover_with"].value == "biomedica refresh"
    assert f"| article_index | {CHUNK} | code: older-" in check.metadata["partitions"].value


def test_weights_trained_on_a_retracted_article_are_named(tmp_path):
    lake = build(Lake(tmp_path))
    resource = LakeResource(data_dir=str(tmp_path))
    assert staleness.no_retracted_in_shards(lake=resource).passed
    retract(lake)
    check = staleness.no_retracted_in_shards(lake=resource)
    assert not check.passed
    assert check.metadata["found"].value == 3
    assert check.metadata["checkpoints_to_train_again"].value == "checkpoints@full"
