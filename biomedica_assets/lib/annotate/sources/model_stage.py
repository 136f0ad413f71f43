"""The stages ``label_model`` and ``model_labels``: the label model taught, kept on the disk, and asked chunk by chunk.

Belongs here: reading and writing. What is learnt, and how, is ``model``.
"""

from __future__ import annotations

import importlib
import json
import time
from typing import Any

import numpy as np
import polars as pl

from biomedica_assets.lib.annotate.sources import model as learning
from biomedica_assets.lib.annotate.sources.claims import MODEL_KEPT, MODEL_LEAST
from biomedica_assets.lib.annotate.sources.model import Floats, LabelModel
from biomedica_assets.lib.annotate.taxonomy.model import load
from biomedica_assets.lib.errors import PermanentFailure, StoreError, WaitingFor
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.store.lake import Lake, file_entry
from biomedica_assets.lib.store.manifest import FileEntry, digest
from biomedica_assets.lib.store.vectors import vectors_of
from biomedica_assets.lib.tables import EMBEDDING_SHELF, EMBEDDINGS, IMAGES, LABEL_CLAIMS, LABEL_MODEL, MODEL_LABELS

VERSION = f"2.{learning.VERSION}"
FOLDER = "models/labels"
MOST = 40_000  # images that teach: 160 MB of vectors at 1 024 dimensions
BLOCK = 16_384  # rows of a chunk in memory at a time
_TENSORS = ("mean", "components", "weights", "offsets", "slope", "shift")


def check_labels(lake: Lake) -> None:
    """Make sure that there is something to learn from, without teaching anything.

    Raises:
        WaitingFor: no image of the shelves has a vector.
    """
    made = [lake.manifest(EMBEDDING_SHELF, shelf) for shelf in lake.partitions(EMBEDDING_SHELF)]
    if made and not any(manifest.rows for manifest in made if manifest):
        raise WaitingFor(
            "images with a vector: the label model learns from those",
            "take articles whose images the source has (`biomedica status` says what was left out and why)",
        )


def stage_model(lake: Lake) -> Report:
    """Publish ``label_model`` from the claims on the sample of every shelf and the vectors of those images.

    Where the sources show too little to learn any concept there is no model, and the table is empty: were that waiting,
    a model of labels that are gone would stay, and what a data directory holds would hang on its past.

    Raises:
        PermanentFailure: shelves were embedded by different encoders.
    """
    began, taxonomy = time.perf_counter(), load()
    shelves = lake.partitions(EMBEDDING_SHELF)
    claimed = lake.partitions(LABEL_CLAIMS)
    inputs = lake.inputs(*((LABEL_CLAIMS, s) for s in claimed), *((EMBEDDING_SHELF, s) for s in shelves))
    claims = lake.scan(LABEL_CLAIMS, claimed).drop("shelf").collect()
    at = lake.scan(EMBEDDING_SHELF, shelves).select("media_id", "row", "shelf").join(
        claims.lazy().select("media_id", "source").unique(), on="media_id", how="semi"
    )  # fmt: skip
    places = _drawn(at.collect(), set(claims.filter(source="person")["media_id"]))
    taught = learning.targets(claims.filter(pl.col("media_id").is_in(places["media_id"].implode())), taxonomy)
    if not taught.concepts:
        return _nothing(lake, inputs, taxonomy.version, began)
    encoder, encoder_digest = _one_encoder(lake, shelves)
    vectors = _gathered(lake, places.join(pl.DataFrame({"media_id": taught.media_ids}), on="media_id"))
    model, p = learning.fit(vectors, taught, taxonomy)
    known = learning.ordered(p, model.concepts, taxonomy)
    frame = _answers(taught, known)
    card: dict[str, Any] = {
        "concepts": model.concepts,
        "encoder": encoder,
        "encoder_digest": encoder_digest,
        "images": len(taught.media_ids),
        "judged": int(taught.judged.sum()),
        "taxonomy_version": taxonomy.version,
        "version": VERSION,
    }
    name, files = _save(lake, model, card)
    manifest = lake.publish(
        LABEL_MODEL,
        None,
        frame,
        code_version=VERSION,
        inputs=inputs,
        config={"taxonomy_version": taxonomy.version, "most": MOST},
        n_in=frame.height,
        n_out=frame.height,
        files=files,
        metrics={"model": name, "encoder": encoder, "encoder_digest": encoder_digest},
        identity=name,
    )
    told = frame.filter(pl.col("wanted").is_not_null())
    by_concept = (
        told.group_by("concept_id")
        .agg(
            images=(pl.col("wanted") > 0.5).sum(),
            named=(pl.col("probability") >= MODEL_LEAST).sum(),
            right=((pl.col("probability") >= MODEL_LEAST) & (pl.col("wanted") > 0.5)).sum(),
            brier=((pl.col("probability") - pl.col("wanted")) ** 2).mean(),
        )
        .sort("images", "concept_id", descending=[True, False])
    )
    return Report(
        asset=LABEL_MODEL.name,
        partition=None,
        data_version=manifest.data_version,
        rows=frame.height,
        n_in=frame.height,
        n_out=frame.height,
        bytes_written=manifest.bytes,
        seconds=time.perf_counter() - began,
        metrics={
            "model": name,
            "images": len(taught.media_ids),
            "images_judged": int(taught.judged.sum()),
            "concepts": len(model.concepts),
            "brier_on_unseen_articles": float(((told["probability"] - told["wanted"]) ** 2).mean() or 0.0)  # pyright: ignore
            if told.height
            else None,
        },
        preview=tuple(by_concept.head(20).iter_rows(named=True)),
    )


