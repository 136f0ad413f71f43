"""The chain of labels that a caption is cut along: which of its markings name panels, and which way each one points.

Belongs here: the notations, how a label is told from a reference and from an abbreviation, and the choice among chains.
Two directions are told apart marker by marker: a label may open its clause ("(A) Control. (B) Treated.") or close it
("Control (A) and treated (B)."). Where the cuts lie is decided in ``subcaptions``.
"""

# ruff: noqa: RUF001 - dashes, quotes and signs as captions print them

from __future__ import annotations

import bisect
import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from biomedica_assets.lib.panels.labels import GROUP, Marker, expand, main, roman

# Where a clause begins: at the start, behind a full stop, colon, semicolon, dash or line break.
_BEGINS = re.compile(r"(?:^|[.;:!?\n—–(][\s\"'”’)\]]*)\Z")
_ABBREVIATED = re.compile(r"\b(?:figs?|e\.g|i\.e|cf|vs|refs?|eqs?|no|approx|ca|panels?)\.\s*\Z", re.I)
_REFERS = re.compile(r"\b(?:in|of|from|for|see|panels?|figs?\.?|figures?|with|to|and|by|as)\s*\Z", re.I)
_SURELY_REFERS = re.compile(r"\b(?:in|from|see|panels?|figs?\.?|figures?|to|as)\s*\Z", re.I)
_POINTS = re.compile(r"\b(?:see|panels?|figs?\.?|figures?)\s*\Z", re.I)
_SOFT = re.compile(r"(?:,|,?\s*\b(?:and|or|und|et)|&|/)\s*\Z")
_CLOSES = re.compile(r"\s*(?:[.;,\n]|\Z|(?:and|or|versus|vs|et|und|y|e)\b)")
_INITIAL = re.compile(r"\b[A-Z]\.\s*\Z")
_WORD_BEFORE = re.compile(r"([A-Za-z])[\w-]*\s*\Z")
# Behind these words a label opens what it names, though no clause begins: "images showing (b) axial, (c) sagittal".
INTRODUCES = re.compile(
    r"(?:\b(?:of|showing|shows?|with|for|in|by|at|from|are|is|were|was|between|on|to|using|as|the|against|versus|vs\.?"
    r"|after|before|under|along|across|within|during|over|include|including)|[,:;—–])\s*\Z"
)
_LINKED = re.compile(r"\s*(?:,\s*and|[,;&/]|and|to|through|[-‐-―−])?\s*\Z")
_TAIL = r"[ \t\u00a0\u2000-\u200a]*(?:[:.,]|[-–—](?=\s)|[–—])*[ \t\u00a0\u2000-\u200a]*"
# What stands before the full stop is asked behind it: asked at every character it took a third of all the time.
SENTENCE_END = re.compile(
    r"[.!?](?<![A-Z]\.[.!?])(?<!\b[A-Z][.!?])(?<!\bet al[.!?])(?<!\bvs[.!?])(?<!\bsp[.!?])(?<!\bFig[.!?])"
    r"(?<!\be\.g[.!?])(?<!\bi\.e[.!?])(?<!\bcf[.!?])"
    # "An. gambiae" goes on: a sentence begins with a small letter only where it is short or speaks of all panels
    r"[)\"”']*(?:\s+(?!(?!scale|bars?\b|data|error|means?\b|values)[a-z]{3})|\Z)|\n+"
)


@dataclasses.dataclass(frozen=True, slots=True)
class _Notation:
    """One way to print labels. ``strength`` decides between notations that name equally many panels."""

    pattern: re.Pattern[str]
    strength: int
    bracketed: bool


