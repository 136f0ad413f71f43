"""The two tables of compound figures: what is read, what is kept, what is left over, and what is said of bad input."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from biomedica_assets.lib.compute.local import LocalEngine
from biomedica_assets.lib.panels import stage
from biomedica_assets.lib.panels.find import WHOLE
from biomedica_assets.lib.panels.subcaptions import MAX_CHARS
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import CAPTIONS, IMAGES, PANEL_BOXES, SUBCAPTIONS
from biomedica_assets_tests.lib.images.generated import publish
from biomedica_assets_tests.lib.panels.test_find import page
from biomedica_assets_tests.lib.shards.world import CHUNK, World

AREA = "Growth at 10^3 cells. (A) Dose of 5 x 10^2. (B) Time. Scale bar: 5 mm."
PLAIN = AREA.replace("^", "")


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def pictures() -> dict[str, bytes]:
    sides = page("AB").crop((0, 50, 528, 250))  # the same drawings without their letters
    return {"ab": png(page("AB")), "sides": png(sides), "one": png(page("A").crop((20, 48, 268, 252)))}


@pytest.fixture
def lake(tmp_path: Path, pictures: dict[str, bytes]) -> Lake:
    world = World(tmp_path)
    world.add("f1", [pictures["ab"]], caption=PLAIN, reading=AREA)
    world.add("f2", [pictures["sides"]], caption="Left: dose. Right: response.")
    world.add("f3", [pictures["one"]], caption="Growth over time.")
    world.add("f4", [pictures["ab"], pictures["sides"]], caption="(A) Dose. (B) Time.")
    return world.publish()


def boxes(lake: Lake, media_id: str) -> pl.DataFrame:
    return lake.read(PANEL_BOXES, CHUNK).filter(media_id=media_id)


def make(lake: Lake) -> None:
    stage.build_subcaptions(lake, CHUNK)
    stage.build_panel_boxes(lake, CHUNK)


def test_spans_are_into_the_caption_and_words_are_those_of_the_reading_form(lake):
    report = stage.build_subcaptions(lake, CHUNK)
    assert (report.n_in, report.n_out, report.reconciles) == (4, 4, True)
    assert report.metrics["captions_cut"] == 3
    first, second = lake.read(SUBCAPTIONS, CHUNK).filter(figure_id="f1").sort("part").to_dicts()
    assert (first["labels"], second["labels"], first["kind"]) == (["A"], ["B"], "letter")
    assert [PLAIN[s["start"] : s["end"]].strip(" .") for s in first["own"]] == ["Dose of 5 x 102"]
    assert first["text"] == "Growth at 10^3 cells. Dose of 5 x 10^2. Scale bar: 5 mm."
    assert "10^2" not in second["text"]
    assert lake.read(SUBCAPTIONS, CHUNK).filter(figure_id="f2")["kind"].to_list() == ["place", "place"]


def test_a_text_that_is_no_caption_is_left_out_with_its_reason(tmp_path, pictures):
    world = World(tmp_path)
    world.add("f1", [], caption="(A) x. (B) y. " * (MAX_CHARS // 10))
    report = stage.build_subcaptions(world.publish(), CHUNK)
    assert (report.rows, report.rejects, report.reconciles) == (0, {"caption_too_long": 1}, True)


def test_panels_are_tied_by_letter_or_by_order_and_single_pictures_are_whole(lake):
    make(lake)
    lettered = boxes(lake, "f1-0")
    assert lettered["label"].to_list() == ["A", "B"]
    assert lettered["parts"].to_list() == [[0], [1]]
    assert lettered["link_method"].to_list() == ["label", "label"]
    ordered = boxes(lake, "f2-0")
    assert ordered["link_method"].to_list() == ["order", "order"]
    assert (ordered["link_score"] <= ordered["score"] / 2 + 1e-6).all()
    (whole,) = boxes(lake, "f3-0").to_dicts()
    assert (whole["method"], whole["n_panels"], whole["parts"]) == (WHOLE, 1, None)
    with Image.open(lake.root / lake.read(IMAGES, CHUNK).filter(media_id="f3-0")["path"][0]) as picture:
        assert (whole["x0"], whole["y0"], whole["x1"], whole["y1"]) == (0, 0, *picture.size)


def test_the_pictures_of_one_caption_are_tied_by_letters_alone(lake):
    """Two pictures share two sub-captions: that the second has two parts without letters says nothing of which."""
    make(lake)
    assert boxes(lake, "f4-0")["parts"].to_list() == [[0], [1]]
    assert boxes(lake, "f4-1")["parts"].to_list() == [None, None]
    assert lake.manifest(PANEL_BOXES, CHUNK).metrics["panels_left_over"] == 2


def test_only_what_changed_is_looked_at_again(lake, pictures):
    make(lake)
    before = lake.read(PANEL_BOXES, CHUNK)
    captions = lake.read(CAPTIONS, CHUNK)
    words = pl.when(pl.col("figure_id") == "f1").then(pl.lit("(A) Other words. (B) Yet others.")).otherwise("caption")
    labels = pl.when(pl.col("figure_id") == "f2").then(pl.lit("Three things.")).otherwise(words)
    publish(lake, CAPTIONS, CHUNK, captions.with_columns(caption=labels, caption_reading=labels).to_dicts())
    stage.build_subcaptions(lake, CHUNK)
    report = stage.build_panel_boxes(lake, CHUNK)
    assert report.metrics["reused"] == 4, "other words for the same labels change no box"
    assert lake.read(PANEL_BOXES, CHUNK).filter(figure_id="f1").equals(before.filter(figure_id="f1"))
    assert stage.build_panel_boxes(lake, CHUNK).metrics["reused"] == 5


def test_the_rows_do_not_depend_on_where_pictures_are_looked_at(lake):
    make(lake)
    here = (lake.version(SUBCAPTIONS, CHUNK), lake.version(PANEL_BOXES, CHUNK))
    for table in (PANEL_BOXES, SUBCAPTIONS):
        lake.remove(table, CHUNK)
    engine = LocalEngine("threads", 2)
    stage.build_subcaptions(lake, CHUNK, engine=engine)
    stage.build_panel_boxes(lake, CHUNK, engine=engine)
    assert (lake.version(SUBCAPTIONS, CHUNK), lake.version(PANEL_BOXES, CHUNK)) == here


def test_a_broken_file_is_a_reject_and_the_others_go_on(lake):
    images = lake.read(IMAGES, CHUNK)
    (lake.root / images.filter(media_id="f2-0")["path"][0]).write_bytes(b"rubbish")
    stage.build_subcaptions(lake, CHUNK)
    report = stage.build_panel_boxes(lake, CHUNK)
    assert (report.n_in, report.n_out, report.rejects) == (5, 4, {"image_undecodable": 1})
    (reject,) = lake.read_rejects(PANEL_BOXES, CHUNK).iter_rows(named=True)
    assert (reject["article_id"], reject["subject"]) == ("PMC7.1", "f2-0")


def test_the_report_shows_pictures_with_their_panels(lake):
    stage.build_subcaptions(lake, CHUNK)
    report = stage.build_panel_boxes(lake, CHUNK)
    (picture,) = report.pictures
    with Image.open(io.BytesIO(picture.data)) as drawn:
        assert drawn.format == "WEBP"
        assert drawn.width > 360
    said = {(row["media_id"], row["panel"]): row["says"] for row in report.preview}
    assert said["f1-0", 1] == "Growth at 10^3 cells. Time. Scale bar: 5 mm."
    assert dataclasses.is_dataclass(report)
