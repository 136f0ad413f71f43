"""Group shards, continued: what can be cited, verified, rebuilt and passed on."""

import dagster as dg

from biomedica_assets import configs
from biomedica_assets.lib.release import contents, stage, tokens
from biomedica_assets.lib.stream import index
from biomedica_assets.lib.tables import RELEASE, RELEASE_SHELF
from biomedica_assets.metadata import as_result, check_specs, definition_metadata
from biomedica_assets.partitions import CHUNK_TO_SHELF, SHELVES
from biomedica_assets.resources import LakeResource, Progressing, SettingsResource


@dg.asset(
    deps=[
        dg.AssetDep(table.name, partition_mapping=CHUNK_TO_SHELF) for table in (*contents.NEEDED, *contents.OPTIONAL)
    ],
    partitions_def=SHELVES,
    group_name="shards",
    kinds={"parquet"},
    code_version=contents.VERSION,
    check_specs=check_specs("release_shelf"),
    metadata=definition_metadata(RELEASE_SHELF),
)
def release_shelf(
    context: dg.AssetExecutionContext, settings: SettingsResource, lake: LakeResource
) -> dg.MaterializeResult:
    """Digests and counts of what each chunk of a shelf brings into a release, so that the release sees every change."""
    with lake.hold(context) as data:
        report = contents.build_release_shelf(data, context.partition_key)
        return as_result(report, data, tolerance=settings.open().max_reject_fraction)


@dg.asset(
    deps=[table.name for table in stage.READS],
    group_name="shards",
    kinds={"webdataset", "parquet", "huggingface"},
    code_version=stage.VERSION,
    pool="disk",
    check_specs=check_specs("release"),
    metadata=definition_metadata(RELEASE),
)
def release(
    context: dg.AssetExecutionContext,
    settings: SettingsResource,
    lake: LakeResource,
    progress: dg.ResourceParam[Progressing],
) -> dg.MaterializeResult:
    """`release/<version>/`: manifest, card, statistics, attribution, pairs and tables as Parquet, shards uncopied."""
    values = settings.open()
    with lake.hold(context) as data:
        report = stage.build_release(
            data,
            config=configs.release_config(values),
            write_index=index.write,
            count_tokens=tokens.clip_tokens,
            progress=progress.open(context.log),
        )
        return as_result(report, data, tolerance=values.max_reject_fraction)