_NOTATIONS = (
    _Notation(re.compile(rf"(?:\b[Pp]anels?\s+)?[(\[]\s*(?:panels?\s+)?({GROUP})\s*[)\]]{_TAIL}"), 3, bracketed=True),
    _Notation(re.compile(rf"\b[Pp]anels?\s+[(\[]?({GROUP})[)\]]?{_TAIL}(?=\s|(?<=\s)\S)"), 2, bracketed=False),
    _Notation(re.compile(rf"(?<![\w(\[])({GROUP})\){_TAIL}"), 2, bracketed=True),
    _Notation(
        re.compile(rf"(?<![\w(\[.])({GROUP})(?:\s*[:,]|\.(?!\w)|\s+[-–—](?=\s)|\s*[—|])\s*(?=\S)"), 1, bracketed=False
    ),
    _Notation(
        re.compile(rf"(?<![\w(\[.])({GROUP})[ \u00a0\u2000-\u200a]+(?=[A-Z0-9“\"\u0370-\u03ff])"), 0, bracketed=False
    ),
)
_ROMANS = _Notation(re.compile(rf"\(\s*([ivx]{{1,4}}|[IVX]{{1,4}})\s*\){_TAIL}"), 3, bracketed=True)
_PLACE = (
    r"(?:(?:far|upper|lower|top|bottom|middle|cent(?:er|re)|outer|inner)[\s-]+)?"
    r"(?:left|right|top|bottom|upper|lower|middle|cent(?:er|re))(?:[\s-]+(?:hand|most))?"
)
_PART = r"(?:\s+(?:panels?|rows?|columns?|images?|figures?|plots?|graphs?|half|side|part|inset|picture|photographs?))"
_SAYS = r"(?=(?:shows?|depicts?|represents?|displays?|illustrates?|presents?|plots?|gives?|is|are)\b)"
_PLACES = (
    _Notation(re.compile(rf"\b({_PLACE}|above|below){_PART}?\s*[:—]\s*", re.I), 2, bracketed=False),
    _Notation(re.compile(rf"[(\[]\s*(?:the\s+)?({_PLACE}){_PART}\s*[)\]]{_TAIL}", re.I), 2, bracketed=True),
    _Notation(re.compile(rf"[(\[]\s*({_PLACE})\s*[)\]]{_TAIL}", re.I), 2, bracketed=True),
    _Notation(re.compile(rf"\b(?:the\s+)?({_PLACE}){_PART}\s+{_SAYS}", re.I), 2, bracketed=False),
    _Notation(re.compile(rf"\b({_PLACE}|above|below){_PART}?\s*,\s*", re.I), 1, bracketed=False),
)
_ANY_PLACE = re.compile(r"left|right|top|bottom|upper|lower|middle|center|centre|above|below", re.I)
# "the two species a Epomis dejeani, dark b Epomis dejeani, pale c Epomis circumscriptus": letters and nothing else.
_BARE = re.compile(r"(?<![\w.;:(\[-])([a-z])[ \u00a0](?=[A-Za-z0-9])")


@dataclasses.dataclass(frozen=True, slots=True)
class Chain:
    """Markers that name the panels of a figure, in the order of the caption.

    Attributes:
        markers: the markers.
        forward: for each, whether its clause follows it.
        strength: how seldom its notation is anything else.
    """

    markers: tuple[Marker, ...]
    forward: tuple[bool, ...]
    strength: int

    @property
    def labels(self) -> set[str]:
        """All labels named."""
        return {label for marker in self.markers for label in marker.labels}


def best_chain(caption: str) -> Chain | None:
    """Most panels named; places only where no letters are; then the stronger notation, then the earlier start.

    A chain that lies between two labels of a stronger one names parts of that panel: "(A) ... a. x; b. y. (B) ...".
    """
    found = list(_chains(caption)) or list(_places(caption))
    outer = [chain for chain in found if not any(_encloses(other, chain) for other in found)]
    return max(
        outer,
        key=lambda chain: (len(chain.labels), chain.strength, -chain.markers[0].start),
        default=None,
    )


def _encloses(outer: Chain, inner: Chain) -> bool:
    first, last = inner.markers[0].start, inner.markers[-1].start
    within = any(a.start < first and last < b.start for a, b in pairwise(outer.markers))
    return outer.strength >= inner.strength and outer.strength >= 0 and outer.forward[0] and within


def last_sentence(caption: str, stop: int, start: int = 0) -> int:
    """Where the sentence that runs up to ``stop`` begins."""
    begin = start
    for match in SENTENCE_END.finditer(caption, start, stop):
        if match.end() < stop:
            begin = match.end()
    return begin


