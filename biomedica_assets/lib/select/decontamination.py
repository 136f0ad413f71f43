"""Which images of the lake evaluation tasks use, so that no model is tested on what it was trained on.

Equal bytes and equal pixels match as they are. Copies that were altered (saved anew, resized, framed, cut, turned,
mirrored, lettered, made a panel of a figure) are proposed by how they look and confirmed by their pixels (``copies``).
"""

from __future__ import annotations

import dataclasses
import io
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from biomedica_assets.lib.compute import Engine
from biomedica_assets.lib.errors import BiomedicaError, Reject, RejectReason
from biomedica_assets.lib.images.canonical import VERSION as CANONICAL
from biomedica_assets.lib.images.canonical import open_canonical
from biomedica_assets.lib.progress import SILENT, Progress, track
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.select import altered, looks, views
from biomedica_assets.lib.select.agreement import CopyRules
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import EVALUATION_MATCHES, IMAGE_FINGERPRINTS

VERSION = f"2.{CANONICAL}"

TestImage = Path | bytes | NDArray[np.uint8]
"""A file, encoded bytes, or pixels (height x width or height x width x 3)."""


class Fingerprint(Protocol):
    """What is measured of an image file, as in the table ``images``; ``lib.images.verify.Measurement`` is one."""

    @property
    def sha256(self) -> str:
        """Digest of the file."""
        ...

    @property
    def pixel_hash(self) -> str:
        """Digest of the pixels."""
        ...


def look_at_test_images(
    images: Iterable[tuple[str, str, TestImage] | Reject],
    measure: Callable[[bytes], Fingerprint],
    *,
    progress: Progress = SILENT,
) -> tuple[pl.DataFrame, list[Reject]]:
    """Digests of test images, and what they look like.

    Args:
        images: task, item and picture of each; test sets that cannot be read as rejects, which are passed on.
        measure: the function that measured the images of the lake; may raise ``BiomedicaError``.
        progress: told of each image.

    Returns:
        A frame in ``altered.TESTS``, and a reject for each image that cannot be read or measured.
    """
    rows: list[dict[str, object]] = []
    rejects: list[Reject] = []
    for each in track(images, progress, "look at test images", None, "images"):
        if isinstance(each, Reject):
            rejects.append(each)
            continue
        task, item, given = each
        try:
            data = _encoded(given)
            digests = measure(data)
            grey = looks.grey_of(looks.reduced(open_canonical(data), altered.TEST_SIDE))
        except (OSError, BiomedicaError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            message = f"image {item} of task {task} cannot be compared with the corpus: {error}"
            rejects.append(Reject(item, EVALUATION_MATCHES.name, RejectReason.TASK_ITEM_INVALID, message, task))
            continue
        same = {"task": task, "item": item, "sha256": digests.sha256, "pixel_hash": digests.pixel_hash}
        height, width = grey.shape
        seen = views.describe(grey, views.probe_views(grey)).tobytes()
        rows.append({**same, "width": width, "height": height, "grey": grey.tobytes(), "descriptions": seen})
    return pl.DataFrame(rows, schema=altered.TESTS), rejects


def _encoded(given: TestImage) -> bytes:
    if isinstance(given, Path):
        return given.read_bytes()
    if isinstance(given, bytes):
        return given
    buffer = io.BytesIO()
    Image.fromarray(given).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def build_evaluation_matches(
    lake: Lake,
    tests: pl.DataFrame,
    rules: CopyRules | None = None,
    *,
    rejects: Sequence[Reject] = (),
    recorded: Mapping[str, str] | None = None,
    engine: Engine | None = None,
    progress: Progress = SILENT,
) -> Report:
    """Stage of the asset ``evaluation_matches``: one row per image of the lake and test image that are the same.

    Counts are those of test images: in = compared + refused.

    Args:
        lake: the data directory.
        tests: test images in ``altered.TESTS``; without rows nothing matches.
        rules: what counts as the same.
        rejects: test images that could not be looked at.
        recorded: versions of the test sets, for the manifest: a new or changed one makes the matches stale.
        engine: where pixels are compared; None compares them here.
        progress: told of pairs compared.
    """
    began, rules = time.perf_counter(), rules or CopyRules()
    made_from = lake.inputs(*((IMAGE_FINGERPRINTS, shelf) for shelf in lake.partitions(IMAGE_FINGERPRINTS)))
    images = lake.scan(IMAGE_FINGERPRINTS).select("media_id", "article_id", "sha256", "pixel_hash").collect()
    fixed = {
        "orientation": pl.lit(0, pl.Int32),
        "score": pl.lit(None, pl.Float32),
        "place": pl.lit(None, EVALUATION_MATCHES.schema["place"]),
    }
    exact = [
        images.join(tests, on=column, how="inner").select(
            "media_id", "article_id", "task", "item", **fixed, match=pl.lit(match)
        )
        for column, match in (("sha256", "bytes"), ("pixel_hash", "pixels"))
    ]
    copies = altered.find(lake, tests, rules, engine=engine, progress=progress)
    order = ["media_id", "task", "item"]
    found = pl.concat([frame.select(EVALUATION_MATCHES.schema.names()) for frame in (*exact, copies.found)])
    rank = pl.col("match").replace_strict({"bytes": 0, "pixels": 1, "altered": 2}, return_dtype=pl.Int8)
    found = found.sort(rank, *order).unique(order, keep="first").sort(order)
    per_task = (
        found.group_by("task").agg(pl.col("item").n_unique().alias("items"), pl.len().alias("images")).sort("task")
    )
    metrics: dict[str, int | float | str | bool | None] = {
        "images": images.height,
        "test_images": tests.height,
        "matched_images": found["media_id"].n_unique(),
        "altered_copies": found.filter(match="altered").height,
        "pairs_compared": copies.compared,
        "test_images_with_more_copies": copies.cut_short,
    }
    if lost := [r.article_id for r in rejects if r.reason is RejectReason.TASK_UNREADABLE]:
        metrics["test sets left out"] = ", ".join(lost)
    manifest = lake.publish(
        EVALUATION_MATCHES,
        None,
        found,
        code_version=VERSION,
        inputs=made_from,
        config={**dataclasses.asdict(rules), **(recorded or {})},
        rejects=rejects,
        n_in=tests.height + len(rejects),
        n_out=tests.height,
        metrics=metrics,
    )
    return Report(
        asset=EVALUATION_MATCHES.name,
        partition=None,
        data_version=manifest.data_version,
        rows=found.height,
        n_in=manifest.n_in,
        n_out=manifest.n_out,
        rejects=manifest.rejects,
        bytes_written=manifest.bytes,
        seconds=time.perf_counter() - began,
        metrics=metrics,
        preview=tuple(per_task.iter_rows(named=True)),
    )
