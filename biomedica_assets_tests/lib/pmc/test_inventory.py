"""What exists, chunk by chunk: which snapshot counts, what changed, and which partitions are written."""

import gzip
import json
import shutil

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from biomedica_assets.lib import chunks
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.pmc.inventory import refresh_inventory
from biomedica_assets.lib.pmc.source import FetchFailed, open_source
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import CHUNK_LISTING, PMC_INVENTORY
from biomedica_assets_tests.support.mirrors import MirrorBuilder, md5, tree

DAY1, DAY2, DAY3, DAY4 = (f"2026-11-{day}T01-00Z" for day in (18, 19, 20, 21))


def refresh(lake, source, **changes):
    return refresh_inventory(lake, source, **{"chunk_span": 20_000, "max_pmcid": 19_999_999, **changes})


def listed(lake):
    frame = lake.scan(CHUNK_LISTING).collect()
    return set(frame["article_id"])


def test_every_article_version_lands_in_the_chunk_of_its_number(source, mirror, lake):
    for article in ["PMC1.1", "PMC19999.1", "PMC20000.1", "PMC12345678.1", "PMC12345678.2", "PMC12345678.10"]:
        mirror.article(article)
    mirror.inventory(DAY1)
    outcome = refresh(lake, source)
    by_chunk = {key: lake.read(CHUNK_LISTING, key)["article_id"].to_list() for key in lake.partitions(CHUNK_LISTING)}
    assert by_chunk == {
        "PMC000-0000": ["PMC1.1", "PMC19999.1"],
        "PMC000-0020": ["PMC20000.1"],
        "PMC012-0340": ["PMC12345678.1", "PMC12345678.2", "PMC12345678.10"],
    }
    assert outcome.changed == outcome.current == {key: lake.version(CHUNK_LISTING, key) for key in by_chunk}
    assert outcome.report.reconciles
    assert outcome.report.metrics["added"] == outcome.report.rows + 3 == 6
    assert lake.read(PMC_INVENTORY, None)["rows"].to_list() == [2, 1, 3]


def test_a_second_refresh_of_the_same_inventory_changes_and_downloads_nothing(s3, bucket, mirror, lake):
    mirror.article("PMC1.1")
    mirror.inventory(DAY1)
    first = refresh(lake, bucket)
    before = tree(lake.root)
    s3.forget()
    second = refresh(lake, bucket)
    assert (second.changed, second.current) == ({}, first.current)
    assert second.report.data_version == first.report.data_version
    assert tree(lake.root) == before
    assert [key for key in s3.requests if not key.startswith("?")] == []


def test_only_the_chunk_that_changed_is_written_again(source, mirror, lake):
    for article in ["PMC1.1", "PMC20000.1", "PMC40000.1"]:
        mirror.article(article)
    mirror.inventory(DAY1)
    first = refresh(lake, source)
    before = tree(lake.root / "tables" / "chunk_listing")
    mirror.article("PMC20000.1", title="another")
    mirror.inventory(DAY2)
    second = refresh(lake, source)
    after = tree(lake.root / "tables" / "chunk_listing")
    assert list(second.changed) == ["PMC000-0020"]
    assert second.changed["PMC000-0020"] != first.current["PMC000-0020"]
    written = {name for name in after if after[name] != before.get(name)}
    part = lake.part(CHUNK_LISTING, "PMC000-0020").name
    assert written == {f"chunk=PMC000-0020/{part}", "chunk=PMC000-0020/_manifest.json"}
    assert before.keys() < after.keys(), "what was there stays for those who read it"
    assert {k: second.report.metrics[k] for k in ("added", "changed", "absent", "removed")} == {
        "added": 0,
        "changed": 1,
        "absent": 0,
        "removed": 0,
    }


def test_a_partition_that_was_lost_is_written_again_and_is_the_same(source, mirror, lake):
    mirror.article("PMC1.1")
    mirror.inventory(DAY1)
    first = refresh(lake, source)
    before = tree(lake.root)
    lake.remove(CHUNK_LISTING, "PMC000-0000")
    assert refresh(lake, source).changed == first.current
    assert tree(lake.root) == before