def _chains(caption: str) -> Iterator[Chain]:
    ends = [match.end() for match in SENTENCE_END.finditer(caption)]
    for notation in _NOTATIONS:
        found = list(_markers(caption, notation, expand))
        for lower in (False, True):
            own = _joined(caption, [m for m in found if all(label[0].islower() == lower for label in m.labels)])
            if chain := _Follower(caption, own, notation, ends).follow():
                yield chain
    found = list(_markers(caption, _ROMANS, lambda text: (text,)))
    if chain := _follow_words(caption, _joined(caption, found), _ROMANS, ordered=True):
        yield chain
    if chain := _bare(caption, ends):
        yield chain


def _places(caption: str) -> Iterator[Chain]:
    for notation in _PLACES if _ANY_PLACE.search(caption) else ():
        found = list(_markers(caption, notation, lambda text: (re.sub(r"[\s-]+", " ", text.lower()),)))
        if chain := _follow_words(caption, found, notation, ordered=False):
            yield chain


def _markers(caption: str, notation: _Notation, read: Callable[[str], tuple[str, ...]]) -> Iterator[Marker]:
    for match in notation.pattern.finditer(caption):
        labels = read(match[1])
        if not labels:
            continue
        before = caption[max(0, match.start() - 12) : match.start()]
        opens = bool(_BEGINS.search(before[-8:])) and not _ABBREVIATED.search(before)
        closes = bool(_CLOSES.match(caption, _end_of_label(match)))
        opens = opens and not (notation.bracketed and closes and _INITIAL.search(before[-4:]))
        yield Marker(match.start(), match.end(), labels, opens, closes)


def _end_of_label(match: re.Match[str]) -> int:
    """One past the bracket or label, before the punctuation behind it."""
    stop = match.end(1)
    rest = match.string[stop : match.end()]
    bracket = re.match(r"[\s\w]*[)\]]", rest)
    return stop + (bracket.end() if bracket else 0)


def _joined(caption: str, markers: Sequence[Marker]) -> list[Marker]:
    """Join markers with nothing but a link between them: "(A) and (B)", "(A)-(C)", "(A)(B)"."""
    found: list[Marker] = []
    for marker in markers:
        if found and marker.start <= found[-1].stop + 8:
            last = found[-1]
            bare = caption[last.start : last.stop].rstrip(" :.,-‐‑–—\u2003\u2009\u00a0")
            between = caption[last.start + len(bare) : marker.start]
            # "(A-F) (A) Electron micrograph": a group, and the first of its members
            within = set(marker.labels) < set(last.labels) and not between.strip()
            if _LINKED.match(between) and not re.search(r"[.:\n]", between) and not within:
                ranged = re.search(r"[-‐-―−]|to|through", between)
                labels = expand(f"{last.labels[-1]}-{marker.labels[0]}") if ranged else ()
                every = tuple(dict.fromkeys((*last.labels, *labels, *marker.labels)))
                found[-1] = Marker(last.start, marker.stop, every, last.opens, marker.closes)
                continue
        found.append(marker)
    return found


