"""The nearest centroids of points: faiss where it is installed, scikit-learn otherwise.

Both only choose candidates; distances are then computed directly, because |x|^2 + |c|^2 - 2xc loses half its digits for
points near their centroid, and so both give the same numbers.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import numpy as np
from numpy.typing import NDArray


def backend() -> str:
    """Name and version of the library that searches."""
    if importlib.util.find_spec("faiss"):
        return f"faiss {importlib.import_module('faiss').__version__}"
    return f"scikit-learn {importlib.import_module('sklearn').__version__}"


class Nearest:
    """Centroids that can be asked for the nearest of them; uses the calling thread alone."""

    def __init__(self, centroids: NDArray[np.float32], *, faiss: bool | None = None) -> None:
        """Args: centroids: (k, p); faiss: None uses it if it is installed."""
        self.centroids = np.ascontiguousarray(centroids, np.float32)
        self._index: Any = None
        if importlib.util.find_spec("faiss") is not None if faiss is None else faiss:
            module = importlib.import_module("faiss")
            module.omp_set_num_threads(1)  # of the calling thread alone; workers take blocks side by side
            self._index = module.IndexFlatL2(self.centroids.shape[1])
            self._index.add(self.centroids)

    def labels(self, points: NDArray[np.float32]) -> NDArray[np.int32]:
        """(n,) number of the nearest centroid of each point."""
        if self._index is not None:
            return self._index.search(points, 1)[1].ravel().astype(np.int32)
        metrics = importlib.import_module("sklearn.metrics")
        return np.asarray(metrics.pairwise_distances_argmin(points, self.centroids), np.int32)

    def nearest(self, points: NDArray[np.float32], n: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The ``n`` nearest centroids of each point and their Euclidean distances.

        Args:
            points: (m, p) float32.
            n: how many; at most k.

        Returns:
            numbers (m, n) int32 and distances (m, n) float32, nearest first, ties by number.
        """
        if self._index is not None:
            found = self._index.search(points, n)[1]
        else:
            neighbours = importlib.import_module("sklearn.neighbors")
            model = neighbours.NearestNeighbors(algorithm="brute").fit(self.centroids)
            found = model.kneighbors(points, n, return_distance=False)
        distances = np.empty(found.shape, np.float32)
        for column in range(n):
            distances[:, column] = self.distances(points, found[:, column])
        order = np.lexsort((found, distances), axis=1)
        return np.take_along_axis(found, order, 1).astype(np.int32), np.take_along_axis(distances, order, 1)

    def distances(self, points: NDArray[np.float32], labels: NDArray[Any]) -> NDArray[np.float32]:
        """(n,) Euclidean distance of each point to the centroid of its label."""
        difference = points - self.centroids[labels]
        return np.sqrt(np.einsum("ij,ij->i", difference, difference, dtype=np.float32))
