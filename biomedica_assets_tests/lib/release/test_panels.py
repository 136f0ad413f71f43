"""Panels are changed pictures: a release leaves recipes of them out, whole."""

from __future__ import annotations

import shutil

import pytest

from biomedica_assets.lib.release.stage import ReleaseConfig
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import RECIPE
from biomedica_assets_tests.lib.release import lakes


@pytest.mark.full  # a release of its own
def test_a_recipe_of_panels_is_in_no_release(tmp_path, lake):
    """Its single pictures are in the shards of the release: they alone would look like the recipe."""
    copy = Lake(shutil.copytree(lake.root, tmp_path / "data"))
    lakes.recipe(copy)
    made, rows = copy.manifest(RECIPE, "full"), copy.read(RECIPE, "full")
    copy.publish(
        RECIPE, "panels", rows, code_version="t", inputs={}, config=dict(made.config) | {"unit": "panel"},
        n_in=rows.height, n_out=rows.height, files=made.files,
    )  # fmt: skip
    folder = lakes.release(copy, ReleaseConfig(version="panels", pairs=False))
    assert [path.name for path in (folder / "data" / "recipe").iterdir()] == ["full"]
    assert not [path for path in folder.rglob("*.index") if "panels" in path.name]