class _Follower:
    """Follows the markers of one notation that name panels in order from A; references are passed over."""

    def __init__(self, caption: str, markers: Sequence[Marker], notation: _Notation, ends: Sequence[int]) -> None:
        """Args: caption; its markers of one notation and case; the notation; where its sentences end."""
        self._caption, self._markers, self._notation = caption, markers, notation
        self._sentence = [bisect.bisect_right(ends, marker.start) for marker in markers]
        # where each set of labels stands last: a caption of thousands of references is asked for them again and again
        self._last = {marker.labels: i for i, marker in enumerate(markers)}
        self._last_opening = {marker.labels: i for i, marker in enumerate(markers) if marker.opens}
        self._taken: list[Marker] = []
        self._forward: list[bool] = []
        self._at: list[int] = []

    def follow(self) -> Chain | None:
        """The chain, or None where it is too weak to be believed."""
        seen: set[str] = set()
        reached = -1
        nested = self._nested()
        for i, marker in enumerate(self._markers):
            places = sorted({main(label) for label in marker.labels})
            fresh = any(label not in seen for label in marker.labels)
            goes_on = places[0] <= reached + 1 <= places[-1] or (
                fresh and places[0] == reached and len(marker.labels[0]) > 1
            )
            if not self._taken and places[0] != 0:
                continue
            if i in nested and (not fresh or goes_on):
                ahead = True
            elif marker.opens:
                # out of order, or once more: only a bracketed label at the head of a clause is trusted so far
                trusted = self._notation.bracketed and bool(self._taken) and places[-1] <= reached + 3
                if not goes_on and not trusted:
                    continue
                ahead = True
            else:
                if not goes_on or not fresh or self._comes_better(i):
                    continue
                direction = self._direction(i, next_one=places[0] == reached + 1)
                if direction is None:
                    continue
                ahead = direction
            self._taken.append(marker)
            self._forward.append(ahead)
            self._at.append(i)
            seen.update(marker.labels)
            reached = max(reached, places[-1])
        if len(seen) < 2 or not self._believed():
            return None
        return Chain(tuple(self._taken), tuple(self._forward), self._notation.strength)

    def _before(self, i: int) -> str:
        start = self._markers[i].start
        return self._caption[max(0, start - 24) : start]

    def _nested(self) -> set[int]:
        """Labels within the text of a group that open a part of it: "(C, D) Levels of (C) x and (D) y".

        At least two, in order from the group's first, none of which closes its clause or is referred to.
        """
        found: set[int] = set()
        if not self._notation.bracketed:
            return found
        for i, group in enumerate(self._markers):
            if len(group.labels) < 2 or not group.opens:
                continue
            due = list(group.labels)
            run: list[int] = []
            for j in range(i + 1, len(self._markers)):
                marker = self._markers[j]
                if not due or list(marker.labels) != due[: len(marker.labels)] or marker.labels == group.labels:
                    break
                if not marker.opens and (marker.closes or _POINTS.search(self._before(j))):
                    break
                run.append(j)
                del due[: len(marker.labels)]
            if len(run) >= 2:
                found.update(run)
        return found

    def _comes_better(self, i: int) -> bool:
        """Whether the label of a marker within a clause is named once more, at the head of a clause or one by one."""
        labels = set(self._markers[i].labels)
        if any(last > i and labels.issuperset(names) for names, last in self._last_opening.items()):
            return True
        if len(labels) == 1 or self._taken:
            return False
        later = (names for names, last in self._last.items() if last > i and labels > set(names))
        return {label for names in later for label in names} == labels

    def _direction(self, i: int, *, next_one: bool) -> bool | None:
        """Whether a label within a clause speaks of what follows (True) or of what precedes it (False).

        None where it speaks of neither: it only refers to a panel.
        """
        marker, before = self._markers[i], self._before(i)
        if not self._notation.bracketed:
            if not self._forward or not self._forward[-1]:
                return None
            strength, behind = self._notation.strength, before.rstrip()
            joined = behind.endswith("and") or (strength != 1 and behind.endswith((",", ";")))
            listed = joined and (strength == 2 or next_one)
            return True if listed else None
        if self._forward and self._forward[-1]:
            return self._direction_onward(i, next_one=next_one)
        if marker.closes:
            return False
        if INTRODUCES.search(before) or _SOFT.search(before):
            return True
        mates = [m for m, s in zip(self._markers, self._sentence, strict=True) if s == self._sentence[i]]
        return len(mates) > 1 and not any(m.closes for m in mates) and not self._forward

    def _direction_onward(self, i: int, *, next_one: bool) -> bool | None:
        """The same where the label before opened its text."""
        marker, before = self._markers[i], self._before(i)
        follows = self._caption[marker.stop : marker.stop + 1]
        soft, refers = _SOFT.search(before), _REFERS.search(before)
        if marker.closes:
            # "(A) Plot. Means of x (B) and y (C)": where nothing else names B, in a sentence of its own
            elsewhere = self._sentence[self._at[-1]] != self._sentence[i]
            usable = elsewhere and next_one and not refers and not soft and not self._abbreviates(i)
            return False if usable else None
        if soft:
            return True
        if next_one and not self._abbreviates(i):
            # "H=1.3 (C) τn": but for a small letter, anything may begin a clause; "for mapping of (b) body temperature"
            opens = not _SURELY_REFERS.search(before) if refers else not ("a" <= follows <= "z")
            return opens or None
        return True if not refers and (follows.isupper() or follows.isdigit()) else None

    def _abbreviates(self, i: int) -> bool:
        """Whether a label is the first letter of the word before it: "cytoplasmic (C) and nuclear (N) lysates"."""
        word, label = _WORD_BEFORE.search(self._before(i)), self._markers[i].labels[0][0]
        return word is not None and label.isupper() and word[1].upper() == label

    def _believed(self) -> bool:
        """Whether a chain is long enough for how easily its notation is mistaken: "A " is also an article."""
        taken, forward, notation = self._taken, self._forward, self._notation
        if len(taken) == 1:
            # one group for all panels ("A-F. Groups 1-6"): only where it heads the caption or a sentence
            before = self._caption[: taken[0].start].rstrip(" ")
            if not forward[0] or (before and before[-1] not in ".\n"):
                return False
        if notation.strength >= 2:
            return notation.strength > 2 or len(taken) >= 2
        opened = [marker for marker, ahead in zip(taken, forward, strict=True) if ahead]
        if notation.strength == 1:
            return len(opened) >= 2 or (len(opened) == 1 and len(opened[0].labels) >= 2)
        return len(opened) >= 2 or (len(opened) == 1 and len(opened[0].labels) >= 3)


