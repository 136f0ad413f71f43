"""Which images of the lake evaluation tasks use, so that no model is tested on what it was trained on.

Every test image is hashed in the eight orientations in which a test set may have turned it; equal bytes and equal
pixels match as they are, near perceptual hashes match if the pixels agree (``likeness``).
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

from biomedica_assets.lib.errors import BiomedicaError, Reject, RejectReason, StoreError
from biomedica_assets.lib.images.canonical import VERSION as CANONICAL
from biomedica_assets.lib.images.canonical import open_canonical
from biomedica_assets.lib.progress import SILENT, Progress, track
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.select import hamming, likeness
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import EVALUATION_MATCHES, IMAGE_FINGERPRINTS

VERSION = f"1.{CANONICAL}"
MAX_DISTANCE = 6
HASHES = pl.Schema(
    {
        "task": pl.String,
        "item": pl.String,
        "sha256": pl.String,
        "pixel_hash": pl.String,
        "orientation": pl.Int32,
        "phash": pl.UInt64,
        "thumbnail": pl.Binary,
    }
)
"""One row per test image and orientation; ``thumbnail`` has the 64 x 64 grey values (uint8) of the upright one."""

TestImage = Path | bytes | NDArray[np.uint8]
"""A file, encoded bytes, or pixels (height x width or height x width x 3)."""


@dataclasses.dataclass(frozen=True, slots=True)
class MatchRules:
    """What counts as the same picture as a test image.

    Attributes:
        max_distance: bits in which perceptual hashes may differ.
        confirm: compare the pixels of pairs that only their hashes link.
    """

    max_distance: int = MAX_DISTANCE
    confirm: bool = True


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

    @property
    def phash(self) -> int:
        """64-bit perceptual hash."""
        ...


def hash_test_images(
    images: Iterable[tuple[str, str, TestImage] | Reject],
    measure: Callable[[bytes], Fingerprint],
    *,
    progress: Progress = SILENT,
) -> tuple[pl.DataFrame, list[Reject]]:
    """Fingerprints of test images in eight orientations.

    Args:
        images: task, item and picture of each; test sets that cannot be read as rejects, which are passed on.
        measure: the function that measured the images of the lake; may raise ``BiomedicaError``.
        progress: told of each image.

    Returns:
        A frame in ``HASHES``, and a reject for each image that cannot be read or measured.
    """
    rows: list[dict[str, object]] = []
    rejects: list[Reject] = []
    for each in track(images, progress, "hash test images", None, "images"):
        if isinstance(each, Reject):
            rejects.append(each)
            continue
        task, item, given = each
        try:
            data = _encoded(given)
            upright = measure(data)
            thumbnail = likeness.thumbnail_of(data)
            picture = np.asarray(open_canonical(data))
            hashes = [upright.phash, *(measure(_png(picture, o)).phash for o in range(1, likeness.ORIENTATIONS))]
        except (OSError, BiomedicaError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            message = f"image {item} of task {task} cannot be compared with the corpus: {error}"
            rejects.append(Reject(item, EVALUATION_MATCHES.name, RejectReason.TASK_ITEM_INVALID, message, task))
            continue
        same = {"task": task, "item": item, "sha256": upright.sha256, "pixel_hash": upright.pixel_hash}
        for orientation, value in enumerate(hashes):
            small = None if orientation else thumbnail.round().astype(np.uint8).tobytes()
            rows.append({**same, "orientation": orientation, "phash": value, "thumbnail": small})
    return pl.DataFrame(rows, schema=HASHES), rejects


def _encoded(given: TestImage) -> bytes:
    if isinstance(given, Path):
        return given.read_bytes()
    return given if isinstance(given, bytes) else _png(given, 0)


def _png(picture: NDArray[np.uint8], orientation: int) -> bytes:
    buffer = io.BytesIO()
    turned = np.ascontiguousarray(likeness.turned(picture, orientation))
    Image.fromarray(turned).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def build_evaluation_matches(
    lake: Lake,
    tests: pl.DataFrame,
    rules: MatchRules | None = None,
    *,
    rejects: Sequence[Reject] = (),
    recorded: Mapping[str, str] | None = None,
    progress: Progress = SILENT,
) -> Report:
    """Stage of the asset ``evaluation_matches``: one row per image of the lake and test image that are the same.

    Counts are those of test images: in = compared + refused.

    Args:
        lake: the data directory.
        tests: hashes of the test images in ``HASHES``; without rows nothing matches.
        rules: what counts as the same.
        rejects: test images that could not be hashed.
        recorded: versions of the test sets, for the manifest: a new or changed one makes the matches stale.
        progress: told of pairs compared.
    """
    began, rules = time.perf_counter(), rules or MatchRules()
    made_from = lake.inputs(*((IMAGE_FINGERPRINTS, shelf) for shelf in lake.partitions(IMAGE_FINGERPRINTS)))
    wanted = ["media_id", "article_id", "path", "sha256", "pixel_hash", "phash"]
    images = lake.scan(IMAGE_FINGERPRINTS).select(wanted).collect()
    upright = tests.filter(pl.col("orientation") == 0)
    fixed = {"distance": pl.lit(0, pl.Int32), "orientation": pl.lit(0, pl.Int32)}
    exact = [
        images.join(upright, on=column, how="inner").select(
            "media_id", "article_id", "task", "item", **fixed, match=pl.lit(match),
            correlation=pl.lit(None, pl.Float32),
        )
        for column, match in (("sha256", "bytes"), ("pixel_hash", "pixels"))
    ]  # fmt: skip
    near, unconfirmed = _near(lake.root, images, tests, rules, progress)
    order = ["media_id", "task", "item"]
    found = pl.concat([frame.select(EVALUATION_MATCHES.schema.names()) for frame in (*exact, near)])
    rank = pl.col("match").replace_strict({"bytes": 0, "pixels": 1, "perceptual": 2}, return_dtype=pl.Int8)
    found = found.sort(rank, "distance", "orientation", *order).unique(order, keep="first").sort(order)
    per_task = (
        found.group_by("task").agg(pl.col("item").n_unique().alias("items"), pl.len().alias("images")).sort("task")
    )
    metrics: dict[str, int | float | str | bool | None] = {
        "images": images.height,
        "test_images": upright.height,
        "matched_images": found["media_id"].n_unique(),
        "candidates_refused_by_pixels": unconfirmed,
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
        n_in=upright.height + len(rejects),
        n_out=upright.height,
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


def _near(
    root: Path, images: pl.DataFrame, tests: pl.DataFrame, rules: MatchRules, progress: Progress
) -> tuple[pl.DataFrame, int]:
    """Pairs whose hashes are near and whose pixels, where they can be compared, agree; and how many pixels refused."""
    told = (pl.col("phash").bitwise_count_ones() > 2) & (pl.col("phash").bitwise_count_ones() < hamming.BITS - 2)
    ours, theirs, upright = images.filter(told), tests.filter(told), tests.filter(orientation=0)
    hashes = [np.unique(frame["phash"].to_numpy()) for frame in (ours, theirs)]
    pairs = hamming.near_across(hashes[0], hashes[1], rules.max_distance)
    links = pl.DataFrame({"phash": pairs.left, "phash_test": pairs.right, "distance": pairs.distance.astype(np.int32)})
    found = (
        ours.join(links, on="phash")
        .join(theirs.select("task", "item", "orientation", phash_test="phash"), on="phash_test")
        .sort("distance", "orientation", "media_id", "task", "item")
        .unique(["media_id", "task", "item"], keep="first", maintain_order=True)
        .join(upright.select("task", "item", "thumbnail"), on=["task", "item"], how="left", maintain_order="left")
    )
    likeness.thumbnail.cache_clear()  # files may have changed since an earlier run of this process
    verdicts: list[tuple[bool, float | None]] = []
    columns = found.select("path", "thumbnail", "orientation").iter_rows()
    for path, small, orientation in track(columns, progress, "compare pictures", found.height, "pairs"):
        verdicts.append(_compare(root / path, small, orientation) if rules.confirm else (True, None))
    keep = pl.Series("keep", [verdict for verdict, _ in verdicts], dtype=pl.Boolean)
    value = pl.Series("correlation", [value for _, value in verdicts], dtype=pl.Float32)
    kept = found.with_columns(value, pl.lit("perceptual").alias("match")).filter(keep)
    return kept, found.height - kept.height


def _compare(path: Path, small: bytes, orientation: int) -> tuple[bool, float]:
    other = np.frombuffer(small, np.uint8).reshape(likeness.SIDE, likeness.SIDE).astype(np.float32)
    try:
        same, value, _ = likeness.alike(likeness.thumbnail(path), other, (orientation,))
    except OSError as error:
        raise StoreError(f"an image of the mirror cannot be read ({error}); materialise images again") from error
    return same, value
