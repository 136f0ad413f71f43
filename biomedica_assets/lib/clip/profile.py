"""Training profiles: everything that decides how a checkpoint is trained, as YAML.

Four are shipped (``bmc-clip``, ``siglip``, ``laptop``, ``demo``); a file ``profiles/<name>.yaml`` in the data directory
adds one or replaces a shipped one.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal, cast

import yaml

from biomedica_assets.lib.errors import PermanentFailure

Precision = Literal["fp32", "bf16", "fp16", "amp", "amp_bf16"]
_PRECISIONS = ("fp32", "bf16", "fp16", "amp", "amp_bf16")


@dataclasses.dataclass(frozen=True, slots=True)
class Profile:
    """How to train.

    Attributes:
        name: name of the profile.
        model: open_clip architecture, or the name of a model configuration shipped beside the profiles.
        pretrained: open_clip tag of the base weights, a path to a safetensors file, or None to start from scratch.
        batch_size: samples per step over all devices, accumulation included.
        accumulate: steps whose batches form one update; ``batch_size`` is divided by it and by the devices.
        learning_rate: peak learning rate.
        warmup: steps of linear warm-up.
        scheduler: open_clip's name of the schedule after the warm-up.
        beta1: AdamW.
        beta2: AdamW.
        epsilon: AdamW.
        weight_decay: AdamW, on matrices only (open_clip's rule).
        grad_clip_norm: clip of the gradient's norm, None for none.
        epochs: passes over the recipe; a recipe's own number under ``epochs_by_recipe`` wins.
        epochs_by_recipe: recipe -> passes.
        precision: open_clip's name of the arithmetic.
        siglip: sigmoid loss instead of softmax.
        grad_checkpointing: recompute activations to save memory.
        context_length: tokens of text, None for the model's own.
        caption: text of a sample, None for its caption: a field of its JSON, ``a+b`` for two of them joined, ``a|b``
            for one of them drawn for each sample and epoch; ``panel`` is the part of the caption about one panel
            (``txt|txt+mentions.text|panel``).
        image_size: pixels, None for the model's own.
        virtual_shards: least number of streams an epoch is cut into; more where they would be long, or for the workers.
        max_samples: at most so many samples an epoch, None for all; each epoch takes others. A run resumes at an epoch,
            so more and shorter epochs lose less when it is killed.
        alphas: weights of the trained model in the interpolations.
        source: where the numbers come from.
    """

    name: str
    model: str
    pretrained: str | None
    batch_size: int
    learning_rate: float
    epochs: int
    source: str
    accumulate: int = 1
    warmup: int = 0
    scheduler: str = "cosine"
    beta1: float = 0.9
    beta2: float = 0.98
    epsilon: float = 1e-6
    weight_decay: float = 0.2
    grad_clip_norm: float | None = None
    epochs_by_recipe: Mapping[str, int] = dataclasses.field(default_factory=dict[str, int])
    precision: Precision = "fp32"
    siglip: bool = False
    grad_checkpointing: bool = False
    context_length: int | None = None
    caption: str | None = None
    image_size: int | None = None
    virtual_shards: int = 0
    max_samples: int | None = None
    alphas: tuple[float, ...] = (0.25, 0.5, 0.75)

    def epochs_of(self, recipe: str) -> int:
        """Passes over a recipe."""
        return self.epochs_by_recipe.get(recipe, self.epochs)

    def as_config(self) -> dict[str, Any]:
        """The profile as a manifest records it."""
        return dataclasses.asdict(self)


def names(folder: Path | None = None) -> list[str]:
    """Profiles that are shipped, and those in ``folder``."""
    shipped = [f.name for f in resources.files(__name__.rpartition(".")[0]).joinpath("profiles").iterdir()]
    own = [f.name for f in folder.glob("*.yaml")] if folder is not None and folder.is_dir() else []
    return sorted({Path(name).stem for name in (*shipped, *own) if name.endswith(".yaml")})


def load(name: str, folder: Path | None = None) -> Profile:
    """Read a profile; one in ``folder`` replaces a shipped one of the same name.

    Raises:
        PermanentFailure: there is none of that name, or a field is unknown, missing or not allowed.
    """
    own = folder / f"{name}.yaml" if folder is not None else None
    shipped = resources.files(__name__.rpartition(".")[0]).joinpath("profiles", f"{name}.yaml")
    if own is not None and own.is_file():
        text, where = own.read_text(encoding="utf-8"), str(own)
    elif shipped.is_file():
        text, where = shipped.read_text(encoding="utf-8"), f"profile {name}"
    else:
        raise PermanentFailure(f"there is no training profile {name!r}; there are {', '.join(names(folder))}")
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise PermanentFailure(f"{where} is not valid YAML: {error}") from error
    return parse(raw, name, where)


def parse(raw: Any, name: str, where: str) -> Profile:
    """Check the fields of a profile."""
    if not isinstance(raw, dict):
        raise PermanentFailure(f"{where}: expected fields and values, found {type(raw).__name__}")
    given = cast("dict[str, Any]", raw)
    known = {field.name: field for field in dataclasses.fields(Profile)}
    for field in given:
        if field not in known or field == "name":
            close = difflib.get_close_matches(str(field), known, n=1)
            raise PermanentFailure(
                f"{where}: unknown field {field!r}" + (f"; did you mean {close[0]!r}?" if close else "")
            )
    missing = [
        field.name
        for field in known.values()
        if field.name not in {*given, "name"}
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise PermanentFailure(f"{where}: missing {', '.join(missing)}")
    values: dict[str, Any] = {**given, "name": name}
    if "alphas" in values:
        values["alphas"] = tuple(values["alphas"])
    profile = Profile(**values)
    _check(profile, where)
    return profile


def _check(profile: Profile, where: str) -> None:
    positive = ("batch_size", "accumulate", "learning_rate", "epochs")
    for field in positive:
        value = getattr(profile, field)
        if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
            raise PermanentFailure(f"{where}: {field} is {value!r}, expected a number above 0")
    if profile.precision not in _PRECISIONS:
        raise PermanentFailure(f"{where}: precision is {profile.precision!r}, expected one of {', '.join(_PRECISIONS)}")
    if profile.batch_size % profile.accumulate:
        raise PermanentFailure(
            f"{where}: batch_size {profile.batch_size} is no multiple of accumulate {profile.accumulate}"
        )
    if not all(0 < a < 1 for a in profile.alphas):
        raise PermanentFailure(f"{where}: alphas are {profile.alphas!r}, expected numbers between 0 and 1")
    if profile.context_length is not None and not 8 <= profile.context_length <= 512:
        raise PermanentFailure(f"{where}: context_length is {profile.context_length}, expected 8 to 512")
