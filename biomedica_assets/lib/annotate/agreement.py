"""How far annotators agree: Krippendorff's alpha, Fleiss' and Cohen's kappa per question, with bootstrap intervals.

Values come from the libraries of the field (krippendorff, statsmodels). Alpha takes any number of votes per cluster;
Fleiss' kappa is computed on the clusters that have the usual number of votes, Cohen's on those that two people share.
Intervals are percentile bootstraps over clusters (Efron 1979), seeded. A set answer counts as one value; a second alpha
with the Jaccard distance gives part of the credit for sets that overlap (Passonneau's idea for multi-label coding).
"""

from __future__ import annotations

import dataclasses
import importlib
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from biomedica_assets.lib.annotate.consensus import ACCEPTED, ANSWERED
from biomedica_assets.lib.annotate.form import SETS
from biomedica_assets.lib.annotate.tally import current_model, read_votes
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import ANNOTATIONS, ANNOTATOR_AGREEMENT, ANNOTATOR_CONFUSION

VERSION = "1"
NONE = "none"
JOIN = " + "
Codes = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True)
class Ratings:
    """Answers to one question: ``codes[item, rater]`` indexes ``values``, -1 where a rater gave none."""

    codes: Codes
    values: tuple[str, ...]
    raters: tuple[str, ...]

    def counts(self) -> Codes:
        """How many raters gave each value to each item: items x values."""
        return (self.codes[:, :, None] == np.arange(len(self.values))).sum(axis=1)


def ratings(votes: pl.DataFrame, question: str) -> Ratings:
    """Label votes of one question as a matrix, clusters and annotators sorted.

    Args:
        votes: rows of ``expert_votes`` that count (active, task label, one cluster model).
        question: one of ``consensus.ANSWERED``.
    """
    spelled = votes.filter(~pl.col("cant_tell")).select("cluster", "annotator", value=spelling(question)).drop_nulls()
    items = spelled["cluster"].unique().sort().to_list()
    raters = spelled["annotator"].unique().sort().to_list()
    values = spelled["value"].unique().sort().to_list()
    codes = np.full((len(items), len(raters)), -1, dtype=np.int64)
    row, col, code = ({v: i for i, v in enumerate(names)} for names in (items, raters, values))
    for cluster, annotator, value in spelled.iter_rows():
        codes[row[cluster], col[annotator]] = code[value]
    return Ratings(codes, tuple(values), tuple(raters))


def spelling(question: str) -> pl.Expr:
    """A vote's answer as one string; null where the question was not answered."""
    if question == "mixed":
        return pl.when(pl.col("mixed")).then(pl.lit("yes")).otherwise(pl.lit("no"))
    return spelled_list(pl.col(question)) if question in SETS else pl.col(question)


def spelled_list(column: pl.Expr) -> pl.Expr:
    """A list of concepts as one string, ``none`` if it is empty."""
    return pl.when(column.list.len() == 0).then(pl.lit(NONE)).otherwise(column.list.sort().list.join(JOIN))


def nominal(values: Sequence[str]) -> Floats:
    """Distances between values that are equal or not."""
    return 1.0 - np.eye(len(values))


def jaccard(values: Sequence[str]) -> Floats:
    """Jaccard distances between set answers as ``spelled_list`` writes them."""
    sets = [frozenset(v.split(JOIN)) - {NONE} for v in values]
    return np.array([[1.0 - len(a & b) / len(a | b) if a | b else 0.0 for b in sets] for a in sets]).reshape(
        len(sets), len(sets)
    )


def alpha(counts: Codes, distances: Floats) -> float | None:
    """Krippendorff's alpha from items x values counts; None if there is nothing to compare or only one value."""
    krippendorff: Any = importlib.import_module("krippendorff")
    used = counts[counts.sum(axis=1) >= 2]
    if not len(used) or (used.sum(axis=0) > 0).sum() < 2:
        return None

    def metric(v1: Codes, v2: Codes, i1: Codes, i2: Codes, n_v: Floats, dtype: object = None) -> Floats:
        del v1, v2, n_v, dtype  # the library passes them by name
        return distances[i1, i2]

    return float(krippendorff.alpha(value_counts=used, level_of_measurement=metric))


