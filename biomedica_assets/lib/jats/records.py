"""What the parser says about one article, as typed records.

Belongs here: the records and their plain-JSON form. Does not belong here: how they are read from XML, or how they
become table rows (``rows.py``). Nothing here imports Polars, so that ``biomedica parse`` starts at once.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from biomedica_assets.lib.jats.rights import Decision

VERSION = "5"
"""Version of the parser: bump it when any record of any article can come out differently."""

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:
    # Nothing may change a record, as the type checker sees to. At run time ``frozen`` makes of every field of a new one
    # a call of ``object.__setattr__``: a twelfth of all that parsing does beside lxml.
    def record(*, frozen: bool, slots: bool) -> Callable[[type], type]:
        """Class decorator: a dataclass that can be hashed and is to be left as it is made."""
        return dataclasses.dataclass(slots=slots, unsafe_hash=frozen)


@record(frozen=True, slots=True)
class Graphic:
    """One picture of a figure.

    Attributes:
        href: name exactly as the XML has it; of ``alternatives``, the full-size rendition.
        mime: ``image/jpeg`` from mimetype and mime-subtype, None if neither is stated.
        content_type: ``content-type`` attribute.
        xml_id: ``id`` attribute.
        renditions: hrefs of all renditions in document order, the chosen one among them.
    """

    href: str
    mime: str | None
    content_type: str | None
    xml_id: str | None
    renditions: tuple[str, ...]


@record(frozen=True, slots=True)
class Caption:
    """Caption of a figure.

    Attributes:
        text: title and paragraphs, one line each.
        reading: the same in the reading form, in which no number changes its value (see ``reading_form.py``).
        title: the title alone.
        xml: the caption element as XML, namespaces declared; None if it was not asked for.
        inherited: True if it belongs to what is around the figure, which has none of its own.
        source: what it was read from: ``caption``, ``p`` (a legend given as paragraphs of the figure), or, inherited,
            ``fig-group`` or ``fig``.
        language: language in force.
    """

    text: str
    reading: str
    title: str | None
    xml: str | None
    inherited: bool
    source: str
    language: str | None


@record(frozen=True, slots=True)
class Figure:
    """One ``fig``, or one image that stands outside any ``fig`` (its ``element`` and ``kind`` say which).

    Attributes:
        figure_id: opaque stable key.
        ordinal: position among the rows of the article.
        xml_id: ``id`` attribute.
        element: JATS element of the row.
        kind: ``figure``, ``scheme``, ``table``, ... (see ``figures.py``).
        label: text of the label.
        caption: caption, its own or marked as inherited.
        graphics: pictures in document order.
        parent_figure_id: figure around this one.
        group_xml_id: id of the ``fig-group``.
        group_label: label of the ``fig-group``.
        group_caption: caption of the ``fig-group``.
        place: body, floats, appendix, abstract, sub-article, ...
        section: titles of the sections around it, joined by `` > ``.
        language: language in force.
        license_url: licence that the part which decides names; None where the article decides.
        license_code: normalised licence in force, going by the file alone; None if there is none.
        license_group: its group.
        has_own_license: whether anything but the article decides.
        license_source: element of the part that decides, ``article`` or ``credit line``.
        license_reason: the words that decided; None where only the article speaks.
        copyright: copyright statement of that part, or of the figure itself.
        attribution: text of ``attrib``, its own and its graphics'.
        credit: credit line, also one from which nothing follows.
        credit_rule: rule of ``credit_lines`` that it met.
        rights: the decision, for when the article's licence is known from elsewhere.
        alt_text: text of ``alt-text``.
        n_mentions: blocks that cite it.
    """

    figure_id: str
    ordinal: int
    xml_id: str | None
    element: str
    kind: str
    label: str | None
    caption: Caption | None
    graphics: tuple[Graphic, ...]
    parent_figure_id: str | None
    group_xml_id: str | None
    group_label: str | None
    group_caption: str | None
    place: str
    section: str | None
    language: str | None
    license_url: str | None
    license_code: str | None
    license_group: str
    has_own_license: bool
    license_source: str
    license_reason: str | None
    copyright: str | None
    attribution: str | None
    credit: str | None
    credit_rule: str | None
    alt_text: str | None
    n_mentions: int
    rights: Decision


@record(frozen=True, slots=True)
class Mention:
    """One block of text that cites a figure.

    Attributes:
        figure_id: the figure.
        ordinal: position of the block among the citing blocks of the article.
        text: the block's text without the floats in it.
        spans: (start, end) of every citation of this figure in ``text``, in characters.
        block: element of the block.
        place: body, abstract, caption, footnote, ...
        section: titles of the sections around it, joined by `` > ``.
        inferred: True if the figure is only implied by a range.
    """

    figure_id: str
    ordinal: int
    text: str
    spans: tuple[tuple[int, int], ...]
    block: str
    place: str
    section: str | None
    inferred: bool


@record(frozen=True, slots=True)
class KeywordGroup:
    """One ``kwd-group``: its type, language and keywords."""

    kind: str
    language: str | None
    keywords: tuple[str, ...]


@record(frozen=True, slots=True)
class AbstractSection:
    """One section of the abstract; ``title`` is None for text that stands before any section."""

    title: str | None
    text: str


@record(frozen=True, slots=True)
class Related:
    """One related article or object: retraction, correction, companion."""

    kind: str | None
    id_type: str | None
    id: str | None


@record(frozen=True, slots=True)
class Article:
    """What the front matter says.

    Attributes:
        article_id: ``PMC123.1``, or the name the caller gave.
        pmcid: number, as the file states it.
        version: version, as the file or its name states it.
        pmid: PubMed id.
        doi: DOI.
        title: without footnote marks.
        subtitle: subtitle.
        article_type: attribute of the root.
        language: xml:lang of the root.
        journal: journal-title.
        journal_id: NLM abbreviation or other id.
        issn: ISSNs in document order.
        publisher: name.
        date: ISO, as precise as stated.
        date_precision: Y, YM or YMD.
        date_source: type of the pub-date used.
        year: year of ``date``.
        volume: volume.
        issue: issue.
        pages: first-last or elocation id.
        authors: "Surname, Given".
        keywords: by group.
        subjects: in document order.
        abstract: text of the main abstract.
        abstract_sections: the same by section.
        license_url: as stated.
        license_code: normalised, from URL or text; None also while it is not in force.
        license_barred: why a licence that is named is not in force (an embargo); None if nothing is in its way.
        license_version: from the URL.
        license_text: licence paragraphs.
        copyright: copyright statement.
        n_references: entries of the reference list.
        related: related articles.
        n_further_articles: other articles in the same file, which were not read.
    """

    article_id: str
    pmcid: int | None
    version: int | None
    pmid: int | None
    doi: str | None
    title: str | None
    subtitle: str | None
    article_type: str | None
    language: str | None
    journal: str | None
    journal_id: str | None
    issn: tuple[str, ...]
    publisher: str | None
    date: str | None
    date_precision: str | None
    date_source: str | None
    year: int | None
    volume: str | None
    issue: str | None
    pages: str | None
    authors: tuple[str, ...]
    keywords: tuple[KeywordGroup, ...]
    subjects: tuple[str, ...]
    abstract: str | None
    abstract_sections: tuple[AbstractSection, ...]
    license_url: str | None
    license_code: str | None
    license_barred: str | None
    license_version: str | None
    license_text: str | None
    copyright: str | None
    n_references: int
    related: tuple[Related, ...]
    n_further_articles: int


@record(frozen=True, slots=True)
class ParsedArticle:
    """Everything the parser found in one article, in document order.

    Attributes:
        article: what the front matter says.
        figures: its figures.
        mentions: blocks of text by the figures that they cite; the text of a block is one string, however many.
        n_inferred_left_out: mentions that ranges and groups imply beyond the limit of ``mentions.MOST_INFERRED``.
        n_repeats_cut: texts that were cut since the rows of the article repeat more than ``repeats.MOST_REPEATED``.
    """

    article: Article
    figures: tuple[Figure, ...]
    mentions: tuple[Mention, ...]
    n_inferred_left_out: int = 0
    n_repeats_cut: int = 0


_ARTICLE_FIELDS = tuple(
    f.name for f in dataclasses.fields(Article) if f.name not in {"keywords", "abstract_sections", "related", "pmcid"}
)
_FIGURE_FIELDS = tuple(f.name for f in dataclasses.fields(Figure) if f.name not in {"caption", "graphics", "rights"})
_GRAPHIC_FIELDS = tuple(f.name for f in dataclasses.fields(Graphic))
# All fields at once: one by one they took as long as writing them as JSON.
_of_figure, _of_graphic = operator.attrgetter(*_FIGURE_FIELDS), operator.attrgetter(*_GRAPHIC_FIELDS)


def article_json(article: Article) -> dict[str, Any]:
    """Plain values of an article; the PMCID is written as people write it, ``PMC123``."""
    plain: dict[str, Any] = {name: getattr(article, name) for name in _ARTICLE_FIELDS}
    plain["pmcid"] = None if article.pmcid is None else f"PMC{article.pmcid}"
    plain["keywords"] = [keyword for group in article.keywords for keyword in group.keywords]
    plain["keyword_groups"] = [
        {"kind": g.kind, "language": g.language, "keywords": g.keywords} for g in article.keywords
    ]
    plain["abstract_sections"] = [{"title": s.title, "text": s.text} for s in article.abstract_sections]
    plain["related"] = [{"kind": r.kind, "id_type": r.id_type, "id": r.id} for r in article.related]
    return plain


def figure_json(figure: Figure) -> dict[str, Any]:
    """Plain values of a figure.

    ``caption`` is the text of its own caption, null if it has none; ``caption_inherited`` that of what is around it.
    ``caption_reading`` is the reading form of whichever there is, ``caption_source`` says which.
    """
    plain: dict[str, Any] = dict(zip(_FIGURE_FIELDS, _of_figure(figure), strict=True))
    own = figure.caption if figure.caption and not figure.caption.inherited else None
    plain["caption"] = own.text if own else None
    plain["caption_title"] = own.title if own else None
    found = figure.caption
    plain["caption_reading"] = found.reading if found else None
    plain["caption_source"] = found.source if found else None
    plain["caption_inherited"] = found.text if found and found.inherited else None
    plain["graphics"] = [dict(zip(_GRAPHIC_FIELDS, _of_graphic(graphic), strict=True)) for graphic in figure.graphics]
    return plain


def mention_json(mention: Mention) -> dict[str, Any]:
    """Plain values of a mention: places in the text of its paragraph; ``start`` and ``end`` are the first of them."""
    start, end = mention.spans[0]
    return {
        "figure_id": mention.figure_id,
        "paragraph": paragraph_id(mention),
        "start": start,
        "end": end,
        "spans": mention.spans,
        "inferred": mention.inferred,
    }


def paragraphs_json(mentions: Iterable[Mention]) -> list[dict[str, Any]]:
    """The blocks of text that cite figures, each once."""
    found: dict[int, dict[str, Any]] = {}
    for mention in mentions:
        if mention.ordinal not in found:
            found[mention.ordinal] = {
                "id": paragraph_id(mention),
                "text": mention.text,
                "section": mention.section,
                "block": mention.block,
                "place": mention.place,
            }
    return list(found.values())


def paragraph_id(mention: Mention) -> str:
    """Name of a block within its article."""
    return f"p{mention.ordinal}"
