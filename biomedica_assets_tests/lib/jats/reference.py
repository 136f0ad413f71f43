"""A second extractor, written from the rules alone and for nothing but clarity, to hold the parser against.

It shares no code and no method with the parser: the standard library's ElementTree, a parent map, one recursive
function for text, and everything looked up anew each time. It knows figures, captions, graphics and explicit mentions.
"""

from __future__ import annotations

import html.entities
import re
from xml.etree import ElementTree

XLINK_HREF = "{http://www.w3.org/1999/xlink}href"
FLOATS = {"fig", "fig-group", "table-wrap", "table-wrap-group", "boxed-text", "supplementary-material", "media"}
FLOATS |= {"graphic", "inline-graphic", "floats-group", "floats-wrap", "chem-struct-wrap", "inline-media"}
UNSEEN = {"alt-text", "long-desc", "permissions", "index-term", "index-term-range-end"}
PARAGRAPHS = {"p", "title", "list", "list-item", "def-list", "def-item", "def", "term", "disp-quote", "verse-group"}
PARAGRAPHS |= {"verse-line", "speech", "statement", "sec", "table", "thead", "tbody", "tr", "fn", "fn-group", "ref"}
PARAGRAPHS |= {"ref-list", "caption"}
SET_OFF = {"break", "td", "th", "entry", "label", "preformat", "hr", "disp-formula", "disp-formula-group"}
BLOCKS = {"p", "title", "td", "th", "entry", "list-item", "def", "nomenclature"}


class Reference:
    """One article, looked at slowly."""

    def __init__(self, data: bytes) -> None:
        parser = ElementTree.XMLParser()
        parser.entity.update({name.rstrip(";"): text for name, text in html.entities.html5.items()})
        root = ElementTree.fromstring(data, parser)
        self.article = root if local(root) == "article" else next(e for e in root.iter() if local(e) == "article")
        self.parents = {child: parent for parent in self.article.iter() for child in parent}
        self.figs = [e for e in self.article.iter() if local(e) == "fig"]

    def ancestors(self, element: ElementTree.Element) -> list[ElementTree.Element]:
        """From the parent up to the article."""
        found = []
        while element in self.parents:
            element = self.parents[element]
            found.append(element)
        return found

    def label(self, fig: ElementTree.Element) -> str | None:
        labels = [text(child) for child in fig if local(child) == "label"]
        return (labels[0] or None) if labels else None

    def caption(self, fig: ElementTree.Element) -> str | None:
        for child in fig:
            if local(child) == "caption" and text(child):
                return text(child)
        return None

    def hrefs(self, fig: ElementTree.Element) -> list[str]:
        found: list[str] = []
        done: set[ElementTree.Element] = set()
        for graphic in fig.iter():
            if local(graphic) != "graphic":
                continue
            between: list[ElementTree.Element] = []
            for ancestor in self.ancestors(graphic):
                if local(ancestor) == "fig":
                    break
                between.append(ancestor)
            names = {local(e) for e in between}
            unwanted = {"caption", "supplementary-material", "disp-formula", "inline-formula", "disp-formula-group"}
            if ancestor is not fig or names & (unwanted | {"permissions"}):
                continue
            choice = next((e for e in between if local(e) == "alternatives"), None)
            if choice is None:
                found.append(graphic.get(XLINK_HREF, ""))
            elif choice not in done:
                done.add(choice)
                forms = [e for e in choice if local(e) == "graphic" and e.get(XLINK_HREF)]
                full = [e for e in forms if "thumb" not in str(e.attrib).casefold().replace(e.get(XLINK_HREF, ""), "")]
                found.append((full or forms)[0].get(XLINK_HREF, ""))
        return [href for href in found if href]

    def mentions(self) -> set[tuple[int, str]]:
        """(position of the figure, text of the citing block without white space), explicit ones with a text."""
        found: set[tuple[int, str]] = set()
        for xref in self.article.iter():
            if local(xref) != "xref" or not text(xref):
                continue
            for number, fig in enumerate(self.figs):
                if fig.get("id") and fig.get("id") in xref.get("rid", "").split():
                    up = self.ancestors(xref)
                    if any(local(e) == "caption" and self.parents[e] is fig for e in up):
                        continue
                    block = next((e for e in up if local(e) in BLOCKS), None)
                    if block is not None:
                        found.add((number, squeeze(text(block))))
        return found


def local(element: ElementTree.Element) -> str:
    """Name without namespace."""
    return element.tag.rpartition("}")[2]


def squeeze(string: str) -> str:
    """Without any XML white space."""
    return re.sub(r"[ \t\r\n]", "", string)


def text(element: ElementTree.Element) -> str:
    """Text of an element by the rules on text."""
    lines = [re.sub(r"[ \t\r\n]+", " ", line).strip(" ") for line in _raw(element, top=True).split("\0")]
    return "\n".join(line for line in lines if line)


def _raw(element: ElementTree.Element, top: bool = False, in_math_formula: bool = False) -> str:
    name = local(element)
    if not top and name in FLOATS:
        return "" if name in {"inline-graphic", "inline-media"} else " "
    if name in UNSEEN and not top:
        return ""
    if name in {"annotation", "annotation-xml"}:
        return ""
    if name == "tex-math":
        body = "".join(element.itertext())
        inner = re.search(r"\\begin\{document\}(.*)\\end\{document\}", body, re.DOTALL)
        return "" if in_math_formula else inner.group(1) if inner else body
    if name == "alternatives":
        forms = [(child, _raw(child)) for child in element]
        for wanted in ("math", "tex-math", "textual-form"):
            for child, form in forms:
                if local(child) == wanted:
                    return form
        return next((form for _, form in forms if form.strip()), "")
    if name in {"inline-formula", "disp-formula", "disp-formula-group"}:
        in_math_formula = any(local(e) == "math" for e in element.iter())
    own = element.text or ""
    for child in element:
        own += _raw(child, in_math_formula=in_math_formula) + (child.tail or "")
    if not top and name in PARAGRAPHS:
        return f"\0{own}\0"
    if not top and name in SET_OFF:
        return f" {own} "
    return own
