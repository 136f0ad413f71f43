"""The stages ``map_landmarks`` and ``embedding_map`` on a lake."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest

from biomedica_assets.lib.cluster import FitSettings, MapSettings, fit_clusters, fit_map, place_chunk
from biomedica_assets.lib.cluster.layout import lay_out
from biomedica_assets.lib.compute.local import LocalEngine
from biomedica_assets.lib.errors import PermanentFailure, StoreError
from biomedica_assets.lib.tables import EMBEDDING_MAP, EMBEDDINGS, MAP_LANDMARKS
from biomedica_assets_tests.lib.cluster.lakes import lake_of_blobs

pytestmark = pytest.mark.full  # t-SNE

SERIAL = LocalEngine("serial")
SIX = FitSettings(k=6, n_components=4, seed=3)


def mapped(root, n=240, engine=SERIAL, landmarks=120):
    lake, truth = lake_of_blobs(root, n=n)
    fit_clusters(lake, engine=SERIAL, settings=SIX)
    report = fit_map(lake, settings=MapSettings(landmarks=landmarks, seed=1))
    placed = [place_chunk(lake, chunk, engine=engine) for chunk in lake.partitions(EMBEDDINGS)]
    return lake, truth, report, placed


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return mapped(tmp_path_factory.mktemp("map"))


def test_what_is_alike_lies_together_also_where_it_is_no_landmark(made):
    lake, truth, report, placed = made
    assert report.rows == 120 and report.reconciles and all(one.reconciles for one in placed)
    rows = lake.scan(EMBEDDING_MAP).sort("media_id").collect()
    flat = rows.select("x", "y").to_numpy()
    assert rows.height == 240 and np.abs(flat).max() <= 1
    away = np.linalg.norm(flat[:, None] - flat[None], axis=2) + 9 * np.eye(240)
    landmarks = set(lake.read(MAP_LANDMARKS, None)["media_id"])
    others = [n for n, media_id in enumerate(rows["media_id"]) if media_id not in landmarks]
    assert len(others) == 120
    assert np.mean(truth[away.argmin(axis=1)][others] == truth[others]) > 0.99
    assert report.metrics["kept"] > 0.3  # by chance it were 0.04; within a group there is nothing but noise


def test_a_landmark_stands_where_it_was_laid(made):
    lake, *_ = made
    laid = lake.read(MAP_LANDMARKS, None).select("media_id", "x", "y")
    both = laid.join(lake.scan(EMBEDDING_MAP).collect(), on="media_id", suffix="_placed")
    assert both.height == laid.height == 120
    off = np.hypot(both["x"] - both["x_placed"], both["y"] - both["y_placed"])
    assert off.max() < 0.01


def test_same_seed_same_bytes_whatever_the_engine(made, tmp_path):
    _, _, report, placed = made
    _, _, again, elsewhere = mapped(tmp_path, engine=LocalEngine("threads", 3))
    assert report.data_version == again.data_version
    assert [one.data_version for one in placed] == [one.data_version for one in elsewhere]


def test_more_images_leave_places_alone_while_the_landmarks_stay(made):
    """A chunk that comes later gets places; those of other chunks do not depend on it."""
    lake, *_, placed = made
    again = place_chunk(lake, lake.partitions(EMBEDDINGS)[0], engine=SERIAL)
    assert again.data_version == placed[0].data_version


@pytest.mark.parametrize("points", [np.ones((40, 3)), np.eye(2), np.zeros((1, 1)), np.arange(8.0)[:, None]])
def test_few_or_equal_points_are_laid_out_too(points):
    flat = lay_out(points.astype(np.float32), 0)
    assert flat.shape == (len(points), 2) and np.isfinite(flat).all() and np.abs(flat).max() <= 1


def test_landmarks_of_another_model_are_refused_and_missing_ones_named(tmp_path):
    lake, _ = lake_of_blobs(tmp_path, n=80)
    fit_clusters(lake, engine=SERIAL, settings=SIX)
    with pytest.raises(StoreError, match="map_landmarks has not been materialised"):
        place_chunk(lake, "PMC000-0000", engine=SERIAL)
    fit_map(lake, settings=MapSettings(landmarks=20))
    fit_clusters(lake, engine=SERIAL, settings=dataclasses.replace(SIX, n_components=3))
    with pytest.raises(PermanentFailure, match="Materialise map_landmarks again"):
        place_chunk(lake, "PMC000-0000", engine=SERIAL)


def test_the_sample_does_not_depend_on_how_images_lie_in_shelves(tmp_path):
    drawn = []
    for shelves in (1, 2):
        lake, _ = lake_of_blobs(tmp_path / str(shelves), n=80, shelves=shelves)
        fit_clusters(lake, engine=SERIAL, settings=SIX)
        fit_map(lake, settings=MapSettings(landmarks=30))
        drawn.append(lake.read(MAP_LANDMARKS, None).select(pl.col("media_id").sort())["media_id"].to_list())
    assert drawn[0] == drawn[1]
