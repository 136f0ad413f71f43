"""The numbers of a release, each a table: BIOMEDICA's (facts of its paper) and those that it never gave.

Belongs here: one function per statistic, reading the release's own Parquet files, so that every number is about exactly
what is passed on. Counting rules are in each note. Nothing is counted as "None": what has no value is a row of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import polars as pl

from biomedica_assets.lib.release.copies import scan
from biomedica_assets.lib.tables import (
    ARTICLES,
    CAPTIONS,
    FIGURE_LABELS,
    FIGURES,
    IMAGES,
    MENTIONS,
    PUBMED_RECORDS,
    SHARDS,
    TAXONOMY,
    Table,
)

CountTokens = Callable[[Sequence[str]], Sequence[int]]
"""Lengths of texts in tokens of some tokenizer, without start and end marks."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
# Tokenizing costs about 0.2 ms a caption in Python: a sample gives each quantile well within one percent.
TOKEN_SAMPLE = 100_000
MOST_ROWS = 50


@dataclasses.dataclass(frozen=True, slots=True)
class Statistic:
    """One table of numbers: file name, title, how it was counted, rows."""

    name: str
    title: str
    note: str
    frame: pl.DataFrame


def all_statistics(release: Path, count_tokens: CountTokens | None = None) -> Iterator[Statistic]:
    """Every statistic of a release folder whose tables are written.

    Args:
        release: the folder.
        count_tokens: tokenizer of captions; None leaves the token row out.
    """
    yield totals(release)
    yield by_license(release)
    yield by_category(release)
    yield mesh(release)
    yield per_year(release)
    yield license_by_year(release)
    yield text_lengths(release, count_tokens)
    yield image_sizes(release)
    yield per_article(release)
    yield _ranked(release, "journals", "Journals", "journal", "Articles by journal, the 50 with most.")
    yield _ranked(release, "article_types", "Types of article", "article_type", "The article-type attribute of JATS.")
    yield formats(release)


def totals(release: Path) -> Statistic:
    """Sizes of the whole."""
    shards, images = scan(release, SHARDS), scan(release, IMAGES)
    samples = shards.select(
        pl.len(), pl.col("article_id").n_unique().alias("with"), pl.col("image_bytes").sum()
    ).collect()
    inline = scan(release, MENTIONS).select(pl.len(), (~pl.col("inferred")).sum().alias("stated")).collect()
    rows = [
        ("articles", _count(scan(release, ARTICLES))),
        ("articles with at least one sample", samples["with"][0]),
        ("figures (of every kind)", _count(scan(release, FIGURES))),
        ("captions", _count(scan(release, CAPTIONS))),
        ("images", _count(images)),
        ("samples (image and caption)", samples["len"][0]),
        ("figure references", inline["len"][0]),
        ("figure references stated, not implied by a range", inline["stated"][0]),
        ("articles with a PubMed record", _count(scan(release, PUBMED_RECORDS))),
        ("articles with MeSH headings", _count(scan(release, PUBMED_RECORDS).filter(pl.col("mesh").list.len() > 0))),
        ("images with labels", _count(scan(release, FIGURE_LABELS))),
        ("concepts of the taxonomy", _count(scan(release, TAXONOMY))),
        ("bytes of image files", samples["image_bytes"][0] or 0),
    ]
    frame = pl.DataFrame(rows, schema={"aspect": pl.String(), "count": pl.Int64()}, orient="row")
    return Statistic("totals", "Totals", "Of what this release holds.", frame)


def by_license(release: Path) -> Statistic:
    """Articles by their licence, figures and samples by the licence in force for the figure."""
    articles = scan(release, ARTICLES).group_by("license_code", "license_group").agg(pl.len().alias("articles"))
    figures = scan(release, FIGURES).group_by("license_code", "license_group").agg(pl.len().alias("figures"))
    samples = (
        scan(release, SHARDS)
        .join(scan(release, FIGURES).select("figure_id", "license_code"), on="figure_id")
        .group_by("license_code", "license_group")
        .agg(pl.len().alias("samples"), pl.col("image_bytes").sum())
    )
    keys = ["license_code", "license_group"]
    frame = articles.join(figures, on=keys, how="full", coalesce=True).join(samples, on=keys, how="full", coalesce=True)
    frame = frame.fill_null(0).sort("license_group", "license_code").collect()
    note = "Articles by their own licence, figures and samples by the licence in force for the figure."
    return Statistic("by_license", "Licences", note, frame)


