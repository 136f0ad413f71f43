"""The cluster model on the disk: tensors as safetensors, everything a person or a program must know of them as JSON."""

from __future__ import annotations

import dataclasses
import importlib
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biomedica_assets.lib.cluster.pca import Components
from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.store.lake import Lake, file_entry
from biomedica_assets.lib.store.manifest import FileEntry, digest
from biomedica_assets.lib.tables import CLUSTER_MODEL

FOLDER = "models/clusters"


@dataclasses.dataclass(frozen=True, slots=True)
class ClusterModel:
    """A projection and centroids in its space.

    Attributes:
        components: the projection.
        centroids: (k, p) float32.
        card: encoder, settings, counts, explained variance, inertia: what the JSON file holds.
        digest: of tensors and card; stands in every row labelled with this model.
    """

    components: Components
    centroids: NDArray[np.float32]
    card: dict[str, Any]
    digest: str


def save_model(
    lake: Lake, components: Components, centroids: NDArray[np.float32], card: dict[str, Any]
) -> ClusterModel:
    """Write a model below ``models/clusters``; earlier models stay, labels may still name them."""
    safetensors = importlib.import_module("safetensors.numpy")
    tensors = {
        "mean": components.mean,
        "components": components.components,
        "variance": components.variance,
        "total_variance": np.array([components.total_variance]),
        "centroids": centroids,
    }
    data: bytes = safetensors.save(tensors)
    text = json.dumps(card, sort_keys=True, indent=1, ensure_ascii=False) + "\n"
    name = digest(data.hex(), text)[:16]
    folder = lake.root / FOLDER
    atomic.write_bytes(folder / f"{name}.safetensors", data)
    atomic.write_bytes(folder / f"{name}.json", text.encode())
    return ClusterModel(components, centroids, card, name)


def model_files(lake: Lake, model: ClusterModel) -> list[FileEntry]:
    """The files of a saved model, for its manifest."""
    return [file_entry(lake, lake.root / FOLDER / f"{model.digest}.{kind}") for kind in ("json", "safetensors")]


def load_model(lake: Lake) -> ClusterModel:
    """The current model.

    Raises:
        StoreError: there is none, or its files are damaged.
    """
    manifest = lake.manifest(CLUSTER_MODEL, None)
    if manifest is None:
        raise StoreError("cluster_model has not been materialised; do that first")
    safetensors = importlib.import_module("safetensors.numpy")
    errors = importlib.import_module("safetensors")
    name = str(manifest.metrics["model"])
    path = lake.root / FOLDER / f"{name}.safetensors"
    try:
        tensors = safetensors.load_file(path)
        card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        components = Components(
            tensors["mean"], tensors["components"], tensors["variance"], float(tensors["total_variance"][0])
        )
        return ClusterModel(components, tensors["centroids"], card, name)
    except (OSError, ValueError, KeyError, errors.SafetensorError) as error:
        raise StoreError(
            f"the cluster model {path} cannot be read ({error}); materialise cluster_model again"
        ) from error
