"""Citations in a text: which only place a figure, which stand at the ends of a range, and what numbers labels give.

Belongs here: what the words around an ``xref`` say. Which figures it means is ``mentions``.
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import re
from collections.abc import Iterator

from biomedica_assets.lib.jats.figures import Row

_NEAR = 200
"""Most characters between two citations of a range, and before an empty one, that are read: no such text is longer."""

# Dashes: hyphen-minus, hyphens, figure/en/em dash, bar, minus, tildes used as dashes in East Asian typesetting.
_DASH = "\\-\u2010-\u2015\u2212\ufe58\ufe63\uff0d~\u301c\uff5e"
_FIGURE_WORD = (
    r"(?:(?:suppl(?:ementa(?:ry|l))?|extended\s+data)\.?\s*)?(?:fig(?:ure|ura|uur)?s?|abb(?:ildung)?(?:en)?)\.?"
)
_JOINED = re.compile(rf"\s*(?:[{_DASH}]+|to|through)\s*(?:{_FIGURE_WORD}\s*)?", re.I)
_ENDS_WITH_DASH = re.compile(rf"[{_DASH}]\s*$")
_STARTS_WITH_DASH = re.compile(rf"\s*[{_DASH}]")
_INNER_RANGE = re.compile(rf"\d[a-z]?\s*(?:[{_DASH}]|to|through)\s*(?:{_FIGURE_WORD}\s*)?s?\d", re.I)
# What stands before an empty xref that is a citation whose text the publisher's software would supply.
_CITING = re.compile(rf"(?:\b{_FIGURE_WORD}|\bsee|\bin|\()[\s(]*$", re.I)
_CONNECTED = re.compile(rf"\s*(?:[{_DASH},;&/]|and|or|to|through|\(|\)|{_FIGURE_WORD}|\s)*\s*", re.I)
_LABEL_NUMBER = re.compile(
    rf"(?P<series>.*?)(?P<first>\d+)(?:\s*(?:[{_DASH},&]|and)\s*(?P<last>\d+))?\s*(?:\([^()]*\))?[^\w]*", re.DOTALL
)
# A label with further words behind its only number.
_ONLY_NUMBER = re.compile(r"(?P<series>\D*?)(?P<first>\d+)(?P<last>)(?!\w)\D*", re.DOTALL)


@dataclasses.dataclass(frozen=True, slots=True)
class Number:
    """Number of a figure: the series it counts in, and the first and last number its label covers."""

    series: str
    first: int
    last: int


@dataclasses.dataclass(slots=True)  # not frozen: see ``records.record``
class Citation:
    """An ``xref`` in the text of a block: what it cites, where it stands, whether it says that it only places.

    ``implied`` are the parts of each group that it cites; the lists are shared with other citations.
    """

    rows: tuple[Row, ...]
    start: int
    end: int
    is_anchor: bool
    implied: tuple[list[Row], ...] = ()


class Series:
    """The numbered figures of one series in one sub-article, in the order of their numbers."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, int, int, Row]] = []
        self._sorted = True

    def add(self, number: Number, row: Row) -> None:
        """Add a figure."""
        self._rows.append((number.first, number.last, row.ordinal, row))
        self._sorted = False

    def between(self, first: int, last: int) -> list[Row]:
        """Figures all of whose numbers lie between two others, in document order."""
        if not self._sorted:
            self._rows.sort(key=lambda one: one[:3])
            self._sorted = True
        begin = bisect.bisect_right(self._rows, first, key=lambda one: one[0])
        end = bisect.bisect_left(self._rows, last, key=lambda one: one[0])
        found = (row for _, row_last, _, row in self._rows[begin:end] if row_last < last)
        return sorted(found, key=lambda row: row.ordinal)


def ranges(text: str, citations: list[Citation]) -> Iterator[tuple[tuple[int, int], Row, Row]]:
    """Citations joined as a range: the span of the whole range, its first figure and its last."""
    written = [citation for citation in citations if citation.end > citation.start and citation.rows]
    for left, right in itertools.pairwise(written):
        if _is_range(text, left, right):
            yield (left.start, right.end), left.rows[-1], right.rows[0]
    for citation in written:
        if len(citation.rows) == 2 and _INNER_RANGE.search(text[citation.start : citation.end]):
            yield (citation.start, citation.end), *citation.rows


def without_placing(text: str, citations: list[Citation]) -> list[Citation]:
    """Leave out the empty xrefs that only place a figure.

    An empty xref is a citation if it is the middle of a range that others write out ("1-[ ]3", "1[ ][ ]-4"), or if the
    words around it call for a figure's name ("see Fig. [ ]", "([ ])", "Figs [ ] and [ ]").
    """
    written = [citation for citation in citations if citation.end > citation.start]
    ends, starts = [citation.end for citation in written], [citation.start for citation in written]
    kept: list[Citation] = []
    for citation in citations:
        if citation.end > citation.start:
            kept.append(citation)
        elif not citation.is_anchor:
            left, right = bisect.bisect_right(ends, citation.start), bisect.bisect_left(starts, citation.start)
            in_range = left > 0 and right < len(written) and _is_range(text, written[left - 1], written[right])
            if in_range or _cites(text, citation.start, kept[-1] if kept else None):
                kept.append(citation)
    return kept


def _cites(text: str, at: int, before: Citation | None) -> bool:
    """Whether the words before an empty xref, behind the citation before it, call for a figure's name."""
    end = before.end if before else 0
    gap = text[max(end, at - _NEAR) : at]
    if _CITING.search(gap):
        return True
    after_empty = before is not None and before.start == before.end and at - end <= _NEAR
    return after_empty and bool(gap.strip()) and _CONNECTED.fullmatch(gap) is not None


def _is_range(text: str, left: Citation, right: Citation) -> bool:
    """Whether two citations are joined by a dash, "to" or "through", with nothing else between them."""
    if right.start - left.end > _NEAR:
        return False
    between = text[left.end : right.start]
    if between.strip():
        return _JOINED.fullmatch(between) is not None
    return bool(
        _ENDS_WITH_DASH.search(text[max(left.start, left.end - _NEAR) : left.end])
        or _STARTS_WITH_DASH.match(text[right.start : min(right.end, right.start + _NEAR)])
    )


def number_of(label: str) -> Number | None:
    """Number that a label gives: ``Figure S3.`` is 3 of the series ``figs``, ``Figs 4-6`` covers 4 to 6.

    ``Figure 1-figure supplement 2`` is 2 of ``fig1figsupplement``; of ``Figure 3. Overview`` the one number counts. A
    label that ends in a letter (``Fig. 3A``) names a panel and has no number, nor has one without digits.
    """
    match = _LABEL_NUMBER.fullmatch(label.strip()) or _ONLY_NUMBER.fullmatch(label.strip())
    if not match:
        return None
    first = int(match["first"])
    last = int(match["last"] or first)
    return Number(_series(match["series"]), first, last) if last >= first else None


def _series(prefix: str) -> str:
    """What a label counts in: ``Figure``, ``Figs.`` and ``FIG`` are one series, ``FigS`` is another."""
    spaced = re.sub(r"(?<=[a-z])S$", " s", prefix)
    spaced = re.sub(r"[\W_]+", " ", spaced.casefold())
    return re.sub(r"\bfig(?:ure|ura)?s?\b", "fig", spaced).replace(" ", "")
