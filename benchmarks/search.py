"""Search over generated data: by words at N and at 4 N documents, by vectors at ``--vectors`` of them.

Captions are drawn from a vocabulary with Zipf's frequencies, 40 words each, so that a query of three words from the
middle of it meets some thousandths of all documents, and the commonest word a third of them. What is timed is the whole
call of ``lib.select.search``: views, ranking, and the join with what is shown.

Vectors (768 dimensions, about 2 000 centres, 40 directions within each) lie in shelves of at most 500 000; their codes
propose, and recall at 10 is told against the comparison with all of them, without a filter and under one that 5 % pass.
The projection to 24 million is by the number of vectors: every code is looked at.

    python benchmarks/search.py [--documents N] [--queries N] [--vectors N]
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import tempfile
import time
import unittest.mock
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from biomedica_assets.lib.select import search
from biomedica_assets.lib.select.search import codes, searching, stage, vectors
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.store.vectors import write_vectors
from biomedica_assets.lib.tables import (
    ARTICLES,
    CAPTIONS,
    EMBEDDING_SHELF,
    FIGURE_LABELS,
    FIGURES,
    IMAGES,
    SEARCH_DOCUMENTS,
    SEARCH_VECTORS,
    SEARCH_WORDS,
    SHARDS,
    Table,
)

WORDS = 50_000
LENGTH = 40
CHUNK_DOCUMENTS = 50_000
DIMENSION, BLOCK, SHELF_VECTORS = 768, 25_000, 500_000


def main() -> int:
    """Print a line for each size."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--documents", type=int, default=100_000, help="N (default 100 000)")
    arguments.add_argument("--queries", type=int, default=40, help="queries of each kind (default 40)")
    arguments.add_argument("--vectors", type=int, default=0, help="search so many vectors instead (1 000 000)")
    options = arguments.parse_args()
    print(f"{search.__name__}, {os.cpu_count()} cores")
    if options.vectors:
        by_vectors(options.vectors, options.queries)
        return 0
    for n in (options.documents, 4 * options.documents):
        with tempfile.TemporaryDirectory() as folder:
            lake = Lake(folder)
            generate(lake, n)
            began = time.perf_counter()
            stage.index_shelf(lake, "PMC000")
            indexed = time.perf_counter() - began
            size = sum(lake.manifest(table, "PMC000").bytes for table in (SEARCH_DOCUMENTS, SEARCH_WORDS))  # pyright: ignore[reportOptionalMemberAccess]
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            print(
                f"{n:>9,} documents: indexed in {indexed:.1f} s, {size / n:.0f} bytes each, peak {peak:.1f} GB so far"
            )
            for what, queries, condition in (
                ("three words", middling(options.queries), None),
                ("the same, a condition", middling(options.queries), "license_group = 'commercial'"),
                ("the commonest word", ["w0"] * options.queries, None),
            ):
                seconds = [timed(lake, query, condition) for query in queries]
                seconds.sort()
                worst = seconds[min(len(seconds) - 1, int(0.99 * len(seconds)))]
                print(f"{'':>9}  {what:<22} p50 {statistics.median(seconds) * 1e3:6.0f} ms  p99 {worst * 1e3:6.0f} ms")
    return 0


