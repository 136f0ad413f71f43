"""The nearest centroids, by both libraries, against brute force."""

from __future__ import annotations

import numpy as np
import pytest

from biomedica_assets.lib.cluster.search import Nearest


@pytest.mark.parametrize("faiss", [True, False])
def test_the_two_nearest_are_those_of_brute_force(faiss):
    rng = np.random.default_rng(0)
    centroids, points = rng.normal(size=(2, 300, 5)).astype(np.float32)
    numbers, distances = Nearest(centroids, faiss=faiss).nearest(points, 2)
    exact = np.linalg.norm(points[:, None].astype(float) - centroids[None], axis=2)
    np.testing.assert_array_equal(numbers, np.argsort(exact, axis=1)[:, :2])
    np.testing.assert_allclose(distances, np.sort(exact, axis=1)[:, :2], rtol=1e-5)
    np.testing.assert_array_equal(Nearest(centroids, faiss=faiss).labels(points), numbers[:, 0])


@pytest.mark.parametrize("faiss", [True, False])
def test_a_point_on_its_centroid_far_from_the_origin_is_at_distance_zero(faiss):
    """|x|^2 + |c|^2 - 2xc in float32 gives a distance of several units here."""
    centroids = np.array([[10_000.0, 20_000.0], [10_000.0, 20_003.0]], np.float32)
    numbers, distances = Nearest(centroids, faiss=faiss).nearest(centroids, 2)
    assert numbers.tolist() == [[0, 1], [1, 0]]
    assert distances.tolist() == [[0, 3], [0, 3]]


def test_equally_near_centroids_come_in_the_order_of_their_numbers():
    centroids = np.array([[1.0], [-1.0]], np.float32)
    numbers, _ = Nearest(centroids).nearest(np.zeros((1, 1), np.float32), 2)
    assert numbers.tolist() == [[0, 1]]
