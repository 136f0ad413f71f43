"""Whether two models differ on the same items: McNemar's test, and a paired bootstrap that respects groups."""

from __future__ import annotations

import dataclasses
import importlib
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from biomedica_assets.lib.evaluate.bootstrap import F64, I64, Resampler

SCHEMA = pl.Schema(
    {
        "task": pl.String(),
        "model_a": pl.String(),
        "model_b": pl.String(),
        "difference": pl.Float64(),
        "low": pl.Float64(),
        "high": pl.Float64(),
        "only_a_right": pl.Int64(),
        "only_b_right": pl.Int64(),
        "p_mcnemar": pl.Float64(),
        "p_bootstrap": pl.Float64(),
        "p_holm": pl.Float64(),
        "n": pl.Int64(),
        "n_groups": pl.Int64(),
    }
)


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """Comparison of two models on one task.

    Attributes:
        difference: accuracy of a minus accuracy of b.
        low: lower end of its 95 % interval.
        high: upper end.
        only_a: units only a had right.
        only_b: units only b had right.
        p_mcnemar: exact two-sided McNemar test; counts every unit as independent.
        p_bootstrap: two-sided, from the paired bootstrap of groups: the one to read where groups hold several units.
    """

    difference: float
    low: float
    high: float
    only_a: int
    only_b: int
    p_mcnemar: float
    p_bootstrap: float


def compare(a: NDArray[np.bool_], b: NDArray[np.bool_], groups: I64, resampler: Resampler) -> Verdict:
    """Compare two models' rightness on the same units.

    Source: McNemar 1947, exact binomial form; the bootstrap p-value counts the draws on the far side of no difference,
    with one added so that it is never 0 (Davison and Hinkley 1997, 4.2).
    """
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    discordant = only_a + only_b
    binomtest: Any = importlib.import_module("scipy.stats").binomtest
    p_mcnemar = float(binomtest(only_a, discordant).pvalue) if discordant else 1.0
    gap = a.astype(np.float64) - b.astype(np.float64)
    sums = np.bincount(groups, gap, resampler.n_groups)
    counts = np.bincount(groups, minlength=resampler.n_groups).astype(np.float64)
    drawn = resampler.replicate(lambda w: ((w @ sums) / (w @ counts))[:, None])[:, 0]
    estimate = resampler.estimate(float(gap.mean()), drawn)
    beyond = min(int(np.count_nonzero(drawn <= 0)), int(np.count_nonzero(drawn >= 0)))
    p_bootstrap = min(1.0, 2 * (1 + beyond) / (1 + drawn.size))
    return Verdict(estimate.value, estimate.low, estimate.high, only_a, only_b, p_mcnemar, p_bootstrap)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for how many there are (Holm 1979)."""
    order = np.argsort(p_values, kind="stable")
    adjusted: F64 = np.empty(len(p_values))
    running = 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[int(i)]))
        adjusted[i] = running
    return [float(p) for p in adjusted]


def compare_all(answers: Mapping[str, Mapping[str, pl.DataFrame]], *, replicates: int, seed: int) -> pl.DataFrame:
    """Every pair of models on every task both answered.

    Args:
        answers: task -> model -> frame with ``unit_id``, ``right`` and ``group``.
        replicates: draws of the bootstrap.
        seed: of the bootstrap.

    Returns:
        ``SCHEMA``; ``p_holm`` adjusts ``p_bootstrap`` over all pairs and tasks together.
    """
    rows: list[dict[str, object]] = []
    for task, by_model in answers.items():
        for first, second in itertools.combinations(by_model, 2):
            both = by_model[first].join(by_model[second].select("unit_id", other="right"), on="unit_id")
            if both.is_empty():
                continue
            groups = both["group"].rank("dense").cast(pl.Int64).to_numpy() - 1
            resampler = Resampler(int(groups.max()) + 1, replicates, seed)
            verdict = compare(both["right"].to_numpy(), both["other"].to_numpy(), groups, resampler)
            rows.append(
                {
                    "task": task,
                    "model_a": first,
                    "model_b": second,
                    "difference": verdict.difference,
                    "low": verdict.low,
                    "high": verdict.high,
                    "only_a_right": verdict.only_a,
                    "only_b_right": verdict.only_b,
                    "p_mcnemar": verdict.p_mcnemar,
                    "p_bootstrap": verdict.p_bootstrap,
                    "n": both.height,
                    "n_groups": resampler.n_groups,
                }
            )
    frame = pl.DataFrame(rows, schema=pl.Schema({k: v for k, v in SCHEMA.items() if k != "p_holm"}), orient="row")
    return frame.with_columns(p_holm=pl.Series(holm(frame["p_bootstrap"].to_list()), dtype=pl.Float64())).select(
        SCHEMA.names()
    )
