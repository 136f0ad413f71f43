"""What people read in a release beside its card: attribution, tombstones, data dictionary, statistics."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import polars as pl

from biomedica_assets.lib.release import pairs
from biomedica_assets.lib.release.copies import FOLDER, scan
from biomedica_assets.lib.release.manifest import ReleaseFile, entry
from biomedica_assets.lib.release.statistics import Statistic
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.tables import ARTICLES, ONLY_RELEASED, RECIPE, SHARDS, TABLES, VECTORS, WITHDRAWN, Table

ATTRIBUTION_COLUMNS = (
    "article_id", "title", "authors", "journal", "year", "license_code", "license_version", "license_url", "url",
    "doi", "pmid", "samples", "changes",
)  # fmt: skip
_ADDRESS = "https://pmc.ncbi.nlm.nih.gov/articles/{}/"
INVENTED = "invented article: it stands in no journal and its authors do not exist"
UNCHANGED = "none: image files are those of the publisher"


def attribution(release: Path, *, invented: bool = False) -> ReleaseFile:
    """``ATTRIBUTION.csv``: one line per article, with what its licence asks to be named.

    Args:
        release: the folder; its tables are there.
        invented: whether the articles come from a generator: their lines say so instead of giving an address of PMC.
    """
    samples = scan(release, SHARDS).group_by("article_id").agg(pl.len().alias("samples"))
    articles = scan(release, ARTICLES).join(samples, on="article_id", how="left").sort("article_id")
    address = pl.format(_ADDRESS, pl.col("article_id").str.extract(r"^(PMC\d+)"))
    frame = articles.select(
        "article_id", "title", pl.col("authors").list.join("; "), "journal", "year", "license_code",
        "license_version", "license_url",
        (pl.lit(INVENTED) if invented else address).alias("url"),
        "doi", "pmid", pl.col("samples").fill_null(0), pl.lit(INVENTED if invented else UNCHANGED).alias("changes"),
    )  # fmt: skip
    path = release / "ATTRIBUTION.csv"
    with atomic.replacing(path) as temporary:
        frame.collect().select(ATTRIBUTION_COLUMNS).write_csv(temporary)
    return entry(release, path, "document")


def tombstones(release: Path, rows: Iterable[tuple[str, str]]) -> ReleaseFile:
    """``TOMBSTONES.csv``: article versions that are retracted or withdrawn; who holds an older copy deletes them."""
    path = release / "TOMBSTONES.csv"
    with atomic.replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(("article_id", "reason"))
        writer.writerows(sorted(set(rows)))
    return entry(release, path, "document")


def dictionary(release: Path, tables: Sequence[Table]) -> ReleaseFile:
    """``DATA_DICTIONARY.md``: every column of the pairs and of every table of the release."""
    lines = ["# Data dictionary", "", "Null means unknown or not stated; an empty list has nothing in it.", ""]
    if (release / pairs.FOLDER).is_dir():
        lines += [f"## {pairs.FOLDER}", "", "One row for each sample of the shards.", "", "Key: sample_key.", ""]
        lines += ["| column | type | meaning |", "|---|---|---|"]
        lines += [f"| {name} | {kind} | {_cell(meaning)} |" for name, kind, meaning in pairs.COLUMNS]
        lines.append("")
    for table in tables:
        lines += [f"## {table.name}", "", table.meaning, "", f"Key: {', '.join(table.key) or 'none'}.", ""]
        lines += ["| column | type | null | meaning | made from |", "|---|---|---|---|---|"]
        for c in table.columns:
            cells = (c.name, str(c.dtype), "yes" if c.nullable else "", c.meaning, ", ".join(c.sources))
            lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
        lines.append("")
    return text_file(release, "DATA_DICTIONARY.md", lines, "document")


def statistics(release: Path, found: Iterable[Statistic], pictures: Mapping[str, bytes]) -> list[ReleaseFile]:
    """``statistics/*.csv``, their plots, and ``STATISTICS.md`` with all of them."""
    folder = release / "statistics"
    folder.mkdir(parents=True, exist_ok=True)
    lines, files = ["# Statistics", ""], list[ReleaseFile]()
    for statistic in found:
        path = folder / f"{statistic.name}.csv"
        with atomic.replacing(path) as temporary:
            statistic.frame.write_csv(temporary)
        files.append(entry(release, path, "statistic", statistic.frame.height))
        lines += [f"## {statistic.title}", "", statistic.note, "", *markdown(statistic.frame), ""]
        if f"{statistic.name}.png" in pictures:
            lines += [f"![{statistic.title}](statistics/{statistic.name}.png)", ""]
    for name, data in sorted(pictures.items()):
        atomic.write_bytes(folder / name, data)
        files.append(entry(release, folder / name, "plot"))
    return [*files, text_file(release, "STATISTICS.md", lines, "document")]


def markdown(frame: pl.DataFrame) -> list[str]:
    """A frame as a Markdown table; numbers with thousands separators, nulls empty."""
    lines = ["| " + " | ".join(frame.columns) + " |", "|" + "---|" * frame.width]
    lines += [
        "| " + " | ".join(_cell(_number(v, n)) for n, v in zip(frame.columns, row, strict=True)) + " |"
        for row in frame.iter_rows()
    ]
    return lines


def present(release: Path) -> list[Table]:
    """Tables of which the release has files."""
    return [table for table in (*TABLES.values(), *ONLY_RELEASED) if any(release.glob(files_of(table)))]


def files_of(table: Table) -> str:
    """Where a release has the files of a table: a path with wildcards."""
    apart = {WITHDRAWN.name: "withdrawn.parquet", VECTORS.name: f"{VECTORS.name}/*.parquet"}
    below = "*/" if table is RECIPE else ""
    return apart.get(table.name, f"{FOLDER}/{table.name}/{below}*.parquet")


def text_file(release: Path, name: str, lines: Sequence[str], kind: str) -> ReleaseFile:
    """Write a text of the release, one line feed at its end."""
    path = release / name
    atomic.write_bytes(path, ("\n".join(lines).rstrip() + "\n").encode())
    return entry(release, path, kind)


def _number(value: object, column: str) -> str:
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool) and column != "year":
        return f"{value:,}"
    return f"{value:,.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
