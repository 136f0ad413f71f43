"""A recipe as a YAML file: what may stand in it, and clear words where something else does.

``full``, ``balanced`` and ``filtered`` are shipped in ``shipped/``; a file ``recipes/NAME.yaml`` in the data directory
adds a recipe, or replaces the shipped one of that name. Which columns and concepts exist is checked when it is built.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import pydantic
import yaml

from biomedica_assets.lib.errors import PermanentFailure, WaitingFor

SHIPPED = Path(__file__).parent / "shipped"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_SUFFIX = ".yaml"

License = Literal["commercial", "noncommercial", "other"]
Dedup = Literal["near", "pixels", "bytes", "none"]
Unit = Literal["figure", "panel"]
Share = Annotated[float, pydantic.Field(ge=0, le=1)]


class RecipeError(PermanentFailure):
    """A recipe cannot be used as it is written; the message names the file or recipe, the place and the way out."""


class SelectsNothing(RecipeError, WaitingFor):
    """A recipe of which there is no sample yet."""


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True)


class Concepts(_Strict):
    """What the labels of a sample decide. Concepts are named by id or by any of their names; narrower ones count."""

    include: tuple[str, ...] = pydantic.Field((), strict=False, description="Only samples with one of these.")
    exclude: tuple[str, ...] = pydantic.Field((), strict=False, description="No samples with one of these.")
    min_confidence: Share = pydantic.Field(0.0, description="Labels below this confidence count as absent.")
    sources: tuple[
        Annotated[str, pydantic.Field(pattern=r"^(text|propagated|model|combined|released:[a-z0-9-]+)$")], ...
    ] = pydantic.Field((), strict=False, description="Only labels that one of these sources gives; empty takes all.")
    caps: dict[str, Annotated[int, pydantic.Field(ge=0)]] = pydantic.Field(
        default_factory=dict, description="At most so many samples of a top concept."
    )
    balance: Annotated[float, pydantic.Field(gt=0, le=1)] | None = pydantic.Field(
        None, description="Keep this share of the samples, by one cap for all top concepts."
    )
    weights: dict[str, Annotated[float, pydantic.Field(ge=0, le=100)]] = pydantic.Field(
        default_factory=dict, description="How often a sample of a top concept comes in a training epoch, on average."
    )

    @property
    def needed(self) -> bool:
        """Whether labels are needed to build the recipe."""
        return bool(self.include or self.exclude or self.caps or self.balance or self.weights)


class Captions(_Strict):
    """What the caption of a sample must be. Words are what blanks separate; training reads the same text."""

    min_words: Annotated[int, pydantic.Field(ge=0)] = pydantic.Field(0, description="Words at least.")
    max_words: Annotated[int, pydantic.Field(ge=1)] | None = pydantic.Field(None, description="Words at most.")
    min_chars: Annotated[int, pydantic.Field(ge=0)] = pydantic.Field(0, description="Characters at least.")
    max_chars: Annotated[int, pydantic.Field(ge=1)] | None = pydantic.Field(None, description="Characters at most.")
    languages: tuple[Annotated[str, pydantic.Field(pattern=r"^[a-z]{2}$")], ...] = pydantic.Field(
        (), strict=False, description="Only captions in one of these languages (ISO 639-1: en, de); empty takes all."
    )

    @pydantic.model_validator(mode="after")
    def _leave_some(self) -> Captions:
        for what, least, most in (
            ("words", self.min_words, self.max_words),
            ("chars", self.min_chars, self.max_chars),
        ):
            if most is not None and least > most:
                raise ValueError(f"min_{what} {least} is more than max_{what} {most}")
        return self

    @property
    def measured(self) -> bool:
        """Whether the length of captions is asked for."""
        return bool(self.min_words or self.min_chars or self.max_words or self.max_chars)


class Splits(_Strict):
    """How the articles that are not held out are split: a share validates, the rest trains.

    What is held out is the same for all recipes (setting ``held_out``), so that their scores can be compared.
    """

    validation: Share = 0.05
    seed: int = 0


class Recipe(_Strict):
    """A definition. Fields that are left out have the values below."""

    title: str = pydantic.Field("", description="One line for people.")
    description: str = pydantic.Field("", description="What the subset is for.")
    unit: Unit = pydantic.Field(
        "figure", description="What a sample is: a whole picture, or each panel of one, cropped, with its own words."
    )
    min_link_score: Share = pydantic.Field(
        0.0, description="Of unit panel: panels are left out of which it is less sure that these are their words."
    )
    where: str = pydantic.Field("", description="SQL condition over the columns of the view samples; empty takes all.")
    licenses: tuple[License, ...] = pydantic.Field(
        ("commercial", "noncommercial", "other"), strict=False, min_length=1, description="Licence groups taken."
    )
    mesh: tuple[str, ...] = pydantic.Field(
        (), strict=False, description="Only articles with one of these MeSH headings."
    )
    keywords: tuple[str, ...] = pydantic.Field(
        (), strict=False, description="Only articles with one of these keywords."
    )
    journals: tuple[str, ...] = pydantic.Field((), strict=False, description="Only articles of these journals.")
    concepts: Concepts = pydantic.Field(default_factory=lambda: Concepts.model_validate({}))
    captions: Captions = pydantic.Field(default_factory=lambda: Captions.model_validate({}))
    min_pair_score: Annotated[float, pydantic.Field(ge=-1, le=1)] | None = pydantic.Field(
        None, description="Only pairs whose picture and caption have at least this cosine (setting pair_model)."
    )
    dedup: Dedup = pydantic.Field("near", description="Keep one image of each duplicate group; near is the widest.")
    semantic_dedup: Annotated[float, pydantic.Field(gt=0, lt=1)] | None = pydantic.Field(
        None,
        description="Of pictures of one cluster whose vectors have a cosine above 1 less this, the one furthest from "
        "the centroid stays (SemDeDup).",
    )
    decontaminate: bool = pydantic.Field(True, description="Leave out images that evaluation tasks use.")
    seed: int = pydantic.Field(0, description="Of caps, weights and the order of training.")
    splits: Splits = Splits()


def names(folder: Path | None = None) -> list[str]:
    """Names of all recipes: the shipped ones and those of a folder of the user's, sorted."""
    found = {path.stem for place in (SHIPPED, folder) if place is not None for path in place.glob(f"*{_SUFFIX}")}
    return sorted(name for name in found if NAME.fullmatch(name))


