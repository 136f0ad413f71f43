"""Credit lines: what a caption or an ``attrib`` says of the rights in a picture, and what follows from it.

Belongs here: the rules on running text. Terms stated by markup are ``permissions.py``; who is asked in which order is
``rights.py``. The rules, strictest first; each sentence is judged by the first that it meets:

1. ``reserved``: "all rights reserved". No licence.
2. ``not_covered``: "not covered by / excluded from the ... licence". No licence.
3. ``permission``: the picture stands here by leave of somebody ("reproduced with permission from", "by courtesy and
   permission of", "adapted from ... with permission"). Leave was given to the article, not to its readers: no licence.
   Spared: consent of people shown or studied, leave to collect, enter or study, and "no permission needed".
4. ``copyright``: ©, "(c) 2019", "copyright Somebody". The copyright of another, without a licence: no licence. Spared:
   the article's own statement, © The Authors, © OpenStreetMap (whose licence lets maps go under any terms), © as a
   trade mark's sign behind a product's name, "copyright-free".
5. ``verbatim``: "reproduced from", "reprinted from", "republished from" a work of others. No licence.
6. ``licence``: a known licence is named. The stricter of that and what would hold otherwise.
7. ``source``: "adapted from", "modified from", "redrawn from", "courtesy of", "image credit". What was made anew after
   another's work, or was lent by somebody, is the article's to license: nothing follows, but the line is kept.

Where a sentence of rules 3 to 5 itself names a known licence (or the next one does that begins with it), that licence
takes the place of "no licence"; where it names the public domain, nothing follows.
"""

from __future__ import annotations

import dataclasses
import functools
import re

from biomedica_assets.lib import licenses

