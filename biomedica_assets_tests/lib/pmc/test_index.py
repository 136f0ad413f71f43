"""``article_index``: read what changed, believe only what is verified, say why each article is or is not taken."""

import json

import polars as pl
import pytest

from biomedica_assets.lib.pmc.index import build_index
from biomedica_assets.lib.pmc.inventory import refresh_inventory
from biomedica_assets.lib.pmc.selection import SelectionRules
from biomedica_assets.lib.pmc.source import FetchFailed, open_source
from biomedica_assets.lib.tables import ARTICLE_INDEX
from biomedica_assets_tests.support.mirrors import md5, tree

DAY1, DAY2 = "2026-11-18T01-00Z", "2026-11-19T01-00Z"
CHUNK = "PMC000-0000"


@pytest.fixture
def indexed(source, mirror, lake):
    """Call to take the inventory and build the index; returns report and rows by article."""

    def build(day=DAY1, **rules):
        mirror.inventory(day)
        refresh_inventory(lake, source, chunk_span=20_000, max_pmcid=99_999)
        report = build_index(lake, CHUNK, source, rules=SelectionRules(**rules))
        assert report.reconciles
        return report, {row["article_id"]: row for row in lake.read(ARTICLE_INDEX, CHUNK).to_dicts()}

    return build


def test_a_row_holds_what_the_json_says(mirror, indexed):
    fields = mirror.article(
        "PMC7.10", media={"gr1.jpg": b"j", "a b.tif": b"t"}, mid="NIHMS1", license_code="cc by-nc 4.0"
    )
    report, rows = indexed()
    row = rows["PMC7.10"]
    assert {**row, "media": len(row["media"])} == {
        "article_id": "PMC7.10",
        "pmcid": 7,
        "version": 10,
        "etag": md5((mirror.root / "metadata" / "PMC7.10.json").read_bytes()),
        "pmid": 1234567,
        "doi": "10.1000/PMC7.10",
        "manuscript_id": "NIHMS1",
        "title": "On PMC7.10",
        "citation": fields["citation"],
        "journal": "PLoS ONE",
        "year": 2012,
        "license_raw": "cc by-nc 4.0",
        "license_code": "CC BY-NC",
        "license_group": "noncommercial",
        "is_pmc_openaccess": True,
        "is_manuscript": False,
        "is_historical_ocr": False,
        "is_retracted": False,
        "xml_key": "PMC7.10/PMC7.10.xml",
        "xml_md5": md5((mirror.root / "PMC7.10" / "PMC7.10.xml").read_bytes()),
        "media": 2,
        "media_refused": [],
        "selected": True,
        "left_out_because": None,
    }
    assert row["media"] == [{"key": "PMC7.10/a b.tif", "md5": md5(b"t")}, {"key": "PMC7.10/gr1.jpg", "md5": md5(b"j")}]
    assert (report.n_in, report.rows, report.metrics["media"]) == (1, 1, 2)


@pytest.mark.parametrize(
    ("citation", "journal", "year"),
    [
        ("ChemistryOpen. 2026 Sep 1;15(9):e70282. doi: 10.1/x", "ChemistryOpen", 2026),
        ("Breast Cancer Res. 2001 Nov 2; 3(1):55-60", "Breast Cancer Res", 2001),
        ("J. Clin. Invest. 1999; 2000 (1):5", "J. Clin. Invest", 1999),
        ("PLoS ONE. 2012; doi: 10.1371/journal.pone.0052690", "PLoS ONE", 2012),
        ("Trans Am Ophthalmol Soc 1865;1:1", "Trans Am Ophthalmol Soc", 1865),
        (". 1998", None, 1998),
        ("Molecules. 0000; doi: 10.3390/molecules26190000", "Molecules", None),
        ("no year here", None, None),
        (None, None, None),
    ],
)
def test_journal_and_year_are_read_from_the_citation(mirror, indexed, citation, journal, year):
    mirror.article("PMC1.1", citation=citation)
    row = indexed()[1]["PMC1.1"]
    assert (row["journal"], row["year"]) == (journal, year)


