"""Which licence is in force for a figure: the nearest part of the article that speaks of rights decides.

Belongs here: who is asked, in which order. What one place states is ``permissions.py``, what a credit line means is
``credit_lines.py``. The rules:

* From the inside out: the figure's graphics and media, the figure, then each element around it (a figure around it, the
  ``fig-group``, ``boxed-text``, ``table-wrap``, ``sec``, ``app``, ``sub-article``, ``response``, ...), last the
  article. The first that states terms decides: a ``license``, an embargo, or a copyright statement that is not the
  article's own. ``sec-meta``, ``front-stub`` and the like speak for what they head.
* Several statements in one place, and several graphics of one figure: the strictest. Where only some of the graphics
  speak, those that do not are under the terms around them.
* Credit lines of the figure, and of what is around it up to the part that decides (figures, groups, boxes, tables), can
  only make it stricter.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterable

from biomedica_assets.lib import licenses
from biomedica_assets.lib.jats.credit_lines import Credit, read_credit
from biomedica_assets.lib.jats.permissions import NONE, Permissions, read_permissions, speaks
from biomedica_assets.lib.jats.text import lines_of
from biomedica_assets.lib.jats.vocabulary import LOCAL_NAMES, Element, local_name

ARTICLE, CREDIT = "article", "credit line"
STATING = ("{*}permissions", "{*}copyright-statement", "{*}license", "{*}free_to_read")
"""Elements by which a part states terms, to be shown to ``Rights.note``."""

# What heads a part: the part itself is meant.
_HEADS = frozenset(
    {
        "sec-meta",
        "front-stub",
        "front",
        "article-meta",
        "caption",
        "table-wrap-foot",
        "alternatives",
        "object-meta",
        "title-group",
    }
)
_INNER = frozenset({"graphic", "media", "inline-graphic", "inline-media"})
_HOLDING = frozenset({"disp-formula", "disp-formula-group", "inline-formula", "chem-struct", "chem-struct-wrapper"})
# Parts whose caption and attrib are about the pictures in them.
_CREDITED = frozenset(
    {"fig", "fig-group", "boxed-text", "table-wrap", "table-wrap-group", "supplementary-material", "chem-struct-wrap"}
)
_CREDITING = ("{*}caption", "{*}attrib", "{*}table-wrap-foot")
_NOT_OF_PICTURE = frozenset({"caption", "supplementary-material"})


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """What is in force for a figure, before the article's own licence is known for certain.

    Attributes:
        own: whether a part of the article decides, and not the article.
        code: normalised licence of that part; None if there is none.
        at_most: licences that credit lines name; each bounds what holds.
        withheld: a credit line says that there is no licence.
        source: element of the part that decides, ``article``, or ``credit line``.
        reason: the words that decided; None where nothing but the article speaks.
        stated: what the deciding part states.
        credit: the credit line, also one from which nothing follows.
        credit_rule: name of the rule that it met (``credit_lines``).
    """

    own: bool = False
    code: str | None = None
    at_most: tuple[str, ...] = ()
    withheld: bool = False
    source: str = ARTICLE
    reason: str | None = None
    stated: Permissions = NONE
    credit: str | None = None
    credit_rule: str | None = None

    def in_force(self, article_code: str | None) -> str | None:
        """Licence in force, given the article's."""
        if self.withheld:
            return None
        return licenses.strictest((self.code if self.own else article_code, *self.at_most))


_PLAIN = Decision()


