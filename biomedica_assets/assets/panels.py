"""Groups figures and shards, as far as compound figures go: captions and pictures cut, and panels as samples."""

import functools

from biomedica_assets import configs
from biomedica_assets.assets.declare import Step, table_asset
from biomedica_assets.lib.images.limits import ImageLimits
from biomedica_assets.lib.images.verify import measure
from biomedica_assets.lib.panels import stage
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.shards import panels as cropping
from biomedica_assets.lib.tables import CAPTIONS, IMAGES, PANEL_BOXES, PANEL_SHARDS, SHARDS, SUBCAPTIONS


@table_asset(
    SUBCAPTIONS,
    group="figures",
    version=stage.SUBCAPTIONS_VERSION,
    made_from=(CAPTIONS,),
    pool="cpu",
    needs=("engine",),
)
def subcaptions(step: Step) -> Report:
    """What each caption says of which panels: exact spans, and the words that a reader of one panel needs."""
    return stage.build_subcaptions(step.data, step.partition, engine=step.engine("processes"), progress=step.progress)


@table_asset(
    PANEL_BOXES,
    group="figures",
    version=stage.BOXES_VERSION,
    made_from=(IMAGES, SUBCAPTIONS),
    kinds=("parquet", "image"),
    pool="cpu",
    needs=("engine",),
)
def panel_boxes(step: Step) -> Report:
    """Boxes of the panels of each picture, from letters, captions and gutters, with the sub-captions of each."""
    return stage.build_panel_boxes(step.data, step.partition, engine=step.engine("processes"), progress=step.progress)


@table_asset(
    PANEL_SHARDS,
    group="shards",
    version=cropping.VERSION,
    made_from=(SHARDS, PANEL_BOXES, SUBCAPTIONS),
    kinds=("webdataset", "image"),
    pool="disk",
    needs=("engine",),
)
def panel_shards(step: Step) -> Report:
    """WebDataset tars of cropped panels with the words that speak of each; written where a recipe takes panels."""
    return cropping.build_panel_shards(
        step.data,
        step.partition,
        config=configs.panel_config(step.values),
        measure=functools.partial(measure, limits=ImageLimits(max_pixels=step.values.max_pixels, min_side=1)),
        engine=step.engine("processes"),
        progress=step.progress,
    )
