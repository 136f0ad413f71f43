"""Panels as samples through the graph: written where a recipe asks for them, and no longer where none does."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from biomedica_assets.lib.stream.find import find_index
from biomedica_assets.lib.stream.index import Index
from biomedica_assets.lib.stream.virtual import Selection
from biomedica_assets.lib.tables import DUPLICATES, EVALUATION_MATCHES, PANEL_SHARDS, RECIPE
from biomedica_assets_tests.graph.test_waiting import Site
from biomedica_assets_tests.lib.panels.test_find import page
from biomedica_assets_tests.lib.select import lakes
from biomedica_assets_tests.lib.shards.world import CHUNK, World
from biomedica_assets_tests.lib.stream.conftest import read_tar
from biomedica_assets_tests.lib.stream.test_virtual import tar_of
from biomedica_assets_tests.support.listings import list_chunk

MADE = ["subcaptions", "panel_boxes", "shards", "panel_shards", "sample_shelf", "held_out", "recipe"]


@pytest.mark.full  # five runs of Dagster
def test_a_recipe_of_panels_has_them_written_and_streams_them(tmp_path):
    picture = io.BytesIO()
    page("AB").save(picture, "PNG")
    world = World(tmp_path)
    world.add("f1", [picture.getvalue()], caption="Growth. (A) Dose. (B) Time.")
    world.add("f2", [picture.getvalue()], caption="Two things.", article_id="PMC8.1")
    lake = world.publish()
    list_chunk(lake, CHUNK)
    for table in (DUPLICATES, EVALUATION_MATCHES):
        lakes.publish(lake, table, None, [])
    recipe = tmp_path / "recipes" / "panels.yaml"
    recipe.parent.mkdir()
    recipe.write_text("unit: panel\nsplits: {validation: 0}\n")
    site = Site(tmp_path, encoder="texture", held_out=0.0)
    made = site.walk(MADE).materialised  # without labels, recipes of concepts are not
    assert {("panel_shards", CHUNK), ("recipe", "panels"), ("recipe", "full")} <= {*made}
    assert lake.read(RECIPE, "panels")["sample_key"].to_list() == ["f1-0-p00", "f1-0-p01"]
    assert sorted(lake.read(RECIPE, "full")["sample_key"]) == ["f1-0", "f2-0"]
    index = Index(find_index(lake.root, "panels"))
    got = read_tar(tar_of(index, lake.root, Selection(of=1)))
    assert {key: members["txt"] for key, members in got.items()} == {
        "f1-0-p00": b"Growth. Dose.",
        "f1-0-p01": b"Growth. Time.",
    }
    with Image.open(io.BytesIO(got["f1-0-p00"]["png"])) as panel:
        assert panel.width < page("AB").width / 2 + 30
    assert site.planner.reasons("panel_shards", CHUNK) == ()
    recipe.unlink()
    (reason,) = [one for one in Site(tmp_path).planner.reasons("panel_shards", CHUNK) if "wanted" in str(one)]
    assert "True -> False" in str(reason)
    assert Site(tmp_path).walk(["panel_shards"]).ok
    assert lake.read(PANEL_SHARDS, CHUNK).is_empty()
