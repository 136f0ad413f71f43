"""What was chosen on the page: words or a picture, and values of facets; as a condition, in the words of recipes.

The condition is SQL over the view ``samples``, as a recipe has it, and the index of the page has columns of the same
names: what is seen is what a recipe with this condition selects.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from biomedica_assets.lib.errors import PermanentFailure

FACETS = ("license", "year", "journal", "concept", "panel", "copies", "recipe")
"""What can be chosen among counted values, in the order of the page."""
AXES = ("global", "local", "content")
_MOST_VALUES = 200
_LONGEST = 500


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """What is asked for.

    Attributes:
        words: of which any may stand in caption, title or keywords.
        like: an image whose neighbours are wanted.
        picture: token of a picture that was uploaded.
        licenses: licence codes, any of them; so the other tuples.
        year_from: first year of publication.
        year_to: last year.
        journals: names.
        concepts: ids of the vocabulary.
        confidence: labels below it count as absent.
        panels: panel types.
        copies: how it matches another image: ``bytes``, ``pixels`` or ``perceptual``.
        recipes: ``NAME`` or ``NAME/SPLIT``.
        cluster: number of a cluster.
        ids: only these images (those that were ticked).
    """

    words: str = ""
    like: str = ""
    picture: str = ""
    licenses: tuple[str, ...] = ()
    year_from: int | None = None
    year_to: int | None = None
    journals: tuple[str, ...] = ()
    concepts: tuple[str, ...] = ()
    confidence: float = 0.0
    panels: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()
    recipes: tuple[str, ...] = ()
    cluster: int | None = None
    ids: tuple[str, ...] = ()

    @property
    def is_condition(self) -> bool:
        """Whether a condition on single samples says all that was chosen."""
        return not (self.ranked or self.recipes or self.copies)

    @property
    def ranked(self) -> bool:
        """Whether the answer is a ranking."""
        return bool(self.words or self.like or self.picture)


def read(given: Sequence[tuple[str, str]]) -> Choice:
    """A choice from the parameters of an address.

    Raises:
        PermanentFailure: a value is none of its kind, or there are too many.
    """
    values: dict[str, list[str]] = {}
    for name, value in given:
        if value.strip():
            values.setdefault(name, []).append(value.strip())
    if sum(map(len, values.values())) > _MOST_VALUES or any(len(v) > _LONGEST for vs in values.values() for v in vs):
        raise PermanentFailure(f"at most {_MOST_VALUES} values of at most {_LONGEST} letters can be chosen at once")

    def several(name: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(values.get(name, ())))

    return Choice(
        words=" ".join(values.get("q", ())),
        like=_one(values, "like"),
        picture=_one(values, "picture"),
        licenses=several("license"),
        year_from=_whole(values, "from"),
        year_to=_whole(values, "to"),
        journals=several("journal"),
        concepts=several("concept"),
        confidence=_share(values),
        panels=several("panel"),
        copies=several("copies"),
        recipes=several("recipe"),
        cluster=_whole(values, "cluster"),
        ids=several("id"),
    )


def condition(choice: Choice, *, without: str = "") -> str:
    """SQL over the view ``samples``; empty if everything is asked for. Recipes and copies are no part of it.

    Args:
        choice: what is asked for.
        without: a facet that is left out, for counting its own values.
    """
    parts: list[str] = []
    for facet, column, chosen in (
        ("license", "license_code", choice.licenses),
        ("journal", "journal", choice.journals),
        ("panel", "panel_type", choice.panels),
        ("", "media_id", choice.ids),
    ):
        if chosen and (facet != without or not facet):
            parts.append(f"{column} IN ({', '.join(text(value) for value in chosen)})")
    if without != "year":
        parts += [f"year >= {choice.year_from}"] if choice.year_from is not None else []
        parts += [f"year <= {choice.year_to}"] if choice.year_to is not None else []
    if choice.concepts and without != "concept":
        either = [_has(axis, concept, choice.confidence) for concept in choice.concepts for axis in AXES]
        parts.append("(" + " OR ".join(either) + ")")
    if choice.cluster is not None:
        parts.append(f"cluster = {choice.cluster}")
    return " AND ".join(parts)


def _has(axis: str, concept: str, confidence: float) -> str:
    has = f'list_contains("{axis}", {text(concept)})'
    return f"({has} AND {axis_confidence(axis)} >= {confidence:g})" if confidence else has


def axis_confidence(axis: str) -> str:
    """Name of the column with the confidence of an axis."""
    return f"{axis}_confidence"


def text(value: str) -> str:
    """A text as SQL has it."""
    return "'" + value.replace("'", "''") + "'"


def _one(values: Mapping[str, Sequence[str]], name: str) -> str:
    return values.get(name, ("",))[-1]


def _whole(values: Mapping[str, Sequence[str]], name: str) -> int | None:
    given = _one(values, name)
    if not given:
        return None
    if not (given.isascii() and given.isdecimal() and len(given) < 9):
        raise PermanentFailure(f"{name} = {given[:40]!r} is no whole number")
    return int(given)


def _share(values: Mapping[str, Sequence[str]]) -> float:
    given = _one(values, "confidence") or "0"
    try:
        number = float(given)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise PermanentFailure(f"confidence = {given[:40]!r} is no number from 0 to 1")
    return number
