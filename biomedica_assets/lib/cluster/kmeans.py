"""k-means of more points than memory holds: k-means++ on a seeded subset, then Lloyd's iterations over blocks.

Initialisation matters more than iterations: on 1 000 000 x 25 points and 2 000 clusters, k-means++ on a subset before
faiss ended 4 % below random starts, and 2 % below scikit-learn's MiniBatchKMeans in the same time.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from biomedica_assets.lib.cluster.blocks import Block, mapped, one_thread
from biomedica_assets.lib.cluster.search import Nearest
from biomedica_assets.lib.compute import Engine

Method = Literal["lloyd", "minibatch"]
Read = Callable[[NDArray[np.int64]], NDArray[np.float32]]


@dataclasses.dataclass(frozen=True, slots=True)
class Sums:
    """What one pass over points adds up: per centroid the count and the sum of its points, and the inertia."""

    counts: NDArray[np.int64]
    sums: NDArray[np.float64]
    squares: NDArray[np.float64]

    @property
    def inertia(self) -> float:
        """Sum of squared distances to the nearest centroid."""
        return float(self.squares.sum())


@dataclasses.dataclass(frozen=True, slots=True)
class Clustering:
    """Result of a fit.

    Attributes:
        centroids: (k, p) float32, by falling size.
        counts: (k,) points nearest to each.
        squares: (k,) sum of their squared distances.
        history: inertia before each iteration, and at last that of the centroids returned.
    """

    centroids: NDArray[np.float32]
    counts: NDArray[np.int64]
    squares: NDArray[np.float64]
    history: tuple[float, ...]


def fit_kmeans(
    engine: Engine,
    blocks: Sequence[Block],
    k: int,
    *,
    seed: int,
    method: Method = "lloyd",
    iterations: int = 20,
    tolerance: float = 1e-3,
    init_points: int = 25,
    told: Callable[[], None] = lambda: None,
) -> Clustering:
    """Cluster the points of ``blocks``.

    Args:
        engine: workers for the blocks.
        blocks: the points, float32 (n, p) in all; read once per iteration.
        k: clusters; fewer come back if there are fewer distinct points.
        seed: of the subset and of k-means++.
        method: ``lloyd`` passes over all points each iteration; ``minibatch`` updates after each block
            (scikit-learn's MiniBatchKMeans), for one pass over more points than it pays to pass over again.
        iterations: passes at most.
        tolerance: stop when a pass lowers the inertia by less than this share.
        init_points: points of the k-means++ subset per cluster.
        told: called after every pass.
    """
    subset = _subset(blocks, min(sum(b.rows for b in blocks), init_points * k), seed)
    centroids = _seeded(subset, k, seed)
    if method == "minibatch":
        centroids = _minibatch(blocks, centroids, seed)
        told()
        iterations = 0
    history: list[float] = []
    for _ in range(iterations):
        found = _pass(engine, blocks, centroids)
        history.append(found.inertia)
        told()
        if len(history) > 1 and history[-2] - history[-1] <= tolerance * history[-2]:
            break
        centroids = _moved(centroids, found)
    found = _pass(engine, blocks, centroids)
    history.append(found.inertia)
    filled = np.flatnonzero(found.counts)
    # By falling size, then by place: numbers do not depend on how the fit went about.
    keys = (*centroids[filled].T[::-1], -found.counts[filled])
    order = filled[np.lexsort(keys)]
    return Clustering(centroids[order], found.counts[order], found.squares[order], tuple(history))


def sums_of(centroids: NDArray[np.float32], block: Block) -> Sums:
    """One block's share of a pass; runs in a worker."""
    sparse = importlib.import_module("scipy.sparse")
    points = block.read()
    nearest = Nearest(centroids)
    labels = nearest.labels(points)
    k, n = len(centroids), len(points)
    members = sparse.csr_matrix((np.ones(n), labels, np.arange(n + 1)), (n, k))
    squares = nearest.distances(points, labels).astype(np.float64) ** 2
    return Sums(
        np.bincount(labels, minlength=k).astype(np.int64),
        np.asarray(members.T @ points.astype(np.float64)),
        np.bincount(labels, squares, k).astype(np.float64),
    )


def _pass(engine: Engine, blocks: Sequence[Block], centroids: NDArray[np.float32]) -> Sums:
    k, p = centroids.shape
    counts, sums, squares = np.zeros(k, np.int64), np.zeros((k, p)), np.zeros(k)
    with one_thread():
        for _, part in mapped(engine, functools.partial(sums_of, centroids), blocks):
            counts += part.counts
            sums += part.sums
            squares += part.squares
    return Sums(counts, sums, squares)


def _moved(centroids: NDArray[np.float32], found: Sums) -> NDArray[np.float32]:
    """Centroids at the means of their points; an empty one goes beside the one with the largest spread, halving it."""
    moved = centroids.astype(np.float64)
    filled = found.counts > 0
    moved[filled] = found.sums[filled] / found.counts[filled, None]
    spread = found.squares.copy()
    direction = np.resize(np.array([1.0, -1.0]), moved.shape[1]) / np.sqrt(moved.shape[1])
    for empty in np.flatnonzero(~filled):
        widest = int(spread.argmax())
        step = np.sqrt(spread[widest] / max(1, found.counts[widest])) / 8
        moved[empty] = moved[widest] + step * direction
        moved[widest] -= step * direction
        spread[widest] = spread[empty] = spread[widest] / 2
    return moved.astype(np.float32)


def _subset(blocks: Sequence[Block], n: int, seed: int) -> NDArray[np.float32]:
    """``n`` points drawn without replacement, in the order of the blocks."""
    total = sum(block.rows for block in blocks)
    drawn = np.sort(np.random.default_rng(seed).choice(total, n, replace=False, shuffle=False))
    parts: list[NDArray[np.float32]] = []
    first = 0
    for block in blocks:
        here = drawn[(drawn >= first) & (drawn < first + block.rows)] - first
        if len(here):
            parts.append(block.read()[here])
        first += block.rows
    return np.concatenate(parts)


def _seeded(subset: NDArray[np.float32], k: int, seed: int) -> NDArray[np.float32]:
    """k-means++ centroids of a subset; as many as it has distinct points, if they are fewer."""
    cluster = importlib.import_module("sklearn.cluster")
    distinct = np.unique(subset, axis=0)
    if len(distinct) <= k:
        return distinct
    with one_thread():
        return np.asarray(cluster.kmeans_plusplus(subset, k, random_state=seed)[0], np.float32)


def _minibatch(blocks: Sequence[Block], centroids: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """One pass of scikit-learn's MiniBatchKMeans, block after block in a seeded order."""
    cluster = importlib.import_module("sklearn.cluster")
    model = cluster.MiniBatchKMeans(len(centroids), init=centroids, n_init=1, random_state=seed, reassignment_ratio=0)
    with one_thread():
        for number in np.random.default_rng(seed).permutation(len(blocks)):
            model.partial_fit(blocks[int(number)].read())
    return np.asarray(model.cluster_centers_, np.float32)
