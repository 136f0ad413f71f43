"""From votes to one answer per cluster and question; what people disagree on waits for adjudication.

Single-choice questions take the answer most votes give; set questions take every concept that more than half of the
votes name. Equal counts are a tie, never a coin toss. Three votes of three people were the usual case at BIOMEDICA
(facts on its protocol: majority vote, three annotators in the agreement figure; no code was published).
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

import polars as pl

from biomedica_assets.lib.annotate.form import MULTIPLE, QUESTIONS, SETS, SINGLE, SINGLE_CHOICE, hierarchy_problems
from biomedica_assets.lib.annotate.plain import as_strings
from biomedica_assets.lib.annotate.tally import current_model, read_votes
from biomedica_assets.lib.annotate.taxonomy.model import Taxonomy, load
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import ANNOTATIONS, TAXONOMY

VERSION = "1"
ACCEPTED = ("agreed", "adjudicated")
OPEN = ("tie", "low_agreement", "cant_tell", "contradiction")
ANSWERED = (*QUESTIONS, "mixed")


@dataclasses.dataclass(frozen=True, slots=True)
class Rules:
    """When votes make a consensus.

    Attributes:
        min_votes: fewer votes on a cluster leave it ``too_few``. 1 accepts imported labels of one source.
        min_agreement: an answer backed by a smaller share is ``low_agreement``; 0.6 lets 2 of 3 pass.
    """

    min_votes: int = 2
    min_agreement: float = 0.6


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """Answer to one question about one item."""

    answer: tuple[str, ...]
    agreement: float | None
    n_votes: int
    status: str


def majority_of_one(answers: Sequence[str], rules: Rules) -> Outcome:
    """The answer that most votes give.

    Args:
        answers: one per vote, not empty.
        rules: thresholds.
    """
    (best, n), *others = Counter(answers).most_common()
    share = n / len(answers)
    if others and others[0][1] == n:
        return Outcome((), share, len(answers), "tie")
    return Outcome((best,), share, len(answers), "agreed" if share >= rules.min_agreement else "low_agreement")


def majority_of_sets(answers: Sequence[frozenset[str]], rules: Rules) -> Outcome:
    """Every concept that more than half of the votes name.

    The agreement is that of the most disputed concept, the larger of what backs its presence and what backs its
    absence: with votes {a}, {a}, {a, b} it is 2/3 (b is out by two to one).

    Args:
        answers: one set per vote, at least one vote; an empty set says that no concept fits.
        rules: thresholds.
    """
    total = len(answers)
    named = Counter(concept for answer in answers for concept in answer)
    chosen = tuple(sorted(concept for concept, n in named.items() if 2 * n > total))
    agreement = min((max(n, total - n) / total for n in named.values()), default=1.0)
    if any(2 * n == total for n in named.values()):
        return Outcome((), agreement, total, "tie")
    if not chosen and 2 * sum(bool(answer) for answer in answers) > total:
        return Outcome((), agreement, total, "tie")  # most name something, no two halves name the same
    return Outcome(chosen, agreement, total, "agreed" if agreement >= rules.min_agreement else "low_agreement")


def settle(votes: Sequence[dict[str, object]], rules: Rules, taxonomy: Taxonomy) -> dict[str, Outcome]:
    """Consensus on one item, question by question, before adjudication.

    Args:
        votes: rows of ``expert_votes`` on the item, one per annotator.
        rules: thresholds.
        taxonomy: for the hierarchy.
    """
    able = [vote for vote in votes if not vote["cant_tell"]]
    if not votes:
        return dict.fromkeys(ANSWERED, Outcome((), None, 0, "unanswered"))
    if 2 * len(able) <= len(votes):
        status = "cant_tell" if len(votes) >= rules.min_votes else "too_few"
        return dict.fromkeys(ANSWERED, Outcome((), None, len(able), status))
    found: dict[str, Outcome] = {}
    for question in ANSWERED:
        found[question] = _settle_question(question, able, rules)
    if found["panel_type"].answer == (SINGLE,):  # a sub-type is asked of several panels only
        found["panel_subtype"] = dataclasses.replace(found["panel_type"], answer=())
    return _consistent(found, taxonomy)


def _consistent(found: dict[str, Outcome], taxonomy: Taxonomy) -> dict[str, Outcome]:
    """Reopen a narrower question whose answer contradicts the accepted wider one."""
    accepted = {q: found[q].answer for q in QUESTIONS if found[q].status in ACCEPTED}
    for wide, narrow in (("global", "local"), ("panel_type", "panel_subtype")):
        pair = {q: accepted[q] for q in (wide, narrow) if q in accepted}
        if len(pair) == 2 and hierarchy_problems(pair, taxonomy):
            found = {**found, narrow: dataclasses.replace(found[narrow], answer=(), status="contradiction")}
    return found


def _settle_question(question: str, able: Sequence[dict[str, object]], rules: Rules) -> Outcome:
    if question == "mixed":
        outcome = majority_of_one(["yes" if vote["mixed"] else "no" for vote in able], rules)
    elif question in SINGLE_CHOICE:
        voters = [v for v in able if question != "panel_subtype" or v["panel_type"] == MULTIPLE]
        singles = [str(vote[question]) for vote in voters if vote[question] is not None]
        outcome = majority_of_one(singles, rules) if singles else Outcome((), None, 0, "unanswered")
    else:
        sets = [frozenset(_strings(vote[question])) for vote in able if vote[question] is not None]
        outcome = majority_of_sets(sets, rules) if sets else Outcome((), None, 0, "unanswered")
    short = question != "panel_subtype" and 0 < outcome.n_votes < rules.min_votes
    return dataclasses.replace(outcome, answer=(), status="too_few") if short else outcome


def consensus(votes: pl.DataFrame, model: str, *, rules: Rules, taxonomy: Taxonomy) -> pl.DataFrame:
    """Consensus of all clusters that have votes.

    Args:
        votes: ``expert_votes``; only active label and adjudication votes made with ``model`` count.
        model: digest of the cluster model; numbers of another model mean other images.
        rules: thresholds.
        taxonomy: the vocabulary.

    Returns:
        ``annotations``: one row per cluster and question, sorted.
    """
    counted = votes.filter(
        pl.col("status") == "active",
        pl.col("cluster_model") == model,
        pl.col("task").is_in(["label", "adjudication"]),
        pl.col("cluster").is_not_null(),
    ).sort("cluster", "time", "vote_id")
    rows: list[dict[str, object]] = []
    for (cluster,), group in counted.group_by("cluster", maintain_order=True):
        labels = list(group.filter(pl.col("task") == "label").iter_rows(named=True))
        rulings = list(group.filter(pl.col("task") == "adjudication").iter_rows(named=True))
        outcomes = settle(labels, rules, taxonomy)
        if rulings:
            outcomes = _consistent(outcomes | _ruled(rulings[-1], labels), taxonomy)
        used = [str(vote["vote_id"]) for vote in (*labels, *rulings[-1:])]
        simulated = any(vote["source"] == "simulated" for vote in (*labels, *rulings[-1:]))
        for question, outcome in outcomes.items():
            row: dict[str, object] = {"cluster": cluster, "question": question, **dataclasses.asdict(outcome)}
            row |= {"answer": list(outcome.answer), "votes": used, "simulated": simulated, "cluster_model": model}
            rows.append(row)
    return ANNOTATIONS.frame(rows).sort("cluster", "question")


def _ruled(ruling: dict[str, object], labels: Sequence[dict[str, object]]) -> dict[str, Outcome]:
    """What an adjudicator's vote settles; the agreement counts that vote with the others."""
    found: dict[str, Outcome] = {}
    if ruling["cant_tell"]:
        return found
    for question in ANSWERED:
        answer = _answer(ruling, question)
        if answer is not None:
            given = [a for a in (_answer(vote, question) for vote in labels if not vote["cant_tell"]) if a is not None]
            backing = (1 + sum(a == answer for a in given)) / (1 + len(given))
            found[question] = Outcome(tuple(sorted(answer)), backing, 1 + len(given), "adjudicated")
    if ruling["panel_type"] == SINGLE:
        found["panel_subtype"] = dataclasses.replace(found["panel_type"], answer=())
    return found


