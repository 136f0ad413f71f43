"""Records of released labels to our images: by article and file name, then by caption, then by picture alone.

A record whose way leads to several images is decided by its picture, or not at all; every record is joined or counted
with the reason why not.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import polars as pl

from biomedica_assets.lib.annotate.released.intake import caption_digest, stem_of
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import CAPTIONS, IMAGES, RELEASED_LABELS, RELEASED_RECORDS, Table

VERSION = "1"
WAYS = ("file", "caption", "picture")
REASONS = ("article_absent", "image_absent", "ambiguous")
_NAMES = ("records", "images", *(f"joined_by_{way}" for way in WAYS))
NEAR = 8
"""Bits of 64 in which hashes of one picture may differ after it was scaled and compressed again."""
ALONE = 4
"""The same where nothing but the picture speaks for the image."""


def join(records: pl.DataFrame, images: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Find the image of each record.

    Args:
        records: ``released_records`` of one chunk.
        images: media_id, key, pmcid, stems (list[str]), caption_digest (u64), phash (u64).

    Returns:
        Joined ones: record (row of ``records``), media_id, way; several rows where a file is several images. The
        others: record, why (one of ``REASONS``).
    """
    left = records.select("pmcid", "stem", "caption_digest", "phash").with_row_index("record")
    ours = images.select("media_id", "key", "pmcid", "stems", _caption="caption_digest", _phash="phash")
    found: list[pl.DataFrame] = []
    doubtful: list[pl.DataFrame] = []
    by_file = ours.explode("stems", empty_as_null=False, keep_nulls=False).rename({"stems": "stem"}).unique()
    ways = {
        "file": left.drop_nulls("stem").join(by_file, on=["pmcid", "stem"]),
        "caption": left.join(ours.rename({"_caption": "caption_digest"}), on=["pmcid", "caption_digest"]),
        "picture": left.drop_nulls("phash").join(ours.drop_nulls("_phash"), on="pmcid"),
    }
    done = pl.Series("record", dtype=left.schema["record"])
    for way, pairs in ways.items():
        apart = (pl.col("phash") ^ pl.col("_phash")).bitwise_count_ones()
        open_ = pairs.filter(~pl.col("record").is_in(done.implode())).with_columns(apart=apart)
        if way == "picture":
            open_ = open_.filter(pl.col("apart") <= ALONE)
        one, several = _decided(open_)
        found.append(one.select("record", "media_id", way=pl.lit(way)))
        doubtful.append(several)
        done = pl.concat([done, one["record"]])
    joined = pl.concat(found).sort("record")
    here = left.join(ours.select("pmcid").unique(), on="pmcid", how="semi")["record"]
    torn = pl.concat(doubtful)["record"] if doubtful else done.clear()
    rest = left.filter(~pl.col("record").is_in(done.implode()))
    why = (
        pl.when(~pl.col("record").is_in(here.implode()))
        .then(pl.lit(REASONS[0]))
        .when(pl.col("record").is_in(torn.implode()))
        .then(pl.lit(REASONS[2]))
        .otherwise(pl.lit(REASONS[1]))
    )
    return joined, rest.select("record", why=why)


