"""Group annotations: the vocabulary, what people say of clusters, how far they agree, the labels of every image."""

import dagster as dg

from biomedica_assets.lib.annotate import agreement, audit, consensus, panels
from biomedica_assets.lib.annotate.taxonomy import model as vocabulary
from biomedica_assets.lib.tables import (
    ANNOTATIONS,
    ANNOTATOR_AGREEMENT,
    ANNOTATOR_CONFUSION,
    EXPERT_VOTES,
    LABEL_AUDIT,
    LABEL_CALIBRATION,
    LABEL_VERDICTS,
    PANELS,
    TAXONOMY,
)
from biomedica_assets.metadata import as_result, check_specs, definition_metadata
from biomedica_assets.partitions import CHUNK_TO_SHELF, CHUNKS, SHELVES
from biomedica_assets.resources import EngineResource, LakeResource, Progressing, SettingsResource

expert_votes = dg.AssetSpec(
    "expert_votes",
    group_name="annotations",
    kinds={"jsonl"},
    metadata=definition_metadata(EXPERT_VOTES),
    description=EXPERT_VOTES.meaning
    + " Made by people in the annotation page; reported by the sensor `expert_votes_sensor` (and by `biomedica "
    "annotate` when it ends) with the digest of what was voted as data version.",
)


@dg.asset(
    group_name="annotations",
    kinds={"yaml", "rdf"},
    code_version=vocabulary.VERSION,
    check_specs=check_specs("taxonomy"),
    metadata=definition_metadata(TAXONOMY),
)
def taxonomy(context: dg.AssetExecutionContext, settings: SettingsResource, lake: LakeResource) -> dg.MaterializeResult:
    """Concepts of the annotation form on three axes, with stable ids; exported as SKOS and JSON."""
    with lake.hold(context) as data:
        return as_result(vocabulary.stage_taxonomy(data), data, tolerance=settings.open().max_reject_fraction)


@dg.asset(
    deps=[taxonomy, expert_votes, "cluster_model"],
    group_name="annotations",
    kinds={"parquet"},
    code_version=consensus.VERSION,
    check_specs=check_specs("annotations"),
    metadata=definition_metadata(ANNOTATIONS),
)
def annotations(
    context: dg.AssetExecutionContext, settings: SettingsResource, lake: LakeResource
) -> dg.MaterializeResult:
    """Majority answer per cluster and question; ties and low agreement wait for an adjudicator."""
    with lake.hold(context) as data:
        return as_result(consensus.stage_annotations(data), data, tolerance=settings.open().max_reject_fraction)


@dg.asset(
    deps=[expert_votes, "cluster_model"],
    group_name="annotations",
    kinds={"parquet"},
    code_version=agreement.VERSION,
    check_specs=check_specs("annotator_agreement"),
    metadata=definition_metadata(ANNOTATOR_AGREEMENT),
)
def annotator_agreement(
    context: dg.AssetExecutionContext, settings: SettingsResource, lake: LakeResource
) -> dg.MaterializeResult:
    """Krippendorff's alpha, Fleiss' and Cohen's kappa per question, with bootstrap intervals."""
    values = settings.open()
    with lake.hold(context) as data:
        return as_result(agreement.stage_agreement(data, seed=values.seed), data, tolerance=values.max_reject_fraction)


@dg.asset(
    deps=[expert_votes, "cluster_model", annotations],
    group_name="annotations",
    kinds={"parquet"},
    code_version=agreement.VERSION,
    check_specs=check_specs("annotator_confusion"),
    metadata=definition_metadata(ANNOTATOR_CONFUSION),
)
def annotator_confusion(
    context: dg.AssetExecutionContext, settings: SettingsResource, lake: LakeResource
) -> dg.MaterializeResult:
    """How each annotator's answers lie against the consensus."""
    with lake.hold(context) as data:
        return as_result(agreement.stage_confusion(data), data, tolerance=settings.open().max_reject_fraction)


@dg.asset(
    name="panels",  # the function cannot bear the name of the library module
    deps=["images", "captions"],
    partitions_def=CHUNKS,
    group_name="annotations",
    kinds={"parquet", "image"},
    code_version=panels.VERSION,
    check_specs=check_specs("panels"),
    metadata=definition_metadata(PANELS),
)
def panel_types(
    context: dg.AssetExecutionContext,
    settings: SettingsResource,
    lake: LakeResource,
    engine: EngineResource,
    progress: dg.ResourceParam[Progressing],
) -> dg.MaterializeResult:
    """Single or compound, image by image, from gutters and panel letters."""
    with lake.hold(context) as data:
        report = panels.stage_panels(data, context.partition_key, engine.open("threads"), progress.open(context.log))
        return as_result(report, data, tolerance=settings.open().max_reject_fraction)


@dg.asset(
    deps=[
        dg.AssetDep("clusters", partition_mapping=CHUNK_TO_SHELF),
        dg.AssetDep("panels", partition_mapping=CHUNK_TO_SHELF),
        annotations,
        expert_votes,
    ],
    partitions_def=SHELVES,
    group_name="annotations",
    kinds={"parquet"},
    code_version=audit.VERSION,
    check_specs=check_specs("label_verdicts"),
    metadata=definition_metadata(LABEL_VERDICTS),
)
def label_verdicts(
    context: dg.AssetExecutionContext, settings: SettingsResource, lake: LakeResource
) -> dg.MaterializeResult:
    """Labels of audited images held against what people said of the same images."""
    with lake.hold(context) as data:
        report = audit.stage_verdicts(data, context.partition_key)
        return as_result(report, data, tolerance=settings.open().max_reject_fraction)


@dg.asset(
    deps=[label_verdicts],
    group_name="annotations",
    kinds={"parquet"},
    code_version=audit.VERSION,
    check_specs=check_specs("label_audit"),
    metadata=definition_metadata(LABEL_AUDIT),
)
def label_audit(
    context: dg.AssetExecutionContext, settings: SettingsResource, lake: LakeResource
) -> dg.MaterializeResult:
    """Precision of propagated labels on images that people judged one by one, with Wilson intervals."""
    with lake.hold(context) as data:
        return as_result(audit.stage_audit(data), data, tolerance=settings.open().max_reject_fraction)


@dg.asset(
    deps=[label_verdicts],
    group_name="annotations",
    kinds={"parquet", "scikitlearn"},
    code_version=audit.VERSION,
    check_specs=check_specs("label_calibration"),
    metadata=definition_metadata(LABEL_CALIBRATION),
)
def label_calibration(
    context: dg.AssetExecutionContext, settings: SettingsResource, lake: LakeResource
) -> dg.MaterializeResult:
    """From the raw confidence of a label to the share of such labels that people found correct."""
    with lake.hold(context) as data:
        return as_result(audit.stage_calibration(data), data, tolerance=settings.open().max_reject_fraction)
