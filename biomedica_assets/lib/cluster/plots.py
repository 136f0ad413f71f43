"""Pictures of a fit: explained variance, inertia, cluster sizes, a map of a sample. Drawn without a display."""

from __future__ import annotations

import importlib
import importlib.util
import io
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biomedica_assets.lib.cluster.kmeans import Clustering
from biomedica_assets.lib.cluster.pca import Components
from biomedica_assets.lib.cluster.search import Nearest
from biomedica_assets.lib.report import Picture

INK, SHADE = "#1b4d7a", "#c8d9e8"


def fit_pictures(
    components: Components, clustering: Clustering, points: NDArray[np.float32], seed: int
) -> tuple[Picture, ...]:
    """The pictures of a fit.

    Args:
        components: the projection.
        clustering: the clusters.
        points: (n, p) a sample of projected points for the map.
        seed: of UMAP.
    """
    flat, how = _flattened(points, seed)
    labels = Nearest(clustering.centroids).labels(points) if len(points) else np.empty(0, np.int32)

    def variance(axes: Any) -> None:
        share = components.variance / max(components.total_variance, 1e-30)
        number = np.arange(1, len(share) + 1)
        axes.bar(number, share, color=SHADE, label="each")
        axes.plot(number, share.cumsum(), color=INK, marker="o", markersize=3, label="together")
        axes.set(xlabel="principal component", ylabel="share of variance", ylim=(0, 1))
        axes.legend(frameon=False)

    def inertia(axes: Any) -> None:
        axes.plot(np.arange(1, len(clustering.history) + 1), clustering.history, color=INK, marker="o", markersize=3)
        axes.set(xlabel="pass", ylabel="inertia")

    def sizes(axes: Any) -> None:
        axes.bar(np.arange(len(clustering.counts)), clustering.counts, width=1.0, color=INK)
        axes.set(
            xlabel="cluster, by falling size", ylabel="images of the fit", xlim=(-0.5, len(clustering.counts) - 0.5)
        )
        axes.axhline(float(clustering.counts.mean()), color="#a33", linewidth=1, linestyle="--", label="mean")
        axes.legend(frameon=False)

    def scatter(axes: Any) -> None:
        axes.scatter(flat[:, 0], flat[:, 1], c=labels % 20, cmap="tab20", s=4, linewidths=0)
        axes.set(xlabel=f"{how} 1", ylabel=f"{how} 2")

    return (
        _picture("Explained variance", variance),
        _picture("Inertia by pass", inertia),
        _picture("Cluster sizes", sizes),
        _picture("Map of a sample by cluster", scatter),
    )


def _flattened(points: NDArray[np.float32], seed: int) -> tuple[NDArray[np.float32], str]:
    """Two dimensions for the map: UMAP where it is installed and there are enough points, else the first components."""
    if importlib.util.find_spec("umap") and len(points) > 50:
        umap = importlib.import_module("umap")
        return np.asarray(umap.UMAP(random_state=seed, n_jobs=1).fit_transform(points), np.float32), "UMAP"
    padded = np.zeros((len(points), 2), np.float32)
    padded[:, : min(2, points.shape[1])] = points[:, :2]
    return padded, "component"


def _picture(title: str, draw: Callable[[Any], None]) -> Picture:
    figure_module = importlib.import_module("matplotlib.figure")
    importlib.import_module("matplotlib.backends.backend_agg")
    figure = figure_module.Figure(figsize=(6.4, 3.6), dpi=110, layout="constrained")
    axes = figure.subplots()
    draw(axes)
    axes.set_title(title, loc="left", fontsize=11)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return Picture(title, buffer.getvalue())
