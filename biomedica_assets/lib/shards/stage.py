"""Fill the ``shards`` table of one chunk: join, choose, order, write, publish."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from biomedica_assets.lib.chunks import parse_article_id
from biomedica_assets.lib.errors import PermanentFailure, Reject, RejectReason
from biomedica_assets.lib.progress import SILENT, Progress
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.shards import sample as records
from biomedica_assets.lib.shards.config import ShardConfig
from biomedica_assets.lib.shards.order import Sample, plan
from biomedica_assets.lib.shards.writer import STAGE, Entry, Written, write_shard
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.store.lake import Lake, file_entry
from biomedica_assets.lib.tables import ARTICLES, CAPTIONS, FIGURES, IMAGES, MENTIONS, SHARDS

VERSION = "shards-4"

# Member extension by format; the ones webdataset, datasets and open_clip know. open_clip_train reads jpg, png and webp.
EXTENSIONS = {"jpeg": "jpg", "png": "png", "gif": "gif", "tiff": "tif", "webp": "webp", "bmp": "bmp"}


def build_shards(lake: Lake, chunk: str, *, config: ShardConfig, progress: Progress = SILENT) -> Report:
    """Write the shards of one chunk and publish their index.

    New shards are written beside the old ones, then the manifest names the new ones. The old ones stay: recipes,
    streams, exports and trainings were made from them and go on reading them, until ``lib.store.gc`` finds that
    nothing names them any more.

    Args:
        lake: reads ``images``, ``figures``, ``captions``, ``mentions`` and ``articles`` of the chunk.
        chunk: partition key.
        config: what goes in, in which order, in which sizes.
        progress: counts samples.

    Raises:
        PermanentFailure: an image belongs to a figure or article that the other tables lack.
        StoreError: an input is missing or the disk cannot be written.
    """
    began = time.monotonic()
    inputs = lake.inputs(*((table, chunk) for table in (IMAGES, FIGURES, CAPTIONS, MENTIONS, ARTICLES)))
    images = _joined(lake, chunk)
    samples, rejects = _choose(images, _mentions(lake, chunk), _images_version(lake, chunk), config)
    for folder in (lake.root / "shards").glob("*/"):
        atomic.sweep(folder, of=f"{chunk}-")
    progress.start("write shards", len(samples), "samples")
    try:
        written = [write_shard(lake.root, planned, progress.advance) for planned in plan(chunk, samples, config)]
    finally:
        progress.finish()
    rejects += [reject for shard in written for reject in shard.rejects]
    rows = [_row(lake, shard, position, e) for shard in written for position, e in enumerate(shard.entries)]
    files = [file_entry(lake, shard.path, shard.sha256) for shard in written if shard.path]
    frame = SHARDS.frame(rows)
    manifest = lake.publish(
        SHARDS,
        chunk,
        frame,
        code_version=VERSION,
        inputs=inputs,
        config=config.recorded(),
        rejects=rejects,
        n_in=images.height,
        n_out=frame.height,
        files=files,
    )
    seconds = time.monotonic() - began
    size = sum(entry.bytes for entry in files)
    return Report(
        asset=SHARDS.name,
        partition=chunk,
        data_version=manifest.data_version,
        rows=frame.height,
        n_in=manifest.n_in,
        n_out=manifest.n_out,
        rejects=manifest.rejects,
        bytes_written=manifest.bytes,
        seconds=seconds,
        metrics={
            "shards": len(files),
            "shard_megabytes": round(size / 1e6, 3),
            "samples_per_second": round(frame.height / seconds, 1),
            "megabytes_per_second": round(size / 1e6 / seconds, 1),
            "license_groups": _counts(frame["license_group"]),
            "formats": _counts(frame["image_ext"]),
        },
        preview=tuple(frame.select("sample_key", "shard", "position", "image_bytes", "txt_bytes").head(5).to_dicts()),
    )


def _joined(lake: Lake, chunk: str) -> pl.DataFrame:
    """Images with what figures, captions and articles say of them; one row per image."""
    figures = lake.read(FIGURES, chunk).select(
        "figure_id",
        "kind",
        "label",
        "group_label",
        "group_caption",
        "section",
        "attribution",
        "copyright",
        pl.col("language").alias("figure_language"),
        pl.col("license_url").alias("figure_license_url"),
    )
    captions = lake.read(CAPTIONS, chunk).select(
        "figure_id",
        pl.col("caption_reading").alias("caption"),
        pl.col("title").alias("caption_title"),
        pl.col("inherited").alias("caption_inherited"),
        pl.col("language").alias("caption_language"),
    )
    articles = lake.read(ARTICLES, chunk).select(
        *("article_id", "pmid", "doi", "title", "journal", "year", "date", "is_retracted", "xml_md5", "parser_version"),
        pl.col("language").alias("article_language"),
        pl.col("license_url").alias("article_license_url"),
        pl.col("license_code").alias("article_license_code"),
    )
    images = lake.read(IMAGES, chunk)
    joined = (
        images.join(figures, on="figure_id", how="left", validate="m:1", maintain_order="left")
        .join(captions, on="figure_id", how="left", validate="m:1", maintain_order="left")
        .join(articles, on="article_id", how="left", validate="m:1", maintain_order="left")
    )
    orphans = joined.filter(pl.col("kind").is_null() | pl.col("parser_version").is_null())
    if orphans.height:
        raise PermanentFailure(
            f"{orphans.height:,} images of {chunk} belong to figures or articles that are not there any more, the "
            f"first is {orphans['media_id'][0]}; materialise images of this chunk again"
        )
    # The article's licence URL says nothing about a figure that has a licence of its own.
    same_license = pl.col("license_code").eq_missing(pl.col("article_license_code"))
    return joined.with_columns(
        pl.coalesce("caption_language", "figure_language", "article_language").alias("language"),
        pl.coalesce("figure_license_url", pl.when(same_license).then("article_license_url")).alias("license_url"),
    )


def _mentions(lake: Lake, chunk: str) -> Mapping[str, list[dict[str, Any]]]:
    by_figure: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    names = ("figure_id", *(field.name for field in records.MENTION_FIELDS))
    rows = lake.read(MENTIONS, chunk).sort("figure_id", "ordinal", "mention_id").select(names)
    for row in rows.iter_rows(named=True):
        by_figure[row["figure_id"]].append(row)
    return by_figure


def _images_version(lake: Lake, chunk: str) -> str:
    manifest = lake.manifest(IMAGES, chunk)
    if manifest is None:
        raise PermanentFailure(f"images of {chunk} vanished while its shards were made; materialise them again")
    return manifest.code_version


def _choose(
    images: pl.DataFrame,
    mentions: Mapping[str, Sequence[Mapping[str, Any]]],
    images_version: str,
    config: ShardConfig,
) -> tuple[list[Sample], list[Reject]]:
    """One sample or one reject per image."""
    samples: list[Sample] = []
    rejects: list[Reject] = []
    for row in images.iter_rows(named=True):
        if refusal := _refusal(row, config):
            rejects.append(Reject(row["article_id"], STAGE, *refusal, row["media_id"]))
            continue
        pmcid, version = parse_article_id(row["article_id"])
        entry = records.record(
            row
            | {
                "sample_key": row["media_id"],
                "pmcid": pmcid,
                "version": version,
                "image_format": row["format"],
                "image_mode": row["mode"],
                "image_bytes": row["bytes"],
                "phash": f"{row['phash']:016x}",
                "source_key": row["key"],
                "source_href": row["href"],
                "images_version": images_version,
                "invented": config.invented,
            },
            mentions.get(row["figure_id"], ()),
            config.max_mention_chars,
        )
        samples.append(
            Sample(
                key=row["media_id"],
                figure_id=row["figure_id"],
                article_id=row["article_id"],
                license_group=row["license_group"],
                extension=EXTENSIONS[row["format"]],
                path=row["path"],
                image_bytes=row["bytes"],
                sha256=row["sha256"],
                crc32=row["crc32"],
                txt=row["caption"].encode(),
                json=records.encode(entry),
                filled=records.filled(entry),
            )
        )
    return samples, rejects


def _refusal(row: Mapping[str, Any], config: ShardConfig) -> tuple[RejectReason, str] | None:
    """Why an image is no sample: retraction before licence before caption."""
    if row["is_retracted"]:
        return RejectReason.RETRACTED, "the article is retracted"
    if row["license_group"] not in config.license_groups:
        allowed = ", ".join(sorted(config.license_groups))
        code = row["license_code"] or "not known"
        return RejectReason.LICENSE_NOT_ALLOWED, f"licence {code} is {row['license_group']}; allowed are {allowed}"
    if not (row["caption"] or "").strip():
        return RejectReason.CAPTION_MISSING, "neither the figure nor its group has a caption"
    return None


def _row(lake: Lake, shard: Written, position: int, entry: Entry) -> dict[str, object]:
    if shard.path is None:
        raise ValueError("a shard with entries has a file")
    sample = entry.sample
    return {
        "sample_key": sample.key,
        "media_id": sample.key,
        "figure_id": sample.figure_id,
        "article_id": sample.article_id,
        "license_group": sample.license_group,
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


def _counts(values: Iterable[str]) -> str:
    return ", ".join(f"{name} {n}" for name, n in sorted(Counter(values).items()))