_SPOKEN = re.compile(
    r"permis|genehmigung|autori[sz]a|©|\(c\)\s*(?:19|20)\d\d|copy[rw]|rights|re-?p(?:roduce|rinte|ublishe)d|licen[sc]|creative\s?common"
    r"|\bcc[\s\u2010\u2011-]?(?:by|0|zero)\b|adapted|adopted|modified|redrawn|redrafted|courtesy|credit",
    re.I,
)
_WORDS = tuple(word.encode() for word in (
    "permis", "genehmigung", "autori", "©", "copyr", "copyw", "rights", "reproduced", "re-produced", "reprinted",
    "re-printed", "republished", "re-published", "licen", "creative", "adapted", "adopted", "modified", "redrawn",
    "redrafted", "courtesy", "credit",
))  # fmt: skip
_CC = re.compile(r"cc[\s\u2010\u2011-]?(?:by|0|zero)\b")
_C_AND_YEAR = re.compile(r"\(c\)\s*(?:19|20)\d\d")
_SENTENCE_END = re.compile(
    r"\n|(?<=[.!?;])(?<!\bet al\.)(?<!\bal\.)(?<!\b[Ff]ig\.)(?<!\b[Ff]igs\.)(?<!\b[Rr]ef\.)(?<!\b[Rr]efs\.)"
    r"(?<!\b[A-Z]\.)\s+(?=[A-Z©(\[])"
)
_CONTINUES = re.compile(
    r"\W*(?:©|\(?c\)|copyright|(?:licen[sc]ed|distributed|published|(?:re)?used|available|shared|released)\b|cc\b|"
    r"creative|licen[sc]e|under\b|this\s+(?:figure|image|picture|work|article|content|photo\w*)\s+is\b)",
    re.I,
)
_RESERVED = re.compile(r"\brights\s+(?:are\s+)?reserved\b", re.I)
_NOT_COVERED = re.compile(
    r"\b(?:not|n't|never)\s+(?:be\s+|been\s+|being\s+|itself\s+)?(?:covered|included|licen[sc]ed|available|distributed|"
    r"subject|part|published|shared|released|under)\b[^.]{0,60}?\b(?:licen[sc]|creative\s+commons|cc[\s-]?by|open[\s-]access)"
    r"|\b(?:exclude[ds]?|excluding|exempt(?:ed)?|excepted)\b[^.]{0,40}?\b(?:licen[sc]|creative\s+commons|cc[\s-]?by|open[\s-]access)",
    re.I,
)
_PERMISSION = re.compile(
    r"\b(?:with|by|under|through|upon|via)\s+(?:(?!own\b|without\b)[\w\u2019'.&-]+\s+){0,5}?permission\b"
    r"|\bwith\s+(?:\w+\s+){0,2}?permissions\s+(?:from|of|by)\b"
    r"|\bpermission\s*(?::|\()|\bpermission\s+(?:\w+\s+){0,3}?(?:of|from|granted|obtained|given|received|courtesy|by)\b"
    r"|\bpermissions?\s+(?:(?:was|were|is|are|has\s+been|have\s+been)\s+)?(?:from|granted|obtained|given|received|secured)\b"
    r"|\bpermissions?\s+to\s+(?:re-?p|re-?us|use\b|publish|adapt|include|print|show|display|modif|redraw|copy)"
    r"|\b(?:obtain|grant|giv|receiv|secur|requir|need)\w*\s+(?:\w+\s+){0,2}?permission|\bwithout\s+(?:\w+\s+){0,2}?permission"
    r"|\bmit\s+(?:\w+\s+){0,2}?genehmigung\b|\b(?:avec|con|com)\s+(?:l')?(?:\w+\s+){0,3}?"
    r"(?:l')?(?:permission|permiso|permissão|autori[sz]ation|autorización|autorização)\b",
    re.I,
)
_PEOPLE = (
    r"(?:patient|parental|parent|guardian|famil(?:y|ie)|participant|subject|volunteer|individual|relative|mother|father|"
    r"child|children|kin|landowner|donor|proband|ethic\w*|committee|review\s+board|irb|"
    r"client|athlete|student|villager|communit(?:y|ie)|elder)"
)
_CONSENT = re.compile(
    rf"\bpermissions?\b(?:\s+\w+){{0,3}}?\s+(?:of|from|by)\s+(?-i:(?:[a-z\u2019'-]+\s+){{0,3}}?{_PEOPLE}s?)\b"
    rf"|\b{_PEOPLE}(?:s|['\u2019]s|s['\u2019])?\s+(?:[\w\u2019'-]+\s+){{0,2}}?permission"
    r"|\bconsent\b[^.]{0,40}\bpermission|\bpermission\b[^.]{0,40}\bconsent",
    re.I,
)
_NOT_NEEDED = re.compile(
    r"\bno\s+(?:\w+\s+)?permissions?\s+(?:is|was|are|were)?\s*(?:needed|required|necessary)"
    r"|\bpermissions?\s+(?:is|was|are|were)\s+not\s+(?:needed|required|necessary)"
    r"|\b(?:file|user|access|read|write)\s+permissions?\b|\bpermissions?\s+(?:bit|level|setting|denied)",
    re.I,
)
_REUSE = re.compile(
    r"\b(?:re-?p(?:roduc|rint|ublish|urpos)|re-?us|us(?:ed|e)\b|adapt|adopt|modif|redraw|redraft|taken|borrow|print|publish|"
    r"copyright|courtes|extract|excerpt|copied|derived|based\s+on|source|figures?\b|images?\b|photo|picture|illustration|"
    r"panel|map\b|drawing|artwork|from\s+(?:ref|\[|\())|©|[\[(]\d",
    re.I,
)
_TO_DO = re.compile(
    r"\bpermissions?\s+to\s+(?!re-?p|re-?us|use\b|publish|adapt|include|print|show|display|modif|redraw|copy)\w+"
    r"|\b(?:collect|captur|caught|sampl|trap|excavat|enrol|recruit|conduct|perform|access|hunt|harvest|fish)\w*\b[^.]{0,80}"
    r"\bpermissions?\b",
    re.I,
)
_MARK = re.compile(r"(?<=[\w\])])©(?!\s*(?:19|20)\d\d)")
_OPEN_MAP = re.compile(r"(?:©|\bcopyright\b)\s*(?:\d{4}\s*)?(?:the\s+)?open\s?street\s?map\b", re.I)
_OWN = re.compile(
    r"(?:©|\bcopyright\b|\(c\))[\s,]*(?:©\s*)?(?:\d{4}[\s,]*)?(?:by\s+)?(?:the\s+)?authors?(?:\(s\))?\b", re.I
)
_COPYRIGHT = re.compile(
    r"©|\(c\)\s*(?:19|20)\d\d[\s,]+[A-Z]"
    r"|\b[Cc]opy(?:right|write|rights)\b(?:ed)?[\s:,]*(?:(?:held\s+)?by\b|holder|of\b|belongs|\(?(?:19|20)\d\d|(?-i:[A-Z]\w)|retained|owned|protected)"
    r"|\bCOPYRIGHT\b"
)
_NO_COPYRIGHT = re.compile(
    r"\bcopyright[\s-]free|\b(?:no|without|free\s+of|free\s+from|out\s+of)\s+(?:known\s+)?copyright|copyright\s+(?:has\s+)?expired"
    r"|\bnot\s+(?:subject\s+to|protected\s+by|under)\s+(?:\w+\s+)?copyright",
    re.I,
)
_PANEL_B = re.compile(r"\(b\)", re.I)
_VERBATIM = re.compile(
    r"(?:(?:^|[.;:,(\[\u2013\u2014-]\s*)|\b(?:figures?|fig\.?|images?|photos?|photographs?|pictures?|maps?|diagrams?|illustrations?|"
    r"drawings?|panels?|schematics?|plates?|artwork|graphics?|scans?|radiographs?|micrographs?)\b[^.;]{0,30}?)"
    r"\bre-?p(?:roduced|rinted|ublished)\b(?:\s+(?:here|in\s+part|partly|and\s+\w+|unchanged|unmodified|directly|verbatim))*"
    r"\s+(?:from|after|courtesy)\s+"
    # What the article itself shows; "from Figs 1-4 from Ref. [23]" is the work of others again.
    r"(?!(?:the\s+|our\s+)?(?:data|(?:fig|panel)(?![\w\s.,&\u2010-\u2015-]{0,40}?\s(?:from|of|in)\s+(?:refs?\b|references?\b|\[\d"
    r"|[\w\u2019'-]+\s+(?:(?:and|&)\s+[\w\u2019'-]+\s+|et\s+al\.?,?\s*)?[(\[]?(?:19|20)\d\d))"
    r"|experiment|simulation|replicate|model|main\s+text)|this\b|these\b|our\b|two\b|three\b|\d+\s+(?!et\b)\w+)",
    re.I,
)
_SOURCE = re.compile(
    r"\b(?:adapted|adopted|modified|redrawn|redrafted)\s+(?:and\s+\w+\s+)?(?:from|after|based)\b|\bcourtesy\s+of\b|\(courtesy\b"
    r"|\b(?:image|photo(?:graph)?s?|picture|illustration|figure|artwork|map)\s+credits?\b|\bcredits?:",
    re.I,
)
_PUBLIC_DOMAIN = re.compile(r"\bpublic[\s-]domain\b", re.I)
_PLAIN = re.compile(r"[^0-9a-z]+")
_NOISE = re.compile(r"\b(?:copyright|copyrights|c|the|by|all|rights|reserved|s)\b")


