"""Panels as samples: what is cropped and written, which words go with it, and that a stream of a recipe hands it on."""

from __future__ import annotations

import functools
import io
import json
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from biomedica_assets.lib.images.limits import ImageLimits
from biomedica_assets.lib.images.verify import measure
from biomedica_assets.lib.lineage import stale
from biomedica_assets.lib.panels import stage as cutting
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.select import definition
from biomedica_assets.lib.select.definition import RecipeError
from biomedica_assets.lib.select.held_out import build_held_out
from biomedica_assets.lib.select.recipe import build_recipe
from biomedica_assets.lib.select.shelves import build_sample_shelf
from biomedica_assets.lib.select.splits import Held
from biomedica_assets.lib.shards import panels
from biomedica_assets.lib.shards.config import PanelConfig, ShardConfig
from biomedica_assets.lib.shards.stage import build_shards
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.stream import index as stream_index
from biomedica_assets.lib.stream.checks import check_of
from biomedica_assets.lib.stream.find import find_index
from biomedica_assets.lib.stream.index import Index
from biomedica_assets.lib.stream.virtual import Selection
from biomedica_assets.lib.tables import DUPLICATES, EVALUATION_MATCHES, IMAGES, PANEL_BOXES, PANEL_SHARDS, RECIPE
from biomedica_assets_tests.lib.panels.test_find import page
from biomedica_assets_tests.lib.select.lakes import publish
from biomedica_assets_tests.lib.shards.world import CHUNK, World
from biomedica_assets_tests.lib.stream.conftest import read_tar
from biomedica_assets_tests.lib.stream.test_virtual import tar_of
from biomedica_assets_tests.support.garbage import take_out

MEASURE = functools.partial(measure, limits=ImageLimits(min_side=1))
CAPTION = "Growth. (A, B) Curves of (A) dose and (B) time of 10^3 s. Scale bar: 5 mm."


def encoded(picture: Image.Image, form: str) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def pictures() -> dict[str, bytes]:
    return {
        "png": encoded(page("AB"), "PNG"),
        "jpg": encoded(page("AB"), "JPEG"),
        "one": encoded(page("A").crop((20, 48, 268, 252)), "PNG"),
    }


def shards_of(world: World) -> Lake:
    lake = world.publish()
    cutting.build_subcaptions(lake, CHUNK)
    cutting.build_panel_boxes(lake, CHUNK)
    build_shards(lake, CHUNK, config=ShardConfig())
    return lake


@pytest.fixture
def lake(tmp_path: Path, pictures: dict[str, bytes]) -> Lake:
    world = World(tmp_path)
    world.add("f1", [pictures["png"]], caption=CAPTION.replace("^", ""), reading=CAPTION)
    world.add("f2", [pictures["jpg"]], caption="(A) Dose. (B) Time.", article_id="PMC8.1", mentions=["see 1"])
    world.add("f3", [pictures["one"]], caption="One thing.", article_id="PMC9.1")
    world.add("f4", [pictures["png"]], caption="Two things without names.", article_id="PMC9.1")
    return shards_of(world)


def crop(lake: Lake, **config: object) -> Report:
    return panels.build_panel_shards(lake, CHUNK, config=PanelConfig(**config), measure=MEASURE)


def recipe(lake: Lake, text: str) -> Report:
    for table in (DUPLICATES, EVALUATION_MATCHES):
        if lake.manifest(table, None) is None:
            publish(lake, table, None, [])
    build_sample_shelf(lake, "PMC000")
    build_held_out(lake, Held(0, 0))
    return build_recipe(lake, "r", definition.parse(text, "r"), write_index=stream_index.write)


def test_panels_are_what_their_boxes_hold_with_the_words_that_speak_of_them(lake):
    report = crop(lake)
    assert (report.rows, report.n_in, report.reconciles) == (4, 6, True)
    assert report.rejects == {"caption_missing": 2}
    boxes = {(row["media_id"], row["panel"]): row for row in lake.read(PANEL_BOXES, CHUNK).to_dicts()}
    paths = dict(lake.read(IMAGES, CHUNK).select("media_id", "path").iter_rows())
    for row in lake.read(PANEL_SHARDS, CHUNK).to_dicts():
        data = (lake.root / row["shard"]).read_bytes()
        assert row["check"] == check_of(data[row["start"] : row["end"]])
        image = data[row["image_start"] : row["image_start"] + row["image_bytes"]]
        box = boxes[row["media_id"], row["panel"]]
        edges = tuple(box[edge] for edge in ("x0", "y0", "x1", "y1"))
        with Image.open(io.BytesIO(image)) as cropped, Image.open(lake.root / paths[row["media_id"]]) as whole:
            expected = whole.convert("RGB").crop(edges)
            assert cropped.size == expected.size
            far = max(high for _, high in ImageChops.difference(cropped.convert("RGB"), expected).getextrema())
            assert far <= (0 if row["image_ext"] == "png" else 24)
        said = json.loads(data[row["json_start"] : row["json_start"] + row["json_bytes"]])
        assert (said["sample_key"], said["media_id"], said["panel"]) == (
            row["sample_key"],
            row["media_id"],
            row["panel"],
        )
        assert tuple(said[f"panel_{edge}"] for edge in ("x0", "y0", "x1", "y1")) == edges
        assert (said["width"], said["height"], said["sha256"]) == (*expected.size, row["sha256"])
    texts = {
        row["sample_key"]: (lake.root / row["shard"]).read_bytes()[row["txt_start"] :][: row["txt_bytes"]].decode()
        for row in lake.read(PANEL_SHARDS, CHUNK).to_dicts()
    }
    assert texts["f1-0-p01"] == "Growth. Curves of time of 10^3 s. Scale bar: 5 mm."
    assert texts["f2-0-p00"] == "Dose."