def stage_model_labels(lake: Lake, chunk: str) -> Report:
    """Publish ``model_labels`` of one chunk; memory holds one block of vectors, however large the chunk is.

    Raises:
        StoreError: the model or the chunk's embeddings are not there.
        PermanentFailure: the chunk was embedded by another encoder than the model has learnt with.
    """
    began, taxonomy = time.perf_counter(), load()
    inputs = lake.inputs((EMBEDDINGS, chunk), (IMAGES, chunk), (LABEL_MODEL, None))
    found_model = read_model(lake)
    if found_model is None:
        return _unlabelled(lake, chunk, inputs, taxonomy.version, began)
    model, card, name = found_model
    made = lake.manifest(EMBEDDINGS, chunk)
    if made is not None and made.metrics["encoder_digest"] != card["encoder_digest"]:
        raise PermanentFailure(
            f"chunk {chunk} was embedded by {made.metrics['encoder']} ({str(made.metrics['encoder_digest'])[:8]}), the "
            f"label model has learnt with {card['encoder']} ({str(card['encoder_digest'])[:8]}). "
            "Materialise the chunk's embeddings, or embedding_shelf and label_model, again"
        )
    vectors = vectors_of(lake, EMBEDDINGS, chunk)
    articles = lake.read_lazy(IMAGES, chunk).select("media_id", "article_id")
    rows = lake.read_lazy(EMBEDDINGS, chunk).select("media_id", "row").join(articles, on="media_id").sort("row")
    ids = rows.collect()
    parts = [MODEL_LABELS.empty().drop("model")]
    for first in range(0, vectors.rows, BLOCK):
        block = vectors.read(first, first + BLOCK)
        mine = ids.filter(pl.col("row").is_between(first, first + len(block) - 1))
        here = block[mine["row"].to_numpy() - first]
        p = learning.answers(model, here.astype(np.float32), mine["article_id"].to_list(), taxonomy)
        found = learning.long(mine["media_id"].to_list(), model.concepts, p)
        kept = found.filter(pl.col("probability") >= MODEL_KEPT)
        parts.append(kept.filter((pl.col("probability") >= MODEL_LEAST).any().over("media_id")))
    frame = pl.concat(parts).with_columns(model=pl.lit(name)).sort(MODEL_LABELS.key)
    spoken = frame["media_id"].n_unique()
    manifest = lake.publish(
        MODEL_LABELS,
        chunk,
        frame,
        code_version=VERSION,
        inputs=inputs,
        config={"taxonomy_version": taxonomy.version},
        n_in=ids.height,
        n_out=ids.height,
        metrics={"model": name},
    )
    return Report(
        asset=MODEL_LABELS.name,
        partition=chunk,
        data_version=manifest.data_version,
        rows=frame.height,
        n_in=ids.height,
        n_out=ids.height,
        bytes_written=manifest.bytes,
        seconds=time.perf_counter() - began,
        metrics={"model": name, "images": ids.height, "labelled": spoken, "abstained": ids.height - spoken},
        preview=tuple(frame.head(12).iter_rows(named=True)),
    )


def _nothing(lake: Lake, inputs: dict[str, str], version: str, began: float) -> Report:
    """An empty ``label_model``: there is too little to learn from."""
    manifest = lake.publish(
        LABEL_MODEL, None, LABEL_MODEL.empty(), code_version=VERSION, inputs=inputs,
        config={"taxonomy_version": version, "most": MOST}, n_in=0, n_out=0, metrics={"model": ""},
    )  # fmt: skip
    needed = f"none: no concept has {learning.LEAST_IMAGES} images of {learning.LEAST_ARTICLES} articles, and as many "
    return Report(
        asset=LABEL_MODEL.name, partition=None, data_version=manifest.data_version, rows=0, n_in=0, n_out=0,
        bytes_written=manifest.bytes, seconds=time.perf_counter() - began,
        metrics={"model": f"{needed}without it; take more articles, or label clusters", "concepts": 0},
    )  # fmt: skip