def test_each_article_that_is_left_out_says_why(mirror, indexed):
    mirror.article("PMC1.1", is_pmc_openaccess="no")
    mirror.article("PMC2.1", is_retracted="yes")
    mirror.article("PMC3.1", license_code="TDM")
    mirror.article("PMC4.1", license_code=None)
    mirror.article("PMC5.1")
    mirror.article("PMC5.2")
    mirror.article("PMC6.1", xml_url=None)
    report, rows = indexed()
    assert {key: row["left_out_because"] for key, row in rows.items()} == {
        "PMC1.1": "not_open_access",
        "PMC2.1": "retracted",
        "PMC3.1": "license_not_allowed",
        "PMC4.1": "license_not_allowed",
        "PMC5.1": "not_newest_version",
        "PMC5.2": None,
        "PMC6.1": "no_xml",
    }
    assert (report.metrics["selected"], report.metrics["left_out_license_not_allowed"]) == (1, 2)
    assert (rows["PMC3.1"]["license_group"], rows["PMC4.1"]["license_code"]) == ("other", None)


def test_bad_jsons_are_rejects_with_a_reason_and_the_rest_goes_on(mirror, lake, indexed):
    for number in range(1, 6):
        mirror.article(f"PMC{number}.1")
    mirror.put("metadata/PMC1.1.json", b"<html>")
    mirror.put("metadata/PMC2.1.json", (mirror.root / "metadata/PMC3.1.json").read_bytes())
    mirror.article("PMC4.1", xml_url=f"s3://pmc-oa-opendata/PMC5.1/PMC5.1.xml?md5={'0' * 32}")
    report, rows = indexed()
    assert set(rows) == {"PMC3.1", "PMC5.1"}
    found = dict(lake.read_rejects(ARTICLE_INDEX, CHUNK).select("article_id", "reason").rows())
    assert found == {"PMC1.1": "metadata_invalid", "PMC2.1": "article_id_mismatch", "PMC4.1": "unsafe_url"}
    assert report.n_in == 5


def test_only_changed_jsons_are_read_again_and_the_result_is_the_same_as_from_scratch(
    s3, bucket, mirror, lake, tmp_path
):
    def build(where, day):
        mirror.inventory(day)
        refresh_inventory(where, bucket, chunk_span=20_000, max_pmcid=99_999)
        return build_index(where, CHUNK, bucket, rules=SelectionRules())

    for number in range(1, 6):
        mirror.article(f"PMC{number}.1")
    build(lake, DAY1)
    s3.forget()
    mirror.article("PMC3.1", is_retracted=True)
    report = build(lake, DAY2)
    assert [key for key in s3.requests if key.startswith("metadata/")] == ["metadata/PMC3.1.json"]
    assert (report.metrics["metadata_read"], report.metrics["metadata_reused"]) == (1, 4)
    scratch = type(lake)(tmp_path / "scratch")
    build(scratch, DAY2)
    parts = [one.part(ARTICLE_INDEX, "PMC000-0000") for one in (scratch, lake)]
    assert parts[0].name == parts[1].name
    assert parts[0].read_bytes() == parts[1].read_bytes()


def test_another_cut_reads_nothing_again(s3, bucket, mirror, lake):
    for number in range(1, 6):
        mirror.article(f"PMC{number}.1")
    mirror.inventory(DAY1)
    refresh_inventory(lake, bucket, chunk_span=20_000, max_pmcid=99_999)
    build_index(lake, CHUNK, bucket, rules=SelectionRules())
    s3.forget()
    report = build_index(lake, CHUNK, bucket, rules=SelectionRules(limit=2))
    assert (report.metrics["selected"], sum(s3.requests.values())) == (2, 0)


def test_with_a_list_of_ids_only_those_are_read_and_the_others_when_the_list_is_gone(s3, bucket, mirror, lake):
    """A user with 500 PMCIDs must not wait for 8 million JSONs."""
    for number in range(1, 6):
        mirror.article(f"PMC{number}.1")
    mirror.inventory(DAY1)
    refresh_inventory(lake, bucket, chunk_span=20_000, max_pmcid=99_999)
    s3.forget()
    report = build_index(lake, CHUNK, bucket, rules=SelectionRules(ids=frozenset({"PMC2", "PMC4.1"})))
    assert sorted(s3.requests) == ["metadata/PMC2.1.json", "metadata/PMC4.1.json"]
    rows = lake.read(ARTICLE_INDEX, CHUNK).select("article_id", "selected", "left_out_because", "is_retracted").rows()
    unread = [(f"PMC{n}.1", False, "not_in_list", None) for n in (1, 3, 5)]
    assert rows == sorted([*unread, ("PMC2.1", True, None, False), ("PMC4.1", True, None, False)])
    assert report.reconciles
    s3.forget()
    report = build_index(lake, CHUNK, bucket, rules=SelectionRules())
    assert sorted(s3.requests) == [f"metadata/PMC{n}.1.json" for n in (1, 3, 5)]
    assert report.metrics["selected"] == 5


