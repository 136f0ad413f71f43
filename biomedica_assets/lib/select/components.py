"""Connected components of large sparse graphs, in NumPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

I64 = NDArray[np.int64]


def connected_components(n: int, left: I64, right: I64) -> I64:
    """The smallest node of the component of each node.

    Each round lets every component take the smallest label across its edges, then shortens the chains of labels; a
    component of m nodes is done after about log2(m) rounds.

    Args:
        n: number of nodes, 0 to n - 1.
        left: one end of each edge, int64 (m,).
        right: the other end, int64 (m,).

    Returns:
        int64 (n,); a node without edges is its own component.
    """
    label = np.arange(n, dtype=np.int64)
    while len(left):
        one, other = label[left], label[right]
        apart = one != other
        left, right, one, other = left[apart], right[apart], one[apart], other[apart]
        np.minimum.at(label, np.maximum(one, other), np.minimum(one, other))
        while True:
            shorter = label[label]
            if np.array_equal(shorter, label):
                break
            label = shorter
    return label
