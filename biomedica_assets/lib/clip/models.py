"""Architectures and base weights: open_clip's, those shipped here, and a user's own configuration file."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from biomedica_assets.lib import hub, quiet
from biomedica_assets.lib.clip.profile import Profile
from biomedica_assets.lib.errors import PermanentFailure, WaitingFor
from biomedica_assets.lib.weights import BadWeights, check_file, check_finite, one_line

SIGMOID = {"init_logit_scale": 2.302585, "init_logit_bias": -10}
"""Starting values of the SigLIP paper (arXiv 2303.15343), as open_clip_train sets them."""
WEIGHT_FILES = (".safetensors", ".pt", ".pth", ".bin", ".npz", ".npy")


_PUBLISHED_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin")
"""Names under which repositories hold open_clip's weights."""


@dataclasses.dataclass(frozen=True, slots=True)
class Architecture:
    """A model open_clip can make: its name, the folders of configurations it needs to know, its configuration."""

    name: str
    folders: tuple[str, ...]
    config: dict[str, Any]


def architecture(name: str, folder: Path | None = None) -> Architecture:
    """Find an architecture by name.

    Args:
        name: open_clip's name, the stem of a file of this package's ``models``, or the stem or path of a user's JSON.
        folder: user's folder of configurations.

    Raises:
        PermanentFailure: nobody knows the name, or the file is no model configuration.
    """
    open_clip: Any = importlib.import_module("open_clip")
    shipped = Path(str(resources.files(__name__.rpartition(".")[0]).joinpath("models")))
    own = Path(name) if name.endswith(".json") else (folder / f"{name}.json" if folder is not None else None)
    if own is not None and own.is_file():
        place, stem = own.parent, own.stem
        _check(own)
        folders = (str(place),)
    elif (shipped / f"{name}.json").is_file():
        folders, stem = (str(shipped),), name
    else:
        folders, stem = (), name
    for path in folders:
        open_clip.add_model_config(path)
    config = open_clip.get_model_config(stem)
    if config is None:
        raise PermanentFailure(
            f"the model {name!r} is unknown: it is neither open_clip's, nor a shipped one, nor a JSON file"
            + (f" in {folder}" if folder is not None else "")
        )
    return Architecture(stem, folders, config)


def configuration(name: str, folder: Path | None = None) -> dict[str, Any]:
    """What ``architecture`` finds, without importing open_clip and torch, which takes some ten seconds.

    Raises:
        PermanentFailure: as there.
    """
    package = importlib.util.find_spec("open_clip")
    published = Path(package.origin or "").parent / "model_configs" if package else None
    own = Path(name) if name.endswith(".json") else (folder / f"{name}.json" if folder is not None else None)
    shipped = Path(str(resources.files(__name__.rpartition(".")[0]).joinpath("models", f"{name}.json")))
    if own is not None and own.is_file():
        _check(own)
    for path in (own, shipped, published / f"{name}.json" if published else None):
        if path is not None and path.is_file():
            return json.loads(path.read_text(encoding="utf-8"))
    return architecture(name, folder).config


def effective_config(chosen: Architecture, profile: Profile) -> dict[str, Any]:
    """The configuration with the profile's sizes in it, so that the weights load without being told of them."""
    config: dict[str, Any] = json.loads(json.dumps(chosen.config))
    if profile.image_size is not None:
        config["vision_cfg"]["image_size"] = profile.image_size
    config["text_cfg"]["context_length"] = context_length(chosen, profile)
    if profile.siglip:
        # Without it an architecture of softmax has no bias of its logits, and the trained weights would not load.
        config |= SIGMOID
    return config


def context_length(chosen: Architecture, profile: Profile) -> int:
    """Tokens of text that the model reads; 77 is open_clip's default."""
    return profile.context_length or chosen.config["text_cfg"].get("context_length", 77)


def image_size(config: dict[str, Any]) -> int:
    """Pixels of a side; 224 is open_clip's default."""
    size: int | list[int] = config["vision_cfg"].get("image_size", 224)
    return size if isinstance(size, int) else size[0]


