"""Mentions: which blocks of text cite which figures, where in the text, and which figures a range implies.

Belongs here: the rules on citations. The unit is (figure, block); the block's text is rendered once and all citations
of a figure in it are spans. An ``xref`` counts whatever its ``ref-type``, as long as one of its rids is a figure's id,
except inside that figure's own caption, and except empty ones that only mark where the figure is to be placed.
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from biomedica_assets.lib.jats.context import Contexts
from biomedica_assets.lib.jats.figures import Row
from biomedica_assets.lib.jats.records import Mention
from biomedica_assets.lib.jats.repeats import Repeats
from biomedica_assets.lib.jats.text import text_of, text_with_spans
from biomedica_assets.lib.jats.vocabulary import BLOCKS, LOCAL_NAMES, OTHER_BLOCKS, ROLE_OF, Element, Role, local_name

MOST_INFERRED = 20_000
"""Most inferred mentions of an article: 1 000 ranges over 8 000 figures each would be 8 million (1.5 MB of XML)."""
_MOST_PLACES = 20
_MOST_LOOKS = 1_000_000
"""Most figures of ranges and groups that are looked at one by one in an article; those of further ones are counted."""
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


_Found = TypeVar("_Found", Row, list[Row])
_OUTSIDE = frozenset({"body", "back", "floats-group", "sub-article", "response", "article"})


@dataclasses.dataclass(frozen=True, slots=True)
class Number:
    """Number of a figure: the series it counts in, and the first and last number its label covers."""

    series: str
    first: int
    last: int


@dataclasses.dataclass(slots=True)  # not frozen: see ``records.record``
class _Citation:
    """An ``xref`` in the text of a block: what it cites, where it stands, whether it says that it only places.

    ``implied`` are the parts of each group that it cites; the lists are shared with other citations.
    """

    rows: tuple[Row, ...]
    start: int
    end: int
    is_anchor: bool
    implied: tuple[list[Row], ...] = ()


class _Series:
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


class Mentions:
    """The mentions of one article."""

    def __init__(self, rows: list[Row], contexts: Contexts, repeats: Repeats) -> None:
        """Args: rows: the ``fig`` rows of the article; contexts, repeats: of the article."""
        self._contexts, self._repeats = contexts, repeats
        self._rows = rows
        self._by_ordinal = {row.ordinal: row for row in rows}
        self.n_left_out = 0
        self._n_inferred = 0
        self._n_looks = 0
        self._shows: dict[Element, bool] = {}
        # By id, then by the sub-article: ids come several times where a file holds several articles' worth.
        self._by_id: dict[str, dict[Element | None, Row]] = {}
        self._by_group: dict[str, dict[Element | None, list[Row]]] = {}
        for row in rows:
            scope = self._scope(row)
            if xml_id := row.element.get("id"):
                self._by_id.setdefault(xml_id, {}).setdefault(scope, row)
            for group in self._wholes(row):
                if xml_id := group.get("id"):
                    self._by_group.setdefault(xml_id, {}).setdefault(scope, []).append(row)
        self._implied: dict[Element, tuple[list[Row], ...]] = {}
        self._blocks: dict[Element, dict[Element, tuple[Row, ...]]] = {}
        self._numbers: dict[str, Number | None] = {}
        self._series: dict[tuple[str, Element | None], _Series] | None = None

    def add_xrefs(self, xrefs: Iterable[Element]) -> None:
        """Note those of the ``xref`` elements that cite a figure."""
        by_id, by_group = self._by_id, self._by_group
        for xref in xrefs:
            rids = xref.get("rid")
            if rids in by_id or rids in by_group:
                self._note(xref, (rids,))
            elif rids and " " in rids:
                self._note(xref, [rid for rid in rids.split() if rid in by_id or rid in by_group])

    def _note(self, xref: Element, rids: Sequence[str]) -> None:
        rows = tuple(dict.fromkeys(self._here(self._by_id[rid], xref) for rid in rids if rid in self._by_id))
        parts = tuple(self._here(self._by_group[rid], xref) for rid in dict.fromkeys(rids) if rid in self._by_group)
        if parts:
            self._implied[xref] = parts
        if rows or parts:
            self._blocks.setdefault(_block_of(xref), {})[xref] = rows

    def finish(self) -> tuple[Mention, ...]:
        """The mentions, block by block in document order; each figure's row learns how many it has."""
        found: list[Mention] = []
        for ordinal, (block, xrefs) in enumerate(self._blocks.items()):
            found += self._of_block(ordinal, block, xrefs)
        return tuple(found)

    def _here(self, found: Mapping[Element | None, _Found], xref: Element) -> _Found:
        """What an id stands for in the sub-article of an xref; if for nothing there, what it does where it is first."""
        if len(found) > 1:
            scope = self._contexts.around(xref).scope
            if scope in found:
                return found[scope]
        return next(iter(found.values()))

    def _wholes(self, row: Row) -> Iterator[Element]:
        """What a figure is a part of: groups around it, and figures that show nothing but their parts."""
        for ancestor in row.element.iterancestors():
            name = LOCAL_NAMES[ancestor.tag]
            if name == "fig-group" or (name == "fig" and not self._shows_itself(ancestor)):
                yield ancestor
            elif name in _OUTSIDE:
                return

    def _shows_itself(self, figure: Element) -> bool:
        if figure not in self._shows:
            self._shows[figure] = _shows(figure)
        return self._shows[figure]

    def _scope(self, row: Row) -> Element | None:
        return self._contexts.around(row.element).scope

    def _of_block(self, ordinal: int, block: Element, xrefs: dict[Element, tuple[Row, ...]]) -> list[Mention]:
        text, spans = text_with_spans(block, xrefs)
        citations = [
            _Citation(xrefs[xref], start, end, xref.get("ref-type") == "fig-anchor", self._implied.get(xref, ()))
            for xref, start, end in spans
        ]
        if any(citation.start == citation.end for citation in citations):
            citations = _without_placing(text, citations)
        if len(spans) < len(xrefs):
            # An xref in text that no reader sees (alternative text, the TeX form of a formula) cites all the same.
            located = {xref for xref, _, _ in spans}
            citations += [
                _Citation(rows, 0, 0, False, self._implied.get(xref, ()))
                for xref, rows in xrefs.items()
                if xref not in located and text_of(xref)
            ]
        within = self._contexts.within(block)
        explicit: dict[int, list[tuple[int, int]]] = {}
        inferred: dict[int, list[tuple[int, int]]] = {}
        for citation in citations:
            for row in citation.rows:
                if row.element not in within.captioned:
                    explicit.setdefault(row.ordinal, []).append((citation.start, citation.end))
        implied_by = _Inferring(self, explicit, inferred, within.captioned)
        for span, left, right in self._ranges(text, citations):
            if implied_by.is_new(("range", left.ordinal, right.ordinal)):
                implied_by.add(self._between(left, right), span)
        for citation in citations:
            for parts in citation.implied:
                if implied_by.is_new(("group", id(parts))):
                    implied_by.add(parts, (citation.start, citation.end))
        found: list[Mention] = []
        for implied, places in ((False, explicit), (True, inferred)):
            for row_ordinal, row_spans in places.items():
                row = self._by_ordinal[row_ordinal]
                row.n_mentions += 1
                found.append(
                    Mention(
                        figure_id=row.figure_id,
                        ordinal=ordinal,
                        text=text,
                        spans=tuple(dict.fromkeys(row_spans)),
                        block=local_name(block),
                        place=within.place,
                        section=self._repeats.of(within.section),
                        inferred=implied,
                    )
                )
        return found

    def take(self) -> bool:
        """Make room for an inferred mention; False if the article has no more of it."""
        if self._n_inferred >= MOST_INFERRED:
            self.n_left_out += 1
            return False
        self._n_inferred += 1
        return True

    def looks_at(self, n: int) -> bool:
        """Whether ``n`` more figures may be looked at one by one; if not, they are counted as left out."""
        self._n_looks += n
        if self._n_looks <= _MOST_LOOKS:
            return True
        self.n_left_out += n
        return False

    def _ranges(self, text: str, citations: list[_Citation]) -> Iterator[tuple[tuple[int, int], Row, Row]]:
        """Citations joined as a range: the span of the whole range, its first figure and its last."""
        written = [citation for citation in citations if citation.end > citation.start and citation.rows]
        for left, right in itertools.pairwise(written):
            if _is_range(text, left, right):
                yield (left.start, right.end), left.rows[-1], right.rows[0]
        for citation in written:
            if len(citation.rows) == 2 and _INNER_RANGE.search(text[citation.start : citation.end]):
                yield (citation.start, citation.end), *citation.rows

    def _between(self, left: Row, right: Row) -> list[Row]:
        """Figures whose label numbers lie between those of two others, in their series and sub-article."""
        first, last = self._number(left), self._number(right)
        if first is None or last is None or first.series != last.series or first.last + 1 >= last.first:
            return []
        if self._series is None:
            self._series = {}
            for row in self._rows:
                if (number := self._number(row)) is not None:
                    self._series.setdefault((number.series, self._scope(row)), _Series()).add(number, row)
        series = self._series.get((first.series, self._scope(left)))
        return series.between(first.last, last.first) if series else []

    def _number(self, row: Row) -> Number | None:
        if row.figure_id not in self._numbers:
            label = next(row.element.iterchildren("{*}label"), None)
            self._numbers[row.figure_id] = None if label is None else number_of(text_of(label))
        return self._numbers[row.figure_id]


