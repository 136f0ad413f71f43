"""The panels of one picture with the words that speak of each, for the page of a figure."""

from __future__ import annotations

from typing import Any

import polars as pl

from biomedica_assets.lib.explore.details import Unknown
from biomedica_assets.lib.explore.shown import Shown, first_of
from biomedica_assets.lib.tables import PANEL_BOXES, SUBCAPTIONS, Table


def panels(shown: Shown, media_id: str) -> dict[str, Any]:
    """Where the panels of an image lie and what its caption says of each.

    Args:
        shown: what may be shown.
        media_id: of the image.

    Returns:
        ``width`` and ``height`` of the picture, ``panels`` (``number`` from 1, ``label``, ``x``, ``y``, ``width``,
        ``height`` in its pixels, ``score``, ``method``, ``link_score``, ``link_method``, ``says``: labels and text of
        each sub-caption), and ``left`` (sub-captions that no panel of the figure was found for). Without panels where
        none were looked for.

    Raises:
        Unknown: there is none of that id that may be shown; no answer tells which of both it is.
    """
    with shown.ask() as ask:
        row = first_of(ask, "SELECT chunk, figure_id, width, height FROM shown WHERE media_id = ?", [media_id])
    if row is None:
        raise Unknown("There is no such picture that may be shown.")
    chunk, figure_id, width, height = row
    told = {part["part"]: part for part in _rows(shown, SUBCAPTIONS, chunk, figure_id)}
    boxes = _rows(shown, PANEL_BOXES, chunk, figure_id)
    mine = sorted((box for box in boxes if box["media_id"] == media_id), key=lambda box: box["panel"])
    spoken = {part for box in boxes for part in box["parts"] or ()}
    return {
        "width": width,
        "height": height,
        "panels": [_panel(box, told) for box in mine],
        "left": [_said(part) for number, part in sorted(told.items()) if boxes and number not in spoken],
    }


def _panel(box: dict[str, Any], told: dict[int, dict[str, Any]]) -> dict[str, Any]:
    return {
        "number": box["panel"] + 1,
        "label": box["label"],
        "x": box["x0"],
        "y": box["y0"],
        "width": box["x1"] - box["x0"],
        "height": box["y1"] - box["y0"],
        **{name: box[name] for name in ("score", "method", "link_score", "link_method")},
        "says": [_said(told[part]) for part in box["parts"] or () if part in told],
    }


def _said(part: dict[str, Any]) -> dict[str, Any]:
    return {"labels": part["labels"], "text": part["text"]}


def _rows(shown: Shown, table: Table, chunk: str, figure_id: str) -> list[dict[str, Any]]:
    if shown.lake.manifest(table, chunk) is None:
        return []
    return shown.lake.read_lazy(table, chunk).filter(pl.col("figure_id") == figure_id).collect().to_dicts()