@pytest.mark.parametrize(
    "fault", ["part missing", "part damaged", "no checksum", "wrong checksum", "not json", "no csv"]
)
def test_an_incomplete_newest_snapshot_gives_way_to_the_one_before(source, mirror, lake, fault):
    mirror.article("PMC1.1")
    mirror.inventory(DAY1)
    mirror.article("PMC2.1")
    part, _ = mirror.inventory(DAY2)
    folder = mirror.root / "inventory-reports/pmc-oa-opendata/metadata" / DAY2
    if fault == "part missing":
        part.unlink()
    elif fault == "part damaged":
        data = bytearray(part.read_bytes())
        data[-6] ^= 1
        part.write_bytes(data)
    elif fault == "no checksum":
        (folder / "manifest.checksum").unlink()
    elif fault == "wrong checksum":
        (folder / "manifest.checksum").write_text("0" * 32)
    elif fault == "not json":
        mirror.inventory(DAY2, rows=[])
        raw = b"<html>"
        mirror.put(f"inventory-reports/pmc-oa-opendata/metadata/{DAY2}/manifest.json", raw)
        (folder / "manifest.checksum").write_text(md5(raw))
    else:
        mirror.inventory(DAY2, rows=[("a", 'b"', "c\n")])
    outcome = refresh(lake, source)
    assert listed(lake) == {"PMC1.1"}
    assert outcome.report.metrics["snapshot"] == DAY1
    assert str(outcome.report.metrics["skipped_snapshots"]).startswith(DAY2)


def test_a_server_in_trouble_is_no_reason_to_take_an_older_snapshot(s3, bucket, mirror, lake):
    mirror.article("PMC1.1")
    mirror.inventory(DAY1)
    part, _ = mirror.inventory(DAY2)
    s3.faults[part.relative_to(mirror.root).as_posix()] = ["503"] * 9
    with pytest.raises(FetchFailed):
        refresh(lake, bucket)


def test_a_key_that_one_inventory_misses_stays(source, mirror, lake):
    mirror.article("PMC1.1")
    mirror.article("PMC2.1")
    mirror.inventory(DAY1)
    refresh(lake, source)
    mirror.remove("PMC2.1")
    mirror.inventory(DAY2)
    outcome = refresh(lake, source)
    assert listed(lake) == {"PMC1.1", "PMC2.1"}
    assert (outcome.changed, outcome.report.metrics["absent"]) == ({}, 1)


def test_a_key_that_two_inventories_miss_and_the_source_denies_is_dropped_with_a_tombstone(source, mirror, lake):
    mirror.article("PMC1.1")
    mirror.article("PMC2.1")
    mirror.inventory(DAY1)
    refresh(lake, source)
    mirror.remove("PMC2.1")
    for day in (DAY2, DAY3):
        mirror.inventory(day)
        outcome = refresh(lake, source)
    assert listed(lake) == {"PMC1.1"}
    rejects = lake.read_rejects(CHUNK_LISTING, "PMC000-0000")
    assert rejects.select("article_id", "reason").rows() == [("PMC2.1", "removed")]
    assert list(outcome.changed) == ["PMC000-0000"]
    assert outcome.report.metrics["removed"] == 1
    mirror.inventory(DAY4)
    assert refresh(lake, source).changed == {}
    assert lake.read_rejects(CHUNK_LISTING, "PMC000-0000").height == 1


def test_a_key_that_inventories_miss_but_the_source_still_has_is_kept(source, mirror, lake):
    mirror.article("PMC1.1")
    mirror.article("PMC2.1")
    mirror.inventory(DAY1)
    refresh(lake, source)
    only = [("metadata/PMC1.1.json", "2026", lake.read(CHUNK_LISTING, "PMC000-0000")["etag"][0])]
    for day in (DAY2, DAY3, DAY4):
        mirror.inventory(day, rows=only)
        refresh(lake, source)
    assert listed(lake) == {"PMC1.1", "PMC2.1"}


