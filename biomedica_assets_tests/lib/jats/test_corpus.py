"""The parser on 448 real articles of 75 publishers, held against the reference extractor and independent counts."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from lxml import etree

from biomedica_assets.lib.errors import RejectReason
from biomedica_assets.lib.jats.article import parse_article
from biomedica_assets.lib.jats.reading import UnreadableXml
from biomedica_assets.lib.jats.records import ParsedArticle
from biomedica_assets_tests.lib.jats.reference import Reference, squeeze

CORPUS = Path(__file__).resolve().parents[4] / "shared" / "corpus"
pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not CORPUS.is_dir(), reason="the real articles are not at ../shared/corpus"),
]

# What the reference cannot read or does not know, each looked at by hand.
UNBOUND_PREFIX = {"PMC2923.1"}  # xlink: is not bound; libxml2 takes the file because it has a DOCTYPE, expat does not
NOT_IN_A_BLOCK = {
    "PMC2220.1": 1,  # custom-meta/meta-value
    "PMC12431436.1": 0,  # the same, and the text is that of a paragraph as well
    "PMC4958.1": 2,  # fig/attrib in a p: the block is the attrib, not the empty paragraph around it
}


@pytest.fixture(scope="module")
def articles() -> dict[str, tuple[bytes, ParsedArticle]]:
    """Every article of the corpus, parsed."""
    found: dict[str, tuple[bytes, ParsedArticle]] = {}
    for path in sorted(CORPUS.glob("mirror/PMC*/PMC*.xml")):
        data = path.read_bytes()
        found[path.stem] = data, parse_article(data, path.stem, wanted_pmcid=int(path.stem[3:].split(".")[0]))
    return found


@pytest.fixture(scope="module")
def compared(
    articles: dict[str, tuple[bytes, ParsedArticle]],
) -> list[tuple[str, ParsedArticle, Reference]]:
    """Every article beside what the reference extractor makes of it."""
    return [(name, parsed, Reference(data)) for name, (data, parsed) in articles.items() if name not in UNBOUND_PREFIX]


def pairs(
    compared: list[tuple[str, ParsedArticle, Reference]],
) -> Iterator[tuple[str, object, ElementTree.Element, Reference]]:
    for name, parsed, reference in compared:
        figures = [figure for figure in parsed.figures if figure.element == "fig"]
        for figure, element in zip(figures, reference.figs, strict=True):
            yield name, figure, element, reference


def test_all_articles_parse(articles: dict[str, tuple[bytes, ParsedArticle]]) -> None:
    assert len(articles) == 448
    assert sum(figure.element == "fig" for _, parsed in articles.values() for figure in parsed.figures) == 2831


def test_as_many_figures_as_fig_elements(articles: dict[str, tuple[bytes, ParsedArticle]]) -> None:
    count = etree.XPath("count((//*[local-name()='article'])[1]//*[local-name()='fig'])")
    for name, (data, parsed) in articles.items():
        tree = etree.fromstring(data, etree.XMLParser(resolve_entities=False))
        assert sum(f.element == "fig" for f in parsed.figures) == count(tree), name
        assert {f.element for f in parsed.figures if f.element != "fig" and f.kind == "figure"} <= {"fig-group"}


def test_captions_equal_the_references(compared: list[tuple[str, ParsedArticle, Reference]]) -> None:
    for name, figure, element, reference in pairs(compared):
        own = figure.caption.text if figure.caption and figure.caption.source == "caption" else None
        assert own == reference.caption(element), name
        assert figure.label == reference.label(element), name


def test_hrefs_equal_the_references(compared: list[tuple[str, ParsedArticle, Reference]]) -> None:
    for name, figure, element, reference in pairs(compared):
        assert [graphic.href for graphic in figure.graphics] == reference.hrefs(element), name


def test_mentions_equal_the_references(compared: list[tuple[str, ParsedArticle, Reference]]) -> None:
    for name, parsed, reference in compared:
        position = {f.figure_id: n for n, f in enumerate(f for f in parsed.figures if f.element == "fig")}
        ours = {
            (position[m.figure_id], squeeze(m.text))
            for m in parsed.mentions
            if not m.inferred and m.figure_id in position and any(start < end for start, end in m.spans)
        }
        theirs = {(figure, text) for figure, text in reference.mentions() if text}
        assert not theirs - ours, name
        assert len(ours - theirs) == NOT_IN_A_BLOCK.get(name, 0), name


def test_spans_stand_in_the_text_without_blanks_around_them(articles: dict[str, tuple[bytes, ParsedArticle]]) -> None:
    for name, (_, parsed) in articles.items():
        for mention in parsed.mentions:
            for start, end in mention.spans:
                cited = mention.text[start:end]
                assert 0 <= start <= end <= len(mention.text), name
                assert cited == cited.strip(" \n"), name


def test_malformed_files_are_refused_with_their_line() -> None:
    paths = sorted((CORPUS / "malformed").glob("*.xml"))
    assert len(paths) == 17
    for path in paths:
        with pytest.raises(UnreadableXml) as caught:
            parse_article(path.read_bytes())
        assert caught.value.reason is RejectReason.XML_MALFORMED, path.name
        assert caught.value.line, path.name


@pytest.mark.parametrize(
    ("article", "implied"),
    [
        ("PMC1591.1", {"Figure 6"}),
        ("PMC4353709.1", {"Fig 2", "Fig 3"}),
        ("PMC11414737.1", {"Fig. 2.", "Fig. 3."}),
        ("PMC2627.1", {f"Figure 2—figure supplement {n}." for n in (2, 3, 4)} | {"Figure 3—figure supplement 2."}),
        ("PMC2467486.1", set[str]()),  # the middle of its ranges is set as empty xrefs, which are explicit
        ("PMC370.1", set[str]()),  # "14-19" spans two plates with nothing between
    ],
)
def test_ranges_read_by_hand(articles: dict[str, tuple[bytes, ParsedArticle]], article: str, implied: set[str]) -> None:
    _, parsed = articles[article]
    labels = {figure.figure_id: figure.label for figure in parsed.figures}
    assert {labels[m.figure_id] for m in parsed.mentions if m.inferred} == implied


def test_what_was_judged_by_eye_is_still_what_was_seen(articles: dict[str, tuple[bytes, ParsedArticle]]) -> None:
    """100 rows drawn at random: captions with formulae against their XML, pictures of tables, formulae, supplements."""
    with Path(__file__).with_name("judged_by_eye.csv").open(encoding="utf-8", newline="") as handle:
        judged = list(csv.DictReader(handle))
    assert len(judged) == 100
    for row in judged:
        figure = next(f for f in articles[row["article_id"]][1].figures if f.figure_id == row["figure_id"])
        if row["what"] == "caption with a formula":
            assert figure.caption is not None
            assert ("[formula]" in figure.caption.reading) == (row["verdict"] == "picture alone"), row
        else:
            assert figure.kind == row["what"] and figure.graphics
