"""Retrieval scores: recall@k and median rank, both ways, with intervals. The exact ranks come from ``ranks``.

An image may have several texts: it is found if any of them is among the first k, as clip_benchmark and the papers on
CLIP count (its ``recall_at_k`` > 0, averaged over the queries); each text is a query of its own.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from biomedica_assets.lib.evaluate.bootstrap import F64, I64, Estimate, Resampler, group_codes, mean_estimates
from biomedica_assets.lib.evaluate.metrics import Scored
from biomedica_assets.lib.evaluate.ranks import Ranks

VERSION = "2"
RECALL_AT = (1, 10, 100)


def score_ranks(
    ranks: Ranks, groups: list[str], image_of: I64, *, replicates: int, seed: int, at: tuple[int, ...] = RECALL_AT
) -> dict[str, list[Scored]]:
    """Recall@k and median rank in each direction, with intervals.

    Args:
        ranks: from ``exact_ranks``.
        groups: group of each image.
        image_of: image of each text.
        replicates: draws of the bootstrap.
        seed: of the bootstrap.
        at: the k of recall@k. A recall@k is the share of queries whose counterpart has rank k or better.
    """
    codes, n_groups = group_codes(groups)
    resampler = Resampler(n_groups, replicates, seed)
    return {
        "image_to_text": _direction(ranks.image_to_text, codes, resampler, at),
        "text_to_image": _direction(ranks.text_to_image, codes[image_of], resampler, at),
    }


def chance(metric: str, n_candidates: int, right: Sequence[int]) -> float:
    """Value of a random order.

    Args:
        metric: recall_at_k or median_rank.
        n_candidates: texts or images searched.
        right: how many of them are right, of each query: texts of an image; 1 for a text.
    """
    if metric == "median_rank":
        return _chance_median(n_candidates, right)
    k, counts = int(metric.rpartition("_")[2]), Counter(right)
    found = sum(n * (1 - _all_miss(n_candidates, m, k)) for m, n in counts.items())
    return min(1.0, found / len(right))


def _all_miss(n: int, m: int, k: int) -> float:
    """Probability that none of m right ones is among the first k of n in random order: C(n - m, k) / C(n, k)."""
    if k > n - m:
        return 0.0
    return math.exp(sum(math.log1p(-k / (n - i)) for i in range(m)))


def _chance_median(n: int, right: Sequence[int]) -> float:
    """Median of the best rank over all queries; of one right candidate (n + 1) / 2."""
    counts = Counter(right)
    if set(counts) == {1}:
        return (n + 1) / 2
    low, high = 1, n
    while low < high:
        middle = (low + high) // 2
        below = sum(c * (1 - _all_miss(n, m, middle)) for m, c in counts.items()) / len(right)
        low, high = (low, middle) if below >= 0.5 else (middle + 1, high)
    return float(low)


def _direction(ranks: I64, groups: I64, resampler: Resampler, at: tuple[int, ...]) -> list[Scored]:
    hits = np.stack([ranks <= k for k in at], axis=1).astype(np.float64)
    recalls = mean_estimates(hits, groups, resampler)
    made = [Scored(f"recall_at_{k}", None, recalls[i], ranks.size) for i, k in enumerate(at)]
    return [*made, Scored("median_rank", None, _median(ranks, groups, resampler), ranks.size)]


def _median(ranks: I64, groups: I64, resampler: Resampler) -> Estimate:
    """Median rank with its interval; the lower median, so that it is a rank."""
    order = np.argsort(ranks, kind="stable")
    ranked, group = ranks[order].astype(np.float64), groups[order]

    def median(w: F64) -> F64:
        running = np.cumsum(w[:, group], axis=1)
        return ranked[(running >= running[:, -1:] / 2).argmax(axis=1)][:, None]

    point = float(ranked[(ranked.size - 1) // 2])
    return resampler.estimate(point, resampler.replicate(median, width=ranks.size)[:, 0])