def test_a_json_that_arrives_damaged_once_is_fetched_again(s3, bucket, mirror, lake):
    mirror.article("PMC1.1")
    mirror.inventory(DAY1)
    refresh_inventory(lake, bucket, chunk_span=20_000, max_pmcid=99_999)
    s3.faults["metadata/PMC1.1.json"] = ["corrupt"]
    s3.forget()
    assert build_index(lake, CHUNK, bucket, rules=SelectionRules()).rows == 1
    assert s3.requests == {"metadata/PMC1.1.json": 2}


def test_a_json_that_stays_damaged_is_a_reject_and_nothing_of_it_is_stored(s3, bucket, mirror, lake):
    mirror.article("PMC1.1")
    mirror.article("PMC2.1")
    mirror.inventory(DAY1)
    refresh_inventory(lake, bucket, chunk_span=20_000, max_pmcid=99_999)
    s3.faults["metadata/PMC1.1.json"] = ["corrupt"] * 9
    report = build_index(lake, CHUNK, bucket, rules=SelectionRules())
    assert (report.rows, report.rejects) == (1, {"checksum_mismatch": 1})


def test_an_article_that_changed_after_the_inventory_is_believed_if_both_copies_agree(mirror, lake, source):
    mirror.article("PMC1.1")
    mirror.article("PMC2.1")
    mirror.inventory(DAY1)
    refresh_inventory(lake, source, chunk_span=20_000, max_pmcid=99_999)
    mirror.article("PMC1.1", is_retracted=True)
    mirror.put(
        "metadata/PMC2.1.json", (mirror.root / "metadata/PMC2.1.json").read_bytes().replace(b"On PMC2.1", b"Of PMC2.1")
    )
    report = build_index(lake, CHUNK, source, rules=SelectionRules())
    rows = lake.read(ARTICLE_INDEX, CHUNK).select("article_id", "is_retracted", "left_out_because").rows()
    assert rows == [("PMC1.1", True, "retracted")]
    assert report.rejects == {"checksum_mismatch": 1}


def test_a_json_that_vanished_is_a_missing_object(mirror, lake, source):
    mirror.article("PMC1.1")
    mirror.article("PMC2.1")
    mirror.inventory(DAY1)
    refresh_inventory(lake, source, chunk_span=20_000, max_pmcid=99_999)
    mirror.remove("PMC2.1")
    assert build_index(lake, CHUNK, source, rules=SelectionRules()).rejects == {"object_missing": 1}


def test_a_source_that_delivers_nothing_fails_the_step_instead_of_emptying_the_chunk(s3, bucket, mirror, lake):
    mirror.article("PMC1.1")
    mirror.inventory(DAY1)
    refresh_inventory(lake, bucket, chunk_span=20_000, max_pmcid=99_999)
    build_index(lake, CHUNK, bucket, rules=SelectionRules())
    before = tree(lake.root)
    mirror.article("PMC1.1", title="new")
    mirror.inventory(DAY2)
    refresh_inventory(lake, bucket, chunk_span=20_000, max_pmcid=99_999)
    s3.storm = lambda _: True
    with pytest.raises(FetchFailed, match="delivers nothing"):
        build_index(lake, CHUNK, bucket, rules=SelectionRules())
    after = tree(lake.root)
    assert {k: v for k, v in after.items() if "article_index" in k} == {
        k: v for k, v in before.items() if "article_index" in k
    }


@pytest.mark.corpus
def test_the_448_real_articles_are_indexed_and_every_one_says_whether_it_is_taken(corpus, lake):
    source = open_source(corpus)
    outcome = refresh_inventory(lake, source, chunk_span=1_000_000, max_pmcid=19_999_999)
    for chunk in outcome.current:
        report = build_index(lake, chunk, source, rules=SelectionRules())
        assert report.reconciles and not report.rejects
    index = lake.scan(ARTICLE_INDEX).collect()
    assert index.height == 448
    assert dict(index["left_out_because"].value_counts().rows()) == {None: 435, "license_not_allowed": 13}
    raw = {p.stem: json.loads(p.read_bytes())["license_code"] for p in (corpus / "metadata").glob("*.json")}
    assert dict(index.select("article_id", "license_code").rows()) == raw
    assert index.select(pl.col("journal", "year").null_count()).row(0) == (1, 1)
