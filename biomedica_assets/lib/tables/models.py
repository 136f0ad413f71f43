"""Tables of cuts of the data and of models: recipes and what they read, checkpoints, scores."""

from __future__ import annotations

import polars as pl

from biomedica_assets.lib.tables.model import BOOL, F32, I32, I64, STRINGS, Column, S, Table
from biomedica_assets.lib.tables.model import column as _c

F64 = pl.Float64()


def _estimate_columns() -> tuple[Column, ...]:
    return (
        _c("value", F64, "the metric on the test set; null where it could not be computed, never 0", null=True),
        _c("low", F64, "lower end of the 95 % bootstrap interval", null=True),
        _c("high", F64, "upper end of the 95 % bootstrap interval", null=True),
        _c("se", F64, "standard deviation of the bootstrap replicates", null=True),
        _c("chance", F64, "value of guessing, where it is known", null=True),
        _c("n", I64, "units scored: items, or items and labels, or queries"),
        _c("n_groups", I64, "patients or distinct images that were resampled"),
        _c("status", S, "scored, undefined (this metric has no value here) or excluded (the task cannot be scored)"),
        _c("reason", S, "why it is undefined or excluded, or what limits it", null=True),
    )


def _scored_columns() -> tuple[Column, ...]:
    return (
        _c("model", S, "name of the model", src="checkpoints.name"),
        _c("provenance", S, "ours, base, interpolated, other (trained by others, scored here) or published"),
        _c("model_digest", S, "digest of weights, architecture, precision and preprocessing"),
        _c("task", S, "name of the task"),
        _c("suite", S, "suite of the task"),
        _c("title", S, "what people call the task"),
        _c("domain", S, "field of medicine or biology"),
        _c("modality", S, "how the images were made", null=True),
        _c("task_kind", S, "single_label, multi_label, closed_vqa or retrieval"),
        _c("data_digest", S, "digest of the test set: images, answers, options, groups"),
        _c("score_key", S, "digest of everything that decides the score; equal keys are not computed again"),
        _c("primary", BOOL, "true for the metric the task is compared by"),
    )


ZERO_SHOT_SCORES = Table(
    "zero_shot_scores",
    "Scores of each model on each task that asks for a class or an option, with intervals.",
    "recipe",
    ("model", "task", "metric", "class_name"),
    (
        *_scored_columns(),
        _c("metric", S, "accuracy, balanced_accuracy, macro_auroc, recall, auroc, linear_probe or knn"),
        _c("class_name", S, "class the value is of; null for the whole task", null=True),
        *_estimate_columns(),
    ),
)

RETRIEVAL_SCORES = Table(
    "retrieval_scores",
    "Scores of each model on each retrieval task, both ways, with intervals.",
    "recipe",
    ("model", "task", "direction", "metric"),
    (
        *_scored_columns(),
        _c("direction", S, "image_to_text or text_to_image"),
        _c("metric", S, "recall_at_1, recall_at_10, recall_at_100 or median_rank"),
        *_estimate_columns(),
        _c("n_candidates", I64, "captions or images searched"),
        _c("n_tied", I64, "queries whose counterpart ties with a wrong candidate; they count as that much lower"),
        _c("n_images", I64, "images; one is found if any of its texts is"),
        _c("n_texts", I64, "texts of all images"),
    ),
)

CONTAMINATION = Table(
    "contamination",
    "Overlap of a recipe's training images with the images of each task.",
    "recipe",
    ("task",),
    (
        _c("task", S, "name of the task"),
        _c("suite", S, "suite of the task"),
        _c("data_digest", S, "digest of the test set"),
        _c("n_images", I64, "distinct images of the task"),
        _c("n_training", I64, "training images they were compared with"),
        _c("n_exact", I64, "task images whose bytes are a training image's"),
        _c(
            "n_near",
            I64,
            "further task images that a training image shows: equal pixels or near hashes; null if not looked for",
            null=True,
            src="evaluation_matches.media_id",
        ),
        _c("share", F64, "share of the task's images found either way", null=True),
        _c("examples", STRINGS, "up to ten pairs: item of the task = training image"),
        _c("method", S, "what was compared and with which limits"),
    ),
)