def fleiss(counts: Codes) -> float | None:
    """Fleiss' kappa over the items that have the usual number of votes; None if it is undefined."""
    totals = counts.sum(axis=1)
    several = totals[totals >= 2]
    if not len(several):
        return None
    sizes, n = np.unique(several, return_counts=True)
    used = counts[totals == sizes[np.argmax(n)]]
    return float(_inter_rater().fleiss_kappa(used)) if (used.sum(axis=0) > 0).sum() >= 2 else None


def cohen(first: Codes, second: Codes, n_values: int) -> float | None:
    """Cohen's kappa of two raters (codes, -1 where one gave none); None if it is undefined."""
    both = (first >= 0) & (second >= 0)
    table = np.zeros((n_values, n_values))
    np.add.at(table, (first[both], second[both]), 1)
    total = table.sum()
    if total < 2 or (table.sum(axis=0) @ table.sum(axis=1)) == total**2:  # all in one value: chance agreement is 1
        return None
    return float(_inter_rater().cohens_kappa(table, return_results=False))


def _inter_rater() -> Any:
    """The module of statsmodels, which has no types; imported late because it takes a second."""
    return importlib.import_module("statsmodels.stats.inter_rater")


def interval(
    statistic: Callable[[Codes], float | None], n: int, seed: int, resamples: int
) -> tuple[float, float] | None:
    """95 % percentile bootstrap over ``n`` items; None if fewer than half of the resamples define the statistic."""
    rng = np.random.default_rng(seed)
    found = [statistic(rng.integers(0, n, n)) for _ in range(resamples)]
    defined = [v for v in found if v is not None and np.isfinite(v)]
    if 2 * len(defined) < resamples or not defined:
        return None
    low, high = np.quantile(defined, [0.025, 0.975])
    return float(low), float(high)


def agreement(votes: pl.DataFrame, *, seed: int, resamples: int) -> pl.DataFrame:
    """All statistics of all questions in the schema of ``annotator_agreement``.

    Args:
        votes: rows of ``expert_votes`` that count (active, task label, one cluster model).
        seed: of the bootstrap.
        resamples: bootstrap resamples; 0 leaves the intervals null.
    """
    simulated = bool((votes["source"] == "simulated").any()) if votes.height else False
    rows: list[dict[str, object]] = []
    for question in ANSWERED:
        data = ratings(votes, question)
        for statistic, subject, n_items, compute in _statistics(data, question):
            n = len(data.codes)
            value = compute(np.arange(n)) if n else None
            bounds = interval(compute, n, seed, resamples) if value is not None and resamples else None
            row: dict[str, object] = {"question": question, "statistic": statistic, "subject": subject, "value": value}
            row |= {"low": bounds[0] if bounds else None, "high": bounds[1] if bounds else None}
            rows.append(row | {"n_items": n_items, "simulated": simulated})
    return ANNOTATOR_AGREEMENT.frame(rows).sort("question", "statistic", "subject")


def _statistics(data: Ratings, question: str) -> list[tuple[str, str, int, Callable[[Codes], float | None]]]:
    """Name, subject, number of items and function (of item numbers) of each statistic of a question."""
    counts, codes, n_values = data.counts(), data.codes, len(data.values)
    compared = int((counts.sum(axis=1) >= 2).sum())
    plain = nominal(data.values)
    found: list[tuple[str, str, int, Callable[[Codes], float | None]]] = [
        ("krippendorff_alpha", "all", compared, lambda items: alpha(counts[items], plain)),
        ("fleiss_kappa", "all", compared, lambda items: fleiss(counts[items])),
    ]
    if question in SETS:
        graded = jaccard(data.values)
        found.append(("krippendorff_alpha_jaccard", "all", compared, lambda items: alpha(counts[items], graded)))
    for (i, first), (j, second) in itertools.combinations(enumerate(data.raters), 2):
        shared = int(((codes[:, i] >= 0) & (codes[:, j] >= 0)).sum())
        pair = _cohen_of(codes[:, i], codes[:, j], n_values)
        found.append(("cohen_kappa", f"{first} | {second}", shared, pair))
    return found