@dataclasses.dataclass(frozen=True, slots=True)
class Credit:
    """What the credit lines of one part come to.

    Attributes:
        rule: name of the strictest rule that one of them met.
        text: the sentences that met a rule, as they stand, the first ``MOST_TEXT`` characters of them.
        withheld: no licence.
        codes: licences named, each of which bounds what holds.
    """

    rule: str
    text: str
    withheld: bool = False
    codes: tuple[str, ...] = ()


MOST_TEXT = 2_000
"""Most characters of a credit line that are kept; the longest in 448 articles has 920."""
_ORDER = ("reserved", "not_covered", "permission", "copyright", "verbatim", "licence", "source")


def read_credit(text: str, article_copyright: str | None = None) -> Credit | None:
    """Judge the credit lines in a text.

    Args:
        text: a caption, an ``attrib``, or several of them separated by line feeds.
        article_copyright: copyright statement of the article; the same statement again is not another's.

    Returns:
        None if no sentence meets a rule.
    """
    if not _may_speak(text) or not _SPOKEN.search(text):
        return None
    sentences = [found for found in _SENTENCE_END.split(text) if found]
    met: list[tuple[str, str, bool, tuple[str, ...]]] = []
    for number, sentence in enumerate(sentences):
        # What no rule can meet is not tried: "open access", the public domain and CC are named by rules, too.
        plain = sentence.casefold()
        if not (_may_speak(sentence) or "access" in plain or "domain" in plain or "cc" in plain):
            continue
        rule = _rule(sentence, text, article_copyright)
        if rule is None:
            continue
        following = sentences[number + 1] if number + 1 < len(sentences) else ""
        said = f"{sentence} {following}" if _CONTINUES.match(following) else sentence
        codes = () if rule == "not_covered" else tuple(licenses.named_in(said))
        if rule in {"permission", "copyright", "verbatim"} and not codes and _PUBLIC_DOMAIN.search(said):
            rule = "source"
        strict = rule in {"reserved", "not_covered"} or (rule not in {"licence", "source"} and not codes)
        met.append((rule, sentence.strip(), strict, codes))
    if not met:
        return None
    rule = min((found[0] for found in met), key=_ORDER.index)
    codes = tuple(dict.fromkeys(code for found in met for code in found[3]))
    return Credit(rule, " ".join(found[1] for found in met)[:MOST_TEXT], any(found[2] for found in met), codes)


