"""Write a release as BIOMEDICA's WebDataset: one tar per shard, jpg + txt + json, and a note of what differs."""

from __future__ import annotations

import dataclasses
import io
import json
import tarfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from PIL import Image

from biomedica_assets.lib.errors import PermanentFailure, Reject, RejectReason
from biomedica_assets.lib.progress import SILENT, Progress, track
from biomedica_assets.lib.release import compat
from biomedica_assets.lib.release import manifest as manifests
from biomedica_assets.lib.release.copies import scan
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.tables import (
    ARTICLE_INDEX,
    ARTICLES,
    CAPTIONS,
    FIGURE_LABELS,
    FIGURES,
    IMAGES,
    MENTIONS,
    PUBMED_RECORDS,
    SHARDS,
    TAXONOMY,
)

STAGE = "biomedica-compat"
NOTE, SUMMARY = "KNOWN_DIFFERENCES.md", "export.json"
QUALITY = 95
_ARTICLE = ("title", "journal", "date", "abstract", "keywords", "n_references", "subjects")


@dataclasses.dataclass(frozen=True, slots=True)
class Export:
    """What was written: samples in, out and left out, and how many images were encoded anew."""

    n_in: int
    n_out: int
    encoded: int
    rejects: tuple[Reject, ...]
    tars: tuple[str, ...]


def export_biomedica(release: Path, target: Path, progress: Progress = SILENT) -> Export:
    """Write ``<licence group>/<shard>.tar`` below ``target`` for every shard of a release.

    Args:
        release: folder of the release; nothing else is read.
        target: a folder that does not exist or is empty.
        progress: counts shards.

    Raises:
        PermanentFailure: the target holds something.
        StoreError: it is no release, or the disk cannot be written.
    """
    manifest = manifests.load(release)
    if target.exists() and any(target.iterdir()):
        raise PermanentFailure(f"{target} is not empty; name a folder of its own for the export")
    names = dict(scan(release, TAXONOMY).select("concept_id", "label").collect().iter_rows())
    rejects: list[Reject] = []
    tars: list[str] = []
    n_in = encoded = 0
    shards = sorted(manifest.kind("shard"), key=lambda file: file.path)
    for shard in track(shards, progress, "export for BIOMEDICA's readers", len(shards), "shards"):
        rows = _rows(release, shard.path)
        n_in += rows.height
        path = target / shard.path.removeprefix("shards/")
        with atomic.replacing(path) as temporary, tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
            for sample in _samples(release, shard.path, rows, names):
                if isinstance(sample, Reject):
                    rejects.append(sample)
                    continue
                encoded += sample.encoded
                for extension, data in (("jpg", sample.jpg), ("txt", sample.txt), ("json", sample.json)):
                    member = tarfile.TarInfo(f"{sample.key}.{extension}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
        tars.append(path.relative_to(target).as_posix())
    atomic.write_bytes(target / NOTE, compat.DIFFERENCES.encode())
    found = Export(n_in, n_in - len(rejects), encoded, tuple(rejects), tuple(tars))
    atomic.write_bytes(target / SUMMARY, _summary(manifest.version, found))
    return found


@dataclasses.dataclass(frozen=True, slots=True)
class _Sample:
    key: str
    jpg: bytes
    txt: bytes
    json: bytes
    encoded: bool


def _rows(release: Path, shard: str) -> pl.DataFrame:
    """Samples of a shard in its order, joined with everything a record needs."""
    samples = scan(release, SHARDS).filter(shard=shard).collect().sort("position").lazy()
    articles = scan(release, ARTICLES).select("article_id", *_ARTICLE, pl.col("license_code").alias("article_license"))
    pubmed = scan(release, PUBMED_RECORDS).select(
        "article_id", "mesh", "references", pl.col("abstract").alias("pubmed_abstract")
    )
    labels = scan(release, FIGURE_LABELS).select(
        "media_id", "cluster", "panel_type", "panel_subtype", "global", "local"
    )
    joined = (
        samples.join(scan(release, IMAGES).select("media_id", "key", "pixel_hash", "width", "height"), on="media_id")
        .join(scan(release, FIGURES).select("figure_id", "license_code"), on="figure_id", how="left")
        .join(scan(release, CAPTIONS).select("figure_id", "caption"), on="figure_id", how="left")
        .join(articles, on="article_id", how="left")
        .join(scan(release, ARTICLE_INDEX).select("article_id", "citation"), on="article_id", how="left")
        .join(pubmed, on="article_id", how="left")
        .join(labels, on="media_id", how="left")
    )
    return joined.sort("position").collect()


def _samples(release: Path, shard: str, rows: pl.DataFrame, names: Mapping[str, str]) -> Iterator[_Sample | Reject]:
    articles = rows["article_id"].unique().implode()
    together = _by(
        scan(release, SHARDS)
        .filter(pl.col("article_id").is_in(articles))
        .join(scan(release, IMAGES).select("media_id", "key", "pixel_hash"), on="media_id")
        .join(scan(release, CAPTIONS).select("figure_id", "caption"), on="figure_id")
        .sort("key", "media_id")
        .select("article_id", "key", "pixel_hash", "caption"),
        "article_id",
    )
    cited = _by(
        scan(release, MENTIONS).filter(pl.col("article_id").is_in(articles)).sort("ordinal", "mention_id"), "figure_id"
    )
    with (release / shard).open("rb") as tar:
        for row in rows.iter_rows(named=True):
            tar.seek(row["image_start"])
            data = tar.read(row["image_bytes"])
            is_jpeg = row["image_ext"] == "jpg"
            if not is_jpeg and str(row["license_code"]).endswith("ND"):
                message = f"{row['image_ext']} under {row['license_code']} cannot be passed on as JPEG"
                yield Reject(row["article_id"], STAGE, RejectReason.LICENSE_NOT_ALLOWED, message, row["sample_key"])
                continue
            mentions = [mention["text"] for mention in cited.get(row["figure_id"], ())]
            entry = compat.record(row, together.get(row["article_id"], ()), mentions, names)
            yield _Sample(
                row["sample_key"],
                data if is_jpeg else _as_jpeg(data),
                row["caption"].encode(),
                json.dumps(entry, ensure_ascii=False).encode(),
                not is_jpeg,
            )


def _by(rows: pl.LazyFrame, column: str) -> dict[str, Sequence[dict[str, Any]]]:
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows.collect().iter_rows(named=True):
        found[row[column]].append(row)
    return dict(found)


def _as_jpeg(data: bytes) -> bytes:
    """First frame as JPEG; transparency on white, deep greys scaled to 8 bits."""
    with Image.open(io.BytesIO(data)) as opened:
        image: Image.Image = opened.convert("I").point(lambda v: v / 256) if opened.mode.startswith("I") else opened
        if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
            layer = image.convert("RGBA")
            flat = Image.new("RGBA", layer.size, "white")
            flat.alpha_composite(layer)
            image = flat
        grey = image.mode in {"L", "1", "I"}
        buffer = io.BytesIO()
        image.convert("L" if grey else "RGB").save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return buffer.getvalue()


def _summary(version: str, found: Export) -> bytes:
    values = {
        "release": version, "fields": list(compat.FIELDS), "samples_in": found.n_in, "samples_out": found.n_out,
        "encoded_as_jpeg": found.encoded, "left_out": dict(Counter(r.reason.value for r in found.rejects)),
        "left_out_samples": [[r.subject, r.reason.value, r.message] for r in found.rejects], "tars": list(found.tars),
    }  # fmt: skip
    return (json.dumps(values, indent=1) + "\n").encode()
