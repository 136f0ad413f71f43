"""The map: where the chosen images stand by their looks, a part of them where there are more than can be drawn.

Each image has a uniform number (``thin``); of too many in view those with the smallest are drawn. So what is drawn
stays while the view moves, and coming closer adds to it. What an area holds is counted and taken among all images.
"""

from __future__ import annotations

import threading
from typing import Any

import duckdb

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.explore.choice import Choice
from biomedica_assets.lib.explore.finding import Finder
from biomedica_assets.lib.explore.shown import first_of, rows_of

MOST_POINTS = 20_000
"""So many are drawn 40 times a second, measured in Chromium without a graphics card on two busy cores."""
COLORS = {
    "concept": 'coalesce("global"[1], local[1])',
    "license": "license_code",
    "panel": "panel_type",
}
"""What points are coloured by, as SQL over the index."""
_MOST_COLORS = 8
_STEPS = 65_535
"""Coordinates are whole numbers of so many steps across the view."""

View = tuple[float, float, float, float]
"""Left, bottom, right, top."""
WHOLE: View = (-1.02, -1.02, 1.02, 1.02)


class Map:
    """Points of what may be shown."""

    def __init__(self, finder: Finder) -> None:
        """Args: finder: over what may be shown."""
        self._finder, self._shown = finder, finder.shown
        self._lock = threading.Lock()
        self._colors: dict[tuple[str, int], list[str]] = {}

    def exists(self) -> bool:
        """Whether any image that may be shown has a place."""
        with self._shown.ask() as ask:
            return first_of(ask, "SELECT 1 FROM shown WHERE x IS NOT NULL LIMIT 1") is not None

    def points(self, choice: Choice, view: View, by: str) -> dict[str, Any]:
        """What is drawn in a view.

        Args:
            choice: what is asked for.
            view: the part of the map.
            by: one of ``COLORS``.

        Returns:
            ``total`` in the view; ``x``, ``y`` (0 to 65 535 across the view) and ``color`` (number of a value, that of
            ``values`` and no more for all others) of those that are drawn; ``values``, the commonest everywhere.

        Raises:
            PermanentFailure: the view has no width or height, or there is no such colour.
        """
        left, bottom, right, top = view
        if by not in COLORS:
            raise PermanentFailure(f"points are coloured by {', '.join(COLORS)}, not by {by[:40]!r}")
        if not (left < right and bottom < top):
            raise PermanentFailure(f"view = {view} has no width or no height")
        inside = f"x BETWEEN {left!r} AND {right!r} AND y BETWEEN {bottom!r} AND {top!r}"
        with self._shown.ask() as ask:
            values = self._values(ask, by)
            source = self._finder.selection(ask, choice)
            counted = first_of(ask, f"SELECT count(*) FROM {source} AND {inside}")  # noqa: S608 - checked numbers
            total = int(counted[0]) if counted else 0
            color = f"coalesce(list_position(?::VARCHAR[], {COLORS[by]}), {len(values) + 1}) - 1"
            drawn = rows_of(
                ask,
                f"SELECT round((x - {left!r}) / {right - left!r} * {_STEPS})::INTEGER AS x, "  # noqa: S608
                f"round((y - {bottom!r}) / {top - bottom!r} * {_STEPS})::INTEGER AS y, {color} AS color "
                f"FROM {source} AND {inside} AND thin < {MOST_POINTS / max(1, total)!r} ORDER BY thin",
                [values],
            )
        return {"total": total, "values": values} | {name: drawn[name].to_list() for name in ("x", "y", "color")}

    def at(self, choice: Choice, x: float, y: float, within: float) -> dict[str, Any] | None:
        """The image nearest to a place of the map.

        Args:
            choice: what is asked for.
            x: of the place.
            y: likewise.
            within: so far at most.

        Returns:
            Its row of the index, None if none is so near.
        """
        near = f"x BETWEEN {x - within!r} AND {x + within!r} AND y BETWEEN {y - within!r} AND {y + within!r}"
        distance = f"((x - {x!r}) ** 2 + (y - {y!r}) ** 2)"
        with self._shown.ask() as ask:
            found = rows_of(
                ask,
                "SELECT media_id, caption, label, license_code, year, journal, x, y "  # noqa: S608 - as above
                f"FROM {self._finder.selection(ask, choice)} AND {near} ORDER BY {distance}, media_id LIMIT 1",
            )
        return found.row(0, named=True) if found.height else None

    def place(self, media_id: str) -> tuple[float, float] | None:
        """Where an image that may be shown stands."""
        with self._shown.ask() as ask:
            found = first_of(ask, "SELECT x, y FROM shown WHERE media_id = ? AND x IS NOT NULL", [media_id])
        return (float(found[0]), float(found[1])) if found else None

    def _values(self, ask: duckdb.DuckDBPyConnection, by: str) -> list[str]:
        """The commonest values, which have a colour of their own: the same in every view."""
        key = (by, self._shown.version)
        with self._lock:
            if key not in self._colors:
                rows = rows_of(
                    ask,
                    f"SELECT {COLORS[by]} AS value FROM shown WHERE x IS NOT NULL AND value IS NOT NULL "  # noqa: S608
                    f"GROUP BY value ORDER BY count(*) DESC, value LIMIT {_MOST_COLORS}",
                )
                self._colors = {k: v for k, v in self._colors.items() if k[1] == self._shown.version}
                self._colors[key] = rows["value"].to_list()
            return self._colors[key]
