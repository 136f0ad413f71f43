"""Front matter: ids, title, journal, dates, authors, keywords, abstract, licence, references, related articles.

Belongs here: where each column of the ``articles`` table stands in JATS. Paths are explicit and start at the article's
own ``front`` (or ``front-stub``), so that nothing is taken from a sub-article, a reference or a related article.
"""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import itertools
import re
from collections.abc import Iterable, Mapping

from biomedica_assets.lib.jats import permissions
from biomedica_assets.lib.jats.reading import pmcid_of
from biomedica_assets.lib.jats.records import AbstractSection, Article, KeywordGroup, Related
from biomedica_assets.lib.jats.text import text_of, texts
from biomedica_assets.lib.jats.vocabulary import (
    LOCAL_NAMES,
    XML_LANG,
    Element,
    children_by_name,
    href_of,
    local_name,
    words,
)

Parts = Mapping[str, list[Element]]
"""Children of an element by name."""
# Dates that are never the publication of this article, and those that are taken only where there is no other.
_NEVER_PUBLICATION = re.compile(r"release|submitted|epreprint|original")
_HARDLY_PUBLICATION = re.compile(
    r"received|accepted|rev-|revised|preprint|retract|correct|withdrawn|update|archiv|creat"
)
# Which of several dates tells the year: the first electronic one, then print, then the volume it was collected in.
_DATE_ORDER = ("epub", "epub-ppub", "pub", "publication", "ppub", "collection")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NOT_MAIN_ABSTRACT = words(
    "graphical teaser toc summary executive-summary key-points highlights editor-summary web-summary author-summary "
    "synopsis plain-language-summary short precis video digest author-highlights"
)
_SEVERAL_NAMES = frozenset({"name-alternatives", "collab-alternatives"})
_NAMES = frozenset({"name", "string-name", "collab"}) | _SEVERAL_NAMES
_KEPT_XREFS = frozenset({"bibr", "fig", "table", "sec", "disp-formula", "scheme", "chem"})


def read_metadata(
    article: Element, article_id: str | None, default_id: str, n_further_articles: int = 0, today: dt.date | None = None
) -> Article:
    """Front matter of an article.

    Args:
        article: the ``article`` element.
        article_id: id to give it; None takes ``PMC123`` from the file.
        default_id: id if none is given and the file states no PMCID.
        n_further_articles: other articles in the same file.
        today: the day on which dated licences are judged; None takes the clock's.
    """
    whole = children_by_name(article)
    front = children_by_name(_first(whole, "front"))
    journal_meta, article_meta = _first(front, "journal-meta"), _article_meta(whole, front)
    journal, meta = children_by_name(journal_meta), children_by_name(article_meta)
    ids = _ids(meta)
    pmcid, version = _pmcid(meta)
    if article_id is None:
        article_id = default_id if pmcid is None else f"PMC{pmcid}" + (f".{version}" if version else "")
    else:
        match = re.fullmatch(r"PMC\d+\.(\d+)", article_id)
        version = int(match[1]) if match else version
    titles = children_by_name(_first(meta, "title-group"))
    date, precision, source = _publication_date(meta)
    abstract = _main_abstract(meta)
    sections = _abstract_sections(abstract) if abstract is not None else ()
    rights = permissions.read_permissions(article_meta, today) if article_meta is not None else permissions.NONE
    journals = journal_meta.iter("{*}journal-title") if journal_meta is not None else ()
    return Article(
        article_id=article_id,
        pmcid=pmcid,
        version=version,
        pmid=_number(ids.get("pmid")),
        doi=_doi(ids.get("doi")),
        title=_title(_first(titles, "article-title")) or _title(_first(meta, "article-title")),
        subtitle=_title(_first(titles, "subtitle")),
        article_type=article.get("article-type"),
        language=article.get(XML_LANG),
        journal=next((text for element in journals if (text := _line(element))), None),
        journal_id=_journal_id(journal),
        issn=tuple(dict.fromkeys(text for el in _all(journal, "issn") if (text := _line(el)))),
        publisher=_line(_child(_first(journal, "publisher"), "publisher-name")),
        date=date,
        date_precision=precision,
        date_source=source,
        year=int(date[:4]) if date else None,
        volume=_line(_first(meta, "volume")),
        issue=_line(_first(meta, "issue")),
        pages=_pages(meta),
        authors=_authors(meta),
        keywords=_keywords(meta),
        subjects=_subjects(meta),
        abstract="\n".join(filter(None, (f"{s.title}\n{s.text}" if s.title else s.text for s in sections))) or None,
        abstract_sections=sections,
        license_url=rights.license_url,
        license_code=rights.license_code,
        license_barred=rights.reason,
        license_version=rights.license_version,
        license_text=rights.license_text,
        copyright=rights.copyright,
        n_references=sum(map(_n_below, whole.get("back", ())[:1])),
        related=_related(article_meta),
        n_further_articles=n_further_articles,
    )


