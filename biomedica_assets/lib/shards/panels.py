"""Panels as samples: fill the ``panel_shards`` table of one chunk.

Belongs here: which panels become samples, how they are cropped and encoded. They are cropped when shards are written,
not when they are read: a stream then hands on the bytes of panels as it does those of whole pictures, with a check of
each sample, from files or over HTTP, and without a picture library. It costs room, so it is done only where a recipe
takes panels. Equal pictures, boxes and versions of Pillow's codecs give equal bytes.

A panel of a JPEG is a JPEG of quality 95 without chroma subsampling, any other a PNG with exactly the pixels that were
cropped.
"""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
from PIL import Image

from biomedica_assets.lib.compute import Engine, results
from biomedica_assets.lib.errors import PermanentFailure, Reject, RejectReason
from biomedica_assets.lib.images.canonical import VERSION as CANONICAL
from biomedica_assets.lib.images.canonical import open_canonical
from biomedica_assets.lib.progress import SILENT, Progress, track
from biomedica_assets.lib.report import Report, Scalar
from biomedica_assets.lib.shards import sample as records
from biomedica_assets.lib.shards.config import PanelConfig
from biomedica_assets.lib.shards.order import Sample, plan
from biomedica_assets.lib.shards.writer import write_shard
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.store.lake import Lake, file_entry
from biomedica_assets.lib.tables import PANEL_BOXES, PANEL_SHARDS, SHARDS, SUBCAPTIONS

VERSION = f"1.{CANONICAL}"
QUALITY = 95
FOLDER = PANEL_SHARDS.name
_PICTURES = 16  # in a batch
_LABELLED = 1 << 63
"""Bit of ``Sample.filled`` for a panel with a label; the others are those of ``sample.filled``."""

