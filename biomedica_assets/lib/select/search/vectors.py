"""Images by how near their vectors lie to that of a picture: exact, shelf by shelf, in blocks of bounded memory."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.store.vectors import vectors_of
from biomedica_assets.lib.tables import EMBEDDING_SHELF

_BLOCK = 65_536
"""Vectors at a time: 200 MB as float32 at 768 dimensions."""


def vector_of(lake: Lake, media_id: str) -> NDArray[np.float32]:
    """The vector of an image.

    Raises:
        PermanentFailure: it has none.
    """
    for shelf in lake.partitions(EMBEDDING_SHELF):
        row = lake.read_lazy(EMBEDDING_SHELF, shelf).filter(pl.col("media_id") == media_id).select("row").collect()
        if row.height:
            return vectors_of(lake, EMBEDDING_SHELF, shelf).map()[row.item()].astype(np.float32)
    raise PermanentFailure(
        f"{media_id} has no vector; materialise embeddings and embedding_shelf of its chunk, or give another image"
    )


def nearest(lake: Lake, vector: NDArray[np.float32], most: int) -> pl.DataFrame:
    """The images whose vectors have the largest cosine with one vector, best first.

    Args:
        lake: the data directory.
        vector: [dimension] float32, of the encoder that the shelves are from.
        most: how many.

    Returns:
        ``media_id``, ``chunk``, ``score`` (cosine, -1 to 1); equals by id.

    Raises:
        PermanentFailure: the vector has another dimension than those of the shelves.
        StoreError: vectors cannot be read.
    """
    wanted = _unit(vector[None, :])[0]
    best = pl.DataFrame(schema={"media_id": pl.String, "chunk": pl.String, "score": pl.Float64})
    for shelf in lake.partitions(EMBEDDING_SHELF):
        file = vectors_of(lake, EMBEDDING_SHELF, shelf)
        if file.rows and file.dimension != wanted.size:
            raise PermanentFailure(
                f"the vectors of shelf {shelf} have {file.dimension} dimensions, the picture's has {wanted.size}: they "
                "are of different encoders. Name the encoder that the shelves are from"
            )
        ids = lake.read_lazy(EMBEDDING_SHELF, shelf).select("media_id", pl.col("source_chunk").alias("chunk"), "row")
        for start in range(0, file.rows, _BLOCK):
            frame = ids.slice(start, _BLOCK).collect()
            block = file.read(start, start + _BLOCK)
            scores: NDArray[np.float32] = _unit(block[frame["row"].to_numpy() - start].astype(np.float32)) @ wanted
            found = frame.select("media_id", "chunk", pl.Series("score", np.round(scores.astype(np.float64), 6)))
            best = pl.concat([best, found]).sort(["score", "media_id"], descending=[True, False]).head(most)
    return best


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of length one; a row of zeros stays."""
    length = np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
    return (rows / np.where(length > 0, length, 1)).astype(np.float32)
