"""Pages of the grid, and the counts beside it.

Without words or a picture a page goes on after the key of the last image that was shown: the thousandth page costs what
the first does, since row groups before the key are passed over. With them, the best ``BEST`` are found once (by
``lib.select.search``, the condition inside), kept, and paged by rank.
"""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable
from typing import Any, cast

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.explore.choice import AXES, FACETS, MESH, Choice, axis_confidence, condition, text, within
from biomedica_assets.lib.explore.shown import Shown, first_of, rows_of
from biomedica_assets.lib.select.search.searching import Query, search
from biomedica_assets.lib.select.search.vectors import vector_of

BEST = 500
"""So many results of a search are shown."""
MOST_VALUES = 30
"""So many values of a facet are listed, those of most images."""
NAMED = ("journal", "mesh")
"""Facets whose values are looked for by their letters: there are thousands."""
_KEPT = 64
_TILE = "media_id, figure_id, article_id, caption, label, license_code, year, journal, width, height"


Describe = Callable[[str], NDArray[np.float32]]
"""Words to a vector of the space that the pictures' vectors are in; raises BiomedicaError with the reason."""


class Finder:
    """Pages and counts over what may be shown."""

    def __init__(self, shown: Shown, describe: Describe | None = None) -> None:
        """Args: shown: what may be shown; describe: makes the vector of words, None if no model can."""
        self.shown, self._describe = shown, describe
        self._lock = threading.Lock()
        self._rankings: collections.OrderedDict[tuple[object, ...], pl.DataFrame] = collections.OrderedDict()
        self._pictures: collections.OrderedDict[str, NDArray[np.float32]] = collections.OrderedDict()

    @property
    def describes(self) -> bool:
        """Whether pictures can be looked for by words for what they show."""
        return self._describe is not None

    def keep_picture(self, token: str, vector: NDArray[np.float32]) -> None:
        """Remember the vector of an uploaded picture; the last ``_KEPT`` are."""
        with self._lock:
            self._pictures[token] = vector
            while len(self._pictures) > _KEPT:
                self._pictures.popitem(last=False)

    def page(self, choice: Choice, after: str, most: int) -> dict[str, Any]:
        """The next images.

        Args:
            choice: what is asked for.
            after: key of the last image that was shown (its id, or its rank); empty begins.
            most: how many.

        Returns:
            ``items``, and ``next``, the key to go on after, or None.

        Raises:
            PermanentFailure: the search cannot be made; RecipeError if the condition is none.
        """
        with self.shown.ask() as ask:
            where = self._selected(ask, choice)
            key, ranks = "media_id", ""
            if choice.ranked:
                ranks, key = "JOIN ranked USING (media_id)", "rank"
                after = after or "0"
                if not after.isdecimal():
                    raise PermanentFailure(f"{after[:40]!r} is no rank")
            found = rows_of(
                ask,
                f"SELECT {_TILE}, {key} AS key FROM shown {ranks} "  # noqa: S608 - columns and a checked condition
                f"WHERE {where} AND {key} > ? ORDER BY {key} LIMIT {int(most) + 1}",
                [int(after) if choice.ranked else after],
            )
        rows = found.head(most).to_dicts()
        goes_on = found.height > most
        return {"items": rows, "next": str(rows[-1]["key"]) if goes_on else None}

    def counts(self, choice: Choice) -> dict[str, Any]:
        """How many there are, and by each value of each facet with the others' choices in force."""
        with self.shown.ask() as ask:
            total = _single(ask, f"SELECT count(*) FROM {self._from(ask, choice)}")  # noqa: S608
            facets = {facet: self._facet(ask, choice, facet, "") for facet in FACETS}
        said = [f"{chunk} cannot be shown: {why}" for chunk, why in sorted(self.shown.unreadable.items())]
        return {"total": total, "best": BEST if choice.ranked else None, "facets": facets, "notes": said}

    def values(self, choice: Choice, facet: str, part: str) -> list[dict[str, Any]]:
        """Values of a facet that hold some letters, those of most images first: for facets of too many to list.

        Args:
            choice: what is asked for; the facet's own choice is left out, as in ``counts``.
            facet: one of ``NAMED``.
            part: letters, upper and lower alike.

        Raises:
            PermanentFailure: the facet has no names to look for.
        """
        if facet not in NAMED:
            raise PermanentFailure(f"{facet[:40]!r} has no values to look for; there are {', '.join(NAMED)}")
        with self.shown.ask() as ask:
            return self._facet(ask, choice, facet, part)

    def total(self, choice: Choice) -> int:
        """How many there are."""
        with self.shown.ask() as ask:
            return _single(ask, f"SELECT count(*) FROM {self._from(ask, choice)}")  # noqa: S608

    def selection(self, ask: duckdb.DuckDBPyConnection, choice: Choice) -> str:
        """FROM and WHERE of what is chosen, over a connection of ``shown.ask``."""
        return self._from(ask, choice)

    def _from(self, ask: duckdb.DuckDBPyConnection, choice: Choice, without: str = "") -> str:
        where = self._selected(ask, choice, without)
        return f"shown {'JOIN ranked USING (media_id)' if choice.ranked else ''} WHERE {where}"

    def _facet(self, ask: duckdb.DuckDBPyConnection, choice: Choice, facet: str, part: str) -> list[dict[str, Any]]:
        source = self._from(ask, choice, facet)
        held = "contains(lower(value), lower(?))" if part else "true"
        given = [part] if part else []
        if facet == "recipe":
            rows = rows_of(
                ask,
                "SELECT recipe || '/' || split AS value, count(DISTINCT sample_key) AS n FROM recipe "  # noqa: S608
                f"WHERE sample_key IN (SELECT sample_key FROM {source}) GROUP BY ALL ORDER BY value",
            )
        elif facet == "copies":
            rows = rows_of(
                ask,
                "SELECT match AS value, count(DISTINCT media_id) AS n FROM duplicates "  # noqa: S608
                f"WHERE media_id IN (SELECT media_id FROM {source}) GROUP BY ALL ORDER BY value",
            )
        elif facet == "concept":
            least = f"AND {{}} >= {choice.confidence:g}" if choice.confidence else ""
            each = " UNION ALL ".join(
                f'SELECT unnest("{axis}") AS value FROM {source} {least.format(axis_confidence(axis))}'  # noqa: S608
                for axis in AXES
            )
            rows = rows_of(
                ask,
                f"SELECT value, count(*) AS n FROM ({each}) GROUP BY value ORDER BY n DESC, value LIMIT 200",  # noqa: S608
            )
        elif facet == "mesh":
            rows = rows_of(
                ask,
                f"SELECT value, count(*) AS n FROM (SELECT unnest(list_distinct({MESH})) AS value FROM {source}) "  # noqa: S608
                f"WHERE {held} GROUP BY value ORDER BY n DESC, value LIMIT {MOST_VALUES}",
                given,
            )
        else:
            column = {"license": "license_code", "panel": "panel_type"}.get(facet, facet)
            order = "value DESC" if facet == "year" else "n DESC, value"
            most = 200 if facet == "year" else MOST_VALUES
            rows = rows_of(
                ask,
                f"SELECT value, count(*) AS n FROM (SELECT {column} AS value FROM {source}) "  # noqa: S608
                f"WHERE value IS NOT NULL AND {held} GROUP BY value ORDER BY {order} LIMIT {most}",
                given,
            )
        return rows.to_dicts()

    def _selected(self, ask: duckdb.DuckDBPyConnection, choice: Choice, without: str = "") -> str:
        """WHERE of a choice; what it names (``ranked``) is made known to the connection."""
        if choice.ranked:
            _know(ask, "ranked", self._ranking(ask, choice))
        parts = ["sample_key IS NOT NULL", condition(choice, without=without) or "true"]
        if choice.area:
            parts.append(within(choice.area))
        if choice.copies and without != "copies":
            kinds = ", ".join(text(kind) for kind in choice.copies)
            parts.append(f"media_id IN (SELECT media_id FROM duplicates WHERE match IN ({kinds}))")  # noqa: S608
        if choice.recipes and without != "recipe":
            # The text of a recipe's name goes in as a value, never as SQL.
            wanted = pl.DataFrame({"name": list(choice.recipes)}, schema={"name": pl.String})
            _know(ask, "wanted_recipes", wanted)
            parts.append(
                "sample_key IN (SELECT sample_key FROM recipe JOIN wanted_recipes "
                "ON name = recipe OR name = recipe || '/' || split)"
            )
        return " AND ".join(f"({part})" for part in parts)

    def _ranking(self, ask: duckdb.DuckDBPyConnection, choice: Choice) -> pl.DataFrame:
        """``rank`` and ``media_id`` of the best images that may be shown."""
        where = condition(choice)
        key = (choice.words, choice.looks, choice.like, choice.picture, where, self.shown.version)
        with self._lock:
            if key in self._rankings:
                self._rankings.move_to_end(key)
                return self._rankings[key]
        vector = self._vector(ask, choice)
        found = search(self.shown.lake, Query(choice.words or None, vector, where or None, BEST))
        ranking = found.select(pl.col("rank").cast(pl.Int64), "media_id").filter(pl.col("media_id").is_not_null())
        with self._lock:
            self._rankings[key] = ranking
            while len(self._rankings) > _KEPT:
                self._rankings.popitem(last=False)
        return ranking

    def _vector(self, ask: duckdb.DuckDBPyConnection, choice: Choice) -> NDArray[np.float32] | None:
        if sum(map(bool, (choice.like, choice.picture, choice.looks))) > 1:
            raise PermanentFailure("like, picture and looks each say what pictures shall look like; give one of them")
        if choice.looks:
            if self._describe is None:
                raise PermanentFailure(
                    "pictures are compared with words only where their vectors are those of a CLIP model "
                    "(encoder = open_clip/...)"
                )
            return self._describe(choice.looks)
        if choice.like:
            # Neighbours of a picture tell of it: of one that may not be shown, nothing is told.
            row = first_of(ask, "SELECT media_id FROM shown WHERE media_id = ?", [choice.like])
            if row is None:
                raise PermanentFailure(f"there is no image {choice.like[:80]!r} that may be shown")
            return vector_of(self.shown.lake, row[0])
        if choice.picture:
            with self._lock:
                vector = self._pictures.get(choice.picture)
            if vector is None:
                raise PermanentFailure("the picture is no longer known here; give it again")
            return vector
        return None


def _know(ask: duckdb.DuckDBPyConnection, name: str, rows: pl.DataFrame) -> None:
    """Make rows a view of a connection."""
    ask.register(name, cast("object", rows.to_arrow()))


def _single(ask: duckdb.DuckDBPyConnection, query: str) -> int:
    row = first_of(ask, query)
    return int(row[0]) if row else 0
