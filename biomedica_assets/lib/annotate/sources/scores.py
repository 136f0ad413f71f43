"""How far each rule of the text is right, and how much it reaches: every rule against people and the other sources.

Belongs here: the counts by shelf, which add up, and the table of shares that editors of the rules read. A rule is held
against a source on images of which that source says something at the rule's level; whether the source is right is the
business of ``trust``, so that people's verdicts and propagated votes stand in rows of their own.
"""

from __future__ import annotations

import importlib
import time
from typing import Any

import polars as pl

from biomedica_assets.lib.annotate.sources.claims import READERS, STRONG, upward
from biomedica_assets.lib.annotate.sources.rules import Rule, shipped
from biomedica_assets.lib.annotate.sources.trust import PERSON, verdicts_of_people
from biomedica_assets.lib.annotate.tally import read_votes
from biomedica_assets.lib.annotate.taxonomy.model import Taxonomy, load
from biomedica_assets.lib.chunks import shelf_of_chunk
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import ANNOTATIONS, IMAGES, MODEL_LABELS, RULE_COUNTS, RULE_SCORES, TEXT_LABELS, Table

VERSION = "1"
ANY, EVERY = "any", "*"
"""Place of a row that counts an image once, wherever the rule matched; rule of the row that counts all images."""


def count_rules(said: pl.DataFrame, truth: pl.DataFrame, taxonomy: Taxonomy) -> pl.DataFrame:
    """Matches of each rule held against what others say of the same images, in the schema of ``rule_counts``.

    Args:
        said: media_id, rule, place: matches of the rules.
        truth: media_id, concept_id (wider ones included, null where an image shows none), source, simulated.
        taxonomy: the vocabulary.

    Returns:
        One row per rule, place (and ``any``) and source, and one with source ``all`` that tells how far it reaches.
    """
    concept = pl.col("rule").str.split("/").list.first()
    every = pl.concat([said.select("media_id", "rule", "place"), said.select("media_id", "rule", place=pl.lit(ANY))])
    every = every.unique().with_columns(concept_id=concept)
    level = pl.DataFrame(
        [(c, taxonomy.top(c), taxonomy.get(c).broader is not None) for c in taxonomy.concepts],
        schema={"concept_id": pl.String, "top": pl.String, "narrow": pl.Boolean},
        orient="row",
    )
    reach = every.group_by("rule", "place").agg(n_images=pl.len())
    told = truth.join(level, on="concept_id", how="left").group_by("media_id", "source", "simulated")
    seen = told.agg(named=pl.col("concept_id").drop_nulls(), tops="top", deep=pl.col("narrow").any())
    held = every.join(level, on="concept_id").join(seen, on="media_id")
    elsewhere = ~pl.col("tops").list.contains(pl.col("top")).fill_null(value=False)
    deep = pl.col("deep").fill_null(value=False)
    held = held.filter(~pl.col("narrow") | elsewhere | deep | (pl.col("source") == PERSON))
    judged = held.group_by("rule", "place", "source", "simulated").agg(
        n_judged=pl.len(), n_right=pl.col("named").list.contains(pl.col("concept_id")).sum()
    )
    rows = reach.with_columns(source=pl.lit("all"), simulated=pl.lit(value=False), n_judged=pl.lit(0), n_right=0)
    judged = judged.join(reach, on=["rule", "place"])
    names = RULE_COUNTS.schema.names()
    parts = [part.select(names).cast(RULE_COUNTS.schema) for part in (rows, judged)]
    return pl.concat(parts).sort(RULE_COUNTS.key)


def stage_counts(lake: Lake, shelf: str) -> Report:
    """Publish ``rule_counts`` of one shelf, chunk by chunk."""
    began, taxonomy = time.perf_counter(), load()
    votes, votes_input = read_votes(lake)
    people = verdicts_of_people(votes, taxonomy).with_columns(source=pl.lit(PERSON))
    chunks = [c for c in lake.partitions(TEXT_LABELS) if shelf_of_chunk(c) == shelf]
    others = [
        table for table in READERS if table not in {TEXT_LABELS, MODEL_LABELS}
    ]  # the model has learnt from the rules
    wanted: list[tuple[Table, str | None]] = [(table, c) for table in (TEXT_LABELS, IMAGES) for c in chunks]
    wanted += [(t, c) for t in others for c in chunks if lake.manifest(t, c)]
    annotated = lake.manifest(ANNOTATIONS, None) is not None
    wanted += [(ANNOTATIONS, None)] if annotated else []
    inputs = lake.inputs(*wanted) | votes_input
    simulated = bool(lake.read(ANNOTATIONS, None)["simulated"].any()) if annotated else False
    counted = [RULE_COUNTS.empty()]
    n_images = 0
    for chunk in chunks:
        media = lake.read_lazy(IMAGES, chunk).select("media_id", "figure_id").collect()
        n_images += media.height
        said = media.lazy().join(
            lake.read_lazy(TEXT_LABELS, chunk).select("figure_id", "rule", "place"), on="figure_id"
        )
        truth = [people.join(media.select("media_id"), on="media_id")]
        for table in others:
            if lake.manifest(table, chunk) and (annotated or table.name != "clusters"):
                claims = upward(READERS[table](lake, chunk), taxonomy).filter(pl.col("symbol").is_in(STRONG))
                told = claims.with_columns(simulated=(pl.col("source") == "propagated") & simulated)
                truth.append(told.select(people.columns))
        counted.append(count_rules(said.collect(), pl.concat(truth), taxonomy))
    whole: dict[str, object] = {"rule": EVERY, "place": ANY, "source": "all", "simulated": False, "n_images": n_images}
    frame = _summed(pl.concat([*counted, RULE_COUNTS.frame([whole | {"n_judged": 0, "n_right": 0}])]))
    return _publish(lake, RULE_COUNTS, shelf, frame, inputs, began, {"chunks": len(chunks), "images": n_images})


