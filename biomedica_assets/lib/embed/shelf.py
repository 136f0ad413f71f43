"""The vectors of a shelf's chunks as one file, sorted by id: what the global model reads."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from biomedica_assets.lib.chunks import shelf_of_chunk
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.progress import SILENT, Progress, track
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.store.vectors import DTYPE, VectorFile, vectors_of, write_vectors
from biomedica_assets.lib.tables import EMBEDDING_SHELF, EMBEDDINGS

VERSION = "2"
BLOCK = 16384  # rows in memory at a time: 32 MB at 1 024 dimensions


def shelve(lake: Lake, shelf: str, *, progress: Progress = SILENT) -> Report:
    """Fill one partition of ``embedding_shelf`` from the chunks of the shelf that have embeddings.

    Memory holds the ids of the shelf and one block of vectors, however many chunks there are.

    Raises:
        PermanentFailure: the shelf has no embedded chunk, or its chunks were embedded by different encoders.
        StoreError: the disk cannot be read or written.
    """
    began = time.monotonic()
    chunks = [key for key in lake.partitions(EMBEDDINGS) if shelf_of_chunk(key) == shelf]
    if not chunks:
        raise PermanentFailure(
            f"shelf {shelf} has no embedded chunk; materialise embeddings of one of its chunks first"
        )
    name, encoder_digest = _one_encoder(lake, chunks)
    inputs = lake.inputs(*((EMBEDDINGS, chunk) for chunk in chunks))
    order = (
        lake.scan(EMBEDDINGS, chunks)
        .select("media_id", "row", pl.col("chunk").cast(pl.Enum(chunks)))
        .sort("media_id")
        .collect()
    )
    files = [vectors_of(lake, EMBEDDINGS, chunk) for chunk in chunks]
    dimension = files[0].dimension
    folder = lake.root / "embeddings" / name / f"shelf={shelf}"
    which = order["chunk"].to_physical().to_numpy()
    blocks = track(_blocks(files, which, order["row"].to_numpy()), progress, "shelve", None, "blocks")
    entry = write_vectors(lake, folder, blocks, order.height, dimension)
    frame = order.select(
        "media_id",
        pl.int_range(order.height, dtype=pl.Int32).alias("row"),
        pl.col("chunk").cast(pl.String).alias("source_chunk"),
    )
    manifest = lake.publish(
        EMBEDDING_SHELF,
        shelf,
        frame,
        code_version=VERSION,
        inputs=inputs,
        config={},
        n_in=order.height,
        n_out=frame.height,
        files=[entry],
        metrics={"encoder": name, "encoder_digest": encoder_digest},
        identity=encoder_digest,
    )
    return Report(
        asset=EMBEDDING_SHELF.name,
        partition=shelf,
        data_version=manifest.data_version,
        rows=manifest.rows,
        n_in=manifest.n_in,
        n_out=manifest.n_out,
        bytes_written=manifest.bytes,
        seconds=time.monotonic() - began,
        metrics={"chunks": len(chunks), "dimension": dimension, "encoder": name, "encoder_digest": encoder_digest},
    )


def _one_encoder(lake: Lake, chunks: list[str]) -> tuple[str, str]:
    """Name and digest of the encoder that made all chunks."""
    made_by: dict[tuple[str, str], list[str]] = {}
    for chunk in chunks:
        manifest = lake.manifest(EMBEDDINGS, chunk)
        if manifest is not None:
            key = (str(manifest.metrics["encoder"]), str(manifest.metrics["encoder_digest"]))
            made_by.setdefault(key, []).append(chunk)
    if len(made_by) > 1:
        listed = "; ".join(f"{key[0]} ({key[1][:8]}): {', '.join(of)}" for key, of in sorted(made_by.items()))
        raise PermanentFailure(
            f"chunks of one shelf were embedded by different encoders, their vectors cannot be mixed: {listed}. "
            "Materialise embeddings of the outdated chunks again"
        )
    return next(iter(made_by))


def _blocks(
    files: list[VectorFile], which: NDArray[np.uint32], rows: NDArray[np.int32]
) -> Iterator[NDArray[np.float16]]:
    """Vectors in the order of the ids, gathered block by block from the chunks' files."""
    for first in range(0, len(rows), BLOCK):
        part, at = which[first : first + BLOCK], rows[first : first + BLOCK]
        block = np.empty((len(at), files[0].dimension), DTYPE)
        for number in np.unique(part):
            here = part == number
            block[here] = files[int(number)].map()[at[here]]
        yield block
