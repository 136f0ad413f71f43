"""Which part of a caption speaks of which panel, as exact spans into the caption.

JATS has no element for it: authors write labels into running text. Belongs here: how the text is dealt out along the
chain of labels (``chains``), and what all panels share: the preamble before the first label, the closing remarks on
scale bars, statistics and abbreviations behind the last. The rule is cautious: a caption whose labels do not run in
order from A, or which only refers to its panels, has no sub-captions.
"""

# ruff: noqa: RUF001 - dashes, quotes and signs as captions print them

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from itertools import pairwise

from biomedica_assets.lib.panels.chains import INTRODUCES, SENTENCE_END, Chain, best_chain, last_sentence
from biomedica_assets.lib.panels.labels import GROUP, NAMED, expand

Span = tuple[int, int]

VERSION = "subcaptions-2"
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


# Remarks that hold for every panel when they stand behind the last one.
_SHARED = re.compile(
    r"""(?:
      (?:scale|error|size)?\s*bars?\b(?!\s+(?:graph|plot|chart|diagram))|scale\s*[:=]
      |(?:white|black)\s+(?:scale\s+)?bars?\b[^.]{0,30}\d\s*[µμnmc]?m\b|bars?\s+[=:]|magnifications?\b
      |original\s+magnification|(?:all\s+)?(?:data|values|results|means?|measurements|quantifications?)\s+
        (?:are|is|were|was|represent|shown|show|presented|indicate|from|expressed|correspond|given|in)\b
      |[^.]{0,80}\b(?:in|of|for)\s+(?:all|each|both)\s+(?:panels?|images?|graphs?|plots?|figures?|pools|cases)\b
      |numerical\s+data\b|presented\s+are\b|additional\s+(?:details|information|data)\b|(?:\w+\s+){0,2}\w+\s+(?:is|are|was|were)\s+defined\s+(?:as|by)\b
      |(?:at\s+least\s+)?(?:two|three|four|five|six|\d+)\s+(?:biological|independent|technical)\s+(?:replicates|experiments|repeats)\b
      |±\s*se|box\s*plots?\b|whiskers\b|boxes\s|source\s+data|raw\s+data|see\s+(?:also|text|table|fig|supp|methods|main)
      |doi\b|https?:|abbreviations?\b|abbr\b|key\s*:|ns?\.?s\.?\s*[,:=]|n\.s\.|not\s+significant
      |p[\s-]*values?\b|p\s*[<=>≤]|[*∗＊#†‡§¶]+\s*[,:=]?\s*(?:p\b|p\s*[<=]|indicates?|denotes?|significant|statistic|signif)
      |asterisks?\b|significan(?:ce|t)|statistic(?:al|s)\b|one-way|two-way|student|unpaired|paired|mann
      |in\s+(?:all|both|each)\b|for\s+(?:all|both|each)\b|all\s+(?:other|experiments|images|panels|scale|plots|graphs|specimens|figures|photographs|error|experiment|statistic|samples|micrographs|photos)
      |both\s+(?:panels|images|graphs)|each\s+(?:panel|image|graph|plot|experiment)|experiments?\s+(?:were|was)
      |the\s+(?:data|results|scale|error|bars?|experiments?|asterisks?|statistic)\b|representative\s+(?:of|results|data)\b
      |photo(?:graph)?s?\s*(?:by|:|credits?|courtesy)|photo\s+credit|image\s+(?:credit|courtesy)|credits?\b|courtesy|source\s*:|(?:figure|image|modified|reproduced|reprinted|adapted)\s+
        (?:is\s+)?(?:adapted|reproduced|reprinted|from|with|modified|created|by)\b|created\s+(?:with|in|by)|copyright|©
      |this\s+figure|figure\s+\d|colou?r\s+(?:figure|version|code|bar)|\(?for\s+interpretation|online\s+version|supplementa
      |(?!(?:therefore|however|thus|here|hence|note|also|then|moreover|finally|overall|notably|instead|again|insets?
        |left|right|top|bottom|middle|upper|lower|as|in|for|to|at|on|by|of|with|from|after|before)\b)
        [A-Za-z][\w/+.-]{0,9}(?:\s?[\w/+.-]{1,6})?\s*(?:[,:]\s+|=\s*)[a-z(αβγ]   # "YD, Younger Dryas": an abbreviation
    )""",
    re.I | re.X,
)
# "BP blood pressure, MGBB Mass General Brigham Biobank": abbreviations with nothing but blanks.
_GLOSSARY = re.compile(r"[A-Z][A-Za-z]*[A-Z]\w*\s+[A-Za-z][^,.;]{2,60}[,;]\s*[A-Z]\w*[A-Z]\w*\s+[A-Za-z]")
_EDGE_OPEN = re.compile(r"[\s,;.:]+(?:(?:and|or)\s+)?|\s*(?:and|or)\s+")
_EDGE_CLOSE = re.compile(r"[\s,;:]+(?:and|while|whereas|or)?\s*\Z|\s+(?:and|or)\s*\Z")
# Numbers and statistics: of all panels, unless another panel was given its own.
_STATISTICS = re.compile(
    r"n\s*[=≥>]\s*\d|[^.]{0,60}\bmeans?\b[^.]{0,50}(?:±|\bs\.?d\b|\bs\.?e\.?m\b|standard\s+(?:error|deviation))", re.I
)
# What is said behind the last label of it alone, if it was said of an earlier panel too.
_TOLD_OF_EACH = (
    re.compile(r"\bn\s*=\s*\d", re.I),
    re.compile(r"(?:\w+\s+){0,3}(?:graphs?|plots?|histograms?|columns)\s+(?:represents?|shows?)\b", re.I),
    re.compile(r"scale\s+bars?\b", re.I),
)
_CLAUSE_END = re.compile(rf";\s*|(?:{SENTENCE_END.pattern})")
# "In B and D, values were normalised": a sentence of these panels, wherever it stands.
_SPEAKS_OF = re.compile(rf"(?:In|For)\s+(?:panels?\s+)?(?:({GROUP})\s*,|({NAMED})(?:\s*,|(?=\s+[a-z])))\s*")
# "... of each graph in A and B indicate the axon", "Scale bar: (A, B) 50 µm": the same, behind the last label. One
# letter alone has to stand in brackets: "in a cell", "from A. thaliana".
_NAMES = re.compile(
    rf"(?:(?<!\bas )(?<!\blike )\b(?:in|of|for)\s+(?:panels?\s+)?|:\s*)(?:({NAMED}|{GROUP}\))|({GROUP})(?=[\s.,;]))"
)


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
    chain = best_chain(caption)
    return [] if chain is None else _Cut(caption, chain).parts()


