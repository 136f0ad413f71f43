"""Codes of vectors: near as the exact search says, nothing that a filter forbids, never those of other vectors."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biomedica_assets.lib.select.search import codes, vectors
from biomedica_assets.lib.store import gc
from biomedica_assets.lib.store.damage import DamagedFile
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.store.vectors import write_vectors
from biomedica_assets.lib.tables import EMBEDDING_SHELF, SEARCH_VECTORS
from biomedica_assets_tests.lib.select.lakes import publish

SHELF, CHUNK = "PMC000", "PMC000-0000"
N, DIMENSION = 3_000, 96


def generated(n, seed):
    """Vectors about 50 centres, as embeddings lie; dimensions of unequal spread."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(9).normal(size=(50, DIMENSION))
    spread = np.linspace(0.2, 2, DIMENSION)
    return ((centres[rng.integers(0, 50, n)] + 0.7 * rng.normal(size=(n, DIMENSION))) * spread).astype(np.float32)


def put(lake, array):
    entry = write_vectors(lake, lake.root / "embeddings" / "numbers" / f"shelf={SHELF}", [array], *array.shape)
    rows = [{"media_id": f"m{n:05d}", "row": n, "source_chunk": CHUNK} for n in range(len(array))]
    publish(lake, EMBEDDING_SHELF, SHELF, rows, [entry])


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    made = Lake(tmp_path_factory.mktemp("data"))
    put(made, generated(N, 0).astype(np.float16))
    codes.code_shelf(made, SHELF, least=100)
    return made


def exact(lake, vector, most, allowed=None):
    """By comparing all, in numpy."""
    rows = vectors.unit(lake_vectors(lake))
    cosines = np.round((rows @ vectors.unit(vector[None])[0]).astype(np.float64), 6)
    order = sorted(range(len(rows)), key=lambda i: (-cosines[i], i))
    ids = [f"m{i:05d}" for i in order if allowed is None or f"m{i:05d}" in allowed]
    return ids[:most]


def lake_vectors(lake):
    from biomedica_assets.lib.store.vectors import vectors_of

    return vectors_of(lake, EMBEDDING_SHELF, SHELF).map().astype(np.float32)


@pytest.mark.parametrize("share", [1.0, 0.05])
def test_recall_at_ten_is_that_of_the_exact_search(lake, share, monkeypatch):
    monkeypatch.setattr(codes, "AT_LEAST", 100)  # of 3 000 vectors 200 would be many
    rng = np.random.default_rng(3)
    allowed = {f"m{n:05d}" for n in range(N) if rng.random() < share}
    given = None if share == 1 else pl.Series(sorted(allowed))
    hits = [
        len({*vectors.nearest(lake, one, 10, given)["media_id"]} & {*exact(lake, one, 10, allowed)}) / 10
        for one in generated(40, 1)
    ]
    assert np.mean(hits) >= 0.95


@settings(max_examples=25, deadline=None)
@given(ids=st.sets(st.integers(0, N - 1), max_size=40), seed=st.integers(0, 5))
def test_a_filter_leaks_nothing_and_loses_nothing(lake, ids, seed):
    allowed = {f"m{n:05d}" for n in ids}
    query = generated(1, seed)[0]
    found = vectors.nearest(lake, query, 10, pl.Series("media_id", sorted(allowed), dtype=pl.String))
    assert found["media_id"].to_list() == exact(lake, query, 10, allowed)


def test_scores_are_the_exact_ones_and_codes_did_propose(lake, monkeypatch):
    query = generated(1, 4)[0]
    by_codes = vectors.nearest(lake, query, 10)
    assert len(codes.candidates(lake, SHELF, vectors.unit(query[None])[0], 10)) == codes.AT_LEAST
    monkeypatch.setattr(codes, "candidates", lambda *_: None)
    assert vectors.nearest(lake, query, 10).equals(by_codes)


def test_equal_vectors_give_equal_codes(lake):
    before = lake.manifest(SEARCH_VECTORS, SHELF)
    codes.code_shelf(lake, SHELF, least=100)
    assert lake.manifest(SEARCH_VECTORS, SHELF).files == before.files
    assert before.files[0].bytes < N * (DIMENSION / 8 + 12) + 4096


def test_codes_of_other_vectors_are_not_asked(tmp_path):
    lake = Lake(tmp_path)
    put(lake, generated(500, 0).astype(np.float16))
    codes.code_shelf(lake, SHELF, least=100)
    put(lake, generated(600, 7).astype(np.float16))
    query = generated(1, 1)[0]
    assert codes.candidates(lake, SHELF, query, 10) is None
    assert vectors.nearest(lake, query, 10)["media_id"].to_list() == exact(lake, query, 10)


def test_a_small_shelf_and_one_without_the_library_are_searched_exactly(tmp_path, monkeypatch):
    lake = Lake(tmp_path)
    put(lake, generated(300, 0).astype(np.float16))
    for change in (lambda: None, lambda: monkeypatch.setattr(codes, "available", lambda: False)):
        change()
        codes.code_shelf(lake, SHELF, **({} if codes.available() else {"least": 1}))
        assert lake.read(SEARCH_VECTORS, SHELF).row(0) == ("exact", 300, DIMENSION, 0, None)
        assert lake.manifest(SEARCH_VECTORS, SHELF).files == ()
        assert vectors.nearest(lake, generated(1, 1)[0], 5).height == 5


def test_damage_is_told_and_garbage_found(tmp_path):
    lake = Lake(tmp_path)
    for seed in (0, 1):
        put(lake, generated(500, seed).astype(np.float16))
        codes.code_shelf(lake, SHELF, least=100)
    old = [one.path for one in gc.survey(lake, grace=0).garbage if one.path.startswith("search/")]
    assert len(old) == 1 and old[0] != lake.manifest(SEARCH_VECTORS, SHELF).files[0].path
    (lake.root / lake.manifest(SEARCH_VECTORS, SHELF).files[0].path).write_bytes(b"short")
    with pytest.raises(DamagedFile, match="search_vectors"):
        vectors.nearest(lake, generated(1, 1)[0], 5)
