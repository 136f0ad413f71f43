"""Which images of the lake evaluation tasks use, so that no model is tested on what it was trained on.

Every test image is hashed in the eight orientations in which a test set may have turned it; equal bytes and equal
pixels match as they are, near perceptual hashes match if the pixels agree (``likeness``).
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from biomedica_assets.lib.progress import SILENT, Progress, track
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.select import hamming, likeness
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import EVALUATION_MATCHES, IMAGES

VERSION = "1"
MAX_DISTANCE = 6
HASHES = pl.Schema(
    {
        "task": pl.String,
        "item": pl.String,
        "path": pl.String,
        "sha256": pl.String,
        "pixel_hash": pl.String,
        "orientation": pl.Int32,
        "phash": pl.UInt64,
    }
)
"""One row per test image and orientation; ``pixel_hash`` and ``path`` may be null."""


@dataclasses.dataclass(frozen=True, slots=True)
class MatchRules:
    """What counts as the same picture as a test image.

    Attributes:
        max_distance: bits in which perceptual hashes may differ.
        confirm: compare the pixels of pairs that only their hashes link, where the test image's file is there.
    """

    max_distance: int = MAX_DISTANCE
    confirm: bool = True


def hash_test_images(
    images: Iterable[tuple[str, str, Path]],
    *,
    decode: Callable[[bytes], Image.Image],
    perceptual_hash: Callable[[Image.Image], int],
    pixel_hash: Callable[[bytes], str],
    progress: Progress = SILENT,
) -> pl.DataFrame:
    """Hashes of test images, by the same functions that hashed the images of the lake.

    Args:
        images: task, item and file of each.
        decode: bytes to the picture that ``perceptual_hash`` is computed of.
        perceptual_hash: 64-bit hash, as in ``images.phash``.
        pixel_hash: digest of pixels, as in ``images.pixel_hash``.
        progress: told of each image.

    Returns:
        A frame in ``HASHES``.
    """
    rows: list[dict[str, object]] = []
    for task, item, path in track(images, progress, "hash test images", None, "images"):
        data = path.read_bytes()
        picture = decode(data)
        same = {"task": task, "item": item, "path": str(path), "sha256": hashlib.sha256(data).hexdigest()}
        same["pixel_hash"] = pixel_hash(data)
        for orientation in range(likeness.ORIENTATIONS):
            turned = Image.fromarray(np.ascontiguousarray(likeness.turned(np.asarray(picture), orientation)))
            rows.append({**same, "orientation": orientation, "phash": perceptual_hash(turned)})
    return pl.DataFrame(rows, schema=HASHES)


def build_evaluation_matches(
    lake: Lake,
    tests: pl.DataFrame,
    rules: MatchRules | None = None,
    *,
    inputs: Mapping[str, str] | None = None,
    progress: Progress = SILENT,
) -> Report:
    """Stage of the asset ``evaluation_matches``: one row per image of the lake and test image that are the same.

    Args:
        lake: the data directory.
        tests: hashes of the test images in ``HASHES``; without rows nothing matches.
        rules: what counts as the same.
        inputs: data versions of where the tests come from, for the manifest.
        progress: told of pairs compared.
    """
    began, rules = time.perf_counter(), rules or MatchRules()
    wanted = ["media_id", "article_id", "path", "sha256", "pixel_hash", "phash"]
    images = lake.scan(IMAGES).select(wanted).collect()
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
    digest = hashlib.sha256(tests.sort(tests.columns).drop("path").write_csv().encode()).hexdigest()
    config = {**dataclasses.asdict(rules), "tests": digest}
    made_from = lake.inputs(*((IMAGES, chunk) for chunk in lake.partitions(IMAGES)))
    manifest = lake.publish(
        EVALUATION_MATCHES,
        None,
        found,
        code_version=VERSION,
        inputs={**made_from, **(inputs or {})},
        config=config,
        n_in=images.height,
        n_out=images.height,
        metrics=metrics,
    )
    return Report(
        asset=EVALUATION_MATCHES.name,
        partition=None,
        data_version=manifest.data_version,
        rows=found.height,
        n_in=images.height,
        n_out=images.height,
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
    ours, theirs = images.filter(told), tests.filter(told)
    hashes = [np.unique(frame["phash"].to_numpy()) for frame in (ours, theirs)]
    pairs = hamming.near_across(hashes[0], hashes[1], rules.max_distance)
    links = pl.DataFrame({"phash": pairs.left, "phash_test": pairs.right, "distance": pairs.distance.astype(np.int32)})
    found = (
        ours.join(links, on="phash")
        .join(theirs.select("task", "item", "orientation", phash_test="phash", test="path"), on="phash_test")
        .sort("distance", "orientation", "media_id", "task", "item")
        .unique(["media_id", "task", "item"], keep="first", maintain_order=True)
    )
    verdicts: list[tuple[bool, float | None]] = []
    columns = found.select("path", "test", "orientation").iter_rows()
    for path, test, orientation in track(columns, progress, "compare pictures", found.height, "pairs"):
        verdicts.append(_compare(root / path, test, orientation) if rules.confirm and test else (True, None))
    keep = pl.Series("keep", [verdict for verdict, _ in verdicts], dtype=pl.Boolean)
    value = pl.Series("correlation", [value for _, value in verdicts], dtype=pl.Float32)
    kept = found.with_columns(value, pl.lit("perceptual").alias("match")).filter(keep)
    return kept, found.height - kept.height


def _compare(path: Path, test: str, orientation: int) -> tuple[bool, float]:
    one, other = likeness.thumbnail(path), likeness.thumbnail(Path(test))
    same, value, _ = likeness.alike(one, other, (orientation,))
    return same, value
