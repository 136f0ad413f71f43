"""What is gathered by shelf, and what it keeps from being made anew."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.select.definition import Recipe
from biomedica_assets.lib.select.recipe import build_recipe
from biomedica_assets.lib.select.shelves import build_image_fingerprints, build_sample_shelf
from biomedica_assets.lib.stream import index as stream_index
from biomedica_assets.lib.tables import CAPTIONS, IMAGE_FINGERPRINTS, IMAGE_VIEWS, IMAGES, SAMPLE_SHELF
from biomedica_assets_tests.lib.select.lakes import CHUNKS, Sample, make_lake, publish

SAMPLES = [Sample(1), Sample(2, article=2), Sample(3, article=1_020_003)]


def test_each_shelf_gathers_its_own_chunks(tmp_path: Path) -> None:
    lake = make_lake(tmp_path, SAMPLES)
    reports = [build_image_fingerprints(lake, shelf) for shelf in ("PMC000", "PMC001")]
    assert [report.rows for report in reports] == [2, 1]
    assert lake.read(IMAGE_FINGERPRINTS, "PMC001")["media_id"].to_list() == ["m0003"]
    manifest = lake.manifest(IMAGE_FINGERPRINTS, "PMC001")
    assert manifest is not None
    assert set(manifest.inputs) == {f"images@{CHUNKS[1]}", f"image_views@{CHUNKS[1]}"}


def test_what_does_not_tell_images_apart_leaves_the_fingerprints(tmp_path: Path) -> None:
    """A licence that changes must not have all images compared anew."""
    lake = make_lake(tmp_path, SAMPLES)
    before = build_image_fingerprints(lake, "PMC000").data_version
    changed = lake.read(IMAGES, CHUNKS[0]).with_columns(pl.lit("CC0").alias("license_code"))
    publish(lake, IMAGES, CHUNKS[0], changed.to_dicts())
    assert build_image_fingerprints(lake, "PMC000").data_version == before


def test_other_looks_make_other_fingerprints(tmp_path: Path) -> None:
    lake = make_lake(tmp_path, SAMPLES)
    before = build_image_fingerprints(lake, "PMC000").data_version
    rows = lake.read(IMAGE_VIEWS, CHUNKS[0]).to_dicts()
    publish(lake, IMAGE_VIEWS, CHUNKS[0], [rows[0] | {"descriptions": b"\1" * 256}, *rows[1:]])
    assert build_image_fingerprints(lake, "PMC000").data_version != before


def test_any_change_of_what_describes_samples_changes_the_sample_shelf(tmp_path: Path) -> None:
    lake = make_lake(tmp_path, SAMPLES)
    before = lake.version(SAMPLE_SHELF, "PMC000")
    assert build_sample_shelf(lake, "PMC000").data_version == before
    changed = lake.read(CAPTIONS, CHUNKS[0]).with_columns(pl.lit("new").alias("caption"))
    publish(lake, CAPTIONS, CHUNKS[0], changed.to_dicts())
    with pytest.raises(StoreError, match=r"1 chunks are not what sample_shelf knows of them, the first is PMC000-0000"):
        build_recipe(lake, "r", Recipe(), write_index=stream_index.write)
    assert build_sample_shelf(lake, "PMC000").data_version != before
    assert build_recipe(lake, "r", Recipe(), write_index=stream_index.write).rows == 3
