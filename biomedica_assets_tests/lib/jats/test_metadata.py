"""Golden tests: the front matter."""

from __future__ import annotations

import pytest

from biomedica_assets.lib.jats.records import AbstractSection, Article, KeywordGroup, Related
from biomedica_assets_tests.lib.jats.build import meta, parse


def article(inside: str, journal: str = "", **parts: str) -> Article:
    return parse(front=meta(inside, journal), **parts).article


@pytest.mark.parametrize(
    ("title", "text"),
    [
        ("The <italic>BRCA1</italic> gene in <italic>Mus</italic> mice", "The BRCA1 gene in Mus mice"),
        ('A title<xref ref-type="fn" rid="n">*</xref>', "A title"),
        ('A title<sup><xref ref-type="fn" rid="n">1</xref></sup> goes on', "A title goes on"),
        ('A title<xref ref-type="fn" rid="n">†</xref><fn id="n"><p>Supported by X.</p></fn> end', "A title end"),
        ('Comment on <xref ref-type="bibr" rid="b">Smith 2005</xref>', "Comment on Smith 2005"),
        ("Ca<sup>2+</sup> in C<sup>*</sup>", "Ca2+ in C*"),
        ("One<break/>two\n   three", "One two three"),
        ("", None),
    ],
)
def test_title_is_in_document_order_without_footnote_marks(title: str, text: str | None) -> None:
    found = article(f"<title-group><article-title>{title}</article-title></title-group>")
    assert found.title == text


@pytest.mark.parametrize(
    ("identifier", "pmcid"),
    [
        ('<article-id pub-id-type="pmc">123</article-id>', 123),
        ('<article-id pub-id-type="pmc">PMC123</article-id>', 123),
        ('<article-id pub-id-type="pmcid">PMC123</article-id>', 123),
        ('<article-id pub-id-type="pmcid-ver">PMC123.2</article-id>', 123),
        ('<article-id pub-id-type="pmc-uid">123</article-id>', 123),
        ('<article-id pub-id-type="pmcaid">123</article-id>', 123),
        ('<article-id pub-id-type="accession">PMC123</article-id>', 123),
        ('<article-id pub-id-type="accession">123</article-id>', None),
        ('<article-id pub-id-type="pmcaiid">999</article-id>', None),
        ('<article-id pub-id-type="publisher-id">123</article-id>', None),
        ("", None),
    ],
)
def test_pmcid_is_known_under_all_its_types(identifier: str, pmcid: int | None) -> None:
    assert article(identifier).pmcid == pmcid


def test_one_article_id_is_enough_for_the_rest_to_be_read() -> None:
    """A single article-id once cost BIOMEDICA title, keywords and PMID."""
    found = article('<article-id pub-id-type="doi">https://doi.org/10.1/x</article-id><volume>7</volume>')
    assert (found.doi, found.volume, found.pmid) == ("10.1/x", "7", None)


def date(pub_type: str, inside: str) -> str:
    return f'<pub-date pub-type="{pub_type}">{inside}</pub-date>'


YMD = "<day>9</day><month>3</month><year>2021</year>"


@pytest.mark.parametrize(
    ("dates", "expected"),
    [
        (date("epub", YMD), ("2021-03-09", "YMD", "epub")),
        (date("collection", "<month>Sept</month><year>2021</year>"), ("2021-09", "YM", "collection")),
        (date("ppub", "<season>Spring</season><year>2021</year>"), ("2021", "Y", "ppub")),
        (date("ppub", "<day>30</day><month>2</month><year>2021</year>"), ("2021-02", "YM", "ppub")),
        (date("ppub", "<month>13</month><year>2021</year>"), ("2021", "Y", "ppub")),
        (date("collection", "<year>2022</year>") + date("epub", YMD), ("2021-03-09", "YMD", "epub")),
        (date("pmc-release", "<year>2020</year>") + date("ppub", "<year>2021</year>"), ("2021", "Y", "ppub")),
        (date("pmc-release", "<year>2020</year>"), (None, None, None)),
        (date("nihms-submitted", "<year>2020</year>"), (None, None, None)),
        (date("epreprint", "<year>2020</year>"), (None, None, None)),
        (date("epub-original", "<year>2020</year>"), (None, None, None)),
        (date("epub", "<year>0000</year>") + date("collection", "<year>2021</year>"), ("2021", "Y", "collection")),
        ("<pub-date><year>2015</year></pub-date>", ("2015", "Y", None)),
        ("<pub-date><string-date>March 2015</string-date></pub-date>", ("2015", "Y", None)),
        (date("received", "<year>2014</year>") + date("cover", "<year>2015</year>"), ("2015", "Y", "cover")),
        (date("hwp-created", "<year>2014</year>"), ("2014", "Y", "hwp-created")),
        ('<pub-date date-type="pub" iso-8601-date="2015-01-02"/>', ("2015-01-02", "YMD", "pub")),
        ("", (None, None, None)),
    ],
)
def test_date_comes_from_the_publication_with_precision_and_source(
    dates: str, expected: tuple[str | None, str | None, str | None]
) -> None:
    found = article(dates)
    assert (found.date, found.date_precision, found.date_source) == expected
    assert found.year == (int(expected[0][:4]) if expected[0] else None)


