"""Laws that hold for any document, checked on invented ones."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from biomedica_assets.lib.jats.article import parse_article
from biomedica_assets.lib.jats.reading import UnreadableXml
from biomedica_assets_tests.lib.jats.build import NAMESPACES, document, fig
from biomedica_assets_tests.lib.jats.reference import Reference, squeeze

WORDS = st.text(st.sampled_from("ab1 \u00a0\u2009\n\t(),.-\u2013éα<&"), max_size=8).map(  # noqa: RUF001 - on purpose
    lambda text: text.replace("&", "&amp;").replace("<", "&lt;")
)
INLINE = st.sampled_from(["italic", "bold", "sup", "sub", "ext-link", "named-content", "code", "underline", "sc"])


def wrapped(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Markup around content, with text on both sides."""
    tagged = st.builds(lambda tag, body: f"<{tag}>{body}</{tag}>", INLINE, inner)
    return st.builds(lambda a, b, c: a + b + c, WORDS, tagged, WORDS)


MARKUP = st.recursive(WORDS, lambda inner: st.one_of(wrapped(inner), st.builds("".join, st.lists(inner, max_size=3))))
XREF = st.builds(
    lambda rid, body: f'<xref rid="{rid}">{body}</xref>', st.sampled_from(["F1", "F2", "F1 F2", "F3 F9"]), MARKUP
)
CITING = st.lists(st.one_of(MARKUP, XREF), max_size=6).map("".join)


@given(st.lists(st.tuples(st.sampled_from(["p", "title"]), MARKUP), min_size=1, max_size=4))
def test_a_caption_is_its_own_text_up_to_white_space(blocks: list[tuple[str, str]]) -> None:
    inside = "".join(f"<{tag}>{markup}</{tag}>" for tag, markup in blocks)
    (figure,) = parse_article(document(f"<fig><caption>{inside}</caption></fig>")).figures
    raw = "".join(etree.fromstring(f"<c {NAMESPACES}>{inside}</c>").itertext())
    text = figure.caption.text if figure.caption else ""
    assert squeeze(text) == squeeze(raw)
    assert not re.search(r"[ \t\r\n]{2}|^[ \t\r\n]|[ \t\r\n]$|[\t\r]", text)


@given(st.lists(CITING, min_size=1, max_size=3))
def test_every_citation_of_a_figure_is_a_mention_with_its_text(paragraphs: list[str]) -> None:
    body = "".join(f"<p>{inner}</p>" for inner in paragraphs) + fig("F1") + fig("F2") + fig("F3")
    data = document(body)
    parsed = parse_article(data)
    position = {figure.figure_id: number for number, figure in enumerate(parsed.figures)}
    ours = {(position[m.figure_id], squeeze(m.text)) for m in parsed.mentions}
    assert ours >= Reference(data).mentions()
    spans = sorted(squeeze(m.text[start:end]) for m in parsed.mentions for start, end in m.spans if start < end)
    tree = etree.fromstring(data)
    cited = [
        squeeze("".join(xref.itertext()))
        for xref in tree.iter("xref")
        for rid in xref.get("rid").split()
        if rid in {"F1", "F2", "F3"}
    ]
    assert spans == sorted(text for text in cited if text)
    for mention in parsed.mentions:
        for start, end in mention.spans:
            assert mention.text[start:end] == mention.text[start:end].strip(" \n")


@given(st.text(max_size=200))
def test_any_text_gives_an_article_or_a_named_failure(text: str) -> None:
    try:
        parse_article(text.encode("utf-8", "surrogatepass"))
    except UnreadableXml as error:
        assert error.message


SEED = document(
    "<sec><title>T</title><p>See <xref rid='F1'>1</xref>-<xref rid='F3'>3</xref>. <inline-formula><alternatives>"
    "<tex-math>x</tex-math><mml:math><mml:mi>x</mml:mi></mml:math></alternatives></inline-formula></p>"
    + fig("F1", "Figure 1", "<caption><title>A</title><p>B <xref rid='F3'>3</xref></p></caption>")
    + "<fig-group><caption><p>G</p></caption>"
    + fig("F3", "Figure 3", "<alternatives><graphic xlink:href='a'/></alternatives>")
    + "</fig-group></sec>",
    front="<article-meta><pub-date><year>2020</year></pub-date><permissions><license/></permissions></article-meta>",
)
TAGS = sorted(set(re.findall(rb"</?([\w:-]+)", SEED)))


@settings(max_examples=300)
@given(st.lists(st.tuples(st.sampled_from(TAGS), st.sampled_from(TAGS)), min_size=1, max_size=5))
def test_documents_with_elements_in_the_wrong_places_do_not_break_the_parser(swaps: list[tuple[bytes, bytes]]) -> None:
    """Renaming elements gives well-formed documents that no DTD allows."""
    data = SEED
    for old, new in swaps:
        data = re.sub(rb"(</?)" + re.escape(old) + rb"(?=[\s/>])", rb"\1" + new, data)
    _parses_or_names_the_failure(data)


@settings(max_examples=200)
@given(st.integers(0, len(SEED)), st.integers(0, 40), st.binary(max_size=10))
def test_damaged_bytes_do_not_break_the_parser(at: int, length: int, put: bytes) -> None:
    _parses_or_names_the_failure(SEED[:at] + put + SEED[at + length :])


def _parses_or_names_the_failure(data: bytes) -> None:
    try:
        once = parse_article(data)
    except UnreadableXml as error:
        assert error.message
    else:
        assert once == parse_article(data)
