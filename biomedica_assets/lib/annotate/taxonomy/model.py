"""The concept tree: three axes (kind, content, panel), stable ids, hierarchy, search.

The tree is data (``taxonomy.yaml``); this module loads it, refuses a file that breaks its own rules, and answers
questions about it. What other vocabularies call the concepts is the business of ``published``.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any

import polars as pl
import yaml

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.store.lake import Lake, file_entry
from biomedica_assets.lib.tables import TAXONOMY

VERSION = "1"
AXES = ("kind", "content", "panel")
_ID = re.compile(r"(kind|content|panel)-[a-z0-9]+(-[a-z0-9]+)*")


class UnknownConcept(PermanentFailure):
    """An id that the taxonomy does not have."""


@dataclasses.dataclass(frozen=True, slots=True)
class Concept:
    """One concept.

    Attributes:
        id: stable id, ``kind-bar-plot``; never renamed, never used again.
        label: preferred name in English.
        axis: ``kind``, ``content`` or ``panel``.
        broader: id of the parent, None for a top concept.
        alt: other names, for the search.
        note: remark for editors.
        deprecated: no longer offered; old votes keep it.
    """

    id: str
    label: str
    axis: str
    broader: str | None = None
    alt: tuple[str, ...] = ()
    note: str | None = None
    deprecated: bool = False


class Taxonomy:
    """A tree of concepts with its version."""

    def __init__(self, version: str, title: str, axes: Mapping[str, str], concepts: Iterable[Concept]) -> None:
        """Args: version, title, what each axis means, and the concepts in the order in which they are shown."""
        self.version, self.title, self.axes = version, title, dict(axes)
        self.concepts: dict[str, Concept] = {}
        problems: list[str] = []
        for concept in concepts:
            if concept.id in self.concepts:
                problems.append(f"id {concept.id} stands twice")
            self.concepts[concept.id] = concept
        problems += self._faults()
        if problems:
            raise PermanentFailure(f"taxonomy {version}: " + "; ".join(problems))

    def _faults(self) -> list[str]:
        """What breaks the rules of the file: ids, axes, parents, loops, equal labels on one axis."""
        found: list[str] = []
        labels: dict[tuple[str, str], str] = {}
        for c in self.concepts.values():
            if not _ID.fullmatch(c.id) or not c.id.startswith(f"{c.axis}-"):
                found.append(f"id {c.id} must be {c.axis}-words-with-hyphens")
            if (other := labels.setdefault((c.axis, c.label.casefold()), c.id)) != c.id:
                found.append(f"{c.id} has the label of {other}")
            parent = c.broader
            seen = {c.id}
            while parent is not None:
                if parent not in self.concepts or self.concepts[parent].axis != c.axis or parent in seen:
                    found.append(f"{c.id} stands under {parent}, which is absent, of another axis, or below it")
                    break
                seen.add(parent)
                parent = self.concepts[parent].broader
        return found

    def __contains__(self, concept_id: object) -> bool:
        return concept_id in self.concepts

    def get(self, concept_id: str) -> Concept:
        """The concept of an id.

        Raises:
            UnknownConcept: there is none.
        """
        try:
            return self.concepts[concept_id]
        except KeyError:
            raise UnknownConcept(
                f"{concept_id!r} is not a concept of taxonomy {self.version}; ids look like kind-bar-plot"
            ) from None

    def lineage(self, concept_id: str) -> tuple[str, ...]:
        """Ids from the top concept down to this one, both included."""
        chain = [self.get(concept_id).id]
        while (parent := self.concepts[chain[-1]].broader) is not None:
            chain.append(parent)
        return tuple(reversed(chain))

    def top(self, concept_id: str) -> str:
        """Id of the top concept above (or of) this one."""
        return self.lineage(concept_id)[0]

    def tops(self, axis: str) -> tuple[str, ...]:
        """Top concepts of an axis, in file order, without deprecated ones."""
        return tuple(c.id for c in self.concepts.values() if c.axis == axis and not c.broader and not c.deprecated)

    def below(self, axis: str) -> tuple[str, ...]:
        """Concepts of an axis that are not top concepts, in file order, without deprecated ones."""
        return tuple(c.id for c in self.concepts.values() if c.axis == axis and c.broader and not c.deprecated)

    def narrower(self, concept_id: str) -> tuple[str, ...]:
        """Ids directly below a concept."""
        return tuple(c.id for c in self.concepts.values() if c.broader == concept_id)

    def labels(self, concept_ids: Iterable[str]) -> list[str]:
        """Preferred names of some concepts."""
        return [self.get(i).label for i in concept_ids]

    def frame(self) -> pl.DataFrame:
        """All concepts in the schema of the ``taxonomy`` table."""
        return TAXONOMY.frame(
            [
                {
                    "concept_id": c.id,
                    "axis": c.axis,
                    "label": c.label,
                    "broader": c.broader,
                    "top": self.top(c.id),
                    "depth": len(self.lineage(c.id)) - 1,
                    "alt": list(c.alt),
                    "note": c.note,
                    "deprecated": c.deprecated,
                    "taxonomy_version": self.version,
                }
                for c in self.concepts.values()
            ]
        )


def parse(text: str, where: str) -> Taxonomy:
    """Read a taxonomy from YAML.

    Args:
        text: the file's text.
        where: its name, for messages.

    Raises:
        PermanentFailure: it is no YAML, lacks a field, or breaks the rules of the tree.
    """
    try:
        raw: dict[str, Any] = yaml.safe_load(text)
        entries: list[dict[str, Any]] = raw["concepts"]
        concepts = [Concept(alt=tuple(entry.pop("alt", ())), **entry) for entry in entries]
        return Taxonomy(str(raw["version"]), raw["title"], raw["axes"], concepts)
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise PermanentFailure(f"{where} is not a taxonomy file: {error}") from error


@functools.cache
def load() -> Taxonomy:
    """The taxonomy of this release, from the package."""
    return parse(data_text("taxonomy.yaml"), "taxonomy.yaml")


def data_text(name: str) -> str:
    """Text of a data file that lies beside this module."""
    return resources.files("biomedica_assets.lib.annotate.taxonomy").joinpath(name).read_text(encoding="utf-8")


def stage_taxonomy(lake: Lake) -> Report:
    """Publish the table ``taxonomy``, with Turtle, JSON-LD and JSON exports below ``annotations/taxonomy``."""
    from biomedica_assets.lib.annotate.taxonomy import skos

    taxonomy = load()
    frame = taxonomy.frame()
    folder = lake.root / "annotations" / "taxonomy"
    exports = {"taxonomy.ttl": skos.turtle(taxonomy), "taxonomy.jsonld": skos.json_ld(taxonomy)}
    exports["taxonomy.json"] = skos.plain_json(taxonomy)
    for name, text in exports.items():
        atomic.write_bytes(folder / name, text.encode())
    manifest = lake.publish(
        TAXONOMY,
        None,
        frame,
        code_version=VERSION,
        inputs={},
        config={"taxonomy_version": taxonomy.version},
        n_in=frame.height,
        n_out=frame.height,
        files=[file_entry(lake, folder / name) for name in sorted(exports)],
    )
    counts = dict(frame.group_by("axis").len().sort("axis").iter_rows())
    return Report(
        asset=TAXONOMY.name,
        partition=None,
        data_version=manifest.data_version,
        rows=frame.height,
        n_in=frame.height,
        n_out=frame.height,
        bytes_written=manifest.bytes,
        metrics={"version": taxonomy.version, **{f"{axis}_concepts": n for axis, n in counts.items()}},
        preview=tuple(frame.select("concept_id", "label", "axis", "broader").head(10).iter_rows(named=True)),
    )
