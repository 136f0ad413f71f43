"""Semantic near-duplicates thinned by SemDeDup's rule: pictures that say the same, though they are different pictures.

Source: Abbas et al. (2023), SemDeDup, arXiv:2303.09540, section 3 and algorithm 1. Samples are compared within clusters
of their vectors, here those of the table ``clusters``. In a cluster they stand in order, the furthest from the centroid
first; one is left out if its cosine with any that stands before it is above 1 - epsilon.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.progress import SILENT, Progress, track
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.store.vectors import VectorFile, vectors_of
from biomedica_assets.lib.tables import CLUSTERS, EMBEDDINGS, SHARDS

Floats = NDArray[np.float32]
BLOCK = 2048
_DECIMALS = 4  # of a cosine: the last bits depend on how the product was cut


def superfluous(vectors: Floats, epsilon: float, *, block: int = BLOCK) -> NDArray[np.bool_]:
    """Which rows a row before them makes superfluous.

    Args:
        vectors: n x d, float32, of any length, in the order in which they are kept: the first always is.
        epsilon: rows whose cosine is above 1 - epsilon say the same.
        block: rows at a time; memory is the vectors and ``block`` x n cosines.

    Returns:
        bool (n,). A row that is left out makes others superfluous, too, as in the paper.
    """
    unit: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    found = np.zeros(len(unit), np.bool_)
    for first in range(0, len(unit), block):
        here = unit[first : first + block]
        alike = np.round(here @ unit[: first + len(here)].T, _DECIMALS) > 1 - epsilon
        # of the rows up to its own, those that stand before it
        before = np.arange(first + len(here))[None, :] < np.arange(first, first + len(here))[:, None]
        found[first : first + block] = (alike & before).any(axis=1)
    return found


def check(lake: Lake) -> None:
    """Make sure that the samples have clusters and vectors.

    Raises:
        StoreError: a chunk of the shards has none.
    """
    for table in (EMBEDDINGS, CLUSTERS):
        if missing := sorted(set(lake.partitions(SHARDS)) - set(lake.partitions(table))):
            raise StoreError(f"this recipe has semantic_dedup, but {table.name} of {missing[0]} is not there; make it")


def thinned(lake: Lake, samples: pl.DataFrame, epsilon: float, *, progress: Progress = SILENT) -> pl.Series:
    """Which samples stay.

    Args:
        lake: reads ``clusters`` and the vectors of ``embeddings``, those of one cluster at a time.
        samples: media_id; panels of one image stay or go together.
        epsilon: see ``superfluous``.
        progress: told of each cluster.

    Returns:
        bool, one per sample; one without vector (its picture could not be embedded) stays.
    """
    chunks = lake.partitions(SHARDS)
    files: dict[str, VectorFile] = {chunk: vectors_of(lake, EMBEDDINGS, chunk) for chunk in chunks}
    wanted = samples.select("media_id").unique("media_id")
    places = pl.concat(
        lake.read_lazy(EMBEDDINGS, chunk)
        .select("media_id", "row", chunk=pl.lit(chunk))
        .join(lake.read_lazy(CLUSTERS, chunk).select("media_id", "cluster", "distance"), on="media_id")
        for chunk in chunks
    )
    known = wanted.lazy().join(places, on="media_id").collect()
    groups = known.filter(pl.len().over("cluster") > 1).sort(
        "cluster", "distance", "media_id", descending=[False, True, False]
    )
    clusters = groups.partition_by("cluster", maintain_order=True)
    gone: list[pl.Series] = []
    for rows in track(clusters, progress, "thin", len(clusters), "clusters"):
        out = superfluous(_vectors(files, rows), epsilon)
        gone.append(rows["media_id"].filter(pl.Series(out)))
    return ~samples["media_id"].is_in(pl.concat([pl.Series([], dtype=pl.String), *gone]).implode())


def _vectors(files: dict[str, VectorFile], rows: pl.DataFrame) -> Floats:
    """Vectors of rows (chunk, row), in their order."""
    found: Floats = np.empty((rows.height, next(iter(files.values())).dimension), np.float32)
    numbered = rows.select("chunk", "row").with_row_index("place")
    for (chunk,), part in numbered.group_by("chunk"):
        found[part["place"].to_numpy()] = files[str(chunk)].map()[part["row"].to_numpy()]
    return found
