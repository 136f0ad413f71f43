"""Streamed principal components against the textbook."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_assets.lib.cluster.pca import Moments, moments, principal_components
from biomedica_assets.lib.errors import PermanentFailure


def data(n: int, d: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)) * np.linspace(3, 0.1, d) + rng.normal(size=d) * 5).astype(np.float32)


@given(cuts=st.lists(st.integers(0, 200), max_size=5), seed=st.integers(0, 5))
def test_moments_of_parts_merge_into_those_of_the_whole(cuts, seed):
    rows = data(200, 4, seed)
    merged = Moments(0, np.zeros(4), np.zeros((4, 4)))
    edges = [0, *sorted(cuts), 200]
    for start, stop in itertools.pairwise(edges):
        merged = merged.merge(moments(rows[start:stop]))
    exact = rows.astype(np.float64)
    assert merged.n == 200
    np.testing.assert_allclose(merged.mean, exact.mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(merged.scatter, np.cov(exact.T) * 199, rtol=1e-5, atol=1e-3)


def test_components_and_variances_are_those_of_scikit_learn():
    from sklearn.decomposition import PCA

    rows = data(500, 12)
    peer = PCA(5, svd_solver="full").fit(rows.astype(np.float64))
    ours = principal_components(moments(rows), 5)
    np.testing.assert_allclose(ours.variance, peer.explained_variance_, rtol=1e-5)
    np.testing.assert_allclose(
        ours.variance.sum() / ours.total_variance, peer.explained_variance_ratio_.sum(), rtol=1e-5
    )
    np.testing.assert_allclose(np.abs(ours.components.T @ peer.components_.T), np.eye(5), atol=1e-4)
    np.testing.assert_allclose(np.abs(ours.project(rows)), np.abs(peer.transform(rows)), atol=1e-3)


def test_a_large_mean_does_not_drown_a_small_variance():
    """Sums of squares about zero would lose every digit of a spread of 0.01 around 1 000 in float32."""
    rng = np.random.default_rng(0)
    rows = (1000 + rng.normal(size=(4000, 3)) * [0.5, 0.1, 0.02]).astype(np.float32)
    exact = np.linalg.eigvalsh(np.cov(rows.astype(np.float64).T))[::-1]
    np.testing.assert_allclose(principal_components(moments(rows), 3).variance, exact, rtol=1e-4)


def test_more_components_than_dimensions_are_as_many_as_there_are():
    assert principal_components(moments(data(50, 4)), 25).components.shape == (4, 4)


def test_the_largest_entry_of_a_component_is_positive():
    components = principal_components(moments(data(300, 8)), 8).components
    assert (components[np.abs(components).argmax(axis=0), np.arange(8)] > 0).all()


def test_one_image_is_no_variance_and_no_error():
    found = principal_components(moments(data(1, 3)), 2)
    assert found.total_variance == 0
    assert np.isfinite(found.components).all()


def test_no_images_and_no_components_are_named():
    with pytest.raises(PermanentFailure, match="no vectors to fit on"):
        principal_components(moments(np.empty((0, 3), np.float32)), 2)
    with pytest.raises(PermanentFailure, match="n_components 0 must be at least 1"):
        principal_components(moments(data(5, 3)), 0)
