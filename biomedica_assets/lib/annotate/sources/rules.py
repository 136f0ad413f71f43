"""The rules by which text names a concept: words, subject headings and kinds of element, read from ``rules/*.yaml``.

A rule file holds concepts of the taxonomy, each with a list of rules::

    kind-immunoblot:
      - {rule: blot, words: [western blot, immunoblot], trust: 0.88}

``words`` are phrases of captions and mentions: whole words, a plural s allowed, spaces and hyphens alike, ``#`` for a
number. Phrases without lower-case letters (CT, H&E) are matched as they are written, others in any case. Where phrases
overlap the longest counts, so that "optical coherence tomography" is no tomography of another kind. ``mesh`` are
descriptors of MeSH, ``kinds`` values of ``figures.kind``. ``also`` names concepts that follow. ``trust`` is the share
of matches in the head of a caption that are right.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

import pydantic
import yaml

from biomedica_assets.lib.annotate.taxonomy.model import Taxonomy, load
from biomedica_assets.lib.errors import PermanentFailure

VERSION = "1"


class _Raw(pydantic.BaseModel):
    """One rule as it stands in a file."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    rule: str = pydantic.Field(pattern=r"^[a-z0-9-]+$")
    words: tuple[str, ...] = ()
    mesh: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    trust: float = pydantic.Field(0.9, gt=0, lt=1)


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        name: ``concept/rule``.
        concepts: what follows from a match: the rule's concept and those it brings along, without what is above them.
        trust: share of matches in the head of a caption that are right.
    """

    name: str
    concepts: tuple[str, ...]
    trust: float


@dataclasses.dataclass(frozen=True)
class Rules:
    """All rules, ready to be applied.

    Attributes:
        all: every rule by name.
        words: finds phrases, the longest first; ``phrase`` turns what it found into a key of ``of_phrase``.
        of_phrase: pattern number -> rules.
        of_mesh: MeSH descriptor in lower case -> rules.
        of_kind: ``figures.kind`` -> rules.
    """

    all: dict[str, Rule]
    words: re.Pattern[str]
    of_phrase: tuple[tuple[Rule, ...], ...]
    of_mesh: dict[str, tuple[Rule, ...]]
    of_kind: dict[str, tuple[Rule, ...]]

    def matches(self, text: str) -> Iterable[tuple[int, int, tuple[Rule, ...]]]:
        """Start, end and rules of each phrase in a text, left to right, without overlaps."""
        for found in self.words.finditer(text):
            yield found.start(), found.end(), self.of_phrase[int((found.lastgroup or "_0")[1:])]


def parse(files: Iterable[tuple[str, str]], taxonomy: Taxonomy) -> Rules:
    """Rules from the text of rule files.

    Args:
        files: name and text of each.
        taxonomy: the vocabulary that concepts are looked up in.

    Raises:
        PermanentFailure: a file is no YAML, or names an unknown concept or field, or a rule twice; it names the file.
    """
    rules: dict[str, Rule] = {}
    phrases: dict[str, list[Rule]] = {}
    mesh: dict[str, list[Rule]] = {}
    kinds: dict[str, list[Rule]] = {}
    for name, text in files:
        for concept, raw in _read(name, text):
            rule = Rule(f"{concept}/{raw.rule}", (concept, *raw.also), raw.trust)
            if unknown := [c for c in rule.concepts if c not in taxonomy]:
                raise PermanentFailure(f"{name}: {unknown[0]!r} is no concept of taxonomy {taxonomy.version}")
            if rule.name in rules:
                raise PermanentFailure(f"{name}: rule {rule.name} stands twice")
            rules[rule.name] = rule
            for phrase in raw.words:
                phrases.setdefault(_pattern(phrase), []).append(rule)
            for heading in raw.mesh:
                mesh.setdefault(heading.casefold(), []).append(rule)
            for kind in raw.kinds:
                kinds.setdefault(kind, []).append(rule)
    ordered = sorted(phrases, key=lambda pattern: (-len(pattern), pattern))
    alternatives = "|".join(f"(?P<_{number}>{pattern})" for number, pattern in enumerate(ordered)) or r"(?!)"
    return Rules(
        rules,
        re.compile(rf"(?<![\w]){'(?:' + alternatives + ')'}(?!\w)"),
        tuple(tuple(phrases[pattern]) for pattern in ordered),
        {heading: tuple(found) for heading, found in mesh.items()},
        {kind: tuple(found) for kind, found in kinds.items()},
    )


def _read(name: str, text: str) -> Iterable[tuple[str, _Raw]]:
    try:
        raw: Any = yaml.safe_load(text)
        for concept, rules in raw.items():
            for rule in rules:
                yield str(concept), _Raw.model_validate(rule)
    except (yaml.YAMLError, AttributeError, TypeError, pydantic.ValidationError) as error:
        raise PermanentFailure(f"{name} is no rule file: {error}; a rule is {{rule: name, words: [...]}}") from error


def _pattern(phrase: str) -> str:
    """A phrase as a regular expression; ``#`` is a number, a space or hyphen is either."""
    parts = re.split(r"([\s-]+|#)", phrase.strip())
    joined = "".join(
        r"\d[\d.,]*"
        if part == "#"
        else r"[\s\-\u2010-\u2013]{0,2}"
        if re.fullmatch(r"[\s-]+", part)
        else re.escape(part)
        for part in parts
    )
    plural = "s?" if phrase[-1:].isalpha() and phrase[-1] != "s" else ""
    return joined + plural if phrase.upper() == phrase else f"(?i:{joined}{plural})"


@functools.cache
def shipped(folder: Path | None = None) -> Rules:
    """The rules of this release, and over them those of a folder of the user's.

    Args:
        folder: usually ``rules`` in the data directory; a file there replaces the shipped one of its name.
    """
    own = resources.files("biomedica_assets.lib.annotate.sources").joinpath("rules")
    files = {entry.name: entry.read_text(encoding="utf-8") for entry in own.iterdir() if entry.name.endswith(".yaml")}
    if folder is not None and folder.is_dir():
        files |= {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.yaml"))}
    return parse(sorted(files.items()), load())
