"""All that is known of one figure, of the clusters, and of what was left out."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from biomedica_assets.lib.annotate.taxonomy.model import load
from biomedica_assets.lib.errors import BiomedicaError, PermanentFailure
from biomedica_assets.lib.explore.shown import Shown, first_of, rows_of
from biomedica_assets.lib.lineage.trace import Link, trace
from biomedica_assets.lib.tables import (
    ANNOTATIONS,
    ARTICLES,
    CAPTIONS,
    CLUSTER_MODEL,
    FIGURE_LABELS,
    FIGURES,
    LEADERBOARD,
    MENTIONS,
    TEXT_LABELS,
    Table,
)

ARTICLE = "https://pmc.ncbi.nlm.nih.gov/articles/"
MATCHES = {"bytes": "equal bytes", "pixels": "equal pixels", "perceptual": "looks alike"}
"""How two images match, in words."""
_CHOSEN = {
    "q": "“{}”", "looks": "shows “{}”", "like": "like {}", "picture": "like your picture", "license": "{}",
    "from": "since {}", "to": "until {}", "journal": "{}", "concept": "{}", "confidence": "confidence at least {}",
    "mesh": "{}", "panel": "{}", "copies": "{}", "recipe": "{}", "cluster": "cluster {}",
    "pmcids": "PMCIDs {}", "id": "{}",
}  # fmt: skip
_NAME = re.compile(r"(?i:PMC)\d{1,9}(\.\d{1,4})?|pmc\d{1,9}-[0-9a-z-]{1,60}")
_REJECTS_A_PAGE = 100
_LINKS = 60


class NotShown(BiomedicaError):
    """It may not be shown; the message says why and nothing else of it."""


class Unknown(BiomedicaError):
    """Nothing of that name is here."""


@dataclasses.dataclass(frozen=True, slots=True)
class Piece:
    """A piece of running text; ``cites`` where it is the words that cite the figure."""

    text: str
    cites: bool


def is_name(given: str) -> bool:
    """Whether a text is the id of an article, figure or image and no words to look for."""
    return _NAME.fullmatch(given.strip()) is not None


def picture(shown: Shown, media_id: str) -> Path:
    """The file of an image.

    Raises:
        Unknown: there is none of that id that may be shown; no answer tells which of both it is.
    """
    with shown.ask() as ask:
        row = first_of(ask, "SELECT path FROM shown WHERE media_id = ?", [media_id])
    if row is None:
        raise Unknown("There is no such picture that may be shown.")
    return shown.lake.root / row[0]


def figure(shown: Shown, name: str) -> dict[str, Any]:
    """What is known of the figure of an image.

    Args:
        shown: what may be shown.
        name: id of an image or figure.

    Returns:
        ``image`` (the row of the index), ``images`` (ids of the figure's images), ``caption``, ``mentions``,
        ``labels``, ``rules``, ``article``, ``rights``, ``twins``, ``recipes``, ``rejects``.

    Raises:
        NotShown: it may not be shown.
        Unknown: nothing has this id.
    """
    with shown.ask() as ask:
        rows = rows_of(
            ask, "SELECT * FROM shown WHERE media_id = ? OR figure_id = ? ORDER BY media_id <> ?, media_id", [name] * 3
        )
        if rows.is_empty():
            raise _why_not(ask, name)
        image = rows.row(0, named=True)
        siblings = rows_of(
            ask, "SELECT media_id FROM shown WHERE figure_id = ? ORDER BY media_id", [image["figure_id"]]
        )["media_id"].to_list()
        twins = rows_of(
            ask,
            "SELECT s.media_id, s.figure_id, s.article_id, s.year, s.journal, s.license_code, s.label, s.caption, "
            "d.match, d.distance FROM duplicates d JOIN shown s USING (media_id) "
            'WHERE d.media_id <> $id AND d."group" = (SELECT min("group") FROM duplicates WHERE media_id = $id) '
            "ORDER BY s.media_id LIMIT 50",
            {"id": image["media_id"]},
        )
        in_group = first_of(
            ask,
            'SELECT count(*) FROM duplicates WHERE media_id <> $id AND "group" = '
            '(SELECT min("group") FROM duplicates WHERE media_id = $id)',
            {"id": image["media_id"]},
        )
        recipes = rows_of(
            ask,
            "SELECT recipe, min(split) FILTER (sample_key = $key) AS split FROM recipe GROUP BY recipe ORDER BY recipe",
            {"key": image["sample_key"] or ""},
        )
        left_out = rows_of(
            ask,
            "SELECT stage, reason, message, subject FROM rejects WHERE article_id = ? AND "
            "(subject IS NULL OR starts_with(subject, ?)) ORDER BY stage, reason, subject LIMIT 100",
            [image["article_id"], image["figure_id"]],
        )
    chunk, figure_id = image["chunk"], image["figure_id"]
    told = _rows(shown, FIGURES, chunk, "figure_id", figure_id)
    article = _rows(shown, ARTICLES, chunk, "article_id", image["article_id"])
    captions = _rows(shown, CAPTIONS, chunk, "figure_id", figure_id)
    mentions = sorted(_rows(shown, MENTIONS, chunk, "figure_id", figure_id), key=lambda row: row["ordinal"])
    labels = _rows(shown, FIGURE_LABELS, chunk, "media_id", image["media_id"])
    return {
        "image": image,
        "images": siblings,
        "figure": told[0] if told else {},
        "caption": captions[0] if captions else {},
        "mentions": [{**row, "pieces": _pieces(row)} for row in mentions],
        "labels": _by_concept(labels[0]["claims"] if labels else []),
        "given": labels[0] if labels else {},
        "rules": _rows(shown, TEXT_LABELS, chunk, "figure_id", figure_id),
        "article": article[0] if article else {},
        "address": ARTICLE + image["article_id"].split(".")[0] + "/",
        "twins": twins.to_dicts(),
        "twins_hidden": (in_group[0] if in_group else 0) - twins.height,
        "recipes": recipes.to_dicts(),
        "rejects": left_out.to_dicts(),
    }


def lineage(shown: Shown, name: str) -> dict[str, Any]:
    """What an image was made from and what contains it, as ``biomedica trace`` says.

    Raises:
        NotShown: it may not be shown.
        Unknown: nothing has this id.
    """
    with shown.ask() as ask:
        if first_of(ask, "SELECT 1 FROM shown WHERE media_id = ?", [name]) is None:
            raise _why_not(ask, name)
    try:
        found = trace(shown.lake, name)
    except PermanentFailure as error:
        return {"subject": name, "made_from": [], "contained_in": [], "problem": str(error)}
    return {
        "subject": found.subject,
        "made_from": [_told(link) for link in found.made_from[:_LINKS]],
        "contained_in": [_told(link) for link in found.contained_in[:_LINKS]],
        "more": max(0, len(found.contained_in) - _LINKS),
        "not_made": list(found.not_made),
    }


def clusters(shown: Shown) -> list[dict[str, Any]]:
    """All clusters: number, size, what annotators called it, and pictures of its sheet that may be shown."""
    lake = shown.lake
    if lake.version(CLUSTER_MODEL, None) is None:
        return []
    names: dict[int, list[str]] = {}
    if lake.version(ANNOTATIONS, None) is not None:
        answers = lake.read(ANNOTATIONS, None).filter(pl.col("question").is_in(["local", "global"])).sort("question")
        for row in answers.iter_rows(named=True):
            names.setdefault(row["cluster"], []).extend(row["answer"] or [])
    with shown.ask() as ask:
        found = rows_of(
            ask,
            "SELECT c.cluster, any_value(n_images) AS n_images, "
            "list(DISTINCT s.media_id ORDER BY s.media_id) FILTER (role = 'central') AS media "
            "FROM contact_sheets c LEFT JOIN shown s USING (media_id) GROUP BY c.cluster ORDER BY c.cluster",
        )
    return [
        {
            "cluster": row["cluster"],
            "n_images": row["n_images"],
            "names": [concept_label(one) for one in dict.fromkeys(reversed(names.get(row["cluster"], [])))][:3],
            "media": [str(one) for one in row["media"] or () if one][:4],
        }
        for row in found.iter_rows(named=True)
    ]


def sheet(shown: Shown, cluster: int) -> dict[str, Any]:
    """The contact sheet of a cluster: its pictures by role, made anew of what may be shown.

    Raises:
        Unknown: there is no such cluster.
    """
    with shown.ask() as ask:
        rows = rows_of(
            ask,
            "SELECT c.role, c.rank, c.distance, c.n_images, s.media_id, s.caption FROM contact_sheets c "
            "LEFT JOIN shown s USING (media_id) WHERE c.cluster = ? ORDER BY c.role, c.rank",
            [cluster],
        )
    if rows.is_empty():
        raise Unknown(f"There is no cluster {cluster}.")
    roles = {
        role: rows.filter((pl.col("role") == role) & pl.col("media_id").is_not_null()).to_dicts()
        for role in ("central", "random", "border")
    }
    return {
        "cluster": cluster,
        "n_images": rows["n_images"][0],
        "roles": roles,
        "hidden": rows["media_id"].null_count(),
    }


def rejects(shown: Shown, *, stage: str, reason: str, about: str, after: str) -> dict[str, Any]:
    """What was left out, by reason.

    Of what may not be shown, the message is left out too, since it may quote the thing.

    Args:
        shown: what may be shown.
        stage: only of this asset.
        reason: only this reason.
        about: only of this article, figure or image.
        after: key of the last row of the page before.

    Returns:
        ``counts`` (stage, reason, n), ``rows``, ``next``, ``hidden`` (why ``about`` may not be shown, or None),
        ``known`` (id of the figure that ``about`` names and that can be looked at, or None).
    """
    where, values = ["true"], dict[str, Any]()
    for column, value in (("r.stage", stage), ("r.reason", reason)):
        if value:
            values[column[2:]] = value
            where.append(f"{column} = ${column[2:]}")
    if about:
        match = re.match(r"(?i:pmc)(\d+)", about)
        values["about"] = about
        if is_name(about) and match and "-" not in about:
            values["about"] = "PMC" + about[3:]
            where.append("(r.article_id = $about OR starts_with(r.article_id, $about || '.'))")
        else:
            figure_id = re.sub(r"^(pmc\d+-\d+-[0-9a-z]+)-\d+$", r"\1", about)
            values["about"] = figure_id
            where.append("starts_with(coalesce(r.subject, ''), $about)")
    # A message may quote what may not be shown, so the key of a page has its digest.
    key = "r.stage, r.reason, r.article_id, coalesce(r.subject, ''), md5(r.message)"
    page = [*where]
    if after:
        page.append(f"({key}) > ($k0, $k1, $k2, $k3, $k4)")
    of_figure = r"regexp_replace(subject, '^(pmc\d+-\d+-[0-9a-z]+)-\d+$', '\1')"
    with shown.ask() as ask:
        counts = rows_of(
            ask,
            f"SELECT stage, reason, count(*) AS n FROM rejects r WHERE {' AND '.join(where)} "  # noqa: S608
            "GROUP BY ALL ORDER BY stage, n DESC, reason",
            values,
        )
        found = rows_of(
            ask,
            f"WITH page AS (SELECT r.*, [{key}] AS key FROM rejects r WHERE {' AND '.join(page)} "  # noqa: S608
            f"ORDER BY {key} LIMIT {_REJECTS_A_PAGE + 1}), "
            "gone AS (SELECT id, any_value(why) AS why FROM hidden WHERE id IN (SELECT article_id FROM page) "
            f"OR id IN (SELECT subject FROM page) GROUP BY id), "
            "seen AS (SELECT figure_id, min(media_id) AS media_id FROM shown "
            f"WHERE figure_id IN (SELECT {of_figure} FROM page) GROUP BY figure_id) "
            "SELECT page.*, coalesce(a.why, b.why) AS hidden, seen.media_id FROM page "
            "LEFT JOIN gone a ON a.id = page.article_id LEFT JOIN gone b ON b.id = page.subject "
            f"LEFT JOIN seen ON seen.figure_id = {of_figure} ORDER BY key",
            values | _key(after),
        )
        why, known = None, None
        if about:
            row = first_of(
                ask,
                "SELECT why FROM hidden WHERE id = $id OR (starts_with(id, $id || '.') AND id = article_id) LIMIT 1",
                {"id": values["about"]},
            )
            why = row[0] if row else None
            row = first_of(
                ask, "SELECT min(media_id) FROM shown WHERE media_id = $id OR figure_id = $id", {"id": values["about"]}
            )
            known = row[0] if row else None
    rows = found.to_dicts()
    goes_on = len(rows) > _REJECTS_A_PAGE
    rows = rows[:_REJECTS_A_PAGE]
    for row in rows:
        row["message"] = "" if row["hidden"] else row["message"]
    return {
        "counts": counts.to_dicts(),
        "rows": rows,
        "next": json.dumps(rows[-1]["key"]) if goes_on else None,
        "hidden": why,
        "known": known,
    }


def scores(shown: Shown, recipe: str) -> dict[str, Any]:
    """The leaderboard: all tasks together, each domain, each task; in each the models, the best first.

    Args:
        shown: of the data directory.
        recipe: only its models, beside published numbers; empty for all.
    """
    lake = shown.lake
    made = lake.version(LEADERBOARD, None) is not None
    rows = lake.read(LEADERBOARD, None) if made else LEADERBOARD.empty()
    if recipe:
        there = rows.filter(pl.col("recipe") == recipe).select("scope", "name", "metric").unique()
        rows = rows.filter((pl.col("recipe") == recipe) | pl.col("recipe").is_null())
        rows = rows.join(there, on=["scope", "name", "metric"], how="semi")
    order = pl.col("scope").replace_strict({"overall": 0, "domain": 1, "task": 2}, default=3, return_dtype=pl.Int8)
    rows = rows.sort(order, "name", "metric", -pl.col("value"), "model", "recipe")
    return {
        "recipe": recipe,
        "made": made,
        "boards": [
            {"scope": scope, "name": name, "metric": metric, "n_tasks": part["n_tasks"].max(), "rows": part.to_dicts()}
            for (scope, name, metric), part in rows.group_by("scope", "name", "metric", maintain_order=True)
        ],
    }


def value_label(facet: str, value: str) -> str:
    """A value of a facet for people."""
    if facet in {"concept", "panel"}:
        return concept_label(value)
    return MATCHES.get(value, value) if facet == "copies" else value


def words_of(given: Sequence[tuple[str, str]]) -> list[str]:
    """What was chosen, in words, from the parameters of an address."""
    return [_CHOSEN[name].format(value_label(name, value)) for name, value in given if value and name in _CHOSEN]


def concept_label(concept: str) -> str:
    """Name of a concept for people; the id where the vocabulary no longer has it."""
    found = load().concepts.get(concept)
    return found.label if found else concept


def _key(after: str) -> dict[str, str]:
    if not after:
        return {}
    try:
        given = json.loads(after)
        named = {f"k{i}": str(given[i]) for i in range(5)}
    except (ValueError, TypeError, LookupError) as error:
        raise PermanentFailure("after is no key of this list") from error
    return named


def _why_not(ask: Any, name: str) -> BiomedicaError:
    row = first_of(ask, "SELECT why FROM hidden WHERE id = ? LIMIT 1", [name])
    if row is not None:
        return NotShown(f"{name} may not be shown: {row[0]}.")
    return Unknown(f"There is no figure or image {name[:80]} here.")


def _rows(shown: Shown, table: Table, chunk: str, column: str, value: str) -> list[dict[str, Any]]:
    if shown.lake.manifest(table, chunk) is None:
        return []
    return shown.lake.read_lazy(table, chunk).filter(pl.col(column) == value).collect().to_dicts()


def _pieces(mention: dict[str, Any]) -> list[Piece]:
    """The text cut where it cites the figure; spans count in characters of the text."""
    text, at = str(mention["text"]), 0
    found: list[Piece] = []
    for span in sorted(mention["spans"] or [], key=lambda one: one["start"]):
        start, end = max(at, span["start"]), max(at, span["end"])
        found += [Piece(text[at:start], cites=False), Piece(text[start:end], cites=True)]
        at = end
    return [piece for piece in (*found, Piece(text[at:], cites=False)) if piece.text]


def _by_concept(claims: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Claims as one row a concept, with what each source says."""
    rows: dict[str, dict[str, float]] = {}
    for claim in claims:
        rows.setdefault(claim["concept_id"], {})[claim["source"]] = claim["confidence"]
    told = [
        {
            "concept": concept,
            "label": concept_label(concept),
            "combined": by.get("combined"),
            "sources": sorted((source, value) for source, value in by.items() if source != "combined"),
        }
        for concept, by in rows.items()
    ]
    return sorted(told, key=lambda row: (-(row["combined"] or 0), row["label"]))


def _told(link: Link) -> dict[str, Any]:
    facts = {name: " ".join(str(value).split())[:120] for name, value in link.facts.items()}
    return {"what": link.what, "name": link.name, "facts": facts}
