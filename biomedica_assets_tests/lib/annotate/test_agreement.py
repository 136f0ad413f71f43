"""Alpha and kappa equal what the literature prints, and intervals and edge cases behave."""

import math

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biomedica_assets.lib.annotate import agreement as ag
from biomedica_assets.lib.annotate.consensus import Rules, consensus
from biomedica_assets.lib.annotate.tally import votes_frame
from biomedica_assets.lib.annotate.taxonomy.model import load
from biomedica_assets_tests.lib.annotate.synthetic import MODEL
from biomedica_assets_tests.lib.annotate.voting import BAR, CANT_TELL, LINE, MICRO, vote

# Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), example C: four observers, twelve units, gaps.
KRIPPENDORFF = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
    [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
]
# Fleiss (1971) as worked in many textbooks: ten subjects, fourteen raters, five categories; kappa 0.210.
FLEISS = [
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
]


def counts_of(rows: list[list[int]]) -> np.ndarray:
    codes = np.array(rows).T - 1
    return (codes[:, :, None] == np.arange(5)).sum(axis=1)


def test_alpha_equals_krippendorffs_own_example():
    found = ag.alpha(counts_of(KRIPPENDORFF), ag.nominal("abcde"))
    assert found == pytest.approx(0.743, abs=5e-4)


def test_fleiss_kappa_equals_the_published_example():
    assert ag.fleiss(np.array(FLEISS)) == pytest.approx(0.210, abs=5e-4)


def test_cohens_kappa_equals_the_textbook_example_of_fifty_grants():
    # yes/yes 20, yes/no 5, no/yes 10, no/no 15: observed 0.70, by chance 0.50, kappa 0.40
    first = np.repeat([0, 0, 1, 1], [20, 5, 10, 15])
    second = np.repeat([0, 1, 0, 1], [20, 5, 10, 15])
    assert ag.cohen(first, second, 2) == pytest.approx(0.4)


def test_gaps_do_not_count_in_cohens_kappa():
    first = np.array([0, 0, 1, 1, -1, 0])
    second = np.array([0, 0, 1, 1, 1, -1])
    assert ag.cohen(first, second, 2) == pytest.approx(1.0)


def test_jaccard_alpha_worked_by_hand():
    # Units: ({a},{a}), ({a},{a,b}), ({b},{b}). Values a: 3, a+b: 1, b: 2 of n = 6.
    # Observed: 2 ordered pairs x 0.5 / 6 = 1/6. Expected: 2 x (3x1x0.5 + 3x2x1 + 1x2x0.5) / (6x5) = 17/30.
    values = ("a", "a + b", "b")
    counts = np.array([[2, 0, 0], [1, 1, 0], [0, 0, 2]])
    assert ag.alpha(counts, ag.jaccard(values)) == pytest.approx(1 - (1 / 6) / (17 / 30))


def test_the_empty_set_is_no_different_from_itself_and_wholly_different_from_others():
    distances = ag.jaccard((ag.NONE, "a"))
    assert distances.tolist() == [[0, 1], [1, 0]]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(0, 4), min_size=3, max_size=3), min_size=2, max_size=12))
def test_alpha_with_our_distances_is_the_librarys_nominal_alpha(rows):
    counts = np.array([[row.count(v) for v in range(1, 5)] for row in rows])
    found = ag.alpha(counts, ag.nominal("abcd"))
    used = counts[counts.sum(axis=1) >= 2]
    if len(used) and (used.sum(axis=0) > 0).sum() > 1:
        assert found == pytest.approx(krippendorff.alpha(value_counts=used, level_of_measurement="nominal"))
    else:
        assert found is None


def test_what_is_undefined_is_null_and_not_a_number():
    assert ag.alpha(np.array([[2, 0], [3, 0]]), ag.nominal("ab")) is None
    assert ag.alpha(np.array([[1, 0], [0, 1]]), ag.nominal("ab")) is None
    assert ag.fleiss(np.array([[2, 0], [2, 0]])) is None
    assert ag.cohen(np.array([0, 0]), np.array([0, 0]), 2) is None
    assert ag.cohen(np.array([0]), np.array([0]), 2) is None


def frame_of(*votes):
    return votes_frame([(v, "active") for v in votes])


@pytest.fixture(scope="module")
def three_people():
    """Ada and Ben agree on all but cluster 7, Cleo answers half of them."""
    kinds = [BAR, LINE, MICRO]
    votes = [vote(f"ada-{c}", "ada", c, kinds[c % 3]) for c in range(9)]
    votes += [vote(f"ben-{c}", "ben", c, kinds[c % 3] if c != 7 else MICRO) for c in range(9)]
    votes += [vote(f"cleo{c}", "cleo", c, kinds[c % 3] if c % 2 else CANT_TELL) for c in range(9)]
    return frame_of(*votes)


def test_agreement_covers_every_question_and_each_pair_and_its_intervals_hold_the_value(three_people):
    frame = ag.agreement(three_people, seed=1, resamples=100)
    assert set(frame["question"]) == set(ag.ANSWERED)
    pairs = set(frame.filter(statistic="cohen_kappa", question="global")["subject"])
    assert pairs == {"ada | ben", "ada | cleo", "ben | cleo"}
    bounded = frame.drop_nulls(["low", "high"])
    assert bounded.height >= 6
    assert all(row["low"] - 1e-6 <= row["value"] <= row["high"] + 1e-6 for row in bounded.iter_rows(named=True))
    exact, graded = (
        frame.filter(question="local", statistic=s)["value"][0]
        for s in ("krippendorff_alpha", "krippendorff_alpha_jaccard")
    )
    assert exact == pytest.approx(graded)  # sets here never overlap in part, so partial credit changes nothing
    assert not frame["simulated"].any()


def test_agreement_does_not_depend_on_the_order_of_votes_and_follows_the_seed(three_people):
    one = ag.agreement(three_people, seed=1, resamples=50)
    other = ag.agreement(three_people.sample(fraction=1, shuffle=True, seed=3), seed=1, resamples=50)
    assert one.equals(other)
    assert not one.equals(ag.agreement(three_people, seed=2, resamples=50))


def test_confusion_counts_each_answer_against_the_consensus(three_people):
    settled = consensus(three_people, MODEL, rules=Rules(min_votes=2), taxonomy=load())
    frame = ag.confusion(three_people, settled).filter(question="local")
    wrong = frame.filter(frame["consensus"] != frame["answer"])
    assert wrong.rows() == [("local", "ben", "kind-line-plot", "kind-confocal-microscopy", 1, False)]
    assert frame.filter(annotator="cleo")["n"].sum() == 4


def test_simulated_votes_mark_the_statistics():
    votes = [vote(f"sim-{n}-{c}", n, c, BAR, source="simulated") for n in ("s1", "s2") for c in range(3)]
    assert ag.agreement(frame_of(*votes), seed=0, resamples=0)["simulated"].all()


def test_no_votes_give_null_statistics_and_no_error():
    frame = ag.agreement(frame_of(), seed=0, resamples=10)
    assert frame["value"].null_count() == frame.height
    assert all(v is None or not math.isnan(v) for v in frame["value"])
