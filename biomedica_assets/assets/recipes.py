"""Group recipes: which pictures are the same, which ones tests use, and the samples of each recipe."""

import dagster as dg

from biomedica_assets import test_sets
from biomedica_assets.assets.images import images
from biomedica_assets.lib.images.verify import ImageLimits, measure
from biomedica_assets.lib.panels.find import split_at_gutters
from biomedica_assets.lib.select import decontamination, definition, looks, shelves
from biomedica_assets.lib.select import duplicates as near
from biomedica_assets.lib.select import recipe as selection
from biomedica_assets.lib.stream import index
from biomedica_assets.lib.tables import (
    DUPLICATES,
    EVALUATION_MATCHES,
    IMAGE_FINGERPRINTS,
    IMAGE_VIEWS,
    RECIPE,
    SAMPLE_SHELF,
)
from biomedica_assets.metadata import as_result, check_specs, definition_metadata
from biomedica_assets.partitions import CHUNK_TO_SHELF, CHUNKS, RECIPES, SHELVES
from biomedica_assets.resources import EngineResource, LakeResource, Progressing, SettingsResource


@dg.asset(
    deps=[images],
    partitions_def=CHUNKS,
    group_name="recipes",
    kinds={"parquet", "image"},
    code_version=looks.VERSION,
    check_specs=check_specs("image_views"),
    metadata=definition_metadata(IMAGE_VIEWS),
)
def image_views(
    context: dg.AssetExecutionContext,
    settings: SettingsResource,
    lake: LakeResource,
    engine: EngineResource,
    progress: dg.ResourceParam[Progressing],
) -> dg.MaterializeResult:
    """What each picture of a chunk looks like, frame by frame; altered copies of test images are proposed from it."""
    with lake.hold(context) as data:
        report = looks.build_image_views(
            data,
            context.partition_key,
            split_at_gutters,
            engine=engine.open("processes"),
            progress=progress.open(context.log),
        )
        return as_result(report, data, tolerance=settings.open().max_reject_fraction)


@dg.asset(
    deps=[dg.AssetDep(table, partition_mapping=CHUNK_TO_SHELF) for table in (images, image_views)],
    partitions_def=SHELVES,
    group_name="recipes",
    kinds={"parquet"},
    code_version=shelves.FINGERPRINTS_VERSION,
    check_specs=check_specs("image_fingerprints"),
    metadata=definition_metadata(IMAGE_FINGERPRINTS),
)
def image_fingerprints(
    context: dg.AssetExecutionContext, settings: SettingsResource, lake: LakeResource
) -> dg.MaterializeResult:
    """Digests, perceptual hashes and looks of the images of a shelf, gathered from its chunks."""
    with lake.hold(context) as data:
        report = shelves.build_image_fingerprints(data, context.partition_key)
        return as_result(report, data, tolerance=settings.open().max_reject_fraction)


@dg.asset(
    deps=[dg.AssetDep(table.name, partition_mapping=CHUNK_TO_SHELF) for table in shelves.DESCRIBING],
    partitions_def=SHELVES,
    group_name="recipes",
    kinds={"parquet"},
    code_version=shelves.VERSION,
    check_specs=check_specs("sample_shelf"),
    metadata=definition_metadata(SAMPLE_SHELF),
)
def sample_shelf(
    context: dg.AssetExecutionContext, settings: SettingsResource, lake: LakeResource
) -> dg.MaterializeResult:
    """Which data describe the samples of each chunk of a shelf; recipes depend on chunks through it."""
    with lake.hold(context) as data:
        report = shelves.build_sample_shelf(data, context.partition_key)
        return as_result(report, data, tolerance=settings.open().max_reject_fraction)


@dg.asset(
    deps=[image_fingerprints],
    group_name="recipes",
    kinds={"parquet", "image"},
    code_version=near.VERSION,
    check_specs=check_specs("duplicates"),
    metadata=definition_metadata(DUPLICATES),
)
def duplicates(
    context: dg.AssetExecutionContext,
    settings: SettingsResource,
    lake: LakeResource,
    engine: EngineResource,
    progress: dg.ResourceParam[Progressing],
) -> dg.MaterializeResult:
    """Groups of images with equal bytes, equal pixels or near-equal looks, across articles and chunks."""
    with lake.hold(context) as data:
        report = near.build_duplicates(data, engine=engine.open("threads"), progress=progress.open(context.log))
        return as_result(report, data, tolerance=settings.open().max_reject_fraction)


@dg.asset(
    deps=[image_fingerprints],
    group_name="recipes",
    kinds={"parquet", "image"},
    code_version=decontamination.VERSION,
    check_specs=check_specs("evaluation_matches"),
    metadata=definition_metadata(EVALUATION_MATCHES),
)
def evaluation_matches(
    context: dg.AssetExecutionContext,
    settings: SettingsResource,
    lake: LakeResource,
    engine: EngineResource,
    progress: dg.ResourceParam[Progressing],
) -> dg.MaterializeResult:
    """Images that an evaluation task on this machine also uses, also altered or as a panel; recipes leave them out."""
    values, shown = settings.open(), progress.open(context.log)
    limits = ImageLimits(max_pixels=values.max_pixels, min_side=1)
    recorded = test_sets.recorded(values)  # before they are read: what changes meanwhile makes this stale again
    with lake.hold(context) as data:
        tests, rejects = decontamination.look_at_test_images(
            test_sets.images(values), lambda image: measure(image, limits), progress=shown
        )
        report = decontamination.build_evaluation_matches(
            data, tests, rejects=rejects, recorded=recorded, engine=engine.open("processes"), progress=shown
        )
        return as_result(report, data, tolerance=values.max_reject_fraction)


@dg.asset(
    deps=[sample_shelf, "taxonomy", duplicates, evaluation_matches],
    partitions_def=RECIPES,
    group_name="recipes",
    kinds={"duckdb", "webdataset"},
    code_version=selection.VERSION,
    check_specs=check_specs("recipe"),
    metadata=definition_metadata(RECIPE),
)
def recipe(
    context: dg.AssetExecutionContext,
    settings: SettingsResource,
    lake: LakeResource,
    progress: dg.ResourceParam[Progressing],
) -> dg.MaterializeResult:
    """Samples of one recipe with split, byte range and repetitions, and the index that virtual shards are read by."""
    name = context.partition_key
    with lake.hold(context) as data:
        report = selection.build_recipe(
            data,
            name,
            definition.load(name, data.root / "recipes"),
            write_index=index.write,
            progress=progress.open(context.log),
        )
        return as_result(report, data, tolerance=settings.open().max_reject_fraction)
