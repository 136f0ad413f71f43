"""The nearest images of each image of a chunk, by the cosine of their vectors, those of its own article left out.

Belongs here: the table ``neighbours``. A chunk is a fixed range of PMCIDs, so its images are a fair sample of all, and
neighbours within it need no other chunk; that an image's twin lies in another one does not matter, for its labels are
asked of what looks like it and not of all that does. Panels of one article look alike and were labelled alike: they
would agree with anything.

Every pair of a chunk is compared, a block of ``BLOCK`` images at a time: memory is the chunk's vectors twice (70 000 of
1 024 numbers: 0.6 GB) and one block of similarities, time grows with the square of a chunk and not with the corpus.
"""

from __future__ import annotations

import time

import numpy as np
import polars as pl
from numpy.typing import NDArray

from biomedica_assets.lib.progress import SILENT, Progress, track
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.store.vectors import vectors_of
from biomedica_assets.lib.tables import EMBEDDINGS, IMAGES, NEIGHBOURS

VERSION = "1"
Floats = NDArray[np.float32]
NEAREST = 10
SHARE = 30  # one neighbour for so many images: of 140, ten reach beyond the rarer kinds and five do not
FEWEST = 3
BLOCK = 512  # images at a time: 150 MB of similarities among 70 000
_DECIMALS = 4  # of a cosine; what differs less is ordered by id, not by the last bit of a processor's sum


def nearest(
    vectors: Floats,
    groups: NDArray[np.int64],
    most: int,
    *,
    block: int = BLOCK,
    progress: Progress = SILENT,
) -> pl.DataFrame:
    """Rows nearest to each row.

    Args:
        vectors: n x d, float32, of any length.
        groups: n, int64; rows of one group are no neighbours.
        most: neighbours at most.
        block: rows at a time.
        progress: told of each block.

    Returns:
        row, neighbours (list[i32], nearest first), similarity (list[f32], cosines).
    """
    unit: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    found: list[list[int]] = []
    cosines: list[list[float]] = []
    for first in track(range(0, len(unit), block), progress, "neighbours", -(-len(unit) // block), "blocks"):
        here: Floats = np.round(unit[first : first + block] @ unit.T, _DECIMALS).astype(np.float32)
        here[groups[first : first + block, None] == groups[None, :]] = -np.inf
        kept = min(most, here.shape[1])
        # everything at least as near as the last that is kept, so that ties are cut in the order of rows
        limit: Floats = -np.partition(-here, kept - 1, axis=1)[:, kept - 1]
        for row, least in zip(list(here), limit.tolist(), strict=True):
            at = np.flatnonzero((row >= least) & np.isfinite(row))
            at = at[np.argsort(-row[at], kind="stable")][:kept]
            found.append(at.tolist())
            cosines.append(row[at].tolist())
    schema = {"neighbours": pl.List(pl.Int32), "similarity": pl.List(pl.Float32)}
    return pl.DataFrame({"neighbours": found, "similarity": cosines}, schema=schema).with_row_index("row")


def find_neighbours(lake: Lake, chunk: str, *, progress: Progress = SILENT) -> Report:
    """Fill one partition of ``neighbours``."""
    began = time.monotonic()
    inputs = lake.inputs((EMBEDDINGS, chunk), (IMAGES, chunk))
    articles = lake.read_lazy(IMAGES, chunk).select("media_id", "article_id")
    rows = lake.read_lazy(EMBEDDINGS, chunk).select("media_id", "row")
    # an image that is embedded and gone from ``images`` is nobody's neighbour
    rows = rows.join(articles, on="media_id").sort("media_id").collect()
    ids, groups = rows["media_id"], rows["article_id"].rank("dense").cast(pl.Int64).to_numpy()
    vectors = vectors_of(lake, EMBEDDINGS, chunk).map()[rows["row"].to_numpy()].astype(np.float32)
    most = min(NEAREST, max(FEWEST, rows.height // SHARE))
    with_row = nearest(vectors, groups, most, progress=progress) if rows.height else None
    frame = NEIGHBOURS.empty()
    if with_row is not None:
        named = pl.col("neighbours").list.eval(
            pl.element().replace_strict(dict(enumerate(ids)), return_dtype=pl.String)
        )
        frame = with_row.select(ids.alias("media_id"), named, "similarity").select(NEIGHBOURS.schema.names())
    manifest = lake.publish(
        NEIGHBOURS,
        chunk,
        frame,
        code_version=VERSION,
        inputs=inputs,
        config={"nearest": NEAREST, "share": SHARE, "fewest": FEWEST},
        n_in=rows.height,
        n_out=frame.height,
    )
    lonely = frame.filter(pl.col("neighbours").list.len() == 0).height
    return Report(
        asset=NEIGHBOURS.name,
        partition=chunk,
        data_version=manifest.data_version,
        rows=frame.height,
        n_in=rows.height,
        n_out=frame.height,
        bytes_written=manifest.bytes,
        seconds=time.monotonic() - began,
        metrics={"without_neighbours": lonely, "nearest": most},
        preview=tuple(frame.select("media_id", pl.col("similarity").list.first()).head(8).iter_rows(named=True)),
    )
