"""One parse of one file: bytes in, records out, an article at a time.

Belongs here: the single pass over the tree that hands each element to whoever knows its rules.
"""

from __future__ import annotations

import datetime as dt

from biomedica_assets.lib.jats.context import Contexts
from biomedica_assets.lib.jats.figures import Figures, Row
from biomedica_assets.lib.jats.mentions import Mentions
from biomedica_assets.lib.jats.metadata import read_metadata
from biomedica_assets.lib.jats.reading import read_article, read_articles, stated_pmcid
from biomedica_assets.lib.jats.records import ParsedArticle
from biomedica_assets.lib.jats.repeats import Repeats
from biomedica_assets.lib.jats.rights import STATING, Rights
from biomedica_assets.lib.jats.vocabulary import LOCAL_NAMES, Element

_TAGS = ("{*}fig", "{*}xref", "{*}graphic", "{*}supplementary-material", *STATING)
_STATING = frozenset(name.removeprefix("{*}") for name in STATING)


def parse_article(
    data: bytes,
    article_id: str | None = None,
    *,
    default_id: str = "unknown",
    wanted_pmcid: int | None = None,
    xml: bool = True,
    today: dt.date | None = None,
) -> ParsedArticle:
    """Parse a JATS file.

    Args:
        data: bytes of the file.
        article_id: id to give the article and to make figure ids from; None takes ``PMC123`` from the file.
        default_id: id if none is given and the file states no PMCID.
        wanted_pmcid: which article to take from a wrapper that holds several.
        xml: whether captions are kept as XML, too.
        today: the day on which dated licences and embargoes are judged; None takes the clock's, which is asked only for
            an article that has such dates.

    Returns:
        The article with its figures and mentions in document order. Equal bytes and ids give equal records.

    Raises:
        UnreadableXml: the file as a whole cannot be used.
    """
    root, n_further = read_article(data, wanted_pmcid)
    return _parsed(root, article_id, default_id, n_further, xml=xml, today=today)


def parse_articles(
    data: bytes,
    *,
    named: str | None = None,
    default_id: str = "unknown",
    xml: bool = True,
    today: dt.date | None = None,
) -> tuple[list[ParsedArticle], int]:
    """Parse a JATS file and all articles in it: a ``pmc-articleset`` holds several.

    Args:
        data: bytes of the file.
        named: id of the article that the file is named after, ``PMC123.1``: the one of that PMCID gets it, or the only
            one. The others take theirs from the PMCID they state.
        default_id: id of those that state none; from the second on with ``-2``, ``-3``, ... behind it.
        xml: as for ``parse_article``.
        today: as for ``parse_article``.

    Returns:
        The articles in the order of the file, and how many further ``article`` elements have no content to read.

    Raises:
        UnreadableXml: the file as a whole cannot be used.
    """
    roots, n_without = read_articles(data)
    number = int(named.removeprefix("PMC").partition(".")[0]) if named else None
    found: list[ParsedArticle] = []
    for n, root in enumerate(roots, start=1):
        is_named = named is not None and (len(roots) == 1 or stated_pmcid(root) == number)
        fallback = default_id if n == 1 else f"{default_id}-{n}"
        found.append(_parsed(root, named if is_named else None, fallback, len(roots) - 1, xml=xml, today=today))
    return found, n_without


def _parsed(
    root: Element, article_id: str | None, default_id: str, n_further: int, *, xml: bool, today: dt.date | None
) -> ParsedArticle:
    article = read_metadata(root, article_id, default_id, n_further, today)
    contexts = Contexts(root)
    rights = Rights(root, article.copyright, today)
    repeats = Repeats()
    figures = Figures(article.article_id, contexts, rights, repeats, xml=xml)
    xrefs: list[Element] = []
    fig_rows: list[Row] = []
    for element in root.iter(*_TAGS):
        name = LOCAL_NAMES[element.tag]
        if name == "xref":
            xrefs.append(element)
        elif name == "fig":
            fig_rows.append(figures.add_fig(element))
        elif name == "graphic":
            group = figures.add_graphic(element)
            if group is not None:
                fig_rows.append(group)
        elif name in _STATING:
            rights.note(element)
        else:
            figures.add_supplement(element)
    mentions = Mentions(fig_rows, contexts, repeats)
    if fig_rows:
        mentions.add_xrefs(xrefs)
    found = mentions.finish()
    records = figures.finish(article.license_code)
    return ParsedArticle(article, records, found, mentions.n_left_out, repeats.n_cut)
