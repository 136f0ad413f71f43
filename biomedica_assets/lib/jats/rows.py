"""Records as rows of the tables ``articles``, ``figures``, ``captions`` and ``mentions``.

Belongs here: which record field becomes which column, and which licence is in force. Column types and meanings are in
``lib.tables``.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from biomedica_assets.lib import licenses
from biomedica_assets.lib.jats.records import VERSION, Article, Figure, Mention, ParsedArticle

Row = dict[str, Any]
MOST_TEXT = 4_000
"""Most characters of a block in a row of ``mentions``; of the corpus's blocks fewer than one in 100 is longer."""


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """What is known of an article before its file is read.

    Attributes:
        article_id: ``PMC123.1``.
        pmcid: number of the article.
        version: version of the article.
        path: of the JATS file.
        md5: of the JATS file.
        license_code: normalised licence of the metadata, None if none is known.
        is_retracted: as the metadata says.
        pmid: as the metadata says, where the file states none.
    """

    article_id: str
    pmcid: int
    version: int
    path: str
    md5: str
    license_code: str | None
    is_retracted: bool
    pmid: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Rows:
    """Rows of the four tables."""

    articles: list[Row] = dataclasses.field(default_factory=list[Row])
    figures: list[Row] = dataclasses.field(default_factory=list[Row])
    captions: list[Row] = dataclasses.field(default_factory=list[Row])
    mentions: list[Row] = dataclasses.field(default_factory=list[Row])

    def add(self, known: Known, parsed: ParsedArticle) -> None:
        """Add the rows of one article."""
        # An embargo that the file states bars what the metadata names, too.
        code = None if parsed.article.license_barred else known.license_code or parsed.article.license_code
        self.articles.append(_article(known, parsed.article, code))
        for figure in parsed.figures:
            self.figures.append(_figure(known.article_id, figure, code))
            if figure.caption:
                self.captions.append(_caption(known.article_id, figure))
        self.mentions.extend(_mention(known.article_id, mention) for mention in parsed.mentions)

    def extend(self, other: Rows) -> None:
        """Add the rows of others."""
        for field in dataclasses.fields(self):
            getattr(self, field.name).extend(getattr(other, field.name))


def _article(known: Known, article: Article, code: str | None) -> Row:
    row = {field.name: getattr(article, field.name) for field in dataclasses.fields(article)}
    for name in ("keywords", "abstract_sections", "related"):
        row[name] = [dataclasses.asdict(item) for item in row[name]]
    return row | {
        "article_id": known.article_id,
        "pmcid": known.pmcid,
        "version": known.version,
        "pmid": article.pmid or known.pmid,
        "license_code": code,
        "license_group": licenses.group_of(code),
        "is_retracted": known.is_retracted,
        "xml_md5": known.md5,
        "parser_version": VERSION,
    }


def _figure(article_id: str, figure: Figure, article_code: str | None) -> Row:
    row = {field.name: getattr(figure, field.name) for field in dataclasses.fields(figure)}
    del row["caption"], row["has_own_license"], row["rights"]
    code = figure.rights.in_force(article_code)
    return row | {
        "article_id": article_id,
        "graphics": [dataclasses.asdict(graphic) for graphic in figure.graphics],
        "license_code": code,
        "license_group": licenses.group_of(code),
    }


def _caption(article_id: str, figure: Figure) -> Row:
    caption = figure.caption
    assert caption is not None  # noqa: S101 - the caller asked for it
    return {
        "figure_id": figure.figure_id,
        "article_id": article_id,
        "caption": caption.text,
        "caption_reading": caption.reading,
        "source": caption.source,
        "title": caption.title,
        "xml": caption.xml,
        "inherited": caption.inherited,
        "language": caption.language,
        "n_chars": len(caption.text),
    }


def _excerpt(mention: Mention) -> tuple[str, int]:
    """The block's text, of a long one what stands around the first citation, and where in the block it begins.

    A block that cites 8 000 figures has 8 000 mentions: with all of its text in each, 1.5 MB of XML were 1.28 GB.
    """
    whole = mention.text
    if len(whole) <= MOST_TEXT:
        return whole, 0
    first, last = mention.spans[0]
    begin = max(0, min(first - MOST_TEXT // 2, len(whole) - MOST_TEXT))
    end = max(begin + MOST_TEXT, last)
    # Between words, but never into the citation.
    if begin and (blank := whole.find(" ", begin, first)) >= 0:
        begin = blank + 1
    if end < len(whole) and (blank := whole.rfind(" ", last, end)) >= 0:
        end = blank
    return whole[begin:end], begin


def _mention(article_id: str, mention: Mention) -> Row:
    text, offset = _excerpt(mention)
    spans = [(a - offset, b - offset) for a, b in mention.spans if a >= offset and b <= offset + len(text)]
    start, end = spans[0]
    return {
        "mention_id": f"{mention.figure_id}-m{mention.ordinal}",
        "figure_id": mention.figure_id,
        "article_id": article_id,
        "ordinal": mention.ordinal,
        "text": text,
        "text_start": offset,
        "paragraph_chars": len(mention.text),
        "start": start,
        "end": end,
        "spans": [{"start": a, "end": b} for a, b in spans],
        "block": mention.block,
        "place": mention.place,
        "section": mention.section,
        "inferred": mention.inferred,
    }
