"""Which words of which source mean that an article is retracted, questioned or corrected: rules as data.

A retraction withdraws the article, whoever states it; concerns and corrections are noted. A partial retraction counts
as a correction, as NLM counts it.

Sources: NLM, "Errata, Retractions, and Other Linked Citations in PubMed" (RefType of CommentsCorrections, publication
types); the values of ``related-article-type`` and ``article-type`` that the JATS tag library suggests, JATS4R's
recommendation on corrections and retractions, and PubMed Central's and SciELO's tagging guidelines.
"""

from __future__ import annotations

import enum
import re


class Kind(enum.StrEnum):
    """What is said of an article."""

    RETRACTION = "retraction"
    CONCERN = "concern"
    CORRECTION = "correction"


class Source(enum.StrEnum):
    """Who says it: PMC's flag, PubMed's record, a notice (or the article's own file), the user's list."""

    PMC = "pmc"
    PUBMED = "pubmed"
    NOTICE = "notice"
    LIST = "list"


RETRACTED_PUBLICATION = "D016441"
"""MeSH UI of the publication type."""

PUBMED_OF_ITSELF = {
    "RetractionIn": Kind.RETRACTION,
    "RetractedandRepublishedIn": Kind.RETRACTION,
    "ExpressionOfConcernIn": Kind.CONCERN,
    "ErratumIn": Kind.CORRECTION,
    "CorrectedandRepublishedIn": Kind.CORRECTION,
}
"""RefType in the record of the article concerned; the link leads to the notice."""

PUBMED_OF_ANOTHER = {
    "RetractionOf": Kind.RETRACTION,
    "RetractedandRepublishedFrom": Kind.RETRACTION,
    "ExpressionOfConcernFor": Kind.CONCERN,
    "ErratumFor": Kind.CORRECTION,
    "CorrectedandRepublishedFrom": Kind.CORRECTION,
}
"""RefType in the record of a notice; the link leads to the article concerned."""

_NOTICES = {
    "retraction": Kind.RETRACTION,
    "expression-of-concern": Kind.CONCERN,
    "correction": Kind.CORRECTION,
    "corrected-article": Kind.CORRECTION,
    "addendum": Kind.CORRECTION,
    "partial-retraction": Kind.CORRECTION,
}
"""article-type -> what such a notice is."""

_OF_ANOTHER = {
    "retracted-article": Kind.RETRACTION,
    "object-of-concern": Kind.CONCERN,
    "corrected-article": Kind.CORRECTION,
    "addended-article": Kind.CORRECTION,
    "partially-retracted-article": Kind.CORRECTION,
}
"""related-article-type with which a notice names its object."""

_OF_ITSELF = {
    "retraction-forward": Kind.RETRACTION,
    "concern-forward": Kind.CONCERN,
    "expression-of-concern-forward": Kind.CONCERN,
    "correction-forward": Kind.CORRECTION,
    "addendum": Kind.CORRECTION,
    "partial-retraction-forward": Kind.CORRECTION,
}
"""related-article-type with which the article concerned names the notice."""

_BOTH = {
    "retraction": Kind.RETRACTION,
    "expression-of-concern": Kind.CONCERN,
    "correction": Kind.CORRECTION,
    "erratum": Kind.CORRECTION,
    "partial-retraction": Kind.CORRECTION,
}
"""Values used in both directions: in a notice they name its object, elsewhere the notice."""

_UNTYPED = frozenset({"", "original-article"})
"""What names the object of a notice without saying what happened to it: the notice's own type says that."""

DOI = r"(10\.\d{4,9}/\S+)"
_DOI = re.compile(DOI)
_PMCID = re.compile(r"(?:PMC)?([1-9]\d{0,8})(?:\.\d+)?", re.IGNORECASE)
_PMID = re.compile(r"(?:PMID:?\s*)?([1-9]\d{0,8})", re.IGNORECASE)
_ADDRESS = re.compile(
    r"https?://(?:www\.)?(?:(?:ncbi\.nlm\.nih\.gov/pmc|pmc\.ncbi\.nlm\.nih\.gov)/articles/(PMC\d+)"
    r"|(?:pubmed\.ncbi\.nlm\.nih\.gov|(?:www\.)?ncbi\.nlm\.nih\.gov/pubmed)/(\d+))/?",
    re.IGNORECASE,
)


def of_link(article_type: str | None, link_type: str | None) -> tuple[Kind, bool] | None:
    """What a ``related-article`` says, and whether of the article that holds it (true) or of the one it names.

    Args:
        article_type: ``article-type`` of the article that holds the link.
        link_type: ``related-article-type`` of the link.

    Returns:
        None where it says neither retraction, concern nor correction (companions, commentaries, preprints, data).
    """
    own, link = _plain(article_type), _plain(link_type)
    notice = _NOTICES.get(own)
    if link in _OF_ITSELF and not (notice and link == "addendum"):
        return _OF_ITSELF[link], True
    if link in _OF_ANOTHER:
        # The notice knows better than its link: publishers name what a partial retraction concerns a retracted article,
        # and what a retraction concerns a corrected one.
        said = _OF_ANOTHER[link]
        if own == "partial-retraction" or (own == "retraction" and said is Kind.CORRECTION):
            said = _NOTICES[own]
        return said, False
    if link in _BOTH:
        return _BOTH[link], notice is None
    return (notice, False) if notice and link in _UNTYPED else None


def target(id_type: str | None, text: str | None) -> tuple[str, str] | None:
    """What a link names: ``("pmcid", "123")``, ``("pmid", "456")`` or ``("doi", "10.1000/x")`` in lower case.

    The form of the text decides where it is plain (an address, ``PMC123``, a DOI), else the stated type; a bare number
    without a type says nothing.
    """
    text, stated = (text or "").strip(), _plain(id_type)
    if match := _ADDRESS.fullmatch(text):
        return ("pmcid", match[1][3:]) if match[1] else ("pmid", match[2])
    if match := _DOI.search(text):
        return "doi", match[0].rstrip(".,;").lower()
    if stated in {"pmc", "pmcid", "pmcaid"} or text[:3].upper() == "PMC":
        match = _PMCID.fullmatch(text)
        return ("pmcid", match[1]) if match else None
    if stated in {"pubmed", "pmid"} or text[:4].upper() == "PMID":
        match = _PMID.fullmatch(text)
        return ("pmid", match[1]) if match else None
    return None


def _plain(text: str | None) -> str:
    return re.sub(r"[\s_]+", "-", (text or "").strip().lower())