def panel_texts(caption: str) -> dict[str, str]:
    """What a caption says of each panel and of no other, by label in the order of the text; {} where it is not cut.

    A panel of a group has the group's words before its own: "(C, D) Levels in (C) liver and (D) lung" gives "Levels in
    liver" and "Levels in lung". What all panels share is in none.
    """
    spans: dict[str, list[Span]] = {}
    for part in subcaptions(caption):
        for label in part.labels:
            spans.setdefault(label, []).extend(part.own)
    return {label: " ".join(caption[a:b].strip() for a, b in sorted(own)) for label, own in spans.items()}


class _Cut:
    """Deals the text of a caption out along a chain of labels."""

    def __init__(self, caption: str, chain: Chain) -> None:
        """Args: caption; the chain found in it."""
        self._caption, self._markers, self._forward = caption, chain.markers, chain.forward
        self._labels = chain.labels
        self._own: dict[tuple[str, ...], list[Span]] = {}
        self._shared: list[Span] = []

    def parts(self) -> list[Subcaption]:
        """Sub-captions; none if fewer than two panels got any text."""
        at = 0
        for i, ahead in enumerate(self._forward):
            at = self._ahead(i, at) if ahead else self._behind(i, at)
        self._closing(at)
        self._readdress()
        if len({label for labels in self._own for label in labels}) < 2:
            return []
        shared = tuple(sorted(self._shared))
        parts = [Subcaption(labels, _merged(self._caption, spans), shared) for labels, spans in self._own.items()]
        return sorted(parts, key=lambda part: part.own)

    def _give(self, labels: tuple[str, ...] | None, start: int, stop: int) -> None:
        """Text to panels, or to all of them (None), if there is any."""
        span = _trim(self._caption, start, stop)
        if span is not None and labels is None:
            self._shared.append(span)
        elif span is not None and labels is not None:
            self._own.setdefault(labels, []).append(span)

    def _ahead(self, i: int, at: int) -> int:
        """Text behind a label that opens it, and what stands before; returns up to where text was dealt out."""
        marker = self._markers[i]
        if i == 0:
            led = not marker.opens or self._after_colon(0)
            at = last_sentence(self._caption, marker.start) if led else marker.start
            self._give(None, 0, at)
        if at < marker.start:
            self._stem(i, at)
        stop = self._next(i) if i + 1 < len(self._markers) else self._ending(i)
        self._give(marker.labels, marker.stop, stop)
        return stop

    def _next(self, i: int) -> int:
        """Where the text behind label ``i`` ends: at the next label, or where what stands before that begins."""
        following = self._markers[i + 1]
        sentence = last_sentence(self._caption, following.start, self._markers[i].stop)
        if self._forward[i + 1] and following.opens:
            led = sentence > self._markers[i].stop and self._after_colon(i + 1)
            return sentence if led else following.start
        if not self._forward[i + 1]:
            return _behind_colon(self._caption, sentence, following.start)
        stem = sentence > self._markers[i].stop and INTRODUCES.search(self._caption, sentence, following.start)
        return sentence if stem else following.start

    def _after_colon(self, i: int) -> bool:
        return self._caption[: self._markers[i].start].rstrip().endswith(":")

    def _stem(self, i: int, begin: int) -> None:
        """What stands before the first label of a sentence is of all labels that follow in it."""
        end = SENTENCE_END.search(self._caption, self._markers[i].stop)
        stop = end.end() if end else len(self._caption)
        mates = [m for m, f in zip(self._markers[i:], self._forward[i:], strict=True) if f and m.start < stop]
        labels = tuple(dict.fromkeys(label for mate in mates for label in mate.labels))
        self._give(None if set(labels) == self._labels else labels, begin, self._markers[i].start)

    def _behind(self, i: int, at: int) -> int:
        """Text before a label that closes it; returns up to where text was dealt out."""
        caption, marker = self._caption, self._markers[i]
        if i == 0:
            at = _behind_colon(caption, last_sentence(caption, marker.start), marker.start)
            self._give(None, 0, at)
        self._give(marker.labels, at, marker.start)
        last = i + 1 == len(self._markers)
        limit = len(caption) if last else self._markers[i + 1].start
        clause = _CLAUSE_END.search(caption, marker.stop, limit)
        if last:
            # "the merged image (D) shows the overlap", but "liver (A) and lung (B) of mice"
            alone = i == 0 or _CLAUSE_END.search(caption, self._markers[i - 1].start, marker.start)
            stop = (clause.end() if clause else limit) if alone and not marker.closes else marker.stop
            self._give(marker.labels, marker.stop, stop)
            return stop
        if clause is None:
            return marker.stop
        if self._forward[i + 1]:
            stop = self._next(i)
            self._give(None, marker.stop, stop)
            return stop
        ends = [match.end() for match in _CLAUSE_END.finditer(caption, marker.stop, limit)]
        self._give(marker.labels, marker.stop, ends[-1])
        return ends[-1]

    def _ending(self, i: int) -> int:
        """Where, behind the last label, the remarks begin that hold for all panels."""
        start, stop = self._markers[i].stop, len(self._caption)
        ends = [match.end() for match in SENTENCE_END.finditer(self._caption, start, stop)]
        if last_sentence(self._caption, start) <= self._markers[0].start and i:
            return ends[0] if ends else stop  # labels within one sentence speak of nothing behind it
        earlier = self._caption[self._markers[0].stop : self._markers[i].start]
        own = [pattern for pattern in _TOLD_OF_EACH if pattern.search(earlier)]
        for begin, end in pairwise([*ends, stop]):
            if begin in {start, stop}:
                continue
            if self._caption[begin - 1] == "\n":
                return begin
            told = (pattern.match(self._caption, begin) for pattern in (_SHARED, _STATISTICS, _GLOSSARY))
            if any(told) and not any(pattern.match(self._caption, begin, end) for pattern in own):
                return begin
        return stop

    def _closing(self, at: int) -> None:
        """Deal out what stands behind the text of the last label: to the panels that it names, or to all."""
        for start, stop in _sentences(self._caption, at, len(self._caption)):
            named = self._named(start, stop)
            if named is None or set(named[0]) == self._labels:
                self._give(None, start, stop)
            else:
                self._give(named[0], named[1], stop)
        self._shared = list(_merged(self._caption, self._shared))

    def _readdress(self) -> None:
        """Give sentences within a panel's text that say of which panels they speak to those."""
        for labels, spans in list(self._own.items()):
            last = max(spans)
            is_last = labels == self._markers[-1].labels and last[1] >= self._markers[-1].stop
            kept: list[Span] = []
            for span in spans:
                for k, (start, stop) in enumerate(_sentences(self._caption, *span)):
                    named = self._named(start, stop, anywhere=is_last and span == last) if k else None
                    if named is None or set(named[0]) == set(labels):
                        kept.append((start, stop))
                    else:
                        self._give(None if set(named[0]) == self._labels else named[0], named[1], stop)
            self._own[labels] = [t for t in (_trim(self._caption, a, b) for a, b in _merged(self._caption, kept)) if t]

    def _named(self, start: int, stop: int, *, anywhere: bool = True) -> tuple[tuple[str, ...], int] | None:
        """Panels that a sentence says it speaks of, and where it goes on behind their names.

        At its head ("In B and D, ...") or, if ``anywhere``, within it.
        """
        head = _SPEAKS_OF.match(self._caption, start, stop)
        if head is not None:
            labels = expand(head[1] or head[2])
            if labels and set(labels) <= self._labels:
                return labels, head.end()
        named: dict[str, None] = {}
        for match in _NAMES.finditer(self._caption, start, stop) if anywhere else ():
            labels = expand(match[1] or match[2])
            if labels and (match[1] or len(labels) > 1) and set(labels) <= self._labels:
                named |= dict.fromkeys(labels)
        return (tuple(named), start) if named else None