def test_a_withdrawn_article_that_comes_back_is_listed_again(source, mirror, lake):
    mirror.article("PMC1.1")
    mirror.article("PMC2.1")
    mirror.inventory(DAY1)
    refresh(lake, source)
    mirror.remove("PMC2.1")
    for day in (DAY2, DAY3):
        mirror.inventory(day)
        refresh(lake, source)
    mirror.article("PMC2.1")
    mirror.inventory(DAY4)
    assert refresh(lake, source).report.metrics["added"] == 1
    assert listed(lake) == {"PMC1.1", "PMC2.1"}
    assert lake.read_rejects(CHUNK_LISTING, "PMC000-0000").height == 0


def test_keys_that_are_no_article_and_numbers_without_a_chunk_are_counted_and_named(source, mirror, lake):
    rows = [(key, "2026", "0" * 32) for key in ["metadata/PMC1.1.json", "metadata/PMC02.1.json", "metadata/x.json"]]
    rows += [(key, "2026", "0" * 32) for key in ["metadata/PMC30.1.xml", "README.txt", "PMC9.1/PMC9.1.json"]]
    rows += [("metadata/PMC20000000.1.json", "2026", "0" * 32), ("metadata%2FPMC3.1.json", "2026", "0" * 32)]
    mirror.inventory(DAY1, rows=rows)
    report = refresh(lake, source).report
    assert listed(lake) == {"PMC1.1", "PMC3.1"}
    rejects = lake.read_rejects(PMC_INVENTORY, None)
    assert sorted(rejects.select("article_id", "reason").rows()) == [
        ("PMC20000000.1", "pmcid_out_of_range"),
        ("metadata/PMC02.1.json", "metadata_invalid"),
        ("metadata/PMC30.1.xml", "metadata_invalid"),
        ("metadata/x.json", "metadata_invalid"),
    ]
    assert report.metrics["other_keys"] == 2
    assert report.reconciles


def test_articles_beyond_the_limit_appear_when_the_limit_is_raised(source, mirror, lake):
    for article in ["PMC1.1", "PMC5000000.1"]:
        mirror.article(article)
    mirror.inventory(DAY1)
    refresh(lake, source, max_pmcid=999_999)
    assert listed(lake) == {"PMC1.1"}
    assert list(refresh(lake, source).changed) == ["PMC005-0000"]
    assert listed(lake) == {"PMC1.1", "PMC5000000.1"}


def test_a_key_listed_twice_counts_once_as_it_was_written_last(source, mirror, lake):
    rows = [("metadata/PMC1.1.json", "2026-01-02", "b" * 32), ("metadata/PMC1.1.json", "2026-01-01", "a" * 32)]
    mirror.inventory(DAY1, rows=[*rows, ("metadata/x.json", "2026", "c")])
    report = refresh(lake, source).report
    assert lake.read(CHUNK_LISTING, "PMC000-0000")["etag"].to_list() == ["b" * 32]
    assert (report.metrics["repeated_rows"], report.rejects) == (1, {"metadata_invalid": 1})


def test_another_chunk_span_in_the_same_data_directory_is_refused(source, mirror, lake):
    mirror.article("PMC1.1")
    mirror.inventory(DAY1)
    refresh(lake, source)
    with pytest.raises(PermanentFailure, match="chunk_span 20000, not 1000"):
        refresh(lake, source, chunk_span=1000)


def test_a_small_span_gives_many_chunks_with_the_same_rows(source, mirror, lake):
    ids = [f"PMC{n}.1" for n in (1, 999, 1000, 19_999, 20_000)]
    for article in ids:
        mirror.article(article)
    mirror.inventory(DAY1)
    outcome = refresh(lake, source, chunk_span=1000)
    assert list(outcome.current) == ["PMC000-0000", "PMC000-0001", "PMC000-0019", "PMC000-0020"]
    assert listed(lake) == set(ids)


