"""The stages ``map_landmarks`` and ``embedding_map``: images in the plane, those that are alike beside one another.

t-SNE (van der Maaten and Hinton 2008, scikit-learn's) lays out a seeded sample of images, the landmarks, by their
vectors in the space of the cluster model; begun at the first two components, so that what is far stays far (Kobak and
Berens 2019). Every image, also one that comes later, then stands where the landmarks nearest to it stand, weighted by
the inverse square of the distance, as openTSNE begins when it adds points to a finished map: an image has its place
without the map being made again, chunk by chunk, and memory holds the landmarks alone.

All of it runs in one thread: sums in another order would draw another map.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import time
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from biomedica_assets.lib.cluster.blocks import Block, cut, mapped, one_thread
from biomedica_assets.lib.cluster.fit import check_images
from biomedica_assets.lib.cluster.model import ClusterModel, load_model
from biomedica_assets.lib.cluster.sample import ranks
from biomedica_assets.lib.cluster.search import Nearest
from biomedica_assets.lib.compute import Engine
from biomedica_assets.lib.errors import PermanentFailure, StoreError
from biomedica_assets.lib.progress import SILENT, Progress, track
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.store.vectors import DTYPE, vectors_of
from biomedica_assets.lib.tables import CLUSTER_MODEL, EMBEDDING_MAP, EMBEDDING_SHELF, EMBEDDINGS, MAP_LANDMARKS

VERSION = "1"
NEIGHBOURS = 5
"""Landmarks that give an image its place."""
_PERPLEXITY = 30.0
_ITERATIONS = 500
_NEAR = 1e-6
"""Of the mean square distance of landmarks: an image nearer than that to one stands on it."""


@dataclasses.dataclass(frozen=True, slots=True)
class MapSettings:
    """What shapes the map: how many landmarks at most, and the seed by which they are drawn."""

    landmarks: int = 5_000
    seed: int = 0


def fit_map(lake: Lake, *, settings: MapSettings | None = None, progress: Progress = SILENT) -> Report:
    """Draw landmarks from all shelves and lay them out.

    Raises:
        WaitingFor: no image has been embedded.
        StoreError: there is no cluster model, or vectors cannot be read.
    """
    began = time.monotonic()
    settings = settings or MapSettings()
    check_images(lake)
    model = load_model(lake)
    shelves = lake.partitions(EMBEDDING_SHELF)
    inputs = lake.inputs((CLUSTER_MODEL, None), *((EMBEDDING_SHELF, shelf) for shelf in shelves))
    drawn = pl.concat([_drawn(lake, shelf, settings) for shelf in shelves]).sort("rank", "media_id")
    drawn = drawn.head(settings.landmarks)
    parts = drawn.partition_by("shelf", maintain_order=True)
    points = [model.components.project(_vectors(lake, part["shelf"][0], part["row"].to_numpy())) for part in parts]
    frame = pl.concat(parts)
    # By id: the layout must not depend on the shelf in which an article lies.
    order = frame["media_id"].arg_sort().to_numpy()
    placed = np.concatenate(points)[order]
    progress.start("t-SNE", None, "layouts")
    flat = lay_out(placed, settings.seed)
    progress.finish()
    table = frame[order].select(
        "media_id",
        pl.lit(pl.Series(flat[:, 0])).alias("x"),
        pl.lit(pl.Series(flat[:, 1])).alias("y"),
        pl.lit(pl.Series(placed.tolist(), dtype=pl.List(pl.Float32))).alias("point"),
        pl.lit(model.digest).alias("model"),
    )
    manifest = lake.publish(
        MAP_LANDMARKS, None, table, code_version=VERSION, inputs=inputs, config=dataclasses.asdict(settings),
        n_in=table.height, n_out=table.height, metrics={"model": model.digest},
    )  # fmt: skip
    return Report(
        asset=MAP_LANDMARKS.name, partition=None, data_version=manifest.data_version, rows=manifest.rows,
        n_in=manifest.n_in, n_out=manifest.n_out, bytes_written=manifest.bytes, seconds=time.monotonic() - began,
        metrics={"model": model.digest, "landmarks": table.height, "kept": round(_kept(placed, flat), 4)},
    )  # fmt: skip


def place_chunk(lake: Lake, chunk: str, *, engine: Engine, progress: Progress = SILENT) -> Report:
    """Fill one partition of ``embedding_map``.

    Raises:
        PermanentFailure: vectors or landmarks are of another model than the current one.
        StoreError: embeddings of the chunk, the model or the landmarks do not exist.
    """
    began = time.monotonic()
    inputs = lake.inputs((EMBEDDINGS, chunk), (MAP_LANDMARKS, None))
    model = load_model(lake)
    made, landmarks = lake.manifest(EMBEDDINGS, chunk), lake.manifest(MAP_LANDMARKS, None)
    if landmarks is None:
        raise StoreError("map_landmarks has not been materialised; do that first")
    if landmarks.metrics["model"] != model.digest:
        raise PermanentFailure(
            f"the landmarks are of cluster model {landmarks.metrics['model']}, the current one is {model.digest}. "
            "Materialise map_landmarks again"
        )
    if made is not None and made.metrics["encoder_digest"] != model.card["encoder_digest"]:
        raise PermanentFailure(
            f"chunk {chunk} was embedded by {made.metrics['encoder']}, the map is of {model.card['encoder']}. "
            "Materialise the chunk's embeddings, or embedding_shelf, cluster_model and map_landmarks, again"
        )
    placing = Placing(model, lake.read(MAP_LANDMARKS, None))
    file = vectors_of(lake, EMBEDDINGS, chunk)
    blocks = list(cut(file.path, file.offset, file.dimension, DTYPE.str, file.rows))
    told = track(blocks, progress, "place", len(blocks), "blocks")
    with one_thread():
        found = [result for _, result in mapped(engine, functools.partial(_place_block, placing), told)]
    flat = np.concatenate([np.empty((0, 2), np.float32), *found])
    ids = lake.read_lazy(EMBEDDINGS, chunk).sort("row").select("media_id").collect()
    frame = ids.with_columns(pl.lit(pl.Series(flat[:, 0])).alias("x"), pl.lit(pl.Series(flat[:, 1])).alias("y"))
    manifest = lake.publish(
        EMBEDDING_MAP, chunk, frame, code_version=VERSION, inputs=inputs, config={}, n_in=ids.height,
        n_out=frame.height,
    )  # fmt: skip
    return Report(
        asset=EMBEDDING_MAP.name, partition=chunk, data_version=manifest.data_version, rows=manifest.rows,
        n_in=manifest.n_in, n_out=manifest.n_out, bytes_written=manifest.bytes, seconds=time.monotonic() - began,
        metrics={"model": model.digest},
    )  # fmt: skip


class Placing:
    """What places images: the projection, and the landmarks with where they stand."""

    def __init__(self, model: ClusterModel, landmarks: pl.DataFrame) -> None:
        """Args: model: the cluster model; landmarks: rows of ``map_landmarks``."""
        self.model = model
        self._points = np.array(landmarks["point"].to_list(), np.float32)
        self._flat = landmarks.select("x", "y").to_numpy().astype(np.float64)
        spread = float(np.square(self._points - self._points.mean(axis=0)).sum(axis=1).mean())
        self._near = max(_NEAR * spread, 1e-12)

    def of(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Where points (n, p) of the space of the components stand in the plane, (n, 2) float32."""
        numbers, distances = Nearest(self._points).nearest(points, min(NEIGHBOURS, len(self._points)))
        weights = 1 / (np.square(distances.astype(np.float64)) + self._near)
        weights /= weights.sum(axis=1, keepdims=True)
        return np.einsum("nk,nkd->nd", weights, self._flat[numbers]).astype(np.float32)


