"""Group clusters: the global model, the cluster of every image, the sheets that annotators look at."""

import dagster as dg

from biomedica_assets import configs
from biomedica_assets.assets.embeddings import embedding_shelf, embeddings
from biomedica_assets.assets.images import images
from biomedica_assets.lib import cluster
from biomedica_assets.lib.tables import CLUSTER_MODEL, CLUSTERS, CONTACT_SHEETS
from biomedica_assets.metadata import as_result, check_specs, definition_metadata
from biomedica_assets.partitions import CHUNKS
from biomedica_assets.resources import EngineResource, LakeResource, Progressing, SettingsResource


@dg.asset(
    deps=[embedding_shelf],
    group_name="clusters",
    kinds={"scikitlearn"},
    code_version=cluster.FIT_VERSION,
    check_specs=check_specs("cluster_model"),
    metadata=definition_metadata(CLUSTER_MODEL),
)
def cluster_model(
    context: dg.AssetExecutionContext,
    settings: SettingsResource,
    lake: LakeResource,
    engine: EngineResource,
    progress: dg.ResourceParam[Progressing],
) -> dg.MaterializeResult:
    """PCA and k-means over all shelves, streamed and seeded; the pictures show what they found."""
    values = settings.open()
    with lake.hold(context) as data:
        report = cluster.fit_clusters(
            data,
            engine=engine.open("threads"),
            settings=configs.clusters(values),
            progress=progress.open(context.log),
        )
        return as_result(report, data, tolerance=values.max_reject_fraction)


@dg.asset(
    deps=[embeddings, cluster_model],
    partitions_def=CHUNKS,
    group_name="clusters",
    kinds={"parquet"},
    code_version=cluster.ASSIGN_VERSION,
    check_specs=check_specs("clusters"),
    metadata=definition_metadata(CLUSTERS),
)
def clusters(
    context: dg.AssetExecutionContext,
    settings: SettingsResource,
    lake: LakeResource,
    engine: EngineResource,
    progress: dg.ResourceParam[Progressing],
) -> dg.MaterializeResult:
    """Cluster, runner-up and the distances of both for every image."""
    with lake.hold(context) as data:
        report = cluster.assign_chunk(
            data, context.partition_key, engine=engine.open("threads"), progress=progress.open(context.log)
        )
        return as_result(report, data, tolerance=settings.open().max_reject_fraction)


@dg.asset(
    deps=[cluster_model, clusters, images, "captions"],
    group_name="clusters",
    kinds={"html", "image"},
    code_version=cluster.SHEETS_VERSION,
    check_specs=check_specs("contact_sheets"),
    metadata=definition_metadata(CONTACT_SHEETS),
)
def contact_sheets(
    context: dg.AssetExecutionContext,
    settings: SettingsResource,
    lake: LakeResource,
    engine: EngineResource,
    progress: dg.ResourceParam[Progressing],
) -> dg.MaterializeResult:
    """Per cluster a sheet of central, random and border images with their captions, and an index page."""
    values = settings.open()
    with lake.hold(context) as data:
        report = cluster.make_contact_sheets(
            data,
            engine=engine.open("threads"),
            settings=configs.contact_sheets(values),
            progress=progress.open(context.log),
        )
        return as_result(report, data, tolerance=values.max_reject_fraction)
