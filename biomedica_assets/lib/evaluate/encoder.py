"""A loaded model: pixels and texts in, unit vectors out.

open_clip does the loading, so every architecture and weights file it knows works here; weights are read as safetensors
or with ``weights_only``. The preprocessing is the one that comes with the weights: open_clip knows that of its own tags
and of the hub's repositories; a file of ours has it in its metadata.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from biomedica_assets.lib import quiet
from biomedica_assets.lib.evaluate.models import HUB, ModelSpec, WeightsMissing
from biomedica_assets.lib.evaluate.task import Image
from biomedica_assets.lib.images.canonical import from_array, open_canonical
from biomedica_assets.lib.store.manifest import digest
from biomedica_assets.lib.weights import BadWeights, check_file, check_finite, one_line

F32 = NDArray[np.float32]
TEXT_BATCH = 256
# what Pillow raises: SyntaxError for some broken PNGs, its own error for images of more pixels than its limit
UNDECODABLE = (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError)


class Encoder(Protocol):
    """What scoring needs of a model."""

    @property
    def spec(self) -> ModelSpec:
        """The model that was loaded."""
        ...

    @property
    def digest(self) -> str:
        """Digest of weights, architecture, precision and preprocessing: the model's part of the feature cache key."""
        ...

    @property
    def logit_scale(self) -> float:
        """Factor between cosine similarity and the model's logits."""
        ...

    def prepare(self, image: Image) -> Any:
        """Decode and preprocess one image; safe in threads. Raises one of ``UNDECODABLE``."""
        ...

    def images(self, batch: Sequence[Any]) -> F32:
        """Unit vectors of prepared images: n x d."""
        ...

    def texts(self, texts: Sequence[str]) -> F32:
        """Unit vectors of texts: n x d."""
        ...


class OpenClipEncoder:
    """An open_clip model on one device."""

    def __init__(self, spec: ModelSpec, device: str = "cpu", precision: str = "fp32") -> None:
        """Load a model.

        Raises:
            WeightsMissing: weights or config are not to be had; the message says what to set.
        """
        torch: Any = importlib.import_module("torch")
        self.spec = spec
        self._torch, self._device = torch, device
        self._model, self._transform, self._tokenizer = _load(spec, device, precision)
        scale: Any = self._model.logit_scale
        self.logit_scale = float(scale.detach().exp())
        weights = spec.known_digest() or _parameters_digest(self._model)
        self.digest = digest(weights, precision, str(self._transform), _tokenizer_name(self._tokenizer))

    def prepare(self, image: Image) -> Any:
        """See ``Encoder.prepare``."""
        return self._transform(decode(image))

    def images(self, batch: Sequence[Any]) -> F32:
        """See ``Encoder.images``."""
        torch = self._torch
        with torch.inference_mode():
            pixels = torch.stack(list(batch)).to(self._device, non_blocking=True)
            return self._unit(self._model.encode_image(pixels.to(self._dtype())))

    def texts(self, texts: Sequence[str]) -> F32:
        """See ``Encoder.texts``."""
        parts: list[F32] = []
        with self._torch.inference_mode():
            for start in range(0, len(texts), TEXT_BATCH):
                tokens = self._tokenizer(list(texts[start : start + TEXT_BATCH])).to(self._device)
                parts.append(self._unit(self._model.encode_text(tokens)))
        return np.concatenate(parts)

    def _unit(self, features: Any) -> F32:
        unit: F32 = self._torch.nn.functional.normalize(features.float(), dim=-1).cpu().numpy()
        return unit

    def _dtype(self) -> Any:
        return next(self._model.visual.parameters()).dtype


def open_model(spec: ModelSpec, device: str = "cpu", precision: str = "fp32") -> Encoder:
    """Load a model; see ``OpenClipEncoder``."""
    return OpenClipEncoder(spec, device, precision)


def decode(image: Image) -> PIL.Image.Image:
    """The canonical picture of an image of a test set, as training and hashing see it.

    Raises:
        One of ``UNDECODABLE``: the bytes are not an image, are cut off, or have too many pixels.
    """
    if isinstance(image, np.ndarray):
        return from_array(image)
    return open_canonical(image)


