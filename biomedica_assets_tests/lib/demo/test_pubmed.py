"""The PubMed beside the mirror: NLM's layout, and the oddities that enrichment has to cope with."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest
from lxml import etree

from biomedica_assets.lib.demo import Truth
from biomedica_assets.lib.demo.pubmed import DemoPubmed, write_pubmed


@pytest.fixture(scope="module")
def pubmed(truth: Truth, tmp_path_factory: pytest.TempPathFactory) -> DemoPubmed:
    return write_pubmed(tmp_path_factory.mktemp("pubmed"), truth)


def read(path: Path) -> etree._Element:
    return etree.fromstring(gzip.decompress(path.read_bytes()))


def test_files_are_named_and_summed_as_on_the_server(pubmed: DemoPubmed) -> None:
    names = sorted(p.relative_to(pubmed.root).as_posix() for p in pubmed.root.rglob("*.gz"))
    assert names == [
        "baseline/pubmed26n0001.xml.gz",
        "baseline/pubmed26n0002.xml.gz",
        "updatefiles/pubmed26n0003.xml.gz",
    ]
    for name in names:
        path = pubmed.root / name
        digest = hashlib.md5(path.read_bytes()).hexdigest()
        assert path.with_name(path.name + ".md5").read_text() == f"MD5({path.name})= {digest}\n"


def test_every_pmid_is_cited_once_but_for_those_that_are_missing(pubmed: DemoPubmed, truth: Truth) -> None:
    found = [
        int(pmid)
        for path in sorted((pubmed.root / "baseline").glob("*.gz"))
        for pmid in read(path).xpath("PubmedArticle/MedlineCitation/PMID/text()")
    ]
    wanted = {article.metadata["pmid"] for article in truth.articles}
    assert len(found) == len(set(found))
    assert set(found) == wanted - set(pubmed.missing)
    assert len(pubmed.missing) == 4


def test_the_update_revises_one_citation_and_deletes_another(pubmed: DemoPubmed) -> None:
    (path,) = (pubmed.root / "updatefiles").glob("*.gz")
    update = read(path)
    assert update.xpath("PubmedArticle//PMID/text()") == [str(pubmed.revised)]
    assert update.xpath("PubmedArticle//ArticleTitle/text()") == [pubmed.citations[pubmed.revised].title]
    assert pubmed.citations[pubmed.revised].title.startswith("Corrected: ")
    assert update.xpath("DeleteCitation/PMID/text()") == [str(pubmed.deleted)]
    assert pubmed.deleted not in pubmed.citations


def test_the_retraction_is_linked_both_ways(pubmed: DemoPubmed, truth: Truth) -> None:
    retracted = next(a.metadata["pmid"] for a in truth.articles if a.left_out_because == "retracted")
    citation = pubmed.citations[retracted]
    assert "Retracted Publication" in citation.publication_types
    ((kind, notice),) = citation.links
    assert kind == "RetractionIn"
    assert pubmed.citations[notice].links == (("RetractionOf", retracted),)


def test_citations_in_the_files_say_what_the_truth_says(pubmed: DemoPubmed) -> None:
    seen = 0
    for path in (pubmed.root / "baseline").glob("*.gz"):
        for node in read(path).iter("PubmedArticle"):
            citation = pubmed.citations.get(int(node.findtext("MedlineCitation/PMID") or 0))
            if citation is None or citation.pmid == pubmed.revised:
                continue
            seen += 1
            assert node.findtext(".//ArticleTitle") == citation.title
            texts = [(t.get("Label"), t.text) for t in node.iter("AbstractText")]
            assert texts == list(citation.abstract)
            headings = [
                (
                    h[0].get("UI"),
                    h[0].text,
                    h[0].get("MajorTopicYN") == "Y",
                    tuple((q.get("UI"), q.text, q.get("MajorTopicYN") == "Y") for q in h[1:]),
                )
                for h in node.iter("MeshHeading")
            ]
            assert headings == list(citation.mesh)
    assert seen > 30
    shapes = {len(citation.abstract) for citation in pubmed.citations.values()}
    assert {1, 4} <= shapes


def test_two_writes_give_the_same_bytes(pubmed: DemoPubmed, truth: Truth, tmp_path: Path) -> None:
    again = write_pubmed(tmp_path, truth)
    for path in pubmed.root.rglob("*.xml.gz*"):
        assert (again.root / path.relative_to(pubmed.root)).read_bytes() == path.read_bytes()
