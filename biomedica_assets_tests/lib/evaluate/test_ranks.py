"""Exact ranks: equal to brute force, whatever the tiles, with ties and several captions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biomedica_assets.lib.evaluate import ranks
from biomedica_assets.lib.evaluate.ranks import exact_ranks
from biomedica_assets.lib.evaluate.retrieval import chance, score_ranks
from biomedica_assets_tests.lib.evaluate.fakes import unit


def brute_force(images, texts, image_of):
    scores = texts.astype(np.float64) @ images.astype(np.float64).T
    rows = np.arange(len(texts))
    own = scores[rows, image_of].copy()
    best = np.full(len(images), -np.inf)
    np.maximum.at(best, image_of, own)
    scores[rows, image_of] = -np.inf
    return 1 + (scores >= best[None] - 1e-12).sum(0), 1 + (scores >= own[:, None] - 1e-12).sum(1)


def pairs(seed, n, m, d, copies=0):
    rng = np.random.default_rng(seed)
    images = unit(rng.standard_normal((n, d)))
    image_of = np.r_[np.arange(n), rng.integers(0, n, m - n)]
    texts = unit(images[image_of] + 0.7 * rng.standard_normal((m, d)))
    if copies:
        images[:copies] = images[0]
        texts[:copies] = texts[0]
    return images, texts, image_of


@pytest.mark.parametrize("device", ["cpu", "cpu:0"])
@given(st.integers(0, 10_000), st.integers(2, 40), st.integers(0, 30), st.integers(0, 6), st.data())
@settings(max_examples=30, deadline=None)
def test_ranks_equal_brute_force_whatever_the_tiles(device, seed, n, extra, copies, data):
    images, texts, image_of = pairs(seed, n, n + extra, 8, min(copies, n))
    tiles = data.draw(st.tuples(st.integers(1, 20), st.integers(1, 20)))
    original = ranks.ROWS, ranks.COLUMNS
    ranks.ROWS, ranks.COLUMNS = tiles
    try:
        found = exact_ranks(images, texts, image_of, device)
    finally:
        ranks.ROWS, ranks.COLUMNS = original
    to_text, to_image = brute_force(images, texts, image_of)
    assert (found.image_to_text == to_text).all()
    assert (found.text_to_image == to_image).all()


def test_many_rows_still_count_beyond_a_byte():
    """Column counts are added up as bytes; 300 better texts must not wrap around at 256."""
    images, texts = unit(np.eye(2)), unit([[1, 0.5], [0.2, 1]] + [[1, 0.1]] * 300)
    found = exact_ranks(images, texts, np.r_[0, 1, np.ones(300, int)])
    assert found.image_to_text.tolist() == [301, 1]


def test_a_collapsed_model_ranks_last_and_is_reported_as_tied():
    same = unit(np.ones((50, 16)))
    found = exact_ranks(same, same, np.arange(50))
    assert (found.text_to_image == 50).all()
    assert (found.image_to_text == 50).all()
    assert found.tied_texts.all()
    assert found.tied_images.all()


def test_captions_of_one_image_do_not_compete():
    images = unit([[1, 0], [0, 1]])
    texts = unit([[1, 0.1], [1, 0.3], [0.1, 1]])
    found = exact_ranks(images, texts, np.array([0, 0, 1]))
    assert found.image_to_text.tolist() == [1, 1]


def test_recall_and_median_follow_from_ranks():
    found = ranks.Ranks(np.array([1, 2, 3, 200]), np.array([1, 1, 11, 5]), np.zeros(4, bool), np.zeros(4, bool))
    scored = score_ranks(found, ["a", "b", "c", "d"], np.arange(4), replicates=50, seed=0)
    values = {d: {s.metric: s.estimate.value for s in metrics} for d, metrics in scored.items()}
    assert values["image_to_text"] == {
        "recall_at_1": 0.25, "recall_at_10": 0.75, "recall_at_100": 0.75, "median_rank": 2.0,
    }  # fmt: skip
    assert values["text_to_image"] == {
        "recall_at_1": 0.5, "recall_at_10": 0.75, "recall_at_100": 1.0, "median_rank": 1.0,
    }  # fmt: skip


def test_intervals_hold_the_value_and_a_median_is_a_rank():
    images, texts, image_of = pairs(0, 60, 60, 6)
    scored = score_ranks(
        exact_ranks(images, texts, image_of), [str(i) for i in range(60)], image_of, replicates=100, seed=0
    )
    for metrics in scored.values():
        for s in metrics:
            assert s.estimate.low <= s.estimate.value <= s.estimate.high
    assert scored["image_to_text"][-1].estimate.value.is_integer()


@pytest.mark.parametrize("k", [1, 2, 5, 10])
def test_recall_of_images_with_five_texts_equals_that_of_clip_benchmark(k):
    """Right if any of the five is found, each text a query of its own; an image may also have one text, or three."""
    torch, theirs = pytest.importorskip("torch"), pytest.importorskip("clip_benchmark.metrics.zeroshot_retrieval")
    rng = np.random.default_rng(k)
    counts = [5] * 30 + [1, 3] * 10
    image_of = np.repeat(np.arange(len(counts)), counts)
    images = rng.normal(size=(len(counts), 16))
    texts = images[image_of] + rng.normal(size=(len(image_of), 16)) * 2
    images, texts = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (images, texts))
    images, texts = images.astype(np.float32), texts.astype(np.float32)
    found = exact_ranks(images, texts, image_of)
    similar = torch.from_numpy(texts.astype(np.float64) @ images.T.astype(np.float64))
    positive = torch.zeros(similar.shape, dtype=torch.bool)
    positive[torch.arange(len(image_of)), torch.from_numpy(image_of)] = True
    for ours, scores, pairs in (
        (found.text_to_image, similar, positive), (found.image_to_text, similar.T, positive.T),
    ):  # fmt: skip
        right = theirs.recall_at_k(scores, pairs, k) > 0
        assert (ours <= k).tolist() == right.tolist()
        assert 0 < right.float().mean() < 1


@pytest.mark.parametrize("counts", [[1] * 7, [5] * 3, [1, 2, 5, 5]])
def test_chance_is_what_random_orders_give(counts):
    """Of an image with several texts any may be found: more than k / n."""
    n, rng = sum(counts), np.random.default_rng(0)
    best: list[int] = []
    for m in counts:
        best += [int(rng.permutation(n)[:m].min()) + 1 for _ in range(4000)]
    for k in (1, 3, 10):
        assert chance(f"recall_at_{k}", n, counts) == pytest.approx(np.mean(np.array(best) <= k), abs=0.02)
    assert chance("median_rank", n, counts) == pytest.approx(np.median(best), abs=0.51)
