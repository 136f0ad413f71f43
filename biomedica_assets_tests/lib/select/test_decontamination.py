"""Which images evaluation tasks use: the stage from test images and fingerprints to its table."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from biomedica_assets.lib.compute.local import LocalEngine
from biomedica_assets.lib.errors import RejectReason, StoreError
from biomedica_assets.lib.panels.find import split_at_gutters
from biomedica_assets.lib.select import altered
from biomedica_assets.lib.select.decontamination import build_evaluation_matches, look_at_test_images
from biomedica_assets.lib.select.looks import build_image_views
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import EVALUATION_MATCHES, IMAGE_VIEWS, IMAGES
from biomedica_assets_tests.lib.select.alterations import ALTERATIONS, compound, scene
from biomedica_assets_tests.lib.select.lakes import CHUNKS, publish
from biomedica_assets_tests.lib.select.test_duplicates import encoded, gathered, lake_of, measured

FILES = {
    "a-first": encoded(scene(1)),
    "b-alone": encoded(scene(2)),
    "c-half": encoded(scene(1).resize((80, 80), Image.Resampling.LANCZOS)),
    "d-figure": encoded(compound(scene(3), random.Random(1), [scene(n) for n in (50, 51, 52)])),
    "e-same-bytes": encoded(scene(1)),
    "f-other": encoded(scene(4)),
}


def looked_at(root: Path, files: dict[str, bytes]) -> tuple[pl.DataFrame, list]:
    for name, data in files.items():
        (root / name).write_bytes(data)
    return look_at_test_images([("task", name, root / name) for name in files], measured)


def found_in(lake: Lake) -> dict[tuple[str, str], str]:
    return {(r["media_id"], r["item"]): r["match"] for r in lake.read(EVALUATION_MATCHES, None).to_dicts()}


TURNS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "quarter turn": lambda i: i.transpose(Image.Transpose.ROTATE_90),
    "mirror": lambda i: i.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "transposed": lambda i: i.transpose(Image.Transpose.TRANSPOSE),
}


@pytest.mark.parametrize("turn", TURNS)
def test_turned_shrunk_and_recompressed_test_images_are_found(tmp_path: Path, turn: str) -> None:
    lake = lake_of(tmp_path / "lake", FILES)
    changed = TURNS[turn](scene(2)).resize((96, 96), Image.Resampling.LANCZOS)
    tests, rejects = looked_at(tmp_path, {"t": encoded(changed, "JPEG", quality=80)})
    report = build_evaluation_matches(lake, tests, rejects=rejects)
    (row,) = lake.read(EVALUATION_MATCHES, None).to_dicts()
    assert (row["media_id"], row["item"], row["match"]) == ("b-alone", "t", "altered")
    assert row["orientation"] != 0
    assert row["score"] > 0.96
    assert np.allclose(row["place"], (0, 0, 1, 1))
    assert report.reconciles


def test_a_test_image_that_is_a_panel_of_a_figure_is_found_in_its_place(tmp_path: Path) -> None:
    lake = lake_of(tmp_path / "lake", FILES)
    tests, rejects = looked_at(tmp_path, {"t": encoded(scene(3)), "none": encoded(scene(9))})
    report = build_evaluation_matches(lake, tests, rejects=rejects)
    assert found_in(lake) == {("d-figure", "t"): "altered"}
    (row,) = lake.read(EVALUATION_MATCHES, None).to_dicts()
    x0, y0, x1, y1 = row["place"]
    assert 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1 and (x1 - x0) * (y1 - y0) < 0.6
    assert report.metrics["altered_copies"] == 1


def test_equal_files_and_pixels_are_found_as_such_and_strangers_are_not(tmp_path: Path) -> None:
    lake = lake_of(tmp_path / "lake", FILES)
    files = {"bytes": FILES["a-first"], "pixels": encoded(scene(2), compress_level=3), "none": encoded(scene(9))}
    tests, rejects = looked_at(tmp_path, files)
    build_evaluation_matches(lake, tests, rejects=rejects)
    assert found_in(lake) == {
        ("a-first", "bytes"): "bytes",
        ("c-half", "bytes"): "altered",
        ("e-same-bytes", "bytes"): "bytes",
        ("b-alone", "pixels"): "pixels",
    }


def test_workers_and_batches_do_not_change_what_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {f"t{n}": encoded(scene(n)) for n in range(1, 6)}
    tests, _ = looked_at(tmp_path, files)
    lake = lake_of(tmp_path / "lake", FILES)
    one = build_evaluation_matches(lake, tests).data_version
    monkeypatch.setattr(altered, "_TESTS_AT_ONCE", 2)
    monkeypatch.setattr(altered, "_PAIRS_AT_ONCE", 3)
    assert build_evaluation_matches(lake, tests, engine=LocalEngine("threads", 3)).data_version == one


def test_more_copies_than_one_batch_are_all_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as a batch holds a copy the next is looked at; where the limit cuts that short, the report says so."""
    ways = list(ALTERATIONS)[:7]
    files = {name: encoded(ALTERATIONS[name](scene(1), random.Random(name), [])) for name in ways}
    lake = lake_of(tmp_path / "lake", {name.replace(" ", "-"): data for name, data in files.items()})
    tests, _ = looked_at(tmp_path, {"t": encoded(scene(1))})
    monkeypatch.setattr(altered, "BATCH", 2)
    assert build_evaluation_matches(lake, tests).metrics["altered_copies"] == 7
    monkeypatch.setattr(altered, "MOST", 4)
    report = build_evaluation_matches(lake, tests)
    assert report.metrics["altered_copies"] == 4
    assert report.metrics["test_images_with_more_copies"] == 1


