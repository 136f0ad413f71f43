"""How much of what is true of a demo mirror the lake's tables hold: recall and precision per kind of thing.

Compares rows with the truth and nothing else; whether the numbers are good enough is for checks and tests to say.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Hashable, Iterable
from typing import Any

import polars as pl

from biomedica_assets.lib import tables
from biomedica_assets.lib.demo.pubmed import DemoPubmed
from biomedica_assets.lib.demo.truth import Truth, TruthArticle, TruthFigure
from biomedica_assets.lib.store.lake import Lake

EXAMPLES = 5
METADATA = (
    "pmid",
    "doi",
    "title",
    "article_type",
    "journal",
    "publisher",
    "date",
    "year",
    "volume",
    "issue",
    "authors",
)
METADATA_SETS = ("subjects", "license_code", "n_references")
REJECTING = (tables.ARTICLE_INDEX, tables.ARTICLE_XML, tables.ARTICLES, tables.FIGURES, tables.IMAGES)


@dataclasses.dataclass(frozen=True, slots=True)
class Score:
    """Things expected, things found, and those that are both.

    Attributes:
        expected: how many the truth names.
        found: how many the lake holds.
        right: how many of those found are expected.
        missed: a few that were expected and not found.
        surplus: a few that were found and not expected.
    """

    expected: int
    found: int
    right: int
    missed: tuple[str, ...]
    surplus: tuple[str, ...]

    @property
    def recall(self) -> float:
        """Share of the expected that was found; 1 if nothing was expected."""
        return self.right / self.expected if self.expected else 1.0

    @property
    def precision(self) -> float:
        """Share of the found that was expected; 1 if nothing was found."""
        return self.right / self.found if self.found else 1.0


def score_extraction(lake: Lake, truth: Truth) -> dict[str, Score]:
    """Compare the lake's tables, over all chunks that are there, with the truth.

    Returns:
        ``selection``: article versions with the right verdict and reason. ``articles``: parsed articles. ``metadata``:
        their columns. ``figures``: ``fig`` elements. ``labels``, ``kinds``, ``licences``: of those. ``captions``:
        texts, byte for byte; ``inherited_captions``: those a figure has of its group. ``hrefs``: graphics.
        ``mentions`` and ``ranges``: explicit and inferred ones with the block's text. ``images``: keys of images of
        figures. ``rejects``: (article, reason).
    """
    parsed = [article for article in truth.articles if article.parsed]
    found = {name: _rows(lake, name) for name in ("articles", "figures", "captions", "mentions", "images")}
    names = _names(found["figures"])
    return {
        "selection": _selection(lake, truth),
        "articles": _score((a.article_id for a in parsed), (row["article_id"] for row in found["articles"])),
        "metadata": _metadata(parsed, found["articles"]),
        **_figures(parsed, found["figures"], names),
        **_captions(parsed, found["captions"], names),
        **_mentions(parsed, found["mentions"], names),
        "images": _images(parsed, truth, found["images"], names),
        "rejects": _rejects(lake, truth),
    }


def score_pubmed(lake: Lake, truth: Truth, pubmed: DemoPubmed) -> dict[str, Score]:
    """Compare ``pubmed_records`` with what the invented PubMed says of the selected articles.

    Returns:
        ``pubmed mesh``: headings with UI, major flag and qualifiers. ``pubmed missing``: articles whose PMID it lacks
        or has deleted, each left out with that reason.
    """
    pmids = {a.article_id: int(a.metadata["pmid"]) for a in truth.articles if a.selected and a.metadata["pmid"]}
    said = {article: pubmed.citations[pmid] for article, pmid in pmids.items() if pmid in pubmed.citations}
    expected = ((article, heading) for article, citation in said.items() for heading in citation.mesh)
    found = (
        (row["article_id"], (h["ui"], h["descriptor"], h["major"], tuple(tuple(q.values()) for q in h["qualifiers"])))
        for row in _rows(lake, "pubmed_records")
        for h in row["mesh"]
    )
    table = tables.PUBMED_RECORDS
    frames = [lake.read_rejects(table, chunk) for chunk in lake.partitions(table)]
    left_out = (article for frame in frames for article in frame["article_id"])
    return {
        "pubmed mesh": _score(expected, found),
        "pubmed missing": _score((a for a in pmids if a not in said), left_out),
    }


def as_rows(scores: dict[str, Score]) -> list[dict[str, object]]:
    """One row per score for a table: what, expected, found, recall, precision."""
    return [
        {"what": what, "expected": s.expected, "found": s.found, "recall": s.recall, "precision": s.precision}
        for what, s in scores.items()
    ]


def _score(expected: Iterable[Hashable], found: Iterable[Hashable]) -> Score:
    """Multisets compared: a thing found twice and expected once is right once."""
    wanted, there = Counter(expected), Counter(found)
    right = wanted & there
    return Score(
        wanted.total(),
        there.total(),
        right.total(),
        tuple(sorted(map(repr, wanted - right))[:EXAMPLES]),
        tuple(sorted(map(repr, there - right))[:EXAMPLES]),
    )


def _rows(lake: Lake, name: str) -> list[dict[str, Any]]:
    return lake.scan(tables.TABLES[name]).collect().to_dicts()


def _name(figure: TruthFigure, unnamed: int) -> str:
    """What a figure is known by within its article: its id, else its first href, else its number among such."""
    return figure.xml_id or (figure.graphics[0].href if figure.graphics else f"#{unnamed}")


def _names(figures: list[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    """figure_id -> article and name of the figure, for ``fig`` elements."""
    names: dict[str, tuple[str, str]] = {}
    for row in figures:
        if row["element"] == "fig":
            first = row["graphics"][0]["href"] if row["graphics"] else f"#{row['ordinal']}"
            names[row["figure_id"]] = (row["article_id"], row["xml_id"] or first)
    return names


def _true_names(article: TruthArticle) -> list[tuple[str, str]]:
    return [(article.article_id, _name(figure, k)) for k, figure in enumerate(article.figures)]


def _selection(lake: Lake, truth: Truth) -> Score:
    index = lake.scan(tables.ARTICLE_INDEX).select("article_id", "selected", "left_out_because").collect()
    expected = ((a.article_id, a.selected, a.left_out_because) for a in truth.articles if a.listed)
    return _score(expected, index.iter_rows())


def _metadata(parsed: list[TruthArticle], found: list[dict[str, Any]]) -> Score:
    columns = (*METADATA, *METADATA_SETS)

    def cells(article_id: str, values: dict[str, Any]) -> Iterable[Hashable]:
        yield from ((article_id, column, repr(values[column])) for column in columns)
        yield article_id, "keywords", repr(values["keywords"])

    expected = (cell for a in parsed for cell in cells(a.article_id, dict(a.metadata)))
    there = (
        cell
        for row in found
        for cell in cells(row["article_id"], row | {"keywords": [k for g in row["keywords"] for k in g["keywords"]]})
    )
    return _score(expected, there)


def _figures(
    parsed: list[TruthArticle], rows: list[dict[str, Any]], names: dict[str, tuple[str, str]]
) -> dict[str, Score]:
    truths = [(name, f) for a in parsed for name, f in zip(_true_names(a), a.figures, strict=True)]
    there = [(names[row["figure_id"]], row) for row in rows if row["figure_id"] in names]
    return {
        "figures": _score((name for name, _ in truths), (name for name, _ in there)),
        "labels": _score(((n, f.label) for n, f in truths), ((n, r["label"]) for n, r in there)),
        "kinds": _score(((n, f.kind) for n, f in truths), ((n, r["kind"]) for n, r in there)),
        "licences": _score(((n, f.license_code) for n, f in truths), ((n, r["license_code"]) for n, r in there)),
        "hrefs": _score(
            ((n, g.href) for n, f in truths for g in f.graphics),
            ((n, g["href"]) for n, r in there for g in r["graphics"]),
        ),
    }


def _captions(
    parsed: list[TruthArticle], rows: list[dict[str, Any]], names: dict[str, tuple[str, str]]
) -> dict[str, Score]:
    truths = [(name, f) for a in parsed for name, f in zip(_true_names(a), a.figures, strict=True) if f.caption]
    there = [(names[row["figure_id"]], row) for row in rows if row["figure_id"] in names]
    return {
        title: _score(
            ((n, f.caption) for n, f in truths if f.inherited is inherited),
            ((n, r["caption"]) for n, r in there if r["inherited"] is inherited),
        )
        for title, inherited in (("captions", False), ("inherited_captions", True))
    }


def _mentions(
    parsed: list[TruthArticle], rows: list[dict[str, Any]], names: dict[str, tuple[str, str]]
) -> dict[str, Score]:
    truths = [(_true_names(a)[m.figure], m) for a in parsed for m in a.mentions]
    there = [(names[row["figure_id"]], row) for row in rows if row["figure_id"] in names]
    return {
        title: _score(
            ((n, m.text) for n, m in truths if m.inferred is inferred),
            ((n, r["text"]) for n, r in there if r["inferred"] is inferred),
        )
        for title, inferred in (("mentions", False), ("ranges", True))
    }


def _images(
    parsed: list[TruthArticle], truth: Truth, rows: list[dict[str, Any]], names: dict[str, tuple[str, str]]
) -> Score:
    known = truth.by_key()
    graphics = (g for a in parsed for f in a.figures for g in f.graphics)
    expected = (g.key for g in graphics if g.key in known)
    return _score(expected, (row["key"] for row in rows if row["figure_id"] in names))


def _rejects(lake: Lake, truth: Truth) -> Score:
    frames = [lake.read_rejects(table, chunk) for table in REJECTING for chunk in lake.partitions(table)]
    found = pl.concat(frames) if frames else tables.REJECTS.empty()
    expected = ((r.article_id, str(r.reason)) for r in truth.rejects)
    return _score(expected, found.select("article_id", "reason").iter_rows())
