"""Linear probe and nearest neighbours on frozen features."""

import numpy as np
import pytest

from biomedica_assets.lib.evaluate.probes import ProbeConfig, TooFewForProbe, linear_probe, nearest_neighbours
from biomedica_assets_tests.lib.evaluate.fakes import unit

CONFIG = ProbeConfig(folds=3, neighbours=5, strengths=(1.0, 100.0))
PROBES = (linear_probe, nearest_neighbours)


def blobs(n, d, spread, seed=0):
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 3
    return unit(np.eye(d)[truth] + spread * rng.standard_normal((n, d))), truth


@pytest.mark.parametrize("probe", PROBES)
def test_separable_classes_are_found(probe):
    features, truth = blobs(90, 8, 0.1)
    assert (probe(features, truth, np.arange(90), CONFIG, 0) == truth).mean() > 0.97


@pytest.mark.parametrize("probe", PROBES)
def test_copies_of_an_item_never_help_to_answer_it(probe):
    """Features are noise, but each comes five times: only a leak between folds could beat chance."""
    rng = np.random.default_rng(1)
    features = unit(np.repeat(rng.standard_normal((60, 100)), 5, axis=0))
    truth, groups = np.repeat(rng.integers(0, 3, 60), 5), np.repeat(np.arange(60), 5)
    leaky = (probe(features, truth, np.arange(300), CONFIG, 0) == truth).mean()
    assert (probe(features, truth, groups, CONFIG, 0) == truth).mean() < 0.55
    assert leaky > 0.8


@pytest.mark.parametrize("probe", PROBES)
def test_answers_are_the_same_every_time(probe):
    features, truth = blobs(60, 8, 0.6)
    first, again = (probe(features, truth, np.arange(60), CONFIG, 4) for _ in range(2))
    assert (first == again).all()


@pytest.mark.parametrize("probe", PROBES)
def test_a_class_with_fewer_groups_than_folds_is_refused(probe):
    features, truth = blobs(30, 8, 0.1)
    with pytest.raises(TooFewForProbe, match="all items are of one class"):
        probe(features, np.zeros(30, int), np.arange(30), CONFIG, 0)
    truth[truth == 2] = 0
    truth[0] = 2
    with pytest.raises(TooFewForProbe, match="smallest class has 1 independent groups, 3 folds"):
        probe(features, truth, np.arange(30), CONFIG, 0)