def _unlabelled(lake: Lake, chunk: str, inputs: dict[str, str], version: str, began: float) -> Report:
    """``model_labels`` of a chunk where there is no model."""
    n = lake.read(EMBEDDINGS, chunk).height
    manifest = lake.publish(
        MODEL_LABELS, chunk, MODEL_LABELS.empty(), code_version=VERSION, inputs=inputs,
        config={"taxonomy_version": version}, n_in=n, n_out=n, metrics={"model": ""},
    )  # fmt: skip
    return Report(
        asset=MODEL_LABELS.name, partition=chunk, data_version=manifest.data_version, rows=0, n_in=n, n_out=n,
        bytes_written=manifest.bytes, seconds=time.perf_counter() - began,
        metrics={"images": n, "labelled": 0, "abstained": n},
    )  # fmt: skip


def read_model(lake: Lake) -> tuple[LabelModel, dict[str, Any], str] | None:
    """The current model, its card and its digest; None if there was too little to learn from.

    Raises:
        StoreError: there is none, or its files are damaged.
    """
    manifest = lake.manifest(LABEL_MODEL, None)
    if manifest is None:
        raise StoreError("label_model has not been materialised; do that first")
    safetensors: Any = importlib.import_module("safetensors.numpy")
    errors: Any = importlib.import_module("safetensors")
    name = str(manifest.metrics["model"])
    if not name:
        return None
    path = lake.root / FOLDER / f"{name}.safetensors"
    try:
        tensors = safetensors.load_file(path)
        card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        return LabelModel(card["concepts"], **{key: tensors[key] for key in _TENSORS}), card, name
    except (OSError, ValueError, KeyError, errors.SafetensorError) as error:
        raise StoreError(f"the label model {path} cannot be read ({error}); materialise label_model again") from error


def _save(lake: Lake, model: LabelModel, card: dict[str, Any]) -> tuple[str, list[FileEntry]]:
    """Write a model below ``models/labels``; earlier ones stay until they are collected."""
    safetensors: Any = importlib.import_module("safetensors.numpy")
    data: bytes = safetensors.save({key: np.ascontiguousarray(getattr(model, key)) for key in _TENSORS})
    text = json.dumps(card, sort_keys=True, indent=1, ensure_ascii=False) + "\n"
    name = digest(data.hex(), text)[:16]
    paths = [lake.root / FOLDER / f"{name}.{kind}" for kind in ("json", "safetensors")]
    for path, content in zip(paths, (text.encode(), data), strict=True):
        atomic.write_bytes(path, content)
    return name, [file_entry(lake, path) for path in paths]


def _drawn(at: pl.DataFrame, judged: set[str]) -> pl.DataFrame:
    """Places of at most ``MOST`` images by a hash of their id, those that people judged first; sorted by id."""
    order = pl.Series([learning.rank_of(media_id) for media_id in at["media_id"]], dtype=pl.UInt64)
    known = at.with_columns(_other=~pl.col("media_id").is_in(sorted(judged)), _order=order)
    return known.sort("_other", "_order").head(MOST).drop("_other", "_order").sort("media_id")


def _gathered(lake: Lake, places: pl.DataFrame) -> Floats:
    """Vectors of images (media_id, row, shelf), float32, in the order of their ids."""
    places = places.sort("media_id").with_row_index("place")
    found: Floats | None = None
    for (shelf,), group in places.group_by("shelf", maintain_order=True):
        vectors = vectors_of(lake, EMBEDDING_SHELF, str(shelf))
        if found is None:
            found = np.empty((places.height, vectors.dimension), dtype=np.float32)
        found[group["place"].to_numpy()] = vectors.map()[group["row"].to_numpy()]
    return np.empty((0, 1), dtype=np.float32) if found is None else found


def _answers(taught: learning.Targets, p: Floats) -> pl.DataFrame:
    """Answers of the model to the images that taught it, in the schema of ``label_model``."""
    frame = learning.long(taught.media_ids, taught.concepts, p)
    wanted = pl.Series("wanted", taught.wanted.reshape(-1), dtype=pl.Float32).fill_nan(None)
    n = len(taught.concepts)
    return (
        frame.with_columns(
            wanted,
            article_id=pl.Series(np.repeat(np.array(taught.article_ids, dtype=object), n).tolist(), dtype=pl.String),
            judged=pl.Series(np.repeat(taught.judged, n)),
        )
        .select(LABEL_MODEL.schema.names())
        .sort(LABEL_MODEL.key)
    )


def _one_encoder(lake: Lake, shelves: list[str]) -> tuple[str, str]:
    """Name and digest of the encoder that made all shelves."""
    manifests = [m for shelf in shelves if (m := lake.manifest(EMBEDDING_SHELF, shelf)) is not None]
    made_by = {(str(m.metrics["encoder"]), str(m.metrics["encoder_digest"])) for m in manifests}
    if len(made_by) != 1:
        listed = ", ".join(sorted(f"{name} ({key[:8]})" for name, key in made_by)) or "none"
        raise PermanentFailure(
            f"shelves were embedded by different encoders ({listed}); materialise the outdated embeddings again"
        )
    return next(iter(made_by))
