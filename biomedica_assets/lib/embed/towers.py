"""Encoders with weights: timm models (the DINOv2 family by default) and the image towers of open_clip.

Weights come from a local file or from the hub's cache, are hashed into the encoder's digest, and are never unpickled
freely. torch and its friends are imported on opening, not before, and as untyped modules (their types are partial).
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biomedica_assets.lib import hub, quiet
from biomedica_assets.lib.embed.encoder import BatchTooLarge, Encoder, folder_name
from biomedica_assets.lib.embed.preprocess import Preprocessing, preprocessing
from biomedica_assets.lib.errors import PermanentFailure, WaitingFor
from biomedica_assets.lib.store.manifest import digest

DEFAULT = "vit_large_patch14_reg4_dinov2.lvd142m"
OPEN_CLIP = "open_clip/"
SIZE = 224  # BIOMEDICA's; DINOv2's position embeddings are resampled from 518 by timm
SETTING = "encoder_weights"
_TIMM_FILE = "model.safetensors"


class Tower:
    """An image network on a device: bytes in, float32 vectors out."""

    def __init__(
        self, name: str, model: Any, dimension: int, prepare: Preprocessing, device: str, weights_sha: str
    ) -> None:
        """Args: as found by ``open_tower``; ``model`` a ``torch.nn.Module``, ``weights_sha`` of its file."""
        torch = importlib.import_module("torch")

        self.name = folder_name(name)
        self.dimension = dimension
        self.prepare = prepare
        self.preprocessing = f"{prepare.name}-{prepare.version}"
        self.device = device
        # bf16 on CUDA gives other vectors than float32 on a CPU, so the arithmetic is part of what a vector is.
        self.arithmetic = "bfloat16" if device == "cuda" else "float32"
        self.digest = digest(name, weights_sha, prepare.digest, self.arithmetic)
        self._model = model.eval().requires_grad_(False).to(device)
        self._mean = torch.tensor(prepare.mean, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(prepare.std, device=device).view(1, 3, 1, 1)

    def encode(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Bytes (n, size, size, 3) to vectors (n, dimension); see ``Encoder.encode``."""
        torch = importlib.import_module("torch")
        try:
            with torch.inference_mode():
                pixels = torch.from_numpy(batch).to(self.device).permute(0, 3, 1, 2).float().div_(255)
                normal = pixels.sub_(self._mean).div_(self._std).contiguous()
                with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
                    vectors = self._model(normal)
                return vectors.float().reshape(len(batch), self.dimension).cpu().numpy()
        except torch.OutOfMemoryError as error:
            raise BatchTooLarge(f"{len(batch)} images do not fit on {self.device}: {error}") from error


def open_tower(name: str, *, preprocessing: str, weights: Path | None, device: str) -> Encoder:
    """Open a timm or open_clip model by name; see ``registry.open_encoder``."""
    make = _open_clip if name.startswith(OPEN_CLIP) else _timm
    with _opening(name, weights, device) as where:
        return make(name, preprocessing, weights, where)


class Clip:
    """Both towers of an open_clip model, opened once: pictures and words as vectors of one space."""

    def __init__(self, image: Tower, model: Any, tokenizer: Any) -> None:
        """Args: image: its image tower. model, tokenizer: of open_clip, on the tower's device."""
        self.image = image
        self._model, self._tokenizer = model, tokenizer

    def describe(self, words: str) -> NDArray[np.float32]:
        """Words as a vector (dimension,), of any length."""
        torch = importlib.import_module("torch")
        with torch.inference_mode():
            return self._model.encode_text(self._tokenizer([words]).to(self.image.device))[0].float().cpu().numpy()


def open_clip_towers(name: str, *, preprocessing: str, weights: Path | None, device: str) -> Clip:
    """Open both towers of an open_clip model by name; arguments and errors as of ``registry.open_encoder``."""
    open_clip = importlib.import_module("open_clip")
    with _opening(name, weights, device) as where:
        model, config, path = _open_clip_model(name, weights)
        image = _image_tower(name, model, config, preprocessing, where, path)
        return Clip(image, model.eval().to(where), open_clip.get_tokenizer(_open_clip_config(name)[0]))


@contextlib.contextmanager
def _opening(name: str, weights: Path | None, device: str) -> Generator[str]:
    """The device that a model is opened on; what goes wrong meanwhile, in words."""
    if device in ("cuda", "mps"):
        _device(device)  # a wrong setting comes before weights that are not here yet
    look_for(name, weights)
    where = _device(device)
    try:
        yield where
    except (KeyError, ValueError, RuntimeError, OSError) as error:
        if isinstance(error, PermanentFailure):
            raise
        of = f" from {weights}" if weights else ""
        said = " ".join(str(error).split())[:300]  # torch lists every key of the network
        raise PermanentFailure(
            f"encoder {name} cannot be opened{of}: {said}. The file must hold the weights of this very model "
            f"(safetensors, or a pickle of tensors alone); set encoder or {SETTING}"
        ) from error


def look_for(name: str, weights: Path | None) -> None:
    """Make sure that an encoder can be had, without loading or fetching it.

    Raises:
        WaitingFor: its weights are not here and cannot be fetched.
        PermanentFailure: the name is none, or names no weights.
    """
    _check_file(name, weights)
    if weights is None:
        # Asking timm takes seconds (it imports torch), and of the default it is known what it would say.
        repository, filename = _published(name) if name != DEFAULT else (f"timm/{name}", _TIMM_FILE)
        if why := hub.why_not(repository, filename):
            raise _waiting(name, why)