def _decided(pairs: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Pairs of records with one file, or one by far the likest; and records for which there is none.

    A file that stands in two figures is two images, and what is said of it holds for both.
    """
    pairs = pairs.unique(["record", "media_id"]).sort("record", "apart", "media_id", nulls_last=True)
    n, least = pl.col("key").n_unique().over("record"), pl.col("apart").min().over("record")
    alone = pl.col("key").filter(pl.col("apart") == least).n_unique().over("record") == 1
    likest = (pl.col("apart") == least) & (least <= NEAR) & alone
    one = pairs.filter((n == 1) | likest.fill_null(value=False))
    return one, pairs.join(one, on="record", how="anti").select("record").unique()


def images_of(lake: Lake, chunk: str) -> pl.DataFrame:
    """Our side of the join, for one chunk."""
    captions = lake.read_lazy(CAPTIONS, chunk).select("figure_id", "caption").collect()
    digests = pl.Series("caption_digest", [caption_digest(c) for c in captions["caption"]], dtype=pl.UInt64)
    names = ("media_id", "figure_id", "article_id", "href", "key", "phash")
    images = lake.read_lazy(IMAGES, chunk).select(names).collect()
    stems = [sorted({stem_of(href), stem_of(key)}) for href, key in images.select("href", "key").iter_rows()]
    pmcid = pl.col("article_id").str.extract(r"PMC(\d+)").cast(pl.Int64)
    return images.join(
        captions.select("figure_id").with_columns(digests), on="figure_id", how="left", maintain_order="left"
    ).select(
        "media_id", "key", pl.Series("stems", stems, dtype=pl.List(pl.String)), "caption_digest", "phash", pmcid=pmcid
    )


def stage_labels(lake: Lake, chunk: str) -> Report:
    """Publish ``released_labels`` of one chunk; empty before anything was taken in that speaks of it.

    ``n_in`` and ``n_out`` count records, each of which is joined or counted by reason in the metrics.
    """
    began = time.perf_counter()
    reads: list[tuple[Table, str | None]] = [(IMAGES, chunk), (CAPTIONS, chunk)]
    known = lake.manifest(RELEASED_RECORDS, chunk) is not None
    inputs = lake.inputs(*reads, *([(RELEASED_RECORDS, chunk)] if known else []))
    records = lake.read(RELEASED_RECORDS, chunk) if known else RELEASED_RECORDS.empty()
    joined, others = join(records, images_of(lake, chunk))
    rows = records.with_row_index("record").join(joined, on="record")
    order = pl.col("way").replace_strict({way: n for n, way in enumerate(WAYS)}, return_dtype=pl.Int8)
    frame = (
        rows.with_columns(_order=order)
        .explode("concepts", empty_as_null=False, keep_nulls=False)
        .sort("media_id", "name", "concepts", "_order")
        .group_by("media_id", "name", concept_id="concepts", maintain_order=True)
        .agg(pl.col("way").first(), pl.col("trust").max(), n_records=pl.col("record").n_unique().cast(pl.Int32))
    )
    frame = frame.select(RELEASED_LABELS.schema.names()).sort(RELEASED_LABELS.key)
    metrics = _counted(records, joined, others)
    manifest = lake.publish(
        RELEASED_LABELS, chunk, frame, code_version=VERSION, inputs=inputs, config={}, n_in=records.height,
        n_out=records.height, metrics=metrics,
    )  # fmt: skip
    return Report(
        asset=RELEASED_LABELS.name,
        partition=chunk,
        data_version=manifest.data_version,
        rows=frame.height,
        n_in=records.height,
        n_out=records.height,
        bytes_written=manifest.bytes,
        seconds=time.perf_counter() - began,
        metrics=dict(metrics),
        preview=tuple(frame.head(10).iter_rows(named=True)),
    )


def _counted(records: pl.DataFrame, joined: pl.DataFrame, others: pl.DataFrame) -> Mapping[str, int]:
    """Records by what became of them; every way and reason is named, so that sums over chunks are whole."""
    ways = dict(joined.group_by("way").agg(pl.col("record").n_unique()).iter_rows())
    whys = dict(others.group_by("why").len().iter_rows())
    found = {"records": records.height, "images": joined["media_id"].n_unique()}
    found |= {f"joined_by_{way}": ways.get(way, 0) for way in WAYS}
    return found | {why: whys.get(why, 0) for why in REASONS}


def joins(lake: Lake) -> dict[str, int]:
    """What became of all records in every chunk that was joined, summed from the manifests."""
    total: dict[str, int] = {}
    for chunk in lake.partitions(RELEASED_LABELS):
        if manifest := lake.manifest(RELEASED_LABELS, chunk):
            for name in (*_NAMES, *REASONS):
                total[name] = total.get(name, 0) + int(manifest.metrics.get(name, 0))
    return total
