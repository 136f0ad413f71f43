"""Numbers of a release that are about use rather than content: splits, where labels come from, how right they are.

Belongs here: one function per statistic, as in ``statistics.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from biomedica_assets.lib.release.copies import FOLDER, scan
from biomedica_assets.lib.release.statistics import Statistic
from biomedica_assets.lib.tables import FIGURE_LABELS, LABEL_AUDIT, RECIPE

QUESTIONS = ("panel_type", "panel_subtype", "global", "local", "content")


def found(release: Path) -> Iterator[Statistic]:
    """Those of which the release has rows."""
    for statistic in (splits(release), labels(release), audit(release)):
        if statistic.frame.height:
            yield statistic


def splits(release: Path) -> Statistic:
    """Samples and articles of each recipe by split and licence group."""
    parts = [
        pl.scan_parquet(sorted(folder.glob("*.parquet")))
        .group_by("split", "license_group")
        .agg(
            pl.len().cast(pl.Int64()).alias("samples"),
            pl.col("article_id").n_unique().cast(pl.Int64()).alias("articles"),
        )
        .sort("split", "license_group")
        .select(pl.lit(folder.name).alias("recipe"), "split", "license_group", "samples", "articles")
        .collect()
        for folder in sorted((release / FOLDER / RECIPE.name).glob("*"))
        if any(folder.glob("*.parquet"))
    ]
    note = "No article stands in two splits of a recipe. A sample that a recipe repeats counts once."
    return Statistic("splits", "Splits of the recipes", note, pl.concat(parts) if parts else pl.DataFrame())


def labels(release: Path) -> Statistic:
    """Images that have a label, by question and by what the label rests on, with the mean confidence."""
    rows = scan(release, FIGURE_LABELS)
    parts: list[pl.DataFrame] = []
    for question in QUESTIONS:
        value = pl.col(question)
        said = value.list.len() > 0 if isinstance(FIGURE_LABELS.schema[question], pl.List) else value.is_not_null()
        counted = rows.filter(said).group_by(pl.col(f"{question}_provenance").alias("provenance")).agg(
            pl.len().cast(pl.Int64()).alias("images"),
            pl.col(f"{question}_confidence").mean().cast(pl.Float64()).round(3).alias("mean confidence"),
        )  # fmt: skip
        named = counted.select(pl.lit(question).alias("question"), "provenance", "images", "mean confidence")
        parts.append(named.sort("images", "provenance", descending=[True, False]).collect())
    note = (
        "panel_type: one panel or several; panel_subtype: how they are arranged; global and local: kind of picture, "
        "broad and narrow; content: what is shown. human: people looked at this image; propagated: people named its "
        "cluster; text: rules read caption and mentions; model: one over the vectors, or the panel detector; several "
        "joined by + agree. Confidence is the share of such labels expected to be right."
    )
    return Statistic("labels", "Where labels come from", note, pl.concat(parts))


def audit(release: Path) -> Statistic:
    """How right labels are and how many they miss, by question, estimated from images that people looked at."""
    rows = scan(release, LABEL_AUDIT).filter(concept_id="all").sort("question")
    frame = rows.select(
        "question", pl.col("n").alias("looked at"), pl.col("n_correct").alias("right"),
        _share("precision", "low", "high"), pl.col("n_shown").alias("shown"),
        _share("recall", "recall_low", "recall_high"), "simulated",
    ).collect()  # fmt: skip
    note = (
        "Of labels as images have them at which nobody looked; by label in the table label_audit. Images were drawn by "
        "lot, those with rare labels oftener; each counts as one over its probability, so shares speak of all images "
        "while counts do not. In brackets the 95 % interval: Wilson's, with the effective number of images."
    )
    return Statistic("label_audit", "How right labels are", note, frame)


def _share(name: str, low: str, high: str) -> pl.Expr:
    """A share with its interval in words, null without one."""
    return pl.format("{} ({} to {})", *(pl.col(part).cast(pl.Float64).round(2) for part in (name, low, high))).alias(
        name
    )
