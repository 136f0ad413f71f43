"""Group eval_scores: zero-shot and retrieval scores of each recipe's checkpoints, contamination, the leaderboard."""

from biomedica_assets import evaluation, test_sets
from biomedica_assets.assets.declare import Step, table_asset
from biomedica_assets.lib.evaluate import contamination as overlap
from biomedica_assets.lib.evaluate import leaderboard_stage, retrieval_stage, scoring, zero_shot_stage
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import (
    CHECKPOINTS,
    CONTAMINATION,
    EVALUATION_MATCHES,
    HELD_OUT,
    LEADERBOARD,
    RECIPE,
    RETRIEVAL_SCORES,
    TAXONOMY,
    ZERO_SHOT_SCORES,
)


@table_asset(
    ZERO_SHOT_SCORES,
    group="eval_scores",
    version=scoring.VERSION,
    made_from=(RECIPE, HELD_OUT, TAXONOMY, CHECKPOINTS),
    kinds=("open_clip", "parquet"),
    pool="gpu",
    tags={"cost": "gpu"},
)
def zero_shot_scores(step: Step) -> Report:
    """Each checkpoint on each task that asks for a class or an option, with intervals and paired comparisons."""
    data, recipe, values = step.data, step.partition, step.values
    inputs = _inputs(data, recipe)
    return zero_shot_stage.score_recipe(
        data,
        recipe,
        evaluation.contestants(data, recipe, values),
        evaluation.tasks(data, values),
        config=evaluation.config(values),
        recorded=evaluation.recorded_scores(values, zero_shot_stage.KINDS),
        inputs=inputs,
        progress=step.progress,
    )


@table_asset(
    RETRIEVAL_SCORES,
    group="eval_scores",
    version=scoring.VERSION,
    made_from=(RECIPE, HELD_OUT, TAXONOMY, CHECKPOINTS),
    kinds=("open_clip", "parquet"),
    pool="gpu",
    tags={"cost": "gpu"},
)
def retrieval_scores(step: Step) -> Report:
    """Each checkpoint on each retrieval task: recall and median rank both ways, exact, with intervals."""
    data, recipe, values = step.data, step.partition, step.values
    inputs = _inputs(data, recipe)
    return retrieval_stage.score_recipe(
        data,
        recipe,
        evaluation.contestants(data, recipe, values),
        evaluation.tasks(data, values),
        config=evaluation.config(values),
        recorded=evaluation.recorded_scores(values, retrieval_stage.KINDS),
        inputs=inputs,
        progress=step.progress,
    )


@table_asset(
    CONTAMINATION,
    group="eval_scores",
    version=overlap.VERSION,
    made_from=(RECIPE, HELD_OUT, TAXONOMY, EVALUATION_MATCHES),
)
def contamination(step: Step) -> Report:
    """Which images of each task the recipe trains on: equal bytes, and near copies."""
    data, recipe, values = step.data, step.partition, step.values
    inputs = data.inputs((RECIPE, recipe), (HELD_OUT, None), (TAXONOMY, None), (EVALUATION_MATCHES, None))
    return overlap.report_contamination(
        data,
        recipe,
        evaluation.training_images(data, recipe),
        evaluation.tasks(data, values),
        matches=data.read(EVALUATION_MATCHES, None),
        recorded=evaluation.recorded(values),
        inputs=inputs,
    )


@table_asset(
    LEADERBOARD,
    group="eval_scores",
    version=leaderboard_stage.VERSION,
    made_from=(CHECKPOINTS, ZERO_SHOT_SCORES, RETRIEVAL_SCORES, CONTAMINATION),
)
def leaderboard(step: Step) -> Report:
    """All recipes against base models and published numbers: table, plots, HTML, Markdown, CSV."""
    recipes = step.data.partitions(CHECKPOINTS)
    inputs = step.data.inputs(*((CHECKPOINTS, recipe) for recipe in recipes))
    return leaderboard_stage.publish_leaderboard(
        step.data,
        costs=evaluation.costs(step.data, recipes),
        not_ready=[
            status for status in test_sets.checked(step.values, test_sets.all_statuses(step.values)) if not status.ready
        ],
        inputs=inputs,
    )


def _inputs(data: Lake, recipe: str) -> dict[str, str]:
    return data.inputs((RECIPE, recipe), (HELD_OUT, None), (TAXONOMY, None), (CHECKPOINTS, recipe))
