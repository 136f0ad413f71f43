"""Small lakes with an ``images`` table and the JPEG files it names, for tests of embeddings and clusters."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image, ImageDraw

from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import CAPTIONS, IMAGES

KINDS = ("chart", "stain", "scan")


def draw(kind: str, seed: int, size: tuple[int, int] = (90, 60)) -> bytes:
    """A JPEG of one of three kinds that even colour tells apart, different for every seed."""
    rng = np.random.default_rng(seed)
    width, height = size
    if kind == "chart":
        image = Image.new("RGB", size, "white")
        points = [(x, int(y)) for x, y in zip(range(0, width, 6), rng.integers(4, height - 4, width), strict=False)]
        ImageDraw.Draw(image).line(points, fill=(20, 40, 160), width=2)
    elif kind == "stain":
        noise = rng.integers(-30, 30, (height, width, 3)) + np.array([200, 110, 170])
        image = Image.fromarray(noise.clip(0, 255).astype(np.uint8))
    else:
        y, x = np.mgrid[:height, :width]
        disc = 220 * np.exp(-(((x - width / 2) / 22) ** 2 + ((y - height / 2) / 18) ** 2))
        image = Image.fromarray((disc + rng.integers(0, 25, disc.shape)).clip(0, 255).astype(np.uint8))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def fill(lake: Lake, chunk: str, files: dict[str, bytes], *, captions: bool = True) -> None:
    """Publish ``images`` (and ``captions``) of a chunk whose media ids are the keys of ``files``."""
    rows = []
    for media_id, data in files.items():
        path = lake.root / "mirror" / chunk / f"{media_id}.jpg"
        atomic.write_bytes(path, data)
        rows.append(
            {
                "media_id": media_id,
                "figure_id": f"f-{media_id}",
                "article_id": f"PMC{int(chunk[3:6]) * 1_000_000 + 1}.1",
                "position": 0,
                "href": media_id,
                "key": media_id,
                "path": lake.path_below(path),
                "match": "exact",
                "format": "jpeg",
                "width": 90,
                "height": 60,
                "mode": "RGB",
                "n_frames": 1,
                "bytes": len(data),
                "md5": hashlib.md5(data).hexdigest(),
                "sha256": hashlib.sha256(data).hexdigest(),
                "pixel_hash": hashlib.sha256(data).hexdigest()[:32],
                "phash": 0,
                "license_group": "commercial",
            }
        )
    frame = pl.DataFrame(rows, schema=IMAGES.schema)
    publish(lake, IMAGES, chunk, frame)
    if captions:
        text = frame.select(
            "figure_id",
            "article_id",
            pl.format("Caption of <{}> & more", "media_id").alias("caption"),
            pl.format("Caption of <{}> & more", "media_id").alias("caption_reading"),
            pl.lit(None, pl.String).alias("title"),
            pl.lit("<caption/>").alias("xml"),
            pl.lit(False).alias("inherited"),
            pl.lit("caption").alias("source"),
            pl.lit("en").alias("language"),
            pl.lit(9, pl.Int32).alias("n_chars"),
        )
        publish(lake, CAPTIONS, chunk, text)


def publish(lake: Lake, table, chunk: str | None, frame: pl.DataFrame) -> None:
    """Publish a frame as a partition without history."""
    n = frame.height
    lake.publish(table, chunk, frame, code_version="test", inputs={}, config={}, n_in=n, n_out=n)


def kinds(n: int, *, first: int = 0, prefix: str = "m") -> dict[str, bytes]:
    """``n`` images, the kinds in turn, under ids that sort in their order and begin with kind and number."""
    return {f"{prefix}{i:03d}-{KINDS[i % 3]}": draw(KINDS[i % 3], i) for i in range(first, first + n)}


def lake_of(root: Path, n: int = 30, chunks: tuple[str, ...] = ("PMC001-0000", "PMC001-0020")) -> Lake:
    """A lake with ``n`` images spread over chunks."""
    lake = Lake(root)
    share = n // len(chunks)
    for i, chunk in enumerate(chunks):
        fill(lake, chunk, kinds(share, first=i * share))
    return lake
