"""Tables of what pictures show: votes, and labels with their sources and trust."""

from __future__ import annotations

import polars as pl

from biomedica_assets.lib.tables.model import BOOL, F32, I32, I64, STRINGS, Column, S, Table
from biomedica_assets.lib.tables.model import column as _c

TAXONOMY = Table(
    "taxonomy",
    "Concepts of the annotation vocabulary: kind, content and panel arrangement, each a tree.",
    "none",
    ("concept_id",),
    (
        _c("concept_id", S, "stable id, never renamed or used again: kind-bar-plot"),
        _c("axis", S, "kind, content or panel"),
        _c("label", S, "preferred name"),
        _c("broader", S, "parent concept", null=True),
        _c("top", S, "top concept above it, or itself"),
        _c("depth", I32, "0 for a top concept"),
        _c("alt", STRINGS, "other names"),
        _c("note", S, "remark for editors", null=True),
        _c("deprecated", BOOL, "no longer offered in the form"),
        _c("taxonomy_version", S, "version of the vocabulary"),
    ),
)

EXPERT_VOTES = Table(
    "expert_votes",
    "Every vote that people (or simulated annotators) gave, also those that a later one replaced or took back.",
    "none",
    ("vote_id",),
    (
        _c("vote_id", S, "id given by the page or the importer; sending one twice counts once"),
        _c("annotator", S, "who voted"),
        _c("source", S, "human, simulated or imported"),
        _c("task", S, "label, adjudication, audit or override"),
        _c("cluster", I32, "cluster that was judged", null=True),
        _c("media_id", S, "image that was judged, for audit and override", null=True),
        _c("cluster_model", S, "data version of the cluster model the cluster number belongs to", null=True),
        _c("panel_type", S, "panel concept", null=True, src="taxonomy.concept_id"),
        _c("panel_subtype", S, "narrower panel concept", null=True, src="taxonomy.concept_id"),
        _c("global", STRINGS, "top kind concepts; null if not answered", null=True, src="taxonomy.concept_id"),
        _c("local", STRINGS, "narrower kind concepts; null if not answered", null=True, src="taxonomy.concept_id"),
        _c("content", STRINGS, "content concepts; null if not answered", null=True, src="taxonomy.concept_id"),
        _c("mixed", BOOL, "the images do not belong together"),
        _c("cant_tell", BOOL, "the annotator could not tell"),
        _c("comment", S, "free text", null=True),
        _c("seconds", F32, "time spent, seconds", null=True),
        _c("time", S, "when it was given, ISO 8601 in UTC"),
        _c("taxonomy_version", S, "version of the vocabulary offered"),
        _c("guideline_version", S, "version of the guideline in force"),
        _c("status", S, "active, replaced (by a later vote of the same person) or withdrawn"),
        _c("inclusion", F32, "audit: probability with which the image was drawn; null if it was not by lot", null=True),
    ),
)

ANNOTATIONS = Table(
    "annotations",
    "Consensus of the votes: one row per cluster and question.",
    "none",
    ("cluster", "question"),
    (
        _c("cluster", I32, "cluster", src="expert_votes.cluster"),
        _c("question", S, "panel_type, panel_subtype, global, local, content or mixed"),
        _c("answer", STRINGS, "concepts agreed on (yes or no for mixed); empty if none", src="taxonomy.concept_id"),
        _c("agreement", F32, "share of the votes that back the answer, 0..1; null without votes", null=True),
        _c("n_votes", I32, "votes that answered the question"),
        _c("status", S, "agreed, adjudicated, tie, low_agreement, cant_tell, contradiction, too_few or unanswered"),
        _c("votes", STRINGS, "ids of the votes it rests on", src="expert_votes.vote_id"),
        _c("simulated", BOOL, "true if any of the votes was simulated", src="expert_votes.source"),
        _c("cluster_model", S, "data version of the cluster model"),
    ),
)