def _answer(vote: dict[str, object], question: str) -> frozenset[str] | None:
    """One vote's answer as a set; None if the question was not answered."""
    if question == "mixed":
        return frozenset(["yes" if vote["mixed"] else "no"])
    value = vote[question]
    if value is None:
        return None
    return frozenset(_strings(value)) if question in SETS else frozenset([str(value)])


def _strings(value: object) -> list[str]:
    return as_strings(value) or []


def open_questions(annotations: pl.DataFrame) -> pl.DataFrame:
    """What waits for an adjudicator: the rows with an open status, most disputed clusters first."""
    waiting = annotations.filter(pl.col("status").is_in(OPEN))
    return waiting.with_columns(pl.len().over("cluster").alias("n_open")).sort(
        ["n_open", "cluster", "question"], descending=[True, False, False]
    )


def violations(annotations: pl.DataFrame, taxonomy: Taxonomy) -> list[str]:
    """What a blocking check must refuse: accepted answers outside the vocabulary or against the hierarchy."""
    found: list[str] = []
    accepted = annotations.filter(pl.col("status").is_in(ACCEPTED), pl.col("question") != "mixed")
    for (cluster,), group in accepted.sort("cluster", "question").group_by("cluster", maintain_order=True):
        concepts = {q: tuple(a) for q, a in group.select("question", "answer").iter_rows()}
        unknown = sorted({c for ids in concepts.values() for c in ids if c not in taxonomy})
        twice = [q for q, ids in concepts.items() if len(set(ids)) < len(ids)]
        problems = [f"unknown concept {c}" for c in unknown] + [f"{q} names a concept twice" for q in twice]
        problems += [] if unknown else hierarchy_problems(concepts, taxonomy)
        found += [f"cluster {cluster}: {problem}" for problem in problems]
    return found


