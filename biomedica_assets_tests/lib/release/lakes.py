"""A data directory made from a mirror up to its shards, by the library alone, and a release of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import polars as pl

from biomedica_assets import configs, settings
from biomedica_assets.lib.chunks import shelf_of_chunk
from biomedica_assets.lib.compute.local import LocalEngine
from biomedica_assets.lib.images.stage import build_images
from biomedica_assets.lib.jats.heads import build_heads
from biomedica_assets.lib.jats.stage import parse_chunk
from biomedica_assets.lib.pmc.fetch import fetch_xml
from biomedica_assets.lib.pmc.index import build_index
from biomedica_assets.lib.pmc.inventory import refresh_inventory
from biomedica_assets.lib.pmc.mirror import Mirror
from biomedica_assets.lib.pmc.source import open_source
from biomedica_assets.lib.pubmed.stage import build_pubmed_records
from biomedica_assets.lib.release.contents import build_release_shelf
from biomedica_assets.lib.release.stage import ReleaseConfig, build_release
from biomedica_assets.lib.shards.stage import build_shards
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.stream import index
from biomedica_assets.lib.tables import CHUNK_LISTING, RECIPE, SHARDS
from biomedica_assets.lib.withdrawals.stage import build_notice_shelf, build_withdrawals, withdrawn

ALL_GROUPS = ("commercial", "noncommercial", "other")


def make(root: Path, mirror: Path, *, listed: bool = False, **more) -> Lake:
    """Everything up to the shards; ``listed``: the inventory is planted already."""
    values = settings.Settings(data_dir=root, source=str(mirror), **({"license_groups": ALL_GROUPS} | more))
    lake, source, engine = Lake(root), open_source(str(mirror)), LocalEngine("threads", 2)
    if not listed:
        refresh_inventory(lake, source, chunk_span=values.chunk_span, max_pmcid=values.max_pmcid)
    for chunk in lake.partitions(CHUNK_LISTING):
        build_index(lake, chunk, source, rules=configs.selection_rules(values))
        fetch_xml(lake, chunk, source)
        build_heads(lake, chunk)
        build_pubmed_records(lake, chunk, provider=configs.pubmed_provider(values))
    for shelf in sorted({shelf_of_chunk(chunk) for chunk in lake.partitions(CHUNK_LISTING)}):
        build_notice_shelf(lake, shelf)
    build_withdrawals(lake, lists=configs.user_lists(values))
    for chunk in lake.partitions(CHUNK_LISTING):
        parse_chunk(lake, chunk, engine=engine, withdrawn=withdrawn(lake, chunk))
        fetch = Mirror(lake, source).ensure
        build_images(lake, chunk, fetch=fetch, limits=configs.image_limits(values), engine=engine)
        build_shards(lake, chunk, config=configs.shard_config(values))
    return lake


def recipe(lake: Lake, name: str = "full") -> None:
    """Publish a recipe over all samples, split by article, without the tables that selecting would need."""
    rows = lake.scan(SHARDS).sort("shard", "start").collect()
    splits = pl.Series([("train", "train", "train", "validation", "test")[hash_of(a) % 5] for a in rows["article_id"]])
    frame = rows.with_columns(split=splits, repeat=pl.lit(1, pl.Int32), concept=pl.lit(None, pl.String))
    frame = frame.drop("position").with_row_index("position").cast({"position": pl.Int64}).select(RECIPE.schema.names())
    n = frame.height
    lake.publish(RECIPE, name, frame, code_version="t", inputs={}, config={"seed": 3}, n_in=n, n_out=n)


def hash_of(text: str) -> int:
    return hashlib.sha256(text.encode()).digest()[0]


def release(lake: Lake, config: ReleaseConfig | None = None, **more) -> Path:
    """Build a release; returns its folder."""
    for shelf in sorted({shelf_of_chunk(chunk) for chunk in lake.partitions(CHUNK_LISTING)}):
        build_release_shelf(lake, shelf)
    report = build_release(lake, config=config or ReleaseConfig(), write_index=index.write, **more)
    return lake.root / str(report.metrics["folder"])
