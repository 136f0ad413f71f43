"""How the pictures of a chunk look, frame by frame: fills ``image_views``, from which altered copies are proposed.

A picture is looked at once, where it lies with its chunk; what is compared with millions of others is what was noted
of it. Unchanged pictures keep their earlier row.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from biomedica_assets.lib.compute import Engine, results
from biomedica_assets.lib.errors import Reject, RejectReason
from biomedica_assets.lib.images.canonical import VERSION as CANONICAL
from biomedica_assets.lib.images.canonical import open_canonical
from biomedica_assets.lib.progress import SILENT, Progress, track
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.select.copies import Described
from biomedica_assets.lib.select.frames import Box, Splitting, frames_of, within_borders
from biomedica_assets.lib.select.views import LENGTH, Grey, corpus_views, describe
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import IMAGE_VIEWS, IMAGES

VERSION = f"1.{CANONICAL}"
SIDE = 512
"""Pixels of the longer side at which pictures of the corpus are looked at: a third of it is still 170."""
_BATCH, _KEPT = 32, 256

Row = dict[str, object]
Batch = tuple[str, tuple[str, ...], Splitting]


def looked_at(source: Path | bytes) -> Image.Image:
    """The canonical picture, at most ``SIDE`` pixels long; frames are in its pixels.

    Raises:
        OSError, ValueError, SyntaxError, Image.DecompressionBombError: as ``open_canonical``.
    """
    return reduced(open_canonical(source, at_least=SIDE), SIDE)


def reduced(picture: Image.Image, side: int) -> Image.Image:
    """A picture with its longer side at most ``side``; itself if it is that already."""
    scale = max(picture.size) / side
    if scale <= 1:
        return picture
    size = max(1, round(picture.width / scale)), max(1, round(picture.height / scale))
    return picture.resize(size, Image.Resampling.BOX)


def grey_of(picture: Image.Image) -> Grey:
    """Its grey values, uint8."""
    return np.asarray(picture.convert("L"))


@functools.lru_cache(_KEPT)
def grey_file(path: Path) -> Grey:
    """Grey values of the picture in a file, as it was looked at.

    Raises:
        OSError, ValueError, SyntaxError, Image.DecompressionBombError: as ``open_canonical``.
    """
    return grey_of(looked_at(path))


def look(source: Path | bytes, split: Splitting) -> Row:
    """What ``image_views`` says of one picture, but for its names.

    Args:
        source: the file or its bytes.
        split: finds its panels.

    Raises:
        OSError, ValueError, SyntaxError, Image.DecompressionBombError: as ``open_canonical``.
    """
    picture = looked_at(source)
    grey, frames = grey_of(picture), frames_of(picture, split)
    own = frames[: sum(box in frames for box in within_borders(grey))]
    views = corpus_views(frames, len(own))
    return {
        "frames": [round(edge) for frame in frames for edge in frame],
        "n_own": len(own),
        "descriptions": describe(grey, views).tobytes(),
    }


def described(frames: Sequence[int], n_own: int, descriptions: bytes) -> Described:
    """What a row of ``image_views`` says."""
    boxes: list[Box] = [
        (float(frames[i]), float(frames[i + 1]), float(frames[i + 2]), float(frames[i + 3]))
        for i in range(0, len(frames), 4)
    ]
    return Described(corpus_views(boxes, n_own), np.frombuffer(descriptions, np.uint8).reshape(-1, LENGTH))


def look_at_batch(batch: Batch) -> list[Row | str]:
    """What each picture looks like, or what is wrong with its file. Module level, so that a worker can run it."""
    root, paths, split = batch
    found: list[Row | str] = []
    for path in paths:
        try:
            found.append(look(Path(root) / path, split))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            found.append(f"{path} cannot be decoded: {error}")
    return found


def build_image_views(
    lake: Lake, chunk: str, split: Splitting, *, engine: Engine | None = None, progress: Progress = SILENT
) -> Report:
    """Stage of the asset ``image_views``: what the pictures of a chunk look like.

    Args:
        lake: reads ``images`` of the chunk.
        chunk: partition key.
        split: finds the panels of a picture; a function of a module, so that a worker can run it.
        engine: where pictures are looked at; None does it here.
        progress: told of each picture.
    """
    began = time.perf_counter()
    inputs = lake.inputs((IMAGES, chunk))
    wanted = lake.read(IMAGES, chunk).select("media_id", "article_id", "path", "sha256").sort("media_id")
    earlier = lake.intact(IMAGE_VIEWS, chunk)
    old = lake.read(IMAGE_VIEWS, chunk) if earlier and earlier.code_version == VERSION else IMAGE_VIEWS.empty()
    kept = old.join(wanted.select("media_id", "sha256"), on=["media_id", "sha256"], how="semi")
    todo = wanted.join(kept.select("media_id"), on="media_id", how="anti", maintain_order="left")
    rows: list[Row] = []
    rejects: list[Reject] = []
    names = todo.select("media_id", "article_id", "sha256").iter_rows()
    looks = _looks(lake.root, todo["path"].to_list(), split, engine)
    seen = track(looks, progress, "look at pictures", todo.height, "images")
    for (media_id, article_id, sha256), found in zip(names, seen, strict=True):
        if isinstance(found, str):
            rejects.append(Reject(article_id, IMAGE_VIEWS.name, RejectReason.IMAGE_UNDECODABLE, found, media_id))
        else:
            rows.append({"media_id": media_id, "sha256": sha256, **found})
    frame = pl.concat([kept, IMAGE_VIEWS.frame(rows)]).sort("media_id")
    metrics = {"views": int(frame["descriptions"].bin.size().sum()) // LENGTH, "reused": kept.height}
    manifest = lake.publish(
        IMAGE_VIEWS,
        chunk,
        frame,
        code_version=VERSION,
        inputs=inputs,
        config={},
        rejects=rejects,
        n_in=wanted.height,
        n_out=frame.height,
        metrics=metrics,
    )
    return Report(
        asset=IMAGE_VIEWS.name,
        partition=chunk,
        data_version=manifest.data_version,
        rows=frame.height,
        n_in=wanted.height,
        n_out=frame.height,
        rejects=manifest.rejects,
        bytes_written=manifest.bytes,
        seconds=time.perf_counter() - began,
        metrics=metrics,
        preview=tuple(frame.select("media_id", "n_own", "frames").head(8).iter_rows(named=True)),
    )


def _looks(root: Path, paths: Sequence[str], split: Splitting, engine: Engine | None) -> Iterator[Row | str]:
    batches = ((str(root), tuple(paths[i : i + _BATCH]), split) for i in range(0, len(paths), _BATCH))
    for found in results(engine, look_at_batch, batches):
        yield from found
