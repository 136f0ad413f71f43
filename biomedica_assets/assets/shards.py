"""Group shards: training samples as WebDataset tars of original bytes."""

from biomedica_assets import configs
from biomedica_assets.assets.declare import Step, table_asset
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.shards import stage
from biomedica_assets.lib.tables import ARTICLES, CAPTIONS, FIGURES, IMAGES, MENTIONS, SHARDS


@table_asset(
    SHARDS,
    group="shards",
    version=stage.VERSION,
    made_from=(ARTICLES, FIGURES, CAPTIONS, MENTIONS, IMAGES),
    kinds=("webdataset",),
    pool="disk",
)
def shards(step: Step) -> Report:
    """WebDataset tars per licence group in seeded order, with the byte range of every member."""
    config = configs.shard_config(step.values)
    return stage.build_shards(step.data, step.partition, config=config, progress=step.progress)
