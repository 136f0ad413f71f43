"""Group embeddings: one vector per image, chunk by chunk, then shelf by shelf."""

import dagster as dg

from biomedica_assets.assets.images import images
from biomedica_assets.lib import embed
from biomedica_assets.lib.tables import EMBEDDING_SHELF, EMBEDDINGS
from biomedica_assets.metadata import as_result, check_specs, definition_metadata
from biomedica_assets.partitions import CHUNK_TO_SHELF, CHUNKS, SHELVES
from biomedica_assets.resources import EncoderResource, EngineResource, LakeResource, Progressing, SettingsResource


@dg.asset(
    deps=[images],
    partitions_def=CHUNKS,
    group_name="embeddings",
    kinds={"pytorch", "numpy"},
    code_version=embed.VERSION,
    pool="gpu",
    check_specs=check_specs("embeddings"),
    metadata=definition_metadata(EMBEDDINGS),
)
def embeddings(
    context: dg.AssetExecutionContext,
    settings: SettingsResource,
    lake: LakeResource,
    encoder: EncoderResource,
    engine: EngineResource,
    progress: dg.ResourceParam[Progressing],
) -> dg.MaterializeResult:
    """One float16 vector per image by a named encoder; images that did not change keep theirs."""
    values = settings.open()
    with lake.hold(context) as data:
        report = embed.embed_chunk(
            data,
            context.partition_key,
            encoder=encoder.open(),
            engine=engine.open("threads"),
            batch_size=values.embed_batch,
            progress=progress.open(context.log),
        )
        return as_result(report, data, tolerance=values.max_reject_fraction)


@dg.asset(
    deps=[dg.AssetDep(embeddings, partition_mapping=CHUNK_TO_SHELF)],
    partitions_def=SHELVES,
    group_name="embeddings",
    kinds={"numpy"},
    code_version=embed.SHELF_VERSION,
    pool="disk",
    check_specs=check_specs("embedding_shelf"),
    metadata=definition_metadata(EMBEDDING_SHELF),
)
def embedding_shelf(
    context: dg.AssetExecutionContext,
    settings: SettingsResource,
    lake: LakeResource,
    progress: dg.ResourceParam[Progressing],
) -> dg.MaterializeResult:
    """The vectors of a million PMCIDs as one file, sorted by id: what the global model reads."""
    with lake.hold(context) as data:
        report = embed.shelve(data, context.partition_key, progress=progress.open(context.log))
        return as_result(report, data, tolerance=settings.open().max_reject_fraction)
