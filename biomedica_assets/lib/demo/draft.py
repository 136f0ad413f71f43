"""An article being written: its XML tree, its media, and the truth about both, growing together.

``Draft`` offers what constructs need (a block of text, a figure, a graphic) and notes for each what is true of it.
Front and back matter: ``demo.frame``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from lxml import etree

from biomedica_assets.lib.demo import art as arts
from biomedica_assets.lib.demo import words
from biomedica_assets.lib.demo.art import Art
from biomedica_assets.lib.demo.draw.canvas import pick
from biomedica_assets.lib.demo.markup import ALI, XLINK, Element, fill, plain, targets
from biomedica_assets.lib.demo.plan import Plan
from biomedica_assets.lib.demo.truth import TruthFigure, TruthGraphic, TruthImage, TruthMention, TruthReject
from biomedica_assets.lib.errors import RejectReason

HREF = f"{{{XLINK}}}href"
NAMESPACES = {"xlink": XLINK, "mml": "http://www.w3.org/1998/Math/MathML", "ali": ALI}


@dataclasses.dataclass(frozen=True, slots=True)
class Original:
    """An image that later articles may copy."""

    key: str
    art: Art
    data: bytes


@dataclasses.dataclass(slots=True)
class _Figure:
    """A figure whose place in the document is not known before the document is complete."""

    element: Element
    kind: str
    xml_id: str | None
    label: str | None
    caption: str | None
    graphics: list[TruthGraphic]
    license_code: str | None
    inherited: bool = False
    parent: Element | None = None
    group_caption: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class _Block:
    """A block of text and the ids it cites, by xref or inside a range."""

    text: str
    cited: tuple[str, ...]
    inferred: tuple[str, ...]


class Draft:
    """One article under construction."""

    def __init__(self, plan: Plan, seed: int, pool: Sequence[Original]) -> None:
        """Args: plan: what to write; seed: of the mirror; pool: images of earlier articles, for copies."""
        self.plan, self.seed, self.pool = plan, seed, pool
        # A newer version is the same article with other pictures: the stream and the version together seed it.
        self.rng = np.random.default_rng([seed, 2, plan.stream, plan.version])
        self.root = etree.Element("article", {"article-type": plan.article_type}, nsmap=NAMESPACES)
        self.front = etree.SubElement(self.root, "front")
        self.body = etree.SubElement(self.root, "body")
        self.back = etree.SubElement(self.root, "back")
        self.results = etree.Element("sec")
        self.media: dict[str, bytes] = {}
        self.unlisted: set[str] = set()
        self.absent: set[str] = set()
        self.wrong_md5: set[str] = set()
        self.images: list[TruthImage] = []
        self.rejects: list[TruthReject] = []
        self.originals: list[Original] = []
        self.numbered: list[str] = []
        self._figures: list[_Figure] = []
        self._others: list[tuple[Element, TruthFigure]] = []
        self._blocks: list[_Block] = []
        self._files = 0

    # --- text ---------------------------------------------------------------------------------------------------

    def note(self, text: str, *, own: str | None = None, inferred: Sequence[str] = ()) -> None:
        """Note a block of marked text whose element the caller makes; citations of ``own`` are no mentions."""
        cited = tuple(rid for rid in targets(text) if rid != own)
        if cited or inferred:
            self._blocks.append(_Block(plain(text), cited, tuple(inferred)))

    def block(
        self,
        parent: Element,
        tag: str,
        text: str,
        *,
        own: str | None = None,
        inferred: Sequence[str] = (),
        ref_type: str | None = "fig",
    ) -> Element:
        """Append an element with marked text and note what it cites."""
        self.note(text, own=own, inferred=inferred)
        return fill(etree.SubElement(parent, tag), text, ref_type)

    def mention(self, rid: str, number: int) -> str:
        """A marked sentence that cites a numbered figure."""
        ref = f"[[{rid}|{self.plan.journal.mention.format(n=number)}]]"
        return words.sentence(self.rng, pick(self.rng, words.SENTENCES["mention"]), ref=ref, Ref=ref)

    def cite(self, index: int, text: str | None = None) -> str:
        """Marked citation of the ``index``-th numbered figure, from 0; ``text`` overrides its words."""
        shown = self.plan.journal.mention.format(n=index + 1) if text is None else text
        return f"[[{self.numbered[index]}|{shown}]]"

    # --- figures ------------------------------------------------------------------------------------------------

    def figure(
        self,
        parent: Element,
        art: Art | None = None,
        *,
        xml_id: str | None = None,
        label: str | None = None,
        title: str | None = "",
        paragraphs: Sequence[str] | None = None,
        named: bool = True,
        labelled: bool = True,
        captioned: bool = True,
        graphic: bool = True,
        kind: str = "figure",
        attributes: dict[str, str] | None = None,
        href: str | None = None,
        file_name: str | None = None,
        form: str = "jpg",
    ) -> Element:
        """Append a ``fig`` with label, caption and graphic, numbered in its journal's style unless told otherwise.

        Args:
            parent: where it goes.
            art: what it shows; any picture by default.
            xml_id: its id; the next number of the journal's style by default.
            label: its label; likewise.
            title: marked title of the caption; "" takes the picture's, None leaves it out.
            paragraphs: marked paragraphs of the caption; the picture's by default.
            named: whether it has an id.
            labelled: whether it has a label.
            captioned: whether it has a caption.
            graphic: whether its graphic is made here.
            kind: its kind in the figures table.
            attributes: further attributes.
            href: see ``graphic``.
            file_name: see ``graphic``.
            form: see ``graphic``.
        """
        art = art or arts.any_art(self.rng)
        numbered = named and xml_id is None
        number = len(self.numbered) + 1
        if numbered:
            xml_id = self.plan.journal.xml_id.format(n=number, article=self.plan.stream, pmcid=self.plan.pmcid)
            self.numbered.append(xml_id)
        label = (label or self.plan.journal.label.format(n=number)) if labelled else None
        element = etree.SubElement(parent, "fig", attributes or {})
        if xml_id:
            element.set("id", xml_id)
        if label:
            etree.SubElement(element, "label").text = label
        caption = self.caption(element, art, title, paragraphs, own=xml_id) if captioned else None
        record = _Figure(element, kind, xml_id, label, caption, [], self.plan.licence.code)
        self._figures.append(record)
        if graphic:
            self.graphic(element, art, href=href, file_name=file_name, form=form)
        return element

    def caption(
        self,
        parent: Element,
        art: Art,
        title: str | None = "",
        paragraphs: Sequence[str] | None = None,
        own: str | None = None,
    ) -> str:
        """Append a ``caption`` and return its text: blocks joined by line feeds."""
        element = etree.SubElement(parent, "caption")
        title = art.title if title == "" else title
        blocks = ([("title", title)] if title else []) + [
            ("p", p) for p in (art.paragraphs if paragraphs is None else paragraphs)
        ]
        for tag, text in blocks:
            self.block(element, tag, text, own=own)
        return "\n".join(plain(text) for _, text in blocks)

    def graphic(
        self,
        element: Element,
        art: Art,
        *,
        into: Element | None = None,
        tag: str = "graphic",
        href: str | None = None,
        file_name: str | None = None,
        form: str = "jpg",
        data: bytes | None = None,
        reject: RejectReason | None = None,
    ) -> Element:
        """Append a graphic to a figure made by ``figure``, store its file, and note both.

        Args:
            element: the ``fig``.
            art: what the picture shows.
            into: where the graphic goes, if not straight into the figure.
            tag: its element.
            href: as written; the file name by default.
            file_name: name of the object; one in the journal's style by default.
            form: see ``art.encoded``.
            data: the bytes, if not those of the picture.
            reject: why no image comes of it; None if one does.
        """
        record = self.record(element)
        file_name = file_name or self.file_name(arts.EXTENSION.get(form, form))
        node = etree.SubElement(element if into is None else into, tag, {HREF: href or file_name})
        record.graphics.append(self.store(file_name, art, href or file_name, form, data, reject))
        return node

    def store(
        self,
        file_name: str,
        art: Art,
        href: str,
        form: str = "jpg",
        data: bytes | None = None,
        reject: RejectReason | None = None,
    ) -> TruthGraphic:
        """Store the file of a graphic and note what is to be had of it."""
        quality = int(self.rng.integers(78, 93))
        data = arts.encoded(art.image, form, quality) if data is None else data
        self.media[file_name] = data
        key = self.key(file_name)
        if reject:
            self.rejects.append(TruthReject(self.plan.article_id, "images", reject, href))
            return TruthGraphic(href, None, reject)
        self.images.append(TruthImage(key, art.kind, art.panels))
        if form == "jpg" and len(art.panels) == 1:
            self.originals.append(Original(key, art, data))
        return TruthGraphic(href, key)

    def other(
        self,
        element: Element,
        kind: str,
        art: Art,
        *,
        form: str = "jpg",
        label: str | None = None,
        caption: str | None = None,
        tag: str = "graphic",
    ) -> None:
        """Append a graphic to an element that is no figure (table, formula ...) and note it as such."""
        file_name = self.file_name(arts.EXTENSION.get(form, form))
        etree.SubElement(element, tag, {HREF: file_name})
        graphic = self.store(file_name, art, file_name, form)
        name = etree.QName(element).localname if tag == "graphic" else tag
        found = TruthFigure(name, kind, element.get("id"), label, caption, (graphic,), self.plan.licence.code)
        self._others.append((element, found))

    def record(self, element: Element) -> _Figure:
        """The record of a figure, for constructs that change what is true of it."""
        return next(record for record in self._figures if record.element is element)

    def file_name(self, extension: str) -> str:
        """Next file name in the journal's style."""
        self._files += 1
        stem = self.plan.journal.file_name.format(n=self._files, article=self.plan.stream, pmcid=self.plan.pmcid)
        return f"{stem}.{extension}"

    def key(self, file_name: str) -> str:
        """Key of a file of the article in the bucket."""
        return f"{self.plan.article_id}/{file_name}"

    # --- the end ------------------------------------------------------------------------------------------------

    def figures(self) -> tuple[TruthFigure, ...]:
        """Every figure in document order."""
        place = {element: k for k, element in enumerate(self.root.iter("fig"))}
        ordered = sorted(self._figures, key=lambda record: place[record.element])
        return tuple(
            TruthFigure(
                "fig",
                r.kind,
                r.xml_id,
                r.label,
                r.caption,
                tuple(r.graphics),
                r.license_code,
                r.inherited,
                None if r.parent is None else place[r.parent],
                r.group_caption,
            )
            for r in ordered
        )

    def others(self) -> tuple[TruthFigure, ...]:
        """Every image that is no figure, in document order."""
        place = {element: k for k, element in enumerate(self.root.iter())}
        return tuple(found for _, found in sorted(self._others, key=lambda pair: place[pair[0]]))

    def mentions(self) -> tuple[TruthMention, ...]:
        """Every (figure, block) pair once; explicit citations win over inferred ones."""
        numbers = {figure.xml_id: k for k, figure in reversed(list(enumerate(self.figures()))) if figure.xml_id}
        found: list[TruthMention] = []
        for block in self._blocks:
            explicit = dict.fromkeys(rid for rid in block.cited if rid in numbers)
            found += [TruthMention(numbers[rid], block.text, False) for rid in explicit]
            hidden = dict.fromkeys(rid for rid in block.inferred if rid in numbers and rid not in explicit)
            found += [TruthMention(numbers[rid], block.text, True) for rid in hidden]
        return tuple(found)