def test_a_directory_without_inventory_is_listed_by_looking_and_the_report_says_so(mirror, lake):
    """What ``aws s3 sync`` of a few articles gives: some with their copy below metadata/, some without."""
    mirror.article("PMC1.1")
    mirror.article("PMC2.1")
    (mirror.root / "metadata" / "PMC2.1.json").unlink()
    mirror.put("PMC3.1/notes.txt", b"no JSON")
    mirror.put("metadata/readme.json", b"{}")
    outcome = refresh(lake, open_source(mirror.root))
    rows = lake.read(CHUNK_LISTING, "PMC000-0000").select("article_id", "key", "last_modified").rows()
    assert rows == [("PMC1.1", "metadata/PMC1.1.json", None), ("PMC2.1", "PMC2.1/PMC2.1.json", None)]
    assert outcome.report.metrics["listed_by"] == "looking"
    assert outcome.report.rejects == {"metadata_invalid": 1}
    assert refresh(lake, open_source(mirror.root)).changed == {}


def test_what_a_looked_at_directory_lost_is_dropped_at_the_second_look_although_nothing_else_changes(mirror, lake):
    """``aws s3 sync --delete`` takes an article away once, and the directory stays as it is from then on."""
    for article in ("PMC1.1", "PMC2.1"):
        mirror.article(article)
    here = open_source(mirror.root)
    refresh(lake, here)
    mirror.remove("PMC2.1")
    first = refresh(lake, here)
    assert (listed(lake), first.changed, first.report.metrics["absent"]) == ({"PMC1.1", "PMC2.1"}, {}, 1)
    second = refresh(lake, here)
    assert (listed(lake), list(second.changed)) == ({"PMC1.1"}, ["PMC000-0000"])
    assert lake.read_rejects(CHUNK_LISTING, "PMC000-0000").select("article_id", "reason").rows() == [
        ("PMC2.1", "removed")
    ]
    assert refresh(lake, here).changed == {}
    settled = tree(lake.root)
    assert refresh(lake, here).changed == {}
    assert tree(lake.root) == settled


def test_an_article_that_is_back_at_the_second_look_was_never_away(mirror, lake):
    for article in ("PMC1.1", "PMC2.1"):
        mirror.article(article)
    here, away = open_source(mirror.root), mirror.root.parent / "away"
    refresh(lake, here)
    before = lake.version(CHUNK_LISTING, "PMC000-0000")
    away.mkdir()
    for name in ("PMC2.1", "metadata/PMC2.1.json"):
        shutil.move(mirror.root / name, away / name.replace("/", "-"))
    refresh(lake, here)
    for name in ("PMC2.1", "metadata/PMC2.1.json"):
        shutil.move(away / name.replace("/", "-"), mirror.root / name)
    assert refresh(lake, here).changed == {}
    assert lake.version(CHUNK_LISTING, "PMC000-0000") == before
    mirror.remove("PMC2.1")
    refresh(lake, here)
    assert listed(lake) == {"PMC1.1", "PMC2.1"}, "one look is not two in a row"


def test_the_bucket_without_inventory_is_an_error_that_says_what_to_do(bucket, mirror, lake):
    mirror.article("PMC1.1")
    with pytest.raises(PermanentFailure, match="aws s3 sync"):
        refresh(lake, bucket)


def test_an_empty_directory_is_an_error_that_says_what_was_looked_for(mirror, lake):
    with pytest.raises(PermanentFailure, match=r"metadata/\*.json"):
        refresh(lake, open_source(mirror.root))


def test_looking_and_the_inventory_list_the_same_articles(mirror, tmp_path):
    for article in ["PMC1.1", "PMC1.2", "PMC70000.10"]:
        mirror.article(article)
    looked, inventoried = Lake(tmp_path / "looked"), Lake(tmp_path / "inventoried")
    refresh(looked, open_source(mirror.root))
    mirror.inventory(DAY1)
    refresh(inventoried, open_source(mirror.root))
    columns = [name for name in CHUNK_LISTING.schema.names() if name != "last_modified"]
    frames = [lake.scan(CHUNK_LISTING).select(columns).collect() for lake in (looked, inventoried)]
    assert frames[0].equals(frames[1])


