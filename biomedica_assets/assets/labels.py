"""Group annotations, second half: what the text says of figures, what sources are worth, the labels of all.

Belongs here: one asset per table of ``lib.annotate.sources``. What people say of clusters is in ``annotations``.
"""

import dagster as dg

from biomedica_assets.assets.annotations import annotations, expert_votes, label_calibration
from biomedica_assets.lib.annotate.released import join
from biomedica_assets.lib.annotate.sources import scores, stage, text, trust
from biomedica_assets.lib.tables import (
    FIGURE_LABELS,
    LABEL_CLAIMS,
    LABEL_TRUST,
    RELEASED_LABELS,
    RELEASED_RECORDS,
    RULE_COUNTS,
    RULE_SCORES,
    SOURCE_LEADERBOARD,
    TEXT_LABELS,
)
from biomedica_assets.metadata import as_result, check_specs, definition_metadata
from biomedica_assets.partitions import CHUNK_TO_SHELF, CHUNKS, SHELVES
from biomedica_assets.resources import LakeResource, SettingsResource

released_records = dg.AssetSpec(
    "released_records",
    group_name="annotations",
    kinds={"parquet"},
    partitions_def=CHUNKS,
    metadata=definition_metadata(RELEASED_RECORDS),
    description=RELEASED_RECORDS.meaning + " Reported chunk by chunk with the digest of its rows as data version.",
)


@dg.asset(
    deps=[released_records, "images", "captions"],
    partitions_def=CHUNKS,
    group_name="annotations",
    kinds={"parquet"},
    code_version=join.VERSION,
    check_specs=check_specs("released_labels"),
    metadata=definition_metadata(RELEASED_LABELS),
)
def released_labels(
    context: dg.AssetExecutionContext, settings: SettingsResource, lake: LakeResource
) -> dg.MaterializeResult:
    """Labels that others released, joined to our images by file name, caption or picture; the rest by reason."""
    with lake.hold(context) as data:
        report = join.stage_labels(data, context.partition_key)
        return as_result(report, data, tolerance=settings.open().max_reject_fraction)


@dg.asset(
    deps=["figures", "captions", "mentions", "pubmed_records"],
    partitions_def=CHUNKS,
    group_name="annotations",
    kinds={"yaml", "parquet"},
    code_version=text.VERSION,
    check_specs=check_specs("text_labels"),
    metadata=definition_metadata(TEXT_LABELS),
)
def text_labels(
    context: dg.AssetExecutionContext, settings: SettingsResource, lake: LakeResource
) -> dg.MaterializeResult:
    """What captions, mentions, subject headings and kinds of element say a figure shows, by readable rules."""
    with lake.hold(context) as data:
        report = text.stage_text_labels(data, context.partition_key)
        return as_result(report, data, tolerance=settings.open().max_reject_fraction)


@dg.asset(
    deps=[
        dg.AssetDep("images", partition_mapping=CHUNK_TO_SHELF),
        dg.AssetDep("clusters", partition_mapping=CHUNK_TO_SHELF),
        dg.AssetDep(text_labels, partition_mapping=CHUNK_TO_SHELF),
        dg.AssetDep(released_labels, partition_mapping=CHUNK_TO_SHELF),
        annotations,
        expert_votes,
    ],
    partitions_def=SHELVES,
    group_name="annotations",
    kinds={"parquet"},
    code_version=trust.VERSION,
    check_specs=check_specs("label_claims"),
    metadata=definition_metadata(LABEL_CLAIMS),
)
def label_claims(
    context: dg.AssetExecutionContext, settings: SettingsResource, lake: LakeResource
) -> dg.MaterializeResult:
    """What each source of labels says of a sample of images, and what people said of the same images."""
    with lake.hold(context) as data:
        report = trust.stage_claims(data, context.partition_key)
        return as_result(report, data, tolerance=settings.open().max_reject_fraction)


@dg.asset(
    deps=[label_claims],
    group_name="annotations",
    kinds={"parquet"},
    code_version=trust.VERSION,
    check_specs=check_specs("label_trust"),
    metadata=definition_metadata(LABEL_TRUST),
)
def label_trust(
    context: dg.AssetExecutionContext, settings: SettingsResource, lake: LakeResource
) -> dg.MaterializeResult:
    """How far each source's word can be trusted, by Dawid and Skene's model, people's verdicts held fixed."""
    with lake.hold(context) as data:
        return as_result(trust.stage_trust(data), data, tolerance=settings.open().max_reject_fraction)


@dg.asset(
    deps=[label_claims],
    group_name="annotations",
    kinds={"parquet"},
    code_version=trust.VERSION,
    check_specs=check_specs("source_leaderboard"),
    metadata=definition_metadata(SOURCE_LEADERBOARD),
)
def source_leaderboard(
    context: dg.AssetExecutionContext, settings: SettingsResource, lake: LakeResource
) -> dg.MaterializeResult:
    """Precision, recall, Brier score and coverage of each source of labels and of all together, by concept."""
    with lake.hold(context) as data:
        return as_result(trust.stage_leaderboard(data), data, tolerance=settings.open().max_reject_fraction)


@dg.asset(
    deps=[
        dg.AssetDep("images", partition_mapping=CHUNK_TO_SHELF),
        dg.AssetDep("clusters", partition_mapping=CHUNK_TO_SHELF),
        dg.AssetDep(text_labels, partition_mapping=CHUNK_TO_SHELF),
        dg.AssetDep(released_labels, partition_mapping=CHUNK_TO_SHELF),
        annotations,
        expert_votes,
    ],
    partitions_def=SHELVES,
    group_name="annotations",
    kinds={"parquet"},
    code_version=scores.VERSION,
    check_specs=check_specs("rule_counts"),
    metadata=definition_metadata(RULE_COUNTS),
)
def rule_counts(
    context: dg.AssetExecutionContext, settings: SettingsResource, lake: LakeResource
) -> dg.MaterializeResult:
    """How often each rule of the text spoke of an image, and how often people and other sources said the same."""
    with lake.hold(context) as data:
        report = scores.stage_counts(data, context.partition_key)
        return as_result(report, data, tolerance=settings.open().max_reject_fraction)


@dg.asset(
    deps=[rule_counts],
    group_name="annotations",
    kinds={"yaml", "parquet"},
    code_version=scores.VERSION,
    check_specs=check_specs("rule_scores"),
    metadata=definition_metadata(RULE_SCORES),
)
def rule_scores(
    context: dg.AssetExecutionContext, settings: SettingsResource, lake: LakeResource
) -> dg.MaterializeResult:
    """Precision, with its interval, and reach of every rule of the text; what whoever edits the rules looks at."""
    with lake.hold(context) as data:
        return as_result(scores.stage_scores(data), data, tolerance=settings.open().max_reject_fraction)


@dg.asset(
    deps=[
        "images",
        "clusters",
        annotations,
        expert_votes,
        "panels",
        label_calibration,
        text_labels,
        released_labels,
        label_trust,
    ],
    partitions_def=CHUNKS,
    group_name="annotations",
    kinds={"parquet"},
    code_version=stage.VERSION,
    check_specs=check_specs("figure_labels"),
    metadata=definition_metadata(FIGURE_LABELS),
)
def figure_labels(
    context: dg.AssetExecutionContext, settings: SettingsResource, lake: LakeResource
) -> dg.MaterializeResult:
    """Labels of every image from all sources together, with provenance and confidence."""
    with lake.hold(context) as data:
        report = stage.stage_labels(data, context.partition_key)
        return as_result(report, data, tolerance=settings.open().max_reject_fraction)
