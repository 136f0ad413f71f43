"""Contact sheets as pictures and pages: one WebP per cluster, one page with the captions beside, one index of all."""

from __future__ import annotations

import dataclasses
import io
import os
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from PIL import Image, ImageOps

from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.images.canonical import open_canonical
from biomedica_assets.lib.store import atomic

GAP = 2  # white pixels around a picture within its cell
QUALITY = 80
TEMPLATES = Path(__file__).parent / "templates"


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """One picture of a sheet: what it shows, why it was chosen, where it stands (pixels, from the top left)."""

    role: str
    media_id: str
    article_id: str
    caption: str | None
    path: str
    distance: float
    margin: float | None
    x: int
    y: int


@dataclasses.dataclass(frozen=True, slots=True)
class Sheet:
    """One cluster's sheet: file, size in pixels, side of a cell, cells in the order central, random, border."""

    cluster: int
    n_images: int
    path: Path
    size: tuple[int, int]
    side: int
    cells: tuple[Cell, ...]

    def of(self, role: str) -> list[Cell]:
        """The cells of a role."""
        return [cell for cell in self.cells if cell.role == role]

    def link(self, cell: Cell) -> str:
        """The full picture, as a link from the cluster's page: relative, so that the data directory can move."""
        return urllib.parse.quote(Path(os.path.relpath(cell.path, self.path.parent)).as_posix())


def draw_sheet(sheet: Sheet) -> None:
    """Write a sheet's WebP, unless it is there already (its folder is named by its content); runs in a worker.

    Raises:
        StoreError: a picture cannot be read or the sheet cannot be written.
    """
    if sheet.path.exists():
        return
    canvas = Image.new("RGB", sheet.size, "white")
    for cell in sheet.cells:
        picture = thumbnail(cell.path, sheet.side - 2 * GAP)
        left, top = (sheet.side - picture.width) // 2, (sheet.side - picture.height) // 2
        canvas.paste(picture, (cell.x + left, cell.y + top))
    atomic.write_bytes(sheet.path, _webp(canvas))


def thumbnail(path: str, side: int) -> Image.Image:
    """A picture that fits a square of ``side`` pixels, upright, on white.

    Raises:
        StoreError: the file is gone or cannot be decoded.
    """
    try:
        picture = open_canonical(path, at_least=side)
        picture.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
        # Small images fill their cell: an expert compares shapes, not file sizes.
        return ImageOps.contain(picture, (side, side), Image.Resampling.BICUBIC)
    except (OSError, ValueError, SyntaxError) as error:
        raise StoreError(f"{path} cannot be shown on a contact sheet ({error}); materialise images again") from error


def write_pages(folder: Path, sheets: Sequence[Sheet], card: Mapping[str, Any]) -> list[Path]:
    """Write the index and one page per cluster; returns their paths."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    index, page = environment.get_template("index.html"), environment.get_template("cluster.html")
    paths = [folder / "index.html"]
    atomic.write_bytes(paths[0], index.render(sheets=sheets, card=card).encode())
    for i, sheet in enumerate(sheets):
        path = sheet.path.with_suffix(".html")
        before = sheets[i - 1] if i else None
        after = sheets[i + 1] if i + 1 < len(sheets) else None
        atomic.write_bytes(path, page.render(sheet=sheet, before=before, after=after).encode())
        paths.append(path)
    return paths


def overview(sheets: Sequence[Sheet], rows: int = 8, columns: int = 8, side: int = 96) -> bytes:
    """A WebP with the central images of the largest clusters, one cluster per row."""
    largest = sorted(sheets, key=lambda sheet: (-sheet.n_images, sheet.cluster))[:rows]
    canvas = Image.new("RGB", (columns * side, len(largest) * side), "white")
    for row, sheet in enumerate(largest):
        with Image.open(sheet.path) as drawn:
            for column, cell in enumerate(sheet.of("central")[:columns]):
                box = (cell.x, cell.y, cell.x + sheet.side, cell.y + sheet.side)
                canvas.paste(
                    drawn.crop(box).resize((side, side), Image.Resampling.LANCZOS), (column * side, row * side)
                )
    return _webp(canvas)


def _webp(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=QUALITY, method=4)
    return buffer.getvalue()
