"""The stage ``embedding_shelf``: the chunks of a million, sorted by id."""

from __future__ import annotations

import numpy as np
import pytest

from biomedica_assets.lib.embed import shelf as shelf_module
from biomedica_assets.lib.embed import shelve
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.store.vectors import vectors_of
from biomedica_assets.lib.tables import EMBEDDING_SHELF, EMBEDDINGS
from biomedica_assets_tests.lib.cluster.lakes import ENCODER, put


def rows(*values: int) -> np.ndarray:
    return np.array([[v, -v] for v in values], np.float16)


def test_vectors_follow_their_ids_when_the_ids_of_chunks_interleave(tmp_path, monkeypatch):
    """Keys and features were once joined by order alone; here a shuffle must not part them."""
    monkeypatch.setattr(shelf_module, "BLOCK", 2)
    lake = Lake(tmp_path)
    put(lake, EMBEDDINGS, "PMC001-0000", rows(3, 1, 5), ["c3", "c1", "c5"])
    put(lake, EMBEDDINGS, "PMC001-0020", rows(4, 2), ["c4", "c2"])
    put(lake, EMBEDDINGS, "PMC002-0000", rows(9), ["c9"])
    report = shelve(lake, "PMC001")
    table = lake.read(EMBEDDING_SHELF, "PMC001")
    assert table["media_id"].to_list() == ["c1", "c2", "c3", "c4", "c5"]
    assert vectors_of(lake, EMBEDDING_SHELF, "PMC001").map()[:, 0].tolist() == [1, 2, 3, 4, 5]
    assert table["source_chunk"].to_list() == [f"PMC001-00{n}" for n in ("00", "20", "00", "20", "00")]
    assert (report.rows, report.metrics["chunks"]) == (5, 2)


def test_its_version_changes_with_one_chunk_and_not_with_another_shelf(tmp_path):
    lake = Lake(tmp_path)
    put(lake, EMBEDDINGS, "PMC001-0000", rows(1), ["a"])
    first = shelve(lake, "PMC001").data_version
    put(lake, EMBEDDINGS, "PMC002-0000", rows(7), ["z"])
    assert shelve(lake, "PMC001").data_version == first
    put(lake, EMBEDDINGS, "PMC001-0000", rows(2), ["a"])
    assert shelve(lake, "PMC001").data_version != first


def test_its_version_changes_with_the_encoder_though_the_vectors_are_equal(tmp_path):
    """Else the cluster model counts as current and the clusters of every chunk refuse it, for ever."""
    lake = Lake(tmp_path)
    put(lake, EMBEDDINGS, "PMC001-0000", rows(1), ["a"])
    first = shelve(lake, "PMC001").data_version
    put(lake, EMBEDDINGS, "PMC001-0000", rows(1), ["a"], ENCODER | {"encoder_digest": "n2"})
    assert shelve(lake, "PMC001").data_version != first


def test_chunks_of_two_encoders_are_never_mixed(tmp_path):
    lake = Lake(tmp_path)
    put(lake, EMBEDDINGS, "PMC001-0000", rows(1), ["a"])
    put(lake, EMBEDDINGS, "PMC001-0020", rows(2), ["b"], ENCODER | {"encoder": "other", "encoder_digest": "o1"})
    with pytest.raises(PermanentFailure, match=r"numbers \(n1\): PMC001-0000; other \(o1\): PMC001-0020"):
        shelve(lake, "PMC001")


def test_a_shelf_without_embedded_chunks_says_so(tmp_path):
    with pytest.raises(PermanentFailure, match="shelf PMC001 has no embedded chunk"):
        shelve(Lake(tmp_path), "PMC001")


def test_a_shelf_of_empty_chunks_is_empty(tmp_path):
    lake = Lake(tmp_path)
    put(lake, EMBEDDINGS, "PMC001-0000", np.empty((0, 4), np.float16), [])
    assert shelve(lake, "PMC001").rows == 0
    assert vectors_of(lake, EMBEDDING_SHELF, "PMC001").map().shape == (0, 4)