ANNOTATOR_AGREEMENT = Table(
    "annotator_agreement",
    "How far annotators agree, by question, with 95 % bootstrap intervals; and whom each one is confused with.",
    "none",
    ("question", "statistic", "subject"),
    (
        _c("question", S, "question of the form"),
        _c("statistic", S, "krippendorff_alpha, krippendorff_alpha_jaccard, fleiss_kappa or cohen_kappa"),
        _c("subject", S, "all, one annotator, or two joined by ' | '"),
        _c("value", F32, "the statistic; null where it is undefined", null=True),
        _c("low", F32, "lower end of the interval", null=True),
        _c("high", F32, "upper end of the interval", null=True),
        _c("n_items", I32, "clusters it rests on"),
        _c("simulated", BOOL, "true if any of the votes was simulated"),
    ),
)

ANNOTATOR_CONFUSION = Table(
    "annotator_confusion",
    "How each annotator's answers lie against the consensus.",
    "none",
    ("question", "annotator", "consensus", "answer"),
    (
        _c("question", S, "question of the form"),
        _c("annotator", S, "who voted", src="expert_votes.annotator"),
        _c("consensus", S, "consensus answer, concepts joined by ' + '; 'none' if empty", src="annotations.answer"),
        _c("answer", S, "the annotator's answer, spelled likewise"),
        _c("n", I32, "clusters"),
        _c("simulated", BOOL, "true if the annotator is simulated"),
    ),
)

PANELS = Table(
    "panels",
    "What the panel detector says of each image: one panel or several.",
    "chunk",
    ("media_id",),
    (
        _c("media_id", S, "image", src="images.media_id"),
        _c("sha256", S, "file that was looked at", src="images.sha256"),
        _c("caption_digest", S, "digest of the caption that was read; null without caption", null=True),
        _c("n_blocks", I32, "blocks that gutters cut the picture into"),
        _c("n_letters", I32, "panels that the caption names in order: A, B, C"),
        _c("gutter", F32, "width of the gutters found, share of the side they run along"),
        _c("p_multiple", F32, "probability that the picture has several panels"),
        _c("panel_type", S, "panel-single or panel-multiple", src="taxonomy.concept_id"),
    ),
)

_HELD_AGAINST_PEOPLE = (
    _c("media_id", S, "audited image", src="expert_votes.media_id"),
    _c("question", S, "question of the form"),
    _c("concept_id", S, "label that it would get, that people say it shows, or both", src="expert_votes.vote_id"),
    _c("labelled", BOOL, "whether the image would get the label"),
    _c("shown", BOOL, "whether people say that it shows it", src="expert_votes.vote_id"),
    _c("confidence", F32, "of the label, before calibration where there is one; null if not given", null=True),
    _c("inclusion", F32, "probability with which the image was drawn; null if not by lot", null=True),
    _c("simulated", BOOL, "true if the verdict was simulated", src="expert_votes.source"),
)

LABEL_VERDICTS = Table(
    "label_verdicts",
    "What sources that can be corrected say of audited images, held against what people said of the same images.",
    "shelf",
    ("variant", "media_id", "question", "concept_id"),
    (
        _c(
            "variant",
            S,
            "propagated: by the cluster; combined: by all sources of labels; detector: by the panel detector",
            src="panels.panel_type text_labels.concept_id model_labels.probability",
        ),
        *_HELD_AGAINST_PEOPLE,
    ),
)

AUDITED_LABELS = Table(
    "audited_labels",
    "Labels that audited images would have had nobody looked at them, held against what people said of them.",
    "shelf",
    ("media_id", "question", "concept_id"),
    (
        *_HELD_AGAINST_PEOPLE,
        _c("provenance", S, "where the label comes from, as in figure_labels; null if not given", null=True),
    ),
)

LABEL_AUDIT = Table(
    "label_audit",
    "How right labels are and how many they miss, estimated for all images from those that were drawn for people.",
    "none",
    ("question", "concept_id"),
    (
        _c("question", S, "question of the form"),
        _c("concept_id", S, "label; 'all' for the question as a whole"),
        _c("n", I32, "audited labels: times that a judged image would carry it", src="audited_labels.labelled"),
        _c("n_correct", I32, "of these, those with which people agree", src="audited_labels.shown"),
        _c("precision", F32, "share correct among all images; null if none was judged", null=True),
        _c("low", F32, "lower end of the 95 % interval", null=True),
        _c("high", F32, "upper end of the 95 % interval", null=True),
        _c("n_shown", I32, "times that a judged image shows it", src="audited_labels.shown"),
        _c("recall", F32, "share of those that carry the label, among all images; null likewise", null=True),
        _c("recall_low", F32, "lower end of the 95 % interval", null=True),
        _c("recall_high", F32, "upper end of the 95 % interval", null=True),
        _c("simulated", BOOL, "true if any verdict was simulated"),
    ),
)

