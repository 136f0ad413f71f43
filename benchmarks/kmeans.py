"""k-means and assignment at the size of the model: speed, inertia and memory against scikit-learn and faiss.

1. Fit: 1 000 000 x 25 generated vectors, K = 2 000, against ``MiniBatchKMeans`` called directly on the array (its
   defaults, and batches of 16 384, which suit it better). Each runs in a fresh process; memory is the peak of its
   resident set less what it held before the fit.
2. Assignment of all points against one search of ``faiss.IndexFlatL2``, the limit.
3. Memory of the whole stage (PCA, projection, k-means, assignment) with 1, 4 and 16 chunks.

    python benchmarks/kmeans.py [--rows 1000000] [--repeats 3] [--part fit assign chunks]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl

DIMENSION, K = 25, 2000
OURS, PEER, PEER_LARGE = "ours", "MiniBatchKMeans", "MiniBatchKMeans, 16 384"


def generate(path: Path, rows: int) -> None:
    """Write ``rows`` x 25 float32: 3 000 overlapping groups with a falling spectrum, as after PCA."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3000, DIMENSION)) * np.linspace(3, 0.3, DIMENSION)
    points = centres[rng.integers(0, 3000, rows)] + rng.normal(size=(rows, DIMENSION)) * 0.8
    points.astype("<f4").tofile(path)


