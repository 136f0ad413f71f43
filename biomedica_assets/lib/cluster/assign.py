"""The stage ``clusters``: for each image of a chunk its cluster, the runner-up, and how far both are.

Label propagation needs the distances: BIOMEDICA copied a cluster's label to all members and kept none.
"""

from __future__ import annotations

import functools
import time

import numpy as np
import polars as pl
from numpy.typing import NDArray

from biomedica_assets.lib.cluster.blocks import Block, cut, mapped, one_thread
from biomedica_assets.lib.cluster.model import ClusterModel, load_model
from biomedica_assets.lib.cluster.search import Nearest
from biomedica_assets.lib.compute import Engine
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.progress import SILENT, Progress, track
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.store.vectors import DTYPE, vectors_of
from biomedica_assets.lib.tables import CLUSTER_MODEL, CLUSTERS, EMBEDDINGS

VERSION = "1"


def assign_chunk(lake: Lake, chunk: str, *, engine: Engine, progress: Progress = SILENT) -> Report:
    """Fill one partition of ``clusters`` with the current model.

    Raises:
        PermanentFailure: the chunk was embedded by another encoder than the model was fitted on.
        StoreError: embeddings of the chunk or the model do not exist.
    """
    began = time.monotonic()
    inputs = lake.inputs((EMBEDDINGS, chunk), (CLUSTER_MODEL, None))
    model = load_model(lake)
    made = lake.manifest(EMBEDDINGS, chunk)
    if made is not None and made.metrics["encoder_digest"] != model.card["encoder_digest"]:
        raise PermanentFailure(
            f"chunk {chunk} was embedded by {made.metrics['encoder']} ({str(made.metrics['encoder_digest'])[:8]}), the "
            f"cluster model was fitted on {model.card['encoder']} ({str(model.card['encoder_digest'])[:8]}). "
            "Materialise the chunk's embeddings, or embedding_shelf and cluster_model, again"
        )
    file = vectors_of(lake, EMBEDDINGS, chunk)
    blocks = list(cut(file.path, file.offset, file.dimension, DTYPE.str, file.rows))
    told = track(blocks, progress, "assign", len(blocks), "blocks")
    with one_thread():
        found = [result for _, result in mapped(engine, functools.partial(assign_block, model), told)]
    ids = lake.read_lazy(EMBEDDINGS, chunk).sort("row").select("media_id").collect()
    columns = min(2, len(model.centroids))
    numbers = np.concatenate([np.empty((0, columns), np.int32), *(part[0] for part in found)])
    distances = np.concatenate([np.empty((0, columns), np.float32), *(part[1] for part in found)])
    runner_up = [pl.lit(None, pl.Int32), pl.lit(None, pl.Float32)]
    if columns == 2:
        runner_up = [pl.lit(pl.Series(numbers[:, 1])), pl.lit(pl.Series(distances[:, 1]))]
    frame = ids.select(
        "media_id",
        pl.lit(pl.Series(numbers[:, 0])).alias("cluster"),
        pl.lit(pl.Series(distances[:, 0])).alias("distance"),
        runner_up[0].alias("runner_up"),
        runner_up[1].alias("runner_up_distance"),
        pl.lit(model.digest).alias("model"),
    )
    manifest = lake.publish(
        CLUSTERS,
        chunk,
        frame,
        code_version=VERSION,
        inputs=inputs,
        config={},
        n_in=ids.height,
        n_out=frame.height,
        metrics={"model": model.digest},
    )
    seconds = time.monotonic() - began
    return Report(
        asset=CLUSTERS.name,
        partition=chunk,
        data_version=manifest.data_version,
        rows=manifest.rows,
        n_in=manifest.n_in,
        n_out=manifest.n_out,
        bytes_written=manifest.bytes,
        seconds=seconds,
        metrics={
            "model": model.digest,
            "clusters_met": frame["cluster"].n_unique(),
            "mean_distance": float(distances[:, 0].mean()) if frame.height else None,
            "images_per_second": round(frame.height / seconds, 1) if seconds else None,
        },
    )


def assign_block(model: ClusterModel, block: Block) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The nearest one or two clusters of a block's vectors and their distances; runs in a worker."""
    points = model.components.project(block.read())
    return Nearest(model.centroids).nearest(points, min(2, len(model.centroids)))
