"""Group shards: training samples as WebDataset tars of original bytes."""

import dagster as dg

from biomedica_assets import configs
from biomedica_assets.assets.images import images
from biomedica_assets.lib.shards import stage
from biomedica_assets.lib.tables import SHARDS
from biomedica_assets.metadata import as_result, check_specs, definition_metadata
from biomedica_assets.partitions import CHUNKS
from biomedica_assets.resources import LakeResource, Progressing, SettingsResource


@dg.asset(
    deps=["articles", "figures", "captions", "mentions", images],
    partitions_def=CHUNKS,
    group_name="shards",
    kinds={"webdataset"},
    code_version=stage.VERSION,
    pool="disk",
    check_specs=check_specs("shards"),
    metadata=definition_metadata(SHARDS),
)
def shards(
    context: dg.AssetExecutionContext,
    settings: SettingsResource,
    lake: LakeResource,
    progress: dg.ResourceParam[Progressing],
) -> dg.MaterializeResult:
    """WebDataset tars per licence group in seeded order, with the byte range of every member."""
    values = settings.open()
    with lake.hold(context) as data:
        report = stage.build_shards(
            data,
            context.partition_key,
            config=configs.shard_config(values),
            progress=progress.open(context.log),
        )
        return as_result(report, data, tolerance=values.max_reject_fraction)
