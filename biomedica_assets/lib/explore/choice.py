"""What was chosen on the page: words or a picture, and values of facets; as a condition, in the words of recipes.

The condition is SQL over the view ``samples``, as a recipe has it, and the index of the page has columns of the same
names: what is seen is what a recipe with this condition selects.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence

from biomedica_assets.lib.errors import PermanentFailure

FACETS = ("license", "year", "journal", "concept", "mesh", "panel", "copies", "recipe")
"""What can be chosen among counted values, in the order of the page."""
AXES = ("global", "local", "content")
MESH = "list_transform(mesh_headings, lambda m: m['descriptor'])"
"""Descriptors of a sample, as SQL over the view."""
_MOST_VALUES = 200
_LONGEST = 500
_LONGEST_AREA, _MOST_CORNERS = 2_000, 64


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """What is asked for.

    Attributes:
        words: of which any may stand in caption, title or keywords.
        looks: words for what a picture shows, compared with pictures by a model of both.
        like: an image whose neighbours are wanted.
        picture: token of a picture that was uploaded.
        licenses: licence codes, any of them; so the other tuples.
        year_from: first year of publication.
        year_to: last year.
        journals: names.
        concepts: ids of the vocabulary.
        confidence: labels below it count as absent.
        mesh: MeSH descriptors of the article.
        panels: panel types.
        copies: how it matches another image: ``bytes``, ``pixels`` or ``perceptual``.
        recipes: ``NAME`` or ``NAME/SPLIT``.
        cluster: number of a cluster.
        pmcids: first and last PMCID, those of a chunk or a shelf for example.
        area: corners of an area of the map.
        ids: only these images (those that were ticked).
    """

    words: str = ""
    looks: str = ""
    like: str = ""
    picture: str = ""
    licenses: tuple[str, ...] = ()
    year_from: int | None = None
    year_to: int | None = None
    journals: tuple[str, ...] = ()
    concepts: tuple[str, ...] = ()
    confidence: float = 0.0
    mesh: tuple[str, ...] = ()
    panels: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()
    recipes: tuple[str, ...] = ()
    cluster: int | None = None
    pmcids: tuple[int, int] | None = None
    area: tuple[tuple[float, float], ...] = ()
    ids: tuple[str, ...] = ()

    @property
    def is_condition(self) -> bool:
        """Whether a condition on single samples says all that was chosen."""
        return not (self.ranked or self.recipes or self.copies or self.area)

    @property
    def ranked(self) -> bool:
        """Whether the answer is a ranking."""
        return bool(self.words or self.looks or self.like or self.picture)


def read(given: Sequence[tuple[str, str]]) -> Choice:
    """A choice from the parameters of an address.

    Raises:
        PermanentFailure: a value is none of its kind, or there are too many.
    """
    values: dict[str, list[str]] = {}
    for name, value in given:
        if value.strip():
            values.setdefault(name, []).append(value.strip())
    if sum(map(len, values.values())) > _MOST_VALUES or any(
        len(v) > (_LONGEST_AREA if name == "area" else _LONGEST) for name, vs in values.items() for v in vs
    ):
        raise PermanentFailure(f"at most {_MOST_VALUES} values of at most {_LONGEST} letters can be chosen at once")

    def several(name: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(values.get(name, ())))

    return Choice(
        words=" ".join(values.get("q", ())),
        looks=_one(values, "looks"),
        like=_one(values, "like"),
        picture=_one(values, "picture"),
        licenses=several("license"),
        year_from=_whole(values, "from"),
        year_to=_whole(values, "to"),
        journals=several("journal"),
        concepts=several("concept"),
        confidence=_share(values),
        mesh=several("mesh"),
        panels=several("panel"),
        copies=several("copies"),
        recipes=several("recipe"),
        cluster=_whole(values, "cluster"),
        pmcids=_pmcids(values),
        area=_area(values),
        ids=several("id"),
    )


def condition(choice: Choice, *, without: str = "") -> str:
    """SQL over the view ``samples``; empty if everything is asked for. Recipes, copies and areas are no part of it.

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
    if choice.mesh and without != "mesh":
        wanted = ", ".join(text(descriptor) for descriptor in choice.mesh)
        parts.append(f"list_has_any({MESH}, [{wanted}])")
    if choice.cluster is not None:
        parts.append(f"cluster = {choice.cluster}")
    if choice.pmcids is not None:
        parts.append(f"pmcid BETWEEN {choice.pmcids[0]} AND {choice.pmcids[1]}")
    return " AND ".join(parts)


def within(area: Sequence[tuple[float, float]]) -> str:
    """SQL over ``x`` and ``y``: whether a point lies in an area, by how many of its edges lie to the right."""
    xs, ys = zip(*area, strict=True)
    box = f"x BETWEEN {min(xs)!r} AND {max(xs)!r} AND y BETWEEN {min(ys)!r} AND {max(ys)!r}"
    crossed = [
        f"CAST((y < {y0!r}) <> (y < {y1!r}) AND x < {x1 - x0!r} * (y - {y0!r}) / {y1 - y0!r} + {x0!r} AS INTEGER)"
        for (x0, y0), (x1, y1) in zip(area, (*area[1:], area[0]), strict=True)
        if y0 != y1
    ]
    return f"({box}) AND ({' + '.join(crossed) or '0'}) % 2 = 1"


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


def _pmcids(values: Mapping[str, Sequence[str]]) -> tuple[int, int] | None:
    given = _one(values, "pmcids")
    if not given:
        return None
    match = re.fullmatch(r"([0-9]{1,9})-([0-9]{1,9})", given)
    if match is None:
        raise PermanentFailure(f"pmcids = {given[:40]!r} is no range such as 11600000-11619999")
    return int(match[1]), int(match[2])


def _area(values: Mapping[str, Sequence[str]]) -> tuple[tuple[float, float], ...]:
    given = _one(values, "area")
    if not given:
        return ()
    number = r"-?[0-9]{1,2}(?:\.[0-9]{1,8})?"
    corners = given.split()
    if not (2 < len(corners) <= _MOST_CORNERS and all(re.fullmatch(f"{number},{number}", one) for one in corners)):
        raise PermanentFailure(
            f"area = {given[:40]!r} are no corners such as 0,0 1,0 1,1; 3 to {_MOST_CORNERS} of them"
        )
    pairs = (one.split(",") for one in corners)
    return tuple((float(x), float(y)) for x, y in pairs)


def _share(values: Mapping[str, Sequence[str]]) -> float:
    given = _one(values, "confidence") or "0"
    try:
        number = float(given)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise PermanentFailure(f"confidence = {given[:40]!r} is no number from 0 to 1")
    return number
