"""Mentions: which blocks of text cite which figures, where in the text, and which figures a range implies.

Belongs here: the rules on citations. The unit is (figure, block); the block's text is rendered once and all citations
of a figure in it are spans. An ``xref`` counts whatever its ``ref-type``, as long as one of its rids is a figure's id,
except inside that figure's own caption, and except empty ones that only mark where the figure is to be placed.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from biomedica_assets.lib.jats.citations import Citation, Number, Series, number_of, ranges, without_placing
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
_Found = TypeVar("_Found", Row, list[Row])
_OUTSIDE = frozenset({"body", "back", "floats-group", "sub-article", "response", "article"})


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
        self._series: dict[tuple[str, Element | None], Series] | None = None

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
        if len(rids) == 1 and rids[0] not in self._by_group and len(found := self._by_id[rids[0]]) == 1:
            # Nearly all of them. The general case below makes four generators: half of the time that xrefs took.
            self._blocks.setdefault(_block_of(xref), {})[xref] = (*found.values(),)
            return
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
            Citation(xrefs[xref], start, end, xref.get("ref-type") == "fig-anchor", self._implied.get(xref, ()))
            for xref, start, end in spans
        ]
        if any([citation.start == citation.end for citation in citations]):  # noqa: C419 - a generator costs more
            citations = without_placing(text, citations)
        if len(spans) < len(xrefs):
            # An xref in text that no reader sees (alternative text, the TeX form of a formula) cites all the same.
            located = {xref for xref, _, _ in spans}
            citations += [
                Citation(rows, 0, 0, False, self._implied.get(xref, ()))
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
        for span, left, right in ranges(text, citations):
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

    def _between(self, left: Row, right: Row) -> list[Row]:
        """Figures whose label numbers lie between those of two others, in their series and sub-article."""
        first, last = self._number(left), self._number(right)
        if first is None or last is None or first.series != last.series or first.last + 1 >= last.first:
            return []
        if self._series is None:
            self._series = {}
            for row in self._rows:
                if (number := self._number(row)) is not None:
                    self._series.setdefault((number.series, self._scope(row)), Series()).add(number, row)
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