def test_test_images_may_be_files_bytes_or_pixels(tmp_path: Path) -> None:
    lake = lake_of(tmp_path / "lake", FILES)
    small = scene(2).resize((64, 64), Image.Resampling.LANCZOS)
    (tmp_path / "x.png").write_bytes(encoded(small))
    forms = {"file": tmp_path / "x.png", "bytes": encoded(small), "pixels": np.asarray(small)}
    tests, rejects = look_at_test_images((("task", item, image) for item, image in forms.items()), measured)
    build_evaluation_matches(lake, tests, rejects=rejects)
    assert found_in(lake) == {("b-alone", form): "altered" for form in forms}


def test_a_test_image_that_is_none_is_a_reject(tmp_path: Path) -> None:
    lake = lake_of(tmp_path / "lake", FILES)
    tests, rejects = looked_at(tmp_path, {"bad": b"no picture", "good": FILES["b-alone"]})
    report = build_evaluation_matches(lake, tests, rejects=rejects)
    assert report.rejects == {RejectReason.TASK_ITEM_INVALID: 1}
    assert (report.n_in, report.n_out, report.reconciles) == (2, 1, True)
    assert "bad" in lake.read_rejects(EVALUATION_MATCHES, None)["message"][0]


def test_without_test_images_nothing_matches(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, FILES)
    assert build_evaluation_matches(lake, pl.DataFrame(schema=altered.TESTS)).rows == 0
    assert build_evaluation_matches(Lake(tmp_path / "empty"), looked_at(tmp_path, {"t": FILES["a-first"]})[0]).rows == 0


def test_an_image_that_vanished_is_named(tmp_path: Path) -> None:
    lake = lake_of(tmp_path / "lake", FILES)
    (lake.root / "mirror" / "b-alone").unlink()
    tests, _ = looked_at(tmp_path, {"t": encoded(scene(2).resize((90, 90)))})
    with pytest.raises(StoreError, match="b-alone"):
        build_evaluation_matches(lake, tests)


def test_views_of_unchanged_images_are_kept_and_images_that_are_none_are_rejects(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, FILES)
    first = lake.read(IMAGE_VIEWS, CHUNKS[0])
    rows = lake.read(IMAGES, CHUNKS[0]).to_dicts()
    (lake.root / rows[0]["path"]).write_bytes(b"no picture")
    report = build_image_views(lake, CHUNKS[0], split_at_gutters)
    assert report.metrics["reused"] == first.height
    assert lake.read(IMAGE_VIEWS, CHUNKS[0]).equals(first)
    publish(lake, IMAGES, CHUNKS[0], [rows[0] | {"sha256": "f" * 64}, *rows[1:]])
    report = build_image_views(lake, CHUNKS[0], split_at_gutters, engine=LocalEngine("threads", 2))
    assert report.rejects == {RejectReason.IMAGE_UNDECODABLE: 1}
    assert (report.metrics["reused"], report.rows, report.reconciles) == (first.height - 1, first.height - 1, True)
    gathered(lake)  # an image without a look is compared by its digests alone
    tests, _ = looked_at(tmp_path, {"t": FILES["b-alone"]})
    build_evaluation_matches(lake, tests)
    assert found_in(lake) == {("b-alone", "t"): "bytes"}
