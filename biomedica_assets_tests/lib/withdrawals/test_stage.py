"""All sources together: who says what of whom, which versions go, and what each chunk is told."""

import polars as pl
import pytest

from biomedica_assets.lib.errors import RejectReason
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import (
    ARTICLE_HEADS,
    ARTICLE_INDEX,
    ARTICLE_NOTICES,
    CHUNK_LISTING,
    NOTICE_SHELF,
    PUBMED_RECORDS,
    TOMBSTONES,
    WITHDRAWALS,
)
from biomedica_assets.lib.withdrawals.stage import Lists, build_notice_shelf, build_withdrawals, withdrawn
from biomedica_assets_tests.lib.select.lakes import publish

HERE, THERE = "PMC000-0000", "PMC001-0020"
ARTICLES = ("PMC1.1", "PMC1.2", "PMC2.1", "PMC3.1", "PMC4.1", "PMC1020000.1", "PMC1020001.1")


def chunk_of(article):
    return THERE if int(article[3:].partition(".")[0]) >= 1_020_000 else HERE


def link(kind, named, id_type="pmc"):
    return {"kind": kind, "id_type": id_type, "id": named}


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path)


def say(lake, *, flags=(), pmids=None, heads=None, records=None, lists=None):
    """Publish what the sources say and bring it together; ``heads``: article -> (type, links) or also pmid and doi."""
    pmids = {a: 100 + n for n, a in enumerate(dict.fromkeys(a.partition(".")[0] for a in ARTICLES))} | (pmids or {})
    for chunk in (HERE, THERE):
        mine = [a for a in ARTICLES if chunk_of(a) == chunk]
        numbers = {a: [int(n) for n in a[3:].split(".")] for a in mine}
        rows = [
            {"article_id": a, "pmcid": n, "version": v, "pmid": pmids.get(a, pmids[f"PMC{n}"]),
             "doi": f"10.1000/PMC{n}", "is_retracted": a in flags, "selected": True}
            for a, (n, v) in numbers.items()
        ]  # fmt: skip
        publish(lake, ARTICLE_INDEX, chunk, rows)
        publish(lake, CHUNK_LISTING, chunk, [{"article_id": a, "pmcid": n} for a, (n, _) in numbers.items()])
        said = {a: v for a, v in (heads or {}).items() if a in mine}
        publish(
            lake, ARTICLE_HEADS, chunk,
            [{"article_id": a, "pmcid": numbers[a][0], "article_type": t, "related": r} | dict(*more)
             for a, (t, r, *more) in said.items()],
        )  # fmt: skip
        publish(lake, PUBMED_RECORDS, chunk, [{"article_id": a} | r for a, r in (records or {}).items() if a in mine])
        build_notice_shelf(lake, "PMC000" if chunk == HERE else "PMC001")
    return build_withdrawals(lake, lists=lists)


def gone(lake):
    return {**withdrawn(lake, HERE), **withdrawn(lake, THERE)}


def test_a_flag_holds_for_its_version_and_those_before_and_not_for_what_replaced_it(lake):
    say(lake, flags=["PMC1.2"])
    assert set(gone(lake)) == {"PMC1.1", "PMC1.2"}
    say(lake, flags=["PMC1.1"])
    assert set(gone(lake)) == {"PMC1.1"}


def test_a_notice_elsewhere_names_all_versions_by_pmcid_pmid_or_doi(lake):
    for named, id_type in (("PMC1", "pmc"), ("100", "pubmed"), ("https://doi.org/10.1000/pmc1", "uri")):
        say(lake, heads={"PMC1020000.1": ("retraction", [link("retracted-article", named, id_type)])})
        assert set(gone(lake)) == {"PMC1.1", "PMC1.2"}, named
        reason, because = gone(lake)["PMC1.1"]
        assert reason is RejectReason.RETRACTED
        assert because.startswith("notice: retraction names ")
    assert set(lake.read(WITHDRAWALS, None)["said_by"]) == {"PMC1020000.1"}


def test_a_notice_never_withdraws_itself(lake):
    say(lake, heads={"PMC2.1": ("retraction", [link("retracted-article", "PMC2"), link("retracted-article", "PMC3")])})
    assert set(gone(lake)) == {"PMC3.1"}


def test_an_article_that_names_its_retraction_is_withdrawn(lake):
    say(lake, heads={"PMC2.1": ("research-article", [link("retraction-forward", "10.1/none", "doi")])})
    assert gone(lake)["PMC2.1"][1] == "notice: its own file names 10.1/none as its retraction-forward"


def test_pubmed_speaks_by_type_and_by_links_in_either_record(lake):
    record = {"publication_types": [], "links": []}
    say(
        lake,
        records={
            "PMC1.1": record | {"pmid": 100, "publication_types": [{"ui": "D016441", "name": "Retracted Publication"}]},
            "PMC2.1": record | {"pmid": 101, "links": [{"kind": "RetractionIn", "pmid": 9, "citation": "J"}]},
            "PMC3.1": record | {"pmid": 102, "links": [{"kind": "RetractionOf", "pmid": 103, "citation": "J"}]},
            "PMC1020000.1": record | {"pmid": 104, "links": [{"kind": "RetractionIn", "pmid": None, "citation": None}]},
        },
    )
    assert set(gone(lake)) == {"PMC1.1", "PMC1.2", "PMC2.1", "PMC4.1", "PMC1020000.1"}
    assert gone(lake)["PMC2.1"][1] == "pubmed: PubMed: RetractionIn PMID 9"
    assert "a notice without a PMID" in gone(lake)["PMC1020000.1"][1]


