"""Intervals: they cover what they should, groups count, and they are the same every time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biomedica_assets.lib.evaluate import bootstrap
from biomedica_assets.lib.evaluate.bootstrap import Resampler, group_codes, mean_estimates
from biomedica_assets.lib.evaluate.metrics import aurocs


def test_every_draw_takes_as_many_groups_as_there_are():
    weights = np.concatenate(list(Resampler(17, 50, seed=3).weights()))
    assert weights.shape == (50, 17)
    assert (weights.sum(axis=1) == 17).all()


@given(st.integers(1, 40), st.integers(1, 60), st.integers(1, 5000))
@settings(max_examples=30, deadline=None)
def test_draws_do_not_depend_on_the_block_in_which_they_are_made(n_groups, replicates, width):
    resampler = Resampler(n_groups, replicates, seed=1)
    whole = np.concatenate(list(resampler.weights()))
    original = bootstrap.BLOCK_BYTES
    bootstrap.BLOCK_BYTES = 2_000
    try:
        pieces = np.concatenate(list(resampler.weights(width)))
    finally:
        bootstrap.BLOCK_BYTES = original
    assert (whole == pieces).all()


def coverage(trials, one):
    """Share of trials whose interval holds the truth, with the binomial error of the simulation."""
    hits = sum(one(seed) for seed in range(trials))
    return hits / trials, 3 * np.sqrt(0.95 * 0.05 / trials)


def test_the_interval_of_an_accuracy_covers_the_truth_95_times_in_100():
    def one(seed):
        right = (np.random.default_rng(seed).random(200) < 0.7).astype(float)
        (e,) = mean_estimates(right[:, None], np.arange(200), Resampler(200, 300, seed))
        return e.low <= 0.7 <= e.high

    share, error = coverage(400, one)
    assert 0.95 - error - 0.015 <= share <= 0.95 + error


def test_grouped_data_need_the_grouped_interval():
    """40 patients with 10 images that are all right or all wrong: images as units cover far too rarely."""

    def one(grouped):
        def trial(seed):
            rng = np.random.default_rng(seed)
            right = np.repeat((rng.random(40) < 0.6).astype(float), 10)
            groups = np.repeat(np.arange(40), 10) if grouped else np.arange(400)
            (e,) = mean_estimates(right[:, None], groups, Resampler(groups.max() + 1, 300, seed))
            return e.low <= 0.6 <= e.high

        return trial

    grouped, error = coverage(200, one(True))
    single, _ = coverage(200, one(False))
    assert grouped >= 0.95 - error - 0.03
    assert single < 0.6


def test_the_interval_of_an_auroc_covers_the_truth():
    """Normal scores one standard deviation apart: AUROC is Phi(1 / sqrt 2) = 0.7602."""

    def one(seed):
        rng = np.random.default_rng(seed)
        present = np.repeat([0, 1], 60).astype(np.int8)
        scores = rng.standard_normal(120) + present
        found = aurocs(scores[:, None], present[:, None], np.arange(120), ("a",), Resampler(120, 200, seed))
        return found[0].estimate.low <= 0.76025 <= found[0].estimate.high

    share, error = coverage(150, one)
    assert 0.95 - error - 0.02 <= share


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_all_right_or_all_wrong_is_no_certainty(value):
    (e,) = mean_estimates(np.full((20, 1), value), np.arange(20), Resampler(20, 100))
    exact = 0.025 ** (1 / 20)
    assert (e.low, e.high) == pytest.approx((exact, 1.0) if value else (0.0, 1 - exact))


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    values = np.random.default_rng(0).random((50, 1))
    first, again, other = (mean_estimates(values, np.arange(50), Resampler(50, 100, s))[0] for s in (1, 1, 2))
    assert first == again
    assert first.low != other.low


def test_groups_are_numbered_in_order_of_first_appearance():
    codes, n = group_codes(["b", "a", "b", "c"])
    assert (codes.tolist(), n) == ([0, 1, 0, 2], 3)
