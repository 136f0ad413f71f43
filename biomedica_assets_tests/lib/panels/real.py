"""Real figures checked by hand, with pictures and captions, and captions without: the two JSON files say how."""

import dataclasses
import functools
import hashlib
import json
from pathlib import Path
from typing import Any

from PIL import Image

from biomedica_assets.lib.images.canonical import open_canonical
from biomedica_assets.lib.jats.article import parse_articles

MIRROR = Path(__file__).resolve().parents[4] / "shared" / "corpus" / "mirror"
FIGURES = Path(__file__).with_name("real_figures.json")
CAPTIONS = Path(__file__).with_name("real_captions.json")

Box = tuple[int, int, int, int]


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure and the truth about it.

    Attributes:
        key: article and file.
        fold: dev or test.
        kind: single, multiple or unclear.
        panels: label and box of each panel.
        parts: labels and own spans of each sub-caption.
        foreign: its caption is another figure's.
    """

    key: str
    figure_id: str | None
    fold: str
    kind: str
    panels: tuple[tuple[str | None, Box], ...]
    parts: tuple[tuple[tuple[str, ...], tuple[tuple[int, int], ...]], ...]
    caption_digest: str | None
    foreign: bool

    @property
    def boxes(self) -> list[Box]:
        return [box for _, box in self.panels]

    @property
    def caption(self) -> str | None:
        """As the article prints it; checked against the digest that the spans were made with."""
        if self.figure_id is None:
            return None
        return _checked(self.key.split("/")[0], self.figure_id, self.caption_digest)

    def picture(self) -> Image.Image:
        return open_canonical(MIRROR / self.key).convert("RGB")


@dataclasses.dataclass(frozen=True)
class Caption:
    """A caption of an article without pictures, and the labels and own spans of its sub-captions."""

    article: str
    figure_id: str
    parts: tuple[tuple[tuple[str, ...], tuple[tuple[int, int], ...]], ...]
    caption_digest: str

    @property
    def caption(self) -> str:
        """As the article prints it; checked against the digest that the spans were made with."""
        return _checked(self.article, self.figure_id, self.caption_digest) or ""


def other_captions() -> list[Caption]:
    """Captions of articles without pictures."""
    found = json.loads(CAPTIONS.read_text(encoding="utf-8"))["captions"]
    return [Caption(one["article"], one["figure_id"], _parts(one), one["caption_sha256"]) for one in found]


def _checked(article: str, figure_id: str, known: str | None) -> str | None:
    found = captions(article)[figure_id]
    if found is not None and digest(found) != known:
        raise ValueError(f"the caption of {figure_id} is read otherwise than when its spans were checked")
    return found


def _parts(one: dict[str, Any]) -> tuple[tuple[tuple[str, ...], tuple[tuple[int, int], ...]], ...]:
    return tuple((tuple(p["labels"]), tuple((a, b) for a, b in p["spans"])) for p in one["subcaptions"])


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@functools.cache
def captions(article: str) -> dict[str, str | None]:
    """Caption of each figure in the file of an article, by its id."""
    (path,) = (MIRROR / article).glob("*.xml")
    parsed, _ = parse_articles(path.read_bytes(), named=article)
    figures = (figure for one in parsed for figure in one.figures)
    return {figure.figure_id: figure.caption.text if figure.caption else None for figure in figures}


def figures(fold: str | None = None) -> list[Figure]:
    """All figures, or those of one fold, in the order of their keys."""
    found = [_figure(one) for one in json.loads(FIGURES.read_text(encoding="utf-8"))["figures"]]
    return [figure for figure in found if fold in {None, figure.fold}]


def _figure(one: dict[str, Any]) -> Figure:
    return Figure(
        one["key"],
        one["figure_id"],
        one["fold"],
        one["kind"],
        tuple((panel["label"], tuple(panel["box"])) for panel in one["panels"]),
        _parts(one),
        one["caption_sha256"],
        one.get("foreign_caption", False),
    )