def _article_meta(whole: Parts, front: Parts) -> Element | None:
    """What holds the front matter of an article, or of a sub-article."""
    meta = _first(front, "article-meta")
    return _first(whole, "front-stub") if meta is None else meta


def _child(element: Element | None, name: str) -> Element | None:
    return None if element is None else next(element.iterchildren("{*}" + name), None)


def _first(parts: Parts, name: str) -> Element | None:
    found = parts.get(name)
    return found[0] if found else None


def _all(parts: Parts, name: str) -> Iterable[Element]:
    return parts.get(name, ())


def _line(element: Element | None) -> str | None:
    """Text as one line; None for no element and for an empty one."""
    return None if element is None else text_of(element).replace("\n", " ") or None


def _ids(meta: Parts) -> dict[str, str]:
    found: dict[str, str] = {}
    for element in _all(meta, "article-id"):
        if text := _line(element):
            found.setdefault((element.get("pub-id-type") or "").casefold(), text)
    return found


def _pmcid(meta: Parts) -> tuple[int | None, int | None]:
    """PMCID and, where ``pmcid-ver`` states it, the version."""
    number = version = None
    for element in _all(meta, "article-id"):
        if number is None:
            number = pmcid_of(element)
        if element.get("pub-id-type") == "pmcid-ver" and (match := re.search(r"\.(\d+)\s*$", "".join(texts(element)))):
            version = int(match[1])
    return number, version


def _number(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"\d{1,18}", text) else None


def _doi(text: str | None) -> str | None:
    return re.sub(r"^(?:https?://(?:dx\.)?doi\.org/|doi:)\s*", "", text, flags=re.I) if text else None


def _title(element: Element | None) -> str | None:
    """Title in document order, without footnote marks (``fn``, and ``xref`` to notes)."""
    if element is None:
        return None
    marks = [
        mark
        for mark in element.iterdescendants("{*}xref", "{*}fn")
        if local_name(mark) == "fn" or mark.get("ref-type") not in _KEPT_XREFS
    ]
    if not marks:
        return _line(element)
    bare = copy.deepcopy(element)
    bare.tail = None
    for mark in [*bare.iterdescendants("{*}xref", "{*}fn")]:
        if local_name(mark) == "fn" or mark.get("ref-type") not in _KEPT_XREFS:
            parent, before = mark.getparent(), mark.getprevious()
            if before is not None:
                before.tail = (before.tail or "") + (mark.tail or "")
            elif parent is not None:
                parent.text = (parent.text or "") + (mark.tail or "")
            if parent is not None:
                mark.tail = None
                parent.remove(mark)
    return _line(bare)


def _journal_id(journal: Parts) -> str | None:
    found = {el.get("journal-id-type"): text for el in _all(journal, "journal-id") if (text := _line(el))}
    return next((found[kind] for kind in ("nlm-ta", "iso-abbrev", *found) if kind in found), None)


def _publication_date(meta: Parts) -> tuple[str | None, str | None, str | None]:
    """ISO date of the publication, its precision (Y, YM, YMD) and the type of the pub-date it was taken from."""
    best: tuple[int, str, str, str | None] | None = None
    for element in _all(meta, "pub-date"):
        kind = element.get("pub-type") or element.get("date-type")
        if kind and _NEVER_PUBLICATION.search(kind.casefold()):
            continue
        rank = _date_rank(kind, element.get("publication-format"))
        if (best is None or rank < best[0]) and (date := _iso_date(element)) is not None:
            best = (rank, *date, kind)
    return (best[1], best[2], best[3]) if best else (None, None, None)


def _date_rank(kind: str | None, publication_format: str | None) -> int:
    name = (kind or "pub").casefold()
    if name in {"pub", "publication"} and publication_format == "print":
        name = "ppub"
    if name in _DATE_ORDER:
        return _DATE_ORDER.index(name)
    return len(_DATE_ORDER) + bool(_HARDLY_PUBLICATION.search(name))


