"""The stages ``cluster_model`` and ``clusters`` on a lake."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import polars as pl
import pytest

from biomedica_assets.lib.cluster import FitSettings, assign_chunk, fit_clusters, load_model
from biomedica_assets.lib.cluster import blocks as blocks_module
from biomedica_assets.lib.cluster.sample import below, ranks
from biomedica_assets.lib.compute.local import LocalEngine
from biomedica_assets.lib.errors import PermanentFailure, StoreError
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.store.vectors import vectors_of
from biomedica_assets.lib.tables import CLUSTER_MODEL, CLUSTERS, EMBEDDING_SHELF, EMBEDDINGS
from biomedica_assets_tests.lib.cluster.lakes import ENCODER, blobs, lake_of_blobs, put

SERIAL = LocalEngine("serial")
SIX = FitSettings(k=6, n_components=4, seed=3)


def test_groups_are_found_and_every_image_has_cluster_and_runner_up(tmp_path):
    lake, truth = lake_of_blobs(tmp_path)
    report = fit_clusters(lake, engine=SERIAL, settings=SIX)
    for chunk in lake.partitions(EMBEDDINGS):
        assert assign_chunk(lake, chunk, engine=SERIAL).reconciles
    rows = lake.scan(CLUSTERS).sort("media_id").collect()
    assert len(set(zip(rows["cluster"], truth, strict=True))) == 6
    assert (rows["distance"] < rows["runner_up_distance"]).all()
    assert (rows["cluster"] != rows["runner_up"]).all()
    assert rows["model"].unique().to_list() == [report.metrics["model"]]


def test_distances_are_euclidean_in_the_space_of_the_components(tmp_path):
    lake, _ = lake_of_blobs(tmp_path, n=80)
    fit_clusters(lake, engine=SERIAL, settings=SIX)
    assign_chunk(lake, "PMC000-0000", engine=SERIAL)
    model = load_model(lake)
    vectors = vectors_of(lake, EMBEDDINGS, "PMC000-0000").map().astype(np.float64)
    points = (vectors - model.components.mean) @ model.components.components.astype(np.float64)
    exact = np.sort(np.linalg.norm(points[:, None] - model.centroids[None], axis=2), axis=1)
    rows = lake.read(CLUSTERS, "PMC000-0000")
    np.testing.assert_allclose(rows["distance"], exact[:, 0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(rows["runner_up_distance"], exact[:, 1], rtol=1e-4)


@pytest.mark.parametrize(
    "engine",
    [
        LocalEngine("threads", 1),
        LocalEngine("threads", 3),
        pytest.param(LocalEngine("processes", 2), marks=pytest.mark.full),
    ],
)
def test_same_seed_same_bytes_across_worker_counts(tmp_path, monkeypatch, engine):
    monkeypatch.setattr("biomedica_assets.lib.compute.local._ALONE_SECONDS", 0)  # else small work never leaves home
    monkeypatch.setattr(blocks_module, "ROWS", 64)
    versions = []
    for name, used in (("one", SERIAL), ("other", engine)):
        lake, _ = lake_of_blobs(tmp_path / name)
        fitted = fit_clusters(lake, engine=used, settings=SIX).data_version
        versions.append((fitted, assign_chunk(lake, "PMC001-0000", engine=used).data_version))
    assert versions[0] == versions[1]


def test_another_seed_is_another_model(tmp_path):
    lake, _ = lake_of_blobs(tmp_path, groups=40)
    versions = {fit_clusters(lake, engine=SERIAL, settings=FitSettings(k=9, seed=s)).data_version for s in (0, 1)}
    assert len(versions) == 2


def test_k_is_bounded_by_the_images(tmp_path):
    lake, _ = lake_of_blobs(tmp_path, n=80, groups=40)
    report = fit_clusters(lake, engine=SERIAL, settings=FitSettings())
    assert (report.metrics["clusters"], report.metrics["clusters_wanted"]) == (10, 2000)
    assert lake.read(CLUSTER_MODEL, None)["n_fit"].sum() == 80


@pytest.mark.parametrize("n_components", [1, 3, 16, 45])
def test_any_number_of_components_is_taken_up_to_the_dimension(tmp_path, n_components):
    lake, _ = lake_of_blobs(tmp_path, n=60)
    report = fit_clusters(lake, engine=SERIAL, settings=FitSettings(k=3, n_components=n_components))
    assert report.metrics["components"] == min(n_components, 16)


def test_one_cluster_has_no_runner_up_and_no_neighbour(tmp_path):
    lake, _ = lake_of_blobs(tmp_path, n=40)
    fit_clusters(lake, engine=SERIAL, settings=FitSettings(k=1))
    assign_chunk(lake, "PMC000-0000", engine=SERIAL)
    rows = lake.read(CLUSTERS, "PMC000-0000")
    assert rows["runner_up"].null_count() == rows["runner_up_distance"].null_count() == rows.height
    assert lake.read(CLUSTER_MODEL, None)["neighbour"].to_list() == [None]


def test_neighbours_are_the_nearest_other_centroids(tmp_path):
    lake, _ = lake_of_blobs(tmp_path)
    fit_clusters(lake, engine=SERIAL, settings=SIX)
    centroids = load_model(lake).centroids.astype(np.float64)
    apart = np.linalg.norm(centroids[:, None] - centroids[None], axis=2) + np.diag(np.full(len(centroids), np.inf))
    rows = lake.read(CLUSTER_MODEL, None).sort("cluster")
    assert rows["neighbour"].to_list() == apart.argmin(axis=1).tolist()
    np.testing.assert_allclose(rows["neighbour_distance"], apart.min(axis=1), rtol=1e-5)


def test_a_sample_is_chosen_by_id_and_grows_without_exchanging_members():
    ids = [f"m{i}" for i in range(5000)]
    small, large = (ranks(ids, 7) < below(share) for share in (0.1, 0.3))
    assert 400 < small.sum() < 600
    assert not (small & ~large).any()
    shuffled = list(reversed(ids))
    np.testing.assert_array_equal(ranks(shuffled, 7)[::-1], ranks(ids, 7))
    assert not np.array_equal(ranks(ids, 8), ranks(ids, 7))


def test_a_model_of_a_sample_is_fitted_on_about_as_many(tmp_path):
    lake, _ = lake_of_blobs(tmp_path, n=2000)
    report = fit_clusters(lake, engine=SERIAL, settings=FitSettings(k=6, sample=500))
    assert 400 < report.metrics["images_fitted"] < 600
    assert report.n_in == report.n_out == 2000


def test_model_files_are_safetensors_and_json_that_say_what_they_are(tmp_path):
    lake, _ = lake_of_blobs(tmp_path)
    fit_clusters(lake, engine=SERIAL, settings=SIX)
    manifest = lake.manifest(CLUSTER_MODEL, None)
    card_path, tensor_path = (lake.root / entry.path for entry in manifest.files)
    card = json.loads(card_path.read_text())
    assert card["settings"]["seed"] == 3
    assert card["encoder_digest"] == "n1"
    assert len(card["inertia"]) >= 2
    assert tensor_path.suffix == ".safetensors"
    assert not zipfile.is_zipfile(tensor_path)
    assert not list(tensor_path.parent.glob(".tmp-*"))


def test_pictures_are_png_and_named(tmp_path):
    lake, _ = lake_of_blobs(tmp_path, n=60)
    report = fit_clusters(lake, engine=SERIAL, settings=SIX)
    assert all(picture.data.startswith(b"\x89PNG") for picture in report.pictures)
    titles = [picture.title for picture in report.pictures]
    assert titles == ["Explained variance", "Inertia by pass", "Cluster sizes", "Map of a sample by cluster"]


def test_a_changed_chunk_changes_the_model_and_an_unchanged_one_does_not(tmp_path):
    lake, _ = lake_of_blobs(tmp_path)
    first = fit_clusters(lake, engine=SERIAL, settings=SIX).data_version
    assert fit_clusters(lake, engine=SERIAL, settings=SIX).data_version == first
    vectors, _ = blobs(300, 16, 6, seed=9)
    put(lake, EMBEDDING_SHELF, "PMC001", vectors, [f"m{i:06d}" for i in range(300, 600)])
    assert fit_clusters(lake, engine=SERIAL, settings=SIX).data_version != first


def test_vectors_of_another_encoder_than_the_model_are_refused(tmp_path):
    lake, _ = lake_of_blobs(tmp_path)
    fit_clusters(lake, engine=SERIAL, settings=SIX)
    vectors, _ = blobs(10, 16, 2)
    other = ENCODER | {"encoder": "other", "encoder_digest": "o1"}
    put(lake, EMBEDDINGS, "PMC000-0000", vectors, [f"x{i}" for i in range(10)], other)
    with pytest.raises(PermanentFailure, match=r"embedded by other \(o1\), the cluster model was fitted on numbers"):
        assign_chunk(lake, "PMC000-0000", engine=SERIAL)
    put(lake, EMBEDDING_SHELF, "PMC001", vectors, [f"y{i}" for i in range(10)], other)
    with pytest.raises(PermanentFailure, match=r"numbers \(n1\): PMC000; other \(o1\): PMC001"):
        fit_clusters(lake, engine=SERIAL, settings=SIX)


def test_an_empty_chunk_has_an_empty_partition(tmp_path):
    lake, _ = lake_of_blobs(tmp_path)
    fit_clusters(lake, engine=SERIAL, settings=SIX)
    put(lake, EMBEDDINGS, "PMC000-0020", np.empty((0, 16), np.float16), [])
    assert assign_chunk(lake, "PMC000-0020", engine=SERIAL).rows == 0
    assert lake.read(CLUSTERS, "PMC000-0020").schema == pl.Schema(CLUSTERS.schema)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(PermanentFailure, match="embedding_shelf has no partition yet"):
        fit_clusters(Lake(tmp_path), engine=SERIAL)
    with pytest.raises(StoreError, match="cluster_model has not been materialised"):
        load_model(Lake(tmp_path))
    lake, _ = lake_of_blobs(tmp_path)
    fit_clusters(lake, engine=SERIAL, settings=SIX)
    (lake.root / lake.manifest(CLUSTER_MODEL, None).files[1].path).write_bytes(b"broken")
    with pytest.raises(StoreError, match="materialise cluster_model again"):
        load_model(lake)


@pytest.mark.parametrize("wrong", [{"k": 0}, {"n_components": 0}, {"sample": 0}, {"iterations": -1}])
def test_settings_that_cannot_be_fitted_are_refused(wrong):
    with pytest.raises(PermanentFailure, match="must be at least 1"):
        FitSettings(**wrong)
