"""One row followed through all tables, both ways: what it was made from, and what contains it.

Belongs here: asking the tables. Tables that were not made are passed over; the answer says which. How it is printed is
the command's affair.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from biomedica_assets.lib import chunks, tables
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.lineage import withdrawn
from biomedica_assets.lib.store.lake import Lake, input_name
from biomedica_assets.lib.tables import Table

_ARTICLE = re.compile(r"(?i:PMC)(\d{1,9})(?:\.(\d{1,4}))?")
# Of what a checkpoint was trained on, so many samples are followed down to their article; the others are counted.
EXAMPLES = 3
_Rows = list[dict[str, Any]]


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """One thing on the way: what it is, its name, and the facts that matter for a trace."""

    what: str
    name: str
    facts: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Trace:
    """The way of one thing through the tables.

    Attributes:
        subject: kind and name of what was asked for, for example ``article PMC123.1``.
        made_from: from the inventory down to it.
        contained_in: from it up to the scores.
        not_made: tables that would have been asked, but have no partition.
    """

    subject: str
    made_from: tuple[Link, ...]
    contained_in: tuple[Link, ...]
    not_made: tuple[str, ...]


def trace(lake: Lake, name: str) -> Trace:
    """Follow an article (``PMC123`` or ``PMC123.1``), figure, image or sample id, checkpoint, or score.

    A score is named ``MODEL/TASK`` or ``MODEL/TASK/METRIC``.

    Raises:
        PermanentFailure: nothing of this name is in any table; the message says what was looked for.
    """
    return _Tracer(lake).trace(name)


def affected(lake: Lake, name: str) -> Trace:
    """What contains an article, also what was made before it was retracted, withdrawn or relicensed."""
    if not _ARTICLE.fullmatch(name):
        raise PermanentFailure(f"{name!r} is not an article; --affected takes PMC123 or PMC123.1")
    return dataclasses.replace(trace(lake, name), made_from=())


class _Tracer:
    """Asks the tables of one data directory, and notes which are missing."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._missing: set[str] = set()

    def trace(self, name: str) -> Trace:
        if _ARTICLE.fullmatch(name):
            subject, up, down = self._article(name)
        elif media := self._rows(tables.IMAGES, (pl.col("media_id") == name) | (pl.col("figure_id") == name)):
            subject, up, down = self._images(name, media)
        elif figures := self._rows(tables.FIGURES, pl.col("figure_id") == name):
            article = figures[0]["article_id"]
            subject, up, down = f"figure {name}", [*self._origin(article), *_figure_links(figures)], []
        elif weights := self._rows(tables.CHECKPOINTS, pl.col("name") == name):
            subject, up, down = self._checkpoint(weights[0])
        elif scores := self._scores(name):
            up = self._model(scores[0])
            subject, down = f"score {name}", [*_score_links(scores), *self._leaderboard(scores)]
        else:
            raise PermanentFailure(
                f"{name!r} is no article (PMC123, PMC123.1), figure, image, sample, checkpoint, or score (MODEL/TASK) "
                f"in {self._lake.root}" + (f"; not made yet: {', '.join(self._not_made())}" if self._missing else "")
            )
        return Trace(subject, tuple(up), tuple(down), self._not_made())

    def _article(self, name: str) -> tuple[str, list[Link], list[Link]]:
        up: list[Link] = []
        down: list[Link] = []
        versions = self._versions(name)
        for article in versions:
            up += self._origin(article)
            chunk = self._chunk(article)
            of_article = pl.col("article_id") == article
            figures = self._rows(tables.FIGURES, of_article, chunk)
            images = self._rows(tables.IMAGES, of_article, chunk)
            down += [*_figure_links(figures), *_image_links(images)]
            down += self._onwards([row["media_id"] for row in images], [article], chunk)
        return f"article {', '.join(versions)}", up, down

    def _versions(self, name: str) -> list[str]:
        match = _ARTICLE.fullmatch(name)
        if match is None:
            raise ValueError(name)
        pmcid = int(match[1])
        chunk = self._chunk(f"PMC{pmcid}.1")
        listed = self._rows(tables.CHUNK_LISTING, pl.col("pmcid") == pmcid, chunk)
        found = {row["article_id"] for row in listed} | {
            article
            for article in self._lake.read_rejects(tables.CHUNK_LISTING, chunk)["article_id"].to_list()
            if article.startswith(f"PMC{pmcid}.")
        }
        if match[2]:
            found &= {f"PMC{pmcid}.{int(match[2])}"}
        if not found:
            raise PermanentFailure(f"no inventory that was read lists {name}, and chunk {chunk} has no tombstone of it")
        return sorted(found, key=chunks.parse_article_id)

    def _images(self, name: str, media: _Rows) -> tuple[str, list[Link], list[Link]]:
        article, chunk = media[0]["article_id"], self._chunk(media[0]["article_id"])
        figures = self._rows(tables.FIGURES, pl.col("figure_id") == media[0]["figure_id"], chunk)
        captions = self._rows(tables.CAPTIONS, pl.col("figure_id") == media[0]["figure_id"], chunk)
        caption = captions[0]["caption"] if captions else None
        up = [*self._origin(article), *_figure_links(figures, caption), *_image_links(media)]
        ids = [row["media_id"] for row in media]
        subject = f"image {name}" if name in ids else f"figure {name}"
        return subject, up, self._onwards(ids, [article], chunk)

    def _checkpoint(self, row: dict[str, Any]) -> tuple[str, list[Link], list[Link]]:
        scores = self._rows(tables.ZERO_SHOT_SCORES, pl.col("model") == row["name"])
        scores += self._rows(tables.RETRIEVAL_SCORES, pl.col("model") == row["name"])
        up = [*self._trained(row["recipe"]), *_checkpoint_links([row])]
        return f"checkpoint {row['name']}", up, [*_score_links(scores), *self._leaderboard(scores)]

    def _model(self, score: Mapping[str, Any]) -> list[Link]:
        """What the model of a score was made from; a published model ends here."""
        weights = self._rows(tables.CHECKPOINTS, pl.col("name") == score["model"])
        if not weights:
            return [Link("model", score["model"], {"provenance": score["provenance"]})]
        return [*self._trained(weights[0]["recipe"]), *_checkpoint_links(weights[:1])]

    def _trained(self, recipe: str) -> list[Link]:
        """From the inventory to a recipe: some of its training samples down to the article, and how many there are."""
        lake = self._lake
        if lake.manifest(tables.RECIPE, recipe) is None:
            self._missing.add(tables.RECIPE.name)
            return []
        rows = lake.read_lazy(tables.RECIPE, recipe).filter(pl.col("split") == withdrawn.TRAINING_SPLIT)
        total = rows.select(pl.len(), pl.col("article_id").n_unique().alias("articles")).collect().row(0)
        found: list[Link] = []
        for row in rows.unique("article_id", keep="first", maintain_order=True).head(EXAMPLES).collect().to_dicts():
            media = self._rows(tables.IMAGES, pl.col("media_id") == row["media_id"], self._chunk(row["article_id"]))
            if media:
                found += self._images(row["media_id"], media)[1]
        trained = lake.manifest(tables.CHECKPOINTS, recipe)
        version = lake.version(tables.RECIPE, recipe)
        facts = {"samples": total[0], "articles": total[1], "followed": EXAMPLES, "data_version": version}
        if trained is not None and trained.inputs.get(input_name(tables.RECIPE.name, recipe)) != version:
            facts["note"] = "the checkpoints were trained on an earlier version of this recipe"
        return [*found, Link("recipe", recipe, facts)]

    def _origin(self, article: str) -> list[Link]:
        """From the inventory to the parsed article."""
        chunk, lake = self._chunk(article), self._lake
        of_article = pl.col("article_id") == article
        found: list[Link] = []
        inventory = self._rows(tables.PMC_INVENTORY, pl.col("chunk") == chunk)
        found += [Link("inventory", row["snapshot"], {"chunk": chunk}) for row in inventory]
        for row in self._rows(tables.CHUNK_LISTING, of_article, chunk):
            found.append(Link("listing", row["key"], {"etag": row["etag"], "last_modified": row["last_modified"]}))
        for row in lake.read_rejects(tables.CHUNK_LISTING, chunk).filter(of_article).to_dicts():
            found.append(Link("tombstone", article, {"reason": row["reason"], "message": row["message"]}))
        for row in self._rows(tables.ARTICLE_INDEX, of_article, chunk):
            facts = _some(row, "license_code", "is_retracted", "selected", "left_out_because")
            found.append(Link("metadata", article, facts))
        for what, table in (("tombstone", tables.TOMBSTONES), ("notices", tables.ARTICLE_NOTICES)):
            said = lake.read(table, chunk).filter(of_article) if lake.manifest(table, chunk) else table.empty()
            found += [Link(what, article, _some(row, *table.schema.names()[1:])) for row in said.to_dicts()]
        for row in self._rows(tables.ARTICLE_XML, of_article, chunk):
            found.append(Link("xml", row["key"], _some(row, "md5", "path", "bytes")))
        for row in self._rows(tables.ARTICLES, of_article, chunk):
            found.append(Link("article", article, _some(row, "title", "xml_md5", "parser_version", "license_code")))
        return found

    def _onwards(self, media: Sequence[str], articles: Sequence[str], chunk: str) -> list[Link]:
        """From images to labels, shards, recipes, checkpoints and scores."""
        of_media = pl.col("media_id").is_in(list(media))
        found: list[Link] = list(self._labels(of_media, chunk))
        for row in self._rows(tables.SHARDS, of_media, chunk):
            facts = _some(row, "sample_key", "position", "start", "end", "sha256", "article_id")
            found.append(Link("shard", row["shard"], facts))
        for recipe in self._partitions(tables.RECIPE):
            rows = self._lake.read_lazy(tables.RECIPE, recipe).filter(pl.col("article_id").is_in(list(articles)))
            mine = rows.filter(of_media).select("sample_key", "split").collect().to_dicts()
            found += [Link("recipe", recipe, row) for row in mine]
        for recipe in self._partitions(tables.CHECKPOINTS):
            found += self._weights(recipe, articles)
        return found

    def _labels(self, of_media: pl.Expr, chunk: str) -> Iterator[Link]:
        for row in self._rows(tables.FIGURE_LABELS, of_media, chunk):
            facts = _some(row, "cluster", "panel_type", "global", "local", "global_provenance", "simulated")
            cluster = (pl.col("cluster") == row["cluster"]) | (pl.col("media_id") == row["media_id"])
            votes = self._rows(tables.EXPERT_VOTES, cluster & (pl.col("status") == "active"))
            facts["voters"] = sorted({f"{vote['annotator']} ({vote['source']})" for vote in votes})
            yield Link("labels", row["media_id"], facts)

    def _weights(self, recipe: str, articles: Sequence[str]) -> list[Link]:
        trained = withdrawn.trained_on(self._lake, recipe)
        if trained is None:
            note = {"note": "what these weights were trained on is not recorded, and the recipe has changed since"}
            return [Link("checkpoint", f"{recipe} (all)", note)]
        if not trained.keys() & set(articles):
            return []
        rows = self._lake.read(tables.CHECKPOINTS, recipe).filter(pl.col("role") != "base").to_dicts()
        names = [row["name"] for row in rows]
        scores = self._rows(tables.ZERO_SHOT_SCORES, pl.col("model").is_in(names), recipe)
        scores += self._rows(tables.RETRIEVAL_SCORES, pl.col("model").is_in(names), recipe)
        n = {article: trained[article] for article in articles if article in trained}
        return [*_checkpoint_links(rows, n), *_score_links(scores), *self._leaderboard(scores)]

    def _scores(self, name: str) -> _Rows:
        model, _, rest = name.partition("/")
        task, _, metric = rest.partition("/")
        if not task:
            return []
        wanted = (pl.col("model") == model) & (pl.col("task") == task)
        wanted &= (pl.col("metric") == metric) if metric else pl.col("primary")
        found = self._rows(tables.ZERO_SHOT_SCORES, wanted & pl.col("class_name").is_null())
        return found + self._rows(tables.RETRIEVAL_SCORES, wanted)

    def _leaderboard(self, scores: _Rows) -> list[Link]:
        models = sorted({score["model"] for score in scores})
        tasks = sorted({score["task"] for score in scores})
        wanted = pl.col("model").is_in(models) & ((pl.col("scope") != "task") | pl.col("name").is_in(tasks))
        rows = self._rows(tables.LEADERBOARD, wanted) if models else []
        return [
            Link(
                "leaderboard", f"{row['model']}: {row['scope']} {row['name']}", _some(row, "metric", "value", "recipe")
            )
            for row in rows
        ]

    def _rows(self, table: Table, wanted: pl.Expr, partition: str | None = None) -> _Rows:
        """Rows of a table, of one partition if it is known; the partition key is a column of its own."""
        if table.partitioning == "none" or partition is None:
            frame = self._lake.scan(table) if self._partitions(table) else None
        else:
            made = self._lake.manifest(table, partition) is not None
            extra = pl.lit(partition).alias(table.partitioning)
            frame = self._lake.read_lazy(table, partition).with_columns(extra) if made else None
            if not made:
                self._missing.add(table.name)
        return frame.filter(wanted).collect().to_dicts() if frame is not None else []

    def _partitions(self, table: Table) -> list[str]:
        if table.partitioning == "none":
            found = [] if self._lake.manifest(table, None) is None else ["all"]
        else:
            found = self._lake.partitions(table)
        if not found:
            self._missing.add(table.name)
        return found

    def _chunk(self, article: str) -> str:
        manifest = self._lake.manifest(tables.PMC_INVENTORY, None)
        if manifest is None:
            raise PermanentFailure(f"{self._lake.root} has no inventory yet; `biomedica run` reads it")
        return chunks.chunk_of(chunks.parse_article_id(article)[0], int(str(manifest.config["chunk_span"])))

    def _not_made(self) -> tuple[str, ...]:
        return tuple(name for name in tables.TABLES if name in self._missing)


def _some(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: row[name] for name in names if row[name] is not None}


def _figure_links(rows: _Rows, caption: str | None = None) -> list[Link]:
    more = {"caption": caption} if caption else {}
    return [Link("figure", row["figure_id"], _some(row, "kind", "label", "license_code") | more) for row in rows]


def _image_links(rows: _Rows) -> list[Link]:
    return [Link("image", row["media_id"], _some(row, "key", "path", "sha256", "md5")) for row in rows]


def _checkpoint_links(rows: _Rows, samples: Mapping[str, int] | None = None) -> list[Link]:
    more = {"trained_on": dict(samples)} if samples else {}
    return [Link("checkpoint", row["name"], _some(row, "role", "alpha", "path", "sha256") | more) for row in rows]


def _score_links(rows: _Rows) -> list[Link]:
    return [
        Link(
            "score", f"{row['model']}/{row['task']}/{row['metric']}", _some(row, "value", "low", "high", "n", "status")
        )
        for row in rows
        if row["primary"] and row.get("class_name") is None
    ]
