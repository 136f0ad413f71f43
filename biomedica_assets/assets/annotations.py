"""Group annotations: the vocabulary, what people say of clusters, how far they agree, the labels of every image."""

from biomedica_assets.assets.declare import Step, reported, table_asset
from biomedica_assets.lib.annotate import agreement, audit, consensus
from biomedica_assets.lib.annotate import panels as detector
from biomedica_assets.lib.annotate.sources import stage as labelling
from biomedica_assets.lib.annotate.taxonomy import model as vocabulary
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.tables import (
    ANNOTATIONS,
    ANNOTATOR_AGREEMENT,
    ANNOTATOR_CONFUSION,
    AUDITED_LABELS,
    CAPTIONS,
    CLUSTER_MODEL,
    EXPERT_VOTES,
    IMAGES,
    LABEL_AUDIT,
    LABEL_CALIBRATION,
    LABEL_CORRECTIONS,
    LABEL_VERDICTS,
    PANELS,
    TAXONOMY,
)

expert_votes = reported(
    EXPERT_VOTES,
    "Made by people in the annotation page; reported by the sensor `expert_votes_sensor` (and by `biomedica annotate` "
    "when it ends) with the digest of what was voted as data version.",
    group="annotations",
    kinds=("jsonl",),
)


@table_asset(TAXONOMY, group="annotations", version=vocabulary.VERSION, kinds=("yaml", "rdf"))
def taxonomy(step: Step) -> Report:
    """Concepts of the annotation form on three axes, with stable ids; exported as SKOS and JSON."""
    return vocabulary.stage_taxonomy(step.data)


@table_asset(
    ANNOTATIONS, group="annotations", version=consensus.VERSION, made_from=(TAXONOMY, EXPERT_VOTES, CLUSTER_MODEL)
)
def annotations(step: Step) -> Report:
    """Majority answer per cluster and question; ties and low agreement wait for an adjudicator."""
    return consensus.stage_annotations(step.data)


@table_asset(
    ANNOTATOR_AGREEMENT, group="annotations", version=agreement.VERSION, made_from=(EXPERT_VOTES, CLUSTER_MODEL)
)
def annotator_agreement(step: Step) -> Report:
    """Krippendorff's alpha, Fleiss' and Cohen's kappa per question, with bootstrap intervals."""
    return agreement.stage_agreement(step.data, seed=step.values.seed)


@table_asset(
    ANNOTATOR_CONFUSION,
    group="annotations",
    version=agreement.VERSION,
    made_from=(EXPERT_VOTES, CLUSTER_MODEL, ANNOTATIONS),
)
def annotator_confusion(step: Step) -> Report:
    """How each annotator's answers lie against the consensus."""
    return agreement.stage_confusion(step.data)


@table_asset(
    PANELS,
    group="annotations",
    version=detector.VERSION,
    made_from=(IMAGES, CAPTIONS),
    kinds=("parquet", "image"),
    needs=("engine",),
)
def panels(step: Step) -> Report:
    """Single or compound, image by image, from gutters and panel letters."""
    return detector.stage_panels(step.data, step.partition, step.engine("threads"), step.progress)


@table_asset(
    LABEL_VERDICTS,
    group="annotations",
    version=audit.VERSION,
    made_from=(IMAGES, PANELS, EXPERT_VOTES, *labelling.BEFORE_AUDIT),
)
def label_verdicts(step: Step) -> Report:
    """What clusters, all sources together, and the panel detector say of audited images, held against people."""
    return audit.stage_verdicts(step.data, step.partition)


@table_asset(
    AUDITED_LABELS,
    group="annotations",
    version=audit.VERSION,
    made_from=(IMAGES, PANELS, EXPERT_VOTES, *labelling.WITHOUT),
)
def audited_labels(step: Step) -> Report:
    """Labels that audited images would have had nobody looked at them, held against what people said of them."""
    return audit.stage_audited(step.data, step.partition)


@table_asset(LABEL_AUDIT, group="annotations", version=audit.VERSION, made_from=(AUDITED_LABELS,))
def label_audit(step: Step) -> Report:
    """Precision and recall of labels, from images drawn for people and weighted by how likely each was drawn."""
    return audit.stage_audit(step.data)


@table_asset(
    LABEL_CALIBRATION,
    group="annotations",
    version=audit.VERSION,
    made_from=(LABEL_VERDICTS,),
    kinds=("parquet", "scikitlearn"),
)
def label_calibration(step: Step) -> Report:
    """From the confidence of a label to the share of such labels that people found correct, where that errs less."""
    return audit.stage_calibration(step.data)


@table_asset(
    LABEL_CORRECTIONS, group="annotations", version=audit.VERSION, made_from=(LABEL_VERDICTS, LABEL_CALIBRATION)
)
def label_corrections(step: Step) -> Report:
    """Whether the panel detector may overrule clusters: only where audited images say that it helps."""
    return audit.stage_corrections(step.data)
