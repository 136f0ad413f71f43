"""Mentions: which blocks of text cite which figures, where in the text, and which figures a range implies.

Belongs here: the rules on citations. The unit is (figure, block); the block's text is rendered once and all citations
of a figure in it are spans. An ``xref`` counts whatever its ``ref-type``, as long as one of its rids is a figure's id,
except inside that figure's own caption, and except empty ones that only mark where the figure is to be placed.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence

from biomedica_assets.lib.jats.context import Contexts
from biomedica_assets.lib.jats.figures import Row
from biomedica_assets.lib.jats.records import Mention
from biomedica_assets.lib.jats.text import text_of, text_with_spans
from biomedica_assets.lib.jats.vocabulary import BLOCKS, LOCAL_NAMES, OTHER_BLOCKS, ROLE_OF, Element, Role, local_name

MOST_INFERRED = 20_000
"""Most inferred mentions of an article: 1 000 ranges over 8 000 figures each would be 8 million (1.5 MB of XML)."""
_MOST_PLACES = 20

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


_OUTSIDE = frozenset({"body", "back", "floats-group", "sub-article", "response", "article"})


@dataclasses.dataclass(frozen=True, slots=True)
class Number:
    """Number of a figure: the series it counts in, and the first and last number its label covers."""

    series: str
    first: int
    last: int


@dataclasses.dataclass(frozen=True, slots=True)
class _Citation:
    """An ``xref`` in the text of a block: what it cites, where it stands, whether it says that it only places.

    ``implied`` are the parts of a group that it cites.
    """

    rows: tuple[Row, ...]
    start: int
    end: int
    is_anchor: bool
    implied: tuple[Row, ...] = ()


class Mentions:
    """The mentions of one article."""

    def __init__(self, rows: list[Row], contexts: Contexts) -> None:
        """Args: rows: the ``fig`` rows of the article; contexts: of the article."""
        self._contexts = contexts
        self._rows = rows
        self._by_ordinal = {row.ordinal: row for row in rows}
        self._by_id: dict[str, list[Row]] = {}
        for row in rows:
            if xml_id := row.element.get("id"):
                self._by_id.setdefault(xml_id, []).append(row)
        self._by_group: dict[str, list[Row]] = {}
        for row in rows:
            for group in self._wholes(row):
                if xml_id := group.get("id"):
                    self._by_group.setdefault(xml_id, []).append(row)
        self.n_left_out = 0
        self._n_inferred = 0
        self._implied: dict[Element, tuple[Row, ...]] = {}
        self._blocks: dict[Element, dict[Element, tuple[Row, ...]]] = {}
        self._numbers: dict[str, Number | None] = {}

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
        rows = tuple(dict.fromkeys(self._target(rid, xref) for rid in rids if rid in self._by_id))
        parts = tuple(dict.fromkeys(row for rid in rids for row in self._parts(rid, xref) if row not in rows))
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

    def _wholes(self, row: Row) -> Iterator[Element]:
        """What a figure is a part of: groups around it, and figures that show nothing but their parts."""
        for ancestor in row.element.iterancestors():
            name = LOCAL_NAMES[ancestor.tag]
            if name == "fig-group" or (name == "fig" and not _shows(ancestor)):
                yield ancestor
            elif name in _OUTSIDE:
                return

    def _parts(self, rid: str, xref: Element) -> list[Row]:
        """Figures below a group of an id, in the same sub-article if ids come several times."""
        found = self._by_group.get(rid, [])
        if len(found) > 1 and len({self._scope(row) for row in found}) > 1:
            scope = self._contexts.around(xref).scope
            found = [row for row in found if self._scope(row) is scope] or found
        return found

    def _target(self, rid: str, xref: Element) -> Row:
        """Figure of an id; of several with the same id, the one in the same sub-article."""
        candidates = self._by_id[rid]
        if len(candidates) > 1:
            scope = self._contexts.around(xref).scope
            return next((row for row in candidates if self._scope(row) is scope), candidates[0])
        return candidates[0]

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
        for span, row in self._ranges(text, citations):
            if row.ordinal not in explicit and row.element not in within.captioned:
                self._infer(inferred, row, span)
        for citation in citations:
            for row in citation.implied:
                if row.ordinal not in explicit and row.element not in within.captioned:
                    self._infer(inferred, row, (citation.start, citation.end))
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
                        section=within.section,
                        inferred=implied,
                    )
                )
        return found

    def _infer(self, inferred: dict[int, list[tuple[int, int]]], row: Row, span: tuple[int, int]) -> None:
        """Note one place that implies a figure; the first of a block is a mention, of which an article has a limit."""
        places = inferred.get(row.ordinal)
        if places is None:
            if self._n_inferred >= MOST_INFERRED:
                self.n_left_out += 1
                return
            self._n_inferred += 1
            places = inferred[row.ordinal] = []
        if len(places) < _MOST_PLACES:
            places.append(span)

    def _ranges(self, text: str, citations: list[_Citation]) -> list[tuple[tuple[int, int], Row]]:
        """Figures that lie between two citations joined as a range, each with the span of the whole range."""
        found: list[tuple[tuple[int, int], Row]] = []
        written = [citation for citation in citations if citation.end > citation.start and citation.rows]
        for left, right in itertools.pairwise(written):
            if _is_range(text, left, right):
                found += [((left.start, right.end), row) for row in self._between(left.rows[-1], right.rows[0])]
        for citation in written:
            if len(citation.rows) == 2 and _INNER_RANGE.search(text[citation.start : citation.end]):
                span = (citation.start, citation.end)
                found += [(span, row) for row in self._between(*citation.rows)]
        return found

    def _between(self, left: Row, right: Row) -> list[Row]:
        """Figures whose label numbers lie between those of two others, in their series and sub-article."""
        first, last = self._number(left), self._number(right)
        if first is None or last is None or first.series != last.series or first.last + 1 >= last.first:
            return []
        scope = self._scope(left)
        return [
            row
            for row in self._rows
            if (number := self._number(row)) is not None
            and number.series == first.series
            and first.last < number.first
            and number.last < last.first
            and self._scope(row) is scope
        ]

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


def left_out_message(n: int) -> str:
    """What a reject says of inferred mentions beyond the limit."""
    return f"ranges and groups imply {n:,} mentions more than the {MOST_INFERRED:,} of an article that are kept"


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
    kept: list[_Citation] = []
    for i, citation in enumerate(citations):
        empty = citation.start == citation.end
        if not empty or (not citation.is_anchor and _cites(text, citations, i, kept)):
            kept.append(citation)
    return kept


def _cites(text: str, citations: list[_Citation], i: int, kept: list[_Citation]) -> bool:
    at = citations[i].start
    if _in_range(text, citations, i):
        return True
    before = kept[-1].end if kept else 0
    if _CITING.search(text[before:at]):
        return True
    gap = text[before:at]
    after_empty = bool(kept) and kept[-1].start == kept[-1].end
    return after_empty and bool(gap.strip()) and _CONNECTED.fullmatch(gap) is not None


def _in_range(text: str, citations: list[_Citation], i: int) -> bool:
    """Whether an empty xref stands between two written ones with nothing but a range sign between those."""
    written = [citation for citation in citations if citation.end > citation.start]
    left = [citation for citation in written if citation.end <= citations[i].start]
    right = [citation for citation in written if citation.start >= citations[i].start]
    return bool(left) and bool(right) and _is_range(text, left[-1], right[0])


def _is_range(text: str, left: _Citation, right: _Citation) -> bool:
    """Whether two citations are joined by a dash, "to" or "through", with nothing else between them."""
    between = text[left.end : right.start]
    if between.strip():
        return _JOINED.fullmatch(between) is not None
    return bool(
        _ENDS_WITH_DASH.search(text[left.start : left.end]) or _STARTS_WITH_DASH.match(text[right.start : right.end])
    )