Box = tuple[int, int, int, int]
Measure = Callable[[bytes], Any]
"""What an image file is, as ``images.verify.measure`` says it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Whole:
    """A picture in its shard, and the panels to be cut from it.

    Attributes:
        shard: its tar.
        start: first byte of the image's data.
        bytes: size of the image.
        ext: extension of the panels' files.
        panels: file name, without extension, and box of each panel.
    """

    shard: Path
    start: int
    bytes: int
    ext: str
    panels: tuple[tuple[str, Box], ...]


def build_panel_shards(
    lake: Lake,
    chunk: str,
    *,
    config: PanelConfig,
    measure: Measure,
    engine: Engine | None = None,
    progress: Progress = SILENT,
) -> Report:
    """Crop the panels of the samples of one chunk, write them as shards, and publish their index.

    A panel becomes a sample if its picture is one, has several panels, and words of the caption are tied to it. Single
    pictures are not written again: a recipe of panels takes them from ``shards``.

    Args:
        lake: reads ``shards``, ``panel_boxes`` and ``subcaptions`` of the chunk.
        chunk: partition key.
        config: which panels, and how they are ordered.
        measure: measures a file that was written; of a module, so that a worker can run it.
        engine: where pictures are cropped; None does it here.
        progress: told of each picture.

    Raises:
        PermanentFailure: a shard does not hold what its table says.
        StoreError: an input is missing or the disk cannot be written.
    """
    began = time.monotonic()
    inputs = lake.inputs(*((table, chunk) for table in (SHARDS, PANEL_BOXES, SUBCAPTIONS)))
    panels = _panels(lake, chunk) if config.wanted else pl.DataFrame()
    draft = lake.root / FOLDER / f"{atomic.TEMPORARY_PREFIX}{chunk}-{os.getpid()}"
    for left in (lake.root / FOLDER).glob(f"{atomic.TEMPORARY_PREFIX}{chunk}-*/"):
        shutil.rmtree(left)  # the lease of the partition is ours: whoever wrote it is gone
    for folder in (lake.root / FOLDER).glob("*/"):
        atomic.sweep(folder, of=f"{chunk}-")
    try:
        draft.mkdir(parents=True)
        samples, rejects = _cropped(lake, panels, draft, config, measure, engine, progress)
        planned = plan(chunk, (sample for sample, _ in samples.values()), config.shards)
        written = [write_shard(lake.root, one, below=FOLDER) for one in planned]
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    rejects += [reject for shard in written for reject in shard.rejects]
    rows: list[dict[str, object]] = []
    for shard in written:
        for position, entry in enumerate(shard.entries):
            if shard.path is None:
                raise ValueError("a shard with entries has a file")
            sample, row = samples[entry.sample.key]
            rows.append(
                {
                    **{name: row[name] for name in ("media_id", "figure_id", "article_id", "license_group", "panel")},
                    "sample_key": sample.key,
                    "link_score": row["link_score"],
                    "source_sha256": row["sha256"],
                    "shard": lake.path_below(shard.path),
                    "position": position,
                    "start": entry.start,
                    "end": entry.end,
                    "image_ext": sample.extension,
                    "image_start": entry.image_start,
                    "image_bytes": sample.image_bytes,
                    "txt_start": entry.txt_start,
                    "txt_bytes": len(sample.txt),
                    "json_start": entry.json_start,
                    "json_bytes": len(sample.json),
                    "sha256": sample.sha256,
                    "check": entry.check,
                }
            )
    files = [file_entry(lake, shard.path, shard.sha256) for shard in written if shard.path]
    frame = PANEL_SHARDS.frame(rows)
    manifest = lake.publish(
        PANEL_SHARDS,
        chunk,
        frame,
        code_version=VERSION,
        inputs=inputs,
        config=config.recorded(),
        rejects=rejects,
        n_in=panels.height,
        n_out=frame.height,
        files=files,
    )
    size = sum(entry.bytes for entry in files)
    metrics: dict[str, Scalar] = {"wanted_by_a_recipe": config.wanted, "shards": len(files)}
    metrics |= {"shard_megabytes": round(size / 1e6, 3), "pictures": frame["media_id"].n_unique()}
    return Report(
        asset=PANEL_SHARDS.name,
        partition=chunk,
        data_version=manifest.data_version,
        rows=frame.height,
        n_in=manifest.n_in,
        n_out=manifest.n_out,
        rejects=manifest.rejects,
        bytes_written=manifest.bytes,
        seconds=time.monotonic() - began,
        metrics=metrics,
        preview=tuple(frame.select("sample_key", "shard", "position", "image_bytes", "txt_bytes").head(5).to_dicts()),
    )


def _panels(lake: Lake, chunk: str) -> pl.DataFrame:
    """Panels of compound pictures that are samples, with where the picture lies and what is said of the panel."""
    whole = lake.read(SHARDS, chunk).select(
        *("media_id", "license_group", "shard", "image_start", "image_bytes", "image_ext", "sha256"),
        *("json_start", "json_bytes"),
    )
    boxes = lake.read(PANEL_BOXES, chunk).filter(pl.col("n_panels") > 1).drop("sha256", "told")
    texts = lake.read(SUBCAPTIONS, chunk).select("figure_id", "part", "spans", "words").explode("spans", "words")
    spoken = boxes.select("media_id", "figure_id", "panel", pl.col("parts").alias("part")).explode("part")
    said = spoken.join(texts, on=["figure_id", "part"]).unnest("spans")
    # What two sub-captions of a panel share is read once.
    said = said.unique(["media_id", "panel", "start"]).sort("media_id", "panel", "start")
    text = said.group_by("media_id", "panel").agg(pl.col("words").str.join(" ").alias("text"))
    found = boxes.join(whole, on="media_id").join(text, on=["media_id", "panel"], how="left")
    return found.sort("media_id", "panel")


def _cropped(
    lake: Lake,
    panels: pl.DataFrame,
    draft: Path,
    config: PanelConfig,
    measure: Measure,
    engine: Engine | None,
    progress: Progress,
) -> tuple[dict[str, tuple[Sample, dict[str, Any]]], list[Reject]]:
    """Crop panels into files; returns the sample and the row of each by key, and those that are none."""
    samples: dict[str, tuple[Sample, dict[str, Any]]] = {}
    rejects: list[Reject] = []
    wholes: list[Whole] = []
    kept: list[list[dict[str, Any]]] = []
    for part in panels.partition_by("media_id", maintain_order=True) if panels.height else ():
        refused = [(row, _refusal(row, config)) for row in part.iter_rows(named=True)]
        rejects += [Reject(row["article_id"], FOLDER, *why, _key(row)) for row, why in refused if why]
        good = [row for row, why in refused if why is None]
        if good:
            first = good[0]
            ext = "jpg" if first["image_ext"] == "jpg" else "png"
            cuts = tuple((_key(row), (row["x0"], row["y0"], row["x1"], row["y1"])) for row in good)
            place = (first["image_start"], first["image_bytes"])
            wholes.append(Whole(lake.root / first["shard"], *place, ext, cuts))
            kept.append(good)
    batches = [(draft, tuple(wholes[i : i + _PICTURES]), measure) for i in range(0, len(wholes), _PICTURES)]
    cropped = itertools.chain.from_iterable(results(engine, crop_batch, batches))
    made = track(cropped, progress, "crop panels", len(wholes), "images")
    for whole, rows, found in zip(wholes, kept, made, strict=True):
        if isinstance(found, str):
            raise PermanentFailure(found)
        record: dict[str, Any] = _record(lake, rows[0])
        for row, measured in zip(rows, found, strict=True):
            sample = _sample(lake, draft, row, whole.ext, measured, record)
            samples[sample.key] = sample, row
    return samples, rejects


def crop_batch(batch: tuple[Path, tuple[Whole, ...], Measure]) -> list[list[Any] | str]:
    """Write the panels of each picture, and measure the files; of the module, so that a worker can run it.

    Each picture is decoded once.

    Args:
        batch: folder to write to, pictures, and what measures.

    Returns:
        For each picture what its panels' files are, or what is wrong with it.
    """
    folder, wholes, measure = batch
    found: list[list[Any] | str] = []
    for whole in wholes:
        try:
            with whole.shard.open("rb") as tar:
                tar.seek(whole.start)
                picture = open_canonical(tar.read(whole.bytes))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            found.append(
                f"{whole.shard} at byte {whole.start:,}: the picture that was verified cannot be decoded ({error}); "
                "materialise shards again"
            )
            continue
        measured: list[Any] = []
        for name, box in whole.panels:
            data = encoded(picture.crop(box), whole.ext)
            (folder / f"{name}.{whole.ext}").write_bytes(data)
            measured.append(measure(data))
        found.append(measured)
    return found


def encoded(panel: Image.Image, ext: str) -> bytes:
    """A panel as a file: jpg or png, without metadata."""
    buffer = io.BytesIO()
    if ext == "jpg":
        panel.save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    else:
        panel.save(buffer, "PNG")
    return buffer.getvalue()


def _key(row: dict[str, Any]) -> str:
    return f"{row['media_id']}-p{row['panel']:02d}"


def _refusal(row: dict[str, Any], config: PanelConfig) -> tuple[RejectReason, str] | None:
    """Why a panel is no sample."""
    if not (row["text"] or "").strip():
        return RejectReason.CAPTION_MISSING, "no words of the caption are tied to the panel"
    width, height = row["x1"] - row["x0"], row["y1"] - row["y0"]
    if min(width, height) < config.min_side:
        return (
            RejectReason.IMAGE_TOO_SMALL,
            f"{width} x {height} pixels, each side needs {config.min_side} (min_side)",
        )
    return None


def _record(lake: Lake, row: dict[str, Any]) -> dict[str, Any]:
    """The record of the whole picture, from its shard."""
    path = lake.root / row["shard"]
    try:
        with path.open("rb") as tar:
            tar.seek(row["json_start"])
            return json.loads(tar.read(row["json_bytes"]))
    except (OSError, ValueError) as error:
        raise PermanentFailure(
            f"{path} does not hold the record of {row['media_id']} ({error}); materialise shards again"
        ) from error


def _sample(lake: Lake, draft: Path, row: dict[str, Any], ext: str, measured: Any, whole: dict[str, Any]) -> Sample:
    key = _key(row)
    entry = records.panel_record(
        whole,
        {
            "sample_key": key,
            "image_format": measured.format,
            "image_mode": measured.mode,
            "width": measured.width,
            "height": measured.height,
            "orientation": measured.orientation,
            "n_frames": measured.n_frames,
            "image_bytes": measured.bytes,
            "sha256": measured.sha256,
            "pixel_hash": measured.pixel_hash,
            "phash": f"{measured.phash:016x}",
        },
        {
            "panel": row["panel"],
            "panel_label": row["label"],
            **{f"panel_{edge}": row[edge] for edge in ("x0", "y0", "x1", "y1")},
            "panel_method": row["method"],
            "panel_link_score": round(row["link_score"], 3),
        },
    )
    return Sample(
        key=key,
        figure_id=row["figure_id"],
        article_id=row["article_id"],
        license_group=row["license_group"],
        extension=ext,
        path=lake.path_below(draft / f"{key}.{ext}"),
        image_bytes=measured.bytes,
        sha256=measured.sha256,
        crc32=measured.crc32,
        txt=row["text"].encode(),
        json=records.encode(entry),
        filled=records.filled(entry) | (_LABELLED if row["label"] else 0),
    )
