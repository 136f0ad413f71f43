"""Text of JATS elements as a reader sees it.

The form, which captions, mentions, abstracts and titles share:

* Paragraph-like elements stand on lines of their own, separated by one line feed; empty ones leave no line.
* Inside a line, runs of XML white space (blank, tab, CR, LF) are one blank, and its ends have none. No-break and
  typographic spaces are characters like any other.
* Sub- and superscripts, links and all other inline markup give their plain text.
* A formula has one form: MathML as its text (annotations left out), else TeX without the LaTeX preamble around it.
* Floats (figures, tables, boxes, supplementary material, media), alternative texts, permissions, index terms, comments
  and processing instructions give nothing. ``break``, cells, labels and displayed formulae are set off by a blank.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Container, Sequence

from lxml import etree

from biomedica_assets.lib.jats.vocabulary import LOCAL_NAMES, ROLE_OF, Element, Role

# A line break that is not white space of the source; U+001E cannot occur in XML 1.0.
_LINE = "\x1e"
_WHITE = " \t\r\n\x1e"
_RUN = re.compile(r"[ \t\r\n\x1e]+")
# A document around a formula; some files cut its end off.
_TEX_BODY = re.compile(r"\\begin\s*\{document\}(.*?)(?:\\end\s*\{document\}|\Z)", re.DOTALL)
_TEX_PREAMBLE = re.compile(
    r"\s*(?:\\(?:documentclass|usepackage|setlength|newcommand|renewcommand|DeclareMathOperator|pagestyle)\*?\s*"
    r"(?:(?:\[[^\]]*\]|\{(?:[^{}]|\{[^{}]*\})*\}|\\[A-Za-z]+)\s*)*)+"
)
_TEX_END = re.compile(r"\\end\s*\{document\}\s*\Z")


def text_of(element: Element) -> str:
    """Text of an element in the form that this module describes; ``""`` if it has none."""
    if not len(element):
        raw = element.text
        return _words(raw) if raw and ROLE_OF[element.tag] is not Role.TEX else Walk(element, ()).text() if raw else ""
    return Walk(element, ()).text()


def lines_of(elements: Sequence[Element]) -> str:
    """Texts of several elements, one after the other, empty ones left out."""
    return "\n".join(filter(None, map(text_of, elements)))


def text_with_spans(element: Element, cited: Container[Element]) -> tuple[str, list[tuple[Element, int, int]]]:
    """Text of a block and where its citations stand.

    Args:
        element: the block.
        cited: the ``xref`` elements to locate.

    Returns:
        The text, and (xref, start, end) in document order; an empty xref has start = end.
    """
    return Walk(element, cited).text_with_spans()


class Walk:
    """One walk through a block, collecting pieces of text and where citations begin and end among them."""

    __slots__ = ("cited", "marks", "pieces")

    def __init__(self, element: Element, cited: Container[Element]) -> None:
        self.pieces: list[str] = []
        self.cited = cited
        self.marks: list[tuple[Element, int, int]] = []
        role = ROLE_OF[element.tag]
        if role in _FORMULAE:
            self.formula(element, role)
        else:
            self.inside(element, skip=0)

    def inside(self, element: Element, skip: int) -> None:
        """What an element holds, its tail left out; ``skip`` says which forms of a formula are there twice."""
        pieces, roles = self.pieces, ROLE_OF
        if text := element.text:
            pieces.append(text)
        for child in element:
            role = roles[child.tag]
            if role <= _XREF:
                first = len(pieces)
                if len(child):
                    self.inside(child, skip)
                elif inner := child.text:
                    pieces.append(inner)
                if role and child in self.cited:
                    self.marks.append((child, first, len(pieces)))
            else:
                self.other(child, role, skip)
            if tail := child.tail:
                pieces.append(tail)

    def other(self, child: Element, role: Role, skip: int) -> None:
        """What a child gives that is more than its text."""
        pieces = self.pieces
        if role is Role.LINE:
            pieces.append(_LINE)
            self.inside(child, skip)
            pieces.append(_LINE)
        elif role is Role.SPACED:
            pieces.append(" ")
            self.inside(child, skip)
            pieces.append(" ")
        elif role is Role.FLOAT:
            # An inline picture stands for a character; every other float is set off from the text around it.
            if LOCAL_NAMES[child.tag] not in _INLINE_FLOATS:
                pieces.append(" ")
        elif role is Role.TEXTUAL:
            if not skip:
                self.inside(child, skip)
        elif role is Role.TEX:
            if skip < _NO_TEX:
                self.formula(child, role)
        elif role is Role.ALTERNATIVES:
            if (form := _one_form(child)) is not None and not (skip and _rank(form) >= _RANK_OF[skip]):
                self.other(form, ROLE_OF[form.tag], skip=0)
        elif role not in _SILENT:
            self.formula(child, role)

    def formula(self, element: Element, role: Role) -> None:
        """A formula in the one form that counts."""
        if role is Role.MATH:
            self.math(element)
        elif role is Role.TEX:
            raw = "".join(texts(element))
            body = _TEX_BODY.search(raw)
            self.pieces.append(body[1] if body else _TEX_END.sub("", _TEX_PREAMBLE.sub("", raw, count=1)))
        elif role is Role.ALTERNATIVES:
            if (form := _one_form(element)) is not None:
                self.other(form, ROLE_OF[form.tag], skip=0)
        else:
            around = [" "] if role is Role.DISPLAY else []
            self.pieces += around
            self.inside(element, _others_to_skip(element))
            self.pieces += around

    def math(self, element: Element) -> None:
        """A formula in MathML as its plain text."""
        if next(element.iterdescendants(*_NOT_SHOWN), None) is None:
            raw: bytes = etree.tostring(element, method="text", encoding="utf-8", with_tail=False)
            self.pieces.append(raw.decode())
            return
        if text := element.text:
            self.pieces.append(text)
        for child in element:
            if LOCAL_NAMES[child.tag] not in _NOT_MATH:
                self.math(child)
            if tail := child.tail:
                self.pieces.append(tail)

    def text(self) -> str:
        """Text of the whole walk."""
        return collapse("".join(self.pieces))

    def text_with_spans(self) -> tuple[str, list[tuple[Element, int, int]]]:
        """Text, and the citations with their spans in it."""
        raw = "".join(self.pieces)
        offsets = [0, *itertools.accumulate(map(len, self.pieces))]
        return _collapse_with_spans(raw, [(xref, offsets[a], offsets[b]) for xref, a, b in self.marks])


_FORMULAE = frozenset({Role.FORMULA, Role.ALTERNATIVES, Role.DISPLAY, Role.MATH, Role.TEX})
_FORM_ORDER = {"math": 0, "tex-math": 1, "textual-form": 2}
_NO_TEXT, _NO_TEX = 1, 2
# From which rank on a form is one more of what is shown already.
_RANK_OF = {_NO_TEXT: 2, _NO_TEX: 1}
_XREF = Role.XREF  # looked up once: attributes of an enum cost a call in Python 3.11, and this loop is the hot one
_SILENT = frozenset({Role.HIDDEN, Role.NODE})
_INLINE_FLOATS = frozenset({"inline-graphic", "inline-media"})
_NOT_MATH = frozenset({"annotation", "annotation-xml", ""})
_NOT_SHOWN = ("{*}annotation", "{*}annotation-xml")


def _others_to_skip(formula: Element) -> int:
    """Which forms beside the best one in a formula say the same again: 0 none, else ``_NO_TEXT`` or ``_NO_TEX``."""
    if any(_has_content(math) for math in formula.iterdescendants("{*}math")):
        return _NO_TEX
    return _NO_TEXT if any("".join(texts(tex)).strip() for tex in formula.iterdescendants("{*}tex-math")) else 0


def _has_content(form: Element) -> bool:
    """Whether a form gives any text; annotations of MathML do not count."""
    if LOCAL_NAMES[form.tag] in _NOT_MATH:
        return False
    if (text := form.text) and not text.isspace():
        return True
    for child in form:  # noqa: SIM110 - generators were a third of the time that formulae took
        if _has_content(child) or ((tail := child.tail) and not tail.isspace()):
            return True
    return False


def _rank(form: Element) -> int:
    return _FORM_ORDER.get(LOCAL_NAMES[form.tag], 3)


def _one_form(alternatives: Element) -> Element | None:
    """The child of ``alternatives`` that gives its text: MathML, else TeX, else text, else the first with any text."""
    forms = [child for child in alternatives if ROLE_OF[child.tag] not in _SILENT and _has_content(child)]
    return min(forms, key=_rank, default=None)


def texts(element: Element) -> list[str]:
    """All text below an element, in pieces; what comments and processing instructions say is left out."""
    found = [element.text or ""]
    for child in element:
        if LOCAL_NAMES[child.tag]:
            found += texts(child)
        found.append(child.tail or "")
    return found


def _words(raw: str) -> str:
    """Runs of XML white space as one blank, none at the ends."""
    # Most texts have none but single blanks: three tests at memory speed instead of a list of words.
    if not ("  " in raw or "\n" in raw or "\t" in raw or "\r" in raw):
        return raw.strip(" ")
    if raw.isascii():
        return " ".join(raw.split())
    # str.split would take no-break spaces for white space. bytes.split knows ASCII's only, which in XML 1.0 is XML's;
    # it is three times as fast as a regular expression.
    return b" ".join(raw.encode().split()).decode()


def collapse(raw: str) -> str:
    """Lines with their white space collapsed, empty ones left out."""
    if _LINE in raw:
        return "\n".join(filter(None, map(_words, raw.split(_LINE))))
    return _words(raw)


def _collapse_with_spans(raw: str, marks: list[tuple[Element, int, int]]) -> tuple[str, list[tuple[Element, int, int]]]:
    """Collapse, and carry offsets along.

    Every offset is first moved to where a character that is not white space begins or ends, so that the pieces between
    offsets can be collapsed one by one (linear in the text, whatever the number of citations).
    """
    # Substring tests run at memory speed, a regular expression for the same takes longer than all the rest.
    if not any(sign in raw for sign in ("\n", "  ", _LINE, "\t", "\r")):
        cut, text = len(raw) - len(raw.lstrip(" ")), raw.strip(" ")
        return text, [_trimmed(mark, raw, cut, len(text)) for mark in marks]
    bounds: list[int] = []
    for _, start, end in marks:
        run = _RUN.match(raw, start)
        first = run.end() if run else start
        last = end
        while last > first and raw[last - 1] in _WHITE:
            last -= 1
        bounds += (first, max(first, last))
    pieces: list[str] = []
    places: list[int] = []
    length, at = 0, 0
    for bound in bounds:
        if bound > at:
            piece = _collapse_piece(raw[at:bound])
            if not length:
                piece = piece.lstrip(" \n")
            pieces.append(piece)
            length += len(piece)
            at = bound
        places.append(length)
    rest = _collapse_piece(raw[at:])
    pieces.append(rest if length else rest.lstrip(" \n"))
    text = "".join(pieces).rstrip(" \n")
    size = len(text)
    return text, [(mark[0], min(places[2 * i], size), min(places[2 * i + 1], size)) for i, mark in enumerate(marks)]


def _trimmed(mark: tuple[Element, int, int], raw: str, cut: int, size: int) -> tuple[Element, int, int]:
    """A citation in a text that needs no collapsing: its span without blanks at its ends, ``cut`` characters on."""
    xref, start, end = mark
    if start < len(raw) and raw[start] == " ":
        start += 1
    if end > start and raw[end - 1] == " ":
        end -= 1
    start = min(max(start - cut, 0), size)
    return xref, start, min(max(end - cut, start), size)


def _collapse_piece(raw: str) -> str:
    """Collapse a piece of a text: white space at its ends is one character, as it is inside."""
    if _LINE in raw:
        return _RUN.sub(lambda run: "\n" if _LINE in run[0] else " ", raw)
    if not raw:
        return ""
    inner = _words(raw)
    if not inner:
        return " "
    return f"{' ' if raw[0] in _WHITE else ''}{inner}{' ' if raw[-1] in _WHITE else ''}"