def score_rules(counts: pl.DataFrame, rules: dict[str, Rule]) -> pl.DataFrame:
    """Precision with its 95 % Wilson interval and reach of every rule, in the schema of ``rule_scores``.

    Args:
        counts: ``rule_counts`` of all shelves.
        rules: every rule by name; one that never matched has a row with nothing in it.
    """
    proportion: Any = importlib.import_module("statsmodels.stats.proportion")
    n_images = int(counts.filter(rule=EVERY)["n_images"].sum())
    summed = _summed(counts).filter(pl.col("rule").is_in(list(rules)))
    rows = list(summed.iter_rows(named=True))
    silent = set(rules) - set(summed["rule"])
    nothing = {"place": ANY, "source": "all", "simulated": False, "n_images": 0, "n_judged": 0, "n_right": 0}
    rows += [{"rule": rule, **nothing} for rule in sorted(silent)]
    for row in rows:
        right, n = row["n_right"], row["n_judged"]
        low, high = proportion.proportion_confint(right, n, alpha=0.05, method="wilson") if n else (None, None)
        row |= {"concept_id": row["rule"].split("/")[0], "trust": rules[row["rule"]].trust, "low": low, "high": high}
        row |= {"reach": row["n_images"] / n_images if n_images else 0.0, "precision": right / n if n else None}
    return RULE_SCORES.frame(rows).sort(RULE_SCORES.key)


def stage_scores(lake: Lake) -> Report:
    """Publish ``rule_scores`` from the counts of all shelves."""
    began, shelves = time.perf_counter(), lake.partitions(RULE_COUNTS)
    inputs = lake.inputs(*((RULE_COUNTS, shelf) for shelf in shelves))
    counts = lake.scan(RULE_COUNTS, shelves).select(RULE_COUNTS.schema.names()).collect()
    frame = score_rules(counts, shipped(lake.root / "rules").all)
    matched = frame.filter(pl.col("place") == ANY, pl.col("source") == "all")
    judged = frame.filter(pl.col("place") == ANY, pl.col("n_judged") > 0)
    metrics = {
        "rules": matched.height,
        "rules_that_matched": matched.filter(pl.col("n_images") > 0).height,
        "rules_judged": judged["rule"].n_unique(),
        "images": int(counts.filter(rule=EVERY)["n_images"].sum()),
    }
    return _publish(lake, RULE_SCORES, None, frame, inputs, began, metrics)


def _summed(counts: pl.DataFrame) -> pl.DataFrame:
    """Counts of several parts as one; each part tells the reach of a rule in it once per source."""
    whole = counts.filter(source="all").group_by("rule", "place").agg(pl.col("n_images").sum())
    judged = counts.group_by("rule", "place", "source", "simulated").agg(pl.col("n_judged", "n_right").sum())
    names = counts.columns
    return judged.join(whole, on=["rule", "place"]).select(names).cast(counts.schema).sort(RULE_COUNTS.key)


def _publish(
    lake: Lake, table: Table, partition: str | None, frame: pl.DataFrame, inputs: dict[str, str], began: float,
    metrics: Any,
) -> Report:  # fmt: skip
    n = frame.height
    manifest = lake.publish(
        table, partition, frame, code_version=VERSION, inputs=inputs, config={"taxonomy_version": load().version},
        n_in=n, n_out=n,
    )  # fmt: skip
    best = frame.sort("n_images", descending=True).head(12)
    return Report(
        asset=table.name,
        partition=partition,
        data_version=manifest.data_version,
        rows=n,
        n_in=n,
        n_out=n,
        bytes_written=manifest.bytes,
        seconds=time.perf_counter() - began,
        metrics=metrics,
        preview=tuple(best.iter_rows(named=True)),
    )