def test_only_the_newest_copy_and_the_one_before_it_are_kept(source, mirror, lake):
    mirror.article("PMC1.1")
    for day in (DAY1, DAY2, DAY3):
        mirror.inventory(day)
        refresh(lake, source)
    assert sorted(path.stem for path in (lake.root / "inventory").iterdir()) == [DAY2, DAY3]


def test_the_order_of_rows_and_parts_does_not_matter(mirror, tmp_path):
    rows = [(f"metadata/PMC{n * 7919 % 40_000 + 1}.1.json", "2026", f"{n:032x}") for n in range(300)]
    trees = []
    for order, parts in ((rows, 1), (rows[::-1], 5)):
        mirror.inventory(DAY1, rows=order, parts=parts)
        lake = Lake(tmp_path / f"data{parts}")
        refresh(lake, open_source(mirror.root))
        trees.append(tree(lake.root / "tables"))
    assert trees[0] == trees[1]


snapshot_rows = st.dictionaries(
    st.tuples(st.integers(1, 90), st.integers(1, 12)), st.sampled_from(["a" * 32, "b" * 32]), max_size=12
)


@given(st.lists(snapshot_rows, min_size=1, max_size=4))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_after_any_history_the_listing_is_the_newest_inventory_plus_what_it_only_just_misses(tmp_path, history):
    """The law: listed = in the newest, or absent for the first time; changed chunks are those whose rows differ."""
    shutil.rmtree(tmp_path, ignore_errors=True)
    mirror, lake = MirrorBuilder(tmp_path / "source"), Lake(tmp_path / "data")
    expected: dict[tuple[int, int], tuple[str, int]] = {}
    for number, snapshot in enumerate(history):
        name = f"2026-10-{number + 1:02d}T01-00Z"
        mirror.inventory(
            name,
            rows=[(f"metadata/PMC{p}.{v}.json", "2026", etag) for (p, v), etag in snapshot.items()]
            or [("README", "", "")],
        )
        earlier = _by_chunk(expected)
        absent = {key: (etag, n + 1) for key, (etag, n) in expected.items() if key not in snapshot and n == 0}
        expected = {**absent, **{key: (etag, 0) for key, etag in snapshot.items()}}
        outcome = refresh(lake, open_source(mirror.root), chunk_span=20)
        now = _by_chunk(expected)
        found = lake.scan(CHUNK_LISTING).select("pmcid", "version", "etag").collect()
        assert {(p, v): etag for p, v, etag in found.rows()} == {key: etag for key, (etag, _) in expected.items()}
        differing = {chunk for chunk in {*earlier, *now} if earlier.get(chunk) != now.get(chunk)}
        assert differing <= set(outcome.changed)
        assert outcome.report.reconciles


def _by_chunk(rows):
    found = {}
    for key, (etag, _) in rows.items():
        found.setdefault(chunks.chunk_of(key[0], 20), {})[key] = etag
    return found


@pytest.mark.corpus
def test_the_448_real_articles_are_listed(corpus, lake):
    report = refresh(lake, open_source(corpus)).report
    assert report.metrics["article_versions"] == lake.scan(CHUNK_LISTING).select(pl.len()).collect().item() == 448
    assert not report.rejects


def test_the_tests_own_inventory_has_the_form_of_the_real_one(mirror, corpus):
    """Otherwise the tests above would prove little."""
    mirror.article("PMC1.1")
    part = mirror.inventory(DAY1)[0]
    base = "inventory-reports/pmc-oa-opendata/metadata"
    real_manifest = json.loads(next((corpus / base).glob("2*/manifest.json")).read_bytes())
    own_manifest = json.loads((mirror.root / base / DAY1 / "manifest.json").read_bytes())
    assert own_manifest["fileSchema"] == real_manifest["fileSchema"]
    real = gzip.decompress((corpus / real_manifest["files"][0]["key"]).read_bytes()).decode().splitlines()[0]
    own = gzip.decompress(part.read_bytes()).decode().splitlines()[0]
    assert [len(f) for f in own.split(",")[2:]] == [len(f) for f in real.split(",")[2:]]
    assert own.count('"') == real.count('"') == 8
