"""Figures and other images of an article, with captions, labels, graphics and what surrounds them.

Belongs here: the rules on what is a figure, its label, its caption and its graphics. Every ``fig`` is one row, wherever
it stands, and so is a ``fig-group`` that holds a graphic itself. Other ``graphic`` elements give rows of their own
kinds (table, formula, chemical_structure, supplementary, graphic), one per element that holds them. ``inline-graphic``
gives none: it is a character of the text, and articles hold hundreds. A figure without a caption has that of the
nearest group or figure around it that has one, marked as inherited; paragraphs directly in a ``fig`` are its legend.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Sequence

from lxml import etree

from biomedica_assets.lib import licenses
from biomedica_assets.lib.jats.context import Contexts
from biomedica_assets.lib.jats.credit_lines import Credit
from biomedica_assets.lib.jats.reading_form import has_position, reading_text
from biomedica_assets.lib.jats.records import Caption, Figure, Graphic
from biomedica_assets.lib.jats.repeats import FREE, Repeats
from biomedica_assets.lib.jats.rights import Rights
from biomedica_assets.lib.jats.text import lines_of, text_of
from biomedica_assets.lib.jats.vocabulary import LOCAL_NAMES, XML_LANG, Element, children_by_name, href_of, local_name

_FIG_KINDS = {"scheme": "scheme", "algorithm": "algorithm", "chart": "chart", "map": "map", "plate": "plate"}
_KIND_OF_LABEL = re.compile(r"(?:(?:supplementary|extended data)\s+)?(scheme|algorithm|chart|map|plate)s?\b", re.I)
# Elements that make a row of the graphics below them, and its kind. The nearest one counts.
_HOLDERS = {
    "disp-formula": "formula",
    "disp-formula-group": "formula",
    "inline-formula": "formula",
    "supplementary-material": "supplementary",
    "table-wrap": "table",
    "chem-struct": "chemical_structure",
    "chem-struct-wrap": "chemical_structure",
    "chem-struct-wrapper": "chemical_structure",
}
_FORMULAE = frozenset({"disp-formula", "disp-formula-group", "inline-formula"})
_CELLS = frozenset({"td", "th", "entry"})
_NOT_CAPTION = frozenset({"", "label", "attrib", "permissions", "alt-text", "long-desc", "object-id"})
_IMAGE_NAME = re.compile(r"\.(?:jpe?g|png|gif|tiff?|bmp|webp|eps|svg)$", re.I)


@dataclasses.dataclass(slots=True, eq=False)
class Row:
    """A row being made: the element it stands for and the graphics found for it so far."""

    element: Element
    kind: str
    figure_id: str
    ordinal: int
    graphics: list[Graphic] = dataclasses.field(default_factory=list[Graphic])
    n_mentions: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class _Whole:
    """A group, or a figure around figures: what it lends to its parts.

    Attributes:
        label: text of its label.
        caption: its caption, for parts that have none.
        credit: credit line in that caption.
    """

    label: str | None
    caption: Caption | None
    credit: Credit | None


class Figures:
    """The rows of one article, in document order."""

    def __init__(self, article_id: str, contexts: Contexts, rights: Rights, repeats: Repeats, *, xml: bool) -> None:
        """Args: article_id: for figure ids; contexts, rights, repeats: of the article; xml: keep captions as XML."""
        self.rows: list[Row] = []
        self._contexts, self._rights, self._repeats, self._xml = contexts, rights, repeats, xml
        self._wholes: dict[Element, _Whole] = {}
        self._prefix, self._id_base = _id_prefix(article_id)
        self._by_element: dict[Element, Row] = {}
        self._seen: dict[str, int] = {}
        self._alternatives: set[Element] = set()

    def add_fig(self, element: Element) -> Row:
        """Row of a ``fig``."""
        return self._add(element, _kind_of_fig(element))

    def add_graphic(self, element: Element) -> Row | None:  # noqa: PLR0912 - one walk up, a case for each thing met
        """Put a ``graphic`` into the row it belongs to, making one if it stands outside any ``fig``.

        Returns:
            The row, if it is new and that of a ``fig-group``, which can be cited like a figure.
        """
        alternatives: Element | None = None
        holder: Element | None = None
        figure: Element | None = None
        below_caption = False
        for ancestor in element.iterancestors():
            name = LOCAL_NAMES[ancestor.tag]
            if name == "fig":
                figure = ancestor
                break
            if name == "fig-group" and holder is None and ancestor is _parent_of(element, alternatives):
                holder = ancestor  # its picture, under its label and caption
                break
            if name == "article":
                break  # wrappers around it say nothing
            if name == "alternatives" and holder is None:
                alternatives = ancestor
            elif name == "caption":
                below_caption = True
            elif name == "permissions":
                return None  # the badge of a licence
            elif name in _HOLDERS and holder is None:
                holder = ancestor
                if name in _FORMULAE or name == "supplementary-material":
                    break
            elif name in _CELLS and holder is None:
                holder = element
        if alternatives is not None and alternatives in self._alternatives:
            return None  # its first rendition has brought the others along
        if below_caption and (figure is not None or holder is None):
            return None
        graphic = self._read(element, alternatives)
        if graphic is None:
            return None
        where = figure if figure is not None else element if holder is None else holder
        row = self._by_element.get(where)
        group: Row | None = None
        if row is None and local_name(where) == "fig-group":
            row = group = self._add(where, _kind_of_fig(where))
        elif row is None:
            row = self._add(where, _HOLDERS.get(local_name(where), "graphic"))
        row.graphics.append(graphic)
        return group

    def add_supplement(self, element: Element) -> None:
        """Row of a ``supplementary-material`` whose files are images by their type or name; others give none."""
        files = [el for el in (element, *element.iterdescendants("{*}media")) if _is_image(el)]
        if files:
            row = self._by_element.get(element) or self._add(element, "supplementary")
            row.graphics += [g for g in (_graphic(el, (el,)) for el in files) if g is not None]

    def finish(self, article_license: str | None) -> tuple[Figure, ...]:
        """The rows as records.

        Args:
            article_license: normalised licence that the article itself states.
        """
        return tuple(self._record(row, article_license) for row in self.rows)

    def _add(self, element: Element, kind: str) -> Row:
        name = f"{local_name(element)}\0{element.get('id') or ''}"
        n = self._seen[name] = self._seen.get(name, 0) + 1
        digest = hashlib.blake2b(f"{self._id_base}\0{name}\0{n}".encode(), digest_size=8).hexdigest()
        row = Row(element, kind, f"{self._prefix}{digest}", len(self.rows))
        self.rows.append(row)
        self._by_element[element] = row
        return row

    def _of_figure_around(self, element: Element) -> _Whole | None:
        """The figure around this one whose caption it takes; None if a group with a caption is nearer."""
        for ancestor in element.iterancestors():
            name = LOCAL_NAMES[ancestor.tag]
            if name == "fig-group" and next(ancestor.iterchildren("{*}caption"), None) is not None:
                return None
            if name == "fig":
                found = self._whole(ancestor)
                if found.caption is not None:
                    return found
        return None

    def _whole(self, element: Element) -> _Whole:
        """What a group or figure lends, read once: a group of 4 000 parts was read 4 000 times."""
        found = self._wholes.get(element)
        if found is None:
            children = children_by_name(element)
            language = self._contexts.within(element).language
            caption = _caption_of(children, language, source=local_name(element), xml=self._xml)
            credit = self._rights.credit_in(caption.text) if caption else None
            found = self._wholes[element] = _Whole(_one(children, "label"), caption, credit)
        return found

    def _lent(self, caption: Caption) -> Caption:
        """The caption of what is around a figure, as its row gets it."""
        if self._repeats.whole(caption.text, caption.reading, caption.title, caption.xml):
            return caption
        cut = {"text": caption.text[:FREE], "reading": caption.reading[:FREE]}
        return dataclasses.replace(caption, **cut, title=None, xml=caption.xml and "")

    def _read(self, element: Element, alternatives: Element | None) -> Graphic | None:
        if alternatives is None:
            return _graphic(element, (element,))
        self._alternatives.add(alternatives)
        renditions = [*alternatives.iterchildren("{*}graphic")] or [element]
        return _graphic(_full_size(renditions), renditions)

    def _record(self, row: Row, article_license: str | None) -> Figure:
        element = row.element
        repeated = self._repeats.of
        around = self._contexts.around(element)
        children = children_by_name(element)
        group = self._whole(around.group) if around.group is not None else _LENDS_NOTHING
        caption = None
        if "caption" in children or "p" in children:
            caption = _caption_of(children, element.get(XML_LANG) or around.language, source="caption", xml=self._xml)
        outer = self._of_figure_around(element) if caption is None and around.figures else None
        attribution = _attribution(element, children)
        words = "\n".join(filter(None, (caption.text if caption else None, attribution, _foot_of(children))))
        rights = self._rights.decide(element, len(row.graphics), words, outer.credit if outer else None)
        lent = (outer or group).caption if caption is None else None
        if lent is not None:
            caption = self._lent(lent)
        code = rights.in_force(article_license)
        parent = self._by_element[around.figures[0]].figure_id if around.figures else None
        return Figure(
            figure_id=row.figure_id,
            ordinal=row.ordinal,
            xml_id=element.get("id"),
            element=local_name(element),
            kind=row.kind,
            label=_one(children, "label"),
            caption=caption,
            graphics=tuple(row.graphics),
            parent_figure_id=parent,
            group_xml_id=repeated(around.group.get("id")) if around.group is not None else None,
            group_label=repeated(group.label),
            group_caption=repeated(group.caption.text) if group.caption else None,
            place=around.place,
            section=repeated(around.section),
            language=element.get(XML_LANG) or around.language,
            license_url=repeated(rights.stated.license_url),
            license_code=code,
            license_group=licenses.group_of(code),
            has_own_license=rights.own or rights.withheld or bool(rights.at_most),
            license_source=rights.source,
            license_reason=repeated(rights.reason),
            copyright=repeated(rights.stated.copyright or self._rights.copyright_of(element)),
            attribution=attribution,
            credit=rights.credit,
            credit_rule=rights.credit_rule,
            rights=rights,
            alt_text=_one(children, "alt-text"),
            n_mentions=row.n_mentions,
        )


_LENDS_NOTHING = _Whole(None, None, None)


def _parent_of(element: Element, alternatives: Element | None) -> Element | None:
    """What holds a graphic, or the alternatives that it is one of."""
    return element.getparent() if alternatives is None else alternatives.getparent()


def _id_prefix(article_id: str) -> tuple[str, str]:
    """What figure ids begin with, in [a-z0-9_-], and what their digest is made from."""
    match = re.fullmatch(r"PMC(\d+)(?:\.(\d+))?", article_id)
    if not match:
        return "x-", article_id
    return f"pmc{match[1]}-{match[2]}-" if match[2] else f"pmc{match[1]}-", ""


def _kind_of_fig(element: Element) -> str:
    kind = _FIG_KINDS.get((element.get("fig-type") or "").casefold().rstrip("s"))
    if kind is None:
        label = next(element.iterchildren("{*}label"), None)
        match = _KIND_OF_LABEL.match(text_of(label)) if label is not None else None
        kind = match[1].casefold() if match else "figure"
    return kind


def _one(children: dict[str, list[Element]], name: str) -> str | None:
    """Text of the children of a name; None if there are none or they are empty."""
    return lines_of(children[name]) or None if name in children else None


def _attribution(element: Element, children: dict[str, list[Element]]) -> str | None:
    """Text of the ``attrib`` children, and of those of the graphics."""
    found = [*children.get("attrib", ())]
    for name in ("graphic", "alternatives", "media"):
        for child in children.get(name, ()):
            found += child.iter("{*}attrib")
    return lines_of(found) or None if found else None


def _foot_of(children: dict[str, list[Element]]) -> str | None:
    """Text of a table's foot, where credit lines of tables stand."""
    return lines_of(children["table-wrap-foot"]) if "table-wrap-foot" in children else None


