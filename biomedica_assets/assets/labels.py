"""Group annotations, second half: what the text says of figures, what sources are worth, the labels of all.

Belongs here: one asset per table of ``lib.annotate.sources``. What people say of clusters is in ``annotations``.
"""

from biomedica_assets.assets.declare import Step, reported, table_asset
from biomedica_assets.lib.annotate.released import join
from biomedica_assets.lib.annotate.sources import model_stage, scores, stage, text, trust
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.tables import (
    ANNOTATIONS,
    CAPTIONS,
    CLUSTERS,
    EMBEDDING_SHELF,
    EMBEDDINGS,
    EXPERT_VOTES,
    FIGURE_LABELS,
    FIGURES,
    IMAGES,
    LABEL_CLAIMS,
    LABEL_MODEL,
    LABEL_TRUST,
    MENTIONS,
    MODEL_LABELS,
    PANELS,
    PUBMED_RECORDS,
    RELEASED_LABELS,
    RELEASED_RECORDS,
    RULE_COUNTS,
    RULE_SCORES,
    SOURCE_LEADERBOARD,
    TEXT_LABELS,
)

_SOURCES = (IMAGES, CLUSTERS, TEXT_LABELS, RELEASED_LABELS, ANNOTATIONS, EXPERT_VOTES)
"""What label sources say, and what people said of the same images."""

released_records = reported(
    RELEASED_RECORDS, "Reported chunk by chunk with the digest of its rows as data version.", group="annotations"
)


@table_asset(RELEASED_LABELS, group="annotations", version=join.VERSION, made_from=(RELEASED_RECORDS, IMAGES, CAPTIONS))
def released_labels(step: Step) -> Report:
    """Labels that others released, joined to our images by file name, caption or picture; the rest by reason."""
    return join.stage_labels(step.data, step.partition)


@table_asset(
    TEXT_LABELS,
    group="annotations",
    version=text.VERSION,
    made_from=(FIGURES, CAPTIONS, MENTIONS, PUBMED_RECORDS),
    kinds=("yaml", "parquet"),
)
def text_labels(step: Step) -> Report:
    """What captions, mentions, subject headings and kinds of element say a figure shows, by readable rules."""
    return text.stage_text_labels(step.data, step.partition)


@table_asset(LABEL_CLAIMS, group="annotations", version=trust.VERSION, made_from=_SOURCES)
def label_claims(step: Step) -> Report:
    """What each source of labels says of a sample of images, and what people said of the same images."""
    return trust.stage_claims(step.data, step.partition)


@table_asset(
    LABEL_MODEL,
    group="annotations",
    version=model_stage.VERSION,
    made_from=(LABEL_CLAIMS, EMBEDDING_SHELF),
    kinds=("parquet", "scikitlearn"),
    pool="cpu",
)
def label_model(step: Step) -> Report:
    """What can be learnt of labels from vectors of pictures: a model per part of the articles, asked of the others."""
    return model_stage.stage_model(step.data)


@table_asset(
    MODEL_LABELS, group="annotations", version=model_stage.VERSION, made_from=(LABEL_MODEL, EMBEDDINGS, IMAGES)
)
def model_labels(step: Step) -> Report:
    """What the label model finds likely of each image; it leaves alone what it is unsure of."""
    return model_stage.stage_model_labels(step.data, step.partition)


@table_asset(LABEL_TRUST, group="annotations", version=trust.VERSION, made_from=(LABEL_CLAIMS, LABEL_MODEL))
def label_trust(step: Step) -> Report:
    """How far each source's word can be trusted, by Dawid and Skene's model, people's verdicts held fixed."""
    return trust.stage_trust(step.data)


@table_asset(SOURCE_LEADERBOARD, group="annotations", version=trust.VERSION, made_from=(LABEL_CLAIMS, LABEL_MODEL))
def source_leaderboard(step: Step) -> Report:
    """Precision, recall, Brier score and coverage of each source of labels and of all together, by concept."""
    return trust.stage_leaderboard(step.data)


@table_asset(RULE_COUNTS, group="annotations", version=scores.VERSION, made_from=_SOURCES)
def rule_counts(step: Step) -> Report:
    """How often each rule of the text spoke of an image, and how often people and other sources said the same."""
    return scores.stage_counts(step.data, step.partition)


@table_asset(
    RULE_SCORES, group="annotations", version=scores.VERSION, made_from=(RULE_COUNTS,), kinds=("yaml", "parquet")
)
def rule_scores(step: Step) -> Report:
    """Precision, with its interval, and reach of every rule of the text; what whoever edits the rules looks at."""
    return scores.stage_scores(step.data)


@table_asset(
    FIGURE_LABELS,
    group="annotations",
    version=stage.VERSION,
    made_from=(IMAGES, PANELS, EXPERT_VOTES, *stage.WITHOUT),
)
def figure_labels(step: Step) -> Report:
    """Labels of every image from all sources together, with provenance and confidence."""
    return stage.stage_labels(step.data, step.partition)
