"""Group checkpoints: CLIP trained on a recipe's stream, interpolated, validated, accounted for."""

from biomedica_assets import composition, configs
from biomedica_assets.assets.declare import Step, table_asset
from biomedica_assets.lib.clip import stage
from biomedica_assets.lib.lineage import withdrawn
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.tables import CHECKPOINTS, RECIPE


@table_asset(
    CHECKPOINTS,
    group="checkpoints",
    version=stage.VERSION,
    made_from=(RECIPE,),
    kinds=("pytorch", "open_clip"),
    pool="gpu",
    tags={"cost": "gpu"},
)
def checkpoints(step: Step) -> Report:
    """Base, trained and WiSE-FT-interpolated weights of a recipe, with the training log and what it cost."""
    data, recipe = step.data, step.partition
    profile, device = configs.training_profile(step.values), configs.training_device(step.values)
    withdrawn.remember_training(data, recipe)
    return stage.build_checkpoints(
        data,
        recipe,
        profile=profile,
        data=composition.training_data(data, recipe, profile),
        validate=composition.validation(data, recipe, most=profile.validation_pairs, device=device.kind),
        device=device,
        seed=step.values.seed,
        limits=configs.training_limits(step.values),
        model_folder=data.root / "models",
        progress=step.progress,
    )