def _caption_of(children: dict[str, list[Element]], language: str | None, *, source: str, xml: bool) -> Caption | None:
    """Caption from the first ``caption`` child that has any text, else from paragraphs; None if there is neither."""
    inherited = source != "caption"
    for element in children.get("caption", ()):
        text = caption_text(element)
        if text:
            first = next(element.iterchildren("{*}title"), None)
            title = text_of(first) or None if first is not None else None
            # A legend in paragraphs beside a caption goes on where that ends.
            more = [p for p in children.get("p", ()) if text_of(p)] if not inherited else []
            reading = caption_text(element, reading=True) if has_position(element) else text
            return Caption(
                "\n".join([text, *map(text_of, more)]) if more else text,
                "\n".join([reading, *map(_reading, more)]) if more else reading,
                title,
                _xml_of([element, *more]) if xml else None,
                inherited,
                source,
                element.get(XML_LANG) or language,
            )
    paragraphs = [p for p in children.get("p", ()) if text_of(p)]
    if paragraphs and not inherited:
        reading = "\n".join(map(_reading, paragraphs))
        return Caption(lines_of(paragraphs), reading, None, _xml_of(paragraphs) if xml else None, False, "p", language)
    return None


def _xml_of(elements: Sequence[Element]) -> str:
    return "\n".join(etree.tostring(element, encoding="unicode", with_tail=False) for element in elements)


