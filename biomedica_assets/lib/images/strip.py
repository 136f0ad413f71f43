"""The contact strip: a few images of a partition side by side, for people who would rather look than read."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from biomedica_assets.lib.images import canonical
from biomedica_assets.lib.report import Picture

CELL, GAP, COLUMNS = 160, 6, 6


def sample(media_ids: Iterable[str], n: int, seed: int) -> list[str]:
    """``n`` ids drawn by hash of seed and id: independent of their order, and stable when others come or go."""
    return sorted(media_ids, key=lambda m: hashlib.sha256(f"{seed}:{m}".encode()).digest())[:n]


def draw(title: str, paths: Sequence[Path]) -> Picture:
    """Up to six images a row, each fitted into its cell on white, as one WebP."""
    columns, rows = min(COLUMNS, len(paths)), -(-len(paths) // COLUMNS)
    step = CELL + GAP
    sheet = Image.new("RGB", (columns * step + GAP, rows * step + GAP), (236, 236, 236))
    for i, path in enumerate(paths):
        cell = Image.new("RGB", (CELL, CELL), (255, 255, 255))
        small = _thumbnail(path)
        cell.paste(small, ((CELL - small.width) // 2, (CELL - small.height) // 2))
        sheet.paste(cell, (GAP + i % COLUMNS * step, GAP + i // COLUMNS * step))
    buffer = io.BytesIO()
    sheet.save(buffer, "WEBP", quality=80)
    return Picture(title, buffer.getvalue(), "image/webp")


def _thumbnail(path: Path) -> Image.Image:
    """A verified image, small; JPEG is decoded at a fraction of its size, which is enough to look at."""
    small = canonical.open_canonical(path, at_least=CELL)
    small.thumbnail((CELL, CELL), Image.Resampling.LANCZOS)
    return small
