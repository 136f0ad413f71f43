"""k-means over blocks against scikit-learn, and its corner cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biomedica_assets.lib.cluster import blocks as blocks_module
from biomedica_assets.lib.cluster import kmeans
from biomedica_assets.lib.cluster.blocks import cut
from biomedica_assets.lib.cluster.search import Nearest
from biomedica_assets.lib.compute.local import LocalEngine
from biomedica_assets_tests.lib.cluster.lakes import blobs

SERIAL = LocalEngine("serial")


def stored(points: np.ndarray, folder, rows: int = 100, monkeypatch=None):
    """Points as blocks of a file."""
    path = folder / "points.bin"
    np.ascontiguousarray(points, "<f4").tofile(path)
    if monkeypatch:
        monkeypatch.setattr(blocks_module, "ROWS", rows)
    return list(cut(str(path), 0, points.shape[1], "<f4", len(points)))


@pytest.mark.parametrize("faiss", [True, False])
def test_separated_groups_are_found(tmp_path, monkeypatch, faiss):
    import importlib.util

    if not faiss:
        find = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "faiss" else find(name))
    points, truth = blobs(900, 5, 7)
    found = kmeans.fit_kmeans(SERIAL, stored(points, tmp_path, 100, monkeypatch), 7, seed=1)
    labels = Nearest(found.centroids).labels(points.astype(np.float32))
    pairs = set(zip(labels.tolist(), truth.tolist(), strict=True))
    assert len(pairs) == 7
    assert found.counts.tolist() == sorted(np.bincount(truth).tolist(), reverse=True)


def test_inertia_is_the_sum_of_squared_distances_and_falls(tmp_path, monkeypatch):
    points = np.random.default_rng(0).normal(size=(800, 3)).astype(np.float32)
    found = kmeans.fit_kmeans(SERIAL, stored(points, tmp_path, 100, monkeypatch), 12, seed=0, tolerance=0)
    exact = ((points[:, None] - found.centroids[None]) ** 2).sum(-1).min(1).sum()
    assert found.history[-1] == pytest.approx(exact, rel=1e-5)
    assert found.squares.sum() == pytest.approx(exact, rel=1e-5)
    assert all(after <= before * (1 + 1e-6) for before, after in zip(found.history, found.history[1:], strict=False))


def test_inertia_is_no_higher_than_that_of_scikit_learn(tmp_path, monkeypatch):
    from sklearn.cluster import MiniBatchKMeans

    points = np.random.default_rng(3).normal(size=(3000, 6)).astype(np.float32)
    ours = kmeans.fit_kmeans(SERIAL, stored(points, tmp_path, 500, monkeypatch), 40, seed=0)
    peer = MiniBatchKMeans(40, random_state=0).fit(points)
    assert ours.history[-1] <= peer.inertia_


@pytest.mark.parametrize(
    "engine",
    [
        LocalEngine("threads", 1),
        LocalEngine("threads", 3),
        pytest.param(LocalEngine("processes", 2), marks=pytest.mark.full),
    ],
)
def test_workers_do_not_change_a_bit(tmp_path, engine, monkeypatch):
    monkeypatch.setattr("biomedica_assets.lib.compute.local._ALONE_SECONDS", 0)  # else small work never leaves home
    points = np.random.default_rng(0).normal(size=(70_000, 4)).astype(np.float32)
    stored_blocks = stored(points, tmp_path)
    assert len(stored_blocks) > 2
    one = kmeans.fit_kmeans(SERIAL, stored_blocks, 9, seed=5, iterations=3)
    other = kmeans.fit_kmeans(engine, stored_blocks, 9, seed=5, iterations=3)
    assert one.centroids.tobytes() == other.centroids.tobytes()
    assert one.history == other.history


def test_the_seed_decides(tmp_path, monkeypatch):
    points = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)
    found = [
        kmeans.fit_kmeans(SERIAL, stored(points, tmp_path, 100, monkeypatch), 8, seed=seed).centroids.tobytes()
        for seed in (1, 1, 2)
    ]
    assert found[0] == found[1] != found[2]


def test_no_cluster_is_empty_and_k_is_bounded_by_distinct_points(tmp_path, monkeypatch):
    points = np.repeat(np.arange(5, dtype=np.float32)[:, None], 40, axis=0)
    found = kmeans.fit_kmeans(SERIAL, stored(points, tmp_path, 30, monkeypatch), 12, seed=0)
    assert len(found.centroids) == 5
    assert (found.counts == 40).all()
    assert found.history[-1] == 0


def test_an_empty_cluster_is_moved_to_where_the_spread_is():
    centroids = np.array([[0.0, 0.0], [50.0, 0.0], [99.0, 99.0]], np.float32)
    found = kmeans.Sums(
        np.array([10, 10, 0]), np.array([[0.0, 0.0], [500.0, 0.0], [0.0, 0.0]]), np.array([1.0, 400.0, 0.0])
    )
    moved = kmeans._moved(centroids, found)
    assert np.linalg.norm(moved[2] - [50, 0]) < 5
    assert np.linalg.norm(moved[1] - [50, 0]) < 5
    assert not np.array_equal(moved[1], moved[2])


def test_mini_batches_come_near_the_full_passes(tmp_path, monkeypatch):
    points = np.random.default_rng(0).normal(size=(4000, 4)).astype(np.float32)
    parts = stored(points, tmp_path, 400, monkeypatch)
    full = kmeans.fit_kmeans(SERIAL, parts, 16, seed=0).history[-1]
    once = kmeans.fit_kmeans(SERIAL, parts, 16, seed=0, method="minibatch")
    again = kmeans.fit_kmeans(SERIAL, parts, 16, seed=0, method="minibatch")
    assert once.history[-1] < full * 1.1
    assert once.centroids.tobytes() == again.centroids.tobytes()


@settings(deadline=None, max_examples=25)
@given(n=st.integers(1, 60), k=st.integers(1, 20), seed=st.integers(0, 3))
def test_every_point_is_counted_once(tmp_path_factory, n, k, seed):
    points = np.random.default_rng(seed).integers(0, 4, (n, 2)).astype(np.float32)
    found = kmeans.fit_kmeans(SERIAL, stored(points, tmp_path_factory.mktemp("p")), k, seed=seed)
    assert found.counts.sum() == n
    assert (found.counts > 0).all()
    assert len(found.centroids) <= min(k, len(np.unique(points, axis=0)))