def _shows(figure: Element) -> bool:
    """Whether a figure has a picture of its own beside those of figures in it."""
    return any(
        LOCAL_NAMES[child.tag] in {"graphic", "media"}
        or (LOCAL_NAMES[child.tag] == "alternatives" and next(child.iterdescendants("{*}graphic"), None) is not None)
        for child in figure
    )


class _Inferring:
    """The inferred mentions of one block: where they stand, within the limits of the article."""

    def __init__(
        self,
        mentions: Mentions,
        explicit: Container[int],
        inferred: dict[int, list[tuple[int, int]]],
        captioned: Container[Element],
    ) -> None:
        self._mentions, self._explicit, self._inferred, self._captioned = mentions, explicit, inferred, captioned
        self._left_out: set[int] = set()
        self._seen: dict[object, int] = {}

    def is_new(self, key: object) -> bool:
        """Whether a range or group can add to the block: after ``_MOST_PLACES`` times its figures are full."""
        self._seen[key] = self._seen.get(key, 0) + 1
        return self._seen[key] <= _MOST_PLACES

    def add(self, rows: Sequence[Row], span: tuple[int, int]) -> None:
        """Note one place that implies figures; the first in a block is a mention, of which an article has a limit."""
        if not self._mentions.looks_at(len(rows)):
            return
        for row in rows:
            if row.ordinal in self._explicit or row.ordinal in self._left_out or row.element in self._captioned:
                continue
            places = self._inferred.get(row.ordinal)
            if places is None:
                if not self._mentions.take():
                    self._left_out.add(row.ordinal)
                    continue
                places = self._inferred[row.ordinal] = []
            if len(places) < _MOST_PLACES:
                places.append(span)


