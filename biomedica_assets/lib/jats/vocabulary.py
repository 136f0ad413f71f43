"""The words of JATS that several modules share: what each element does to text, and where blocks begin.

Belongs here: sets of element names and the memo that maps qualified tags to local names. Rules that use them live in
the modules beside it.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from lxml import etree

# lxml does not name the class of all elements in public.
Element: TypeAlias = etree._Element  # pyright: ignore[reportPrivateUsage]

XLINK_HREF = "{http://www.w3.org/1999/xlink}href"
XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"


def words(text: str) -> frozenset[str]:
    """The words of a text as a set."""
    return frozenset(text.split())


class _LocalNames(dict[Any, str]):
    """Qualified tag -> local name, remembered; comments and processing instructions have the name ``""``."""

    def __missing__(self, tag: Any) -> str:
        name = tag.rpartition("}")[2] if isinstance(tag, str) else ""
        self[tag] = name
        return name


LOCAL_NAMES = _LocalNames()


def local_name(element: Element) -> str:
    """Name of an element without its namespace, ``""`` for comments and processing instructions."""
    return LOCAL_NAMES[element.tag]


def children_by_name(element: Element | None) -> dict[str, list[Element]]:
    """Children by local name, in document order; none of no element.

    One pass: ``iterchildren(name)`` makes a matcher of names at each call, which takes as long as ten children.
    """
    found: dict[str, list[Element]] = {}
    if element is not None:
        for child in element:
            found.setdefault(LOCAL_NAMES[child.tag], []).append(child)
    return found


def href_of(element: Element) -> str | None:
    """``xlink:href`` of an element, exactly as written.

    Some files bind the prefix to another URI, or not at all and libxml2 keeps ``xlink:href`` as the name: where the
    proper attribute is absent, any whose local name is ``href`` is taken.
    """
    href = element.get(XLINK_HREF)
    if href is None and len(element.attrib):
        href = next((value for name, value in element.items() if re.search(r"(?:^|[}:])href$", str(name))), None)
    return href


class Role(enum.IntEnum):
    """What an element does to the text it stands in."""

    INLINE = 0
    """Its text belongs to the sentence."""
    XREF = 1
    """Its text belongs to the sentence, and it may cite a figure. Roles up to this one leave the text as it is."""
    LINE = 2
    """Its text stands on lines of its own."""
    SPACED = 3
    """Its text belongs to the sentence and is set off by white space."""
    FLOAT = 4
    """It stands in the text only by chance of the markup: its text is left out."""
    HIDDEN = 5
    """Its text is never seen by a reader."""
    FORMULA = 6
    """It may hold one formula in several forms, of which one counts; it is part of the sentence."""
    ALTERNATIVES = 7
    """Its children are forms of one thing."""
    DISPLAY = 8
    """A formula that is set off by white space."""
    MATH = 9
    """MathML."""
    TEX = 10
    """TeX."""
    NODE = 11
    """A comment or processing instruction."""
    TEXTUAL = 12
    """A formula as plain text, beside other forms of it."""


ROLES: Mapping[str, Role] = {
    "": Role.NODE,
    **dict.fromkeys(
        words(
            "p title list list-item def-list def-item def term disp-quote verse-group verse-line speech statement sec "
            "table thead tbody tr fn fn-group ref ref-list caption"
        ),
        Role.LINE,
    ),
    **dict.fromkeys(words("break td th entry label preformat hr"), Role.SPACED),
    **dict.fromkeys(
        words(
            "fig fig-group floats-group floats-wrap table-wrap table-wrap-group boxed-text supplementary-material "
            "media graphic inline-graphic inline-media chem-struct-wrap"
        ),
        Role.FLOAT,
    ),
    **dict.fromkeys(words("alt-text long-desc permissions index-term index-term-range-end"), Role.HIDDEN),
    "inline-formula": Role.FORMULA,
    "alternatives": Role.ALTERNATIVES,
    **dict.fromkeys(("disp-formula", "disp-formula-group"), Role.DISPLAY),
    "math": Role.MATH,
    "tex-math": Role.TEX,
    "textual-form": Role.TEXTUAL,
    "xref": Role.XREF,
}


class _Roles(dict[Any, Role]):
    """Qualified tag -> role, remembered; what is not listed is inline."""

    def __missing__(self, tag: Any) -> Role:
        role = ROLES.get(LOCAL_NAMES[tag], Role.INLINE)
        self[tag] = role
        return role


ROLE_OF = _Roles()

BLOCKS = frozenset({"p", "title", "td", "th", "entry", "list-item", "def", "nomenclature"})
"""Elements that are a block of text in which a figure can be mentioned. ``entry`` is the cell of an OASIS table."""

OTHER_BLOCKS = words(
    "article-title subtitle trans-title trans-subtitle alt-title attrib label mixed-citation element-citation citation "
    "nlm-citation product term verse-line subject kwd copyright-statement license-p speaker meta-value related-article "
    "related-object note disp-formula preformat code sig sig-block textual-form alt-text long-desc caption"
)
"""Where no block of ``BLOCKS`` is around an ``xref``, the nearest of these is its block."""