LEADERBOARD = Table(
    "leaderboard",
    "All models side by side: per task, per domain, overall; published numbers with their citation.",
    "none",
    ("recipe", "model", "scope", "name", "metric"),
    (
        _c("recipe", S, "recipe under which the model was scored; null for published numbers", null=True),
        _c("model", S, "name of the model", src="zero_shot_scores.model retrieval_scores.model"),
        _c("provenance", S, "ours, base, interpolated, other or published", src="zero_shot_scores.provenance"),
        _c("scope", S, "task, domain or overall"),
        _c("name", S, "task or domain, or the name of the average", src="zero_shot_scores.task retrieval_scores.task"),
        _c("domain", S, "domain of the task", null=True, src="zero_shot_scores.domain retrieval_scores.domain"),
        _c("metric", S, "metric the tasks are compared by"),
        _c(
            "value",
            F64,
            "mean over the tasks, or the task's value",
            src="zero_shot_scores.value retrieval_scores.value",
        ),
        _c("low", F64, "lower end of the 95 % interval", null=True),
        _c("high", F64, "upper end of the 95 % interval", null=True),
        _c("chance", F64, "value of guessing", null=True),
        _c("n_tasks", I32, "tasks in the mean"),
        _c("compute", F64, "training compute in FLOPs, null if unknown", null=True),
        _c("samples_seen", I64, "training samples seen, null if unknown", null=True),
        _c("contaminated", F64, "largest share of a task's images found in the training set", null=True),
        _c("citation", S, "where a published number comes from", null=True),
    ),
)

BOXES, PLACE = pl.List(pl.Int32()), pl.List(pl.Float32())

IMAGE_VIEWS = Table(
    "image_views",
    "What each picture looks like, frame by frame: from it altered copies of test images are proposed.",
    "chunk",
    ("media_id",),
    (
        _c("media_id", S, "image", src="images.media_id"),
        _c("sha256", S, "file that was looked at", src="images.sha256"),
        _c(
            "frames",
            BOXES,
            "x0, y0, x1, y1 of the whole, of what its borders surround, of its panels; in pixels of the picture "
            "reduced to a longer side of 512",
        ),
        _c("n_own", I32, "frames that are the whole picture or within its borders; the others are panels"),
        _c(
            "descriptions",
            pl.Binary(),
            "128 bytes for each frame, then for the inner part of the first n_own: gradients of 8 directions in 4 x 4 "
            "cells, a unit vector in steps of 1/255",
        ),
    ),
)

IMAGE_FINGERPRINTS = Table(
    "image_fingerprints",
    "What tells images apart, gathered from the chunks of a shelf.",
    "shelf",
    ("media_id",),
    (
        _c("media_id", S, "image", src="images.media_id"),
        _c("article_id", S, "PMC123.1", src="images.article_id"),
        _c("chunk", S, "chunk of the article"),
        _c("path", S, "path below the data directory", src="images.path"),
        _c("sha256", S, "SHA-256 of the file", src="images.sha256"),
        _c("pixel_hash", S, "digest of the decoded pixels and their size", src="images.pixel_hash"),
        _c("phash", pl.UInt64(), "64-bit perceptual hash", src="images.phash"),
        _c("frames", BOXES, "of image_views; null if it has no row", null=True, src="image_views.frames"),
        _c("n_own", I32, "of image_views", null=True, src="image_views.n_own"),
        _c("descriptions", pl.Binary(), "of image_views", null=True, src="image_views.descriptions"),
    ),
)

SAMPLE_SHELF = Table(
    "sample_shelf",
    "Which data describe the samples of each chunk of a shelf: what a recipe reads.",
    "shelf",
    ("chunk", "table"),
    (
        _c("chunk", S, "chunk"),
        _c("table", S, "table of the chunk that recipes may read"),
        _c("data_version", S, "digest of its content"),
        _c("rows", I64, "its rows"),
    ),
)

