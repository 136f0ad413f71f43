"""The stage ``cluster_model``: PCA and k-means over the vectors of all shelves, streamed."""

from __future__ import annotations

import dataclasses
import functools
import os
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from biomedica_assets.lib.cluster.blocks import Block, cut, mapped, one_thread
from biomedica_assets.lib.cluster.kmeans import Clustering, Method, fit_kmeans
from biomedica_assets.lib.cluster.model import FOLDER, ClusterModel, model_files, save_model
from biomedica_assets.lib.cluster.pca import Components, moments_of, principal_components
from biomedica_assets.lib.cluster.plots import fit_pictures
from biomedica_assets.lib.cluster.sample import below, ranks
from biomedica_assets.lib.cluster.search import Nearest, backend
from biomedica_assets.lib.compute import Engine
from biomedica_assets.lib.errors import PermanentFailure, WaitingFor
from biomedica_assets.lib.progress import SILENT, Progress, track
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.store.vectors import DTYPE, vectors_of
from biomedica_assets.lib.tables import CLUSTER_MODEL, EMBEDDING_SHELF

VERSION = "1"
MAP_POINTS = 5000  # points drawn on the map


@dataclasses.dataclass(frozen=True, slots=True)
class FitSettings:
    """What shapes a model.

    Attributes:
        k: clusters wanted; bounded by ``points_per_cluster``.
        n_components: dimensions kept by PCA, any number (BIOMEDICA's paper 25, its code 45).
        seed: of the sample, the initialisation and the order of mini-batches.
        sample: about how many images to fit on, chosen by id; None takes all. 2 000 000 are 1 000 per cluster.
        method: ``lloyd`` or ``minibatch``, see ``kmeans.fit_kmeans``.
        iterations: passes over the fit set at most.
        points_per_cluster: fewer images than this per cluster lower k: a cluster of one teaches an expert nothing.
    """

    k: int = 2000
    n_components: int = 25
    seed: int = 0
    sample: int | None = 2_000_000
    method: Method = "lloyd"
    iterations: int = 20
    points_per_cluster: int = 8

    def __post_init__(self) -> None:
        """Refuse what cannot be fitted."""
        for name in ("k", "n_components", "iterations", "points_per_cluster", "sample"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise PermanentFailure(f"cluster setting {name} is {value}, it must be at least 1")


def fit_clusters(
    lake: Lake, *, engine: Engine, settings: FitSettings | None = None, progress: Progress = SILENT
) -> Report:
    """Fit PCA and k-means on all shelves and publish ``cluster_model``.

    Vectors are read twice, block by block (moments, projection); k-means then passes over the projected points, which
    lie in a scratch file of 4 x n_components bytes per image. Memory does not grow with the number of images.

    Raises:
        WaitingFor: no image has been embedded.
        PermanentFailure: there is no shelf, or the shelves come from different encoders.
        StoreError: the disk cannot be read or written.
    """
    began = time.monotonic()
    settings = settings or FitSettings()
    shelves = lake.partitions(EMBEDDING_SHELF)
    encoder = _one_encoder(lake, shelves)
    check_images(lake)
    inputs = lake.inputs(*((EMBEDDING_SHELF, shelf) for shelf in shelves))
    blocks = list(_fit_blocks(lake, shelves, settings))
    n_fit = sum(block.rows for block in blocks)
    n_images = sum(vectors_of(lake, EMBEDDING_SHELF, shelf).rows for shelf in shelves)
    dimension = blocks[0].dimension if blocks else 1
    told = track(blocks, progress, "moments", len(blocks), "blocks")
    components = principal_components(moments_of(engine, told, dimension), settings.n_components)
    k = max(1, min(settings.k, n_fit // settings.points_per_cluster))
    with _scratch(lake) as path:
        told = track(blocks, progress, "project", len(blocks), "blocks")
        _project(engine, told, components, path)
        points = list(cut(str(path), 0, components.components.shape[1], "<f4", n_fit))
        progress.start("k-means", None, "passes")
        clustering = fit_kmeans(
            engine,
            points,
            k,
            seed=settings.seed,
            method=settings.method,
            iterations=settings.iterations,
            told=progress.advance,
        )
        progress.finish()
        drawn = _thinned(points, n_fit)
    card = _card(settings, encoder, components, clustering, n_fit, n_images)
    model = save_model(lake, components, clustering.centroids, card)
    manifest = lake.publish(
        CLUSTER_MODEL,
        None,
        _rows(model, clustering),
        code_version=VERSION,
        inputs=inputs,
        config=dataclasses.asdict(settings),
        n_in=n_images,
        n_out=n_images,
        files=model_files(lake, model),
        metrics={"model": model.digest, "encoder": encoder[0], "encoder_digest": encoder[1]},
    )
    explained = float(components.variance.sum() / components.total_variance) if components.total_variance else 1.0
    return Report(
        asset=CLUSTER_MODEL.name,
        partition=None,
        data_version=manifest.data_version,
        rows=manifest.rows,
        n_in=manifest.n_in,
        n_out=manifest.n_out,
        bytes_written=manifest.bytes,
        seconds=time.monotonic() - began,
        metrics={
            "model": model.digest,
            "images": n_images,
            "images_fitted": n_fit,
            "clusters": len(clustering.centroids),
            "clusters_wanted": settings.k,
            "components": components.components.shape[1],
            "explained_variance": round(explained, 4),
            "inertia": clustering.history[-1],
            "inertia_per_image": clustering.history[-1] / n_fit,
            "passes": len(clustering.history),
            "search": backend(),
            "encoder": encoder[0],
        },
        pictures=fit_pictures(components, clustering, drawn, settings.seed),
    )


def check_images(lake: Lake) -> None:
    """Make sure that there is something to cluster.

    Raises:
        WaitingFor: there are shelves, and no image in them.
    """
    made = [lake.manifest(EMBEDDING_SHELF, shelf) for shelf in lake.partitions(EMBEDDING_SHELF)]
    if made and not any(manifest.rows for manifest in made if manifest):
        raise WaitingFor(
            "images: none of the articles has one that could be embedded",
            "take articles whose images the source has (`biomedica status` says what was left out and why)",
        )


def _one_encoder(lake: Lake, shelves: Sequence[str]) -> tuple[str, str]:
    """Name and digest of the encoder of all shelves."""
    if not shelves:
        raise PermanentFailure("embedding_shelf has no partition yet; materialise embeddings and embedding_shelf first")
    found: dict[tuple[str, str], list[str]] = {}
    for shelf in shelves:
        manifest = lake.manifest(EMBEDDING_SHELF, shelf)
        if manifest is not None:
            key = (str(manifest.metrics["encoder"]), str(manifest.metrics["encoder_digest"]))
            found.setdefault(key, []).append(shelf)
    if len(found) > 1:
        listed = "; ".join(f"{key[0]} ({key[1][:8]}): {', '.join(of)}" for key, of in sorted(found.items()))
        raise PermanentFailure(f"shelves come from different encoders: {listed}. Materialise the outdated ones again")
    return next(iter(found))


def _fit_blocks(lake: Lake, shelves: Sequence[str], settings: FitSettings) -> Iterator[Block]:
    """Blocks of all shelves, thinned to the sample."""
    files = [vectors_of(lake, EMBEDDING_SHELF, shelf) for shelf in shelves]
    total = sum(file.rows for file in files)
    thin = settings.sample is not None and settings.sample < total
    bound = below((settings.sample or 0) / total) if thin else None
    for shelf, file in zip(shelves, files, strict=True):
        chosen: NDArray[np.bool_] | None = None
        if bound is not None:
            ids = lake.read_lazy(EMBEDDING_SHELF, shelf).select("media_id").collect()["media_id"]
            chosen = ranks(ids, settings.seed) < bound
        for block in cut(file.path, file.offset, file.dimension, DTYPE.str, file.rows):
            if chosen is None:
                yield block
            elif len(here := np.flatnonzero(chosen[block.start : block.stop])):
                yield dataclasses.replace(block, chosen=here)


@contextmanager
def _scratch(lake: Lake) -> Generator[Path]:
    """A file for the projected points, gone afterwards; what a killed run left goes first."""
    folder = lake.root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    atomic.sweep(folder)
    path = folder / f"{atomic.TEMPORARY_PREFIX}projected-{os.getpid()}"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _project(engine: Engine, blocks: Iterator[Block], components: Components, path: Path) -> None:
    with path.open("wb") as handle, one_thread():
        for _, points in mapped(engine, functools.partial(project_block, components), blocks):
            handle.write(np.ascontiguousarray(points, "<f4").data)


def project_block(components: Components, block: Block) -> NDArray[np.float32]:
    """A block of vectors in the space of the components; runs in a worker."""
    return components.project(block.read())


def _thinned(points: Sequence[Block], n: int) -> NDArray[np.float32]:
    """Every so many-th point, for the map."""
    step = max(1, -(-n // MAP_POINTS))
    return np.concatenate([block.read()[(-block.start) % step :: step] for block in points])


def _rows(model: ClusterModel, clustering: Clustering) -> pl.DataFrame:
    k = len(clustering.centroids)
    frame = pl.DataFrame(
        {
            "cluster": np.arange(k, dtype=np.int32),
            "n_fit": clustering.counts,
            "mean_distance": np.sqrt(clustering.squares / clustering.counts).astype(np.float32),
        }
    )
    neighbour, distance = pl.Series([None] * k, dtype=pl.Int32), pl.Series([None] * k, dtype=pl.Float32)
    if k > 1:
        numbers, distances = Nearest(clustering.centroids).nearest(clustering.centroids, 2)
        # The nearest of a centroid is itself, or its twin with the lower number: take the one that is not it.
        other = (numbers[:, 0] == np.arange(k)).astype(int)
        neighbour = pl.Series(numbers[np.arange(k), other])
        distance = pl.Series(distances[np.arange(k), other])
    return frame.with_columns(
        neighbour.alias("neighbour"), distance.alias("neighbour_distance"), pl.lit(model.digest).alias("model")
    )


def _card(
    settings: FitSettings,
    encoder: tuple[str, str],
    components: Components,
    clustering: Clustering,
    n_fit: int,
    n_images: int,
) -> dict[str, Any]:
    return {
        "what": "PCA and k-means of image vectors: (vector - mean) @ components, then the nearest centroid (Euclidean)",
        "code_version": VERSION,
        "encoder": encoder[0],
        "encoder_digest": encoder[1],
        "settings": dataclasses.asdict(settings),
        "images": n_images,
        "images_fitted": n_fit,
        "clusters": len(clustering.centroids),
        "search": backend(),
        "variance": [float(value) for value in components.variance],
        "total_variance": components.total_variance,
        "inertia": list(clustering.history),
    }