def message(n: int) -> str:
    """What a reject says of inferred mentions beyond the limit."""
    return (
        f"ranges and groups imply more mentions than the {MOST_INFERRED:,} of an article that are kept: "
        f"{n:,} are left out"
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


def _block_of(xref: Element) -> Element:
    """Block of an xref: the nearest of ``BLOCKS``; without one, or if a float is nearer, what holds its line."""
    other: Element | None = None
    last = xref
    for ancestor in xref.iterancestors():
        name = LOCAL_NAMES[ancestor.tag]
        if name in BLOCKS:
            return ancestor
        if ROLE_OF[ancestor.tag] is Role.FLOAT or name in {"sec", "body", "back", "article-meta", "abstract"}:
            break
        if other is None and name in OTHER_BLOCKS:
            other = ancestor
        last = ancestor
    return last if other is None else other


def _without_placing(text: str, citations: list[_Citation]) -> list[_Citation]:
    """Leave out the empty xrefs that only place a figure.

    An empty xref is a citation if it is the middle of a range that others write out ("1-[ ]3", "1[ ][ ]-4"), or if the
    words around it call for a figure's name ("see Fig. [ ]", "([ ])", "Figs [ ] and [ ]").
    """
    written = [citation for citation in citations if citation.end > citation.start]
    ends, starts = [citation.end for citation in written], [citation.start for citation in written]
    kept: list[_Citation] = []
    for citation in citations:
        if citation.end > citation.start:
            kept.append(citation)
        elif not citation.is_anchor:
            left, right = bisect.bisect_right(ends, citation.start), bisect.bisect_left(starts, citation.start)
            in_range = left > 0 and right < len(written) and _is_range(text, written[left - 1], written[right])
            if in_range or _cites(text, citation.start, kept[-1] if kept else None):
                kept.append(citation)
    return kept


def _cites(text: str, at: int, before: _Citation | None) -> bool:
    """Whether the words before an empty xref, behind the citation before it, call for a figure's name."""
    end = before.end if before else 0
    gap = text[max(end, at - _NEAR) : at]
    if _CITING.search(gap):
        return True
    after_empty = before is not None and before.start == before.end and at - end <= _NEAR
    return after_empty and bool(gap.strip()) and _CONNECTED.fullmatch(gap) is not None


def _is_range(text: str, left: _Citation, right: _Citation) -> bool:
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