LABEL_CORRECTIONS = Table(
    "label_corrections",
    "Whether the panel detector may overrule clusters: both held against what people said of the same images.",
    "none",
    ("concept_id",),
    (
        _c("concept_id", S, "panel type that the detector would put in the place of the cluster's"),
        _c("n", I32, "audited images where it would", src="label_verdicts.concept_id"),
        _c("n_better", I32, "of these, images for which people say what the detector says", src="label_verdicts.shown"),
        _c("better", F32, "share of such images, each counted as one over its probability; null if none", null=True),
        _c("low", F32, "lower end of the 95 % interval", null=True),
        _c("high", F32, "upper end of the 95 % interval", null=True),
        _c("applied", BOOL, "true if the interval lies above one half: then the detector overrules"),
        _c("simulated", BOOL, "true if any verdict was simulated"),
    ),
)

LABEL_CALIBRATION = Table(
    "label_calibration",
    "Monotone map from the confidence of a label to the share of such labels that people found correct.",
    "none",
    ("variant", "question", "knot"),
    (
        _c(
            "variant",
            S,
            "propagated: labels of clusters; combined: labels of all sources",
            src="label_verdicts.variant",
        ),
        _c("question", S, "question of the form"),
        _c("knot", I32, "number of the knot, from 0, raw confidence rising"),
        _c("raw", F32, "confidence before calibration", src="label_verdicts.confidence"),
        _c("confidence", F32, "calibrated confidence"),
        _c("n", I32, "audited labels the question's map was fitted on"),
        _c("brier_raw", F32, "mean squared error of the confidence before, on these labels"),
        _c("brier", F32, "the same after, each fifth by a map fitted on the others"),
    ),
)


def _label_columns(question: str, dtype: pl.DataType, what: str) -> tuple[Column, ...]:
    """Answer, provenance and confidence of one question."""
    where = "annotations.answer expert_votes.vote_id"
    return (
        _c(
            question,
            dtype,
            f"{what}; null without accepted answer",
            null=True,
            src=where + (" panels.panel_type" if dtype == S else ""),
        ),
        _c(
            f"{question}_provenance",
            S,
            f"{question}: human, or propagated, text, model and released:NAME joined by +; null without answer",
            null=True,
        ),
        _c(f"{question}_raw", F32, f"{question}: confidence of the cluster's label before calibration", null=True),
        _c(f"{question}_confidence", F32, f"{question}: confidence 0..1; null without answer", null=True),
    )


TEXT_LABELS = Table(
    "text_labels",
    "What the text says of each figure: concepts that rules found in caption, mentions, headings and kind of element.",
    "chunk",
    ("figure_id", "concept_id", "rule", "place"),
    (
        _c("figure_id", S, "figure the text speaks of", src="figures.figure_id"),
        _c("concept_id", S, "concept that follows", src="taxonomy.concept_id"),
        _c("rule", S, "rule that matched: concept/rule of the rules file"),
        _c("place", S, "kind, head (first sentence of the caption), panel (behind a letter), caption, mention or mesh"),
        _c("words", S, "words that matched", src="captions.caption mentions.text pubmed_records.mesh figures.kind"),
        _c("trust", F32, "share of matches in the head of a caption that are right, as the rules file states"),
    ),
)

LABEL_CLAIMS = Table(
    "label_claims",
    "What each source says of a sample of images, and what people said of the same images.",
    "shelf",
    ("media_id", "concept_id", "source"),
    (
        _c("media_id", S, "image", src="images.media_id"),
        _c("article_id", S, "its article", src="images.article_id"),
        _c("concept_id", S, "concept of the axis kind, wider ones included", src="taxonomy.concept_id"),
        _c("source", S, "text, propagated or released:NAME; person for what people said of the image itself"),
        _c("symbol", S, "how it says so: head, mention, sure, ...; yes for a person"),
        _c("simulated", BOOL, "true if it rests on a simulated vote"),
    ),
)

