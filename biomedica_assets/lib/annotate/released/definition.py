"""What a table of released labels looks like, as a YAML file: its columns, and its labels in our taxonomy.

::

    title: Figure types of some data set
    trust: 0.9                      # share of its labels that are right, as far as anybody knows
    pmcid: pmcid                    # columns: PMC123, PMC123.1 or 123
    file: graphic                   # name of the image file or of the graphic, with or without folder and extension
    caption: caption                # optional: finds images whose files were renamed
    picture: image                  # optional: bytes of the image, finds the others
    labels: [figure_type]           # lists, or text with | between labels
    concepts:                       # label -> concepts; a label that is absent is counted
      bar chart: [kind-bar-plot]

Instead of ``concepts``, ``taxonomy`` names one of BIOMEDICA's published versions; then ``labels`` are the columns of
global and local classes.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pydantic
import yaml

from biomedica_assets.lib.annotate.taxonomy.model import Taxonomy
from biomedica_assets.lib.annotate.taxonomy.published import SEPARATOR, load_published
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.store.manifest import digest

SHIPPED = Path(__file__).parent / "shipped"
_Given = tuple[tuple[str, ...], ...]
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")


class _Raw(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    title: str = ""
    trust: float = pydantic.Field(0.8, gt=0, lt=1)
    pmcid: str
    file: str | None = None
    caption: str | None = None
    picture: str | None = None
    labels: tuple[str, ...] = pydantic.Field(min_length=1)
    concepts: dict[str, tuple[str, ...]] = pydantic.Field(default_factory=dict[str, tuple[str, ...]])
    taxonomy: str | None = None

    @pydantic.model_validator(mode="after")
    def _joinable(self) -> _Raw:
        if not (self.file or self.caption or self.picture):
            raise ValueError("one of file, caption and picture is needed to find an image")
        if bool(self.concepts) == bool(self.taxonomy):
            raise ValueError("either concepts or taxonomy says what the labels mean")
        if self.taxonomy and (self.taxonomy not in load_published() or len(self.labels) != 2):
            raise ValueError(f"taxonomy is one of {', '.join(load_published())}, with two columns of labels")
        return self


@dataclasses.dataclass(frozen=True)
class Definition:
    """A table of released labels.

    Attributes:
        name: of the table; labels from it have the provenance ``released:NAME``.
        fields: the columns, see above.
        digest: of everything that shapes what is taken from a record.
    """

    name: str
    fields: _Raw
    digest: str
    _seen: dict[_Given, tuple[tuple[str, ...], int]] = dataclasses.field(
        default_factory=dict[_Given, tuple[tuple[str, ...], int]], compare=False, repr=False
    )

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that are read."""
        optional = (self.fields.file, self.fields.caption, self.fields.picture)
        return (self.fields.pmcid, *(c for c in optional if c), *self.fields.labels)

    def concepts_of(self, record: Mapping[str, Any]) -> tuple[tuple[str, ...], int]:
        """Our concepts for the labels of a record, sorted, and how many of its labels mean none of ours."""
        given = tuple(tuple(_labels(record.get(column))) for column in self.fields.labels)
        if given not in self._seen:  # millions of records share some hundred combinations
            self._seen[given] = self._meaning(given)
        return self._seen[given]

    def _meaning(self, given: _Given) -> tuple[tuple[str, ...], int]:
        if self.fields.taxonomy:
            return _published(self.fields.taxonomy, given[0], given[1])
        known = {label.casefold(): concepts for label, concepts in self.fields.concepts.items()}
        every = [label.casefold() for labels in given for label in labels]
        found = {concept for label in every for concept in known.get(label, ())}
        return tuple(sorted(found)), sum(label not in known for label in every)


def _published(version: str, wide: Sequence[str], narrow: Sequence[str]) -> tuple[tuple[str, ...], int]:
    """Concepts of global and local classes; a local class counts below those of its global classes that are named."""
    terms = load_published()[version].terms
    found: set[str] = set()
    strange = sum(name not in terms for name in wide)
    for name in wide:
        below = [terms[path] for local in narrow if (path := f"{name}{SEPARATOR}{local}") in terms]
        found.update(concept for concepts in below or [terms.get(name, ())] for concept in concepts)
    strange += sum(not any(f"{name}{SEPARATOR}{local}" in terms for name in wide) for local in narrow)
    return tuple(sorted(found)), strange


def _labels(value: Any) -> list[str]:
    """A cell as a list of labels."""
    if value is None:
        return []
    parts = value.split("|") if isinstance(value, str) else list(value)
    return list(dict.fromkeys(text for part in parts if (text := str(part).strip())))


def load_definition(path: Path | None, name: str, taxonomy: Taxonomy) -> Definition:
    """The definition of a table of labels.

    Args:
        path: YAML file; None takes the shipped one of the name.
        name: of the table.
        taxonomy: the vocabulary that concepts are looked up in.

    Raises:
        PermanentFailure: the name cannot be one, or the file is missing, is none, or names an unknown concept.
    """
    if not NAME.fullmatch(name):
        raise PermanentFailure(f"{name!r} cannot name released labels: a-z, 0-9 and -, at most 31")
    place = path or SHIPPED / f"{name}.yaml"
    try:
        text = place.read_text(encoding="utf-8")
        fields = _Raw.model_validate(yaml.safe_load(text))
    except FileNotFoundError as error:
        shipped = ", ".join(sorted(p.stem for p in SHIPPED.glob("*.yaml")))
        raise PermanentFailure(
            f"there is no {place}; name a definition with --definition (shipped: {shipped})"
        ) from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise PermanentFailure(f"{place} does not define released labels: {error}") from error
    unknown = sorted({c for concepts in fields.concepts.values() for c in concepts if c not in taxonomy})
    if unknown:
        raise PermanentFailure(f"{place}: {unknown[0]!r} is no concept of taxonomy {taxonomy.version}")
    return Definition(name, fields, digest(fields.model_dump_json(), taxonomy.version))
