"""Images by how near their vectors lie to that of a picture: shelf by shelf, in blocks of bounded memory."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
from numpy.typing import NDArray

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.select.search import codes
from biomedica_assets.lib.select.search.codes import unit
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.store.vectors import vectors_of
from biomedica_assets.lib.tables import EMBEDDING_SHELF

_FOUND = {"media_id": pl.String, "chunk": pl.String, "score": pl.Float64}
_SCORED = {"row": pl.Int64, "score": pl.Float64}
_FEW = 20
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


def nearest(lake: Lake, vector: NDArray[np.float32], most: int, allowed: pl.Series | None = None) -> pl.DataFrame:
    """The images whose vectors have the largest cosine with one vector, best first.

    Where a shelf has codes (``codes``), they propose candidates, and these are compared exactly; elsewhere all are.

    Args:
        lake: the data directory.
        vector: [dimension] float32, of the encoder that the shelves are from.
        most: how many.
        allowed: ids of the only images that may be found.

    Returns:
        ``media_id``, ``chunk``, ``score`` (cosine, -1 to 1); equals by id.

    Raises:
        PermanentFailure: the vector has another dimension than those of the shelves.
        StoreError: vectors cannot be read.
    """
    wanted = unit(vector[None, :])[0]
    shelves = lake.partitions(EMBEDDING_SHELF)
    # faiss looks at the codes of one shelf with one thread, and without Python's lock.
    with ThreadPoolExecutor(max(1, min(len(shelves), os.cpu_count() or 1))) as pool:
        asked = [pool.submit(_proposed, lake, shelf, wanted, most, allowed) for shelf in shelves]
        proposed = [one.result() for one in asked]
    parts = [
        _scored(lake, shelf, rows, wanted, most).with_columns(pl.lit(shelf).alias("shelf"))
        for shelf, rows in zip(shelves, proposed, strict=True)
    ]
    found = pl.concat(parts) if parts else pl.DataFrame(schema=_SCORED)
    if found.is_empty():
        return pl.DataFrame(schema=_FOUND)
    # Ids are read for the best alone: those of a million vectors take longer to read than their codes to compare.
    least = found["score"].top_k(most).min()
    best = found.filter(pl.col("score") >= least)
    told = [_with_ids(lake, str(key[0]), rows) for key, rows in best.group_by("shelf", maintain_order=True)]
    whole = pl.concat(told) if told else pl.DataFrame(schema=_FOUND)
    return whole.sort(["score", "media_id"], descending=[True, False]).head(most)


def _proposed(
    lake: Lake, shelf: str, wanted: NDArray[np.float32], most: int, allowed: pl.Series | None
) -> NDArray[np.int64] | None:
    """Rows of a shelf to compare; None for all."""
    file = vectors_of(lake, EMBEDDING_SHELF, shelf)
    if file.rows and file.dimension != wanted.size:
        raise PermanentFailure(
            f"the vectors of shelf {shelf} have {file.dimension} dimensions, the picture's has {wanted.size}: they "
            "are of different encoders. Name the encoder that the shelves are from"
        )
    rows: NDArray[np.int64] | None = None
    if allowed is not None:
        ids = lake.read_lazy(EMBEDDING_SHELF, shelf).filter(pl.col("media_id").is_in(allowed.implode()))
        rows = ids.select(pl.col("row").cast(pl.Int64)).collect()["row"].sort().to_numpy()
    found = codes.candidates(lake, shelf, wanted, most, rows)
    return rows if found is None else found


def _scored(
    lake: Lake, shelf: str, rows: NDArray[np.int64] | None, wanted: NDArray[np.float32], most: int
) -> pl.DataFrame:
    """``row`` and ``score`` of the best of a shelf, with all that are equal to the last of them."""
    file = vectors_of(lake, EMBEDDING_SHELF, shelf)
    best = pl.DataFrame(schema=_SCORED)
    count = file.rows if rows is None else len(rows)
    for start in range(0, count, _BLOCK):
        if rows is None:
            here = np.arange(start, min(start + _BLOCK, count))
            block = file.read(start, start + _BLOCK)
        else:
            here = rows[start : start + _BLOCK]
            block = file.map()[here]
        scored = pl.DataFrame({"row": here, "score": _scores(block, wanted)}, schema=_SCORED)
        best = pl.concat([best, scored])
        if best.height > most:
            best = best.filter(pl.col("score") >= best["score"].top_k(most).min())
    return best


def _with_ids(lake: Lake, shelf: str, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of a shelf with the ids that stand there: few are picked out one by one, many by reading all."""
    ids = lake.read_lazy(EMBEDDING_SHELF, shelf).select("media_id", pl.col("source_chunk").alias("chunk"), "row")
    if rows.height <= _FEW:
        ids = pl.concat([ids.slice(row, 1) for row in rows["row"].to_list()])
    named = ids.join(rows.lazy().select(pl.col("row").cast(pl.Int32), "score"), on="row")
    return named.select(*_FOUND).collect()


def _scores(rows: NDArray[np.float16], wanted: NDArray[np.float32]) -> NDArray[np.float64]:
    """Cosines, to six digits."""
    cosines: NDArray[np.float32] = unit(rows.astype(np.float32)) @ wanted
    return np.round(cosines.astype(np.float64), 6)
