"""Dawid and Skene's model: what agreement says of sources, held against the reference and against the truth."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biomedica_assets.lib.annotate.sources import weigh


def drawn(seed: int, n: int, rights: list[float]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Truth and the answers of sources that are right that often."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.4
    said = {f"s{i}": np.where(rng.random(n) < right, truth, ~truth).astype(np.int64) for i, right in enumerate(rights)}
    return truth, said


@pytest.mark.full  # imports a peer
def test_with_two_symbols_and_a_flat_prior_it_is_crowd_kits():
    """The method is known; so is what it gives."""
    crowdkit = pytest.importorskip("crowdkit.aggregation", reason="crowd-kit is in the extra dev")
    _, said = drawn(0, 300, [0.9, 0.8, 0.7, 0.65])
    long = pd.DataFrame(
        [(t, w, int(a)) for w, answers in said.items() for t, a in enumerate(answers)],
        columns=["task", "worker", "label"],
    )
    theirs = crowdkit.DawidSkene(n_iter=500, tol=1e-9).fit_predict_proba(long).sort_index()[1].to_numpy()
    flat = {name: np.zeros((2, 2)) for name in said}
    vote = np.mean(list(said.values()), axis=0)
    ours = weigh.fit(said, flat, start=vote, prior_strength=0.0, most_rounds=500, tolerance=1e-9)
    assert np.abs(ours.p_yes - theirs).max() < 1e-3


def test_the_better_source_is_found_and_all_together_are_better_than_the_best():
    """What the combination is for."""
    truth, said = drawn(1, 4000, [0.9, 0.8, 0.8, 0.6])
    beliefs = {name: weigh.belief([0.3, 0.7], 5.0) for name in said}
    found = weigh.fit(said, beliefs)
    rights = [found.tables[name][1, 1] for name in said]
    assert rights == pytest.approx([0.9, 0.8, 0.8, 0.6], abs=0.05)
    assert np.mean((found.p_yes > 0.5) == truth) > np.mean(said["s0"] == truth)


def test_people_settle_which_of_two_sources_errs():
    """Two sources that disagree cannot tell who is right; thirty verdicts can."""
    truth, said = drawn(2, 2000, [0.95, 0.55])
    gold = np.full(2000, np.nan)
    gold[:60] = truth[:60]
    found = weigh.fit(said, {name: weigh.belief([0.3, 0.7], 5.0) for name in said}, gold=gold)
    assert found.tables["s0"][1, 1] > 0.85 > found.tables["s1"][1, 1]
    assert (found.p_yes[:60] == truth[:60]).all()


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 60))
def test_probabilities_stay_probabilities_and_order_changes_nothing(seed, n):
    """Also with few items, silence, and sources that say nothing at all."""
    _, said = drawn(seed, n, [0.8, 0.7])
    said["s1"][::2] = -1
    said["mute"] = np.full(n, -1)
    beliefs = {name: weigh.belief([0.3, 0.7], 5.0) for name in said}
    found = weigh.fit(said, beliefs)
    assert ((found.p_yes >= 0) & (found.p_yes <= 1)).all()
    order = np.random.default_rng(seed).permutation(n)
    again = weigh.fit({name: a[order] for name, a in said.items()}, beliefs)
    assert np.allclose(again.p_yes, found.p_yes[order], atol=1e-4)
    assert all(np.allclose(table.sum(axis=1), 1) for table in found.tables.values())
