"""Which part of a caption speaks of which panel, as exact spans into the caption.

JATS has no element for it: authors write labels into running text. Belongs here: the notations, the chain of labels
that a caption is cut along, and what all panels share (the preamble before the first label, the closing remarks on
scale bars, statistics and abbreviations behind the last). The rule is cautious: a caption whose labels do not run in
order from A, or which only refers to its panels, has no sub-captions.

Two directions are told apart marker by marker: a label may open its clause ("(A) Control. (B) Treated.") or close it
("Control (A) and treated (B).").
"""

# ruff: noqa: RUF001 - dashes, quotes and signs as captions print them

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence

from biomedica_assets.lib.panels.labels import GROUP, Marker, expand, main, roman

Span = tuple[int, int]

MAX_CHARS = 50_000  # longer "captions" are whole texts; reading them costs and says nothing of panels


@dataclasses.dataclass(frozen=True, slots=True)
class Subcaption:
    """What a caption says of the panels ``labels``.

    Attributes:
        labels: panel labels as printed, ranges expanded; words of place ("left") where panels have no letters.
        own: spans that speak of these panels alone, labels excluded; half-open, in characters of the caption.
        shared: spans that speak of all panels: preamble and closing remarks.
    """

    labels: tuple[str, ...]
    own: tuple[Span, ...]
    shared: tuple[Span, ...]

    @property
    def spans(self) -> tuple[Span, ...]:
        """All spans in the order of the caption."""
        return tuple(sorted((*self.own, *self.shared)))

    def text(self, caption: str) -> str:
        """What a reader of this panel alone should read: shared and own parts in the order of the caption."""
        return " ".join(caption[start:stop].strip() for start, stop in self.spans)


# Where a clause begins: at the start, behind a full stop, colon, semicolon, dash or line break.
_BEGINS = re.compile(r"(?:^|[.;:!?\n—–(][\s\"'”’)\]]*)\Z")
_ABBREVIATED = re.compile(r"\b(?:figs?|e\.g|i\.e|cf|vs|refs?|eqs?|no|approx|ca|panels?)\.\s*\Z", re.I)
_REFERS = re.compile(r"\b(?:in|of|from|for|see|panels?|figs?\.?|figures?|with|to|and|by|as)\s*\Z", re.I)
_SOFT = re.compile(r"(?:,|,?\s*\b(?:and|or|und|et)|&|/)\s*\Z")
_CLOSES = re.compile(r"\s*(?:[.;,\n]|\Z|(?:and|or|versus|vs|et|und|y|e)\b)")
_INITIAL = re.compile(r"\b[A-Z]\.\s*\Z")
# Behind these words a label opens what it names, though no clause begins: "images showing (b) axial, (c) sagittal".
_INTRODUCES = re.compile(
    r"(?:\b(?:of|showing|shows?|with|for|in|by|at|from|are|is|were|was|between|on|to|using|as|the|against|versus|vs\.?|include|including)"
    r"|[,:;—–])\s*\Z"
)
_LINKED = re.compile(r"\s*(?:,\s*and|[,;&/]|and|to|through|[-‐-―−])?\s*\Z")
_TAIL = r"[ \t\u00a0\u2000-\u200a]*(?:[:.,]|[-–—](?=\s)|[–—])*[ \t\u00a0\u2000-\u200a]*"


@dataclasses.dataclass(frozen=True, slots=True)
class _Notation:
    """One way to print labels. ``strength`` decides between notations that name equally many panels."""

    pattern: re.Pattern[str]
    strength: int
    bracketed: bool


