"""The images of one chunk to vectors: read and hashed once, prepared in workers, encoded on the device.

What the last run embedded from equal bytes with an equal encoder is reused.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from biomedica_assets.lib.compute import Engine
from biomedica_assets.lib.embed.encoder import BatchTooLarge, Encoder, Prepare
from biomedica_assets.lib.errors import PermanentFailure, Reject, RejectReason
from biomedica_assets.lib.progress import SILENT, Progress
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.store.vectors import DTYPE, vectors_of, write_vectors
from biomedica_assets.lib.tables import EMBEDDINGS, IMAGES

VERSION = "1"
BLOCK = 8192  # rows gathered at a time when the file is written


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """One distinct image to prepare: where its bytes lie and what they must be."""

    sha256: str
    path: str
    media_id: str
    article_id: str


@dataclasses.dataclass(frozen=True, slots=True)
class Prepared:
    """What became of a batch of jobs: the digests that made it, their stacked arrays, and the rest."""

    sha256: tuple[str, ...]
    batch: NDArray[Any]
    failed: tuple[tuple[Job, RejectReason, str], ...]


def embed_chunk(
    lake: Lake,
    chunk: str,
    *,
    encoder: Encoder,
    engine: Engine,
    batch_size: int = 32,
    progress: Progress = SILENT,
) -> Report:
    """Fill one partition of ``embeddings``.

    Equal bytes are embedded once. Rows whose image digest and encoder are those of the last run keep their vectors.

    Args:
        lake: the data directory; reads ``images`` of the chunk and the files it names.
        chunk: partition key.
        encoder: an open encoder; it owns the device.
        engine: where images are read, verified and prepared.
        batch_size: images per call of the encoder; a batch that does not fit the device is halved and tried again.
        progress: told of every image.

    Returns:
        The report; rejects are images whose file is gone, changed or cannot be decoded.

    Raises:
        PermanentFailure: not even one image fits the device, or a vector is not finite in float16.
        StoreError: ``images`` of the chunk does not exist, or the disk cannot be written.
    """
    began = time.monotonic()
    inputs = lake.inputs((IMAGES, chunk))
    images = lake.read_lazy(IMAGES, chunk).select("media_id", "article_id", "path", "sha256").sort("media_id").collect()
    known, old = _known(lake, chunk, encoder)
    distinct = images.unique("sha256", keep="first", maintain_order=True)
    todo = distinct.filter(~pl.col("sha256").is_in(list(known)))
    jobs = [
        Job(row["sha256"], str(lake.root / row["path"]), row["media_id"], row["article_id"])
        for row in todo.iter_rows(named=True)
    ]
    place, new, failures, smallest = _embed(jobs, encoder, engine, batch_size, progress)
    kept = images.filter(~pl.col("sha256").is_in(list(failures)))
    rejects = [
        Reject(row["article_id"], "embeddings", *failures[row["sha256"]], subject=row["media_id"])
        for row in images.iter_rows(named=True)
        if row["sha256"] in failures
    ]
    blocks = _gather(kept["sha256"].to_list(), known, old, place, new, encoder.dimension)
    folder = lake.root / "embeddings" / encoder.name / f"chunk={chunk}"
    entry = write_vectors(lake, folder, blocks, kept.height, encoder.dimension)
    frame = kept.select(
        "media_id",
        pl.int_range(kept.height, dtype=pl.Int32).alias("row"),
        "sha256",
        pl.lit(encoder.name).alias("encoder"),
        pl.lit(encoder.digest).alias("encoder_digest"),
    )
    manifest = lake.publish(
        EMBEDDINGS,
        chunk,
        frame,
        code_version=VERSION,
        inputs=inputs,
        config={"encoder": encoder.name, "preprocessing": encoder.preprocessing},
        rejects=rejects,
        n_in=images.height,
        n_out=frame.height,
        files=[entry],
        metrics={"encoder": encoder.name, "encoder_digest": encoder.digest},
    )
    seconds = time.monotonic() - began
    return Report(
        asset=EMBEDDINGS.name,
        partition=chunk,
        data_version=manifest.data_version,
        rows=manifest.rows,
        n_in=manifest.n_in,
        n_out=manifest.n_out,
        rejects=manifest.rejects,
        bytes_written=manifest.bytes,
        seconds=seconds,
        metrics={
            "encoder": encoder.name,
            "encoder_digest": encoder.digest,
            "preprocessing": encoder.preprocessing,
            "dimension": encoder.dimension,
            "device": encoder.device,
            "images_embedded": len(place),
            "images_reused": distinct.height - todo.height,
            "duplicates": images.height - distinct.height,
            "images_per_second": round(len(place) / seconds, 1) if seconds else None,
            "smallest_batch_size": smallest,
        },
    )


def prepare_images(prepare: Prepare, jobs: Sequence[Job]) -> Prepared:
    """Read, verify and prepare a batch of images; runs in a worker.

    Upstream has decoded every image once, so what fails here changed since: it is named and left out.
    """
    done: list[str] = []
    arrays: list[NDArray[Any]] = []
    failed: list[tuple[Job, RejectReason, str]] = []
    for job in jobs:
        try:
            with open(job.path, "rb") as handle:  # noqa: PTH123 - one call less per image than Path.read_bytes
                data = handle.read()
            if (found := hashlib.sha256(data).hexdigest()) != job.sha256:
                message = f"{job.path} has SHA-256 {found}, images says {job.sha256}; materialise images again"
                failed.append((job, RejectReason.CHECKSUM_MISMATCH, message))
                continue
            with Image.open(io.BytesIO(data)) as image:
                arrays.append(prepare(image))
            done.append(job.sha256)
        except FileNotFoundError:
            message = f"{job.path} does not exist; materialise images again"
            failed.append((job, RejectReason.OBJECT_MISSING, message))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            failed.append((job, RejectReason.IMAGE_UNDECODABLE, f"{job.path}: {type(error).__name__}: {error}"))
    return Prepared(tuple(done), np.stack(arrays) if arrays else np.empty(0), tuple(failed))


def _known(lake: Lake, chunk: str, encoder: Encoder) -> tuple[dict[str, int], NDArray[np.float16]]:
    """Row of each image digest in the last run's vectors, and those vectors; empty if they cannot be reused."""
    manifest = lake.intact(EMBEDDINGS, chunk)
    nothing = np.empty((0, 0), DTYPE)
    if manifest is None or (manifest.code_version, manifest.metrics["encoder_digest"]) != (VERSION, encoder.digest):
        return {}, nothing
    table = lake.read(EMBEDDINGS, chunk)
    return dict(zip(table["sha256"], table["row"], strict=True)), vectors_of(lake, EMBEDDINGS, chunk).map()