def peak_during(work: Callable[[], None]) -> float:
    """Megabytes by which the resident set rose at most while ``work`` ran; sampled every 5 ms."""
    status = Path("/proc/self/statm")

    def resident() -> float:
        return int(status.read_text().split()[1]) * resource.getpagesize() / 1e6

    before, highest, done = resident(), [0.0], threading.Event()

    def watch() -> None:
        while not done.is_set():
            highest[0] = max(highest[0], resident())
            done.wait(0.005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    work()
    done.set()
    watcher.join()
    return max(highest[0], resident()) - before


def fit_once(option: str, path: str, rows: int) -> None:
    """One fit in this process; prints seconds, megabytes and inertia as JSON."""
    import faiss
    import sklearn.cluster

    centroids: list[np.ndarray] = []
    if option == OURS:
        from biomedica_assets.lib.cluster.blocks import cut
        from biomedica_assets.lib.cluster.kmeans import fit_kmeans
        from biomedica_assets.lib.compute.local import LocalEngine

        blocks = list(cut(path, 0, DIMENSION, "<f4", rows))

        def work() -> None:
            centroids.append(fit_kmeans(LocalEngine("threads"), blocks, K, seed=0).centroids)
    else:
        points = np.fromfile(path, "<f4").reshape(-1, DIMENSION)
        more = {"batch_size": 16_384} if option == PEER_LARGE else {}

        def work() -> None:
            centroids.append(sklearn.cluster.MiniBatchKMeans(K, random_state=0, **more).fit(points).cluster_centers_)

    began = time.perf_counter()
    megabytes = peak_during(work)
    seconds = time.perf_counter() - began
    index = faiss.IndexFlatL2(DIMENSION)
    index.add(np.ascontiguousarray(centroids[0], np.float32))
    every = np.fromfile(path, "<f4").reshape(-1, DIMENSION)
    inertia = float(index.search(every, 1)[0].sum(dtype=np.float64))
    print(json.dumps({"seconds": seconds, "megabytes": megabytes, "inertia": inertia}))


def chunks_once(n: int, rows: int, dimension: int) -> None:
    """The stages over ``n`` chunks of ``rows`` vectors in this process; prints seconds and megabytes as JSON."""
    from biomedica_assets.lib.cluster import FitSettings, assign_chunk, fit_clusters
    from biomedica_assets.lib.compute.local import LocalEngine
    from biomedica_assets.lib.embed import shelve
    from biomedica_assets.lib.store.lake import Lake
    from biomedica_assets.lib.store.vectors import write_vectors
    from biomedica_assets.lib.tables import EMBEDDINGS

    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(folder)
        rng = np.random.default_rng(0)
        keys = [f"PMC000-{20 * i:04d}" for i in range(n)]
        for key in keys:
            vectors = (rng.normal(size=(rows, dimension)) * np.linspace(2, 0.1, dimension)).astype(np.float16)
            entry = write_vectors(lake, lake.root / "embeddings" / key, [vectors], rows, dimension)
            ids = [f"{key.lower()}-{i:06d}" for i in range(rows)]
            frame = pl.DataFrame({"media_id": ids, "sha256": ids}).with_columns(
                pl.int_range(rows, dtype=pl.Int32).alias("row"),
                pl.lit("generated").alias("encoder"),
                pl.lit("g").alias("encoder_digest"),
            )
            made_by = {"encoder": "generated", "encoder_digest": "g"}
            lake.publish(
                EMBEDDINGS,
                key,
                frame,
                code_version="1",
                inputs={},
                config={},
                n_in=rows,
                n_out=rows,
                files=[entry],
                metrics=made_by,
            )
        del vectors, frame, ids
        engine = LocalEngine("threads")
        settings = FitSettings(k=200, sample=None, iterations=5)
        import_libraries()

        def work() -> None:
            shelve(lake, "PMC000")
            fit_clusters(lake, engine=engine, settings=settings)
            for key in keys:
                assign_chunk(lake, key, engine=engine)

        began = time.perf_counter()
        megabytes = peak_during(work)
        print(json.dumps({"seconds": time.perf_counter() - began, "megabytes": megabytes}))


def import_libraries() -> None:
    """Import what the stages import, so that libraries do not count as memory of the data."""
    for name in ("faiss", "sklearn.cluster", "sklearn.metrics", "scipy.sparse", "matplotlib.figure"):
        __import__(name)
    __import__("matplotlib.backends.backend_agg")


def child(*arguments: object) -> dict[str, float]:
    """Run one measurement in a fresh process."""
    command = [sys.executable, __file__, "--child", *map(str, arguments)]
    # Freed blocks of a megabyte go back at once: the resident set is then what is held, not what malloc keeps.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(2**20)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout.strip().splitlines()[-1])


def compare_fits(path: str, rows: int, repeats: int) -> None:
    """Part 1."""
    found: dict[str, list[dict[str, float]]] = {OURS: [], PEER: [], PEER_LARGE: []}
    for _ in range(repeats):
        for option, results in found.items():
            results.append(child("fit", option, path, rows))
    base = {key: median(r[key] for r in found[PEER]) for key in ("seconds", "inertia")}
    print(f"fit {rows:,} x {DIMENSION}, K = {K}, {os.cpu_count()} cores, median of {repeats}")
    print(f"{'':<26}{'s':>8}{'x peer':>9}{'peak MB':>10}{'inertia':>15}{'x peer':>9}")
    for option, results in found.items():
        seconds, megabytes, inertia = (median(r[key] for r in results) for key in ("seconds", "megabytes", "inertia"))
        print(f"{option:<26}{seconds:>8.2f}{seconds / base['seconds']:>9.2f}", end="")
        print(f"{megabytes:>10.0f}{inertia:>15,.0f}{inertia / base['inertia']:>9.3f}")


def compare_assignment(path: str, rows: int, repeats: int) -> None:
    """Part 2: one and two nearest centroids of all points, blocks read from the file, against the bare search."""
    import faiss

    from biomedica_assets.lib.cluster.assign import assign_block
    from biomedica_assets.lib.cluster.blocks import cut, mapped
    from biomedica_assets.lib.cluster.kmeans import sums_of
    from biomedica_assets.lib.cluster.model import ClusterModel
    from biomedica_assets.lib.cluster.pca import Components
    from biomedica_assets.lib.compute.local import LocalEngine

    points = np.fromfile(path, "<f4").reshape(-1, DIMENSION)
    centroids = points[np.random.default_rng(1).choice(rows, K, replace=False)]
    index = faiss.IndexFlatL2(DIMENSION)
    index.add(centroids)
    identity = Components(np.zeros(DIMENSION, np.float32), np.eye(DIMENSION, dtype=np.float32), np.ones(DIMENSION), 1.0)
    model = ClusterModel(identity, centroids, {}, "benchmark")
    blocks, engine = list(cut(path, 0, DIMENSION, "<f4", rows)), LocalEngine("threads")

    def ours(fn: Callable[..., object]) -> None:
        for _ in mapped(engine, fn, blocks):
            pass

    pairs: list[tuple[str, Callable[[], object], Callable[[], object]]] = [
        (
            "nearest and sums (k-means pass)",
            lambda: ours(lambda b: sums_of(centroids, b)),
            lambda: index.search(points, 1),
        ),
        ("two nearest (clusters)", lambda: ours(lambda b: assign_block(model, b)), lambda: index.search(points, 2)),
    ]
    print(f"assignment of {rows:,} points to {K} centroids, median of {repeats}")
    print(f"{'':<34}{'ours, s':>9}{'flat, s':>9}{'x flat':>8}")
    for name, mine, limit in pairs:
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(repeats):
            for work, into in ((mine, times[0]), (limit, times[1])):
                began = time.perf_counter()
                work()
                into.append(time.perf_counter() - began)
        a, b = median(times[0]), median(times[1])
        print(f"{name:<34}{a:>9.3f}{b:>9.3f}{a / b:>8.2f}")


def compare_chunks(rows: int, dimension: int) -> None:
    """Part 3."""
    print(f"memory of embedding_shelf, cluster_model and clusters, chunks of {rows:,} x {dimension}")
    print(f"{'chunks':>8}{'images':>10}{'vectors MB':>12}{'peak MB':>9}{'s':>8}")
    for n in (1, 4, 16):
        found = child("chunks", n, rows, dimension)
        size = n * rows * dimension * 2 / 1e6
        print(f"{n:>8}{n * rows:>10,}{size:>12,.0f}{found['megabytes']:>9.0f}{found['seconds']:>8.1f}")


def main() -> None:
    """Run the parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--chunk-rows", type=int, default=20_000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--part", nargs="+", choices=("fit", "assign", "chunks"), default=["fit", "assign", "chunks"])
    parser.add_argument("--child", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        what, *rest = args.child
        if what == "fit":
            fit_once(rest[0], rest[1], int(rest[2]))
        else:
            chunks_once(*map(int, rest))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "points.bin"
        if {"fit", "assign"} & set(args.part):
            generate(path, args.rows)
        if "fit" in args.part:
            compare_fits(str(path), args.rows, args.repeats)
        if "assign" in args.part:
            compare_assignment(str(path), args.rows, max(5, args.repeats))
        if "chunks" in args.part:
            compare_chunks(args.chunk_rows, args.dimension)


if __name__ == "__main__":
    main()
