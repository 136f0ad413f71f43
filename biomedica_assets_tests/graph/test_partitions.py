"""The partitions of the graph are the chunks that the inventory lists, their shelves and the recipes."""

from __future__ import annotations

import shutil
import time

import dagster as dg
import pytest

from biomedica_assets import definitions, offered, partitions, settings
from biomedica_assets.automation import reloading
from biomedica_assets.lib.chunks import all_chunks
from biomedica_assets.lib.lineage.listed import listed_chunks
from biomedica_assets.lib.store.lake import Lake, input_name
from biomedica_assets.lib.tables import ARTICLE_INDEX, CAPTIONS, CHUNK_LISTING, PMC_INVENTORY, TABLES
from biomedica_assets_tests.lib.annotate.synthetic import row
from biomedica_assets_tests.support.listings import list_chunk

A, B, C = "PMC007-0340", "PMC007-0360", "PMC008-0000"


@pytest.fixture
def lake(tmp_path):
    lake = Lake(tmp_path)
    for chunk in (A, C):
        list_chunk(lake, chunk)
    partitions.follow(tmp_path)
    return lake


def publish(lake, table, chunk, rejects=0):
    """A partition made of the present listing; ``rejects`` only makes the content another one."""
    lake.publish(
        table, chunk, table.empty(), code_version="1", config={}, n_in=rejects, n_out=rejects,
        inputs={input_name(CHUNK_LISTING.name, chunk): lake.version(CHUNK_LISTING, chunk)},
    )  # fmt: skip


def test_exactly_what_the_inventory_lists_is_offered(lake):
    graph = definitions.build(settings.Settings(data_dir=lake.root)).resolve_asset_graph()
    offered = {"chunk": [A, C], "shelf": ["PMC007", "PMC008"]}
    for key in graph.get_all_asset_keys():
        kind, cut = TABLES[key.to_user_string()].partitioning, graph.get(key).partitions_def
        if kind in offered:
            assert list(cut.get_partition_keys()) == offered[kind], key


def test_a_graph_that_was_resolved_before_offers_a_new_chunk_with_its_shelf(lake):
    """A walk makes the inventory first; what it lists is made in the same process."""
    graph = definitions.build(settings.Settings(data_dir=lake.root)).resolve_asset_graph()
    list_chunk(lake, B)
    partitions.follow(lake.root)
    shards, shelf = graph.get(dg.AssetKey("shards")), graph.get(dg.AssetKey("sample_shelf"))
    assert list(shards.partitions_def.get_partition_keys()) == [A, B, C]
    mapping = shelf.partition_mappings[dg.AssetKey("captions")]
    asked = shelf.partitions_def.empty_subset().with_partition_keys(["PMC007"])
    above = mapping.get_upstream_mapped_partitions_result_for_partitions(
        asked, shelf.partitions_def, shards.partitions_def
    )
    assert set(above.partitions_subset.get_partition_keys()) == {A, B}


def test_a_chunk_without_articles_goes_when_all_that_was_made_of_it_is_empty(lake):
    publish(lake, ARTICLE_INDEX, A)
    caption = CAPTIONS.frame([row(CAPTIONS, figure_id="f", article_id="PMC1.1", caption="c")])
    lake.publish(CAPTIONS, A, caption, code_version="1", inputs={}, config={}, n_in=1, n_out=1)
    list_chunk(lake, A, articles=0)
    assert listed_chunks(lake) == [A, C], "its index was not made of the empty listing yet"
    publish(lake, ARTICLE_INDEX, A)
    assert listed_chunks(lake) == [A, C], "its captions hold what is withdrawn"
    publish(lake, CAPTIONS, A)
    assert listed_chunks(lake) == [C]
    list_chunk(lake, A, etag="again")
    assert listed_chunks(lake) == [A, C]


def test_a_chunk_of_which_nothing_was_made_goes_at_once(lake):
    list_chunk(lake, A, articles=0)
    assert listed_chunks(lake) == [C]


def test_an_empty_directory_offers_recipes_and_nothing_else(tmp_path):
    chunks, shelves, recipes = offered.keys(tmp_path)
    assert (chunks, shelves) == ((), ())
    assert {"full", "balanced"} <= set(recipes)


def test_a_recipe_that_is_written_is_offered(lake):
    (lake.root / "recipes").mkdir()
    (lake.root / "recipes" / "mine.yaml").write_text("{title: mine, seed: 5}")
    partitions.follow(lake.root)
    assert "mine" in partitions.RECIPES.get_partition_keys()


def test_a_ui_that_runs_is_asked_to_load_again_when_other_chunks_are_listed(lake, monkeypatch):
    """And asked again if it could not: it may not be up yet."""
    asked, answers = [], iter([False, True])
    monkeypatch.setattr(reloading, "LOOK", 0.01)

    def reload(port):
        asked.append(port)
        return next(answers)

    def inventory():
        lake.publish(
            PMC_INVENTORY, None, PMC_INVENTORY.empty(), code_version="1", inputs={}, config={}, n_in=0, n_out=0
        )

    with reloading.reloading(lake.root, 3000, reload):
        inventory()
        time.sleep(0.2)
        assert asked == [], "the inventory lists the same chunks"
        list_chunk(lake, B)
        (lake.folder(PMC_INVENTORY, None) / "_manifest.json").touch()
        began = time.monotonic()
        while len(asked) < 2 and time.monotonic() - began < 10:
            time.sleep(0.01)
        time.sleep(0.1)
    assert asked == [3000, 3000]


def test_a_ui_that_others_started_is_asked_at_once(lake, monkeypatch):
    """It may have loaded before the newest inventory; asked once, not again while nothing changes."""
    asked = []
    monkeypatch.setattr(reloading, "LOOK", 0.01)
    list_chunk(lake, A)
    with reloading.reloading(lake.root, 3000, lambda port: not asked.append(port), elsewhere="webserver"):
        began = time.monotonic()
        while not asked and time.monotonic() - began < 10:
            time.sleep(0.01)
        time.sleep(0.1)
    assert asked == [3000]


def test_650_chunks_are_looked_up_in_less_than_a_second(tmp_path):
    lake = Lake(tmp_path)
    list_chunk(lake, A)
    one = lake.folder(CHUNK_LISTING, A)
    for key in all_chunks(12_999_999, 20_000):
        if key != A:
            shutil.copytree(one, lake.folder(CHUNK_LISTING, key))
    began = time.monotonic()
    assert len(offered.keys(tmp_path).chunks) == 650
    assert time.monotonic() - began < 1  # 0.08 s were measured; a process that starts waits for it


def test_what_the_inventory_writes_makes_the_listings_of_chunks(lake):
    graph = definitions.build(settings.Settings(data_dir=lake.root)).resolve_asset_graph()
    listing = graph.get(dg.AssetKey("chunk_listing"))
    assert listing.parent_keys == {dg.AssetKey("pmc_inventory")} and not listing.is_executable
