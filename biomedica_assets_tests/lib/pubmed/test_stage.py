"""The stage: one row per article with a PMID, joined by PMID, nothing lost."""

from __future__ import annotations

import pytest

from biomedica_assets.lib.compute.local import LocalEngine
from biomedica_assets.lib.pubmed.archive import Archive
from biomedica_assets.lib.pubmed.stage import Off, build_pubmed_records
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import ARTICLE_HEADS, ARTICLE_INDEX, PUBMED_RECORDS
from biomedica_assets_tests.lib.pubmed.citations import citation, document, write
from biomedica_assets_tests.lib.select.lakes import publish

CHUNK = "PMC000-0000"


@pytest.fixture
def lake(tmp_path):
    lake = Lake(tmp_path / "data")
    pmids = {"PMC1.1": 11, "PMC1.2": 11, "PMC2.1": None, "PMC3.1": 33, "PMC4.1": 44}
    # PMC2.1 and PMC4.1 are those whose metadata or file alone states a PMID; where both do, the file's counts.
    index = {"PMC1.1": 11, "PMC1.2": None, "PMC2.1": None, "PMC3.1": 99, "PMC4.1": 44}
    heads = {"PMC1.1": 11, "PMC1.2": 11, "PMC2.1": None, "PMC3.1": 33, "PMC4.1": None}
    assert {a: heads[a] or p for a, p in index.items()} == pmids
    publish(lake, ARTICLE_INDEX, CHUNK, [{"article_id": a, "pmid": p, "selected": True} for a, p in index.items()])
    publish(lake, ARTICLE_HEADS, CHUNK, [{"article_id": a, "pmid": p} for a, p in heads.items()])
    write(tmp_path / "pubmed", 1, document(citation(44), citation(11), citation(99)))
    return lake


def test_each_article_gets_the_record_of_its_own_pmid(lake, tmp_path):
    provider = Archive(tmp_path / "pubmed", lake.root / "pubmed", LocalEngine("serial"))
    report = build_pubmed_records(lake, CHUNK, provider=provider)
    rows = lake.read(PUBMED_RECORDS, CHUNK)
    assert dict(rows.select("article_id", "title").iter_rows()) == {
        "PMC1.1": "Title of 11",
        "PMC1.2": "Title of 11",
        "PMC4.1": "Title of 44",
    }
    assert (report.n_in, report.n_out, dict(report.rejects)) == (4, 3, {"pubmed_missing": 1})
    assert report.reconciles
    assert report.metrics["articles_without_pmid"] == 1
    assert lake.read_rejects(PUBMED_RECORDS, CHUNK)["article_id"].to_list() == ["PMC3.1"]


def test_the_same_files_give_the_same_bytes(lake, tmp_path):
    versions = {
        build_pubmed_records(
            lake, CHUNK, provider=Archive(tmp_path / "pubmed", tmp_path / f"store{n}", LocalEngine("threads", n + 1))
        ).data_version
        for n in range(2)
    }
    assert len(versions) == 1


def test_without_pubmed_nothing_is_asked_and_nothing_counts_as_missing(lake):
    report = build_pubmed_records(lake, CHUNK, provider=Off())
    assert (report.rows, report.n_in, dict(report.rejects)) == (0, 0, {})
    assert str(report.metrics["enrichment"]).startswith("off")
