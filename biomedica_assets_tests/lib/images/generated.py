"""Images of every format and mode, made by code, and a small lake around them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from biomedica_assets.lib.errors import Reject, RejectReason
from biomedica_assets.lib.images.resolve import MediaObject
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import ARTICLE_INDEX, FIGURES, Table


def texture(width: int, height: int, channels: int = 3, seed: int = 0) -> Image.Image:
    """Smooth coloured noise: compresses like a photo, has no two equal corners."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 8 + 2, width // 8 + 2, channels), dtype=np.uint8)
    image = Image.fromarray(coarse if channels > 1 else coarse[:, :, 0])
    if channels == 4:
        image = Image.frombytes("CMYK", image.size, coarse.tobytes())
    return image.resize((width, height), Image.Resampling.BICUBIC)


def encode(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def sixteen_bit(width: int, height: int, seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 65_536, (height, width)).astype(np.uint16)
    return Image.fromarray(values)


def every_format() -> dict[str, bytes]:
    """One file per format, mode and way of packing that publishers use, named after what it is."""
    rgb, grey, cmyk = texture(64, 48), texture(64, 48, 1), texture(64, 48, 4)
    palette = rgb.convert("P", palette=Image.Palette.ADAPTIVE, colors=32)
    turned = Image.Exif()
    turned[0x0112] = 6
    rgba = rgb.copy()
    rgba.putalpha(grey)
    frames = [palette.rotate(angle) for angle in (90, 180)]
    return {
        "jpeg": encode(rgb, "JPEG"),
        "jpeg-progressive": encode(rgb, "JPEG", progressive=True),
        "jpeg-grey": encode(grey, "JPEG"),
        "jpeg-cmyk": encode(cmyk, "JPEG"),
        "jpeg-rgb": encode(rgb, "JPEG", keep_rgb=True),
        "jpeg-exif-turned": encode(rgb, "JPEG", exif=turned),
        "png": encode(rgb, "PNG"),
        "png-grey": encode(grey, "PNG"),
        "png-alpha": encode(rgba, "PNG"),
        "png-palette": encode(palette, "PNG"),
        "png-palette-transparent": encode(palette, "PNG", transparency=3),
        "png-bilevel": encode(grey.convert("1"), "PNG"),
        "png-16-bit": encode(sixteen_bit(64, 48), "PNG"),
        "gif": encode(palette, "GIF"),
        "gif-animated": encode(palette, "GIF", save_all=True, append_images=frames),
        "tiff": encode(rgb, "TIFF"),
        "tiff-lzw": encode(rgb, "TIFF", compression="tiff_lzw"),
        "tiff-deflate": encode(rgb, "TIFF", compression="tiff_adobe_deflate"),
        "tiff-cmyk": encode(cmyk, "TIFF"),
        "tiff-16-bit": encode(sixteen_bit(64, 48), "TIFF"),
        "tiff-float": encode(grey.convert("F"), "TIFF"),
        "tiff-pages": encode(rgb, "TIFF", save_all=True, append_images=[rgb.rotate(90), rgb.rotate(180)]),
        "webp": encode(rgb, "WEBP"),
        "webp-lossless": encode(rgb, "WEBP", lossless=True),
        "bmp": encode(rgb, "BMP"),
    }


class FakeMirror:
    """A source held in memory that counts what it is asked for; ``fetch`` obeys the contract of ``collect.Fetch``."""

    def __init__(self, lake: Lake, contents: dict[str, bytes]) -> None:
        self.lake, self.contents = lake, contents
        self.asked: list[str] = []

    def media(self, article_id: str) -> list[MediaObject]:
        return [
            MediaObject(article_id, key, hashlib.md5(data).hexdigest())
            for key, data in self.contents.items()
            if key.startswith(f"{article_id}/")
        ]

    def fetch(self, objects: Sequence[MediaObject]) -> Iterator[tuple[MediaObject, Path | Reject]]:
        for obj in objects:
            self.asked.append(obj.key)
            data = self.contents[obj.key]
            if data == b"FETCH FAILS":
                yield obj, Reject(obj.article_id, "mirror", RejectReason.FETCH_FAILED, "503 after 5 tries", obj.key)
                continue
            path = self.lake.root / "mirror" / obj.key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            yield obj, path


def row_of(table: Table, **values: object) -> dict[str, object]:
    """A row with the given values and, elsewhere, null or the emptiest value that is allowed."""
    empty = {pl.String: "", pl.Boolean: False, pl.List: []}
    blank = {c.name: None if c.nullable else empty.get(c.dtype.base_type(), 0) for c in table.columns}
    assert values.keys() <= blank.keys(), values.keys() - blank.keys()
    return blank | values


def figure(figure_id: str, article_id: str, hrefs: Sequence[str], kind: str = "figure", **more: object) -> dict:
    graphics = [{"href": h, "mime": None, "content_type": None, "xml_id": None, "renditions": []} for h in hrefs]
    common = {"element": "fig", "place": "body", "license_code": "CC BY", "license_group": "commercial"}
    return row_of(FIGURES, figure_id=figure_id, article_id=article_id, kind=kind, graphics=graphics, **(common | more))


def index_row(article_id: str, media: Sequence[MediaObject], **more: object) -> dict:
    named = [{"key": m.key, "md5": m.md5} for m in media]
    return row_of(ARTICLE_INDEX, article_id=article_id, license_group="commercial", media=named, **more)


def publish(lake: Lake, table: Table, chunk: str, rows: Sequence[dict]) -> None:
    """Put rows there as an upstream stage would."""
    frame = table.frame(list(rows))
    lake.publish(table, chunk, frame, code_version="test", inputs={}, config={}, n_in=frame.height, n_out=frame.height)