def _may_speak(text: str) -> bool:
    """Whether ``_SPOKEN`` can match at all: substrings are found at memory speed, its alternatives one by one.

    Nine captions of ten hold none of them; the expression on all of them took a seventh of parsing.
    """
    # As bytes: lower case of letters beyond ASCII goes letter by letter, and none of the words has any.
    plain = text.encode().lower()
    for word in _WORDS:  # not any(): its generator costs as much as the tests
        if word in plain:
            return True
    return (
        (b"cc" in plain and _CC.search(text.casefold()) is not None)
        or (
            b"(c)" in plain and _C_AND_YEAR.search(text.casefold()) is not None
        )  # a quarter of captions have a panel (c)
    )


def same_copyright(one: str | None, other: str | None) -> bool:
    """Whether two copyright statements say the same, spelling of sign, punctuation and "The Author(s)" aside."""
    return bool(one) and bool(other) and _bare(one or "") == _bare(other or "")


@functools.lru_cache(maxsize=1)  # asked for by each sentence of one text
def _has_panel_b(text: str) -> bool:
    return _PANEL_B.search(text) is not None


@functools.lru_cache(maxsize=8)  # the article's own is compared with that of each of its parts
def _bare(statement: str) -> tuple[str, ...]:
    words = _NOISE.sub(" ", _PLAIN.sub(" ", statement.casefold())).split()
    return tuple("author" if word in {"author", "authors"} else word for word in words)


def _rule(sentence: str, text: str, article_copyright: str | None) -> str | None:
    """Name of the first rule that a sentence meets."""
    met = (
        ("reserved", lambda: _RESERVED.search(sentence) is not None),
        ("not_covered", lambda: _NOT_COVERED.search(sentence) is not None),
        ("permission", lambda: _PERMISSION.search(sentence) is not None and _by_leave(sentence)),
        ("copyright", lambda: _copyright_of_others(sentence, text, article_copyright)),
        ("verbatim", lambda: _VERBATIM.search(sentence) is not None),
        ("licence", lambda: next(licenses.named_in(sentence), None) is not None),
        ("source", lambda: _SOURCE.search(sentence) is not None),
    )
    return next((rule for rule, holds in met if holds()), None)


def _by_leave(sentence: str) -> bool:
    if _NOT_NEEDED.search(sentence) or _CONSENT.search(sentence):
        return False
    return not (_TO_DO.search(sentence) and not _REUSE.search(sentence))


def _copyright_of_others(sentence: str, text: str, article_copyright: str | None) -> bool:
    plain = sentence.casefold()
    if not ("©" in plain or "(c)" in plain or "copy" in plain) or _NO_COPYRIGHT.search(sentence):
        return False
    bare = _OWN.sub(" ", _OPEN_MAP.sub(" ", _MARK.sub(" ", sentence)))
    found = _COPYRIGHT.search(bare)
    if found is None:
        return False
    if found[0].casefold().startswith("(c)") and _has_panel_b(text):
        return False  # panel (c) shows the year
    return not same_copyright(bare[found.start() :], article_copyright)
