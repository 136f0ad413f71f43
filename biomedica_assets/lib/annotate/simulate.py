"""Annotators with known error rates, to try the whole loop out and to measure it against the truth.

Everything they say carries source ``simulated``, and so does everything derived from it. Belongs here: the simulation
and the score of labels against ground truth. Where the truth comes from is the caller's business.
"""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import polars as pl

from biomedica_assets.lib.annotate.ballots import BallotBox
from biomedica_assets.lib.annotate.form import MULTIPLE, QUESTIONS, SETS, SINGLE, SINGLE_CHOICE, Answer, guideline
from biomedica_assets.lib.annotate.plain import as_strings
from biomedica_assets.lib.annotate.taxonomy.model import Taxonomy
from biomedica_assets.lib.annotate.taxonomy.published import IN_USE, load_published
from biomedica_assets.lib.annotate.votes import Vote
from biomedica_assets.lib.store.manifest import digest

TIME = "1970-01-01T00:00:00.000+00:00"  # simulated people vote outside time, so that equal seeds give equal files
PURE = 2 / 3  # a cluster is mixed if its commonest kind has a smaller share; the guideline says "more than a third"
Truth = Mapping[str, tuple[str, ...]]


@dataclasses.dataclass(frozen=True, slots=True)
class Simulated:
    """A simulated annotator.

    Attributes:
        name: how the votes are signed.
        panel_error: chance of a wrong panel type.
        kind_error: chance of a wrong kind (global and local concepts).
        cant_tell: chance of giving no answer.
    """

    name: str
    panel_error: float
    kind_error: float
    cant_tell: float = 0.0


THREE = (
    Simulated("simulated-careful", 0.02, 0.03),
    Simulated("simulated-usual", 0.08, 0.10, 0.01),
    Simulated("simulated-hasty", 0.20, 0.25, 0.03),
)


def cluster_truth(assignments: pl.DataFrame, truth: pl.DataFrame) -> dict[int, tuple[Truth, bool]]:
    """What an infallible annotator would say of each cluster, and whether it is mixed.

    Args:
        assignments: ``clusters``: media_id, cluster.
        truth: media_id and per question the right answer (concept id, or list of ids); null if unknown.
    """
    joined = assignments.select("media_id", "cluster").join(truth, on="media_id").sort("cluster", "media_id")
    found: dict[int, tuple[Truth, bool]] = {}
    for (cluster,), group in joined.group_by("cluster", maintain_order=True):
        rows = [as_truth(row) for row in group.iter_rows(named=True)]
        kinds = Counter((row.get("global", ()), row.get("local", ())) for row in rows)
        # ties go to the smaller spelling, so that the order of rows decides nothing
        (globals_, locals_), n = max(kinds.items(), key=lambda entry: (entry[1], entry[0]))
        answer = {"global": globals_, "local": locals_}
        for question in (*SINGLE_CHOICE, "content"):
            told = Counter(row[question] for row in rows if row.get(question) is not None)
            answer[question] = max(told.items(), key=lambda entry: (entry[1], entry[0]))[0] if told else ()
        if answer["panel_type"] != (MULTIPLE,):
            answer["panel_subtype"] = ()
        number = cluster if isinstance(cluster, int) else 0
        found[number] = (answer, n / len(rows) < PURE)
    return found


def truth_of(panels: Sequence[tuple[str, str]], taxonomy: Taxonomy) -> dict[str, object]:
    """Right answers for an image whose panels are known by BIOMEDICA's names.

    Args:
        panels: (global class, local class) of each panel, in the published vocabulary in use.
        taxonomy: the vocabulary.

    Returns:
        Questions with ids as ``cluster_truth`` and ``score`` take them; the panel sub-type is not known (None).

    Raises:
        PermanentFailure: a name is not in the published vocabulary.
    """
    concepts = {c for names in panels for c in load_published()[IN_USE].concepts(*names)}
    kinds = {c for c in concepts if taxonomy.get(c).axis == "kind"}
    return {
        "panel_type": MULTIPLE if len(panels) > 1 else SINGLE,
        "panel_subtype": None,
        "global": sorted({taxonomy.top(c) for c in kinds}),
        "local": sorted(c for c in kinds if taxonomy.get(c).broader),
        "content": sorted(concepts - kinds),
    }


def as_truth(row: Mapping[str, object]) -> dict[str, tuple[str, ...]]:
    """One row of ground truth as tuples of concepts; unknown questions are absent."""
    known = {q: row.get(q) for q in QUESTIONS if row.get(q) is not None}
    return {q: (v,) if isinstance(v, str) else tuple(sorted(as_strings(v) or [])) for q, v in known.items()}


def _answer(who: Simulated, truth: Truth, mixed: bool, taxonomy: Taxonomy, rng: random.Random) -> Answer:
    """One person's answer; the draws come in a fixed order, whatever they decide."""
    silent, wrong_panel, wrong_kind = rng.random(), rng.random(), rng.random()
    if silent < who.cant_tell or not truth.get("global") or not truth.get("panel_type"):
        return Answer({}, cant_tell=True)
    given = {q: truth.get(q, ()) for q in QUESTIONS}
    if wrong_panel < who.panel_error:
        given["panel_type"] = (MULTIPLE,) if given["panel_type"] == (SINGLE,) else (SINGLE,)
        given["panel_subtype"] = ()
    if wrong_kind < who.kind_error:
        others = [top for top in taxonomy.tops("kind") if top not in truth["global"]]
        top = rng.choice(others)
        narrower = [concept for concept in taxonomy.below("kind") if taxonomy.top(concept) == top]
        given["global"], given["local"] = (top,), (rng.choice(narrower),) if narrower else ()
    concepts = {q: tuple(sorted(given[q])) for q in QUESTIONS if given[q] or q in SETS}
    return Answer(concepts, mixed=mixed)


