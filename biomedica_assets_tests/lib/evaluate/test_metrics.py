"""Numbers equal scikit-learn's, with ties, absent classes and unknown labels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, recall_score, roc_auc_score

from biomedica_assets.lib.evaluate.bootstrap import Resampler
from biomedica_assets.lib.evaluate.metrics import accuracies, aurocs


def named(scored):
    return {(s.metric, s.class_name): s for s in scored}


@given(st.integers(2, 6), st.integers(5, 80), st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_accuracy_balanced_accuracy_and_recall_equal_scikit_learn(n_classes, n, seed):
    rng = np.random.default_rng(seed)
    truth, predicted = rng.integers(0, n_classes, (2, n))
    classes = tuple(f"c{i}" for i in range(n_classes))
    found = named(accuracies(truth == predicted, truth, np.arange(n), classes, Resampler(n, 10)))
    present = sorted(set(truth.tolist()))
    recalls = recall_score(truth, predicted, average=None, labels=present, zero_division=0)
    assert found["accuracy", None].estimate.value == pytest.approx(accuracy_score(truth, predicted), abs=1e-12)
    assert found["balanced_accuracy", None].estimate.value == pytest.approx(np.mean(recalls), abs=1e-12)
    for i, c in enumerate(present):
        assert found["recall", f"c{c}"].estimate.value == pytest.approx(recalls[i], abs=1e-12)
    if len(present) == n_classes:
        assert np.mean(recalls) == pytest.approx(balanced_accuracy_score(truth, predicted), abs=1e-12)
    else:
        assert "no items of" in found["balanced_accuracy", None].note


@given(st.integers(3, 5), st.integers(10, 100), st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_auroc_equals_scikit_learn_also_with_ties(n_classes, n, seed):
    rng = np.random.default_rng(seed)
    truth = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n)])
    logits = np.round(rng.standard_normal((truth.size, n_classes)), 1)
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    present = (truth[:, None] == np.arange(n_classes)).astype(np.int8)
    names = tuple(map(str, range(n_classes)))
    found = named(aurocs(scores, present, np.arange(truth.size), names, Resampler(truth.size, 10)))
    reference = roc_auc_score(truth, scores, multi_class="ovr", average="macro")
    assert found["macro_auroc", None].estimate.value == pytest.approx(reference, abs=1e-12)


def test_multi_label_auroc_equals_scikit_learn_and_leaves_out_unknown_labels():
    rng = np.random.default_rng(0)
    present = rng.integers(0, 2, (200, 3)).astype(np.int8)
    scores = rng.standard_normal((200, 3)) + 0.5 * present
    unknown = rng.random((200, 3)) < 0.2
    present[unknown] = -1
    found = named(aurocs(scores, present, np.arange(200), ("a", "b", "c"), Resampler(200, 10)))
    for k, name in enumerate("abc"):
        known = present[:, k] >= 0
        assert found["auroc", name].estimate.value == pytest.approx(roc_auc_score(present[known, k], scores[known, k]))
        assert found["auroc", name].n == known.sum()


def test_a_class_without_both_kinds_has_no_curve_and_is_named():
    present = np.array([[1, 0], [1, 1], [1, 0]], np.int8)
    found = named(aurocs(np.random.default_rng(0).random((3, 2)), present, np.arange(3), ("a", "b"), Resampler(3, 10)))
    assert ("auroc", "a") not in found
    assert "no curve for a" in found["macro_auroc", None].note


def test_no_curve_at_all_is_undefined_and_never_zero_or_a_half():
    present = np.ones((3, 1), np.int8)
    (only,) = aurocs(np.zeros((3, 1)), present, np.arange(3), ("a",), Resampler(3, 10))
    assert not only.estimate.defined
    assert np.isnan(only.estimate.value)
