"""Image and text vectors of a test set, computed once per model and data, and kept.

Decoding runs in threads ahead of the model; the cache under ``scores/features/`` is keyed by the model's and the data's
digests, so a changed task or model computes its own vectors and no others.
"""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from biomedica_assets.lib.compute.local import LocalEngine, available_cores
from biomedica_assets.lib.errors import Reject, RejectReason
from biomedica_assets.lib.evaluate.adapters.common import STAGE
from biomedica_assets.lib.evaluate.encoder import F32, UNDECODABLE, Encoder
from biomedica_assets.lib.evaluate.index import TaskIndex, distinct_images
from biomedica_assets.lib.evaluate.task import Image, TaskSource
from biomedica_assets.lib.progress import SILENT, Progress
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.store.manifest import digest

CACHE_FORMAT = "1"


@dataclasses.dataclass(frozen=True, slots=True)
class Features:
    """Vectors of distinct images.

    Attributes:
        vectors: n x d, unit length, float32.
        row: image digest -> row.
        bad: image digest -> why there is no vector.
    """

    vectors: F32
    row: dict[str, int]
    bad: dict[str, Reject]


def image_features(
    source: TaskSource,
    index: TaskIndex,
    encoder: Encoder,
    cache: Path | None,
    *,
    batch_size: int = 64,
    threads: int | None = None,
    progress: Progress = SILENT,
) -> Features:
    """Vectors of a task's distinct images, from the cache if they are there.

    Args:
        source: the task, to read images from.
        index: which images.
        encoder: the model.
        cache: folder of the cache; None computes anew and keeps nothing.
        batch_size: images per forward pass.
        threads: decoding threads; None for one per core, at least two.
        progress: told of each image.
    """
    key = digest(CACHE_FORMAT, encoder.digest, index.image_set)
    if cache is not None and (kept := _read(cache / key)) is not None:
        return kept
    found = distinct_images(source, index)
    images = list(encoded(found, encoder, batch_size, threads, len(index.images), progress))
    good = [(sha, vector) for sha, vector in images if not isinstance(vector, Reject)]
    vectors = np.stack([v for _, v in good]) if good else np.zeros((0, 0), np.float32)
    bad = {sha: why for sha, why in images if isinstance(why, Reject)}
    made = Features(vectors, {sha: i for i, (sha, _) in enumerate(good)}, bad)
    if cache is not None:
        _write(cache / key, made)
    return made


def text_features(texts: Sequence[str], encoder: Encoder, cache: Path | None) -> F32:
    """Unit vectors of texts, from the cache if they are there."""
    key = digest(CACHE_FORMAT, "text", encoder.digest, *texts)
    if cache is not None and (kept := _read(cache / key)) is not None:
        return kept.vectors
    vectors = encoder.texts(texts)
    if cache is not None:
        _write(cache / key, Features(vectors, {}, {}))
    return vectors


def ensemble(texts: Sequence[Sequence[str]], encoder: Encoder, cache: Path | None) -> F32:
    """One unit vector per set of captions: the mean of their unit vectors, brought back to unit length.

    Source of the rule: prompt ensembling as in open_clip's and clip_benchmark's zero-shot classifiers.
    """
    flat = list(dict.fromkeys(itertools.chain.from_iterable(texts)))
    vectors = text_features(flat, encoder, cache)
    row = {text: i for i, text in enumerate(flat)}
    means = np.stack([vectors[[row[t] for t in group]].mean(axis=0) for group in texts])
    return (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)


def encoded(
    images: Iterable[tuple[str, Image]],
    encoder: Encoder,
    batch_size: int,
    threads: int | None,
    total: int,
    progress: Progress,
) -> Iterator[tuple[str, Any]]:
    """Vectors of images; decoding runs up to two batches per thread ahead.

    Args:
        images: name and image, in the order in which they are answered.
        encoder: the model.
        batch_size: images per forward pass.
        threads: decoding threads; None for one per core, at least two.
        total: how many images there are.
        progress: told of each batch.

    Yields:
        Name, and the unit vector (d, float32) or the reject of an image that cannot be decoded.
    """
    engine = LocalEngine("threads", threads or max(2, available_cores()))
    progress.start(f"encode images with {encoder.spec.name}", total, "images")
    try:
        batches = _chunks(images, batch_size)
        for batch, prepared in engine.map_batches(partial(_prepare, encoder), batches):
            if isinstance(prepared, Exception):
                raise prepared
            tensors = [p for p in prepared if not isinstance(p, Reject)]
            vectors = iter(encoder.images(tensors) if tensors else ())
            for (sha, _), found in zip(batch, prepared, strict=True):
                yield sha, found if isinstance(found, Reject) else next(vectors)
            progress.advance(len(batch))
    finally:
        progress.finish()


def _chunks(images: Iterable[tuple[str, Image]], size: int) -> Iterator[list[tuple[str, Image]]]:
    iterator = iter(images)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk


def _prepare(encoder: Encoder, batch: list[tuple[str, Image]]) -> list[Any]:
    made: list[Any] = []
    for sha, image in batch:
        try:
            made.append(encoder.prepare(image))
        except UNDECODABLE as error:
            message = f"image cannot be decoded: {error}"
            made.append(Reject("", STAGE, RejectReason.IMAGE_UNDECODABLE, message, sha))
    return made


def _write(stem: Path, features: Features) -> None:
    """Vectors first, the note that names their rows last: an entry exists if and only if its note does."""
    buffer = io.BytesIO()
    np.save(buffer, features.vectors, allow_pickle=False)
    atomic.write_bytes(stem.with_suffix(".npy"), buffer.getbuffer())
    note = {"rows": list(features.row), "bad": {sha: r.message for sha, r in features.bad.items()}}
    atomic.write_bytes(stem.with_suffix(".json"), json.dumps(note).encode())


def _read(stem: Path) -> Features | None:
    try:
        note = json.loads(stem.with_suffix(".json").read_bytes())
        vectors: F32 = np.load(stem.with_suffix(".npy"), allow_pickle=False)
    except (FileNotFoundError, ValueError):
        return None  # not there, or damaged: it is computed and written anew
    bad = {sha: Reject("", STAGE, RejectReason.IMAGE_UNDECODABLE, message, sha) for sha, message in note["bad"].items()}
    return Features(vectors, {sha: i for i, sha in enumerate(note["rows"])}, bad)