def test_the_pmid_of_the_file_counts_before_that_of_the_metadata(lake):
    """Both are in the index, so that a link by PMID finds the article it means."""
    notice = ("retraction", [link("retracted-article", "777", "pubmed")])
    say(lake, pmids={"PMC2": 777, "PMC3": 777}, heads={"PMC4.1": notice, "PMC3.1": ("x", [], {"pmid": 888})})
    assert set(gone(lake)) == {"PMC2.1"}


def test_a_list_names_articles_or_versions_and_its_words_stay_with_us(lake):
    lists = Lists({"PMC1.1": "a wish", "PMC2": "", "PMC77": ""}, {"pmcids_file": frozenset({"PMC3", "PMC78.1"})})
    report, _ = say(lake, lists=lists)
    assert gone(lake) == {
        "PMC1.1": (RejectReason.WITHDRAWN, "list: named on the list of withdrawn articles"),
        "PMC2.1": (RejectReason.WITHDRAWN, "list: named on the list of withdrawn articles"),
    }
    assert lake.read(WITHDRAWALS, None).filter(article_id="PMC1.1")["words"].to_list() == ["a wish"]
    assert report.metrics["not_in_pmc"] == "PMC78.1 (pmcids_file), PMC77 (withdrawals_file)"
    assert report.reconciles
    assert report.n_rejected == 2


def test_several_sources_make_one_tombstone_with_all_reasons(lake):
    heads = {"PMC1020000.1": ("retraction", [link("retracted-article", "PMC2")])}
    say(lake, flags=["PMC2.1"], heads=heads, lists=Lists({"PMC2": "x"}))
    (row,) = lake.read(TOMBSTONES, HERE).to_dicts()
    assert (row["reason"], row["sources"]) == ("retracted", ["list", "notice", "pmc"])
    assert row["because"].count("; ") == 2


def test_concerns_and_corrections_withdraw_nothing_and_are_told(lake):
    heads = {
        "PMC2.1": ("expression-of-concern", [link("object-of-concern", "PMC1020000")]),
        "PMC3.1": ("correction", [link("corrected-article", "PMC1020000"), link("corrected-article", "PMC1")]),
        "PMC4.1": ("partial-retraction", [link("retracted-article", "PMC1")]),
    }
    say(lake, heads=heads)
    assert gone(lake) == {}
    rows = pl.concat([lake.read(ARTICLE_NOTICES, c) for c in (HERE, THERE)]).sort("article_id").rows(named=True)
    assert {r["article_id"]: (r["concerns"], r["corrections"]) for r in rows} == {
        "PMC1.1": ([], ["PMC3.1", "PMC4.1"]),
        "PMC1.2": ([], ["PMC3.1", "PMC4.1"]),
        "PMC1020000.1": (["PMC2.1"], ["PMC3.1"]),
    }


def test_only_the_chunk_concerned_is_written(lake):
    say(lake)
    quiet = {c: lake.manifest(TOMBSTONES, c).to_json() for c in (HERE, THERE)}
    stamps = {c: (lake.folder(TOMBSTONES, c) / "_manifest.json").stat().st_mtime_ns for c in (HERE, THERE)}
    _, made = say(lake, lists=Lists({"PMC1020001": ""}))
    assert lake.manifest(TOMBSTONES, HERE).to_json() == quiet[HERE]
    assert (lake.folder(TOMBSTONES, HERE) / "_manifest.json").stat().st_mtime_ns == stamps[HERE]
    assert lake.manifest(TOMBSTONES, THERE).to_json() != quiet[THERE]
    assert made[TOMBSTONES] == {c: lake.version(TOMBSTONES, c) for c in (HERE, THERE)}
    say(lake)
    assert {c: lake.manifest(TOMBSTONES, c).to_json() for c in (HERE, THERE)} == quiet


def test_a_damaged_partition_is_written_again_and_makes_the_table_out_of_date(lake):
    from biomedica_assets.lib.lineage.stale import Versions

    say(lake, flags=["PMC2.1"])
    part = lake.part(TOMBSTONES, HERE)
    data = part.read_bytes()
    part.write_bytes(data[:-9])
    assert Versions(lake).faults(WITHDRAWALS, None)
    build_withdrawals(lake)
    assert part.read_bytes() == data
    assert Versions(lake).faults(WITHDRAWALS, None) == []


def test_nothing_said_is_nothing_withdrawn_and_without_a_look_nothing_is_known(lake):
    assert withdrawn(lake, HERE) == {}
    report, _ = build_withdrawals(lake)
    assert report.rows == 0
    say(lake)
    assert gone(lake) == {}
    assert lake.scan(NOTICE_SHELF).collect().height == 6
