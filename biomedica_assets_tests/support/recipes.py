"""A recipe over whatever shards a lake has, without the tables that selecting would need."""

from biomedica_assets.lib.store import named
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.stream import index as stream_index
from biomedica_assets.lib.tables import RECIPE, SHARDS
from biomedica_assets_tests.lib.select.lakes import publish


def over_all_shards(lake: Lake, name: str = "r") -> str:
    """Publish a recipe whose training split is every sample; returns the path of its index."""
    import numpy as np
    import polars as pl

    sizes = {e.path: e.bytes for chunk in lake.partitions(SHARDS) for e in lake.manifest(SHARDS, chunk).files}
    rows = lake.scan(SHARDS).sort("shard", "start").collect()
    paths = rows["shard"].unique(maintain_order=True).to_list()
    formats = dict(rows.group_by("shard").first().select("shard", "image_ext").iter_rows())
    columns = {
        "shard": np.array([paths.index(path) for path in rows["shard"]], np.int64),
        "start": rows["start"].to_numpy(), "end": rows["end"].to_numpy(), "repeat": np.ones(rows.height, np.int64),
        "check": rows["check"].cast(pl.Int64).to_numpy(),
    }  # fmt: skip
    draft = lake.root / "recipes" / name / "draft.index"
    stream_index.write(
        draft, recipe=name, seed=0, shards=[(p, sizes[p], formats[p]) for p in paths], splits={"train": columns}
    )
    entry = named.keep(lake, draft)
    publish(lake, RECIPE, name, [], files=[entry])
    return entry.path