def _iso_date(element: Element) -> tuple[str, str] | None:
    parts = {local_name(child): _line(child) or "" for child in element}
    stated = re.fullmatch(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?", element.get("iso-8601-date") or "")
    year = re.search(r"(?<!\d)[12]\d{3}(?!\d)", parts.get("year") or parts.get("string-date", "")) or (
        stated and re.match(r"[12]\d{3}", stated[0])
    )
    if not year:
        return None
    month = _month(parts.get("month", "")) or (int(stated[2]) if stated and stated[2] else None)
    if month is None or not 1 <= month <= 12:
        return year[0], "Y"
    day_text = re.search(r"\d{1,2}", parts.get("day", "")) or (re.match(r"\d\d", stated[3] or "") if stated else None)
    day = int(day_text[0]) if day_text else None
    if day is None or not 1 <= day <= _days(int(year[0]), month):
        return f"{year[0]}-{month:02d}", "YM"
    return f"{year[0]}-{month:02d}-{day:02d}", "YMD"


def _month(text: str) -> int | None:
    text = text.strip().casefold()
    if text.isascii() and text.isdigit():
        return int(text)
    return _MONTHS.index(text[:3]) + 1 if text[:3] in _MONTHS else None


def _days(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 or year % 400 == 0) else 28
    return 30 if month in {4, 6, 9, 11} else 31


def _pages(meta: Parts) -> str | None:
    first, last = _line(_first(meta, "fpage")), _line(_first(meta, "lpage"))
    if first:
        return f"{first}-{last}" if last and last != first else first
    return _line(_first(meta, "elocation-id")) or _line(_first(meta, "page-range"))


def _authors(meta: Parts) -> tuple[str, ...]:
    contribs = (el for group in _all(meta, "contrib-group") for el in group.iterchildren("{*}contrib"))
    authors = (el for el in contribs if el.get("contrib-type") in {None, "author", "collab", "group"})
    return tuple(name for author in authors if (name := _name(author)))


def _name(holder: Element) -> str | None:
    """Name of a contributor, "Surname, Given" or as it is written; of several forms, the first."""
    for element in holder:  # iterchildren(*names) makes a matcher of names at each call: a fifth of the authors' time
        name = LOCAL_NAMES[element.tag]
        if name not in _NAMES:
            continue
        if name in _SEVERAL_NAMES:
            text = _name(element)
        else:
            parts = {LOCAL_NAMES[child.tag]: child for child in element}
            stated = [text_of(parts[part]) for part in ("surname", "given-names") if part in parts]
            if stated:
                text = ", ".join(filter(None, stated))
            elif "contrib-group" in parts:  # the members of a collaboration stand below its name
                # Up to its first element; comments and processing instructions in the name change nothing.
                nodes = itertools.takewhile(lambda child: not LOCAL_NAMES[child.tag], element)
                text = " ".join("".join([element.text or "", *(node.tail or "" for node in nodes)]).split())
            else:
                text = _line(element)
        if text:
            return text
    return None


def _keywords(meta: Parts) -> tuple[KeywordGroup, ...]:
    groups: list[KeywordGroup] = []
    for group in _all(meta, "kwd-group"):
        words = [text for kwd in group.iter("{*}kwd", "{*}compound-kwd") if (text := _line(kwd))]
        if words:
            groups.append(KeywordGroup(group.get("kwd-group-type") or "", group.get(XML_LANG), tuple(words)))
    return tuple(groups)


def _subjects(meta: Parts) -> tuple[str, ...]:
    categories = _first(meta, "article-categories")
    if categories is None:
        return ()
    return tuple(dict.fromkeys(text for el in categories.iter("{*}subject") if (text := _line(el))))


def _main_abstract(meta: Parts) -> Element | None:
    abstracts = [*_all(meta, "abstract")]
    main = [el for el in abstracts if (el.get("abstract-type") or "").casefold() not in _NOT_MAIN_ABSTRACT]
    return (main or [None])[0]


def _abstract_sections(abstract: Element) -> tuple[AbstractSection, ...]:
    """Sections of an abstract: text before the first ``sec`` has no title."""
    found: list[AbstractSection] = []
    loose: list[str] = []
    for child in abstract:
        name = LOCAL_NAMES[child.tag]
        if name == "sec":
            title = _line(_child(child, "title"))
            body = "\n".join(
                filter(None, (text_of(el) for el in child if local_name(el) not in {"", "title", "label"}))
            )
            if title or body:
                found.append(AbstractSection(title, body))
        elif name not in {"", "title", "label"} and (text := text_of(child)):
            loose.append(text)
    if loose:
        found.insert(0, AbstractSection(None, "\n".join(loose)))
    return tuple(found)


def _n_below(element: Element) -> int:
    """Entries in a reference list or in what holds one; what is in an entry, the half of many files, is not walked."""
    n = 0
    for child in element:
        name = LOCAL_NAMES[child.tag]
        if name == "ref":
            n += 1
        elif name == "ref-list":
            n += _n_below(child)
        elif len(child):
            n += sum(1 for _ in child.iter("{*}ref"))
    return n


def identity(article: Element) -> dict[str, object]:
    """What ``article_heads`` keeps: type, PMID, DOI, related articles; of the article's own front matter."""
    whole = children_by_name(article)
    article_meta = _article_meta(whole, children_by_name(_first(whole, "front")))
    meta = children_by_name(article_meta)
    ids = _ids(meta)
    return {
        "article_type": article.get("article-type"),
        "pmid": _number(ids.get("pmid")),
        "doi": _doi(ids.get("doi")),
        "related": [dataclasses.asdict(one) for one in _related(article_meta)],
    }


def _related(meta: Element | None) -> tuple[Related, ...]:
    return tuple(
        Related(
            element.get("related-article-type") or element.get("related-object-type"),
            element.get("ext-link-type") or element.get("source-type") or element.get("object-id-type"),
            href_of(element) or element.get("object-id") or _line(element),
        )
        for element in (() if meta is None else meta.iterchildren("{*}related-article", "{*}related-object"))
    )
