"""What frozen image features know without words: a linear probe and nearest neighbours.

Both answer every item from a model that never saw its group: folds are cut by group, so copies of an image or images of
a patient never stand on both sides.
"""

from __future__ import annotations

import dataclasses
import importlib
import warnings
from typing import Any

import numpy as np

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.evaluate.bootstrap import I64
from biomedica_assets.lib.evaluate.encoder import F32

VERSION = "1"


class TooFewForProbe(PermanentFailure):
    """A class has fewer groups than folds: no fold could both learn and test it."""


@dataclasses.dataclass(frozen=True, slots=True)
class ProbeConfig:
    """How probes are fitted.

    Attributes:
        folds: cross-fitting folds.
        neighbours: k of k-NN.
        strengths: inverse regularisation strengths tried; the best on a held-out fifth of the learning part is taken.
        max_iter: iterations of the solver.
    """

    folds: int = 5
    neighbours: int = 20
    strengths: tuple[float, ...] = (0.1, 1.0, 10.0, 100.0)
    max_iter: int = 1000


def linear_probe(features: F32, truth: I64, groups: I64, config: ProbeConfig, seed: int) -> I64:
    """Class of every item by a logistic regression fitted on the other folds.

    Args:
        features: n x d unit vectors.
        truth: n class numbers.
        groups: n group numbers; a group is in one fold.
        config: see ``ProbeConfig``.
        seed: of the folds.

    Raises:
        TooFewForProbe: a class has fewer groups than folds.
    """
    answers = np.empty_like(truth)
    for train, test in _folds(truth, groups, config.folds, seed):
        strength = _best_strength(features[train], truth[train], groups[train], config, seed)
        answers[test] = _fit(features[train], truth[train], strength, config).predict(features[test])
    return answers


def nearest_neighbours(features: F32, truth: I64, groups: I64, config: ProbeConfig, seed: int) -> I64:
    """Class of every item by a vote of its nearest neighbours in the other folds, weighted by cosine similarity.

    Ties of the vote go to the class with the lower number.

    Raises:
        TooFewForProbe: a class has fewer groups than folds.
    """
    answers = np.empty_like(truth)
    n_classes = int(truth.max()) + 1
    for train, test in _folds(truth, groups, config.folds, seed):
        k = min(config.neighbours, train.size)
        for part in np.array_split(test, max(1, test.size // 1024)):
            similarity = features[part] @ features[train].T
            near = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
            votes = np.zeros((part.size, n_classes))
            weight = np.take_along_axis(similarity, near, axis=1)
            np.add.at(votes, (np.arange(part.size)[:, None], truth[train][near]), weight + 1.0)
            answers[part] = votes.argmax(axis=1)
    return answers


def _folds(truth: I64, groups: I64, n: int, seed: int) -> list[tuple[I64, I64]]:
    classes = np.unique(truth)
    if classes.size < 2:
        raise TooFewForProbe("all items are of one class: there is nothing to tell apart")
    fewest = min(np.unique(groups[truth == c]).size for c in classes)
    if fewest < n:
        raise TooFewForProbe(f"the smallest class has {fewest} independent groups, {n} folds need as many")
    splitter = _sklearn("model_selection").StratifiedGroupKFold(n, shuffle=True, random_state=seed)
    return [(np.asarray(a), np.asarray(b)) for a, b in splitter.split(np.zeros(truth.size), truth, groups)]


def _best_strength(features: F32, truth: I64, groups: I64, config: ProbeConfig, seed: int) -> float:
    if len(config.strengths) == 1:
        return config.strengths[0]
    train, held_out = _folds(truth, groups, 2, seed)[0] if _few(truth, groups) else _folds(truth, groups, 5, seed)[0]
    hits = [
        float((_fit(features[train], truth[train], s, config).predict(features[held_out]) == truth[held_out]).mean())
        for s in config.strengths
    ]
    return config.strengths[int(np.argmax(hits))]


def _few(truth: I64, groups: I64) -> bool:
    return min(np.unique(groups[truth == c]).size for c in np.unique(truth)) < 5


def _fit(features: F32, truth: I64, strength: float, config: ProbeConfig) -> Any:
    # One thread: scipy's solver calls BLAS on vectors of a few hundred numbers, where waking threads is all that two
    # cores do (600 x 64: 2.5 s against 0.42 s), and sums keep their order on any number of cores.
    single = importlib.import_module("threadpoolctl").threadpool_limits(1, user_api="blas")
    with single, warnings.catch_warnings():
        # an unconverged fit at a weak regularisation loses the comparison of strengths; it is no news to a reader
        warnings.simplefilter("ignore", _sklearn("exceptions").ConvergenceWarning)
        return _sklearn("linear_model").LogisticRegression(C=strength, max_iter=config.max_iter).fit(features, truth)


def _sklearn(module: str) -> Any:
    """A module of scikit-learn, which ships no types."""
    return importlib.import_module(f"sklearn.{module}")