def preprocessing(model: Any) -> dict[str, Any]:
    """How the model's weights want their images: mean and std (three numbers), interpolation, resize_mode."""
    wanted: dict[str, Any] = json.loads(json.dumps(model.visual.preprocess_cfg))  # lists for tuples
    return {name: wanted[name] for name in ("mean", "std", "interpolation", "resize_mode")}


def _check(path: Path) -> None:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise PermanentFailure(f"{path} is not JSON: {error}") from error
    missing = {"embed_dim", "vision_cfg", "text_cfg"} - set(raw)
    if missing:
        raise PermanentFailure(f"{path} is not an open_clip model configuration: {', '.join(sorted(missing))} missing")


def create(chosen: Architecture, profile: Profile, seed: int) -> Any:
    """The model with the base weights of the profile, or with seeded random ones; on the CPU, in float32.

    Raises:
        WaitingFor: the weights are not here and cannot be fetched.
        PermanentFailure: they are no weights of this model.
    """
    look_for_base(chosen.name, profile)
    open_clip: Any = importlib.import_module("open_clip")
    torch: Any = importlib.import_module("torch")
    torch.manual_seed(seed)
    options = SIGMOID if profile.siglip else {}
    given = pretrained_file(profile)
    try:
        if given is not None:
            check_file(given)
        with quiet.while_opening_a_model():
            model = open_clip.create_model(
                chosen.name, pretrained=profile.pretrained, device="cpu", precision="fp32",
                force_image_size=profile.image_size, force_context_length=profile.context_length, **options,
            )  # fmt: skip
        if given is not None:
            check_finite(model.state_dict(), given)
    except BadWeights:
        raise
    except Exception as error:
        if profile.pretrained is None:
            raise
        place = _published(chosen.name, profile.pretrained) if given is None else None
        if place and not hub.is_cached(place, *_PUBLISHED_FILES):
            raise _waiting(chosen.name, profile, one_line(error)) from error
        raise PermanentFailure(
            f"the base weights {profile.pretrained!r} of {chosen.name} cannot be had: "
            f"{one_line(error)}. With network they come from the hub; without, set "
            f"`pretrained` of the profile {profile.name!r} to a local safetensors file"
        ) from error
    if profile.siglip and "init_logit_bias" not in chosen.config:
        # Weights of softmax: their scale of 100 and no bias would make nearly every pair count as one at the start.
        with torch.no_grad():
            model.logit_scale.fill_(SIGMOID["init_logit_scale"])
            model.logit_bias.fill_(SIGMOID["init_logit_bias"])
    return model


def look_for_base(model: str, profile: Profile) -> None:
    """Make sure that the base weights of a profile can be had, without loading or fetching them.

    Args:
        model: open_clip's name of the architecture.
        profile: names the weights.

    Raises:
        WaitingFor: they are not here and cannot be fetched.
    """
    given = pretrained_file(profile)
    if given is not None:
        why = None if given.is_file() else f"{given} does not exist"
    else:
        place = _published(model, profile.pretrained) if profile.pretrained else None
        why = hub.why_not(place, *_PUBLISHED_FILES) if place else None
    if why:
        raise _waiting(model, profile, why)


def _waiting(model: str, profile: Profile, why: str) -> WaitingFor:
    return WaitingFor(
        f"the base weights {profile.pretrained} of {model}: {why}",
        f"fetch them where there is a network and set `pretrained` of the profile {profile.name} to the file "
        f"(or HF_HOME to the cache), or set training_profile to one that starts from scratch",
        everywhere=True,
    )


def _published(model: str, tag: str) -> str | None:
    """Repository of open_clip's published weights, None for those that lie elsewhere or are unknown."""
    open_clip: Any = importlib.import_module("open_clip")
    config: Mapping[str, Any] = open_clip.get_pretrained_cfg(model, tag) or {}
    return str(config.get("hf_hub") or "").rpartition("/")[0] or None


def pretrained_file(profile: Profile) -> Path | None:
    """The file of the base weights, where the profile names one rather than a tag of open_clip."""
    if profile.pretrained is None:
        return None
    path = Path(profile.pretrained)
    return path if path.suffix in WEIGHT_FILES or path.is_absolute() or path.is_file() else None
