"""The mirror: nothing lost, nothing wrong stored, nothing fetched twice; whatever the server or a kill does."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from biomedica_assets.lib.errors import Reject, StoreError
from biomedica_assets.lib.pmc.fetch import Mirror, MirrorObject, fetch_xml
from biomedica_assets.lib.pmc.index import build_index
from biomedica_assets.lib.pmc.inventory import refresh_inventory
from biomedica_assets.lib.pmc.selection import SelectionRules
from biomedica_assets.lib.pmc.source import FetchFailed, open_source
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import ARTICLE_XML
from biomedica_assets_tests.support.mirrors import md5, tree

CHUNK = "PMC000-0000"


def index(lake, source, mirror, **rules):
    mirror.inventory("2026-11-18T01-00Z")
    refresh_inventory(lake, source, chunk_span=20_000, max_pmcid=99_999)
    build_index(lake, CHUNK, source, rules=SelectionRules(**rules))


def stored(lake):
    return {name: data for name, data in tree(lake.root / "mirror").items() if not name.startswith(".")}


def one(mirror, name="a.jpg", data=b"picture", article="PMC12340123.1"):
    return MirrorObject(article, mirror.put(f"{article}/{name}", data), md5(data))


def ensure(lake, source, *objects, **options):
    return dict(Mirror(lake, source, **options).ensure(objects))


def test_selected_articles_get_their_xml_and_the_others_do_not(source, mirror, lake):
    for number in range(1, 30):
        mirror.article(f"PMC{number}.1", is_retracted=number % 3 == 0)
    index(lake, source, mirror)
    report = fetch_xml(lake, CHUNK, source)
    wanted = [f"PMC{n}.1" for n in range(1, 30) if n % 3]
    rows = lake.read(ARTICLE_XML, CHUNK)
    assert rows["article_id"].to_list() == wanted
    assert (report.n_in, report.n_out, report.metrics["fetched"]) == (20, 20, 20)
    for row in rows.to_dicts():
        data = (lake.root / row["path"]).read_bytes()
        assert (md5(data), len(data)) == (row["md5"], row["bytes"])
    assert stored(lake).keys() == {f"PMC000/{n // 1000:04d}/PMC{n}.1/PMC{n}.1.xml" for n in range(1, 30) if n % 3}


def test_a_second_run_fetches_nothing_and_changes_nothing(s3, bucket, mirror, lake):
    for number in range(1, 10):
        mirror.article(f"PMC{number}.1")
    index(lake, bucket, mirror)
    first = fetch_xml(lake, CHUNK, bucket)
    before = tree(lake.root)
    s3.forget()
    second = fetch_xml(lake, CHUNK, bucket)
    assert not s3.requests
    assert tree(lake.root) == before
    assert (second.data_version, second.metrics["already_present"]) == (first.data_version, 9)


def test_both_adapters_give_the_same_tables_and_files(s3, bucket, mirror, tmp_path):
    for number in range(1, 20):
        mirror.article(f"PMC{number}.1")
    trees = []
    for name, source in [("a", open_source(mirror.root)), ("b", bucket)]:
        lake = Lake(tmp_path / name)
        index(lake, source, mirror)
        fetch_xml(lake, CHUNK, source)
        trees.append(tree(lake.root))
    assert trees[0] == trees[1]


FAULTS = ["503", "500", "429", "truncate", "reset", "corrupt"]


def test_every_fault_at_once_loses_nothing_and_stores_nothing_wrong(s3, bucket, mirror, lake):
    for number in range(1, 40):
        mirror.article(f"PMC{number}.1")
    index(lake, bucket, mirror)
    for number in range(1, 40):
        s3.faults[f"PMC{number}.1/PMC{number}.1.xml"] = [FAULTS[number % 6]] * (
            1 if number % 6 == 5 else number % 3 + 1
        )
    s3.forget()
    report = fetch_xml(lake, CHUNK, bucket)
    assert (report.n_out, report.rejects) == (39, {})
    for number in range(1, 40):
        key = f"PMC{number}.1/PMC{number}.1.xml"
        assert s3.requests[key] == 1 + (1 if number % 6 == 5 else number % 3 + 1)
        assert stored(lake)[f"PMC000/0000/{key}"] == (mirror.root / key).read_bytes()


def test_what_cannot_be_had_is_one_reject_each_and_the_rest_is_stored(s3, bucket, mirror, lake):
    for number in range(1, 7):
        mirror.article(f"PMC{number}.1")
    index(lake, bucket, mirror)
    key = "PMC{0}.1/PMC{0}.1.xml".format
    s3.faults = {key(1): ["503"] * 99, key(2): ["corrupt"] * 99, key(3): ["404"] * 99}
    s3.forget()
    report = fetch_xml(lake, CHUNK, bucket)
    assert report.rejects == {"fetch_failed": 1, "checksum_mismatch": 1, "object_missing": 1}
    assert (report.n_in, report.n_out) == (6, 3)
    assert (s3.requests[key(1)], s3.requests[key(2)], s3.requests[key(3)]) == (4, 2, 1)
    assert stored(lake).keys() == {f"PMC000/0000/{key(n)}" for n in (4, 5, 6)}
    s3.faults.clear()
    assert fetch_xml(lake, CHUNK, bucket).metrics["fetched"] == 3


def test_an_object_that_changed_after_its_metadata_was_read_is_stored_as_it_is_now(s3, bucket, mirror, lake):
    mirror.article("PMC1.1", media={"gr1.jpg": b"old"})
    wanted = MirrorObject("PMC1.1", "PMC1.1/gr1.jpg", md5(b"old"))
    mirror.article("PMC1.1", media={"gr1.jpg": b"new"})
    found = ensure(lake, bucket, wanted)
    assert found[wanted].read_bytes() == b"new"
    assert s3.requests == {"PMC1.1/gr1.jpg": 2, "metadata/PMC1.1.json": 1}
    again = Mirror(lake, bucket)
    s3.forget()
    assert dict(again.ensure([wanted])) == found
    assert not s3.requests
    verified = again.verified(wanted)
    assert (verified.md5, verified.size) == (md5(b"new"), 3)


def test_an_object_that_changed_without_its_metadata_is_refused(source, mirror, lake):
    mirror.article("PMC1.1", media={"gr1.jpg": b"old"})
    wanted = MirrorObject("PMC1.1", "PMC1.1/gr1.jpg", md5(b"old"))
    mirror.put("PMC1.1/gr1.jpg", b"bad")
    reject = ensure(lake, source, wanted, stage="images")[wanted]
    assert isinstance(reject, Reject)
    assert (reject.reason, reject.stage, reject.subject) == ("checksum_mismatch", "images", "PMC1.1/gr1.jpg")
    assert stored(lake) == {}


def test_an_object_that_vanishes_is_missing_and_nothing_is_stored(source, mirror, lake):
    wanted = one(mirror)
    (mirror.root / wanted.key).unlink()
    assert ensure(lake, source, wanted)[wanted].reason == "object_missing"
    assert stored(lake) == {}


def test_a_changed_md5_is_fetched_and_replaces_the_file(source, mirror, lake):
    old = one(mirror, data=b"old")
    path = ensure(lake, source, old)[old]
    new = one(mirror, data=b"newer")
    assert ensure(lake, source, new)[new] == path
    assert path.read_bytes() == b"newer"


def test_files_without_a_ledger_are_hashed_instead_of_fetched(s3, bucket, mirror, lake):
    """What a copied mirror, or a run killed before it noted what it stored, looks like."""
    objects = [one(mirror, f"{n}.jpg", bytes([n])) for n in range(5)]
    ensure(lake, bucket, *objects)
    for ledger in (lake.root / "mirror" / ".verified").rglob("*.jsonl"):
        ledger.unlink()
    s3.forget()
    assert len(ensure(lake, bucket, *objects)) == 5
    assert not s3.requests


def test_a_ledger_cut_off_in_mid_line_costs_no_more_than_a_hash(s3, bucket, mirror, lake):
    first, second = one(mirror, "1.jpg", b"1"), one(mirror, "2.jpg", b"2")
    ensure(lake, bucket, first)
    (ledger,) = (lake.root / "mirror" / ".verified").rglob("*.jsonl")
    ledger.write_bytes(ledger.read_bytes()[:-9])
    ensure(lake, bucket, first, second)
    s3.forget()
    assert len(ensure(lake, bucket, first, second)) == 2
    assert not s3.requests
    assert len(ledger.read_text().splitlines()) == 4


def test_a_damaged_file_is_found_and_fetched_again(s3, bucket, mirror, lake):
    wanted = one(mirror, data=b"right")
    path = ensure(lake, bucket, wanted)[wanted]
    path.write_bytes(b"wrong and longer")
    assert ensure(lake, bucket, wanted)[wanted].read_bytes() == b"right"
    status = path.stat()
    path.write_bytes(b"wrong")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert ensure(lake, bucket, wanted, rehash=True)[wanted].read_bytes() == b"right"


def test_an_object_named_twice_is_fetched_once(s3, bucket, mirror, lake):
    wanted = one(mirror)
    assert len(list(Mirror(lake, bucket).ensure([wanted, wanted, wanted]))) == 1
    assert s3.requests[wanted.key] == 1


def test_a_name_that_is_percent_encoded_in_the_metadata_only_is_found(source, mirror, lake):
    mirror.put("PMC1.1/a b.jpg", b"x")
    encoded = MirrorObject("PMC1.1", "PMC1.1/a%20b.jpg", md5(b"x"))
    climbing = MirrorObject("PMC1.1", "PMC1.1/%2e%2e/PMC2.1/x", md5(b"x"))
    found = ensure(lake, source, encoded, climbing)
    assert found[encoded].read_bytes() == b"x"
    assert found[climbing].reason == "object_missing"


@pytest.mark.parametrize("key", ["PMC2.1/a.jpg", "PMC1.1/", "PMC1.1", "../a.jpg", "/etc/passwd"])
def test_a_key_outside_the_article_is_refused_without_asking(s3, bucket, lake, key):
    wanted = MirrorObject("PMC1.1", key, "0" * 32)
    assert ensure(lake, bucket, wanted)[wanted].reason == "unsafe_name"
    assert not s3.requests


HOSTILE = [
    "\u202egpj.exe",
    ".hidden",
    "sub/dir.jpg",
    "CON.jpg",
    "é" * 120 + ".jpg",
    "a\\..\\b.jpg",
    "~.jpg",
    "a b.jpg ",
]


def test_hostile_names_stay_inside_their_articles_folder_and_apart(source, mirror, lake):
    objects = [one(mirror, name, name.encode()) for name in HOSTILE]
    found = ensure(lake, source, *objects)
    folder = lake.root / "mirror" / "PMC012" / "0340" / "PMC12340123.1"
    assert {path.parent for path in found.values()} == {folder}
    assert [found[o].read_bytes() for o in objects] == [name.encode() for name in HOSTILE]
    assert sorted(folder.iterdir()) == sorted(found.values())


def test_a_full_or_read_only_disk_is_an_error_that_names_the_place(source, mirror, lake):
    wanted = one(mirror)
    lake.root.mkdir(parents=True)
    (lake.root / "mirror").write_bytes(b"a file where the folder should be")
    with pytest.raises(StoreError, match="mirror"):
        ensure(lake, source, wanted)


def test_a_source_that_delivers_nothing_fails_the_step(s3, bucket, mirror, lake):
    mirror.article("PMC1.1")
    index(lake, bucket, mirror)
    s3.storm = lambda _: True
    with pytest.raises(FetchFailed, match="delivers nothing"):
        fetch_xml(lake, CHUNK, bucket)
    assert lake.manifest(ARTICLE_XML, CHUNK) is None


KILLED = """
import sys
from biomedica_assets.lib.pmc.fetch import fetch_xml
from biomedica_assets.lib.pmc.source import open_source
from biomedica_assets.lib.store.lake import Lake
source = open_source("s3://pmc-oa-opendata", endpoint=sys.argv[1], concurrency=4)
fetch_xml(Lake(sys.argv[2]), "PMC000-0000", source)
"""


def test_a_fetch_killed_in_the_middle_and_started_again_equals_an_uninterrupted_one(s3, bucket, mirror, tmp_path):
    for number in range(1, 150):
        mirror.article(f"PMC{number}.1")
    whole, killed = Lake(tmp_path / "whole"), Lake(tmp_path / "killed")
    for lake in (whole, killed):
        index(lake, bucket, mirror)
    fetch_xml(whole, CHUNK, bucket)
    s3.forget()

    def stop_answering(_key):
        """Whoever asks after the sixtieth waits: the process cannot be done before it is killed."""
        if sum(s3.requests.values()) >= 60:
            s3.delay = 3600

    s3.before = stop_answering
    process = subprocess.Popen([sys.executable, "-c", KILLED, s3.endpoint, str(killed.root)])
    while len(stored(killed)) < 20:
        assert process.poll() is None, "the process ended by itself"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = [name for name in stored(killed) if "/.tmp-" not in name]
    assert 20 <= len(done) < 149
    assert killed.manifest(ARTICLE_XML, CHUNK) is None
    s3.delay, s3.before = 0, None
    s3.forget()
    fetch_xml(killed, CHUNK, bucket)
    # Redone is at most what was in flight or written without having been yielded yet.
    assert sum(s3.requests.values()) <= 149 - len(done) + 4
    assert tree(killed.root) == tree(whole.root)


def test_what_a_kill_left_half_written_is_cleared_away(source, mirror, lake):
    wanted = one(mirror)
    folder = Mirror(lake, source).path(wanted).parent
    folder.mkdir(parents=True)
    (folder / ".tmp-a.jpg-1-0").write_bytes(b"pict")
    path = ensure(lake, source, wanted)[wanted]
    assert list(folder.iterdir()) == [path]


@pytest.mark.corpus
def test_the_xml_of_all_selected_real_articles_is_fetched_and_right(corpus, lake):
    source = open_source(corpus)
    outcome = refresh_inventory(lake, source, chunk_span=1_000_000, max_pmcid=19_999_999)
    n = 0
    for chunk in outcome.current:
        build_index(lake, chunk, source, rules=SelectionRules())
        report = fetch_xml(lake, chunk, source)
        assert report.reconciles and not report.rejects
        n += report.rows
        for row in lake.read(ARTICLE_XML, chunk).to_dicts():
            assert Path(lake.root / row["path"]).read_bytes() == (corpus / row["key"]).read_bytes()
    assert n == 435


@pytest.mark.corpus
def test_the_media_of_the_real_articles_are_mirrored_byte_for_byte(corpus, lake):
    objects = []
    for path in (corpus / "metadata").glob("*.json"):
        for url in json.loads(path.read_bytes())["media_urls"]:
            key, _, digest = url.removeprefix("s3://pmc-oa-opendata/").rpartition("?md5=")
            objects.append(MirrorObject(path.stem, key, digest))
    found = ensure(lake, open_source(corpus), *objects)
    assert len(found) == len(objects) == 230
    assert all(found[o].read_bytes() == (corpus / o.key).read_bytes() for o in objects)
