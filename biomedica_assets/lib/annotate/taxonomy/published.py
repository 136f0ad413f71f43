"""The five published versions of BIOMEDICA's taxonomy, their meaning in ours, and what is wrong with their labels.

``published.yaml`` maps every term of every version to concepts of ours; ``read_terms`` reads the files as they were
published, so that a test can hold the two against each other. The validator names each contradiction in a
``cluster_labels.json``; turning such a file into votes is the business of ``exchange.biomedica``.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml

from biomedica_assets.lib.annotate.plain import as_object, as_strings
from biomedica_assets.lib.annotate.taxonomy.model import data_text
from biomedica_assets.lib.errors import PermanentFailure

SEPARATOR = " > "
IN_USE = "collapsed"


@dataclasses.dataclass(frozen=True, slots=True)
class PublishedVersion:
    """One published version.

    Attributes:
        id: our name for it.
        title: theirs.
        source: where it was published.
        n_global: global concepts it states.
        n_local: local concepts it states (lists of 170 names were announced, but no such list is public).
        terms: path of each term as spelled there -> ids of our concepts, never empty.
    """

    id: str
    title: str
    source: str
    n_global: int
    n_local: int | None
    terms: Mapping[str, tuple[str, ...]]

    def concepts(self, *path: str) -> tuple[str, ...]:
        """Our concepts for a term, given by its path.

        Raises:
            PermanentFailure: the version has no such term.
        """
        try:
            return self.terms[SEPARATOR.join(path)]
        except KeyError:
            raise PermanentFailure(f"{SEPARATOR.join(path)!r} is not a term of {self.title} ({self.id})") from None


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """A contradiction in one cluster's labels."""

    cluster: str
    kind: Literal["hierarchy", "panel", "duplicate", "unknown", "shape"]
    message: str


@functools.cache
def load_published() -> dict[str, PublishedVersion]:
    """All published versions by id."""
    entries: list[dict[str, Any]] = yaml.safe_load(data_text("published.yaml"))["versions"]
    found: dict[str, PublishedVersion] = {}
    for entry in entries:
        listed: dict[str, list[str]] = entry.pop("terms")
        terms = {path: tuple(concepts) for path, concepts in listed.items()}
        found[entry["id"]] = PublishedVersion(terms=terms, **entry)
    return found


@functools.cache
def panel_concepts() -> dict[tuple[str, str], tuple[str, ...]]:
    """(panel_type, panel_subtype) of their labels -> our panel concepts; what is absent contradicts itself."""
    raw: dict[str, list[str]] = yaml.safe_load(data_text("published.yaml"))["panels"]
    split = {key: key.split(" | ") for key in raw}
    return {(parts[0], parts[1]): tuple(raw[key]) for key, parts in split.items()}


def read_terms(path: Path) -> list[str]:
    """Paths of all terms of a published file (JSON or YAML), in file order, duplicates kept.

    Raises:
        PermanentFailure: the file is neither a mapping of names to lists nor to mappings of names to lists.
    """
    try:
        text = path.read_text(encoding="utf-8")
        raw = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
        return _paths(raw, ())
    except (OSError, ValueError, yaml.YAMLError, TypeError) as error:
        raise PermanentFailure(f"{path} is not a published taxonomy: {error}") from error


def _paths(node: Any, above: tuple[str, ...]) -> list[str]:
    found: list[str] = []
    groups, names = as_object(node), as_strings(node)
    if groups is not None:
        for name, below in groups.items():
            found += [SEPARATOR.join((*above, name)), *_paths(below, (*above, name))]
    elif names is not None:
        found += [SEPARATOR.join((*above, name)) for name in names]
    else:
        raise TypeError(f"expected names under {SEPARATOR.join(above) or 'the top'}, found {type(node).__name__}")
    return found


def unmapped(version: PublishedVersion, terms: Sequence[str]) -> list[str]:
    """Terms of a published file that the version's mapping lacks; empty if it is total."""
    return sorted({term for term in terms if not version.terms.get(term)})


def read_cluster_labels(path: Path) -> dict[str, dict[str, Any]]:
    """Read a ``cluster_labels.json``.

    Raises:
        PermanentFailure: it is not a JSON object of objects.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PermanentFailure(f"{path} cannot be read as cluster labels: {error}") from error
    entries = {cluster: as_object(entry) for cluster, entry in (as_object(raw) or {}).items()}
    whole = {cluster: entry for cluster, entry in entries.items() if entry is not None}
    if not whole or len(whole) < len(entries):
        raise PermanentFailure(f"{path} is not a JSON object with one object per cluster")
    return whole


def contradictions(labels: Mapping[str, Mapping[str, Any]]) -> list[Problem]:
    """Every contradiction in BIOMEDICA's cluster labels, in cluster order.

    Their file (b53ded3) has 95 such clusters: 91 with a local class whose parent is not among the global classes, 2
    single-panel ones with a sub-type of several panels, 2 with a class listed twice.
    """
    parents: dict[str, set[str]] = {}
    for path in load_published()[IN_USE].terms:
        parts = path.split(SEPARATOR)
        if len(parts) == 2:
            parents.setdefault(parts[1], set()).add(parts[0])
    tops = {path for path in load_published()[IN_USE].terms if SEPARATOR not in path}
    found: list[Problem] = []
    for cluster, entry in labels.items():
        globals_, locals_ = as_strings(entry.get("global_class")), as_strings(entry.get("local_class"))
        if globals_ is None or locals_ is None:
            found.append(Problem(cluster, "shape", "global_class and local_class must be lists of names"))
            continue
        strange = [*(g for g in globals_ if g not in tops), *(n for n in locals_ if n not in parents)]
        found += [Problem(cluster, "unknown", f"{name!r} is not in the taxonomy in use") for name in strange]
        orphans = [name for name in locals_ if name in parents and not parents[name] & set(globals_)]
        if orphans:
            wanted = ", ".join(sorted({parent for name in orphans for parent in parents[name]}))
            found.append(Problem(cluster, "hierarchy", f"{', '.join(orphans)} needs global class {wanted}"))
        panel = (str(entry.get("panel_type")), str(entry.get("panel_subtype")))
        if panel not in panel_concepts():
            found.append(Problem(cluster, "panel", f"panel type {panel[0]!r} contradicts sub-type {panel[1]!r}"))
        twice = [name for names in (globals_, locals_) for name, n in Counter(names).items() if n > 1]
        if twice:
            found.append(Problem(cluster, "duplicate", f"{', '.join(twice)} is listed more than once"))
    return found
