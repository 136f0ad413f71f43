"""Scoring: the stages of the library, run on the mirror, find what is true; what is taken away is missed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import polars as pl
import pytest

from biomedica_assets.lib.compute.local import LocalEngine
from biomedica_assets.lib.demo import DemoSummary, Truth
from biomedica_assets.lib.demo.score import as_rows, score_extraction
from biomedica_assets.lib.images.limits import ImageLimits
from biomedica_assets.lib.images.stage import build_images
from biomedica_assets.lib.jats.stage import parse_chunk
from biomedica_assets.lib.pmc import fetch, index, inventory
from biomedica_assets.lib.pmc.mirror import Mirror
from biomedica_assets.lib.pmc.selection import SelectionRules
from biomedica_assets.lib.pmc.source import open_source
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import CAPTIONS, CHUNK_LISTING, MENTIONS, Table


@pytest.fixture(scope="module")
def lake(summary: DemoSummary, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake, source, engine = Lake(tmp_path_factory.mktemp("lake")), open_source(summary.root), LocalEngine("serial")
    inventory.refresh_inventory(lake, source, chunk_span=20_000, max_pmcid=19_999_999)
    for chunk in lake.partitions(CHUNK_LISTING):
        index.build_index(lake, chunk, source, rules=SelectionRules())
        fetch.fetch_xml(lake, chunk, source)
        parse_chunk(lake, chunk, engine=engine)
        build_images(lake, chunk, fetch=Mirror(lake, source).ensure, limits=ImageLimits(), engine=engine)
    return lake


def test_everything_that_is_true_is_found_and_nothing_else(lake: Lake, truth: Truth) -> None:
    scores = score_extraction(lake, truth)
    assert {k: (s.missed, s.surplus) for k, s in scores.items() if s.missed or s.surplus} == {}
    assert all(s.recall == s.precision == 1.0 and s.expected > 0 for s in scores.values())
    assert len(as_rows(scores)) == len(scores)


def rewritten(lake: Lake, table: Table, frame: pl.DataFrame, chunk: str) -> None:
    lake.publish(table, chunk, frame, code_version="0", inputs={}, config={}, n_in=frame.height, n_out=frame.height)


def test_a_lost_mention_and_a_garbled_caption_are_seen(lake: Lake, truth: Truth, tmp_path: Path) -> None:
    import shutil

    damaged = Lake(shutil.copytree(lake.root, tmp_path / "lake"))
    chunk = damaged.partitions(CAPTIONS)[0]
    mentions = damaged.read(MENTIONS, chunk).filter(~pl.col("inferred"))
    rewritten(damaged, MENTIONS, mentions.slice(1), chunk)
    captions = damaged.read(CAPTIONS, chunk)
    garbled = captions.with_row_index().with_columns(
        caption=pl.when(pl.col("index") == 0).then(pl.lit("garbled")).otherwise(pl.col("caption"))
    )
    rewritten(damaged, CAPTIONS, garbled.drop("index"), chunk)
    scores = score_extraction(damaged, truth)
    assert scores["mentions"].right == scores["mentions"].expected - 1
    assert scores["mentions"].precision == 1.0
    kind = "inherited_captions" if captions["inherited"][0] else "captions"
    assert scores[kind].right == scores[kind].expected - 1
    assert any("garbled" in line for line in scores[kind].surplus)


def test_a_reject_that_the_truth_does_not_expect_is_surplus(lake: Lake, truth: Truth) -> None:
    fewer = dataclasses.replace(truth, rejects=truth.rejects[1:])
    assert score_extraction(lake, fewer)["rejects"].precision < 1