def _embed(
    jobs: Sequence[Job], encoder: Encoder, engine: Engine, batch_size: int, progress: Progress
) -> tuple[dict[str, int], NDArray[np.float16], dict[str, tuple[RejectReason, str]], int]:
    """Vectors of the jobs: digest -> row, the rows, digest -> why there is none, the smallest batch used."""
    place: dict[str, int] = {}
    vectors = np.empty((len(jobs), encoder.dimension), DTYPE)
    failures: dict[str, tuple[RejectReason, str]] = {}
    batches = [tuple(jobs[i : i + batch_size]) for i in range(0, len(jobs), batch_size)]
    size = batch_size
    progress.start(f"embed with {encoder.name}", len(jobs), "images")
    try:
        for batch, result in engine.map_batches(functools.partial(prepare_images, encoder.prepare), batches):
            if isinstance(result, Exception):
                raise result
            failures.update({job.sha256: (reason, message) for job, reason, message in result.failed})
            first = len(place)
            parts, size = _encode(encoder, result.batch, size)
            for part in parts:
                vectors[first : first + len(part)] = part
                first += len(part)
            place.update({sha: len(place) + i for i, sha in enumerate(result.sha256)})
            progress.advance(len(batch))
    finally:
        progress.finish()
    return place, vectors, failures, size


def _encode(encoder: Encoder, batch: NDArray[Any], size: int) -> tuple[list[NDArray[np.float16]], int]:
    """Encode in parts of ``size``, halved whenever the device has no room; returns the parts and the size that fits."""
    parts: list[NDArray[np.float16]] = []
    start = 0
    while start < len(batch):
        try:
            found = encoder.encode(batch[start : start + size])
        except BatchTooLarge as error:
            if size == 1:
                raise PermanentFailure(
                    f"{error}. Not even one image fits; take a smaller encoder or device cpu"
                ) from error
            size //= 2
            continue
        with np.errstate(over="ignore"):
            half = found.astype(DTYPE)
        if not np.isfinite(half).all():
            raise PermanentFailure(f"{encoder.name} gave a vector that is not finite in float16; check its weights")
        parts.append(half)
        start += len(half)
    return parts, size


def _gather(
    digests: Sequence[str],
    known: dict[str, int],
    old: NDArray[np.float16],
    place: dict[str, int],
    new: NDArray[np.float16],
    dimension: int,
) -> Iterator[NDArray[np.float16]]:
    """Vectors in the order of ``digests``, block by block, from the last run's and this run's."""
    for first in range(0, len(digests), BLOCK):
        part = digests[first : first + BLOCK]
        block = np.empty((len(part), dimension), DTYPE)
        for source, rows in ((old, known), (new, place)):
            here = [i for i, sha in enumerate(part) if sha in rows]
            if here:
                block[here] = source[[rows[part[i]] for i in here]]
        yield block
