"""Exact retrieval both ways, 100,000 images x 100,000 captions x 512 dimensions: seconds and peak memory.

The limit is the bare matrix product in the same tiles, in the same run. Claim: both directions in one pass, under
1.5 GB, in less than 1.6 times the product alone (one direction after the other would take two products).
"""

import argparse
import resource
import statistics
import time

import numpy as np

from biomedica_assets.lib.evaluate import ranks


def unit_rows(n: int, d: int, seed: int) -> np.ndarray:
    """Random unit vectors."""
    rows = np.random.default_rng(seed).standard_normal((n, d), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def bare_product(images: np.ndarray, texts: np.ndarray) -> None:
    """The matrix product in the tiles of ``exact_ranks``, results dropped."""
    buffer = np.empty(ranks.ROWS * ranks.COLUMNS, np.float32)
    for r in range(0, len(texts), ranks.ROWS):
        for c in range(0, len(images), ranks.COLUMNS):
            left, right = texts[r : r + ranks.ROWS], images[c : c + ranks.COLUMNS]
            np.matmul(left, right.T, out=buffer[: len(left) * len(right)].reshape(len(left), len(right)))


def main() -> None:
    """Print seconds, ratio to the product, peak memory, and that a sample of ranks equals brute force."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=100_000, help="images, and captions (default 100,000)")
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=1, help="alternating repeats (default 1: each takes minutes)")
    arguments = parser.parse_args()
    n = arguments.n
    images = unit_rows(n, arguments.dim, 0)
    texts = unit_rows(n, arguments.dim, 1)
    texts *= 0.9
    texts += 0.25 * images
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    both: list[float] = []
    product: list[float] = []
    found = None
    for _ in range(arguments.repeats):
        began = time.perf_counter()
        found = ranks.exact_ranks(images, texts, np.arange(n))
        both.append(time.perf_counter() - began)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        began = time.perf_counter()
        bare_product(images, texts)
        product.append(time.perf_counter() - began)
    assert found is not None
    ours, limit = statistics.median(both), statistics.median(product)
    flops = 2 * n * n * arguments.dim
    print(f"exact ranks, both directions: {ours:6.1f} s  ({flops / ours / 1e9:.0f} GFLOP/s)")
    print(f"matrix product alone:         {limit:6.1f} s  ({flops / limit / 1e9:.0f} GFLOP/s)")
    print(f"ratio: {ours / limit:.2f} (claim: below 1.6)   peak memory: {peak:.2f} GB (claim: below 1.5)")
    sample = np.random.default_rng(2).choice(n, min(n, 200), replace=False)
    exact = texts[sample].astype(np.float64) @ images.T.astype(np.float64)
    own = exact[np.arange(len(sample)), sample].copy()
    expected = (exact >= own[:, None] - ranks.SAME).sum(axis=1)
    equal = bool((expected == found.text_to_image[sample]).all())
    print(f"ranks of {len(sample)} captions equal float64 brute force: {equal}")
    recalls = ", ".join(f"@{k} {(found.text_to_image <= k).mean():.4f}" for k in (1, 10, 100))
    print(f"recall text to image: {recalls}; median rank {np.median(found.text_to_image):.0f}")


if __name__ == "__main__":
    main()
