"""Which part of the caption belongs to which panel of the picture.

Belongs here: the link between ``find`` and ``subcaptions``, with a score, and what is left over on both sides. A link
is made by equal labels, or by order where there are no letters and the counts agree, with half the trust. Nothing is
guessed beyond that: a panel without a sub-caption and a sub-caption without a panel are reported as such.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from biomedica_assets.lib.panels.find import Panel
from biomedica_assets.lib.panels.subcaptions import Subcaption

BY_LABEL, BY_ORDER = "label", "order"


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """A panel and the sub-captions that speak of it.

    Attributes:
        panel: place in the list of panels.
        parts: places in the list of sub-captions, in the order of the caption.
        score: 0..1, the panel's own score, halved where only the order links them.
        method: "label" or "order".
    """

    panel: int
    parts: tuple[int, ...]
    score: float
    method: str


@dataclasses.dataclass(frozen=True, slots=True)
class Alignment:
    """Links and leftovers: places of panels and of sub-captions that nothing was linked to."""

    links: tuple[Link, ...]
    panels_left: tuple[int, ...]
    parts_left: tuple[int, ...]


def align(panels: Sequence[Panel], parts: Sequence[Subcaption]) -> Alignment:
    """Link panels and sub-captions; see ``align_named``."""
    return align_named(panels, [part.labels for part in parts])


def align_named(panels: Sequence[Panel], told: Sequence[Sequence[str]], *, by_order: bool = True) -> Alignment:
    """Link panels and sub-captions of which the labels are known.

    Args:
        panels: panels of one picture, as found.
        told: labels of each sub-caption of its caption.
        by_order: whether equal numbers may link them where there are no letters; not if the caption is of several
            pictures.

    Returns:
        Every panel and every sub-caption is in a link or among the leftovers, exactly once on the side of panels.
    """
    links: list[Link] = []
    if any(panel.label for panel in panels):
        for i, panel in enumerate(panels):
            mine = tuple(j for j, labels in enumerate(told) if panel.label and _speaks(labels, panel.label))
            if mine:
                links.append(Link(i, mine, panel.score, BY_LABEL))
    elif by_order and 1 < len(panels) == len(told) and all(len(labels) == 1 for labels in told):
        links = [Link(i, (i,), round(panel.score / 2, 3), BY_ORDER) for i, panel in enumerate(panels)]
    linked, spoken = {link.panel for link in links}, {j for link in links for j in link.parts}
    return Alignment(
        tuple(links),
        tuple(i for i in range(len(panels)) if i not in linked),
        tuple(j for j in range(len(told)) if j not in spoken),
    )


def _speaks(labels: Sequence[str], label: str) -> bool:
    """Whether a sub-caption is of the panel ``label``; "Ai" and "A2" are parts of panel A."""
    return any(name == label or (len(name) > 1 and name[0] == label) for name in labels) or any(
        len(name) == 1 and name.casefold() == label.casefold() for name in labels
    )
