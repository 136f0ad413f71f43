"""From bytes to the ``article`` element, safely.

Belongs here: the hardened parse, entities, limits, and finding the article below OAI-PMH and other wrappers.
Everything that can be wrong with a file as a whole becomes an ``UnreadableXml`` here; the modules beside it never raise
for content.

The policy: nothing is fetched, no DTD is loaded, no entity is expanded by libxml2. A DOCTYPE that names an external DTD
is normal in JATS and parses. Character entities of the ISO sets (``&mdash;``, ``&alpha;``) which that DTD would define
are replaced from Python's own table; plain-text entities of the file's own subset are replaced as well; an entity that
is external, nested or unknown refuses the file. libxml2's own limits (depth 256, text nodes of 10 MB, amplification)
stay on.
"""

from __future__ import annotations

import html.entities
import re
import threading

from lxml import etree

from biomedica_assets.lib.errors import BiomedicaError, RejectReason
from biomedica_assets.lib.jats.text import texts
from biomedica_assets.lib.jats.vocabulary import Element, local_name

MAX_BYTES = 64 * 1024 * 1024
"""Largest file that is read. The largest JATS files of PubMed Central (proteomics tables) are some 30 MB."""

_NAMED_ENTITY = re.compile(rb"&(?!(?:amp|lt|gt|quot|apos);|#)")
_MAX_ENTITY_CHARS = 1_000
_CONTENT = frozenset({"front", "body", "back", "floats-group", "floats-wrap", "sub-article", "response"})
_ENCODING_CODES = frozenset(
    {
        etree.ErrorTypes.ERR_INVALID_ENCODING,
        etree.ErrorTypes.ERR_UNKNOWN_ENCODING,
        etree.ErrorTypes.ERR_UNSUPPORTED_ENCODING,
        etree.ErrorTypes.ERR_INVALID_CHAR,
        etree.ErrorTypes.I18N_CONV_FAILED,
    }
)