def load(name: str, folder: Path | None = None) -> Recipe:
    """The recipe of a name.

    Args:
        name: file name without ``.yaml``.
        folder: the user's recipes, usually ``recipes`` in the data directory; they win over shipped ones.

    Raises:
        RecipeError: there is none of that name, or it is not valid.
    """
    if not NAME.fullmatch(name):
        raise RecipeError(f"{name!r} cannot be a recipe's name: a-z, 0-9, _ and -, at most 63")
    for place in (folder, SHIPPED):
        path = place / f"{name}{_SUFFIX}" if place else None
        if path and path.is_file():
            return parse(path.read_text(encoding="utf-8"), str(path))
    known = names(folder)
    raise RecipeError(f"there is no recipe {name!r}{suggestion(name, known)}; there are: {', '.join(known)}")


@functools.lru_cache(256)
def parse(text: str, where: str) -> Recipe:
    """A recipe from YAML; of the same text the same one.

    Each chunk asks what recipes take: over 650 chunks, parsing three files each time took 3 s.

    Raises:
        RecipeError: it is no YAML, or holds an unknown field or a wrong value; the message names each.
    """
    try:
        raw: Any = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # the reader's own: impossible dates, deep nesting
        raise RecipeError(f"{where} is not valid YAML: {error}") from error
    if not isinstance(raw, dict):
        raise RecipeError(f"{where}: expected fields such as 'where:', found {type(raw).__name__}")
    try:
        return Recipe.model_validate(cast("dict[str, Any]", raw))
    except pydantic.ValidationError as error:
        raise RecipeError(f"{where}: " + "; ".join(_faults(error))) from error


def suggestion(word: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)``, or nothing if no known word is close."""
    close = difflib.get_close_matches(word, list(known), n=3, cutoff=0.6)
    return f" (did you mean {' or '.join(repr(c) for c in close)}?)" if close else ""


def _faults(error: pydantic.ValidationError) -> list[str]:
    said: list[str] = []
    for fault in error.errors():
        place = ".".join(str(part) for part in fault["loc"]) or "recipe"
        if fault["type"] == "extra_forbidden":
            *outer, name = place.split(".")
            model = {"captions": Captions, "concepts": Concepts, "splits": Splits}.get(".".join(outer), Recipe)
            said.append(f"unknown field {place}{suggestion(name, model.model_fields)}")
        else:
            given = fault["input"]
            licence = isinstance(given, str) and "licenses" in place
            hint = suggestion(given, ("commercial", "noncommercial", "other")) if licence else ""
            said.append(f"{place} = {given!r}: {fault['msg']}{hint}")
    return said
