"""SemDeDup's rule: laws of it, and what it does to samples."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.select import semantic
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import CLUSTERS, EMBEDDINGS, SHARDS
from biomedica_assets_tests.lib.cluster.lakes import put
from biomedica_assets_tests.lib.select.lakes import publish

POINTS = st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=1, max_size=40)


def as_published(vectors: np.ndarray, epsilon: float) -> list[bool]:
    """Algorithm 1 of the paper: the largest cosine with any row before, against 1 - epsilon."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    above = np.triu(np.round(unit @ unit.T, 4), k=1).max(axis=0, initial=-1)
    above[0] = -1
    return [bool(m > 1 - epsilon) for m in above]


@given(POINTS, st.sampled_from([0.01, 0.1, 0.5]), st.integers(1, 41))
def test_it_is_the_published_rule_however_it_is_cut(points: list[tuple[int, int]], epsilon: float, block: int) -> None:
    vectors = np.array(points, np.float32)
    found = semantic.superfluous(vectors, epsilon, block=block)
    assert found.tolist() == as_published(vectors.astype(np.float64), epsilon)


@given(POINTS, st.sampled_from([0.01, 0.1, 0.5]))
def test_the_first_stays_and_whatever_goes_is_like_one_before_it(points: list[tuple[int, int]], epsilon: float) -> None:
    vectors = np.array(points, np.float32)
    out = semantic.superfluous(vectors, epsilon)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    assert not out[0]
    for at in np.flatnonzero(out):
        assert (unit[:at] @ unit[at]).max() > 1 - epsilon - 1e-4
    more = semantic.superfluous(vectors, min(0.99, epsilon * 1.5))
    assert (more | ~out).all(), "a wider epsilon leaves out the same and more"


def lake_of(root, vectors: np.ndarray, clusters: list[int], distances: list[float], chunks: int = 2) -> Lake:
    lake, n = Lake(root), len(vectors)
    for number in range(chunks):
        at = list(range(number, n, chunks))
        chunk, ids = f"PMC001-00{number}0", [f"m{i:03d}" for i in at]
        put(lake, EMBEDDINGS, chunk, vectors[at].astype(np.float16), ids)
        rows = [{"media_id": f"m{i:03d}", "cluster": clusters[i], "distance": distances[i]} for i in at]
        publish(lake, CLUSTERS, chunk, rows)
        publish(lake, SHARDS, chunk, [{"sample_key": m, "media_id": m} for m in ids])
    return lake


def stay(lake: Lake, keys: list[str], epsilon: float = 0.05) -> list[str]:
    samples = pl_frame(keys)
    return samples.filter(semantic.thinned(lake, samples, epsilon))["sample_key"].to_list()


def pl_frame(keys: list[str]) -> pl.DataFrame:
    return pl.DataFrame({"media_id": keys, "sample_key": keys}, schema={"media_id": pl.String, "sample_key": pl.String})


def test_the_furthest_from_its_centroid_stands_for_those_like_it(tmp_path) -> None:
    alike = np.array([[1, 0], [1, 0.01], [1, 0.02], [0, 1]])
    lake = lake_of(tmp_path, alike, [0, 0, 0, 0], [0.1, 0.3, 0.2, 0.0])
    keys = [f"m{i:03d}" for i in range(4)]
    assert stay(lake, keys) == ["m001", "m003"]
    assert stay(lake, keys[::-1]) == ["m003", "m001"], "whatever the order of the samples"
    assert stay(lake, ["m000", "m002", "m003"]) == ["m002", "m003"], "of those that are there"


def test_pictures_of_two_clusters_are_not_compared_and_one_without_a_vector_stays(tmp_path) -> None:
    lake = lake_of(tmp_path, np.ones((4, 2)), [0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5])
    assert stay(lake, ["m000", "m001", "m002", "m003", "unseen"]) == ["m000", "m001", "unseen"]


def test_panels_of_a_picture_stay_or_go_together(tmp_path) -> None:
    lake = lake_of(tmp_path, np.ones((2, 2)), [0, 0], [0.2, 0.1])
    panels = pl.DataFrame({"media_id": ["m000", "m000", "m001", "m001"]})
    assert semantic.thinned(lake, panels, 0.1).to_list() == [True, True, False, False]


def test_samples_without_clusters_are_named_with_what_to_make(tmp_path) -> None:
    lake = lake_of(tmp_path, np.ones((2, 2)), [0, 0], [0, 0])
    publish(lake, SHARDS, "PMC001-0090", [])
    with pytest.raises(StoreError, match="embeddings of PMC001-0090 is not there"):
        semantic.check(lake)
