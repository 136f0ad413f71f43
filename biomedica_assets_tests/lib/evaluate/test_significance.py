"""Whether two models differ: McNemar, paired bootstrap, adjustment."""

import numpy as np
import polars as pl
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from biomedica_assets.lib.evaluate.bootstrap import Resampler
from biomedica_assets.lib.evaluate.significance import SCHEMA, compare, compare_all, holm


def test_mcnemar_equals_statsmodels():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 300)) < [[0.7], [0.6]]
    verdict = compare(a, b, np.arange(300), Resampler(300, 200))
    table = [[(a & b).sum(), (a & ~b).sum()], [(~a & b).sum(), (~a & ~b).sum()]]
    assert verdict.p_mcnemar == pytest.approx(mcnemar(table, exact=True).pvalue)
    assert verdict.difference == pytest.approx(a.mean() - b.mean())


def test_equal_models_do_not_differ():
    a = np.random.default_rng(0).random(100) < 0.5
    verdict = compare(a, a, np.arange(100), Resampler(100, 200))
    assert (verdict.difference, verdict.low, verdict.high, verdict.p_mcnemar, verdict.p_bootstrap) == (0, 0, 0, 1, 1)


def test_groups_make_the_paired_test_careful():
    """10 patients of 30 equal images: McNemar counts 300 independent votes, the bootstrap ten."""
    a, b = (np.repeat(x, 30).astype(bool) for x in ([1] * 7 + [0] * 3, [1] * 5 + [0] * 5))
    verdict = compare(a, b, np.repeat(np.arange(10), 30), Resampler(10, 1000))
    assert verdict.p_mcnemar < 1e-10
    assert verdict.p_bootstrap > 0.05


def test_without_a_difference_p_values_are_uniform_enough():
    rng = np.random.default_rng(5)
    p = []
    for seed in range(150):
        a, b = rng.random((2, 120)) < 0.5
        p.append(compare(a, b, np.arange(120), Resampler(120, 200, seed)).p_bootstrap)
    assert stats.binomtest(sum(x < 0.05 for x in p), 150, 0.05).pvalue > 0.001


def test_holm_equals_statsmodels():
    p = [0.01, 0.04, 0.03, 0.005, 0.5]
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def answers(right, ids=None):
    n = len(right)
    ids = ids or [f"u{i}" for i in range(n)]
    return pl.DataFrame({"unit_id": ids, "right": right, "group": list(range(n))})


def test_models_are_compared_on_the_units_both_answered():
    a, b = answers([True, False, True]), answers([True, True], ["u1", "u2"])
    frame = compare_all({"t": {"a": a, "b": b}}, replicates=50, seed=0)
    assert frame.schema == SCHEMA
    assert frame.row(0, named=True)["n"] == 2
    assert frame.row(0, named=True)["only_b_right"] == 1


def test_no_pair_gives_an_empty_table():
    assert compare_all({"t": {"a": answers([True])}}, replicates=10, seed=0).schema == SCHEMA
