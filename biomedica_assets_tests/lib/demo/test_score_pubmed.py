"""The demo's enrichment is held against what was written: MeSH term by term, and every PMID that PubMed lacks."""

from __future__ import annotations

import dataclasses

import pytest

from biomedica_assets import configs, settings
from biomedica_assets.lib.demo import load_truth
from biomedica_assets.lib.demo.pubmed import write_pubmed
from biomedica_assets.lib.demo.score import score_pubmed
from biomedica_assets.lib.pubmed.stage import build_pubmed_records
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import ARTICLE_HEADS, ARTICLE_INDEX
from biomedica_assets_tests.lib.select.lakes import publish

CHUNK = "PMC007-0340"


@pytest.fixture(scope="module")
def enriched(tmp_path_factory, demo_mirror):
    """Articles of the truth in one chunk, enriched from the PubMed that was written for them."""
    root = tmp_path_factory.mktemp("enriched")
    truth = load_truth(demo_mirror.parent / "demo_truth.json")
    pubmed = write_pubmed(root / "source_pubmed", truth, seed=truth.seed)
    lake = Lake(root / "data")
    rows = [
        {"article_id": a.article_id, "pmid": a.metadata["pmid"], "selected": True} for a in truth.articles if a.selected
    ]
    publish(lake, ARTICLE_INDEX, CHUNK, rows)
    publish(lake, ARTICLE_HEADS, CHUNK, [])
    values = settings.Settings(data_dir=lake.root, pubmed=str(pubmed.root), workers=1)
    build_pubmed_records(lake, CHUNK, provider=configs.pubmed_provider(values))
    return lake, truth, pubmed


def test_every_heading_and_every_missing_record_is_found(enriched):
    scores = score_pubmed(*enriched)
    assert scores["pubmed mesh"].expected > 50
    assert scores["pubmed missing"].expected > 0
    assert {name: str(score) for name, score in scores.items() if score.missed or score.surplus} == {}


def test_one_wrong_heading_shows(enriched):
    lake, truth, pubmed = enriched
    parsed = {int(a.metadata["pmid"]) for a in truth.articles if a.parsed}
    pmid, citation = next((p, c) for p, c in pubmed.citations.items() if c.mesh and p in parsed)
    ui, name, major, qualifiers = citation.mesh[0]
    other = dataclasses.replace(citation, mesh=((ui, name, not major, qualifiers), *citation.mesh[1:]))
    score = score_pubmed(lake, truth, dataclasses.replace(pubmed, citations={**pubmed.citations, pmid: other}))
    assert score["pubmed mesh"].missed
    assert score["pubmed mesh"].surplus
