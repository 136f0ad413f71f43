"""Weights on the line between two models (WiSE-FT: Wortsman et al., arXiv 2109.01903), as safetensors.

Most of BMC-CLIP's gain came from this (facts of arXiv 2501.07171 v1, table 5), and no script for it was published.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from biomedica_assets.lib.clip import lora
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.weights import BadWeights, check_file, check_finite, one_line

Weights = Mapping[str, Any]
"""Parameter name -> torch tensor."""
METADATA = "biomedica"
"""Entry of a safetensors file's metadata that holds ours; ``lib.evaluate`` reads the preprocessing out of it."""


def interpolate(base: Weights, trained: Weights, alpha: float) -> dict[str, Any]:
    """``(1 - alpha) * base + alpha * trained``, computed in float32 and returned in the type of ``trained``.

    What is not a floating-point number (index buffers) is taken from ``trained``.

    Raises:
        PermanentFailure: the two are not the same architecture; the message names the first difference.
    """
    if set(base) != set(trained):
        name = sorted(set(base) ^ set(trained))[0]
        raise PermanentFailure(f"the models differ: only one of them has the parameter {name}")
    mixed: dict[str, Any] = {}
    for name, after in trained.items():
        before = base[name]
        if before.shape != after.shape:
            raise PermanentFailure(f"the models differ: {name} is {tuple(before.shape)} and {tuple(after.shape)}")
        if not after.is_floating_point():
            mixed[name] = after.clone()
            continue
        mixed[name] = before.float().lerp(after.float(), alpha).to(after.dtype)
    return mixed


def save(weights: Weights, path: Path, metadata: Mapping[str, Any]) -> str:
    """Write a safetensors file atomically; returns its SHA-256. Equal weights and metadata give equal bytes.

    The metadata are one JSON text: safetensors writes several entries in the order of a hash table, another each time.
    """
    safetensors: Any = importlib.import_module("safetensors.torch")
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in sorted(weights.items())}
    data: bytes = safetensors.save(plain, metadata={METADATA: json.dumps(dict(metadata), sort_keys=True)})
    atomic.write_bytes(path, data)
    return hashlib.sha256(data).hexdigest()


def content_digest(weights: Weights) -> str:
    """SHA-256 over names, types, shapes and numbers: the same for the same weights, whatever file held them."""
    torch: Any = importlib.import_module("torch")
    state = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        state.update(f"{name}:{tuple(tensor.shape)}:{tensor.dtype};".encode())
        state.update(tensor.detach().cpu().contiguous().flatten().view(dtype=torch.uint8).numpy().data)
    return state.hexdigest()


def load(path: Path) -> dict[str, Any]:
    """Read a safetensors file.

    Raises:
        PermanentFailure: it is none, or is damaged.
    """
    safetensors: Any = importlib.import_module("safetensors.torch")
    check_file(path)
    try:
        weights = dict(safetensors.load_file(str(path)))
    except Exception as error:
        raise PermanentFailure(
            f"{path} cannot be read as safetensors: {one_line(error)}; train the recipe again"
        ) from error
    check_finite(weights, path)
    return weights


def load_training_checkpoint(path: Path) -> tuple[int, dict[str, Any]]:
    """Epochs done and weights of a checkpoint that ``open_clip_train`` wrote, read with ``weights_only``: no code runs.

    Raises:
        PermanentFailure: it cannot be read, or a weight is not a finite number.
    """
    torch: Any = importlib.import_module("torch")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        weights = {str(name).removeprefix("module."): tensor for name, tensor in content["state_dict"].items()}
        epoch = int(content["epoch"])
    except Exception as error:
        raise PermanentFailure(
            f"{path} is not a training checkpoint: {one_line(error)}; delete it to start over"
        ) from error
    try:
        check_finite(weights, path)
    except BadWeights as error:
        raise PermanentFailure(f"{error}; delete the file to start over") from error
    return epoch, lora.merged(weights)


def epochs_done(path: Path) -> int:
    """Epochs that a training checkpoint has behind it; see ``load_training_checkpoint``."""
    return load_training_checkpoint(path)[0]
