"""What each element of a PubMed record means."""

from __future__ import annotations

import io

import pytest
from lxml import etree

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.pubmed.reading import Deletion, read_set
from biomedica_assets.lib.pubmed.record import read_record
from biomedica_assets_tests.lib.pubmed.citations import HEAD, citation, document

MESH = (
    '<MeshHeadingList><MeshHeading><DescriptorName UI="D006801" MajorTopicYN="N">Humans</DescriptorName></MeshHeading>'
    '<MeshHeading><DescriptorName UI="D008545" MajorTopicYN="N">Melanoma</DescriptorName>'
    '<QualifierName UI="Q000473" MajorTopicYN="Y">pathology</QualifierName>'
    '<QualifierName UI="Q000628" MajorTopicYN="N">therapy</QualifierName></MeshHeading></MeshHeadingList>'
)


def read(xml):
    return read_record(etree.fromstring(xml))


def test_headings_keep_their_identifier_qualifiers_and_major_flags():
    mesh = read(citation(1, inside=MESH))["mesh"]
    assert [h["descriptor"] for h in mesh] == ["Humans", "Melanoma"]
    assert mesh[1] == {
        "ui": "D008545",
        "descriptor": "Melanoma",
        "major": False,
        "qualifiers": [
            {"ui": "Q000473", "name": "pathology", "major": True},
            {"ui": "Q000628", "name": "therapy", "major": False},
        ],
    }


def test_a_single_heading_is_a_list_of_one():
    """BIOMEDICA lost it: a dictionary in place of a list gave no heading at all."""
    one = '<MeshHeadingList><MeshHeading><DescriptorName UI="D1">Mice</DescriptorName></MeshHeading></MeshHeadingList>'
    assert [h["descriptor"] for h in read(citation(1, inside=one))["mesh"]] == ["Mice"]


def test_a_structured_abstract_keeps_labels_categories_and_the_words_of_its_markup():
    xml = citation(1).replace(
        "</Article>",
        '<Abstract><AbstractText Label="AIM" NlmCategory="OBJECTIVE">To <i>see</i> H<sub>2</sub>O</AbstractText>'
        '<AbstractText Label="RESULTS" NlmCategory="RESULTS">Seen\n  &lt; 5.</AbstractText></Abstract></Article>',
    )
    found = read(xml)
    assert found["abstract"] == "AIM: To see H2O\nRESULTS: Seen < 5."
    assert [s["category"] for s in found["abstract_sections"]] == ["OBJECTIVE", "RESULTS"]
    assert found["abstract_sections"][0]["text"] == "To see H2O"


def test_what_is_absent_is_null_and_never_a_word():
    found = read(citation(1))
    assert (found["abstract"], found["date_revised"]) == (None, None)
    assert [found[n] for n in ("mesh", "abstract_sections", "publication_types", "references", "links")] == [[]] * 5


def test_references_of_nested_lists_are_found_with_their_identifiers():
    data = (
        "<ReferenceList><Title>All</Title><ReferenceList><Reference><Citation>One, 1999.</Citation>"
        '<ArticleIdList><ArticleId IdType="pubmed">77</ArticleId><ArticleId IdType="doi">10.1/x</ArticleId>'
        "</ArticleIdList></Reference>"
        "</ReferenceList><Reference><Citation>Two.</Citation></Reference></ReferenceList>"
    )
    assert read(citation(1, data=data))["references"] == [
        {"citation": "One, 1999.", "pmid": 77, "doi": "10.1/x", "pmcid": None},
        {"citation": "Two.", "pmid": None, "doi": None, "pmcid": None},
    ]


@pytest.mark.parametrize(
    "inside",
    [
        '<CommentsCorrectionsList><CommentsCorrections RefType="RetractionIn"><RefSource>J. 2</RefSource>'
        "<PMID>9</PMID></CommentsCorrections></CommentsCorrectionsList>",
        "",
    ],
)
def test_a_retraction_shows_by_link_or_by_type(inside):
    xml = citation(1, inside=inside)
    if not inside:
        kind = '<PublicationType UI="D016441">Retracted Publication</PublicationType>'
        xml = xml.replace("</Article>", f"<PublicationTypeList>{kind}</PublicationTypeList></Article>")
    assert read(xml)["is_retracted"]
    assert not read(citation(1))["is_retracted"]


def test_a_notice_of_retraction_is_not_itself_retracted():
    inside = '<CommentsCorrectionsList><CommentsCorrections RefType="RetractionOf"/></CommentsCorrectionsList>'
    assert not read(citation(1, inside=inside))["is_retracted"]


def test_records_and_deletions_come_in_document_order_and_only_those_asked_for():
    data = document(citation(3), citation(1), deleted=[1, 9])
    found = list(read_set(io.BytesIO(data), "x", {1, 9}))
    assert [f if isinstance(f, Deletion) else f["pmid"] for f in found] == [1, Deletion(1), Deletion(9)]


def test_entities_are_not_expanded_and_nothing_is_fetched():
    bomb = (
        '<!DOCTYPE PubmedArticleSet [<!ENTITY a "xxxxxxxxxx"><!ENTITY b "&a;&a;&a;&a;">'
        '<!ENTITY f SYSTEM "file:///etc/hostname">]><PubmedArticleSet>'
    )
    data = (bomb + citation(1, "A &b; &f; title") + "</PubmedArticleSet>").encode()
    (found,) = read_set(io.BytesIO(data), "x")
    assert "xxxx" not in found["title"]


def test_a_file_that_ends_early_is_refused_by_name():
    data = (HEAD + citation(1)).encode()
    with pytest.raises(PermanentFailure, match=r"pubmed26n0001\.xml\.gz is damaged"):
        list(read_set(io.BytesIO(data), "pubmed26n0001.xml.gz"))
