"""``biomedica panels FILE…``: one JSON line per picture; and the sub-captions of a figure as JSON.

Belongs here: the shapes that commands print.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TextIO

import orjson
from PIL import Image

from biomedica_assets.lib.panels.align import align
from biomedica_assets.lib.panels.find import find_panels
from biomedica_assets.lib.panels.subcaptions import subcaptions


def subcaptions_json(caption: str | None) -> list[dict[str, Any]]:
    """Sub-captions of a caption: labels, text for a reader, all spans, and those that are its own; [] if none."""
    return [
        {
            "labels": list(part.labels),
            "text": part.text(caption or ""),
            "spans": [list(span) for span in part.spans],
            "own": [list(span) for span in part.own],
        }
        for part in (subcaptions(caption) if caption else ())
    ]


def print_panels(
    paths: Iterable[Path], caption: str | None, read: Callable[[Path], Image.Image], out: TextIO, err: TextIO
) -> int:
    """Find the panels of pictures and print one JSON line each, in the order given.

    Args:
        paths: picture files.
        caption: caption of all of them, or None.
        read: opens a file as a canonical RGB picture; raises OSError or ValueError where it cannot be decoded.
        out: receives the lines.
        err: receives one line for people per file that was refused.

    Returns:
        0, or 1 if a file could not be read (its line holds ``"panels": null`` and the cause).
    """
    code = 0
    parts = subcaptions(caption) if caption else []
    for path in paths:
        try:
            picture = read(path)
        except (OSError, ValueError, SyntaxError) as error:
            code = 1
            print(f"{path}: cannot be read as a picture: {error}", file=err)
            line: dict[str, Any] = {"file": str(path), "panels": None, "error": str(error)}
            out.write(orjson.dumps(line).decode() + "\n")
            continue
        panels = find_panels(picture, caption)
        found = align(panels, parts)
        links = {link.panel: link for link in found.links}
        line = {
            "file": str(path),
            "width": picture.width,
            "height": picture.height,
            "panels": [
                {
                    "label": panel.label,
                    "box": list(panel.box),
                    "score": panel.score,
                    "method": panel.method,
                    **({"subcaptions": list(links[i].parts), "link_score": links[i].score} if i in links else {}),
                }
                for i, panel in enumerate(panels)
            ],
        }
        if parts:
            line["subcaptions"] = subcaptions_json(caption)
            line["left_over"] = {"panels": list(found.panels_left), "subcaptions": list(found.parts_left)}
        out.write(orjson.dumps(line).decode() + "\n")
    return code