def _reading(element: Element) -> str:
    return reading_text(element) if has_position(element) else text_of(element)


def caption_text(caption: Element, *, reading: bool = False) -> str:
    """Title and paragraphs of a ``caption``, one line each, in document order.

    Nothing is added; label, attribution, permissions and alternative text are left out even where they stand inside.

    Args:
        caption: the element.
        reading: in the reading form (see ``reading_form.py``).
    """
    text = _reading if reading else text_of
    loose = caption.text
    if loose and not loose.isspace():
        return text(caption)  # text outside paragraphs is not valid JATS, but it is the caption
    lines: list[str] = []
    for child in caption:
        if (loose := child.tail) and not loose.isspace():
            return text(caption)
        if LOCAL_NAMES[child.tag] not in _NOT_CAPTION and (line := text(child)):
            lines.append(line)
    return "\n".join(lines)


def _full_size(renditions: Sequence[Element]) -> Element:
    """The rendition to take: one with an href, no thumbnail, the first of those."""
    named = [graphic for graphic in renditions if href_of(graphic)] or renditions
    return next((graphic for graphic in named if not _is_thumbnail(graphic)), named[0])


def _is_thumbnail(graphic: Element) -> bool:
    return "thumb" in f"{graphic.get('content-type')} {graphic.get('specific-use')}".casefold()


def _graphic(element: Element, renditions: Sequence[Element]) -> Graphic | None:
    """Record of a graphic; None if it names no file."""
    href = href_of(element)
    if not href:
        return None
    kind, subtype = element.get("mimetype"), element.get("mime-subtype")
    mime = "/".join(filter(None, (kind, subtype))) or None
    hrefs = tuple(found for el in renditions if (found := href_of(el)))
    return Graphic(href, mime, element.get("content-type"), element.get("id"), hrefs)


def _is_image(element: Element) -> bool:
    href = href_of(element)
    if not href:
        return False
    kind = element.get("mimetype")
    return kind.casefold().startswith("image") if kind else _IMAGE_NAME.search(href) is not None