def _check_file(name: str, weights: Path | None) -> None:
    if weights is not None and not weights.is_file():
        raise WaitingFor(
            f"the weights of encoder {name}: {weights} does not exist",
            f"put it there, or correct {SETTING}",
            everywhere=True,
        )


def _waiting(name: str, why: str) -> WaitingFor:
    return WaitingFor(
        f"the weights of encoder {name}: {why}",
        f"fetch them where there is a network and set {SETTING} to the file (or HF_HOME to the cache), or set encoder "
        "to texture, which needs none",
        everywhere=True,
    )


def _published(name: str) -> tuple[str, str]:
    """Repository and file of an encoder's weights on the hub."""
    if name.startswith(OPEN_CLIP):
        return _open_clip_published(name)
    return _timm_published(name, _timm_config(name))


def _device(wanted: str) -> str:
    torch = importlib.import_module("torch")
    usable = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if usable[name])
    if not usable.get(wanted, False):
        raise PermanentFailure(f"device {wanted!r} cannot be used here; set device to auto or cpu")
    return wanted


def _timm(name: str, preprocess: str, weights: Path | None, device: str) -> Tower:
    timm = importlib.import_module("timm")
    config = _timm_config(name)
    path = weights or _from_hub(name, *_timm_published(name, config))
    # A network with position embeddings for one size is told ours; timm then resamples the embeddings it loads.
    sized = {"img_size": SIZE} if config.fixed_input_size and config.input_size[-1] != SIZE else {}
    overlay = {"file": str(path), "custom_load": False}
    model = timm.create_model(name, pretrained=True, num_classes=0, pretrained_cfg_overlay=overlay, **sized)
    prepare = preprocessing(preprocess, SIZE, tuple(config.mean), tuple(config.std))
    return Tower(name, model, model.num_features, prepare, device, _sha256(path))


def _timm_config(name: str) -> Any:
    timm = importlib.import_module("timm")
    config = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    if config is None:
        raise PermanentFailure(
            f"encoder {name!r} is not known to timm {timm.__version__}; take texture, {DEFAULT}, another name of "
            "timm.list_models() or open_clip/<model>"
        )
    return config


def _timm_published(name: str, config: Any) -> tuple[str, str]:
    if not config.hf_hub_id:
        raise PermanentFailure(f"timm names no repository with weights of {name}; set {SETTING} to a local file")
    return config.hf_hub_id, _TIMM_FILE


def _open_clip(name: str, preprocess: str, weights: Path | None, device: str) -> Tower:
    model, config, path = _open_clip_model(name, weights)
    return _image_tower(name, model, config, preprocess, device, path)


def _open_clip_model(name: str, weights: Path | None) -> tuple[Any, Any, Path]:
    """A model with both towers, its configuration, and the file of its weights."""
    open_clip = importlib.import_module("open_clip")
    model_name, config = _open_clip_config(name)
    path = weights or _from_hub(name, *_open_clip_published(name))
    with quiet.while_opening_a_model():
        return open_clip.create_model(model_name, pretrained=str(path), weights_only=True), config, path


def _image_tower(name: str, model: Any, config: Any, preprocess: str, device: str, path: Path) -> Tower:
    shown = model.visual.preprocess_cfg
    size = shown["size"] if isinstance(shown["size"], int) else shown["size"][0]
    prepare = preprocessing(preprocess, size, tuple(shown["mean"]), tuple(shown["std"]))
    return Tower(name, model.visual, config["embed_dim"], prepare, device, _sha256(path))


def _open_clip_config(name: str) -> tuple[str, Any]:
    """Name of the model in open_clip, and its configuration."""
    open_clip = importlib.import_module("open_clip")
    model_name = name.removeprefix(OPEN_CLIP).partition("/")[0]
    config = open_clip.get_model_config(model_name)
    if config is None:
        raise PermanentFailure(f"{model_name!r} is not known to open_clip; see open_clip.list_models()")
    return model_name, config


def _open_clip_published(name: str) -> tuple[str, str]:
    open_clip = importlib.import_module("open_clip")
    model_name, tag = _open_clip_config(name)[0], name.removeprefix(OPEN_CLIP).partition("/")[2]
    known = open_clip.list_pretrained_tags_by_model(model_name)
    if tag not in known:
        raise PermanentFailure(
            f"encoder {name} names no published weights; write open_clip/{model_name}/<tag> with one of "
            f"{', '.join(known) or 'none published'}, or set {SETTING} to a local file"
        )
    config = open_clip.get_pretrained_cfg(model_name, tag)
    repository, _, filename = str(config.get("hf_hub", "")).rpartition("/")
    if repository:
        return repository, filename or "open_clip_model.safetensors"
    raise PermanentFailure(f"weights of {name} are not on the hub ({config.get('url')}); fetch them and set {SETTING}")


def _from_hub(name: str, repository: str, filename: str) -> Path:
    """Path of a file in the hub's cache, fetched into it if the hub can be reached."""
    client = importlib.import_module("huggingface_hub")
    errors = importlib.import_module("huggingface_hub.errors")
    try:
        return Path(client.hf_hub_download(repository, filename))
    except (OSError, errors.HfHubHTTPError, ValueError) as error:
        why = f"{filename} of {repository} is not in the hub's cache and could not be fetched ({type(error).__name__})"
        raise _waiting(name, why) from error


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
