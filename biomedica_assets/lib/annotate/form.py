"""The questions of the annotation form, what a valid answer is, and the guideline that annotators read.

Belongs here: the shape of an answer and its rules. How answers are stored is ``ballots``, how they are counted
``consensus``.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any

import yaml

from biomedica_assets.lib.annotate.plain import as_strings
from biomedica_assets.lib.annotate.taxonomy.model import Taxonomy
from biomedica_assets.lib.errors import BiomedicaError

SINGLE, MULTIPLE = "panel-single", "panel-multiple"
SINGLE_CHOICE = ("panel_type", "panel_subtype")
SETS = ("global", "local", "content")
QUESTIONS = (*SINGLE_CHOICE, *SETS)
MAX_CONCEPTS = 8
MAX_COMMENT = 2000


class InvalidAnswer(BiomedicaError):
    """An answer that breaks the rules of the form."""


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What one person says about one cluster or image.

    Attributes:
        concepts: question -> ids; one id for panel_type and panel_subtype. A question that is absent was not
            answered; an empty tuple for a set question says that no concept fits.
        mixed: the images do not belong together.
        cant_tell: the person cannot judge; then there are no concepts.
        comment: free text, None if empty.
    """

    concepts: Mapping[str, tuple[str, ...]]
    mixed: bool = False
    cant_tell: bool = False
    comment: str | None = None

    def one(self, question: str) -> str | None:
        """The id of a single-choice question."""
        found = self.concepts.get(question, ())
        return found[0] if found else None

    def given(self, question: str) -> tuple[str, ...]:
        """The ids of a question, sorted."""
        return tuple(sorted(self.concepts.get(question, ())))

    def as_json(self) -> dict[str, Any]:
        """Plain values, as they stand in a vote file."""
        plain: dict[str, Any] = {q: self.one(q) for q in SINGLE_CHOICE}
        plain |= {q: list(self.given(q)) if q in self.concepts else None for q in SETS}
        return plain | {"mixed": self.mixed, "cant_tell": self.cant_tell, "comment": self.comment}


def read_answer(raw: Mapping[str, Any], taxonomy: Taxonomy, *, partial: bool = False) -> Answer:
    """Check an answer that came from outside.

    Args:
        raw: keys of ``Answer.as_json``; absent ones count as not answered.
        taxonomy: the vocabulary.
        partial: allow that panel type and global concepts are missing (imports, image-level corrections).

    Raises:
        InvalidAnswer: wrong types, unknown or misplaced concepts, a broken hierarchy, or nothing answered.
    """
    concepts: dict[str, tuple[str, ...]] = {}
    for question in QUESTIONS:
        ids = _ids(raw.get(question), question)
        if ids or (question in SETS and raw.get(question) is not None):
            concepts[question] = ids
        for concept_id in ids:
            _check_place(question, concept_id, taxonomy)
    mixed, cant_tell, comment = raw.get("mixed", False), raw.get("cant_tell", False), raw.get("comment")
    if not isinstance(mixed, bool) or not isinstance(cant_tell, bool):
        raise InvalidAnswer("mixed and cant_tell must be true or false")
    if comment is not None and (not isinstance(comment, str) or len(comment) > MAX_COMMENT):
        raise InvalidAnswer(f"comment must be text of at most {MAX_COMMENT} characters")
    answer = Answer(concepts, mixed, cant_tell, (comment or "").strip() or None)
    if problems := hierarchy_problems(answer.concepts, taxonomy):
        raise InvalidAnswer("; ".join(problems))
    if cant_tell:
        concepts = {question: ids for question, ids in concepts.items() if ids}
        answer = dataclasses.replace(answer, concepts=concepts)
    if cant_tell and concepts:
        raise InvalidAnswer('an answer is either "can\'t tell" or concepts, not both')
    if not cant_tell and not partial and not (concepts.get("panel_type") and concepts.get("global")):
        raise InvalidAnswer('panel type and at least one global concept are needed, or "can\'t tell"')
    if not cant_tell and not any(concepts.values()) and not mixed:
        raise InvalidAnswer("nothing was answered")
    return answer


def hierarchy_problems(concepts: Mapping[str, Iterable[str]], taxonomy: Taxonomy) -> list[str]:
    """Contradictions between the answers: a local concept without its global one, a sub-type without its panel type."""
    found: list[str] = []
    tops = set(concepts.get("global", ()))
    for local in concepts.get("local", ()):
        if taxonomy.top(local) not in tops:
            wanted = taxonomy.get(taxonomy.top(local)).label
            found.append(f"local concept {taxonomy.get(local).label!r} needs the global concept {wanted!r}")
    types = set(concepts.get("panel_type", ()))
    loose = [subtype for subtype in concepts.get("panel_subtype", ()) if taxonomy.top(subtype) not in types]
    found += [f"panel sub-type {taxonomy.get(s).label!r} needs the panel type 'several panels'" for s in loose]
    return found


def choices(question: str, taxonomy: Taxonomy) -> tuple[str, ...]:
    """Ids offered for a question, in the order of the vocabulary."""
    if question == "content":
        return tuple(c.id for c in taxonomy.concepts.values() if c.axis == "content" and not c.deprecated)
    axis = "panel" if question in SINGLE_CHOICE else "kind"
    return taxonomy.tops(axis) if question in {"panel_type", "global"} else taxonomy.below(axis)


def _ids(value: Any, question: str) -> tuple[str, ...]:
    if value is None or value == "":
        return ()
    ids = [value] if isinstance(value, str) else as_strings(value)
    if ids is None:
        raise InvalidAnswer(f"{question} must be a list of concept ids")
    if len(set(ids)) != len(ids):
        raise InvalidAnswer(f"{question} names a concept twice")
    limit = 1 if question in SINGLE_CHOICE else MAX_CONCEPTS
    if len(ids) > limit:
        raise InvalidAnswer(f"{question} takes at most {limit} concepts, {len(ids)} were given")
    return tuple(sorted(ids))


def _check_place(question: str, concept_id: str, taxonomy: Taxonomy) -> None:
    if concept_id not in taxonomy:
        raise InvalidAnswer(f"{question}: {concept_id[:80]!r} is not a concept of taxonomy {taxonomy.version}")
    concept = taxonomy.get(concept_id)
    axis = {"content": "content", "global": "kind", "local": "kind"}.get(question, "panel")
    top = {"panel_type": True, "global": True, "panel_subtype": False, "local": False}.get(question)
    if concept.axis != axis or (top is not None and top != (concept.broader is None)):
        raise InvalidAnswer(f"{question}: {concept_id} is no answer to this question")


@dataclasses.dataclass(frozen=True, slots=True)
class Guideline:
    """The text that annotators follow; its version is written into each vote."""

    version: str
    title: str
    text: str


@functools.cache
def guideline() -> Guideline:
    """The guideline of this release."""
    raw = resources.files("biomedica_assets.lib.annotate").joinpath("guideline.md").read_text(encoding="utf-8")
    _, head, text = raw.split("---\n", 2)
    front: dict[str, str] = yaml.safe_load(head)
    return Guideline(front["version"], front["title"], text.strip())