class UnreadableXml(BiomedicaError):
    """A file that gives no article: why, and in which line if that is known."""

    def __init__(self, reason: RejectReason, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.reason, self.message, self.line = reason, message, line


class _Parsers(threading.local):
    """A parser for each thread: to make one for each file took 5 % of parsing (its tables are allocated anew)."""

    def __init__(self) -> None:
        # collect_ids=False would be faster, but makes lxml 6.1 refuse one file in eight that has a DOCTYPE (measured on
        # 200 files: "Attempt to load network entity").
        self.own = etree.XMLParser(
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            dtd_validation=False,
            attribute_defaults=False,
            huge_tree=False,
        )


_PARSERS = _Parsers()


def read_article(data: bytes, wanted_pmcid: int | None = None) -> tuple[Element, int]:
    """Parse a file and find its article.

    Args:
        data: bytes of the file, in any encoding it declares.
        wanted_pmcid: of several articles in a wrapper, take the one with this PMCID; without it, or if none has it,
            the first.

    Returns:
        The ``article`` element and how many further articles the file holds.

    Raises:
        UnreadableXml: it is too large, not well-formed, forbidden, or holds no JATS article.
    """
    jats, _ = read_articles(data)
    chosen = jats[0]
    if wanted_pmcid is not None and len(jats) > 1:
        chosen = next((article for article in jats if stated_pmcid(article) == wanted_pmcid), chosen)
    return chosen, len(jats) - 1


def read_articles(data: bytes) -> tuple[list[Element], int]:
    """Parse a file and find all articles in it.

    Args:
        data: bytes of the file, in any encoding it declares.

    Returns:
        The ``article`` elements that have JATS content, at least one, and how many have none.

    Raises:
        UnreadableXml: as for ``read_article``.
    """
    if len(data) > MAX_BYTES:
        raise UnreadableXml(RejectReason.XML_TOO_LARGE, f"the file has {len(data):,} bytes, the limit is {MAX_BYTES:,}")
    root = _parse(data)
    # UTF-16 and UTF-32 hold zero bytes; there the search on bytes says nothing, so the tree is searched.
    if _NAMED_ENTITY.search(data) or b"\0" in data[:64]:
        _replace_entities(root)
    return _find_articles(root)


def _parse(data: bytes) -> Element:
    try:
        return etree.fromstring(data, _PARSERS.own)
    except etree.XMLSyntaxError as error:
        line = error.lineno or None
        text = re.sub(r", line \d+, column \d+$", "", " ".join((error.msg or "no content").split()))
        reason = RejectReason.XML_MALFORMED
        if error.code in _ENCODING_CODES and "encoding" in text.lower():
            reason = RejectReason.XML_ENCODING
        elif "depth" in text and ("XML_PARSE_HUGE" in text or "huge" in text.lower()):
            reason = RejectReason.XML_TOO_DEEP
        elif "XML_PARSE_HUGE" in text or "huge" in text.lower():
            reason = RejectReason.XML_TOO_LARGE
        elif "entity" in text.lower() and ("loop" in text or "amplification" in text):
            reason = RejectReason.XML_FORBIDDEN
        raise UnreadableXml(reason, f"not well-formed XML: {text}", line) from error


def _replace_entities(root: Element) -> None:
    """Put characters in the place of entity references.

    Raises:
        UnreadableXml: an entity is external, nested, too long or unknown.
    """
    references = list(root.iter(etree.Entity))
    if not references:
        return
    dtd = root.getroottree().docinfo.internalDTD
    own = {entity.name: entity.content for entity in dtd.iterentities()} if dtd is not None else {}
    for reference in references:
        name = (reference.text or "").strip("&;")
        text = own[name] if name in own else html.entities.html5.get(f"{name};")
        if text is None:
            what = "is external" if name in own else "is defined neither in the file nor in the ISO character sets"
            raise UnreadableXml(RejectReason.XML_FORBIDDEN, f"entity &{name}; {what}", reference.sourceline)
        if len(text) > _MAX_ENTITY_CHARS or "&" in text or "<" in text:
            raise UnreadableXml(
                RejectReason.XML_FORBIDDEN,
                f"entity &{name}; is nested, holds markup or is longer than {_MAX_ENTITY_CHARS:,} characters",
                reference.sourceline,
            )
        _put_text(reference, text)


def _put_text(node: Element, text: str) -> None:
    """Replace a node by text; what followed it follows the text."""
    text += node.tail or ""
    node.tail = None
    parent, before = node.getparent(), node.getprevious()
    if before is not None:
        before.tail = (before.tail or "") + text
    elif parent is not None:
        parent.text = (parent.text or "") + text
    if parent is not None:
        parent.remove(node)


def _find_articles(root: Element) -> tuple[list[Element], int]:
    if local_name(root) == "article":
        articles = [root]
    else:
        articles = [
            el for el in root.iter("{*}article") if not any(local_name(a) == "article" for a in el.iterancestors())
        ]
    jats = [article for article in articles if any(local_name(child) in _CONTENT for child in article)]
    if not jats:
        found = f"<{local_name(root)}>" + (" with an <article> that has no JATS content" if articles else "")
        raise UnreadableXml(
            RejectReason.XML_NOT_JATS, f"no JATS article: the root is {found}, expected <article> or a wrapper of it"
        )
    return jats, len(articles) - len(jats)


def stated_pmcid(article: Element) -> int | None:
    """PMCID that the front matter states, under whichever ``pub-id-type``, without its version."""
    for element in article.iterchildren("{*}front"):
        for meta in element.iterchildren("{*}article-meta"):
            for identifier in meta.iterchildren("{*}article-id"):
                number = pmcid_of(identifier)
                if number is not None:
                    return number
    return None


_PMCID_TYPES = frozenset({"pmcid", "pmc", "pmc-uid", "pmcaid", "pmc-id", "pmcid-ver", "accession"})
_PMCID = re.compile(r"\s*(?:PMC\s*)?(\d{1,9})(?:\.\d+)?\s*")


def pmcid_of(identifier: Element) -> int | None:
    """Number of an ``article-id`` that holds a PMCID.

    ``pmcaiid`` numbers the instance, not the article, and an ``accession`` counts only if it reads ``PMC123``.
    """
    kind = (identifier.get("pub-id-type") or "").casefold()
    if kind not in _PMCID_TYPES:
        return None
    # Not ``.text``: a comment or processing instruction in it would cut the number.
    text = "".join(texts(identifier))
    if kind == "accession" and "PMC" not in text:
        return None
    match = _PMCID.fullmatch(text)
    return int(match[1]) if match else None
