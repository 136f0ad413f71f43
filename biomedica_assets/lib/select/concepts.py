"""Concepts as recipes name them: by id or by any name, with everything narrower; and as labels carry them."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from biomedica_assets.lib.select.catalog_view import LABEL_LISTS
from biomedica_assets.lib.select.definition import RecipeError, suggestion

_PANELS = ("panel_type", "panel_subtype")
LABEL_COLUMNS = (*LABEL_LISTS, *_PANELS, *(f"{name}_confidence" for name in (*LABEL_LISTS, *_PANELS)), "claims")
"""Columns of the view ``samples`` that ``concepts_of`` and ``top_concepts_of`` read."""


class Vocabulary:
    """The concepts of the table ``taxonomy``."""

    def __init__(self, taxonomy: pl.DataFrame) -> None:
        """Args: taxonomy: rows of the table ``taxonomy``."""
        self.ids = frozenset(taxonomy["concept_id"])
        self.labels: dict[str, str] = dict(taxonomy.select("concept_id", "label").iter_rows())
        self.tops = frozenset(taxonomy["top"])
        self._top: dict[str, str] = dict(taxonomy.select("concept_id", "top").iter_rows())
        self._named: dict[str, str] = {}
        self._narrower: dict[str, list[str]] = {}
        # A name that two concepts share belongs to the one that has it as its label.
        for concept, alt in taxonomy.select("concept_id", "alt").iter_rows():
            self._named.update({name.casefold(): concept for name in alt})
        self._named.update({label.casefold(): concept for concept, label in self.labels.items()})
        for concept, broader in taxonomy.select("concept_id", "broader").iter_rows():
            self._narrower.setdefault(broader, []).append(concept)

    def find(self, name: str) -> str:
        """Id of a concept.

        Raises:
            RecipeError: there is none of that name or id.
        """
        found = name if name in self.ids else self._named.get(name.casefold())
        if found is None:
            raise RecipeError(f"there is no concept {name!r}{suggestion(name, [*self.ids, *self._named])}")
        return found

    def find_top(self, name: str) -> str:
        """Id of a top concept.

        Raises:
            RecipeError: there is none of that name, or it is no top concept.
        """
        found = self.find(name)
        if self._top[found] != found:
            top = self.labels[self._top[found]]
            raise RecipeError(f"caps and weights are for top concepts; {name!r} belongs to {top!r}")
        return found

    def with_narrower(self, names: tuple[str, ...]) -> frozenset[str]:
        """Ids of the named concepts and of all below them."""
        found, open_ = set[str](), [self.find(name) for name in names]
        while open_:
            concept = open_.pop()
            if concept not in found:
                found.add(concept)
                open_.extend(self._narrower.get(concept, ()))
        return frozenset(found)


def concepts_of(min_confidence: float) -> pl.Expr:
    """All concepts of a sample, list[str], from ``LABEL_COLUMNS``; labels below the confidence count as absent."""
    lists = [_sure(name, min_confidence) for name in LABEL_LISTS]
    panels = [pl.concat_list(_sure(name, min_confidence)) for name in _PANELS]
    empty = pl.lit([], dtype=pl.List(pl.String))
    return pl.concat_list(*(part.fill_null(empty) for part in [*lists, *panels])).list.drop_nulls()


def top_concepts_of(min_confidence: float) -> pl.Expr:
    """Top concepts of a sample, list[str]; empty if it has none that is sure enough."""
    return _sure("global", min_confidence).fill_null(pl.lit([], dtype=pl.List(pl.String)))


def concepts_by(sources: Sequence[str], min_confidence: float) -> pl.Expr:
    """Concepts of a sample that any of the named sources names surely enough, list[str], from the column ``claims``.

    Args:
        sources: ``text``, ``propagated``, ``model``, ``released:NAME`` or ``combined``.
        min_confidence: least confidence of the claim.
    """
    one = pl.element()
    source, confidence = one.struct.field("source"), one.struct.field("confidence")
    known = source.is_in(list(sources))
    asked = pl.col("claims").list.eval(one.filter(known & (confidence >= min_confidence)).struct.field("concept_id"))
    return asked.list.unique().fill_null(pl.lit([], dtype=pl.List(pl.String)))


def _sure(name: str, least: float) -> pl.Expr:
    return pl.when(_enough(f"{name}_confidence", least)).then(pl.col(name)).otherwise(None)


def _enough(column: str, least: float) -> pl.Expr:
    return pl.lit(value=True) if least == 0 else pl.col(column).fill_null(0.0) >= least
