"""Closed VQA: the strict rule, classes, labels, options."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biomedica_assets.lib.evaluate.adapters.memory import list_source
from biomedica_assets.lib.evaluate.index import index_task
from biomedica_assets.lib.evaluate.task import Item, TaskClass
from biomedica_assets.lib.evaluate.zero_shot import (
    answer_classes,
    answer_labels,
    answer_options,
    score_answers,
    strictly_right,
)
from biomedica_assets_tests.lib.evaluate.fakes import colour_items, colour_task, png, unit


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_an_answer_is_right_only_if_greater_than_every_other(data):
    n, k = data.draw(st.integers(1, 8)), data.draw(st.integers(2, 5))
    scores = np.array(data.draw(st.lists(st.lists(st.integers(0, 3), min_size=k, max_size=k), min_size=n, max_size=n)))
    answers = np.array(data.draw(st.lists(st.integers(0, k - 1), min_size=n, max_size=n)))
    right, tied = strictly_right(scores.astype(np.float32), answers)
    for i in range(n):
        others = np.delete(scores[i], answers[i])
        assert right[i] == all(scores[i, answers[i]] > others)
        assert tied[i] == (scores[i, answers[i]] == others.max())


def test_a_collapsed_model_scores_zero_where_argmax_would_reward_it():
    index = index_task(list_source(colour_task(), colour_items(30)))
    same = unit(np.ones((30, 4)))
    answers = answer_classes(index, same, unit(np.ones((3, 4))), 100.0)
    assert answers.right.sum() == 0
    assert answers.tied.all()
    assert np.argmax(same @ unit(np.ones((3, 4))).T, axis=1).tolist() == [0] * 30


def test_classes_are_answered_by_similarity_and_chance_is_one_in_three():
    index = index_task(list_source(colour_task(), colour_items(30)))
    vectors = np.eye(3)[[e.answer for e in index.entries]]
    vectors[0] = [0, 1, 0]
    answers = answer_classes(index, unit(vectors), unit(np.eye(3)), 10.0)
    assert answers.right.tolist() == [False] + [True] * 29
    assert answers.chance == pytest.approx(1 / 3)
    assert np.allclose(answers.claims.sum(axis=1), 1)


def multi_label(labels):
    classes = tuple(TaskClass(n, (f"with {n}",), (f"without {n}",)) for n in ("x", "y"))
    task = colour_task(kind="multi_label", metric="macro_auroc", classes=classes)
    items = [Item(f"i{i}", png("red", i), labels=row) for i, row in enumerate(labels)]
    return index_task(list_source(task, items))


def test_multi_label_pairs_each_caption_with_its_denial_and_skips_unknown_labels():
    index = multi_label([(1, 0), (0, -1), (1, 1)])
    images = unit([[1, 0, 0, 1], [1, 0, 0, 1], [0, 1, 1, 0]])
    positive, negative = unit([[1, 0, 0, 0], [0, 0, 1, 0]]), unit([[0, 1, 0, 0], [0, 0, 0, 1]])
    answers = answer_labels(index, images, positive, negative)
    assert answers.unit_ids == ("i0#x", "i0#y", "i1#x", "i2#x", "i2#y")
    assert answers.right.tolist() == [True, True, False, False, True]
    assert [answers.classes[t] for t in answers.truth] == [
        "x (present)", "y (absent)", "x (absent)", "x (present)", "y (present)",
    ]  # fmt: skip
    assert answers.n_groups == 3


def vqa(rows):
    task = colour_task(kind="closed_vqa", classes=())
    items = [Item(f"i{i}", png("red", i), options=o, answer=a, label=label) for i, (o, a, label) in enumerate(rows)]
    return index_task(list_source(task, items))


def test_options_differ_from_item_to_item():
    index = vqa([(("a", "b"), 0, None), (("b", "c", "a"), 2, None), (("c", "a"), 0, "sea")])
    texts, options = ["a", "b", "c"], unit(np.eye(3))
    answers = answer_options(index, unit([[2, 1, 0], [2, 1, 0], [2, 1, 0]]), texts, options)
    assert answers.right.tolist() == [True, True, False]
    assert answers.classes == ("a", "sea")
    assert answers.chance == pytest.approx((1 / 2 + 1 / 3 + 1 / 2) / 3)
    assert answers.claims is None, "options that differ are no classes: no ROC curve"


def test_options_that_all_items_share_make_roc_curves_in_any_order():
    index = vqa([(("a", "b"), 0, None), (("b", "a"), 0, None), (("b", "a"), 1, None)])
    images = unit([[2, 1], [1, 2], [3, 1]])
    answers = answer_options(index, images, ["a", "b"], unit(np.eye(2)))
    found = {(s.metric, s.class_name): s.estimate.value for s in score_answers(answers, replicates=50, seed=0)}
    assert found["accuracy", None] == 1.0
    assert found["macro_auroc", None] == found["auroc", "a"] == 1.0


def test_scores_do_not_depend_on_the_order_of_items():
    items = colour_items(40)
    rng = np.random.default_rng(1)
    vectors = {i.item_id: rng.standard_normal(3) for i in items}
    results = []
    for ordered in (items, items[::-1]):
        index = index_task(list_source(colour_task(), ordered))
        answers = answer_classes(index, unit([vectors[e.item_id] for e in index.entries]), unit(np.eye(3)), 10.0)
        results.append(
            [(s.metric, s.class_name, s.estimate.value) for s in score_answers(answers, replicates=20, seed=0)]
        )
    assert results[0] == results[1]


def test_answers_carry_the_group_of_the_patient_where_it_is_known():
    items = [dataclasses.replace(item, group=f"p{i // 10}") for i, item in enumerate(colour_items(30))]
    index = index_task(list_source(colour_task(), items))
    answers = answer_classes(index, unit(np.ones((30, 3))), unit(np.eye(3)), 1.0)
    assert answers.n_groups == 3