def lay_out(points: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Points (n, p) in the plane, (n, 2) float32 about the origin, the furthest coordinate 1."""
    n = len(points)
    flat = np.zeros((n, 2))
    centred = points - points.mean(axis=0)
    flat[:, : min(2, points.shape[1])] = centred[:, :2]
    if n > 3 * NEIGHBOURS and np.ptp(points) > 0:
        manifold: Any = importlib.import_module("sklearn.manifold")
        begun = flat / max(float(flat[:, 0].std()), 1e-12) * 1e-4  # as scikit-learn scales its own beginning
        with one_thread():
            flat = np.asarray(
                manifold.TSNE(
                    perplexity=min(_PERPLEXITY, (n - 1) / 3),
                    init=begun.astype(np.float32),
                    max_iter=_ITERATIONS,
                    random_state=seed,
                    n_jobs=1,
                ).fit_transform(points),
                np.float64,
            )
    flat -= (flat.max(axis=0) + flat.min(axis=0)) / 2
    return (flat / max(float(np.abs(flat).max()), 1e-12)).astype(np.float32)


def _drawn(lake: Lake, shelf: str, settings: MapSettings) -> pl.DataFrame:
    """The images of a shelf that may be landmarks: those of the smallest ranks."""
    rows = lake.read_lazy(EMBEDDING_SHELF, shelf).select("media_id", "row").collect()
    ranked = rows.with_columns(pl.lit(pl.Series(ranks(rows["media_id"], settings.seed))).alias("rank"))
    return ranked.bottom_k(settings.landmarks, by="rank").with_columns(pl.lit(shelf).alias("shelf"))


def _vectors(lake: Lake, shelf: str, rows: NDArray[np.int32]) -> NDArray[np.float32]:
    return vectors_of(lake, EMBEDDING_SHELF, shelf).map()[rows].astype(np.float32)


def _place_block(placing: Placing, block: Block) -> NDArray[np.float32]:
    return placing.of(placing.model.components.project(block.read()))


def _kept(points: NDArray[np.float32], flat: NDArray[np.float32]) -> float:
    """Share of the nearest neighbours of some landmarks that are among their nearest on the map, too."""
    some = np.linspace(0, len(points) - 1, min(len(points), 500)).astype(int)
    n = min(NEIGHBOURS + 1, len(points))
    near, on_map = (Nearest(np.ascontiguousarray(of)).nearest(of[some], n)[0] for of in (points, flat))
    pairs = zip(near.tolist(), on_map.tolist(), some.tolist(), strict=True)
    shares = [len(set(a) & set(b) - {own}) / max(1, n - 1) for a, b, own in pairs]
    return float(np.mean(shares))
