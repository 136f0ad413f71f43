"""Training profiles: everything that decides how a checkpoint is trained, as YAML.

Those shipped lie in ``profiles/``; a file ``profiles/<name>.yaml`` in the data directory adds one or replaces a shipped
one. A profile is checked whole before anything is made of it: each field against what is allowed, then those that
belong together, then, by ``check_training``, against the recipe and the devices.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import typing
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import yaml

from biomedica_assets.lib.errors import PermanentFailure, WaitingFor

FEWEST_PAIRS = 2
"""Of a validation split."""
_MORE_OR_SMALLER = (
    "take more articles, or set training_profile to one with a smaller batch_size (your own in profiles/)"
)
Precision = Literal["fp32", "bf16", "fp16", "amp", "amp_bf16"]
Scheduler = Literal["cosine", "const"]


@dataclasses.dataclass(frozen=True, slots=True)
class Allowed:
    """What a field may hold: in words, and as a test of its value."""

    words: str
    test: Callable[[Any], bool]


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: object, least: int = 1, most: int | None = None) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= (most or value)


_TEXT = Allowed("text", lambda v: isinstance(v, str) and bool(v.strip()))
_SWITCH = Allowed("true or false, without quotes", lambda v: isinstance(v, bool))
_POSITIVE = Allowed("a number above 0", lambda v: _number(v) and v > 0)
_NOT_NEGATIVE = Allowed("a number of 0 or more", lambda v: _number(v) and v >= 0)
_BETA = Allowed("a number from 0 to below 1", lambda v: _number(v) and 0 <= v < 1)
_COUNT = Allowed("a number above 0, a whole one", _whole)
_BATCH = Allowed("a number above 0, a whole one up to 1,048,576", lambda v: _whole(v, 1, 1 << 20))
_RANK = Allowed("1 to 1,024, a whole number", lambda v: _whole(v, 1, 1024))
_FIELD = r"[A-Za-z_][A-Za-z0-9_.]*"
_CAPTION = Allowed(
    "names of fields joined by + and |, such as txt|txt+mentions.text|panel",
    lambda v: isinstance(v, str) and re.fullmatch(rf"{_FIELD}([+|]{_FIELD})*", v) is not None,
)
_COUNT_OR_NONE = Allowed("a whole number, 0 or more", lambda v: _whole(v, 0))
_SIZE = Allowed("16 to 2048 pixels, a whole number", lambda v: _whole(v, 16, 2048))
_CONTEXT = Allowed("8 to 512, a whole number of tokens", lambda v: _whole(v, 8, 512))
_ALPHAS = Allowed(
    "a list of numbers between 0 and 1",
    lambda v: isinstance(v, list | tuple) and all(_number(a) and 0 < a < 1 for a in cast("list[Any]", v)),
)
_PASSES = Allowed(
    "recipes and their passes, whole numbers above 0",
    lambda v: (
        isinstance(v, Mapping) and all(isinstance(k, str) and _whole(n) for k, n in cast("dict[Any, Any]", v).items())
    ),
)


def _one_of(literal: Any) -> Allowed:
    names: tuple[str, ...] = typing.get_args(literal)
    return Allowed(f"one of {', '.join(names)}", lambda v: isinstance(v, str) and v in names)


@dataclasses.dataclass(frozen=True, slots=True)
class Profile:
    """How to train.

    Attributes:
        name: name of the profile.
        model: open_clip architecture, or the name of a model configuration shipped beside the profiles.
        pretrained: open_clip tag of the base weights, a path to a weights file, or None to start from scratch.
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
        siglip: sigmoid loss instead of softmax, on any architecture: one without a bias of its logits is given one.
        lock_image: leave the image tower as it is (LiT, arXiv 2111.07991).
        lock_text: leave the text tower as it is.
        lora_rank: train low-rank additions to the matrices of both towers instead of the matrices (LoRA, arXiv
            2106.09685); None trains them whole. The weights that are written have the additions in them.
        lora_alpha: an addition is scaled by this over its rank.
        compile: ``torch.compile``; worth its minutes of compiling on a card.
        grad_checkpointing: recompute activations to save memory.
        context_length: tokens of text, None for the model's own; positions of other lengths are interpolated.
        caption: text of a sample, None for its caption: a field of its JSON, ``a+b`` for two of them joined, ``a|b``
            for one of them drawn for each sample and epoch; ``panel`` is the part of the caption about one panel
            (``txt|txt+mentions.text|panel``).
        image_size: pixels, None for the model's own.
        virtual_shards: least number of streams an epoch is cut into; more where they would be long, or for the workers.
        max_samples: at most so many samples an epoch, None for all; each epoch takes others. A run resumes at an epoch,
            so more and shorter epochs lose less when it is killed.
        alphas: weights of the trained model in the interpolations.
        keep_every: keep and validate the weights after each so many epochs, None for the last epoch alone.
        keep_best: of the epochs that ``keep_every`` names, keep the one that validates best, and no other.
        validation_pairs: held-out pairs that choose alpha and the best epoch; a sample by hash where there are more.
        source: where the numbers come from.
    """

    name: Annotated[str, _TEXT]
    model: Annotated[str, _TEXT]
    pretrained: Annotated[str | None, _TEXT]
    batch_size: Annotated[int, _BATCH]
    learning_rate: Annotated[float, _POSITIVE]
    epochs: Annotated[int, _COUNT]
    source: Annotated[str, _TEXT]
    accumulate: Annotated[int, _COUNT] = 1
    warmup: Annotated[int, _COUNT_OR_NONE] = 0
    scheduler: Annotated[Scheduler, _one_of(Scheduler)] = "cosine"
    beta1: Annotated[float, _BETA] = 0.9
    beta2: Annotated[float, _BETA] = 0.98
    epsilon: Annotated[float, _POSITIVE] = 1e-6
    weight_decay: Annotated[float, _NOT_NEGATIVE] = 0.2
    grad_clip_norm: Annotated[float | None, _POSITIVE] = None
    epochs_by_recipe: Annotated[Mapping[str, int], _PASSES] = dataclasses.field(default_factory=dict[str, int])
    precision: Annotated[Precision, _one_of(Precision)] = "fp32"
    siglip: Annotated[bool, _SWITCH] = False
    lock_image: Annotated[bool, _SWITCH] = False
    lock_text: Annotated[bool, _SWITCH] = False
    lora_rank: Annotated[int | None, _RANK] = None
    lora_alpha: Annotated[float, _POSITIVE] = 16.0
    compile: Annotated[bool, _SWITCH] = False
    grad_checkpointing: Annotated[bool, _SWITCH] = False
    context_length: Annotated[int | None, _CONTEXT] = None
    caption: Annotated[str | None, _CAPTION] = None
    image_size: Annotated[int | None, _SIZE] = None
    virtual_shards: Annotated[int, _COUNT_OR_NONE] = 0
    max_samples: Annotated[int | None, _COUNT] = None
    alphas: Annotated[tuple[float, ...], _ALPHAS] = (0.25, 0.5, 0.75)
    keep_every: Annotated[int | None, _COUNT] = None
    keep_best: Annotated[bool, _SWITCH] = False
    validation_pairs: Annotated[int, _COUNT] = 5000

    def epochs_of(self, recipe: str) -> int:
        """Passes over a recipe."""
        return self.epochs_by_recipe.get(recipe, self.epochs)

    def as_config(self) -> dict[str, Any]:
        """The profile as a manifest records it."""
        return dataclasses.asdict(self)

    def kept_epochs(self, recipe: str) -> list[int]:
        """Epochs, counted from 1, whose weights are validated beside the last one's."""
        if self.keep_every is None:
            return []
        return list(range(self.keep_every, self.epochs_of(recipe), self.keep_every))


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
        raw = yaml.load(text, Loader=_Loader)  # noqa: S506 - derived from SafeLoader
    except yaml.YAMLError as error:
        raise PermanentFailure(f"{where} is not valid YAML: {error}") from error
    return parse(raw, name, where)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, for which ``1e-3`` is the number that YAML 1.2 takes it for, and not text (YAML 1.1)."""


_Loader.yaml_implicit_resolvers = {  # pyright: ignore[reportUnknownMemberType]
    first: list(rules)
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()  # pyright: ignore
}
_Loader.add_implicit_resolver(  # pyright: ignore[reportUnknownMemberType]
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def parse(raw: Any, name: str, where: str) -> Profile:
    """Check the fields of a profile.

    Raises:
        PermanentFailure: the message names the first field that is wrong, its value, and what is allowed.
    """
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
    for field, value in values.items():
        _check_field(field, value, where)
    if "alphas" in values:
        values["alphas"] = tuple(values["alphas"])
    profile = Profile(**values)
    _check_together(profile, where)
    return profile


_HINTS = typing.get_type_hints(Profile, include_extras=True)


def _check_field(field: str, value: object, where: str) -> None:
    plain, allowed = typing.get_args(_HINTS[field])
    optional = type(None) in typing.get_args(plain)
    if (value is None and not optional) or (value is not None and not allowed.test(value)):
        also = " or null" if optional else ""
        raise PermanentFailure(f"{where}: {field} is {value!r}, expected {allowed.words}{also}")


def _check_together(profile: Profile, where: str) -> None:
    """Refuse fields that are each allowed and together make no sense."""
    if profile.batch_size % profile.accumulate:
        raise PermanentFailure(
            f"{where}: batch_size {profile.batch_size} is no multiple of accumulate {profile.accumulate}"
        )
    named = [f"{alpha:.2f}" for alpha in profile.alphas]
    for name in named:
        if named.count(name) > 1 or name in ("0.00", "1.00"):
            raise PermanentFailure(
                f"{where}: alphas are {list(profile.alphas)!r}, expected numbers that differ from each other, from 0 "
                f"and from 1 in their first two decimals: two would be called {name}"
            )
    if profile.lock_image and profile.lock_text:
        raise PermanentFailure(f"{where}: lock_image and lock_text are both true: nothing would be trained")
    if profile.lora_rank is not None and (profile.lock_image or profile.lock_text):
        raise PermanentFailure(f"{where}: lora_rank is {profile.lora_rank} and a tower is locked; take one of the two")
    if profile.lora_rank is not None and profile.compile:
        raise PermanentFailure(f"{where}: lora_rank is {profile.lora_rank} and compile is true; take one of the two")
    if profile.keep_best and profile.keep_every is None:
        raise PermanentFailure(f"{where}: keep_best is true; keep_every must say after how many epochs to look")


def check_training(profile: Profile, recipe: str, *, samples: int, unreadable: int, devices: int) -> None:
    """Refuse a profile that does not fit what it would be trained on.

    Args:
        profile: the profile.
        recipe: of which epochs are counted.
        samples: of an epoch that can be read.
        unreadable: others of an epoch.
        devices: that share a batch.

    Raises:
        PermanentFailure: the message names the field and what it was compared with.
        WaitingFor: there is too little data for the profile yet.
    """
    here = f"profile {profile.name}"
    if profile.batch_size < profile.accumulate * devices:
        raise PermanentFailure(
            f"{here}: batch_size {profile.batch_size} is too small for {devices} devices with "
            f"{profile.accumulate} accumulation steps"
        )
    an_epoch = min(samples, profile.max_samples or samples)
    if profile.max_samples is not None and profile.max_samples < profile.batch_size:
        raise PermanentFailure(
            f"{here}: batch_size {profile.batch_size} is more than max_samples {profile.max_samples}; lower it"
        )
    if an_epoch < profile.batch_size:
        others = f" ({unreadable:,} more are in formats that training does not read)" if unreadable else ""
        raise WaitingFor(
            f"training samples: {recipe} has {an_epoch:,}{others}, a batch of the {here} takes {profile.batch_size:,}",
            _MORE_OR_SMALLER,
        )
    steps = -(-an_epoch // profile.batch_size) * profile.epochs_of(recipe)
    if profile.warmup >= steps:
        raise WaitingFor(
            f"training samples: {recipe} has {an_epoch:,}, which make {steps:,} steps of batch_size "
            f"{profile.batch_size:,} in {profile.epochs_of(recipe)} epochs; the {here} warms up for "
            f"{profile.warmup:,}, which must be fewer",
            _MORE_OR_SMALLER,
        )


def check_validation(recipe: str, pairs: int) -> None:
    """Refuse a validation split by which no two candidates could be told apart.

    Args:
        recipe: its name.
        pairs: images with captions in the split.

    Raises:
        WaitingFor: there are fewer than two.
    """
    if pairs < FEWEST_PAIRS:
        raise WaitingFor(
            f"images to validate on: the validation split of {recipe} has {pairs}, {FEWEST_PAIRS} are the least",
            "take more articles, or give it a larger share in the recipe (splits.validation)",
        )
