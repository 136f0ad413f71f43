"""Retrieval scores: recall@k and median rank, both ways, with intervals. The exact ranks come from ``ranks``."""

from __future__ import annotations

import numpy as np

from biomedica_assets.lib.evaluate.bootstrap import F64, I64, Estimate, Resampler, group_codes, mean_estimates
from biomedica_assets.lib.evaluate.metrics import Scored
from biomedica_assets.lib.evaluate.ranks import Ranks

VERSION = "1"
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
