"""Group eval_scores: zero-shot and retrieval scores of each recipe's checkpoints, contamination, the leaderboard."""

import dagster as dg

from biomedica_assets import evaluation, test_sets
from biomedica_assets.assets.checkpoints import checkpoints
from biomedica_assets.lib.evaluate import contamination as overlap
from biomedica_assets.lib.evaluate import leaderboard_stage, retrieval_stage, scoring, zero_shot_stage
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import (
    CHECKPOINTS,
    CONTAMINATION,
    EVALUATION_MATCHES,
    LEADERBOARD,
    RECIPE,
    RETRIEVAL_SCORES,
    TAXONOMY,
    ZERO_SHOT_SCORES,
)
from biomedica_assets.metadata import as_result, check_specs, definition_metadata
from biomedica_assets.partitions import RECIPES
from biomedica_assets.resources import LakeResource, Progressing, SettingsResource


@dg.asset(
    deps=["recipe", "taxonomy", checkpoints],
    partitions_def=RECIPES,
    group_name="eval_scores",
    kinds={"open_clip", "parquet"},
    code_version=scoring.VERSION,
    pool="gpu",
    tags={"cost": "gpu"},
    check_specs=check_specs("zero_shot_scores"),
    metadata=definition_metadata(ZERO_SHOT_SCORES),
)
def zero_shot_scores(
    context: dg.AssetExecutionContext,
    settings: SettingsResource,
    lake: LakeResource,
    progress: dg.ResourceParam[Progressing],
) -> dg.MaterializeResult:
    """Each checkpoint on each task that asks for a class or an option, with intervals and paired comparisons."""
    values, recipe = settings.open(), context.partition_key
    with lake.hold(context) as data:
        inputs = _inputs(data, recipe)
        report = zero_shot_stage.score_recipe(
            data,
            recipe,
            evaluation.contestants(data, recipe, values),
            evaluation.tasks(data, recipe, values),
            config=evaluation.config(values),
            recorded=evaluation.recorded_scores(values, zero_shot_stage.KINDS),
            inputs=inputs,
            progress=progress.open(context.log),
        )
        return as_result(report, data, tolerance=values.max_reject_fraction)


@dg.asset(
    deps=["recipe", "taxonomy", checkpoints],
    partitions_def=RECIPES,
    group_name="eval_scores",
    kinds={"open_clip", "parquet"},
    code_version=scoring.VERSION,
    pool="gpu",
    tags={"cost": "gpu"},
    check_specs=check_specs("retrieval_scores"),
    metadata=definition_metadata(RETRIEVAL_SCORES),
)
def retrieval_scores(
    context: dg.AssetExecutionContext,
    settings: SettingsResource,
    lake: LakeResource,
    progress: dg.ResourceParam[Progressing],
) -> dg.MaterializeResult:
    """Each checkpoint on each retrieval task: recall and median rank both ways, exact, with intervals."""
    values, recipe = settings.open(), context.partition_key
    with lake.hold(context) as data:
        inputs = _inputs(data, recipe)
        report = retrieval_stage.score_recipe(
            data,
            recipe,
            evaluation.contestants(data, recipe, values),
            evaluation.tasks(data, recipe, values),
            config=evaluation.config(values),
            recorded=evaluation.recorded_scores(values, retrieval_stage.KINDS),
            inputs=inputs,
            progress=progress.open(context.log),
        )
        return as_result(report, data, tolerance=values.max_reject_fraction)


@dg.asset(
    deps=["recipe", "taxonomy", "evaluation_matches"],
    partitions_def=RECIPES,
    group_name="eval_scores",
    kinds={"parquet"},
    code_version=overlap.VERSION,
    check_specs=check_specs("contamination"),
    metadata=definition_metadata(CONTAMINATION),
)
def contamination(
    context: dg.AssetExecutionContext, settings: SettingsResource, lake: LakeResource
) -> dg.MaterializeResult:
    """Which images of each task the recipe trains on: equal bytes, and near copies."""
    values, recipe = settings.open(), context.partition_key
    with lake.hold(context) as data:
        inputs = data.inputs((RECIPE, recipe), (TAXONOMY, None), (EVALUATION_MATCHES, None))
        report = overlap.report_contamination(
            data,
            recipe,
            evaluation.training_images(data, recipe),
            evaluation.tasks(data, recipe, values),
            matches=data.read(EVALUATION_MATCHES, None),
            recorded=evaluation.recorded(values),
            inputs=inputs,
        )
        return as_result(report, data, tolerance=values.max_reject_fraction)


@dg.asset(
    deps=[checkpoints, zero_shot_scores, retrieval_scores, contamination],
    group_name="eval_scores",
    kinds={"parquet"},
    code_version=leaderboard_stage.VERSION,
    check_specs=check_specs("leaderboard"),
    metadata=definition_metadata(LEADERBOARD),
)
def leaderboard(
    context: dg.AssetExecutionContext, settings: SettingsResource, lake: LakeResource
) -> dg.MaterializeResult:
    """All recipes against base models and published numbers: table, plots, HTML, Markdown, CSV."""
    values = settings.open()
    with lake.hold(context) as data:
        recipes = data.partitions(CHECKPOINTS)
        inputs = data.inputs(*((CHECKPOINTS, recipe) for recipe in recipes))
        report = leaderboard_stage.publish_leaderboard(
            data,
            costs=evaluation.costs(data, recipes),
            not_ready=[status for status in test_sets.all_statuses(values) if not status.ready],
            inputs=inputs,
        )
        return as_result(report, data, tolerance=values.max_reject_fraction)


def _inputs(data: Lake, recipe: str) -> dict[str, str]:
    return data.inputs((RECIPE, recipe), (TAXONOMY, None), (CHECKPOINTS, recipe))