class Rights:
    """The parts of one article that speak of rights."""

    def __init__(self, article: Element, article_copyright: str | None, today: dt.date | None) -> None:
        """Args: article: its root; article_copyright: its copyright statement; today: the day dates are judged on."""
        self._article, self._copyright, self._today = article, article_copyright, today
        # Ordered sets: a part may hold thousands of statements.
        self._stating: dict[Element, dict[Element, None]] = {}
        self._inner: dict[Element, dict[Element, None]] = {}
        self._read: dict[Element, Permissions | None] = {}
        self._credits: dict[Element, Credit | None] = {}
        self._above: dict[Element, tuple[tuple[Permissions, str] | None, tuple[Credit | None, ...]]] = {}

    def note(self, statement: Element) -> None:
        """Note an element of ``STATING``; those of the article itself and those inside another are passed over."""
        place = statement.getparent()
        if place is None or LOCAL_NAMES[place.tag] in {"permissions", "license"}:
            return
        part = place
        while LOCAL_NAMES[part.tag] in _HEADS and (outer := part.getparent()) is not None:
            part = outer
        if part is self._article or LOCAL_NAMES[part.tag] == "article":
            return
        self._stating.setdefault(part, {})[place] = None
        if LOCAL_NAMES[part.tag] in _INNER:
            self._note_inner(part)

    def decide(self, element: Element, graphics: int, words: str, inherited: Credit | None = None) -> Decision:
        """Decide for one figure.

        Args:
            element: element of its row.
            graphics: how many graphics it has.
            words: its caption, legend and attributions.
            inherited: credit line of the caption, where that belongs to what is around the figure.
        """
        own = self.credit_in(words)
        inner = self._strictest(self._inner.get(element, ()))
        if inner is not None and self._n_speaking(element) >= graphics:
            return _decision(inner, [inherited, own])
        outer, above = self._terms(element)
        credits = [inherited, own, *above]
        decision = _decision(outer, credits)
        if inner is None:
            return decision
        # Some of the graphics have terms of their own: the row is under the stricter of both.
        both = _decision(inner, credits)
        bound = (inner[0].license_code,)
        if decision.own:
            code = licenses.strictest((*bound, decision.code))
            return both if code != decision.code else decision
        if inner[0].license_code is None:
            return both
        return dataclasses.replace(both, own=False, code=None, at_most=(*both.at_most, inner[0].license_code))

    def credit_in(self, words: str) -> Credit | None:
        """Credit line in some words of this article."""
        return read_credit(words, self._copyright) if words else None

    def copyright_of(self, element: Element) -> str | None:
        """Copyright statement that an element has itself, also where it is the article's."""
        stated = (read_permissions(place, self._today, part=True).copyright for place in self._stating.get(element, ()))
        return next(filter(None, stated), None)

    def _terms(self, part: Element) -> tuple[tuple[Permissions, str] | None, tuple[Credit | None, ...]]:
        """What decides for a part, from itself outwards, and the credit lines of what is around it up to there.

        Remembered: figures of one section were each walked up from, a tenth of the time that figures took.
        """
        known = self._above.get(part)
        if known is None:
            stated = self._strictest((part,)) if part in self._stating else None
            outer = None if stated is not None or LOCAL_NAMES[part.tag] == "article" else part.getparent()
            if outer is None:
                known = stated, ()
            else:
                decides, credits = self._terms(outer)
                own = (self._credit(outer),) if LOCAL_NAMES[outer.tag] in _CREDITED else ()
                known = decides, (*own, *credits)
            self._above[part] = known
        return known

    def _n_speaking(self, element: Element) -> int:
        """How many of its pictures have terms of their own."""
        pictures = (part for part in self._inner[element] if LOCAL_NAMES[part.tag].endswith("graphic"))
        return sum(self._permissions(part) is not None for part in pictures)

    def _note_inner(self, part: Element) -> None:
        for ancestor in part.iterancestors():
            name = LOCAL_NAMES[ancestor.tag]
            if name in _NOT_OF_PICTURE:
                return
            if name in _CREDITED or name in _HOLDING:
                self._inner.setdefault(ancestor, {})[part] = None
                return

    def _strictest(self, parts: Iterable[Element]) -> tuple[Permissions, str] | None:
        """The strictest of what some parts state, with the name of the part; None if none of them speaks."""
        stated = [(found, local_name(part)) for part in parts if (found := self._permissions(part)) is not None]
        return min(stated, key=lambda one: licenses.freedom(one[0].license_code), default=None)

    def _permissions(self, part: Element) -> Permissions | None:
        if part not in self._read:
            every = [read_permissions(place, self._today, part=True) for place in self._stating.get(part, ())]
            speaking = [one for one in every if speaks(one, self._copyright)]
            self._read[part] = min(speaking, key=lambda one: licenses.freedom(one.license_code), default=None)
        return self._read[part]

    def _credit(self, part: Element) -> Credit | None:
        if part not in self._credits:
            self._credits[part] = self.credit_in(lines_of([*part.iterchildren(*_CREDITING)]))
        return self._credits[part]


def _decision(stated: tuple[Permissions, str] | None, credits: Iterable[Credit | None]) -> Decision:
    found = [credit for credit in credits if credit is not None]
    if stated is None and not found:
        return _PLAIN
    permissions, source = stated or (NONE, ARTICLE)
    withheld = next((credit for credit in found if credit.withheld), None)
    bounds = tuple(dict.fromkeys(code for credit in found for code in credit.codes))
    shown = withheld or next((credit for credit in found if credit.codes), None) or (found[0] if found else None)
    reason = None
    if stated is not None:
        reason = permissions.reason or permissions.license_text or permissions.copyright
    if withheld is not None:
        source, reason = CREDIT, withheld.text
    elif bounds and (
        stated is None or licenses.strictest((permissions.license_code, *bounds)) != permissions.license_code
    ):
        source, reason = CREDIT, shown.text if shown else None
    return Decision(
        own=stated is not None,
        code=permissions.license_code,
        at_most=bounds,
        withheld=withheld is not None,
        source=source,
        reason=reason,
        stated=permissions,
        credit=shown.text if shown else None,
        credit_rule=shown.rule if shown else None,
    )
