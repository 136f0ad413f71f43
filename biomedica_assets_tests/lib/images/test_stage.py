"""The images stage: every graphic becomes a row or a reject, and nothing is decoded twice."""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from biomedica_assets.lib.compute.local import LocalEngine
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.images import stage
from biomedica_assets.lib.images.limits import ImageLimits
from biomedica_assets.lib.images.stage import build_images
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import ARTICLE_INDEX, FIGURES, IMAGES
from biomedica_assets_tests.lib.images.generated import (
    FakeMirror,
    encode,
    every_format,
    figure,
    index_row,
    publish,
    texture,
)

CHUNK = "PMC000-0000"


def world(root: Path) -> tuple[Lake, FakeMirror]:
    """Two articles: one with a figure per format, one in which everything goes wrong that can."""
    lake = Lake(root)
    formats = every_format()
    contents = {f"PMC1.1/{name}": data for name, data in formats.items()}
    good = encode(texture(50, 40, seed=9), "JPEG")
    contents |= {
        "PMC2.1/good.jpg": good,
        "PMC2.1/same.jpg": good,
        "PMC2.1/a/twin.png": encode(texture(40, 40, seed=1), "PNG"),
        "PMC2.1/b/twin.png": encode(texture(40, 40, seed=2), "PNG"),
        "PMC2.1/cut.jpg": good[: len(good) // 2],
        "PMC2.1/page.jpg": b"<!DOCTYPE html><html><body>503</body></html>",
        "PMC2.1/offline.jpg": b"FETCH FAILS",
    }
    mirror = FakeMirror(lake, contents)
    publish(
        lake,
        ARTICLE_INDEX,
        CHUNK,
        [index_row(article, mirror.media(article)) for article in ("PMC1.1", "PMC2.1")],
    )
    hrefs = ["good", "good.tif", "twin", "cut", "page.jpg", "offline", "nowhere"]
    publish(
        lake,
        FIGURES,
        CHUNK,
        [figure(f"pmc1-{i}", "PMC1.1", [name]) for i, name in enumerate(formats)]
        + [
            figure("pmc2-0", "PMC2.1", hrefs),
            figure("pmc2-1", "PMC2.1", ["x/good.jpg"], kind="scheme"),
            figure("pmc2-2", "PMC2.1", ["same"], kind="formula"),
            figure("pmc2-3", "PMC2.1", []),
        ],
    )
    return lake, mirror


def build(lake: Lake, mirror: FakeMirror, engine: LocalEngine | None = None, **more):
    return build_images(
        lake, CHUNK, fetch=mirror.fetch, limits=ImageLimits(), engine=engine or LocalEngine("serial"), **more
    )


def test_every_graphic_becomes_a_row_or_a_reject_with_its_reason(tmp_path):
    lake, mirror = world(tmp_path)
    report = build(lake, mirror)
    assert report.n_in == len(every_format()) + 8
    assert report.reconciles
    assert report.rejects == {
        "fetch_failed": 1,
        "image_truncated": 1,
        "media_ambiguous": 1,
        "media_missing": 1,
        "media_not_an_image": 1,
    }
    rejects = lake.read_rejects(IMAGES, CHUNK)
    assert set(rejects["subject"]) == {"pmc2-0-2", "pmc2-0-3", "pmc2-0-4", "pmc2-0-5", "pmc2-0-6"}
    assert rejects.filter(pl.col("reason") == "media_not_an_image")["message"].item().startswith("page.jpg: HTML page")


def test_only_media_that_figures_name_are_fetched_and_each_once(tmp_path):
    lake, mirror = world(tmp_path)
    build(lake, mirror)
    assert len(mirror.asked) == len(set(mirror.asked))
    assert "PMC2.1/same.jpg" not in mirror.asked
    assert mirror.asked.count("PMC2.1/good.jpg") == 1


def test_kinds_are_a_choice(tmp_path):
    lake, mirror = world(tmp_path)
    report = build(lake, mirror, kinds=("formula",))
    assert (report.n_in, report.rows) == (1, 1)
    assert lake.read(IMAGES, CHUNK)["media_id"].to_list() == ["pmc2-2-0"]


def test_one_object_shown_twice_gives_two_rows_that_differ_in_what_names_them(tmp_path):
    lake, mirror = world(tmp_path)
    build(lake, mirror)
    rows = lake.read(IMAGES, CHUNK).filter(pl.col("key") == "PMC2.1/good.jpg")
    assert rows["media_id"].to_list() == ["pmc2-0-0", "pmc2-0-1", "pmc2-1-0"]
    assert rows["match"].to_list() == ["extension_added", "other_extension", "basename"]
    assert rows["pixel_hash"].n_unique() == 1


def test_a_second_run_fetches_and_decodes_nothing_and_writes_the_same_bytes(tmp_path):
    lake, mirror = world(tmp_path)
    first = build(lake, mirror)
    part = lake.part(IMAGES, CHUNK).read_bytes()
    failing = {"PMC2.1/cut.jpg", "PMC2.1/page.jpg", "PMC2.1/offline.jpg"}
    mirror.asked.clear()
    second = build(lake, mirror)
    assert set(mirror.asked) == failing
    assert second.metrics["decoded"] == 0
    assert second.data_version == first.data_version
    assert lake.part(IMAGES, CHUNK).read_bytes() == part


def test_a_changed_object_alone_is_decoded_again(tmp_path):
    lake, mirror = world(tmp_path)
    build(lake, mirror)
    before = lake.read(IMAGES, CHUNK)
    mirror.contents["PMC1.1/png"] = encode(texture(70, 50, seed=5), "PNG")
    publish(lake, ARTICLE_INDEX, CHUNK, [index_row(article, mirror.media(article)) for article in ("PMC1.1", "PMC2.1")])
    mirror.asked.clear()
    report = build(lake, mirror)
    assert report.metrics["decoded"] == 1
    assert "PMC1.1/png" in mirror.asked
    after = lake.read(IMAGES, CHUNK)
    changed = before.join(after, on=["media_id", "sha256"], how="anti")
    assert changed["key"].to_list() == ["PMC1.1/png"]


@pytest.mark.parametrize("change", ["code", "limits", "file"])
def test_nothing_is_reused_when_code_limits_or_files_are_not_what_they_were(tmp_path, monkeypatch, change):
    lake, mirror = world(tmp_path)
    build(lake, mirror)
    n = lake.read(IMAGES, CHUNK)["key"].n_unique()
    limits, expected = ImageLimits(), n
    if change == "code":
        monkeypatch.setattr(stage, "VERSION", "images-next")
    elif change == "limits":
        limits = ImageLimits(min_side=10)
    else:
        (lake.root / "mirror" / "PMC2.1" / "good.jpg").unlink()
        expected = 1
    report = build_images(lake, CHUNK, fetch=mirror.fetch, limits=limits, engine=LocalEngine("serial"))
    assert report.metrics["decoded"] == expected


def test_engine_worker_count_and_order_of_answers_do_not_show(tmp_path):
    versions = set()
    for i, engine in enumerate((LocalEngine("serial"), LocalEngine("threads", 3))):
        lake, mirror = world(tmp_path / str(i))
        original = mirror.fetch
        if i:
            mirror.fetch = lambda objects, original=original: iter(list(original(objects))[::-1])
        versions.add(build(lake, mirror, engine).data_version)
    assert len(versions) == 1


def test_a_file_that_is_not_what_the_source_states_is_refused(tmp_path):
    lake, mirror = world(tmp_path)
    mirror.contents["PMC2.1/good.jpg"] = encode(texture(33, 33), "JPEG")
    report = build(lake, mirror)
    assert report.rejects["checksum_mismatch"] == 3


def test_fetch_that_forgets_an_object_stops_the_run(tmp_path):
    lake, mirror = world(tmp_path)
    with pytest.raises(PermanentFailure, match="gave no answer for 1 objects"):
        build_images(
            lake,
            CHUNK,
            fetch=lambda objects: mirror.fetch(objects[1:]),
            limits=ImageLimits(),
            engine=LocalEngine("serial"),
        )


def test_figure_ids_that_cannot_be_member_names_stop_the_run(tmp_path):
    lake, mirror = world(tmp_path)
    publish(lake, FIGURES, CHUNK, [figure("pone.0000133.g001", "PMC1.1", ["jpeg"])])
    with pytest.raises(PermanentFailure, match=r"pone\.0000133\.g001"):
        build(lake, mirror)


def test_contact_strip_shows_twelve_images_whatever_their_mode(tmp_path):
    lake, mirror = world(tmp_path)
    report = build(lake, mirror)
    (picture,) = report.pictures
    with Image.open(io.BytesIO(picture.data)) as sheet:
        assert (sheet.format, sheet.size) == ("WEBP", (6 * 166 + 6, 2 * 166 + 6))
    assert picture.data == build(lake, mirror).pictures[0].data


def test_a_chunk_without_figures_is_an_empty_partition(tmp_path):
    lake = Lake(tmp_path)
    publish(lake, ARTICLE_INDEX, CHUNK, [])
    publish(lake, FIGURES, CHUNK, [])
    report = build(lake, FakeMirror(lake, {}))
    assert (report.rows, report.n_in, report.pictures) == (0, 0, ())


def test_figures_that_change_while_images_are_made_leave_them_out_of_date(tmp_path):
    lake, mirror = world(tmp_path)
    before = lake.version(FIGURES, CHUNK)

    def fetch(objects):
        publish(lake, FIGURES, CHUNK, [figure("pmc1-0", "PMC1.1", [])])
        yield from mirror.fetch(objects)

    build_images(lake, CHUNK, fetch=fetch, limits=ImageLimits(), engine=LocalEngine("serial"))
    assert lake.version(FIGURES, CHUNK) != before
    assert lake.manifest(IMAGES, CHUNK).inputs[f"figures@{CHUNK}"] == before
