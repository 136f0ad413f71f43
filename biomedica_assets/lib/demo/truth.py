"""What is true of a demo mirror: written beside it, never read by the pipeline, used to score what the pipeline found.

Belongs here: the records and their file. How the lake is compared with them: ``demo.score``.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from biomedica_assets.lib.errors import PermanentFailure, RejectReason
from biomedica_assets.lib.store import atomic

FORMAT = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Panel:
    """One picture of a figure: its visual kind and its attributes."""

    kind: str
    attributes: Mapping[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class TruthImage:
    """One image file of a figure.

    Attributes:
        key: key in the bucket.
        kind: visual kind (``draw.KINDS``); ``mixed`` for a compound figure of several kinds.
        panels: its pictures in reading order, one for a simple figure.
        duplicate_of: key of the image it repeats, None for an original.
        change: how it differs from that one: exact, resized, recompressed, cropped; None for an original.
    """

    key: str
    kind: str
    panels: tuple[Panel, ...]
    duplicate_of: str | None = None
    change: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class TruthGraphic:
    """One graphic of a figure: href as written, key it should be matched with, or the reason why there is none."""

    href: str
    key: str | None
    reject: RejectReason | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class TruthFigure:
    """One ``fig`` element, or another element with an image (``element`` tells); fields as in the figures table."""

    element: str
    kind: str
    xml_id: str | None
    label: str | None
    caption: str | None
    graphics: tuple[TruthGraphic, ...]
    license_code: str | None = None
    inherited: bool = False
    parent: int | None = None
    group_caption: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class TruthMention:
    """One figure cited in one block: position of the figure in ``TruthArticle.figures``, text of the block."""

    figure: int
    text: str
    inferred: bool


@dataclasses.dataclass(frozen=True, slots=True)
class TruthArticle:
    """One article version.

    Attributes:
        article_id: ``PMC123.1``.
        listed: whether its metadata can be read, so that it is in the article index at all.
        selected: whether the default selection takes it.
        left_out_because: as in the article index; None if selected.
        parsed: whether its XML reaches the parser and is well-formed.
        constructs: names of the JATS constructs in it.
        metadata: expected columns of the articles table, by name.
        figures: every ``fig`` in document order.
        others: images that are no ``fig``, in document order.
        mentions: in no particular order.
    """

    article_id: str
    listed: bool
    selected: bool
    left_out_because: str | None
    parsed: bool
    constructs: tuple[str, ...]
    metadata: Mapping[str, Any]
    figures: tuple[TruthFigure, ...]
    others: tuple[TruthFigure, ...]
    mentions: tuple[TruthMention, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class TruthReject:
    """One item that has to be refused. ``subject`` is the key or href concerned."""

    article_id: str
    stage: str
    reason: RejectReason
    subject: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Truth:
    """Everything that is true of a mirror."""

    seed: int
    articles: tuple[TruthArticle, ...]
    images: tuple[TruthImage, ...]
    rejects: tuple[TruthReject, ...]

    def article(self, article_id: str) -> TruthArticle:
        """One article version.

        Raises:
            KeyError: the mirror has no such article version.
        """
        return next(a for a in self.articles if a.article_id == article_id)

    def by_key(self) -> dict[str, TruthImage]:
        """Every image by its key in the bucket."""
        return {image.key: image for image in self.images}

    def kinds(self) -> dict[str, str]:
        """Visual kind of every image by its key: join on ``images.key`` of the lake."""
        return {image.key: image.kind for image in self.images}

    def kind_of(self, article_id: str, name: str) -> str | None:
        """Visual kind of one image.

        Args:
            article_id: ``PMC123.1``.
            name: key of the object in the bucket, or the href as the XML has it.

        Returns:
            Key of ``draw.KINDS`` or ``mixed``; None if no image that can be had answers to the name.
        """
        kinds = self.kinds()
        if name in kinds:
            return kinds[name]
        article = self.article(article_id)
        for figure in (*article.figures, *article.others):
            for graphic in figure.graphics:
                if graphic.href == name and graphic.key is not None:
                    return kinds.get(graphic.key)
        return None

    def duplicate_groups(self) -> list[tuple[str, ...]]:
        """Keys of images that show the same, originals first, sorted by the original."""
        groups: dict[str, list[str]] = {}
        for image in self.images:
            if image.duplicate_of is not None:
                groups.setdefault(image.duplicate_of, [image.duplicate_of]).append(image.key)
        return [tuple(groups[key]) for key in sorted(groups)]


def write_truth(path: Path, truth: Truth) -> None:
    """Write the truth as one JSON file."""
    body = {"format": FORMAT, **dataclasses.asdict(truth)}
    atomic.write_bytes(path, (json.dumps(body, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode())


def load_truth(path: Path) -> Truth:
    """Read a truth file.

    Raises:
        PermanentFailure: it is missing, damaged, or of another format.
    """
    try:
        raw: dict[str, Any] = json.loads(path.read_bytes())
        if raw.get("format") != FORMAT:
            raise ValueError(f"format {raw.get('format')}, expected {FORMAT}")
        return Truth(
            seed=raw["seed"],
            articles=tuple(_article(a) for a in raw["articles"]),
            images=tuple(_image(i) for i in raw["images"]),
            rejects=tuple(_reject(r) for r in raw["rejects"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise PermanentFailure(
            f"{path} is not the truth of a demo mirror ({error}); generate the demo again"
        ) from error


def _article(raw: dict[str, Any]) -> TruthArticle:
    raw["constructs"] = tuple(raw["constructs"])
    raw["figures"] = tuple(_figure(f) for f in raw["figures"])
    raw["others"] = tuple(_figure(f) for f in raw["others"])
    raw["mentions"] = tuple(TruthMention(**m) for m in raw["mentions"])
    return TruthArticle(**raw)


def _figure(raw: dict[str, Any]) -> TruthFigure:
    for graphic in raw["graphics"]:
        graphic["reject"] = RejectReason(graphic["reject"]) if graphic["reject"] else None
    raw["graphics"] = tuple(TruthGraphic(**graphic) for graphic in raw["graphics"])
    return TruthFigure(**raw)


def _image(raw: dict[str, Any]) -> TruthImage:
    raw["panels"] = tuple(Panel(**panel) for panel in raw["panels"])
    return TruthImage(**raw)


def _reject(raw: dict[str, Any]) -> TruthReject:
    raw["reason"] = RejectReason(raw["reason"])
    return TruthReject(**raw)
