"""One PubMed record: from its XML element to plain values in the schema ``RECORD``.

Belongs here: what each element means. Element names follow NLM's DTD pubmed_250101. Text keeps the words of inline
markup (``<i>``, ``<sub>``, MathML) and loses the tags.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from biomedica_assets.lib.tables import PUBMED_RECORDS

# Of the record alone: without the article it is joined to and the file it came from.
RECORD = pl.Schema(
    {name: dtype for name, dtype in PUBMED_RECORDS.schema.items() if name not in {"article_id", "source"}}
)
RETRACTED_PUBLICATION = "D016441"
RETRACTION_IN = frozenset({"RetractionIn", "RetractedandRepublishedIn"})
Element = Any


def read_record(article: Element) -> dict[str, object] | None:
    """Values of a ``PubmedArticle`` by the names of ``RECORD``; None if it has no PMID that is a number.

    Args:
        article: the element; it is not changed.
    """
    citation = article.find("MedlineCitation")
    if citation is None or (pmid := number(text_of(citation.find("PMID")))) is None:
        return None
    sections = [_section(node) for node in citation.iterfind("Article/Abstract/AbstractText")]
    sections = [section for section in sections if section["text"]]
    types = [
        {"ui": node.get("UI"), "name": text_of(node)}
        for node in citation.iterfind("Article/PublicationTypeList/PublicationType")
    ]
    links = [_link(node) for node in citation.iterfind("CommentsCorrectionsList/CommentsCorrections")]
    return {
        "pmid": pmid,
        "pubmed_version": number(citation.find("PMID").get("Version")) or 1,
        "status": citation.get("Status"),
        "title": text_of(citation.find("Article/ArticleTitle")),
        "mesh": [_heading(node) for node in citation.iterfind("MeshHeadingList/MeshHeading")],
        "abstract": "\n".join(_line(section) for section in sections) or None,
        "abstract_sections": sections,
        "publication_types": types,
        "references": [_reference(node) for node in _references(article)],
        "links": links,
        "is_retracted": any(kind["ui"] == RETRACTED_PUBLICATION for kind in types)
        or any(link["kind"] in RETRACTION_IN for link in links),
        "date_revised": _date(citation.find("DateRevised")),
    }


def text_of(node: Element | None) -> str | None:
    """All text below an element with white space folded; None if there is none."""
    if node is None:
        return None
    # Most elements have no children: their text is at hand, and itertext costs three times as much.
    text = "".join(node.itertext()) if len(node) else node.text or ""
    return " ".join(text.split()) or None


def number(text: str | None) -> int | None:
    """A decimal number of ASCII digits that fits 63 bits, else None."""
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _section(node: Element) -> dict[str, str | None]:
    return {"label": node.get("Label"), "category": node.get("NlmCategory"), "text": text_of(node)}


def _line(section: dict[str, str | None]) -> str:
    return f"{section['label']}: {section['text']}" if section["label"] else str(section["text"])


def _heading(node: Element) -> dict[str, object]:
    descriptor = node.find("DescriptorName")
    qualifiers = [
        {"ui": q.get("UI"), "name": text_of(q), "major": q.get("MajorTopicYN") == "Y"}
        for q in node.iterfind("QualifierName")
    ]
    return {
        "ui": None if descriptor is None else descriptor.get("UI"),
        "descriptor": text_of(descriptor),
        "major": descriptor is not None and descriptor.get("MajorTopicYN") == "Y",
        "qualifiers": qualifiers,
    }


def _references(article: Element) -> Iterator[Element]:
    for top in article.iterfind("PubmedData/ReferenceList"):
        # Lists nest: a list of lists, each with its title.
        yield from top.iter("Reference")


def _reference(node: Element) -> dict[str, object]:
    ids = {kind.get("IdType"): text_of(kind) for kind in node.iterfind("ArticleIdList/ArticleId")}
    return {
        "citation": text_of(node.find("Citation")),
        "pmid": number(ids.get("pubmed")),
        "doi": ids.get("doi"),
        "pmcid": ids.get("pmc") or ids.get("pmcid"),
    }


def _link(node: Element) -> dict[str, object]:
    return {
        "kind": node.get("RefType"),
        "pmid": number(text_of(node.find("PMID"))),
        "citation": text_of(node.find("RefSource")),
    }


def _date(node: Element | None) -> str | None:
    if node is None:
        return None
    parts = [number(text_of(node.find(name))) for name in ("Year", "Month", "Day")]
    if parts[0] is None:
        return None
    known = [f"{parts[0]:04d}"]
    for part in parts[1:]:
        if part is None:
            break
        known.append(f"{part:02d}")
    return "-".join(known)
