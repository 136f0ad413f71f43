"""Which test images a recipe trained on: equal bytes, and near copies. Fills ``contamination`` of a recipe.

Models trained elsewhere are not judged: their training images are not published as hashes, and the report says so.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from biomedica_assets.lib.compute.local import LocalEngine
from biomedica_assets.lib.errors import Reject, RejectReason
from biomedica_assets.lib.evaluate import fingerprints as fp
from biomedica_assets.lib.evaluate.adapters.common import STAGE
from biomedica_assets.lib.evaluate.encoder import UNDECODABLE
from biomedica_assets.lib.evaluate.index import TaskIndex, distinct_images, index_task
from biomedica_assets.lib.evaluate.task import Image, TaskSource
from biomedica_assets.lib.evaluate.zero_shot_stage import write_parquet
from biomedica_assets.lib.progress import SILENT, Progress
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import CONTAMINATION

VERSION = "contamination-1"
EXAMPLES = 10
HASHES = pl.Schema({"sha256": pl.String(), "hash": pl.Binary()})
EXACT = "SHA-256 of the image bytes"
NEAR = (
    f"{EXACT}; 256-bit dHash within {fp.MAX_DISTANCE} bits in 8 orientations, "
    f"confirmed by 64 x 64 grey correlation >= {fp.MIN_CORRELATION}"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Training:
    """The training images of a recipe.

    Attributes:
        sha256: digest of each file, distinct.
        media_id: one image that has it.
        paths: the files; None where only digests are known, then near copies cannot be looked for.
        hashes: n x 4 difference hashes; None as ``paths``.
    """

    sha256: list[str]
    media_id: list[str]
    paths: list[Path] | None = None
    hashes: fp.U64 | None = None


def report_contamination(
    lake: Lake,
    recipe: str,
    images: pl.DataFrame,
    sources: Sequence[TaskSource],
    *,
    near: bool = True,
    inputs: Mapping[str, str] | None = None,
    progress: Progress = SILENT,
) -> Report:
    """Compare each task's images with a recipe's training images and publish ``contamination``.

    Args:
        lake: the data directory.
        recipe: partition key.
        images: training images: ``media_id``, ``sha256``, and ``path`` below the data directory if ``near``.
        sources: the tasks.
        near: look for near copies too; decodes every training image once (hashes are kept in
            ``scores/fingerprints.parquet``).
        inputs: what ``images`` was read from, for the manifest.
        progress: told of each training image.

    Returns:
        Report; items are distinct task images, those that do not decode are left out of the near comparison only.
    """
    began = time.monotonic()
    distinct = images.sort("media_id").unique("sha256", keep="first", maintain_order=True)
    training = Training(distinct["sha256"].to_list(), distinct["media_id"].to_list())
    if near:
        paths = [lake.root / p for p in distinct["path"]]
        hashes = _training_hashes(lake.root / "scores" / "fingerprints.parquet", training.sha256, paths, progress)
        training = dataclasses.replace(training, paths=paths, hashes=hashes)
    rows: list[dict[str, object]] = []
    rejects: list[Reject] = []
    n_in = 0
    for source in sources:
        index = index_task(source)
        row, broken = compare(source, index, training)
        rows.append(row)
        rejects += broken
        n_in += len(index.images)
    frame = CONTAMINATION.frame(rows)
    manifest = lake.publish(
        CONTAMINATION,
        recipe,
        frame,
        code_version=VERSION,
        inputs=dict(inputs or {}),
        config={"near": near},
        rejects=rejects,
        n_in=n_in,
        n_out=n_in - len(rejects),
    )
    worst = frame.sort("share", descending=True, nulls_last=True).head(10)
    return Report(
        asset="contamination",
        partition=recipe,
        data_version=manifest.data_version,
        rows=frame.height,
        n_in=n_in,
        n_out=n_in - len(rejects),
        rejects=manifest.rejects,
        bytes_written=manifest.bytes,
        seconds=time.monotonic() - began,
        metrics={
            "training images": len(training.sha256),
            "task images equal to a training image": int(frame["n_exact"].sum()),
            "task images near a training image": int(frame["n_near"].sum()) if near else None,
        },
        preview=tuple(worst.select("task", "n_images", "n_exact", "n_near", "share").to_dicts()),
    )


def compare(source: TaskSource, index: TaskIndex, training: Training) -> tuple[dict[str, object], list[Reject]]:
    """One row of ``contamination``, and the task images that do not decode."""
    by_sha = dict(zip(training.sha256, training.media_id, strict=True))
    item_of = {e.sha256: e.item_id for e in reversed(index.entries)}
    exact = [sha for sha in index.images if sha in by_sha]
    near: dict[str, str] = {}
    rejects: list[Reject] = []
    if training.paths is not None and training.hashes is not None:
        near, rejects = _near(source, index, training, set(exact))
    found = [f"{item_of[sha]} = {by_sha[sha]}" for sha in exact] + [f"{item_of[s]} ~ {m}" for s, m in near.items()]
    n = len(index.images)
    row: dict[str, object] = {
        "task": index.task.name,
        "suite": index.task.suite,
        "data_digest": index.data,
        "n_images": n,
        "n_training": len(training.sha256),
        "n_exact": len(exact),
        "n_near": None if training.hashes is None else len(near),
        "share": (len(exact) + len(near)) / n if n else None,
        "examples": found[:EXAMPLES],
        "method": EXACT if training.hashes is None else NEAR,
    }
    return row, rejects


def _near(
    source: TaskSource, index: TaskIndex, training: Training, exact: set[str]
) -> tuple[dict[str, str], list[Reject]]:
    """Task image -> training image that resembles it, for images whose bytes are not a training image's."""
    found: dict[str, str] = {}
    rejects: list[Reject] = []
    for sha, image in distinct_images(source, index):
        if sha in exact:
            continue
        try:
            views = fp.orientations(fp.thumbnail(image))
        except UNDECODABLE as error:
            message = f"image cannot be decoded: {error}"
            rejects.append(Reject(index.task.name, STAGE, RejectReason.IMAGE_UNDECODABLE, message, sha))
            continue
        if match := _match(views, training):
            found[sha] = match
    return found, rejects


