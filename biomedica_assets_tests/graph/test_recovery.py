"""Checks that find what failed, what is behind and what must not be there, each with the command that mends it."""

from __future__ import annotations

import contextlib
import os

import dagster as dg
import pytest

from biomedica_assets.automation import runner
from biomedica_assets.checks import inventory, staleness
from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.pmc import index
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


def broken(*_, **__):
    raise StoreError("the disk is full")


def behind(place):
    resources = {"lake": LakeResource(data_dir=str(place.lake.root)), "settings": SettingsResource.of(place.settings)}
    return staleness.nothing_out_of_date(**resources)


class LetsGo(runner.Listener):
    """Holds the lease of a partition until another one is done."""

    def __init__(self, root, asset, partition):
        self.told, self.batches, self._held = [], [], contextlib.ExitStack()
        self._held.enter_context(lease.hold(root, [asset], partition))

    def waiting(self, batch, message):
        self.told.append((batch.partition, message))

    def batch(self, batch):
        self.batches.append(batch.partition)

    def partition_done(self, partition):
        self._held.close()


def test_a_walk_goes_on_with_other_partitions_and_comes_back_to_one_that_another_run_makes(tmp_path, demo_mirror):
    """Both ended with exit 1 and a failed partition each."""
    place, other = Place(tmp_path, demo_mirror), "PMC007-0380"
    listener = LetsGo(tmp_path, "article_index", CHUNK)
    only = {"select": ["pmc_inventory", "article_index"], "chunks": [CHUNK, other]}
    outcome = place.walk(**only, listener=listener)
    assert outcome.ok and place.lake.partitions(TABLES["article_index"]) == [CHUNK, other]
    assert listener.batches == [None, other, CHUNK]
    ((waited, message),) = listener.told
    assert waited == CHUNK and f"is being made by process {os.getpid()}" in message
    assert {run.status for run in place.instance.get_runs()} == {dg.DagsterRunStatus.SUCCESS}


def test_what_another_run_made_meanwhile_is_not_made_again(tmp_path, demo_mirror):
    place = Place(tmp_path, demo_mirror)
    only = {"select": ["pmc_inventory", "article_index"], "chunks": [CHUNK]}

    class Meanwhile(runner.Listener):
        def wave(self, wave, partitions):
            twin.walk(**(only | {"select": ["article_index"]}))

    twin = Place(tmp_path, demo_mirror)
    outcome = place.walk(**only, listener=Meanwhile())
    assert outcome.ok and outcome.materialised == [("pmc_inventory", None)]


def test_a_failed_partition_is_listed_with_its_command_until_it_is_made(place):
    only = {"select": ["pmc_inventory", "article_index"], "chunks": [CHUNK]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "build_index", broken)
        outcome = place.walk(**only)
    assert [batch.partition for batch in outcome.failed] == [CHUNK]
    assert "the disk is full" in next(iter(outcome.failed.values()))
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


def test_materialising_anything_asks_no_check_of_the_whole_before_the_walk_is_over(place):
    """Asked with the catalog, early in a walk over the whole graph, they called out of date what came right after."""
    graph = place.definitions.resolve_asset_graph()
    whole = {key.name for key in graph.get_check_keys_for_assets({dg.AssetKey("chunk_listing")})}
    assert whole >= {"nothing_out_of_date", "no_missing_chunk", "no_failed_chunk", "no_retracted_in_shards"}
    assert not graph.get(dg.AssetKey("chunk_listing")).is_materializable
    place.walk(chunks=[CHUNK])
    asked = {key: place.instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
             for key in graph.get_check_keys_for_assets({dg.AssetKey("chunk_listing")})}  # fmt: skip
    assert not any(asked.values())


def test_when_the_walk_is_over_the_checks_of_the_whole_are_asked_and_recorded(place):
    place.walk(chunks=[CHUNK])
    told = {verdict.check: verdict for verdict in runner.conclude(place.definitions, place.instance)}
    assert told["nothing_out_of_date"].passed and told["nothing_out_of_date"].facts["out_of_date"] == "0"
    assert not told["no_missing_chunk"].passed, "the walk took one chunk of several"
    assert told["no_missing_chunk"].facts["recover_with"].startswith("biomedica run --chunk ")
    key = dg.AssetCheckKey(dg.AssetKey("chunk_listing"), "nothing_out_of_date")
    [record] = place.instance.event_log_storage.get_asset_check_execution_history(key, limit=5)
    assert record.status.value == "SUCCEEDED"


def test_a_check_that_breaks_has_not_passed(place, monkeypatch):
    def broken(*_):
        raise RuntimeError("the disk is gone")

    monkeypatch.setattr(Lake, "partitions", broken)
    verdicts = runner.conclude(place.definitions, place.instance)
    [verdict] = [v for v in verdicts if v.check == "check_everything"]
    assert not verdict.passed and "the disk is gone" in verdict.facts["error"]


def test_weights_trained_on_a_retracted_article_are_named(tmp_path):
    lake = build(Lake(tmp_path))
    resource = LakeResource(data_dir=str(tmp_path))
    assert staleness.no_retracted_in_shards(lake=resource).passed
    retract(lake)
    check = staleness.no_retracted_in_shards(lake=resource)
    assert not check.passed
    assert check.metadata["found"].value == 3
    assert check.metadata["checkpoints_to_train_again"].value == "checkpoints@full"