def _cohen_of(first: Codes, second: Codes, n_values: int) -> Callable[[Codes], float | None]:
    return lambda items: cohen(first[items], second[items], n_values)


def confusion(votes: pl.DataFrame, annotations: pl.DataFrame) -> pl.DataFrame:
    """Each annotator's answers against the accepted consensus, in the schema of ``annotator_confusion``."""
    settled = annotations.filter(pl.col("status").is_in(ACCEPTED)).select(
        "cluster", "question", consensus=spelled_list(pl.col("answer"))
    )
    able = votes.filter(~pl.col("cant_tell"))
    parts = [
        able.select("cluster", "annotator", "source", answer=spelling(question))
        .drop_nulls("answer")
        .with_columns(question=pl.lit(question))
        for question in ANSWERED
    ]
    joined = pl.concat(parts).join(settled, on=["cluster", "question"])
    counted = joined.group_by("question", "annotator", "consensus", "answer").agg(
        n=pl.len().cast(pl.Int32), simulated=(pl.col("source") == "simulated").any()
    )
    return counted.select(ANNOTATOR_CONFUSION.schema.names()).sort("question", "annotator", "consensus", "answer")


def _counted(lake: Lake) -> tuple[pl.DataFrame, dict[str, str]]:
    """Votes that count for the current cluster model, and the entries of what was read."""
    (votes, votes_input), (model, model_input) = read_votes(lake), current_model(lake)
    counted = votes.filter(pl.col("status") == "active", pl.col("task") == "label", pl.col("cluster_model") == model)
    return counted, {**votes_input, **model_input}


def stage_agreement(lake: Lake, *, seed: int = 0, resamples: int = 500) -> Report:
    """Publish ``annotator_agreement`` for the votes on the current cluster model."""
    votes, inputs = _counted(lake)
    frame = agreement(votes, seed=seed, resamples=resamples)
    manifest = lake.publish(
        ANNOTATOR_AGREEMENT,
        None,
        frame,
        code_version=VERSION,
        inputs=inputs,
        config={"seed": seed, "resamples": resamples},
        n_in=frame.height,
        n_out=frame.height,
    )
    alphas = frame.filter(pl.col("statistic") == "krippendorff_alpha").select("question", "value").iter_rows()
    return Report(
        asset=ANNOTATOR_AGREEMENT.name,
        partition=None,
        data_version=manifest.data_version,
        rows=frame.height,
        n_in=frame.height,
        n_out=frame.height,
        bytes_written=manifest.bytes,
        metrics={f"alpha_{question}": value for question, value in alphas},
        preview=tuple(frame.head(12).iter_rows(named=True)),
    )


def stage_confusion(lake: Lake) -> Report:
    """Publish ``annotator_confusion``: each annotator against the consensus; ``n_in`` counts answers compared."""
    votes, inputs = _counted(lake)
    inputs |= lake.inputs((ANNOTATIONS, None))
    frame = confusion(votes, lake.read(ANNOTATIONS, None))
    n = int(frame["n"].sum())
    manifest = lake.publish(
        ANNOTATOR_CONFUSION,
        None,
        frame,
        code_version=VERSION,
        inputs=inputs,
        config={},
        n_in=n,
        n_out=n,
    )
    same = int(frame.filter(pl.col("consensus") == pl.col("answer"))["n"].sum())
    return Report(
        asset=ANNOTATOR_CONFUSION.name,
        partition=None,
        data_version=manifest.data_version,
        rows=frame.height,
        n_in=n,
        n_out=n,
        bytes_written=manifest.bytes,
        metrics={"answers": n, "equal_to_consensus": same / n if n else None},
        preview=tuple(frame.sort("n", descending=True).head(12).iter_rows(named=True)),
    )