def _match(views: list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]], training: Training) -> str | None:
    assert training.paths is not None and training.hashes is not None  # noqa: S101 - checked by ``compare``
    hashes = np.stack([fp.difference_hash(view) for view in views])
    for view, row in fp.near_pairs(hashes, training.hashes):
        if fp.correlation(views[view], fp.thumbnail(training.paths[row])) >= fp.MIN_CORRELATION:
            return training.media_id[row]
    return None


def _training_hashes(cache: Path, shas: list[str], paths: list[Path], progress: Progress) -> fp.U64:
    """Difference hash of every training image, of those only that no earlier run hashed."""
    known = dict(pl.read_parquet(cache, schema=HASHES).iter_rows()) if cache.exists() else {}
    todo = [(sha, path) for sha, path in zip(shas, paths, strict=True) if sha not in known]
    batches = [todo[i : i + 64] for i in range(0, len(todo), 64)]
    progress.start("hash training images", len(todo), "images")
    for batch, hashes in LocalEngine("threads").map_batches(partial(_hash_files), batches):
        if isinstance(hashes, Exception):
            raise hashes
        known |= dict(zip((sha for sha, _ in batch), hashes, strict=True))
        progress.advance(len(batch))
    progress.finish()
    if todo:
        write_parquet(cache, pl.DataFrame({"sha256": list(known), "hash": list(known.values())}, HASHES).sort("sha256"))
    return np.frombuffer(b"".join(known[sha] for sha in shas), np.uint64).reshape(len(shas), fp.WORDS)


def _hash_files(batch: list[tuple[str, Path]]) -> list[bytes]:
    return [_hash_file(path) for _, path in batch]


def _hash_file(image: Image) -> bytes:
    """A training image that does not decode was never trained on: its hash is the one that matches nothing."""
    try:
        return fp.difference_hash(fp.thumbnail(image)).tobytes()
    except UNDECODABLE:
        return bytes(8 * fp.WORDS)