def stage_annotations(lake: Lake, rules: Rules | None = None) -> Report:
    """Publish ``annotations`` from the ``expert_votes`` on the current ``cluster_model``; empty before anybody voted.

    ``n_in`` and ``n_out`` count (cluster, question) pairs, so that an open question is a row and no loss.
    """
    rules, taxonomy = rules or Rules(), load()
    votes, votes_input = read_votes(lake)
    model, model_input = current_model(lake)
    frame = consensus(votes, model, rules=rules, taxonomy=taxonomy)
    elsewhere = votes.filter(pl.col("cluster").is_not_null(), pl.col("cluster_model").ne_missing(model)).height
    manifest = lake.publish(
        ANNOTATIONS,
        None,
        frame,
        code_version=VERSION,
        inputs={**votes_input, **model_input, **lake.inputs((TAXONOMY, None))},
        config={**dataclasses.asdict(rules), "cluster_model": model, "taxonomy_version": taxonomy.version},
        n_in=frame.height,
        n_out=frame.height,
    )
    statuses = dict(frame.group_by("status").len().sort("status").iter_rows())
    return Report(
        asset=ANNOTATIONS.name,
        partition=None,
        data_version=manifest.data_version,
        rows=frame.height,
        n_in=frame.height,
        n_out=frame.height,
        bytes_written=manifest.bytes,
        metrics={
            "clusters": frame["cluster"].n_unique(),
            "clusters_to_adjudicate": open_questions(frame)["cluster"].n_unique(),
            "simulated": bool(frame["simulated"].any()),
            "votes_for_other_cluster_models": elsewhere,
            **{f"questions_{status}": n for status, n in statuses.items()},
        },
        preview=tuple(
            frame.select("cluster", "question", "status", "agreement", "n_votes").head(12).iter_rows(named=True)
        ),
    )