def test_journal_is_the_title_and_not_the_id() -> None:
    journal = (
        '<journal-id journal-id-type="publisher-id">jcm</journal-id><journal-id journal-id-type="nlm-ta">J Clin Med'
        "</journal-id><journal-title-group><journal-title>Science &amp; Society</journal-title></journal-title-group>"
        "<issn>1-1</issn><issn>2-2</issn><publisher><publisher-name>P</publisher-name></publisher>"
    )
    found = article("", journal)
    assert (found.journal, found.journal_id, found.issn, found.publisher) == (
        "Science & Society",
        "J Clin Med",
        ("1-1", "2-2"),
        "P",
    )
    assert article("", '<journal-id journal-id-type="nlm-ta">J</journal-id>').journal is None


def test_authors_are_people_and_collaborations_but_not_editors() -> None:
    found = article(
        "<contrib-group><contrib contrib-type='author'><name><surname>Silva</surname><given-names>A B</given-names>"
        "</name></contrib><contrib><name-alternatives><name><surname>王</surname></name><string-name>Wang</string-name>"
        "</name-alternatives></contrib><contrib contrib-type='author'><collab>The Group<contrib-group><contrib><name>"
        "<surname>Member</surname></name></contrib></contrib-group></collab></contrib>"
        "<contrib contrib-type='editor'><name><surname>Editor</surname></name></contrib></contrib-group>"
    )
    assert found.authors == ("Silva, A B", "王", "The Group")


def test_keywords_abstract_and_subjects_are_the_articles_own() -> None:
    found = article(
        "<article-categories><subj-group><subject>Report</subject></subj-group></article-categories>"
        "<abstract abstract-type='teaser'><p>Teaser</p></abstract>"
        "<abstract><title>Abstract</title><p>Lead.</p><sec><title>Aim</title><p>One.</p><p>Two.</p></sec></abstract>"
        "<kwd-group kwd-group-type='author' xml:lang='en'><kwd>a</kwd><kwd><italic>b</italic> c</kwd></kwd-group>"
        "<kwd-group xml:lang='pt'><kwd>d</kwd></kwd-group>",
        rest="<sub-article><front-stub><kwd-group><kwd>no</kwd></kwd-group></front-stub></sub-article>",
    )
    assert found.keywords == (KeywordGroup("author", "en", ("a", "b c")), KeywordGroup("", "pt", ("d",)))
    assert found.abstract_sections == (AbstractSection(None, "Lead."), AbstractSection("Aim", "One.\nTwo."))
    assert found.abstract == "Lead.\nAim\nOne.\nTwo."
    assert found.subjects == ("Report",)


@pytest.mark.parametrize(
    ("inside", "url", "code", "version"),
    [
        (
            "<license xlink:href='http://creativecommons.org/licenses/by/4.0/'><license-p>Open</license-p></license>",
            "http://creativecommons.org/licenses/by/4.0/",
            "CC BY",
            "4.0",
        ),
        (
            "<license><ali:license_ref xmlns:ali='a'>https://creativecommons.org/licenses/by-nc/4.0/</ali:license_ref></license>",
            "https://creativecommons.org/licenses/by-nc/4.0/",
            "CC BY-NC",
            "4.0",
        ),
        (
            "<license><license-p>Under (<ext-link xlink:href='https://creativecommons.org/licenses/by-sa/3.0/'>x</ext-link>)"
            "<?pi?></license-p></license>",
            "https://creativecommons.org/licenses/by-sa/3.0/",
            "CC BY-SA",
            "3.0",
        ),
        (
            "<license><p>Distributed under the terms of the Creative Commons Attribution License, which permits use."
            "</p></license>",
            None,
            "CC BY",
            None,
        ),
        ("<license><license-p>All rights reserved.</license-p></license>", None, None, None),
        ("<copyright-statement>c</copyright-statement>", None, None, None),
    ],
)
def test_licence_is_read_from_url_link_or_text(
    inside: str, url: str | None, code: str | None, version: str | None
) -> None:
    found = article(f"<permissions>{inside}</permissions>")
    assert (found.license_url, found.license_code, found.license_version) == (url, code, version)


def test_references_and_related_articles_are_counted_and_named() -> None:
    found = article(
        "<related-article related-article-type='retracted-article' ext-link-type='doi' xlink:href='10.1/y'/>",
        back="<ref-list><ref/><ref/></ref-list>",
    )
    assert found.n_references == 2
    assert found.related == (Related("retracted-article", "doi", "10.1/y"),)


def test_an_article_without_front_matter_is_an_article() -> None:
    found = parse("<p/>").article
    assert (found.title, found.year, found.journal, found.authors) == (None, None, None, ())
