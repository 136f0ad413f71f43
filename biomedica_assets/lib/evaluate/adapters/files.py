"""Test images as files, for work that reads files: the search for near copies in the lake."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image

from biomedica_assets.lib.evaluate.index import image_digest
from biomedica_assets.lib.evaluate.task import Item, TaskSource
from biomedica_assets.lib.store import atomic


def image_files(source: TaskSource, folder: Path) -> Iterator[tuple[str, str, Path]]:
    """Task, item and file of every image of a task.

    Images that come out of a table or an array are written to ``folder`` under their digest: bytes as they are, pixels
    as PNG.
    """
    for item in source.read():
        if not isinstance(item, Item):
            continue
        path = item.image
        if not isinstance(path, Path):
            path = folder / f"{image_digest(item.image)}.{'bin' if isinstance(item.image, bytes) else 'png'}"
            if not path.exists():
                _write(path, item)
        yield source.task.name, item.item_id, path


def _write(path: Path, item: Item) -> None:
    if isinstance(item.image, bytes):
        atomic.write_bytes(path, item.image)
    elif isinstance(item.image, np.ndarray):
        with atomic.replacing(path) as temporary:
            PIL.Image.fromarray(item.image).save(temporary, "PNG")