_NOTATIONS = (
    _Notation(re.compile(rf"[(\[]\s*(?:panels?\s+)?({GROUP})\s*[)\]]{_TAIL}"), 3, bracketed=True),
    _Notation(re.compile(rf"\b[Pp]anels?\s+[(\[]?({GROUP})[)\]]?{_TAIL}(?=\s|(?<=\s)\S)"), 2, bracketed=False),
    _Notation(re.compile(rf"(?<![\w(\[])({GROUP})\){_TAIL}"), 2, bracketed=False),
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
_PART = r"(?:\s+(?:panels?|rows?|columns?|images?|plots?|graphs?|half|side|part|inset|picture|photographs?))"
_PLACES = (
    _Notation(re.compile(rf"\b({_PLACE}){_PART}?\s*[:—]\s*", re.I), 2, bracketed=False),
    _Notation(re.compile(rf"[(\[]\s*(?:the\s+)?({_PLACE}){_PART}\s*[)\]]{_TAIL}", re.I), 2, bracketed=True),
    _Notation(re.compile(rf"[(\[]\s*(left|right|top|bottom)\s*[)\]]{_TAIL}", re.I), 2, bracketed=True),
    _Notation(re.compile(rf"\b({_PLACE}){_PART}?\s*,\s*", re.I), 1, bracketed=False),
)
# Remarks that hold for every panel when they stand behind the last one.
_SHARED = re.compile(
    r"""(?:
      (?:scale|error|white|black|size)?\s*bars?\b(?!\s+(?:graph|plot|chart|diagram))|scale\s*[:=]|magnifications?\b
      |original\s+magnification|(?:all\s+)?(?:data|values|results|means?|measurements|quantifications?)\s+
        (?:are|is|were|was|represent|shown|show|presented|indicate|from|expressed|correspond|given|in)\b
      |mean\s*±|means?\s+±|±\s*se|box\s*plots?\b|whiskers\b|boxes\s|source\s+data|raw\s+data|see\s+(?:also|text|table|fig|supp|methods|main)
      |doi\b|https?:|abbreviations?\b|abbr\b|key\s*:|n\s*[=≥>]\s*\d|ns?\.?s\.?\s*[,:=]|n\.s\.|not\s+significant
      |p[\s-]*values?\b|p\s*[<=>≤]|[*∗＊#†‡§¶]+\s*[,:=]?\s*(?:p\b|p\s*[<=]|indicates?|denotes?|significant|statistic|signif)
      |asterisks?\b|significan(?:ce|t)|statistic(?:al|s)\b|one-way|two-way|student|unpaired|paired|mann
      |in\s+(?:all|both|each)\b|for\s+(?:all|both|each)\b|all\s+(?:experiments|images|panels|scale|plots|graphs|specimens|figures|photographs|error|experiment|statistic|samples|micrographs|photos)
      |both\s+(?:panels|images|graphs)|each\s+(?:panel|image|graph|plot|experiment)|experiments?\s+(?:were|was)
      |the\s+(?:data|results|scale|error|bars?|experiments?|asterisks?|statistic)\b|representative\s+(?:of|results|data)\b
      |photo(?:graph)?s?\s*(?:by|:|credits?|courtesy)|photo\s+credit|image\s+(?:credit|courtesy)|credits?\b|courtesy|source\s*:|(?:figure|image|modified|reproduced|reprinted|adapted)\s+
        (?:is\s+)?(?:adapted|reproduced|reprinted|from|with|modified|created|by)\b|created\s+(?:with|in|by)|copyright|©
      |this\s+figure|figure\s+\d|colou?r\s+(?:figure|version|code|bar)|\(?for\s+interpretation|online\s+version|supplementa
      |[A-Za-z][\w/+.-]{0,9}(?:\s?[\w/+.-]{1,6})?\s*[,:=]\s+[a-z(αβγ]   # "YD, Younger Dryas": an abbreviation explained
    )""",
    re.I | re.X,
)
_SENTENCE_END = re.compile(
    r"(?<![A-Z]\.)(?<!\b[A-Z])(?<!\bet al)(?<!\bvs)(?<!\bsp)(?<!\bFig)(?<!\be\.g)(?<!\bi\.e)(?<!\bcf)"
    r"[.!?][)\"”']*(?:\s+|\Z)|\n+"
)
_EDGE_OPEN = re.compile(r"[\s,;.:]+(?:and\s+)?|\s*and\s+")
_EDGE_CLOSE = re.compile(r"[\s,;]+(?:and|while|whereas|or)?\s*\Z|\s+and\s*\Z")


def subcaptions(caption: str) -> list[Subcaption]:
    """Cut a caption into what it says of each panel.

    Args:
        caption: plain text of the caption, title first; spans are into exactly this text.

    Returns:
        Sub-captions in the order of the text, each label set once; empty where the caption cannot be cut with
        certainty, or names fewer than two panels.
    """
    if len(caption) > MAX_CHARS:
        return []
    chain = _best(_chains(caption))
    if chain is None:
        return []
    return _cut(caption, chain)


@dataclasses.dataclass(frozen=True, slots=True)
class _Chain:
    markers: tuple[Marker, ...]
    forward: tuple[bool, ...]  # for each marker: its clause follows it
    strength: int

    @property
    def n_labels(self) -> int:
        return len({label for marker in self.markers for label in marker.labels})


def _chains(caption: str) -> Iterator[_Chain]:
    for notation in _NOTATIONS:
        found = list(_markers(caption, notation, expand))
        for lower in (False, True):
            own = _joined(caption, [m for m in found if all(label[0].islower() == lower for label in m.labels)])
            if chain := _follow(caption, own, notation):
                yield chain
    found = list(_markers(caption, _ROMANS, lambda text: (text,)))
    if chain := _follow_words(caption, _joined(caption, found), _ROMANS, ordered=True):
        yield chain
    for notation in _PLACES:
        found = list(_markers(caption, notation, lambda text: (re.sub(r"[\s-]+", " ", text.lower()),)))
        if chain := _follow_words(caption, found, notation, ordered=False):
            yield chain


def _markers(caption: str, notation: _Notation, read: Callable[[str], tuple[str, ...]]) -> Iterator[Marker]:
    for match in notation.pattern.finditer(caption):
        labels = read(match[1])
        if not labels:
            continue
        before = caption[: match.start()]
        opens = bool(_BEGINS.search(before[-8:] if len(before) > 8 else before)) and not _ABBREVIATED.search(
            before[-12:]
        )
        closes = bool(_CLOSES.match(caption, _end_of_label(match)))
        opens = opens and not (notation.bracketed and closes and _INITIAL.search(before[-4:]))
        yield Marker(match.start(), match.end(), labels, opens, closes)


def _end_of_label(match: re.Match[str]) -> int:
    """One past the bracket or label, before the punctuation behind it."""
    stop = match.end(1)
    rest = match.string[stop : match.end()]
    bracket = re.match(r"\s*[)\]]", rest)
    return stop + (bracket.end() if bracket else 0)


def _joined(caption: str, markers: Sequence[Marker]) -> list[Marker]:
    """Join markers with nothing but a link between them: "(A) and (B)", "(A)-(C)", "(A)(B)"."""
    found: list[Marker] = []
    for marker in markers:
        if found and marker.start <= found[-1].stop + 8:
            last = found[-1]
            bare = caption[last.start : last.stop].rstrip(" :.,\u2003\u2009\u00a0")
            between = caption[last.start + len(bare) : marker.start]
            if _LINKED.match(between) and not re.search(r"[.:\n]", between):
                ranged = re.search(r"[-‐-―−]|to|through", between)
                labels = expand(f"{last.labels[-1]}-{marker.labels[0]}") if ranged else ()
                every = tuple(dict.fromkeys((*last.labels, *labels, *marker.labels)))
                found[-1] = Marker(last.start, marker.stop, every, last.opens, marker.closes)
                continue
        found.append(marker)
    return found


def _follow(caption: str, markers: Sequence[Marker], notation: _Notation) -> _Chain | None:
    """The markers that name panels in order from A; what only refers to a panel is passed over."""
    taken: list[Marker] = []
    forward: list[bool] = []
    seen: set[str] = set()
    reached = -1
    for i, marker in enumerate(markers):
        places = sorted({main(label) for label in marker.labels})
        fresh = any(label not in seen for label in marker.labels)
        before = caption[max(0, marker.start - 16) : marker.start]
        goes_on = places[0] <= reached + 1 <= places[-1] or (
            fresh and places[0] == reached and len(marker.labels[0]) > 1
        )
        if not taken and places[0] != 0:
            continue
        if marker.opens:
            # out of order, or once more: only a bracketed label at the head of a clause is trusted so far
            trusted = notation.bracketed and bool(taken) and places[-1] <= reached + 3
            if not goes_on and not trusted:
                continue
            ahead = True
        else:
            # a place where the label heads a clause is better than one where it stands within
            better = any(m.opens and set(m.labels) <= set(marker.labels) for m in markers[i + 1 :])
            if not goes_on or not fresh or better:
                continue
            direction = _direction(caption, marker, before, notation, forward)
            if direction is None:
                continue
            ahead = direction
        taken.append(marker)
        forward.append(ahead)
        seen.update(marker.labels)
        reached = max(reached, places[-1])
    if len(seen) < 2 or not _believed(caption, taken, forward, notation):
        return None
    return _Chain(tuple(taken), tuple(forward), notation.strength)


def _direction(caption: str, marker: Marker, before: str, notation: _Notation, forward: Sequence[bool]) -> bool | None:
    """Whether a label within a clause speaks of what follows (True) or of what precedes it (False).

    None where it speaks of neither: it only refers to a panel.
    """
    if not notation.bracketed:
        listed = (
            bool(forward) and forward[-1] and before.rstrip().endswith((",", ";", "and")) and notation.strength == 2
        )
        return True if listed else None
    if forward and forward[-1]:
        follows = caption[marker.stop : marker.stop + 1]
        if marker.closes or (_REFERS.search(before) and not _SOFT.search(before)):
            return None
        return True if _SOFT.search(before) or follows.isupper() or follows.isdigit() else None
    if marker.closes:
        return False
    return bool(_INTRODUCES.search(before) or _SOFT.search(before))


def _believed(caption: str, taken: Sequence[Marker], forward: Sequence[bool], notation: _Notation) -> bool:
    """Whether a chain is long enough for how easily its notation is mistaken: "A " is also an article."""
    if len(taken) == 1:
        # one group for all panels ("A-F. Groups 1-6"): only where it heads the caption or a sentence
        before = caption[: taken[0].start].rstrip(" ")
        if not forward[0] or (before and before[-1] not in ".\n"):
            return False
    if notation.strength >= 2:
        return notation.bracketed or len(taken) >= 2
    opened = [marker for marker, ahead in zip(taken, forward, strict=True) if ahead]
    if notation.strength == 1:
        return len(opened) >= 2 or (len(opened) == 1 and len(opened[0].labels) >= 2)
    return len(opened) >= 2 or (len(opened) == 1 and len(opened[0].labels) >= 3)


def _follow_words(caption: str, markers: Sequence[Marker], notation: _Notation, *, ordered: bool) -> _Chain | None:
    """The same for roman numerals (in order from i) and for words of place (any two different ones)."""
    taken: list[Marker] = []
    forward: list[bool] = []
    for marker in markers:
        if ordered and not taken and caption[: marker.start].rstrip()[-1:] not in {"", ".", "\n"}:
            continue  # "two reasons: (i) …" is an argument, not a figure
        if ordered and roman(marker.labels[0]) != len({label.lower() for m in taken for label in m.labels}):
            continue
        if marker.opens or (taken and forward[-1] and notation.strength >= 2 and not marker.closes):
            taken.append(marker)
            forward.append(True)
        elif notation.bracketed and (marker.closes or (taken and not forward[-1])) and not (taken and forward[-1]):
            taken.append(marker)
            forward.append(False)
    if len({label for marker in taken for label in marker.labels}) < 2:
        return None
    return _Chain(tuple(taken), tuple(forward), notation.strength - (0 if ordered else 10))


def _best(chains: Iterator[_Chain]) -> _Chain | None:
    """Most panels named; places only where no letters are; then the stronger notation, then the earlier start."""
    return max(
        chains,
        key=lambda chain: (chain.strength > -5, chain.n_labels, chain.strength, -chain.markers[0].start),
        default=None,
    )


def _cut(caption: str, chain: _Chain) -> list[Subcaption]:
    """Own and shared spans along the chain."""
    markers, forward = chain.markers, chain.forward
    own: dict[tuple[str, ...], list[Span]] = {}
    shared: list[Span] = []

    def give(labels: tuple[str, ...], span: Span | None) -> None:
        if span is not None:
            own.setdefault(labels, []).append(span)

    first = markers[0].start
    if forward[0]:
        shared += _parts(caption, 0, first)
    else:
        cut = _last_sentence(caption, first)
        shared += _parts(caption, 0, cut)
    at = first if forward[0] else _last_sentence(caption, first)
    for i, (marker, ahead) in enumerate(zip(markers, forward, strict=True)):
        following = markers[i + 1] if i + 1 < len(markers) else None
        if not ahead:
            give(marker.labels, _trim(caption, at, marker.start))
            at = marker.stop
            if following is None:
                shared += _parts(caption, marker.stop, len(caption))
            elif forward[i + 1]:
                shared += _parts(caption, marker.stop, following.start)
            continue
        stop = following.start if following else len(caption)
        if following is not None and not forward[i + 1]:
            stop = _last_sentence(caption, following.start)
            at = stop
        if following is None:
            within = not marker.opens and not markers[0].opens
            stop = _sentence_end(caption, marker.stop, stop) if within else _ending(caption, marker.stop, stop)
            shared += _parts(caption, stop, len(caption))
        give(marker.labels, _trim(caption, marker.stop, stop))
    if len({label for labels in own for label in labels}) < 2:
        return []
    return [Subcaption(labels, tuple(spans), tuple(shared)) for labels, spans in own.items()]


def _last_sentence(caption: str, stop: int) -> int:
    """Where the sentence that runs up to ``stop`` begins."""
    begin = 0
    for match in _SENTENCE_END.finditer(caption, 0, stop):
        if match.end() < stop:
            begin = match.end()
    return begin


def _ending(caption: str, start: int, stop: int) -> int:
    """Where, behind the last label, the remarks begin that hold for all panels; ``stop`` if there are none."""
    begins = [match.end() for match in _SENTENCE_END.finditer(caption, start, stop) if match.end() < stop]
    for begin in begins:
        if caption[begin - 1] == "\n" or _SHARED.match(caption, begin):
            return begin
    return stop


def _sentence_end(caption: str, start: int, stop: int) -> int:
    """Where the sentence that ``start`` lies in ends: labels within one sentence speak of nothing behind it."""
    match = _SENTENCE_END.search(caption, start, stop)
    return match.end() if match else stop


def _parts(caption: str, start: int, stop: int) -> list[Span]:
    span = _trim(caption, start, stop)
    return [] if span is None else [span]


def _trim(caption: str, start: int, stop: int) -> Span | None:
    """Without blanks, separators and a dangling "and" at the edges; None if no word is left."""
    if match := _EDGE_OPEN.match(caption, start, stop):
        start = match.end()
    if match := _EDGE_CLOSE.search(caption, start, stop):
        stop = match.start()
    return (start, stop) if stop > start and re.search(r"\w", caption[start:stop]) else None
