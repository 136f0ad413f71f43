"""Search by words over generated captions: time of a query, size of the index, memory, at N and at 4 N documents.

Captions are drawn from a vocabulary with Zipf's frequencies, 40 words each, so that a query of three words from the
middle of it meets some thousandths of all documents, and the commonest word a third of them. What is timed is the whole
call of ``lib.select.search``: views, ranking, and the join with what is shown. Vectors are searched exactly.

    python benchmarks/search.py [--documents N] [--queries N]
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from biomedica_assets.lib.select import search
from biomedica_assets.lib.select.search import searching, stage
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import (
    ARTICLES,
    CAPTIONS,
    FIGURE_LABELS,
    FIGURES,
    IMAGES,
    SEARCH_DOCUMENTS,
    SEARCH_WORDS,
    SHARDS,
    Table,
)

WORDS = 50_000
LENGTH = 40
CHUNK_DOCUMENTS = 50_000


def main() -> int:
    """Print a line for each size."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--documents", type=int, default=100_000, help="N (default 100 000)")
    arguments.add_argument("--queries", type=int, default=40, help="queries of each kind (default 40)")
    options = arguments.parse_args()
    print(f"{search.__name__}, {os.cpu_count()} cores")
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