def by_category(release: Path) -> Statistic:
    """Samples by top concept and licence group."""
    labels = scan(release, FIGURE_LABELS).select("media_id", pl.col("global").alias("concept_id")).explode("concept_id")
    names = scan(release, TAXONOMY).select("concept_id", pl.col("label").alias("concept"))
    counted = (
        scan(release, SHARDS)
        .select("media_id", "license_group")
        .join(labels.join(names, on="concept_id", how="left"), on="media_id", how="left")
        .with_columns(pl.coalesce("concept", "concept_id", pl.lit("(no label)")).alias("category"))
        .group_by("category")
        .agg(
            (pl.col("license_group") == "commercial").sum().cast(pl.Int64).alias("commercial"),
            (pl.col("license_group") == "noncommercial").sum().cast(pl.Int64).alias("noncommercial"),
            pl.len().cast(pl.Int64).alias("samples"),
        )
        .sort(["samples", "category"], descending=[True, False])
        .collect()
    )
    total = _count(scan(release, SHARDS))
    frame = counted.with_columns((100 * pl.col("samples") / max(1, total)).round(2).alias("percent"))
    note = "A sample with several top concepts counts in each of them, so the rows can add up to more than the samples."
    return Statistic("by_category", "Categories", note, frame)


def mesh(release: Path) -> Statistic:
    """The 50 most frequent MeSH descriptors by article."""
    frame = (
        scan(release, PUBMED_RECORDS)
        .select("article_id", "mesh")
        .explode("mesh")
        .select("article_id", pl.col("mesh").struct.field("ui"), pl.col("mesh").struct.field("descriptor"))
        .drop_nulls("descriptor")
        .group_by("ui", "descriptor")
        .agg(pl.col("article_id").n_unique().alias("articles"))
        .sort(["articles", "descriptor"], descending=[True, False])
        .head(MOST_ROWS)
        .collect()
    )
    note = "The 50 most frequent descriptors. Articles without headings are counted among the totals, not as a heading."
    return Statistic("mesh", "MeSH headings", note, frame)


def per_year(release: Path) -> Statistic:
    """Growth: articles, figures and samples by year of publication, and their running sums."""
    years = scan(release, ARTICLES).select("article_id", "year")
    frame = (
        years.join(_per(release, FIGURES, "figures"), on="article_id", how="left")
        .join(_per(release, SHARDS, "samples"), on="article_id", how="left")
        .group_by("year")
        .agg(pl.len().alias("articles"), pl.col("figures").sum(), pl.col("samples").sum())
        .sort("year", nulls_last=True)
        .with_columns(pl.col("articles", "figures", "samples").cum_sum().name.suffix("_up_to"))
        .collect()
    )
    return Statistic(
        "per_year", "Growth by year", "Year of publication; the row without a year has none stated.", frame
    )


def license_by_year(release: Path) -> Statistic:
    """Articles by year and licence."""
    counted = scan(release, ARTICLES).group_by("year", "license_code").agg(pl.len().alias("articles")).collect()
    codes = sorted(counted["license_code"].drop_nulls().unique())
    frame = (
        counted.pivot(on="license_code", index="year", values="articles").sort("year", nulls_last=True).fill_null(0)
        if counted.height
        else pl.DataFrame(schema={"year": pl.Int32()})
    )
    return Statistic(
        "license_by_year",
        "Licences by year",
        "Articles by year of publication and licence.",
        frame.select("year", *codes),
    )


