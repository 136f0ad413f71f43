"""A small lake from an article to a leaderboard score, one row per table."""

from __future__ import annotations

import polars as pl

from biomedica_assets.lib.lineage import withdrawn
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import TABLES, Table

CHUNK, RECIPE = "PMC000-0000", "full"
ARTICLE, FIGURE, MEDIA = "PMC123.1", "pmc123-1-f", "pmc123-1-f-m"


def row(table: Table, **given: object) -> dict[str, object]:
    """A row with something in every column that may not be null."""
    plain = {pl.String: "x", pl.Boolean: False, pl.List: []}
    filled = {c.name: plain.get(c.dtype.base_type(), 0) for c in table.columns if not c.nullable}
    return filled | given


def publish(lake: Lake, name: str, partition: str | None, *rows: dict[str, object], inputs=(), **more) -> None:
    """Publish a partition with these rows."""
    table = TABLES[name]
    frame = table.frame([row(table, **given) for given in rows])
    n = len(rows)
    given = {"code_version": "1", "config": {}, "n_in": n, "n_out": n, "inputs": lake.inputs(*inputs)}
    lake.publish(table, partition, frame, **(given | more))


def build(lake: Lake) -> Lake:
    """Everything, made in order."""
    ids = {"article_id": ARTICLE, "figure_id": FIGURE, "media_id": MEDIA, "sample_key": MEDIA}
    config = {"chunk_span": 20_000, "snapshot": "2026-11-21T01-00Z"}
    publish(lake, "pmc_inventory", None, {"chunk": CHUNK, "snapshot": config["snapshot"]}, config=config)
    publish(lake, "chunk_listing", CHUNK, {"article_id": ARTICLE, "pmcid": 123, "version": 1, "key": "metadata/x.json"})
    listing = (TABLES["chunk_listing"], CHUNK)
    publish(lake, "article_index", CHUNK, {"article_id": ARTICLE, "pmcid": 123, "selected": True}, inputs=[listing])
    publish(lake, "article_xml", CHUNK, {"article_id": ARTICLE, "key": f"{ARTICLE}/{ARTICLE}.xml", "md5": "0" * 32})
    publish(lake, "articles", CHUNK, {"article_id": ARTICLE, "parser_version": "7"})
    for name in ("figures", "captions", "images", "shards"):
        wanted = {k: v for k, v in ids.items() if k in TABLES[name].schema}
        publish(lake, name, CHUNK, wanted | ({"caption": "What is shown."} if name == "captions" else {}))
    publish(lake, "figure_labels", CHUNK, {"media_id": MEDIA, "cluster": 4})
    vote = {"vote_id": "v", "annotator": "anna", "source": "human", "cluster": 4, "status": "active"}
    publish(lake, "expert_votes", None, vote)
    train(lake)
    publish(lake, "leaderboard", None, {"model": "full-trained", "scope": "task", "name": "kinds", "metric": "auroc"})
    return lake


def train(lake: Lake) -> None:
    """Recipe, weights and scores."""
    sample = {"article_id": ARTICLE, "media_id": MEDIA, "sample_key": MEDIA, "split": "train"}
    publish(lake, "recipe", RECIPE, sample)
    withdrawn.remember_training(lake, RECIPE)
    weights = {"name": "full-trained", "role": "trained"}
    publish(lake, "checkpoints", RECIPE, weights, inputs=[(TABLES["recipe"], RECIPE)])
    score = {"model": "full-trained", "task": "kinds", "metric": "auroc", "primary": True, "value": 0.9}
    publish(lake, "zero_shot_scores", RECIPE, score)