def _load(spec: ModelSpec, device: str, precision: str) -> tuple[Any, Any, Any]:
    open_clip: Any = importlib.import_module("open_clip")
    torch: Any = importlib.import_module("torch")
    name = _registered(spec)
    spec.check_weights()
    if spec.weights is None and not name.startswith(HUB):
        torch.manual_seed(spec.seed)
    given = spec.weights_path()
    try:
        if given is not None:
            check_file(given)
        with quiet.while_opening_a_model():
            model, _, transform = open_clip.create_model_and_transforms(
                name, pretrained=spec.weights, precision=precision, device=device, pretrained_text=False,
                weights_only=True, **_preprocessing(spec.weights),
            )  # fmt: skip
            tokenizer = open_clip.get_tokenizer(name)
        if given is not None:
            check_finite(model.state_dict(), given)
    except BadWeights as error:
        raise WeightsMissing(f"model {spec.name}: {error}") from error
    except Exception as error:
        # Each format's reader has its own errors, none of them derived from another's.
        raise WeightsMissing(_advice(spec, one_line(error))) from error
    if spec.weights is None and name.startswith(HUB) and not _has_weights(spec):
        raise WeightsMissing(_advice(spec, "the repository's weights could not be fetched"))
    return model.eval(), transform, tokenizer


def _preprocessing(weights: str | None) -> dict[str, Any]:
    """Options of ``create_model_and_transforms`` for what a weights file says of its images; none if it says nothing.

    For a local file open_clip takes OpenAI's mean, std and resizing, whatever it was trained with (SigLIP's: 0.5).
    ``lib.clip`` writes the entry.
    """
    if weights is None or not weights.endswith(".safetensors"):
        return {}
    safetensors: Any = importlib.import_module("safetensors")
    try:
        with safetensors.safe_open(weights, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
    except (OSError, safetensors.SafetensorError):
        return {}  # loading it fails next, and says what to do
    found: dict[str, Any] = json.loads(metadata.get("biomedica", "{}")).get("preprocessing", {})
    return {f"image_{name}": value for name, value in found.items()}


def _registered(spec: ModelSpec) -> str:
    """Name under which open_clip knows the architecture; a config file is registered under its content's digest.

    open_clip keeps configs in one table by file name: two recipes may both have a ``demo.json``.
    """
    path = spec.config_path()
    if path is None:
        return spec.architecture
    open_clip: Any = importlib.import_module("open_clip")
    try:
        text = path.read_bytes()
    except OSError as error:
        raise WeightsMissing(f"model {spec.name}: cannot read the model config {path} ({error.strerror})") from error
    name = f"{path.stem}-{hashlib.sha256(text).hexdigest()[:12]}"
    if name not in open_clip.list_models():
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / f"{name}.json"
            copy.write_bytes(text)
            open_clip.add_model_config(copy)
    if name not in open_clip.list_models():
        raise WeightsMissing(
            f"model {spec.name}: {path} is not an open_clip model config (embed_dim, vision_cfg, text_cfg are needed)"
        )
    return name


def _has_weights(spec: ModelSpec) -> bool:
    """open_clip only warns when a hub repository's weights cannot be had, and leaves them random."""
    pretrained: Any = importlib.import_module("open_clip.pretrained")
    try:
        pretrained.download_pretrained_from_hf(spec.architecture.removeprefix(HUB))
    except (OSError, RuntimeError, ValueError) as error:
        logging.getLogger(__name__).warning("%s: %s", spec.name, error)
        return False
    return True


def _advice(spec: ModelSpec, error: object) -> str:
    where = f"{spec.architecture} {spec.weights or ''}".strip()
    return (
        f"model {spec.name}: {where} could not be loaded ({error}). Set `weights` to a local file, or put the weights "
        "into the Hugging Face cache (HF_HOME) on a machine with network and copy it here."
    )


def _parameters_digest(model: Any) -> str:
    torch: Any = importlib.import_module("torch")
    state = hashlib.sha256()
    for key, tensor in sorted(model.state_dict().items()):
        state.update(f"{key}:{tuple(tensor.shape)}:{tensor.dtype}".encode())
        state.update(tensor.cpu().contiguous().flatten().view(dtype=torch.uint8).numpy().data)
    return state.hexdigest()


def _tokenizer_name(tokenizer: Any) -> str:
    return f"{type(tokenizer).__name__}:{getattr(tokenizer, 'context_length', None)}"