DUPLICATES = Table(
    "duplicates",
    "Images that are not alone: one row per image of a group with equal bytes, equal pixels or near-equal looks.",
    "none",
    ("media_id",),
    (
        _c("media_id", S, "image", src="image_fingerprints.media_id"),
        _c("article_id", S, "PMC123.1", src="image_fingerprints.article_id"),
        _c("group", S, "media_id of the group's first image, by chunk and id", src="image_fingerprints.media_id"),
        _c(
            "match",
            S,
            "what ties the image to another of its group: bytes, pixels or perceptual (the strongest)",
            src="image_fingerprints.sha256 image_fingerprints.pixel_hash image_fingerprints.phash",
        ),
        _c(
            "distance",
            I32,
            "bits in which its perceptual hash differs from the first image's",
            src="image_fingerprints.phash",
        ),
        _c("group_size", I32, "images in the group"),
    ),
)

EVALUATION_MATCHES = Table(
    "evaluation_matches",
    "Images that an evaluation task also uses; recipes leave them out.",
    "none",
    ("media_id", "task", "item"),
    (
        _c("media_id", S, "image", src="image_fingerprints.media_id"),
        _c("article_id", S, "PMC123.1", src="image_fingerprints.article_id"),
        _c("task", S, "name of the task"),
        _c("item", S, "item of the task"),
        _c("match", S, "bytes, pixels or altered (the strongest)", src="image_fingerprints.descriptions"),
        _c("orientation", I32, "how the task's image is turned: quarter turns, 4 more for the mirror image"),
        _c("score", F32, "how well their structure agrees where it is altered, 0..1; null if it is not", null=True),
        _c("place", PLACE, "x0, y0, x1, y1 of what shows it, as shares of width and height; null: whole", null=True),
    ),
)

HELD_OUT = Table(
    "held_out",
    "The pictures that no recipe trains on: every recipe's checkpoints are scored on all of them.",
    "none",
    ("media_id",),
    (
        _c("media_id", S, "image, one of each group of duplicates", src="shards.media_id duplicates.group"),
        _c("sample_key", S, "key of its sample", src="shards.sample_key"),
        _c("article_id", S, "PMC123.1", src="shards.article_id"),
        _c(
            "concept",
            S,
            "the rarest of its top concepts that are sure enough; null without",
            null=True,
            src="figure_labels.global",
        ),
    ),
)

RECIPE = Table(
    "recipe",
    "The samples of one recipe in the order of the physical shards, with where their bytes lie.",
    "recipe",
    ("sample_key",),
    (
        _c("position", I64, "place in the list: by split, shard and byte"),
        _c("sample_key", S, "key of the sample", src="shards.sample_key"),
        _c("media_id", S, "image of the sample", src="shards.media_id"),
        _c("article_id", S, "PMC123.1", src="shards.article_id"),
        _c("split", S, "train, validation or test", src="duplicates.group articles.article_id"),
        _c("shard", S, "path of the tar below the data directory", src="shards.shard"),
        _c("start", I64, "first byte of the sample", src="shards.start"),
        _c("end", I64, "one past its last byte", src="shards.end"),
        _c("repeat", I32, "how often the sample comes in an epoch", src="figure_labels.global figure_labels.local"),
        _c("concept", S, "top concept it counts for in caps and weights", null=True, src="figure_labels.global"),
        _c("license_group", S, "commercial, noncommercial or other", src="shards.license_group"),
    ),
)

CHECKPOINTS = Table(
    "checkpoints",
    "One row per set of weights of a recipe: base, interpolated at each alpha, trained, earlier epochs that were kept.",
    "recipe",
    ("name",),
    (
        _c("name", S, "recipe, role and alpha"),
        _c("role", S, "base, interpolated, trained, or epoch (earlier weights that were kept)"),
        _c("alpha", pl.Float64(), "weight of the trained model: 0 base, 1 trained"),
        _c("best", BOOL, "the interpolation with the best score on the validation split"),
        _c("model", S, "open_clip architecture"),
        _c("config", S, "path of the model configuration below the data directory"),
        _c("path", S, "path of the safetensors file below the data directory"),
        _c("sha256", S, "SHA-256 of the file"),
        _c("metric", S, "name of the score"),
        _c("score", pl.Float64(), "score on the validation split"),
        _c("scores", S, "all scores on the validation split, as JSON"),
        _c("samples_seen", I64, "training samples the weights have seen"),
    ),
)
