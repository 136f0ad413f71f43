"""The table ``neighbours``: the nearest images of other articles, exactly, in one order."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_assets.lib.embed import find_neighbours
from biomedica_assets.lib.embed.neighbours import FEWEST, NEAREST, SHARE, nearest
from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import EMBEDDINGS, IMAGES, NEIGHBOURS
from biomedica_assets_tests.lib.cluster.lakes import put
from biomedica_assets_tests.lib.select.lakes import publish

CHUNK = "PMC001-0000"


def by_force(vectors: np.ndarray, groups: np.ndarray, most: int) -> list[list[int]]:
    """Every pair compared, sorted by cosine to four decimals, then by row."""
    exact = vectors.astype(np.float64)
    unit = exact / np.maximum(np.linalg.norm(exact, axis=1, keepdims=True), 1e-12)
    found = []
    for i, one in enumerate(unit):
        others = [(-round(float(one @ unit[j]), 4), j) for j in range(len(unit)) if groups[j] != groups[i]]
        found.append([j for _, j in sorted(others)[:most]])
    return found


@given(
    st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3), st.integers(0, 4)), min_size=1, max_size=30),
    st.integers(1, 6),
    st.integers(1, 31),
)
def test_it_finds_what_comparing_every_pair_finds_however_it_is_cut(
    rows: list[tuple[int, int, int]], most: int, block: int
) -> None:
    """Small whole numbers: most rows have ties, rows of one direction and rows without any."""
    vectors = np.array([row[:2] for row in rows], np.float32)
    groups = np.array([row[2] for row in rows], np.int64)
    found = nearest(vectors, groups, most, block=block)
    assert found["neighbours"].to_list() == by_force(vectors, groups, most)
    assert all(list(s) == sorted(s, reverse=True) for s in found["similarity"])


def test_it_is_exact_among_many_dimensions() -> None:
    rng = np.random.default_rng(0)
    vectors, groups = rng.normal(size=(200, 64)).astype(np.float32), rng.integers(0, 40, 200)
    found = nearest(vectors, groups, 10, block=64)
    assert found["neighbours"].to_list() == by_force(vectors, groups, 10)


def filled(lake: Lake, vectors: np.ndarray, articles: list[str]) -> list[str]:
    ids = [f"m{i:03d}" for i in range(len(vectors))]
    put(lake, EMBEDDINGS, CHUNK, vectors.astype(np.float16), ids)
    publish(lake, IMAGES, CHUNK, [{"media_id": m, "article_id": a} for m, a in zip(ids, articles, strict=True)])
    return ids


def test_a_chunk_is_told_its_neighbours_by_name(tmp_path) -> None:
    lake = Lake(tmp_path)
    ids = filled(lake, np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1]]), ["a", "b", "c", "d"])
    report = find_neighbours(lake, CHUNK)
    frame = lake.read(NEIGHBOURS, CHUNK)
    assert frame["media_id"].to_list() == ids
    assert [n[0] for n in frame["neighbours"]] == ["m001", "m000", "m003", "m002"]
    assert frame["similarity"].list.first().to_list() == pytest.approx([0.995] * 4, abs=1e-3)
    assert (report.n_in, report.n_out, report.metrics["without_neighbours"]) == (4, 4, 0)
    manifest = lake.manifest(NEIGHBOURS, CHUNK)
    assert manifest is not None
    assert set(manifest.inputs) == {f"embeddings@{CHUNK}", f"images@{CHUNK}"}
    assert find_neighbours(lake, CHUNK).data_version == report.data_version


@pytest.mark.parametrize(("images", "most"), [(9, FEWEST), (200, 200 // SHARE), (NEAREST * SHARE + 40, NEAREST)])
def test_small_chunks_ask_fewer(tmp_path, images: int, most: int) -> None:
    lake = Lake(tmp_path)
    filled(lake, np.random.default_rng(1).normal(size=(images, 4)), [f"a{i}" for i in range(images)])
    find_neighbours(lake, CHUNK)
    assert set(lake.read(NEIGHBOURS, CHUNK)["neighbours"].list.len()) == {most}


def test_images_of_one_article_have_nobody_to_ask(tmp_path) -> None:
    lake = Lake(tmp_path)
    filled(lake, np.ones((5, 3)), ["a"] * 5)
    report = find_neighbours(lake, CHUNK)
    assert lake.read(NEIGHBOURS, CHUNK)["neighbours"].to_list() == [[]] * 5
    assert report.metrics["without_neighbours"] == 5


def test_an_empty_chunk_has_an_empty_table(tmp_path) -> None:
    lake = Lake(tmp_path)
    filled(lake, np.empty((0, 3)), [])
    assert find_neighbours(lake, CHUNK).rows == 0
    assert lake.read(NEIGHBOURS, CHUNK).equals(NEIGHBOURS.empty())


def test_an_image_that_is_gone_is_nobodys_neighbour(tmp_path) -> None:
    lake = Lake(tmp_path)
    put(lake, EMBEDDINGS, CHUNK, np.ones((3, 2), np.float16), ["m0", "gone", "m2"])
    publish(lake, IMAGES, CHUNK, [{"media_id": m, "article_id": m} for m in ("m0", "m2")])
    find_neighbours(lake, CHUNK)
    assert lake.read(NEIGHBOURS, CHUNK)["neighbours"].to_list() == [["m2"], ["m0"]]


def test_a_chunk_that_is_not_embedded_says_so(tmp_path) -> None:
    publish(lake := Lake(tmp_path), IMAGES, CHUNK, [])
    with pytest.raises(StoreError, match=f"embeddings@{CHUNK}"):
        find_neighbours(lake, CHUNK)


def test_memory_is_of_a_block_and_not_of_all_pairs(monkeypatch) -> None:
    """Of 3 000 images in blocks of 50, no more than 50 x 3 000 similarities are ever held at once."""
    made: list[int] = []
    partition = np.partition
    monkeypatch.setattr(np, "partition", lambda a, k, axis: (made.append(a.size), partition(a, k, axis=axis))[1])
    vectors = np.random.default_rng(2).normal(size=(3000, 4)).astype(np.float32)
    nearest(vectors, np.arange(3000), 3, block=50)
    assert max(made) == 50 * 3000


def test_rows_are_told_in_the_tables_types(tmp_path) -> None:
    lake = Lake(tmp_path)
    filled(lake, np.eye(4), ["a", "b", "c", "d"])
    find_neighbours(lake, CHUNK)
    assert lake.read(NEIGHBOURS, CHUNK).schema == pl.Schema(NEIGHBOURS.schema)