LABEL_TRUST = Table(
    "label_trust",
    "What each source's word is worth: probability of its symbols where a label is right and where it is wrong.",
    "none",
    ("level", "source", "symbol"),
    (
        _c("level", S, "top or narrower concepts"),
        _c("source", S, "source, or prior with a concept as symbol"),
        _c("symbol", S, "what it says", src="label_claims.symbol"),
        _c("p_no", F32, "probability of the symbol where the label is wrong; of a prior the share of wrong ones"),
        _c("p_yes", F32, "probability of the symbol where the label is right; of a prior the share of right ones"),
        _c("n", I32, "times it was said in the sample"),
        _c("estimated", BOOL, "true if counted (Dawid and Skene's model), false if as believed beforehand"),
    ),
)

SOURCE_LEADERBOARD = Table(
    "source_leaderboard",
    "Each source of labels and their combination against what people said of single images, by concept.",
    "none",
    ("source", "question", "concept_id"),
    (
        _c("source", S, "source, combined, or before_votes: text and released labels together, as believed beforehand"),
        _c("question", S, "global or local"),
        _c("concept_id", S, "label; 'all' for the question as a whole"),
        _c("n", I32, "judged images for which the source names the label"),
        _c("n_correct", I32, "of these, those that people agree with"),
        _c("n_true", I32, "judged images that show it"),
        _c("precision", F32, "share correct, null if it was never said", null=True),
        _c("low", F32, "lower end of the 95 % interval", null=True),
        _c("high", F32, "upper end of the 95 % interval", null=True),
        _c("recall", F32, "share of those that show it", null=True),
        _c("brier", F32, "mean squared error of the probability over candidates", null=True),
        _c("coverage", F32, "share of judged images of which the source says something"),
        _c("simulated", BOOL, "true if any verdict was simulated"),
    ),
)

RELEASED_RECORDS = Table(
    "released_records",
    "Labels that others released, record by record, with what finds the image: written by `biomedica labels`.",
    "chunk",
    ("name", "source", "row"),
    (
        _c("name", S, "name under which the labels were taken in"),
        _c("source", S, "file of the release"),
        _c("row", I64, "number of the record in it, from 0"),
        _c("pmcid", I64, "number of the article that the record names"),
        _c("stem", S, "its file name: lower case, without folder and extension of an image", null=True),
        _c("caption_digest", pl.UInt64(), "of the first 200 letters and digits of its caption", null=True),
        _c("phash", pl.UInt64(), "perceptual hash of its picture, made as images.phash", null=True),
        _c("concepts", STRINGS, "our concepts for its labels", src="taxonomy.concept_id"),
        _c("trust", F32, "share of the labels that are right, as the definition states"),
    ),
)

RELEASED_LABELS = Table(
    "released_labels",
    "Labels that others released, joined to our images; the metrics count what did not join, by reason.",
    "chunk",
    ("media_id", "name", "concept_id"),
    (
        _c("media_id", S, "image", src="images.media_id"),
        _c("name", S, "release that says so", src="released_records.name"),
        _c("concept_id", S, "concept", src="released_records.concepts"),
        _c("way", S, "how the image was found: file (name), caption or picture"),
        _c("trust", F32, "share of the labels that are right, as stated", src="released_records.trust"),
        _c("n_records", I32, "records that say so", src="released_records.row"),
    ),
)

RULE_COUNTS = Table(
    "rule_counts",
    "How often each rule of the text spoke of an image of a shelf, and how often another source said the same.",
    "shelf",
    ("rule", "place", "source", "simulated"),
    (
        _c("rule", S, "rule: concept/rule of the rules file", src="text_labels.rule"),
        _c("place", S, "where it matched; any counts an image once", src="text_labels.place"),
        _c("source", S, "held against: person, propagated, ...; all tells how far the rule reaches"),
        _c("simulated", BOOL, "true if that rests on a simulated vote"),
        _c("n_images", I32, "images of which the rule speaks"),
        _c("n_judged", I32, "of these, images of which the source speaks too"),
        _c("n_right", I32, "of these, images for which the source names the rule's concept"),
    ),
)