def _vote(
    who: Simulated, task: str, item: int | str, model: str, seed: int, answer: Answer, taxonomy: Taxonomy
) -> Vote:
    return Vote(
        vote_id=f"sim-{digest(who.name, task, str(item), model, str(seed))}",
        annotator=who.name,
        source="simulated",
        task=task,
        cluster=item if isinstance(item, int) else None,
        media_id=item if isinstance(item, str) else None,
        cluster_model=model,
        answer=answer,
        withdraws=None,
        seconds=None,
        time=TIME,
        taxonomy_version=taxonomy.version,
        guideline_version=guideline().version,
    )


def vote_on_clusters(
    truth: Mapping[int, tuple[Truth, bool]], people: Sequence[Simulated], model: str, taxonomy: Taxonomy, *, seed: int
) -> list[Vote]:
    """Votes of all simulated people on all clusters (see ``cluster_truth``)."""
    votes: list[Vote] = []
    for who in people:
        for cluster, (right, mixed) in sorted(truth.items()):
            rng = random.Random(f"{seed}:{who.name}:cluster:{cluster}")  # noqa: S311 - a simulation
            votes.append(_vote(who, "label", cluster, model, seed, _answer(who, right, mixed, taxonomy, rng), taxonomy))
    return votes


def vote_on_images(
    truth: pl.DataFrame, media_ids: Iterable[str], who: Simulated, model: str, taxonomy: Taxonomy, *, seed: int
) -> list[Vote]:
    """Audit votes of one simulated person on single images."""
    known = {row["media_id"]: as_truth(row) for row in truth.iter_rows(named=True)}
    votes: list[Vote] = []
    for media_id in sorted(set(media_ids) & set(known)):
        rng = random.Random(f"{seed}:{who.name}:image:{media_id}")  # noqa: S311 - a simulation
        answer = _answer(who, known[media_id], False, taxonomy, rng)
        votes.append(_vote(who, "audit", media_id, model, seed, answer, taxonomy))
    return votes


def rule_on_disputes(
    truth: Mapping[int, tuple[Truth, bool]], disputed: Iterable[int], model: str, taxonomy: Taxonomy, *, seed: int
) -> list[Vote]:
    """Adjudications by a simulated person who knows the truth, for the disputed clusters."""
    judge = Simulated("simulated-adjudicator", 0.0, 0.0)
    votes: list[Vote] = []
    for cluster in sorted(set(disputed) & set(truth)):
        right, mixed = truth[cluster]
        rng = random.Random(f"{seed}:{judge.name}:{cluster}")  # noqa: S311 - a simulation
        answer = _answer(judge, right, mixed, taxonomy, rng)
        votes.append(_vote(judge, "adjudication", cluster, model, seed, answer, taxonomy))
    return votes


def cast(box: BallotBox, votes: Sequence[Vote]) -> int:
    """Register the simulated people and write their votes; returns how many were new."""
    for name in sorted({vote.annotator for vote in votes}):
        box.register.ensure(name, "simulated", adjudicator=name.endswith("adjudicator"))
    return sum(box.append(votes))


def score(labels: pl.DataFrame, truth: pl.DataFrame, *, threshold: float | None = None) -> pl.DataFrame:
    """Precision and recall of labels against ground truth, per question.

    Args:
        labels: ``figure_labels``.
        truth: media_id and per question the right answer; null if unknown.
        threshold: labels with a lower confidence count as not given; None counts all.

    Returns:
        question, n_given, n_right, n_true, precision, recall: micro-averaged over (image, concept) pairs.
    """
    rows: list[dict[str, object]] = []
    joined = labels.join(truth, on="media_id", suffix="_true")
    for question in QUESTIONS:
        known = joined.filter(pl.col(f"{question}_true").is_not_null())
        given = known.filter(pl.col(f"{question}_confidence") >= threshold) if threshold is not None else known
        pairs, right = _pairs(given, question), _pairs(known, f"{question}_true")
        n_right = pairs.join(right, on=["media_id", "concept"], how="semi").height
        rows.append(
            {
                "question": question,
                "n_given": pairs.height,
                "n_right": n_right,
                "n_true": right.height,
                "precision": n_right / pairs.height if pairs.height else None,
                "recall": n_right / right.height if right.height else None,
            }
        )
    counts = dict.fromkeys(("n_given", "n_right", "n_true"), pl.Int64)
    return pl.DataFrame(rows, schema={"question": pl.String, **counts, "precision": pl.Float64, "recall": pl.Float64})


def _pairs(frame: pl.DataFrame, column: str) -> pl.DataFrame:
    """(media_id, concept) pairs of a column of ids or lists of ids."""
    pairs = frame.select("media_id", concept=pl.col(column)).drop_nulls("concept")
    return pairs.explode("concept", empty_as_null=False) if pairs.schema["concept"] == pl.List else pairs
