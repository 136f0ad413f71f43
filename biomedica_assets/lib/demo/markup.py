"""A small mark-up for invented text, so that one string gives both the XML and the truth about it.

``*italic*``, ``^superscript^``, ``~subscript~``, ``$formula$`` (MathML), ``[[F1|Figure 1]]`` (xref; several rids are
separated by spaces; the words may be empty). Inside italics everything but italics may stand.
"""

from __future__ import annotations

import re
from typing import TypeAlias

from lxml import etree

Element: TypeAlias = etree._Element  # pyright: ignore[reportPrivateUsage] - lxml names its only element class so
MATHML = "http://www.w3.org/1998/Math/MathML"
XLINK = "http://www.w3.org/1999/xlink"
ALI = "http://www.niso.org/schemas/ali/1.0/"
XML = "http://www.w3.org/XML/1998/namespace"
_MARK = re.compile(
    r"\*(?P<italic>[^*]+)\*|\^(?P<sup>[^^]+)\^|~(?P<sub>[^~]+)~|\$(?P<math>[^$]+)\$"
    r"|\[\[(?P<rid>[^|\]]*)\|(?P<words>[^\]]*)\]\]"
)
_WHITE = re.compile(r"[ \t\r\n]+")
_TOKEN = re.compile(r"[A-Za-z]+|[0-9.]+|[^\sA-Za-z0-9]")


def fill(parent: Element, text: str, ref_type: str | None = "fig") -> Element:
    """Append marked text to an element and return the element.

    Args:
        parent: what receives text and children, after what it holds already.
        text: marked text.
        ref_type: ``ref-type`` of its xrefs; None leaves the attribute out.
    """
    done = 0
    for mark in _MARK.finditer(text):
        _append(parent, text[done : mark.start()])
        done = mark.end()
        if mark["italic"]:
            fill(etree.SubElement(parent, "italic"), mark["italic"], ref_type)
        elif mark["sup"] or mark["sub"]:
            etree.SubElement(parent, "sup" if mark["sup"] else "sub").text = mark["sup"] or mark["sub"]
        elif mark["math"]:
            _math(parent, mark["math"])
        else:
            attributes = {"rid": mark["rid"]} if ref_type is None else {"ref-type": ref_type, "rid": mark["rid"]}
            etree.SubElement(parent, "xref", attributes).text = mark["words"] or None
    _append(parent, text[done:])
    return parent


def plain(text: str) -> str:
    """The words of marked text, white space collapsed; formulae are their tokens run together."""

    def words(mark: re.Match[str]) -> str:
        if mark["italic"]:
            return _MARK.sub(words, mark["italic"])
        if mark["math"]:
            return "".join(_TOKEN.findall(mark["math"]))
        return mark["sup"] or mark["sub"] or mark["words"] or ""

    # XML's white space only: a no-break space is a character like any other.
    return _WHITE.sub(" ", _MARK.sub(words, text)).strip(" ")


def targets(text: str) -> list[str]:
    """Every rid that the xrefs of marked text name, in order, those inside italics included."""
    found: list[str] = []
    for mark in _MARK.finditer(text):
        if mark["italic"]:
            found += targets(mark["italic"])
        elif mark["rid"]:
            found += mark["rid"].split()
    return found


def _append(parent: Element, text: str) -> None:
    if not text:
        return
    if len(parent):
        last = parent[-1]
        last.tail = (last.tail or "") + text
    else:
        parent.text = (parent.text or "") + text


def _math(parent: Element, formula: str) -> None:
    inline = etree.SubElement(parent, "inline-formula")
    row = etree.SubElement(etree.SubElement(inline, f"{{{MATHML}}}math"), f"{{{MATHML}}}mrow")
    for token in _TOKEN.findall(formula):
        name = "mi" if token.isalpha() else "mn" if token[0].isdigit() else "mo"
        etree.SubElement(row, f"{{{MATHML}}}{name}").text = token
