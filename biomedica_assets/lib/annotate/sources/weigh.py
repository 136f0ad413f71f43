"""How far sources can be trusted, from how they agree, and what they say together: Dawid and Skene's model.

Each item is one question with the answer yes or no: does this image show this concept? Each source answers with one
of its own symbols (the text: in the head of the caption, in a mention, not at all; votes: sure, unsure, not at all),
or stays away. What a symbol is worth is its probability where the answer is yes and where it is no; both are
estimated with the answers by expectation maximisation (Dawid and Skene 1979, Applied Statistics 28), from a Dirichlet
prior that says what is believed before anything was counted, with answers that people gave held fixed (Raykar et al.
2010, JMLR 11, section 2). With two symbols and a flat prior this is the textbook's model; a test holds it against
crowd-kit's.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_SMALL = 1e-9


@dataclasses.dataclass(frozen=True, slots=True)
class Fit:
    """What was estimated.

    Attributes:
        p_yes: items, float64 in 0..1: probability that the answer is yes.
        tables: source -> 2 x symbols: probability of each symbol where the answer is no (row 0) and yes (row 1).
        prior: classes -> share of yes.
        rounds: of the iteration.
    """

    p_yes: Floats
    tables: dict[str, Floats]
    prior: Floats
    rounds: int


def fit(
    answers: Mapping[str, Ints],
    beliefs: Mapping[str, Floats],
    *,
    classes: Ints | None = None,
    gold: Floats | None = None,
    start: Floats | None = None,
    prior_strength: float = 4.0,
    prior_yes: float = 0.5,
    most_rounds: int = 200,
    tolerance: float = 1e-5,
) -> Fit:
    """Estimate the tables of the sources and the answers.

    Args:
        answers: source -> symbol number per item, int64, -1 where it stayed away.
        beliefs: source -> 2 x symbols pseudo-counts (0 for flat); they also give the first tables.
        classes: class of each item (its concept, for instance), int64; items of a class share a prior. None: one class.
        gold: answers that are known, 1.0 or 0.0, NaN where not.
        start: first guess per item; None starts from the beliefs.
        prior_strength: pseudo-counts behind ``prior_yes`` in each class.
        prior_yes: share of yes believed beforehand.
        most_rounds: of the iteration.
        tolerance: largest change of an answer at which it ends.
    """
    n = len(next(iter(answers.values()))) if answers else 0
    classes = np.zeros(n, dtype=np.int64) if classes is None else classes
    n_classes = int(classes.max()) + 1 if n else 1
    known = np.full(n, np.nan) if gold is None else gold
    prior = np.full(n_classes, prior_yes)
    tables = {name: _normal(belief + _SMALL) for name, belief in beliefs.items()}
    p_yes = _fixed(posterior(answers, tables, prior[classes]) if start is None else start.copy(), known)
    rounds, moved = 0, 1.0
    while rounds < most_rounds and moved >= tolerance:
        rounds += 1
        tables = {name: _table(answers[name], p_yes, beliefs[name]) for name in answers}
        yes = np.bincount(classes, weights=p_yes, minlength=n_classes)
        total = np.bincount(classes, minlength=n_classes)
        prior = (yes + prior_strength * prior_yes) / np.maximum(total + prior_strength, _SMALL)
        fresh = _fixed(posterior(answers, tables, prior[classes]), known)
        moved = float(np.abs(fresh - p_yes).max()) if n else 0.0
        p_yes = fresh
    return Fit(p_yes, tables, prior, rounds)


def posterior(
    answers: Mapping[str, Ints],
    tables: Mapping[str, Floats],
    prior: Floats,
    weights: Mapping[str, float] | None = None,
) -> Floats:
    """Probability of yes per item.

    Args:
        answers: source -> symbol number per item, -1 where it stayed away.
        tables: source -> 2 x symbols; a source without one is not heard.
        prior: share of yes per item, float64.
        weights: source -> factor of its log-odds, from ``independence``; 1 where it has none.
    """
    odds = log_odds(prior)
    for name, evidence in _evidence(answers, tables).items():
        odds = odds + (weights or {}).get(name, 1.0) * evidence
    return _sigmoid(odds)


def log_odds(p: Floats) -> Floats:
    """Log-odds of probabilities."""
    return np.log(np.clip(p, _SMALL, 1 - _SMALL)) - np.log(np.clip(1 - p, _SMALL, 1 - _SMALL))


def independence(
    answers: Mapping[str, Ints],
    beliefs: Mapping[str, Floats],
    gold: Floats,
    *,
    classes: Ints,
    parts: Ints,
    strength: float = 10.0,
) -> dict[str, float]:
    """How much of each source's log-odds counts beside the others, 0..1, from items whose answer people gave.

    The model takes sources as independent. Those that look at the same thing are not, and two of them that err alike
    would outvote a third. So the log-odds of each get a factor by logistic regression (a logarithmic opinion pool,
    Genest and Zidek 1986), drawn towards 1, on items that its tables were not counted on.

    Args:
        answers: as for ``fit``.
        beliefs: as for ``fit``.
        gold: right answers, 1.0 or 0.0.
        classes: as for ``fit``.
        parts: part of each item, int64: items of one part are never on both sides.
        strength: of the pull towards 1, in items.
    """
    names = sorted(answers)
    evidence, base = np.zeros((len(gold), len(names))), np.zeros(len(gold))
    for part in np.unique(parts):
        here, there = parts == part, parts != part
        if not there.any():
            return dict.fromkeys(names, 1.0)
        found = fit({s: a[there] for s, a in answers.items()}, beliefs, classes=classes[there], gold=gold[there])
        prior = np.full(int(classes.max()) + 1, 0.5)
        prior[: len(found.prior)] = found.prior
        base[here] = log_odds(prior[classes[here]])
        said = _evidence({s: a[here] for s, a in answers.items()}, found.tables)
        evidence[here] = np.stack([said[s] for s in names], axis=1)

    def loss(weights: Floats) -> tuple[float, Floats]:
        odds = base + evidence @ weights
        slack = _sigmoid(odds) - gold
        value = np.logaddexp(0.0, odds).sum() - (gold * odds).sum() + strength / 2 * ((weights - 1) ** 2).sum()
        return float(value), evidence.T @ slack + strength * (weights - 1)

    optimize: Any = importlib.import_module("scipy.optimize")
    best = optimize.minimize(
        loss, np.ones(len(names)), jac=True, method="L-BFGS-B", bounds=[(0.0, 1.0)] * len(names)
    )  # fmt: skip
    return {name: float(weight) for name, weight in zip(names, best.x, strict=True)}


def _evidence(answers: Mapping[str, Ints], tables: Mapping[str, Floats]) -> dict[str, Floats]:
    """Log-odds that each source adds to each item; 0 where it stays away, nothing for a source without a table."""
    found: dict[str, Floats] = {}
    for name, symbols in answers.items():
        if name in tables:
            table = np.log(np.clip(tables[name], _SMALL, 1.0))
            found[name] = np.where(symbols >= 0, (table[1] - table[0])[np.maximum(symbols, 0)], 0.0)
    return found


def _sigmoid(odds: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-np.clip(odds, -700, 700)))


def belief(trusts: Sequence[float], strength: float) -> Floats:
    """Pseudo-counts of a source's symbols from the share of yes believed behind each, 2 x symbols.

    Args:
        trusts: for each symbol the share of items with it whose answer is yes, if yes and no were equally many.
        strength: pseudo-counts a symbol.
    """
    shares = np.asarray(trusts, dtype=np.float64)
    return strength * np.stack([1.0 - shares, shares])


def _table(symbols: Ints, p_yes: Floats, pseudo: Floats) -> Floats:
    heard = symbols >= 0
    size = pseudo.shape[1]
    yes = np.bincount(symbols[heard], weights=p_yes[heard], minlength=size)
    every = np.bincount(symbols[heard], minlength=size)
    return _normal(np.stack([every - yes, yes]) + pseudo + _SMALL)


def _normal(counts: Floats) -> Floats:
    return counts / counts.sum(axis=1, keepdims=True)


def _fixed(p_yes: Floats, gold: Floats) -> Floats:
    return np.where(np.isnan(gold), p_yes, gold)