def text_lengths(release: Path, count_tokens: CountTokens | None) -> Statistic:
    """Lengths of captions, mentions and abstracts in characters and words, of captions in tokens."""
    texts = {
        "caption": scan(release, CAPTIONS).select(pl.col("caption").alias("text")),
        "mention": scan(release, MENTIONS).select("text"),
        "abstract": scan(release, ARTICLES).select(pl.col("abstract").alias("text")).drop_nulls(),
    }
    rows = [
        _distribution(f"{name}, {unit}", frame.select(how.cast(pl.Float64())).collect().to_series())
        for name, frame in texts.items()
        for unit, how in (
            ("characters", pl.col("text").str.len_chars()),
            ("words", pl.col("text").str.count_matches(r"\S+")),
        )
    ]
    note = "Words are runs without white space."
    if count_tokens:
        sample = scan(release, CAPTIONS).select("figure_id", "caption").collect()
        sample = sample.sort(pl.col("figure_id").str.reverse(), "figure_id").head(TOKEN_SAMPLE)
        tokens = pl.Series(list(count_tokens(sample["caption"].to_list())), dtype=pl.Float64())
        rows.append(_distribution("caption, tokens", tokens))
        lost = float((tokens - 75).clip(0).sum()) / max(1.0, float(tokens.sum()))
        note += (
            f" Tokens are CLIP's byte pairs, of {sample.height:,} captions; a context of 77 tokens (75 of text) loses "
            f"{100 * lost:.1f} % of them."
        )
    return Statistic("text_lengths", "Lengths of texts", note, pl.DataFrame(rows))


def image_sizes(release: Path) -> Statistic:
    """Width, height, megapixels and bytes of the images."""
    images = scan(release, IMAGES)
    measures = {
        "width, pixels": pl.col("width"),
        "height, pixels": pl.col("height"),
        "shorter side, pixels": pl.min_horizontal("width", "height"),
        "megapixels": pl.col("width").cast(pl.Float64()) * pl.col("height") / 1e6,
        "aspect ratio (width / height)": pl.col("width") / pl.col("height"),
        "file, bytes": pl.col("bytes"),
    }
    columns = images.select(**{name: how.cast(pl.Float64()) for name, how in measures.items()}).collect()
    frame = pl.DataFrame([_distribution(name, columns[name]) for name in measures])
    return Statistic("image_sizes", "Sizes of images", "Of upright pictures: an EXIF orientation is applied.", frame)


def per_article(release: Path) -> Statistic:
    """Figures, samples, mentions and references per article."""
    frame = (
        scan(release, ARTICLES)
        .select("article_id", "n_references")
        .join(_per(release, FIGURES, "figures"), on="article_id", how="left")
        .join(_per(release, SHARDS, "samples"), on="article_id", how="left")
        .join(_per(release, MENTIONS, "mentions"), on="article_id", how="left")
        .fill_null(0)
        .collect()
    )
    names = {"figures": "figures", "samples": "samples", "mentions": "figure references", "n_references": "references"}
    rows = [_distribution(f"{title} per article", frame[name].cast(pl.Float64())) for name, title in names.items()]
    cited = scan(release, FIGURES).select(pl.col("n_mentions").cast(pl.Float64())).collect().to_series()
    rows.append(_distribution("references per figure", cited))
    return Statistic("per_article", "Per article", "Articles without any count as 0.", pl.DataFrame(rows))


def formats(release: Path) -> Statistic:
    """Image files by format and mode."""
    frame = (
        scan(release, IMAGES)
        .group_by("format", "mode")
        .agg(pl.len().alias("images"), pl.col("bytes").sum())
        .sort(["images", "format", "mode"], descending=[True, False, False])
        .collect()
    )
    return Statistic("formats", "Formats of images", "Format and Pillow mode by content, not by name.", frame)


def _ranked(release: Path, name: str, title: str, column: str, note: str) -> Statistic:
    counted = scan(release, ARTICLES).group_by(column).agg(pl.len().alias("articles"))
    frame = counted.sort(["articles", column], descending=[True, False], nulls_last=True).head(MOST_ROWS).collect()
    return Statistic(name, title, note, frame)


def _per(release: Path, table: Table, name: str) -> pl.LazyFrame:
    return scan(release, table).group_by("article_id").agg(pl.len().cast(pl.Int64()).alias(name))


def _count(rows: pl.LazyFrame) -> int:
    return int(rows.select(pl.len()).collect().item())


def _distribution(what: str, values: pl.Series) -> dict[str, object]:
    """Number, sum, mean, extremes and quantiles of a column; nulls where there is nothing to measure."""
    known = values.drop_nulls()
    row: dict[str, object] = {
        "what": what,
        "n": known.len(),
        "sum": _rounded(known.sum()),
        "mean": _rounded(known.mean()),
    }
    row |= {"min": _rounded(known.min())}
    row |= {f"p{q * 100:g}": _rounded(known.quantile(q, "nearest")) for q in QUANTILES}
    return row | {"max": _rounded(known.max())}


def _rounded(value: object) -> float | None:
    return round(float(str(value)), 3) if value is not None else None
