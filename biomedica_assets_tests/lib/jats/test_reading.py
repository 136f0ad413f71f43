"""Which files give an article, which are refused, and why; nothing a file says makes the parser fetch or swell."""

# ruff: noqa: RUF001 - the typographic characters are what is tested

from __future__ import annotations

from pathlib import Path

import pytest

from biomedica_assets.lib.errors import RejectReason
from biomedica_assets.lib.jats import reading
from biomedica_assets.lib.jats.article import parse_article
from biomedica_assets.lib.jats.reading import UnreadableXml
from biomedica_assets_tests.lib.jats.build import document

BODY = '<body><fig id="f"><caption><p>C</p></caption></fig></body>'


def captions(data: bytes, **known: int) -> list[str]:
    return [f.caption.text for f in parse_article(data, **known).figures if f.caption]


def refused(data: bytes) -> UnreadableXml:
    with pytest.raises(UnreadableXml) as caught:
        parse_article(data)
    return caught.value


@pytest.mark.parametrize(
    "wrapper",
    [
        "<article>{}</article>",
        '<article xmlns="http://jats.nlm.nih.gov">{}</article>',
        '<j:article xmlns:j="http://jats.nlm.nih.gov"><j:body><j:fig><j:caption><j:p>C</j:p></j:caption></j:fig></j:body>'
        "</j:article>",
        "<pmc-articleset><article>{}</article></pmc-articleset>",
        '<OAI-PMH xmlns="http://www.openarchives.org/OAI/2.0/"><GetRecord><record><metadata>'
        '<article xmlns="">{}</article></metadata></record></GetRecord></OAI-PMH>',
        '<!DOCTYPE article PUBLIC "-//NLM//DTD JATS//EN" "JATS-archivearticle1.dtd"><article>{}</article>',
    ],
)
def test_the_article_is_found_below_any_wrapper_and_in_any_namespace(wrapper: str) -> None:
    assert captions(wrapper.format(BODY).encode()) == ["C"]


def test_elements_around_the_article_are_not_part_of_it() -> None:
    inside = "<body><p>A <xref rid='f'>1</xref></p><graphic href='g'/><fig id='f'/></body>"
    parsed = parse_article(f"<fig id='f'><caption><article>{inside}</article></caption></fig>".encode())
    assert [(figure.element, figure.parent_figure_id) for figure in parsed.figures] == [
        ("graphic", None),
        ("fig", None),
    ]
    assert len(parsed.mentions) == 1


def several() -> bytes:
    one = (
        '<article><front><article-meta><article-id pub-id-type="pmc">{0}</article-id></article-meta></front>'
        "<body><fig><caption><p>{0}</p></caption></fig></body></article>"
    )
    return f"<articles>{one.format(1)}{one.format(2)}</articles>".encode()


def test_of_several_articles_the_wanted_one_is_taken_else_the_first() -> None:
    assert captions(several()) == ["1"]
    assert captions(several(), wanted_pmcid=2) == ["2"]
    assert captions(several(), wanted_pmcid=9) == ["1"]
    assert parse_article(several()).article.n_further_articles == 1


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "iso-8859-1", "utf-16", "windows-1252"])
def test_the_declared_encoding_is_honoured(encoding: str) -> None:
    text = "<article><body><fig><caption><p>é&#x2014;</p></caption></fig></body></article>"
    declared = encoding.removesuffix("-sig")
    assert captions(f'<?xml version="1.0" encoding="{declared}"?>{text}'.encode(encoding)) == ["é—"]


@pytest.mark.parametrize(
    ("data", "reason", "line"),
    [
        (b"", RejectReason.XML_MALFORMED, 1),
        (b"no xml", RejectReason.XML_MALFORMED, 1),
        (b"<article>\n<body>\n<p></body></article>", RejectReason.XML_MALFORMED, 3),
        (b"<article><body>\n\n&nbsp;</body></article>", RejectReason.XML_MALFORMED, 3),
        (b'<?xml version="1.0" encoding="utf-8"?>\n<article><body>\xff</body></article>', RejectReason.XML_ENCODING, 2),
        (b"<html><body/></html>", RejectReason.XML_NOT_JATS, None),
        (b"<article><para/></article>", RejectReason.XML_NOT_JATS, None),
        (b"<a>" * 300 + b"</a>" * 300, RejectReason.XML_TOO_DEEP, 1),
    ],
)
def test_an_unusable_file_is_refused_with_reason_and_line(data: bytes, reason: RejectReason, line: int | None) -> None:
    error = refused(data)
    assert (error.reason, error.line) == (reason, line)


def test_a_file_over_the_limit_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_BYTES", 100)
    assert refused(document("x" * 100)).reason == RejectReason.XML_TOO_LARGE


def test_a_text_node_of_eleven_megabytes_is_refused() -> None:
    assert refused(document("<p>" + "x" * 11_000_000 + "</p>")).reason == RejectReason.XML_TOO_LARGE


def with_dtd(subset: str, text: str) -> bytes:
    return (
        f'<!DOCTYPE article PUBLIC "-//X" "x.dtd" [{subset}]>'
        f"<article><body><fig><caption><p>{text}</p></caption></fig></body></article>"
    ).encode()


def test_external_entities_are_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("TOP SECRET")
    error = refused(with_dtd(f'<!ENTITY x SYSTEM "{secret.as_uri()}">', "&x;"))
    assert error.reason == RejectReason.XML_FORBIDDEN
    assert "SECRET" not in error.message


def test_parameter_entities_are_not_read(tmp_path: Path) -> None:
    dtd = tmp_path / "evil.dtd"
    dtd.write_text('<!ENTITY x "TOP SECRET">')
    error = refused(with_dtd(f'<!ENTITY % p SYSTEM "{dtd.as_uri()}"> %p;', "&x;"))
    assert error.reason == RejectReason.XML_FORBIDDEN


@pytest.mark.parametrize("use", ["<p>&l9;</p>", '<p id="&l9;"/>'])
def test_billion_laughs_are_refused(use: str) -> None:
    laughs = '<!ENTITY l0 "ha">' + "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    data = with_dtd(laughs, "x").replace(b"<body>", f"<body>{use}".encode())
    assert refused(data).reason in {RejectReason.XML_FORBIDDEN, RejectReason.XML_MALFORMED, RejectReason.XML_TOO_LARGE}


@pytest.mark.parametrize(
    "subset",
    ['<!ENTITY a "x"><!ENTITY b "&a;y">', '<!ENTITY b "<bold>x</bold>">', f'<!ENTITY b "{"x" * 2000}">'],
    ids=["nested", "markup", "long"],
)
def test_an_entity_that_is_more_than_a_few_words_is_refused(subset: str) -> None:
    assert refused(with_dtd(subset, "&b;")).reason == RejectReason.XML_FORBIDDEN


def test_character_entities_of_the_dtd_become_characters() -> None:
    """JATS DTDs define the ISO sets; without loading a DTD their text would vanish from captions."""
    assert captions(with_dtd("", "a&mdash;b <bold>&alpha;</bold>&nbsp;c&ndash;")) == ["a—b α\u00a0c–"]


def test_plain_text_entities_of_the_file_become_text() -> None:
    assert captions(with_dtd('<!ENTITY co "Company">', "&co; &amp; sons")) == ["Company & sons"]


def test_an_unknown_entity_is_refused_by_name_and_line() -> None:
    error = refused(with_dtd("", "\n&whatisthis;"))
    assert (error.reason, error.line) == (RejectReason.XML_FORBIDDEN, 2)
    assert "&whatisthis;" in error.message