def by_vectors(n: int, queries: int) -> None:
    """Print size, memory, time and recall of search by vectors."""
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(folder)
        began = time.process_time()
        for number, first in enumerate(range(0, n, SHELF_VECTORS)):
            shelf, count = f"PMC{number:03d}", min(SHELF_VECTORS, n - first)
            blocks = (embedded(min(BLOCK, count - at), first + at) for at in range(0, count, BLOCK))
            entry = write_vectors(lake, lake.root / "embeddings" / "x" / f"shelf={shelf}", blocks, count, DIMENSION)
            ids = pl.DataFrame({"media_id": [f"m{first + i:09d}" for i in range(count)]})
            frame = ids.with_columns(
                pl.int_range(count, dtype=pl.Int32).alias("row"), pl.lit(f"{shelf}-0000").alias("source_chunk")
            )
            lake.publish(
                EMBEDDING_SHELF, shelf, frame, code_version="0", inputs={}, config={}, n_in=count, n_out=count,
                files=[entry],
            )  # fmt: skip
        print(f"{n:,} vectors of {DIMENSION} dimensions written: {time.process_time() - began:.0f} s of CPU")
        began = time.process_time()
        for shelf in lake.partitions(EMBEDDING_SHELF):
            codes.code_shelf(lake, shelf)
        size = sum(lake.manifest(SEARCH_VECTORS, shelf).bytes for shelf in lake.partitions(SEARCH_VECTORS))  # pyright: ignore[reportOptionalMemberAccess]
        print(f"coded: {time.process_time() - began:.0f} s of CPU, {size / n:.0f} bytes a vector")
        asked = list(embedded(queries, 7_000_000).astype(np.float32))
        some = np.sort(np.random.default_rng(2).choice(n, n // 20, replace=False))
        allowed = pl.Series("media_id", [f"m{i:09d}" for i in some.tolist()])
        for what, only in (("all", None), ("of 5 %", allowed)):
            seconds: list[float] = []
            cpu: list[float] = []
            found: list[set[str]] = []
            for query in asked:
                wall, used = time.perf_counter(), time.process_time()
                found.append({*vectors.nearest(lake, query, 10, only)["media_id"]})
                seconds.append(time.perf_counter() - wall)
                cpu.append(time.process_time() - used)
            with unittest.mock.patch.object(codes, "candidates", lambda *_: None):
                truth = [{*vectors.nearest(lake, query, 10, only)["media_id"]} for query in asked[:20]]
            recall = float(np.mean([len(a & b) / 10 for a, b in zip(found, truth, strict=False)]))
            seconds.sort()
            middle, worst = statistics.median(seconds), seconds[min(len(seconds) - 1, int(0.99 * len(seconds)))]
            print(
                f"{what:<7} p50 {middle * 1e3:6.0f} ms  p99 {worst * 1e3:6.0f} ms  "
                f"CPU {statistics.median(cpu) * 1e3:6.0f} ms  "
                f"recall@10 {recall:.3f}  projected to 24 million: {middle * 24e6 / n:.2f} s"
            )
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(
            f"peak memory {peak:.1f} GB with the exact comparison; codes of 24 million: {24e6 * size / n / 1e9:.1f} GB"
        )


def embedded(n: int, seed: int) -> NDArray[np.float16]:
    """Vectors as embeddings lie: about centres, along few directions, some noise."""
    rng, fixed = np.random.default_rng(seed + 1), np.random.default_rng(0)
    centres = fixed.normal(size=(2_000, DIMENSION)).astype(np.float32)
    along = fixed.normal(size=(40, DIMENSION)).astype(np.float32) / np.float32(np.sqrt(40))
    within = rng.normal(size=(n, 40)).astype(np.float32) @ along
    noise = 0.15 * rng.normal(size=(n, DIMENSION)).astype(np.float32)
    return (0.7 * centres[rng.integers(0, len(centres), n)] + within + noise).astype(np.float16)


def timed(lake: Lake, query: str, condition: str | None) -> float:
    """Seconds of one search."""
    began = time.perf_counter()
    searching.search(lake, searching.Query(query, condition=condition))
    return time.perf_counter() - began


def middling(n: int) -> list[str]:
    """Queries of three words of middling frequency."""
    rng = np.random.default_rng(1)
    return [" ".join(f"w{k}" for k in rng.integers(50, 2_000, 3)) for _ in range(n)]


def generate(lake: Lake, n: int) -> None:
    """Tables of ``n`` samples in chunks of one shelf."""
    rng = np.random.default_rng(0)
    weights = 1 / np.arange(1, WORDS + 1)
    weights /= weights.sum()
    for number, first in enumerate(range(0, n, CHUNK_DOCUMENTS)):
        count = min(CHUNK_DOCUMENTS, n - first)
        drawn = rng.choice(WORDS, (count, LENGTH), p=weights)
        ids = [f"pmc{first + i}-1-{first + i:016x}" for i in range(count)]
        base = {"sample_key": ids, "media_id": ids, "figure_id": ids, "article_id": ids}
        group = ["commercial" if i % 3 else "noncommercial" for i in range(count)]
        chunk = f"PMC000-{20 * number:04d}"
        publish(lake, SHARDS, chunk, base | {"license_group": group, "start": list(range(count))})
        publish(lake, CAPTIONS, chunk, base | {"caption": [" ".join(f"w{k}" for k in row) for row in drawn]})
        publish(lake, ARTICLES, chunk, base | {"license_group": group})
        publish(lake, FIGURES, chunk, base)
        publish(lake, IMAGES, chunk, base | {"license_group": group})
        publish(lake, FIGURE_LABELS, chunk, base)


def publish(lake: Lake, table: Table, chunk: str, columns: dict[str, list[object]]) -> None:
    """Publish a partition; columns that are not given are null or empty."""
    empty: dict[object, object] = {pl.String: "", pl.Boolean: False, pl.List: []}
    count = len(next(iter(columns.values())))
    frame = pl.DataFrame(
        {
            c.name: columns.get(c.name, [None if c.nullable else empty.get(c.dtype.base_type(), 0)] * count)
            for c in table.columns
        },
        schema=table.schema,
    )
    lake.publish(table, chunk, frame, code_version="0", inputs={}, config={}, n_in=count, n_out=count)


if __name__ == "__main__":
    sys.exit(main())