RULE_SCORES = Table(
    "rule_scores",
    "Precision and reach of each rule of the text, against people and against other sources of labels.",
    "none",
    ("rule", "place", "source", "simulated"),
    (
        _c("rule", S, "rule: concept/rule of the rules file", src="text_labels.rule"),
        _c("place", S, "where it matched; any counts an image once", src="text_labels.place"),
        _c("source", S, "held against: person, propagated, ...; all tells how far the rule reaches"),
        _c("simulated", BOOL, "true if that rests on a simulated vote"),
        _c("n_images", I32, "images of which the rule speaks"),
        _c("n_judged", I32, "of these, images of which the source speaks too"),
        _c("n_right", I32, "of these, images for which the source names the rule's concept"),
        _c("concept_id", S, "the rule's concept", src="taxonomy.concept_id"),
        _c("trust", F32, "share right as the rules file states it", src="text_labels.trust"),
        _c("reach", F32, "share of all images of which the rule speaks"),
        _c("precision", F32, "share of the judged images that are right; null if none was judged", null=True),
        _c("low", F32, "lower end of the 95 % Wilson interval", null=True),
        _c("high", F32, "upper end of the 95 % Wilson interval", null=True),
    ),
)

LABEL_MODEL = Table(
    "label_model",
    "The label model's answers to the images that taught it, each by the part that saw no image of the same article; "
    "its weights lie beside it.",
    "none",
    ("media_id", "concept_id"),
    (
        _c("media_id", S, "image", src="label_claims.media_id"),
        _c("article_id", S, "its article", src="label_claims.article_id"),
        _c("concept_id", S, "concept that the model has learnt", src="taxonomy.concept_id"),
        _c("probability", F32, "that the image shows it, calibrated on articles not seen", src="embedding_shelf.row"),
        _c(
            "wanted",
            F32,
            "what the other sources together say, 0..1; null if they do not",
            null=True,
            src="label_claims.symbol",
        ),
        _c("judged", BOOL, "true if people said it of the image itself", src="label_claims.source"),
    ),
)

MODEL_LABELS = Table(
    "model_labels",
    "Concepts that the label model finds likely, from the vector of each image; of one without a row it is unsure.",
    "chunk",
    ("media_id", "concept_id"),
    (
        _c("media_id", S, "image", src="embeddings.media_id"),
        _c("concept_id", S, "concept, wider ones included", src="label_model.concept_id"),
        _c("probability", F32, "that the image shows it, calibrated", src="embeddings.row label_model.probability"),
        _c("model", S, "digest of the model"),
    ),
)

CLAIMS = pl.List(pl.Struct({"concept_id": pl.String(), "source": pl.String(), "confidence": pl.Float32()}))

FIGURE_LABELS = Table(
    "figure_labels",
    "Labels of each image, with where they come from and how far they can be trusted.",
    "chunk",
    ("media_id",),
    (
        _c("media_id", S, "image", src="images.media_id"),
        _c("cluster", I32, "cluster of the image; null before there are clusters", null=True, src="clusters.cluster"),
        *_label_columns("panel_type", S, "panel concept: single or multiple"),
        *_label_columns("panel_subtype", S, "narrower panel concept"),
        *_label_columns("global", STRINGS, "top kind concepts"),
        *_label_columns("local", STRINGS, "narrower kind concepts"),
        *_label_columns("content", STRINGS, "content concepts"),
        _c(
            "claims",
            CLAIMS,
            "concepts of the axis kind that any source names, with its confidence; 'combined' for all sources together",
            src="text_labels.concept_id annotations.answer released_labels.concept_id",
        ),
        _c("calibrated", BOOL, "true if confidences were calibrated on an audit sample"),
        _c("simulated", BOOL, "true if any label rests on a simulated vote"),
        _c(
            "misfit",
            BOOL,
            "true if fewer than a third of the nearest images have the kind of the image's cluster; null if not known",
            null=True,
            src="neighbours.neighbours annotations.answer",
        ),
    ),
)
