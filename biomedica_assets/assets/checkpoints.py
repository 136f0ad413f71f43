"""Group checkpoints: CLIP trained on a recipe's stream, interpolated, validated, accounted for."""

import dagster as dg

from biomedica_assets import composition, configs
from biomedica_assets.lib.clip import stage
from biomedica_assets.lib.lineage import withdrawn
from biomedica_assets.lib.tables import CHECKPOINTS
from biomedica_assets.metadata import as_result, check_specs, definition_metadata
from biomedica_assets.partitions import RECIPES
from biomedica_assets.resources import LakeResource, Progressing, SettingsResource


@dg.asset(
    deps=["recipe"],
    partitions_def=RECIPES,
    group_name="checkpoints",
    kinds={"pytorch", "open_clip"},
    code_version=stage.VERSION,
    pool="gpu",
    tags={"cost": "gpu"},
    check_specs=check_specs("checkpoints"),
    metadata=definition_metadata(CHECKPOINTS),
)
def checkpoints(
    context: dg.AssetExecutionContext,
    settings: SettingsResource,
    lake: LakeResource,
    progress: dg.ResourceParam[Progressing],
) -> dg.MaterializeResult:
    """Base, trained and WiSE-FT-interpolated weights of a recipe, with the training log and what it cost."""
    values, recipe = settings.open(), context.partition_key
    profile, device = configs.training_profile(values), configs.training_device(values)
    with lake.hold(context) as data:
        withdrawn.remember_training(data, recipe)
        report = stage.build_checkpoints(
            data,
            recipe,
            profile=profile,
            data=composition.training_data(data, recipe, profile),
            validate=composition.validation(data, recipe, most=profile.validation_pairs, device=device.kind),
            device=device,
            seed=values.seed,
            limits=configs.training_limits(values),
            model_folder=data.root / "models",
            progress=progress.open(context.log),
        )
        return as_result(report, data, tolerance=values.max_reject_fraction)
