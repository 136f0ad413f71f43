"""A PubMed beside the mirror: baseline and update files in the layout of NLM's server, for the mirror's PMIDs.

What enrichment has to cope with is in it: a few PMIDs are missing, one citation is revised and one deleted by an
update, the retracted article carries its publication type and its links. Layout: https://ftp.ncbi.nlm.nih.gov/pubmed/.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lxml import etree

from biomedica_assets.lib.demo import words
from biomedica_assets.lib.demo.draw.canvas import Rng
from biomedica_assets.lib.demo.markup import Element, plain
from biomedica_assets.lib.demo.truth import Truth, TruthArticle
from biomedica_assets.lib.store import atomic

DOCTYPE = (
    '<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD PubMedArticle, 1st January 2025//EN" '
    '"https://dtd.nlm.nih.gov/ncbi/pubmed/out/pubmed_250101.dtd">'
)
HUMANS = ("D006801", "Humans")
DESCRIPTORS = (
    ("D011014", "Pneumonia"),
    ("D005910", "Glioma"),
    ("D003930", "Diabetic Retinopathy"),
    ("D008545", "Melanoma"),
    ("D008288", "Malaria"),
    ("D000755", "Anemia, Sickle Cell"),
    ("D015179", "Colorectal Neoplasms"),
    ("D006333", "Heart Failure"),
    ("D008268", "Macular Degeneration"),
    ("D001943", "Breast Neoplasms"),
    ("D014376", "Tuberculosis"),
)
QUALIFIERS = (
    ("Q000000981", "diagnostic imaging"),
    ("Q000628", "therapy"),
    ("Q000473", "pathology"),
    ("Q000235", "genetics"),
)
TYPES = {
    "Journal Article": "D016428",
    "Case Reports": "D002363",
    "Randomized Controlled Trial": "D016449",
    "Retracted Publication": "D016441",
    "Retraction of Publication": "D016440",
}
SECTIONS = ("BACKGROUND", "METHODS", "RESULTS", "CONCLUSIONS")
LACKING = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Citation:
    """What PubMed says of one article: MeSH as (UI, name, major, ((qualifier UI, name, major), ...))."""

    pmid: int
    title: str
    abstract: tuple[tuple[str | None, str], ...]
    mesh: tuple[tuple[str, str, bool, tuple[tuple[str, str, bool], ...]], ...]
    publication_types: tuple[str, ...]
    links: tuple[tuple[str, int], ...]
    references: tuple[int, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class DemoPubmed:
    """What was written.

    Attributes:
        root: holds ``baseline`` and ``updatefiles``.
        citations: what is true after all updates, by PMID.
        missing: PMIDs of the mirror that PubMed never had.
        revised: PMID whose citation an update replaced.
        deleted: PMID that an update deleted.
    """

    root: Path
    citations: Mapping[int, Citation]
    missing: tuple[int, ...]
    revised: int
    deleted: int


def write_pubmed(root: Path, truth: Truth, *, seed: int = 0, files: int = 2) -> DemoPubmed:
    """Write baseline files, one update file and their MD5s. Equal arguments give equal bytes.

    Args:
        root: gets ``baseline/pubmed26n0001.xml.gz`` ... and ``updatefiles/``.
        truth: of the mirror whose articles are cited.
        seed: of everything random.
        files: how many baseline files.
    """
    by_pmid = {int(article.metadata["pmid"]): article for article in truth.articles}
    links = _retraction_links(truth)
    ordinary = sorted(by_pmid.keys() - links.keys())
    order = [ordinary[int(k)] for k in np.random.default_rng([seed, 5]).permutation(len(ordinary))]
    missing, revised, deleted = tuple(sorted(order[:LACKING])), order[LACKING], order[LACKING + 1]
    citations = {
        pmid: _citation(pmid, by_pmid[pmid], seed, links.get(pmid, ()))
        for pmid in sorted(by_pmid)
        if pmid not in missing
    }
    known = list(citations.values())
    for number in range(files):
        _write(root / "baseline" / f"pubmed26n{number + 1:04d}.xml.gz", known[number::files], ())
    correction = dataclasses.replace(citations[revised], title="Corrected: " + citations[revised].title)
    _write(root / "updatefiles" / f"pubmed26n{files + 1:04d}.xml.gz", [correction], (deleted,))
    citations[revised] = correction
    del citations[deleted]
    return DemoPubmed(root, citations, missing, revised, deleted)


def _retraction_links(truth: Truth) -> dict[int, tuple[tuple[str, int], ...]]:
    """PMID -> links of the retracted article and of the notice that retracts it."""
    links: dict[int, tuple[tuple[str, int], ...]] = {}
    retracted = [a for a in truth.articles if a.left_out_because == "retracted"]
    notices = [a for a in truth.articles if a.metadata["article_type"] == "retraction"]
    for article, notice in zip(retracted, notices, strict=True):
        a, b = int(article.metadata["pmid"]), int(notice.metadata["pmid"])
        links |= {a: (("RetractionIn", b),), b: (("RetractionOf", a),)}
    return links


def _citation(pmid: int, article: TruthArticle, seed: int, links: tuple[tuple[str, int], ...]) -> Citation:
    rng = np.random.default_rng([seed, 6, pmid])
    types = ["Journal Article"]
    if rng.random() < 0.3:
        types.append("Case Reports" if rng.random() < 0.5 else "Randomized Controlled Trial")
    types += [
        {"RetractionIn": "Retracted Publication", "RetractionOf": "Retraction of Publication"}[k] for k, _ in links
    ]
    if rng.random() < 0.6:
        drafts = zip(SECTIONS, ("introduction", "methods", "results", "discussion"), strict=True)
        abstract = tuple((label, plain(words.sentences(rng, section, 2))) for label, section in drafts)
    else:
        abstract = ((None, plain(words.sentences(rng, "results", 3))),) if rng.random() < 0.9 else ()
    references = tuple(int(n) for n in rng.integers(10_000_000, 29_000_000, int(rng.integers(0, 6))))
    title = str(article.metadata["title"])
    return Citation(pmid, title, abstract, _mesh(rng), tuple(types), links, references)


def _mesh(rng: Rng) -> tuple[tuple[str, str, bool, tuple[tuple[str, str, bool], ...]], ...]:
    """Humans and one or two diseases with qualifiers; nothing for a tenth, which is not indexed yet."""
    if rng.random() < 0.1:
        return ()
    headings: list[tuple[str, str, bool, tuple[tuple[str, str, bool], ...]]] = [(*HUMANS, False, ())]
    for k in rng.permutation(len(DESCRIPTORS))[: int(rng.integers(1, 3))]:
        chosen = rng.permutation(len(QUALIFIERS))[: int(rng.integers(0, 3))]
        qualifiers = tuple((*QUALIFIERS[int(q)], bool(rng.random() < 0.4)) for q in chosen)
        headings.append((*DESCRIPTORS[int(k)], not qualifiers and bool(rng.random() < 0.5), qualifiers))
    return tuple(headings)


def _write(path: Path, citations: Sequence[Citation], deleted: Sequence[int]) -> None:
    """One file of the server and its MD5 file."""
    top = etree.Element("PubmedArticleSet")
    for citation in citations:
        _article(top, citation)
    if deleted:
        node = etree.SubElement(top, "DeleteCitation")
        for pmid in deleted:
            etree.SubElement(node, "PMID", {"Version": "1"}).text = str(pmid)
    xml: str = etree.tostring(top, encoding="unicode", pretty_print=True)
    data = gzip.compress(f'<?xml version="1.0" encoding="utf-8"?>\n{DOCTYPE}\n{xml}'.encode(), mtime=0)
    atomic.write_bytes(path, data)
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    atomic.write_bytes(path.with_name(path.name + ".md5"), f"MD5({path.name})= {digest}\n".encode())


def _article(top: Element, citation: Citation) -> None:
    node = etree.SubElement(top, "PubmedArticle")
    medline = etree.SubElement(node, "MedlineCitation", {"Status": "MEDLINE", "Owner": "NLM"})
    _add(medline, "PMID", citation.pmid, Version="1")
    article = etree.SubElement(medline, "Article", {"PubModel": "Electronic"})
    journal = etree.SubElement(article, "Journal")
    _add(journal, "Title", "A journal of the demo")
    _add(article, "ArticleTitle", citation.title)
    if citation.abstract:
        abstract = etree.SubElement(article, "Abstract")
        for label, text in citation.abstract:
            attributes = {"Label": label, "NlmCategory": label} if label else {}
            _add(abstract, "AbstractText", text, **attributes)
    _add(article, "Language", "eng")
    types = etree.SubElement(article, "PublicationTypeList")
    for name in citation.publication_types:
        _add(types, "PublicationType", name, UI=TYPES[name])
    if citation.links:
        corrections = etree.SubElement(medline, "CommentsCorrectionsList")
        for kind, pmid in citation.links:
            correction = etree.SubElement(corrections, "CommentsCorrections", {"RefType": kind})
            _add(correction, "RefSource", "Ann Invent Med. 2026;1:1")
            _add(correction, "PMID", pmid, Version="1")
    if citation.mesh:
        headings = etree.SubElement(medline, "MeshHeadingList")
        for ui, name, major, qualifiers in citation.mesh:
            heading = etree.SubElement(headings, "MeshHeading")
            _add(heading, "DescriptorName", name, UI=ui, MajorTopicYN=_yes(major))
            for qualifier_ui, qualifier, is_major in qualifiers:
                _add(heading, "QualifierName", qualifier, UI=qualifier_ui, MajorTopicYN=_yes(is_major))
    data = etree.SubElement(node, "PubmedData")
    _add(data, "PublicationStatus", "epublish")
    _add(etree.SubElement(data, "ArticleIdList"), "ArticleId", citation.pmid, IdType="pubmed")
    if citation.references:
        references = etree.SubElement(data, "ReferenceList")
        for pmid in citation.references:
            reference = etree.SubElement(references, "Reference")
            _add(reference, "Citation", f"An earlier report, {pmid}.")
            _add(etree.SubElement(reference, "ArticleIdList"), "ArticleId", pmid, IdType="pubmed")


def _add(parent: Element, tag: str, value: Any, **attributes: str) -> None:
    etree.SubElement(parent, tag, attributes).text = str(value)


def _yes(flag: bool) -> str:
    return "Y" if flag else "N"
