"""Group figures, as far as pixels go: the media that figures name, verified."""

from biomedica_assets import configs
from biomedica_assets.assets.declare import Step, table_asset
from biomedica_assets.lib.images import stage
from biomedica_assets.lib.pmc.mirror import Mirror
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.tables import ARTICLE_INDEX, FIGURES, IMAGES


@table_asset(
    IMAGES,
    group="figures",
    version=stage.VERSION,
    made_from=(ARTICLE_INDEX, FIGURES),
    kinds=("parquet", "image"),
    pool="network",
    needs=("source", "engine"),
)
def images(step: Step) -> Report:
    """Image files of the figures: fetched, verified by decoding, measured, hashed; the source's bytes, unchanged."""
    return stage.build_images(
        step.data,
        step.partition,
        fetch=Mirror(step.data, step.source).ensure,
        limits=configs.image_limits(step.values),
        engine=step.engine("threads"),
        progress=step.progress,
    )
