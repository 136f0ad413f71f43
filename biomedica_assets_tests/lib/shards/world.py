"""A chunk whose images are verified and whose captions, mentions and articles are there: what shards are made of."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

from biomedica_assets.lib.images.limits import ImageLimits
from biomedica_assets.lib.images.verify import measure
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import ARTICLES, CAPTIONS, FIGURES, IMAGES, MENTIONS
from biomedica_assets_tests.lib.images.generated import encode, figure, publish, row_of, texture

CHUNK = "PMC000-0000"


class World:
    """Collects rows, then publishes them; each ``add`` is one figure with its images."""

    def __init__(self, root: Path) -> None:
        self.lake = Lake(root)
        self.images: list[dict] = []
        self.figures: list[dict] = []
        self.captions: list[dict] = []
        self.mentions: list[dict] = []
        self.articles: dict[str, dict] = {}

    def add(
        self,
        figure_id: str,
        contents: Sequence[bytes],
        *,
        names: Sequence[str] = (),
        article_id: str = "PMC7.1",
        caption: str | None = "A caption.",
        reading: str | None = None,
        group: str = "commercial",
        mentions: Sequence[str] = (),
        article: dict | None = None,
        **figure_values: object,
    ) -> None:
        code = {"commercial": "CC BY", "noncommercial": "CC BY-NC"}.get(group)
        self.articles.setdefault(
            article_id,
            row_of(
                ARTICLES,
                article_id=article_id,
                license_code="CC BY",
                license_group="commercial",
                license_url="https://creativecommons.org/licenses/by/4.0/",
                xml_md5="0" * 32,
                parser_version="jats-test",
            )
            | (article or {}),
        )
        self.figures.append(figure(figure_id, article_id, [], license_code=code, license_group=group, **figure_values))
        if caption is not None:
            self.captions.append(
                row_of(
                    CAPTIONS,
                    figure_id=figure_id,
                    article_id=article_id,
                    caption=caption,
                    caption_reading=reading or caption,
                    xml="<caption/>",
                )
            )
        for i, text in enumerate(mentions):
            self.mentions.append(
                row_of(
                    MENTIONS,
                    mention_id=f"{figure_id}-m{i}",
                    figure_id=figure_id,
                    article_id=article_id,
                    ordinal=i,
                    text=text,
                    spans=[{"start": 0, "end": 3}],
                    block="p",
                    place="body",
                )
            )
        for position, data in enumerate(contents):
            name = names[position] if names else f"{figure_id}-{position}"
            path = self.lake.root / "mirror" / article_id / hashlib.md5(name.encode()).hexdigest()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            measured = measure(data, ImageLimits())
            self.images.append(
                {
                    "media_id": f"{figure_id}-{position}",
                    "figure_id": figure_id,
                    "article_id": article_id,
                    "position": position,
                    "href": name,
                    "key": f"{article_id}/{name}",
                    "path": self.lake.path_below(path),
                    "match": "exact",
                    "license_code": code,
                    "license_group": group,
                    **{field: getattr(measured, field) for field in measured.__dataclass_fields__},
                }
            )

    def publish(self, order=lambda rows: rows) -> Lake:
        for table, rows in (
            (IMAGES, self.images),
            (FIGURES, self.figures),
            (CAPTIONS, self.captions),
            (MENTIONS, self.mentions),
            (ARTICLES, list(self.articles.values())),
        ):
            publish(self.lake, table, CHUNK, order(rows))
        return self.lake


def jpeg(seed: int, width: int = 40, height: int = 30) -> bytes:
    return encode(texture(width, height, seed=seed), "JPEG")


def shards_of(lake: Lake) -> list[Path]:
    return sorted((lake.root / "shards").glob("*/*.tar"))


def members(path: Path) -> dict[str, bytes]:
    """Members of a tar as Python's tarfile sees them, in order."""
    with tarfile.open(path) as archive:
        return {m.name: archive.extractfile(m).read() for m in archive}


def samples(paths: Sequence[Path]) -> dict[str, dict[str, bytes]]:
    """Members of tars by sample key and extension."""
    found: dict[str, dict[str, bytes]] = {}
    for path in paths:
        for name, data in members(path).items():
            key, extension = name.split(".")
            assert extension not in found.setdefault(key, {})
            found[key][extension] = data
    return found


def record(sample: dict[str, bytes]) -> dict:
    return json.loads(sample["json"])
