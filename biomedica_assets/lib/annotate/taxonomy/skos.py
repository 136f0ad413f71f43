"""Exports of the taxonomy: SKOS as Turtle and JSON-LD, and a plain JSON tree.

SKOS is the W3C vocabulary for thesauri (https://www.w3.org/TR/skos-reference/). One concept scheme per axis, ids as
notations, mappings to the published versions as ``skos:hiddenLabel`` so that a search for an old spelling still finds
the concept.
"""

from __future__ import annotations

import json
from typing import Any

from biomedica_assets.lib.annotate.taxonomy.model import Concept, Taxonomy
from biomedica_assets.lib.annotate.taxonomy.published import load_published

BASE = "https://w3id.org/biomedica-assets/taxonomy/"
SKOS = "http://www.w3.org/2004/02/skos/core#"


def old_names(taxonomy: Taxonomy) -> dict[str, list[str]]:
    """Spellings of each concept in the published versions that are neither its label nor one of its other names."""
    names: dict[str, set[str]] = {concept_id: set() for concept_id in taxonomy.concepts}
    for version in load_published().values():
        for path, concept_ids in version.terms.items():
            if len(concept_ids) == 1:  # a term that means several concepts is no name of any one of them
                concept = taxonomy.get(concept_ids[0])
                name = path.split(" > ")[-1].replace("_", " ")
                if name.casefold() not in {n.casefold() for n in (concept.label, *concept.alt)}:
                    names[concept.id].add(name)
    return {concept_id: sorted(found) for concept_id, found in names.items()}


def turtle(taxonomy: Taxonomy) -> str:
    """The taxonomy as SKOS in Turtle."""
    hidden = old_names(taxonomy)
    lines = [f"@prefix skos: <{SKOS}> .", "@prefix dct: <http://purl.org/dc/terms/> ."]
    lines += ["@prefix owl: <http://www.w3.org/2002/07/owl#> .", f"@prefix : <{BASE}> .", ""]
    for axis, meaning in taxonomy.axes.items():
        facts = [f"dct:title {_text(taxonomy.title + ': ' + axis)}", f"skos:definition {_text(meaning)}"]
        facts += [f'owl:versionInfo "{taxonomy.version}"']
        facts += [f"skos:hasTopConcept :{i}" for i in _all_tops(taxonomy, axis)]
        lines += [f":{axis} a skos:ConceptScheme ;", "    " + " ;\n    ".join(facts) + " .", ""]
    for concept in taxonomy.concepts.values():
        lines += [f":{concept.id} a skos:Concept ;", "    " + " ;\n    ".join(_facts(concept, hidden)) + " .", ""]
    return "\n".join(lines)


def json_ld(taxonomy: Taxonomy) -> str:
    """The taxonomy as SKOS in JSON-LD, with its context inline so that no reader needs the network."""
    hidden = old_names(taxonomy)
    context: dict[str, Any] = {"skos": SKOS, "dct": "http://purl.org/dc/terms/", "@base": BASE, "id": "@id"}
    context |= {"owl": "http://www.w3.org/2002/07/owl#", "type": "@type"}
    for key in ("prefLabel", "altLabel", "hiddenLabel", "definition", "editorialNote"):
        context[key] = {"@id": f"skos:{key}", "@language": "en"}
    for key in ("broader", "inScheme", "topConceptOf", "hasTopConcept"):
        context[key] = {"@id": f"skos:{key}", "@type": "@id"}
    context |= {"notation": "skos:notation", "deprecated": "owl:deprecated", "version": "owl:versionInfo"}
    context["title"] = {"@id": "dct:title", "@language": "en"}
    graph: list[dict[str, Any]] = []
    for axis, meaning in taxonomy.axes.items():
        scheme: dict[str, Any] = {"id": axis, "type": "skos:ConceptScheme", "title": f"{taxonomy.title}: {axis}"}
        scheme |= {"definition": meaning, "version": taxonomy.version, "hasTopConcept": _all_tops(taxonomy, axis)}
        graph.append(scheme)
    for concept in taxonomy.concepts.values():
        node: dict[str, Any] = {"id": concept.id, "type": "skos:Concept", "prefLabel": concept.label}
        node |= {"notation": concept.id, "inScheme": concept.axis}
        node |= {"broader": concept.broader} if concept.broader else {"topConceptOf": concept.axis}
        node |= {"altLabel": list(concept.alt)} if concept.alt else {}
        node |= {"hiddenLabel": hidden[concept.id]} if hidden[concept.id] else {}
        node |= {"editorialNote": concept.note} if concept.note else {}
        node |= {"deprecated": True} if concept.deprecated else {}
        graph.append(node)
    return json.dumps({"@context": context, "@graph": graph}, indent=1, ensure_ascii=False) + "\n"


def plain_json(taxonomy: Taxonomy) -> str:
    """The taxonomy as a JSON tree: per axis its top concepts, each with what is narrower."""

    def node(concept_id: str) -> dict[str, Any]:
        concept = taxonomy.get(concept_id)
        found: dict[str, Any] = {"id": concept.id, "label": concept.label}
        found |= {"alt": list(concept.alt)} if concept.alt else {}
        found |= {"deprecated": True} if concept.deprecated else {}
        found |= {"narrower": [node(i) for i in taxonomy.narrower(concept_id)]} if taxonomy.narrower(concept_id) else {}
        return found

    axes = {axis: [node(i) for i in _all_tops(taxonomy, axis)] for axis in taxonomy.axes}
    content = {"version": taxonomy.version, "title": taxonomy.title, "axes": axes}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _all_tops(taxonomy: Taxonomy, axis: str) -> list[str]:
    return [c.id for c in taxonomy.concepts.values() if c.axis == axis and c.broader is None]


def _facts(concept: Concept, hidden: dict[str, list[str]]) -> list[str]:
    facts = [
        f"skos:prefLabel {_text(concept.label)}",
        f'skos:notation "{concept.id}"',
        f"skos:inScheme :{concept.axis}",
    ]
    facts += [f"skos:altLabel {_text(name)}" for name in concept.alt]
    facts += [f"skos:hiddenLabel {_text(name)}" for name in hidden[concept.id]]
    facts += [f"skos:broader :{concept.broader}" if concept.broader else f"skos:topConceptOf :{concept.axis}"]
    facts += [f"skos:editorialNote {_text(concept.note)}"] if concept.note else []
    facts += ["owl:deprecated true"] if concept.deprecated else []
    return facts


def _text(text: str) -> str:
    """A Turtle string literal in English; JSON's escapes are a subset of Turtle's."""
    return json.dumps(text, ensure_ascii=False) + "@en"