def _bare(caption: str, ends: Sequence[int]) -> Chain | None:
    """Letters in order with blanks around them and nothing else, of which "a" is the one nearest to its "b".

    At least three with a capital behind each ("the species a Epomis dejeani b Epomis circumscriptus c ..."), or two
    that are led up to and listed within a sentence ("for a mean salinity and b salt content").
    """
    found = [match for match in _BARE.finditer(caption) if not _CLOSES.match(caption, match.end(1))]
    second = next((i for i, match in enumerate(found) if match[1] == "b"), None)
    if second is None or second == 0 or found[second - 1][1] != "a":
        return None
    run = [found[second - 1]]
    for match in found[second:]:
        if ord(match[1]) == ord(run[-1][1]) + 1:
            run.append(match)
    capital = len(run) >= 3 and all(caption[match.end()].isupper() or caption[match.end()].isdigit() for match in run)
    if not capital:
        run = _listed(caption, run, ends)
    if len(run) < 2:
        return None
    markers = tuple(
        Marker(m.start(), m.end(), (m[1],), opens=bool(_BEGINS.search(caption[: m.start()][-8:])), closes=False)
        for m in run
    )
    return Chain(markers, (True,) * len(markers), -1)


def _listed(caption: str, run: Sequence[re.Match[str]], ends: Sequence[int]) -> list[re.Match[str]]:
    """Of letters in order those that are led up to, or follow such a one of their sentence behind a comma or "and"."""
    kept: list[re.Match[str]] = []
    for match in run:
        before = caption[max(0, match.start() - 24) : match.start()]
        sentence = bisect.bisect_right(ends, match.start())
        goes_on = bool(kept) and bisect.bisect_right(ends, kept[-1].start()) == sentence
        if not (_SOFT.search(before) if goes_on else INTRODUCES.search(before)):
            break
        kept.append(match)
    return kept


def _follow_words(caption: str, markers: Sequence[Marker], notation: _Notation, *, ordered: bool) -> Chain | None:
    """The same for roman numerals (in order from i) and for words of place (any two different ones)."""
    taken: list[Marker] = []
    forward: list[bool] = []
    for marker in markers:
        if ordered and not taken and caption[: marker.start].rstrip()[-1:] not in {"", ".", "\n"}:
            continue  # "two reasons: (i) …" is an argument, not a figure
        if ordered and roman(marker.labels[0]) != len({label.lower() for m in taken for label in m.labels}):
            continue
        before = caption[max(0, marker.start - 24) : marker.start]
        led = notation.bracketed and not ordered and not marker.closes and not taken and INTRODUCES.search(before)
        if marker.opens or led or (taken and forward[-1] and notation.strength >= 2 and not marker.closes):
            taken.append(marker)
            forward.append(True)
        elif notation.bracketed and (marker.closes or (taken and not forward[-1])) and not (taken and forward[-1]):
            taken.append(marker)
            forward.append(False)
    if len({label for marker in taken for label in marker.labels}) < 2:
        return None
    return Chain(tuple(taken), tuple(forward), notation.strength)
