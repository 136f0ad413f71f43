"""Small JATS documents for the tests."""

from __future__ import annotations

from biomedica_assets.lib.jats.article import parse_article
from biomedica_assets.lib.jats.records import Figure, Mention, ParsedArticle

NAMESPACES = 'xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:mml="http://www.w3.org/1998/Math/MathML"'


def document(body: str = "", *, front: str = "", back: str = "", rest: str = "") -> bytes:
    """An article with the given parts."""
    return (
        f'<article {NAMESPACES} article-type="research-article" xml:lang="en"><front>{front}</front>'
        f"<body>{body}</body><back>{back}</back>{rest}</article>"
    ).encode()


def meta(inside: str, journal: str = "") -> str:
    """Front matter."""
    return f"<journal-meta>{journal}</journal-meta><article-meta>{inside}</article-meta>"


def parse(body: str = "", **parts: str) -> ParsedArticle:
    """The records of an article with the given parts."""
    return parse_article(document(body, **parts), "PMC1.1")


def figures(body: str = "", **parts: str) -> list[Figure]:
    """The rows that stand for ``fig`` elements."""
    return [figure for figure in parse(body, **parts).figures if figure.element == "fig"]


def figure(body: str = "", **parts: str) -> Figure:
    """The only ``fig``."""
    (only,) = figures(body, **parts)
    return only


def caption(inside: str) -> str | None:
    """Text of the caption of a figure with the given caption content."""
    found = figure(f"<fig><caption>{inside}</caption></fig>").caption
    return found.text if found else None


def mentions(body: str, **parts: str) -> list[tuple[str | None, Mention]]:
    """Mentions with the xml_id of their figure."""
    parsed = parse(body, **parts)
    ids = {row.figure_id: row.xml_id for row in parsed.figures}
    return [(ids[mention.figure_id], mention) for mention in parsed.mentions]


def fig(xml_id: str, label: str = "", inside: str = "") -> str:
    """A figure."""
    return f'<fig id="{xml_id}"><label>{label}</label>{inside}<graphic xlink:href="{xml_id}.jpg"/></fig>'