def test_equal_panels_give_equal_bytes_and_nothing_is_left_behind(lake):
    first = crop(lake).data_version
    lake.remove(PANEL_SHARDS, CHUNK)
    assert crop(lake).data_version == first
    assert [path.name for path in (lake.root / "panel_shards").iterdir()] == ["commercial"]


def test_small_panels_are_refused(lake):
    assert crop(lake, min_side=10_000).rejects == {"caption_missing": 2, "image_too_small": 4}


def test_a_recipe_of_panels_streams_panels_and_single_pictures(lake):
    crop(lake)
    report = recipe(lake, "{unit: panel, splits: {validation: 0}}")
    assert report.metrics["left_out_compound"] == 3
    assert report.metrics["considered"] == 8
    index = Index(find_index(lake.root, "r"))
    got = read_tar(tar_of(index, lake.root, Selection(of=1)))
    assert sorted(got) == ["f1-0-p00", "f1-0-p01", "f2-0-p00", "f2-0-p01", "f3-0"]
    assert got["f1-0-p00"]["txt"].decode().startswith("Growth. Curves of dose")
    with Image.open(io.BytesIO(got["f2-0-p00"]["jpg"])) as picture:
        assert picture.format == "JPEG"
    assert lake.read(RECIPE, "r").filter(sample_key="f2-0-p00")["media_id"].to_list() == ["f2-0"]


def test_a_recipe_of_whole_pictures_takes_no_panel(lake):
    crop(lake)
    recipe(lake, "{}")
    assert sorted(lake.read(RECIPE, "r")["sample_key"]) == ["f1-0", "f2-0", "f3-0", "f4-0"]


def test_panels_that_are_tied_too_loosely_are_left_out(tmp_path, pictures):
    """By order alone a tie is half as sure."""
    world = World(tmp_path)
    world.add("f1", [pictures["png"]], caption="(A) Dose. (B) Time.")
    sides = encoded(page("AB").crop((0, 50, 528, 250)), "PNG")
    world.add("f2", [sides], caption="Left: dose. Right: response.", article_id="PMC8.1")
    lake = shards_of(world)
    crop(lake)
    report = recipe(lake, "{unit: panel, min_link_score: 0.6, splits: {validation: 0}}")
    assert report.metrics["left_out_link_score"] == 2
    assert lake.read(RECIPE, "r")["media_id"].unique().to_list() == ["f1-0"]


def test_of_pictures_that_are_the_same_one_keeps_all_its_panels(lake):
    crop(lake)
    same = {"group": "f1-0", "match": "pixels", "distance": 0, "group_size": 2}
    publish(lake, DUPLICATES, None, [{"media_id": m, "article_id": "PMC7.1", **same} for m in ("f1-0", "f2-0")])
    report = recipe(lake, "{unit: panel, splits: {validation: 0}}")
    assert report.metrics["left_out_duplicate"] == 2
    assert sorted(lake.read(RECIPE, "r")["sample_key"]) == ["f1-0-p00", "f1-0-p01", "f3-0"]


def test_a_test_image_takes_its_panels_along(lake):
    crop(lake)
    publish(lake, EVALUATION_MATCHES, None, [{"media_id": "f1-0", "task": "t", "item": "i"}])
    report = recipe(lake, "{unit: panel, splits: {validation: 0}}")
    assert sorted(lake.read(RECIPE, "r")["sample_key"]) == ["f2-0-p00", "f2-0-p01", "f3-0"]
    assert report.metrics["left_out_evaluation"] == 2


def test_without_a_recipe_of_panels_none_are_written_and_such_a_recipe_says_so(lake):
    report = crop(lake, wanted=False)
    assert (report.rows, report.n_in, report.bytes_written > 0) == (0, 0, True)
    assert not list((lake.root / "panel_shards").rglob("*.tar"))
    with pytest.raises(Exception, match="panel_shards"):
        recipe(lake, "{unit: panel}")


def test_panels_that_were_written_again_are_told_and_those_that_a_recipe_reads_stay(lake):
    crop(lake)
    recipe(lake, "{unit: panel, splits: {validation: 0}}")
    assert stale.Versions(lake).faults(RECIPE, "r") == []
    before = {path.name for path in (lake.root / "panel_shards").rglob("*.tar")}
    crop(lake, shards=ShardConfig(max_samples=1))
    (fault,) = stale.Versions(lake).faults(RECIPE, "r")
    assert f"panel_shards@{CHUNK} was made again" in str(fault)
    take_out(lake)
    assert before <= {path.name for path in (lake.root / "panel_shards").rglob("*.tar")}
    recipe(lake, "{unit: panel, splits: {validation: 0}}")
    take_out(lake)
    assert not before & {path.name for path in (lake.root / "panel_shards").rglob("*.tar")}


def test_a_unit_that_there_is_not_is_refused():
    with pytest.raises(RecipeError, match="unit"):
        definition.parse("{unit: pixel}", "r")
