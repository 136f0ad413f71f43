"""Zero-shot answers by closed VQA: each class or option is a caption, matched to the image by cosine similarity.

An answer is right only if the right option is strictly greater than every other; a model that gives the same vector to
everything therefore scores zero, where an argmax would hand it the first class (source: lessons recorded by users of
the released evaluation set). Multi-label tasks pair each class's positive with its negative caption.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from biomedica_assets.lib.evaluate.bootstrap import F64, I64, Resampler, group_codes
from biomedica_assets.lib.evaluate.encoder import F32
from biomedica_assets.lib.evaluate.index import TaskIndex
from biomedica_assets.lib.evaluate.metrics import Scored, accuracies, aurocs

VERSION = "1"


@dataclasses.dataclass(frozen=True, slots=True)
class Answers:
    """A model's answers to a task, one per unit: an item, or an item and a label.

    Attributes:
        unit_ids: item id, with ``#class`` for multi-label.
        right: whether the right option was strictly greatest.
        tied: whether it shared the greatest similarity: an argmax might have called it right.
        truth: class of each unit.
        groups: group number of each unit.
        n_groups: how many groups.
        classes: names of the classes that ``truth`` counts.
        chance: accuracy of guessing.
        claims: items x classes: how much each class is claimed, for ROC curves; None where options are not classes.
        present: items x classes: 1, 0, or -1 for not known; None as ``claims``.
        claim_groups: group number of each row of ``claims``.
        claim_classes: names of the columns of ``claims``.
    """

    unit_ids: tuple[str, ...]
    right: NDArray[np.bool_]
    tied: NDArray[np.bool_]
    truth: I64
    groups: I64
    n_groups: int
    classes: tuple[str, ...]
    chance: float
    claims: F64 | None = None
    present: NDArray[np.int8] | None = None
    claim_groups: I64 | None = None
    claim_classes: tuple[str, ...] = ()


def strictly_right(scores: NDArray[np.floating], answers: I64) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether each row's answer is greater than all others, and whether it ties with the greatest of them.

    Args:
        scores: n x options; -inf where a row has fewer options.
        answers: column of the right option.
    """
    rows = np.arange(len(answers))
    own = scores[rows, answers]
    others = scores.copy()
    others[rows, answers] = -np.inf
    best = others.max(axis=1)
    return own > best, own == best


def answer_classes(index: TaskIndex, images: F32, captions: F32, logit_scale: float) -> Answers:
    """Answers to a single-label task.

    Args:
        index: the task; entries and rows of ``images`` agree.
        images: n x d unit vectors.
        captions: classes x d unit vectors, one per class.
        logit_scale: factor from cosine to logit, for the class probabilities behind the ROC curves.
    """
    similarity = images @ captions.T
    truth = np.array([e.answer for e in index.entries], np.int64)
    right, tied = strictly_right(similarity, truth)
    groups, n_groups = group_codes(index.groups())
    classes = tuple(c.name for c in index.task.classes)
    present = np.zeros(similarity.shape, np.int8)
    present[np.arange(truth.size), truth] = 1
    return Answers(
        tuple(e.item_id for e in index.entries),
        right,
        tied,
        truth,
        groups,
        n_groups,
        classes,
        1 / len(classes),
        _softmax(similarity.astype(np.float64) * logit_scale),
        present,
        groups,
        classes,
    )


def answer_labels(index: TaskIndex, images: F32, positive: F32, negative: F32) -> Answers:
    """Answers to a multi-label task: each known label of an item is a unit, right if its own caption is the greater.

    Args:
        index: the task.
        images: n x d unit vectors.
        positive: classes x d: the captions that claim the class.
        negative: classes x d: those that deny it.
    """
    claim = images @ positive.T - images @ negative.T
    labels = np.array([e.labels for e in index.entries], np.int8)
    codes, n_groups = group_codes(index.groups())
    rows, columns = np.nonzero(labels >= 0)
    truth = labels[rows, columns].astype(np.int64)
    margin = np.where(truth == 1, claim[rows, columns], -claim[rows, columns])
    names = [c.name for c in index.task.classes]
    return Answers(
        tuple(f"{index.entries[r].item_id}#{names[c]}" for r, c in zip(rows, columns, strict=True)),
        margin > 0,
        margin == 0,
        columns.astype(np.int64) * 2 + truth,
        codes[rows],
        n_groups,
        tuple(f"{name} ({state})" for name in names for state in ("absent", "present")),
        0.5,
        claim.astype(np.float64),
        labels,
        codes,
        tuple(names),
    )


def answer_options(index: TaskIndex, images: F32, texts: list[str], options: F32) -> Answers:
    """Answers to a closed-VQA task, where every item brings its own options.

    Args:
        index: the task.
        images: n x d unit vectors.
        texts: distinct option texts.
        options: their unit vectors.

    An item's class is its label, or the text of its right option. ROC curves need classes that all items share, so
    they are drawn only where every item offers the same set of options.
    """
    entries = index.entries
    column = {text: i for i, text in enumerate(texts)}
    width = max(len(e.options) for e in entries)
    similarity = np.full((len(entries), width), -np.inf, np.float32)
    for i, entry in enumerate(entries):
        similarity[i, : len(entry.options)] = options[[column[o] for o in entry.options]] @ images[i]
    answers = np.array([e.answer for e in entries], np.int64)
    right, tied = strictly_right(similarity, answers)
    groups, n_groups = group_codes(index.groups())
    right_options = [e.options[int(a)] for e, a in zip(entries, answers, strict=True)]
    names = [option if e.label is None else e.label for e, option in zip(entries, right_options, strict=True)]
    classes = tuple(sorted(set(names)))
    number = {name: i for i, name in enumerate(classes)}
    made = Answers(
        tuple(e.item_id for e in entries),
        right,
        tied,
        np.array([number[n] for n in names], np.int64),
        groups,
        n_groups,
        classes,
        float(np.mean([1 / len(e.options) for e in entries])),
    )
    shared = set(entries[0].options)
    if any(set(e.options) != shared for e in entries):
        return made
    claims = np.stack([_softmax((options @ v)[None].astype(np.float64) * 100.0)[0] for v in images])
    present = np.zeros(claims.shape, np.int8)
    present[np.arange(len(entries)), [column[option] for option in right_options]] = 1
    return dataclasses.replace(made, claims=claims, present=present, claim_groups=groups, claim_classes=tuple(texts))


def score_answers(answers: Answers, *, replicates: int, seed: int) -> list[Scored]:
    """All metrics of a set of answers with their intervals."""
    resampler = Resampler(answers.n_groups, replicates, seed)
    made = accuracies(answers.right, answers.truth, answers.groups, answers.classes, resampler)
    if answers.claims is not None and answers.present is not None and answers.claim_groups is not None:
        made += aurocs(answers.claims, answers.present, answers.claim_groups, answers.claim_classes, resampler)
    return made


def _softmax(logits: F64) -> F64:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)
