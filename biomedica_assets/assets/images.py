"""Group figures, as far as pixels go: the media that figures name, verified."""

import dagster as dg

from biomedica_assets import configs
from biomedica_assets.assets.article_index import article_index
from biomedica_assets.lib.images import stage
from biomedica_assets.lib.pmc.mirror import Mirror
from biomedica_assets.lib.tables import IMAGES
from biomedica_assets.metadata import as_result, check_specs, definition_metadata
from biomedica_assets.partitions import CHUNKS
from biomedica_assets.resources import EngineResource, LakeResource, Progressing, SettingsResource, SourceResource


@dg.asset(
    deps=[article_index, "figures"],
    partitions_def=CHUNKS,
    group_name="figures",
    kinds={"parquet", "image"},
    code_version=stage.VERSION,
    pool="network",
    check_specs=check_specs("images"),
    metadata=definition_metadata(IMAGES),
)
def images(
    context: dg.AssetExecutionContext,
    settings: SettingsResource,
    lake: LakeResource,
    source: SourceResource,
    engine: EngineResource,
    progress: dg.ResourceParam[Progressing],
) -> dg.MaterializeResult:
    """Image files of the figures: fetched, verified by decoding, measured, hashed; the source's bytes, unchanged."""
    values = settings.open()
    with lake.hold(context) as data:
        report = stage.build_images(
            data,
            context.partition_key,
            fetch=Mirror(data, source.open()).ensure,
            limits=configs.image_limits(values),
            engine=engine.open("threads"),
            progress=progress.open(context.log),
        )
        return as_result(report, data, tolerance=values.max_reject_fraction)
