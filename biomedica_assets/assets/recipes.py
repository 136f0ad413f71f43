"""Group recipes: which pictures are the same, which ones tests use, and the samples of each recipe."""

from biomedica_assets import configs, evaluation, test_sets
from biomedica_assets.assets.declare import Step, table_asset
from biomedica_assets.lib.evaluate import pair_scores as pairs
from biomedica_assets.lib.images.verify import ImageLimits, measure
from biomedica_assets.lib.panels.find import split_at_gutters
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.select import decontamination, definition, looks, shelves
from biomedica_assets.lib.select import duplicates as near
from biomedica_assets.lib.select import held_out as holding
from biomedica_assets.lib.select import recipe as selection
from biomedica_assets.lib.stream import index
from biomedica_assets.lib.tables import (
    CAPTIONS,
    DUPLICATES,
    EVALUATION_MATCHES,
    HELD_OUT,
    IMAGE_FINGERPRINTS,
    IMAGE_VIEWS,
    IMAGES,
    PAIR_SCORES,
    RECIPE,
    SAMPLE_SHELF,
    TAXONOMY,
)


@table_asset(
    IMAGE_VIEWS,
    group="recipes",
    version=looks.VERSION,
    made_from=(IMAGES,),
    kinds=("parquet", "image"),
    needs=("engine",),
)
def image_views(step: Step) -> Report:
    """What each picture of a chunk looks like, frame by frame; altered copies of test images are proposed from it."""
    return looks.build_image_views(
        step.data, step.partition, split_at_gutters, engine=step.engine("processes"), progress=step.progress
    )


@table_asset(IMAGE_FINGERPRINTS, group="recipes", version=shelves.FINGERPRINTS_VERSION, made_from=(IMAGES, IMAGE_VIEWS))
def image_fingerprints(step: Step) -> Report:
    """Digests, perceptual hashes and looks of the images of a shelf, gathered from its chunks."""
    return shelves.build_image_fingerprints(step.data, step.partition)


@table_asset(
    PAIR_SCORES,
    group="recipes",
    version=pairs.VERSION,
    made_from=(IMAGES, CAPTIONS),
    kinds=("open_clip", "parquet"),
    pool="gpu",
)
def pair_scores(step: Step) -> Report:
    """How well each picture fits its caption, as the CLIP model of the settings sees it; recipes may ask for it."""
    return pairs.score_pairs(
        step.data,
        step.partition,
        evaluation.pair_encoder(step.values),
        recorded=evaluation.recorded_pair_model(step.values),
        threads=step.values.workers or None,
        progress=step.progress,
    )


@table_asset(SAMPLE_SHELF, group="recipes", version=shelves.VERSION, made_from=shelves.DESCRIBING)
def sample_shelf(step: Step) -> Report:
    """Which data describe the samples of each chunk of a shelf; recipes depend on chunks through it."""
    return shelves.build_sample_shelf(step.data, step.partition)


@table_asset(
    DUPLICATES,
    group="recipes",
    version=near.VERSION,
    made_from=(IMAGE_FINGERPRINTS,),
    kinds=("parquet", "image"),
    needs=("engine",),
)
def duplicates(step: Step) -> Report:
    """Groups of images with equal bytes, equal pixels or near-equal looks, across articles and chunks."""
    return near.build_duplicates(step.data, engine=step.engine("threads"), progress=step.progress)


@table_asset(
    EVALUATION_MATCHES,
    group="recipes",
    version=decontamination.VERSION,
    made_from=(IMAGE_FINGERPRINTS,),
    kinds=("parquet", "image"),
    needs=("engine",),
)
def evaluation_matches(step: Step) -> Report:
    """Images that an evaluation task on this machine also uses, also altered or as a panel; recipes leave them out."""
    limits = ImageLimits(max_pixels=step.values.max_pixels, min_side=1)
    recorded = test_sets.recorded(step.values)  # before they are read: what changes meanwhile makes this stale again
    tests, rejects = decontamination.look_at_test_images(
        test_sets.images(step.values), lambda image: measure(image, limits), progress=step.progress
    )
    return decontamination.build_evaluation_matches(
        step.data,
        tests,
        rejects=rejects,
        recorded=recorded,
        engine=step.engine("processes"),
        progress=step.progress,
    )


@table_asset(
    HELD_OUT,
    group="recipes",
    version=holding.VERSION,
    made_from=(SAMPLE_SHELF, DUPLICATES, EVALUATION_MATCHES),
)
def held_out(step: Step) -> Report:
    """Pictures that no recipe trains on, nor on any article that shares one with theirs: all are scored on them."""
    return holding.build_held_out(step.data, configs.held_out(step.values), progress=step.progress)


@table_asset(
    RECIPE,
    group="recipes",
    version=selection.VERSION,
    made_from=(SAMPLE_SHELF, TAXONOMY, DUPLICATES, EVALUATION_MATCHES, HELD_OUT),
    kinds=("duckdb", "webdataset"),
)
def recipe(step: Step) -> Report:
    """Samples of one recipe with split, byte range and repetitions, and the index that virtual shards are read by."""
    definitions = step.data.root / "recipes"
    return selection.build_recipe(
        step.data,
        step.partition,
        definition.load(step.partition, definitions),
        write_index=index.write,
        progress=step.progress,
    )