def _sentences(caption: str, start: int, stop: int) -> list[Span]:
    ends = [match.end() for match in SENTENCE_END.finditer(caption, start, stop) if match.end() < stop]
    return [(a, b) for a, b in zip([start, *ends], [*ends, stop], strict=True) if a < b]


def _merged(caption: str, spans: Sequence[Span]) -> tuple[Span, ...]:
    """Spans in order; those with nothing but blanks between them as one."""
    found: list[Span] = []
    for start, stop in sorted(spans):
        if found and not caption[found[-1][1] : start].strip():
            found[-1] = (found[-1][0], stop)
        else:
            found.append((start, stop))
    return tuple(found)


def _behind_colon(caption: str, start: int, stop: int) -> int:
    """Where, within a sentence, the clause begins that follows its last colon."""
    return max((match.end() for match in re.finditer(r":\s+", caption[start:stop])), default=0) + start


def _trim(caption: str, start: int, stop: int) -> Span | None:
    """Without blanks, separators and a dangling "and" at the edges; None if no word is left."""
    if match := _EDGE_OPEN.match(caption, start, stop):
        start = match.end()
    if match := _EDGE_CLOSE.search(caption, start, stop):
        stop = match.start()
    return (start, stop) if stop > start and re.search(r"\w", caption[start:stop]) else None
