"""Lakes with embeddings made of numbers instead of images, for tests of clusters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.store.vectors import write_vectors
from biomedica_assets.lib.tables import EMBEDDING_SHELF, EMBEDDINGS

ENCODER = {"encoder": "numbers", "encoder_digest": "n1"}


def blobs(n: int, d: int, groups: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(n, d) float16 points around well separated centres, and the number of each point's centre."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(groups, d)) * 6
    labels = rng.integers(0, groups, n)
    return (centres[labels] + rng.normal(size=(n, d)) * 0.3).astype(np.float16), labels


def put(
    lake: Lake, table, partition: str, vectors: np.ndarray, ids: list[str], encoder: dict[str, str] = ENCODER
) -> None:
    """Publish vectors as a partition of ``embeddings`` or ``embedding_shelf``."""
    folder = lake.root / "embeddings" / "numbers" / f"{table.partitioning}={partition}"
    entry = write_vectors(lake, folder, [vectors], len(vectors), vectors.shape[1])
    frame = pl.DataFrame({"media_id": ids}, schema={"media_id": pl.String}).with_columns(
        pl.int_range(pl.len(), dtype=pl.Int32).alias("row")
    )
    if table is EMBEDDINGS:
        frame = frame.with_columns(sha256=pl.col("media_id"), encoder=pl.lit("numbers"), encoder_digest=pl.lit("n1"))
    else:
        frame = frame.with_columns(source_chunk=pl.lit(f"{partition}-0000"))
    n = frame.height
    lake.publish(
        table, partition, frame, code_version="1", inputs={}, config={}, n_in=n, n_out=n, files=[entry], metrics=encoder
    )


def lake_of_blobs(
    root: Path, n: int = 600, d: int = 16, groups: int = 6, shelves: int = 2, seed: int = 0
) -> tuple[Lake, np.ndarray]:
    """A lake whose shelves and chunks (one per shelf) hold blobs; returns the true groups in the order of the ids."""
    lake = Lake(root)
    vectors, labels = blobs(n, d, groups, seed)
    share = n // shelves
    for i in range(shelves):
        rows = slice(i * share, (i + 1) * share)
        ids = [f"m{number:06d}" for number in range(i * share, (i + 1) * share)]
        put(lake, EMBEDDING_SHELF, f"PMC{i:03d}", vectors[rows], ids)
        put(lake, EMBEDDINGS, f"PMC{i:03d}-0000", vectors[rows], ids)
    return lake, labels[: share * shelves]
