"""Publishing and reading partitions: completely or not at all."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap

import polars as pl
import pytest

from biomedica_assets.lib import tables
from biomedica_assets.lib.errors import PermanentFailure, Reject, RejectReason, StoreError
from biomedica_assets.lib.store import atomic, catalog
from biomedica_assets.lib.store.lake import MANIFEST, Lake

TABLE = tables.ARTICLE_XML
CHUNK = "PMC007-0360"


def rows(n, md5="m"):
    return TABLE.frame([{"article_id": f"PMC{i}.1", "key": "k", "path": "p", "md5": md5, "bytes": i} for i in range(n)])


def publish(lake, frame, chunk=CHUNK, **more):
    given = {"code_version": "1", "inputs": {}, "config": {}, "n_in": frame.height, "n_out": frame.height} | more
    return lake.publish(TABLE, chunk, frame, **given)


def test_what_is_published_is_read_back(tmp_path):
    lake = Lake(tmp_path)
    manifest = publish(lake, rows(3))
    assert lake.read(TABLE, CHUNK).equals(rows(3))
    assert lake.manifest(TABLE, CHUNK) == manifest
    assert manifest.sha256 == hashlib.sha256(lake.part(TABLE, CHUNK).read_bytes()).hexdigest()


def test_scan_adds_the_key_and_takes_only_the_partitions_asked_for(tmp_path):
    lake = Lake(tmp_path)
    publish(lake, rows(2), "PMC007-0360")
    publish(lake, rows(3), "PMC008-0000")
    assert lake.scan(TABLE).collect().group_by("chunk").len().sort("chunk")["len"].to_list() == [2, 3]
    assert lake.scan(TABLE, ["PMC008-0000"]).collect().height == 3
    with pytest.raises(StoreError, match="PMC009-0000 has not been materialised"):
        lake.scan(TABLE, ["PMC009-0000"])


def test_a_scan_of_nothing_has_the_columns(tmp_path):
    frame = Lake(tmp_path).scan(TABLE).collect()
    assert frame.is_empty()
    assert frame.columns == [*TABLE.schema.names(), "chunk"]


def test_the_data_version_depends_on_content_and_rejects_alone(tmp_path):
    a, b = Lake(tmp_path / "a"), Lake(tmp_path / "b")
    reject = Reject("PMC9.1", "article_xml", RejectReason.OBJECT_MISSING, "gone")
    plain = publish(a, rows(3))
    assert publish(b, rows(3), code_version="2", config={"x": 1}).data_version == plain.data_version
    assert publish(b, rows(3, md5="other")).data_version != plain.data_version
    assert publish(b, rows(3), rejects=[reject], n_in=4).data_version != plain.data_version


def test_rejects_lie_beside_the_part_and_go_when_they_are_gone(tmp_path):
    lake = Lake(tmp_path)
    reject = Reject("PMC9.1", "article_xml", RejectReason.OBJECT_MISSING, "gone")
    assert publish(lake, rows(1), rejects=[reject], n_in=2).rejects == {"object_missing": 1}
    assert lake.read_rejects(TABLE, CHUNK)["message"].to_list() == ["gone"]
    publish(lake, rows(2))
    assert lake.read_rejects(TABLE, CHUNK).is_empty()


def test_a_frame_that_does_not_fit_is_refused_and_the_earlier_partition_stays(tmp_path):
    lake = Lake(tmp_path)
    publish(lake, rows(1))
    with pytest.raises(PermanentFailure, match=r"column bytes has 1 nulls"):
        publish(lake, rows(1).with_columns(bytes=pl.lit(None, pl.Int64)))
    with pytest.raises(PermanentFailure, match="column bytes is Int32, expected Int64"):
        publish(lake, rows(1).with_columns(pl.col("bytes").cast(pl.Int32)))
    with pytest.raises(PermanentFailure, match="key article_id is not unique: 1 rows too many"):
        publish(lake, pl.concat([rows(1), rows(1)]))
    assert lake.read(TABLE, CHUNK).height == 1


def test_a_partition_without_a_manifest_does_not_exist(tmp_path):
    lake = Lake(tmp_path)
    publish(lake, rows(1))
    (lake.folder(TABLE, CHUNK) / MANIFEST).unlink()
    assert lake.partitions(TABLE) == []
    with pytest.raises(StoreError):
        lake.read(TABLE, CHUNK)


def test_a_damaged_manifest_is_named(tmp_path):
    lake = Lake(tmp_path)
    publish(lake, rows(1))
    path = lake.folder(TABLE, CHUNK) / MANIFEST
    path.write_text("{")
    with pytest.raises(StoreError, match=r"_manifest.json is not a manifest"):
        lake.manifest(TABLE, CHUNK)


def test_inputs_demand_that_they_exist(tmp_path):
    lake = Lake(tmp_path)
    version = publish(lake, rows(1)).data_version
    assert lake.inputs((TABLE, CHUNK)) == {f"article_xml@{CHUNK}": version}
    with pytest.raises(StoreError, match="images@PMC007-0360 has not been materialised"):
        lake.inputs((tables.IMAGES, CHUNK))


def test_equal_work_gives_equal_bytes_and_leaves_no_temporary_file(tmp_path):
    for name in ("a", "b"):
        publish(Lake(tmp_path / name), rows(5))
    files = [sorted(p.relative_to(tmp_path / n) for p in (tmp_path / n).rglob("*") if p.is_file()) for n in "ab"]
    assert files[0] == files[1] and len(files[0]) == 2
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files[0])


@pytest.mark.parametrize("seed", range(6))
def test_killed_at_any_moment_the_partition_is_the_old_one_or_the_new_one(tmp_path, seed):
    """A partition that is away, or looks whole but is not, would stop or spoil everything downstream."""
    lake = Lake(tmp_path)
    publish(lake, rows(1000, "old"))
    program = textwrap.dedent("""
        import sys
        from biomedica_assets_tests.lib.store.test_lake import Lake, publish, rows
        lake, frame = Lake(sys.argv[1]), rows(1000, "new")
        print("ready", flush=True)
        while True:
            publish(lake, frame)
    """)
    child = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline() == b"ready\n"
    try:
        child.wait(timeout=0.02 * seed)
    except subprocess.TimeoutExpired:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    child.stdout.close()
    manifest = lake.manifest(TABLE, CHUNK)
    assert manifest is not None
    assert hashlib.sha256(lake.part(TABLE, CHUNK).read_bytes()).hexdigest() == manifest.sha256
    assert lake.read(TABLE, CHUNK)["md5"].unique().to_list() in (["old"], ["new"])
    publish(lake, rows(2))
    assert not list(lake.folder(TABLE, CHUNK).glob(".tmp-*"))


def test_a_partition_is_never_missing_while_another_process_writes_it(tmp_path):
    """The manifest went first and came last: whoever looked in between was told that nothing had been made."""
    lake = Lake(tmp_path)
    publish(lake, rows(200, "old"))
    before = lake.read_lazy(TABLE, CHUNK)
    program = textwrap.dedent("""
        import sys
        from biomedica_assets_tests.lib.store.test_lake import Lake, publish, rows
        lake = Lake(sys.argv[1])
        print("ready", flush=True)
        for n in range(150):
            publish(lake, rows(200, f"new {n % 3}"))
    """)
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline() == b"ready\n"
        looks, seen = 0, set()
        while child.poll() is None:
            assert lake.partitions(TABLE) == [CHUNK]
            (content,) = lake.read(TABLE, CHUNK)["md5"].unique().to_list()
            seen.add(content)
            looks += 1
    assert child.returncode == 0
    assert looks > 10
    assert seen & {"new 0", "new 1", "new 2"}
    assert before.collect()["md5"].unique().to_list() == ["old"], "a reader that began before goes on with what it had"


def test_the_catalog_reads_the_files_that_manifests_name_and_not_those_of_earlier_runs(tmp_path):
    """Files of earlier runs lie beside the present ones, and may have the columns of an earlier version."""
    lake = Lake(tmp_path)
    reject = Reject("PMC9.1", "article_xml", RejectReason.FETCH_FAILED, "x")
    catalog.build(lake)
    publish(lake, rows(5), rejects=[reject, reject], n_in=7)
    publish(lake, rows(3), rejects=[reject], n_in=4)
    publish(lake, rows(2), "PMC008-0000")
    earlier = lake.folder(TABLE, CHUNK) / "part-0123456789abcdef.parquet"
    rows(9).drop("md5").with_columns(old=1).write_parquet(earlier)
    with catalog.open_catalog(lake) as connection:
        assert connection.sql("select chunk, count(*) from article_xml group by 1 order by 1").fetchall() == [
            (CHUNK, 3), ("PMC008-0000", 2),
        ]  # fmt: skip
        assert connection.sql("select count(*) from rejects").fetchall() == [(1,)]
        lake.remove(TABLE, CHUNK)
        assert connection.sql("select count(*) from article_xml").fetchall() == [(2,)]


def test_partitions_of_before_files_were_named_by_their_digest_are_read(tmp_path):
    """A data directory of 650 chunks is not made again for the names of its files."""
    lake = Lake(tmp_path)
    made = publish(lake, rows(3), rejects=[Reject("PMC9.1", "article_xml", RejectReason.FETCH_FAILED, "x")], n_in=4)
    catalog.build(lake)
    folder = lake.folder(TABLE, CHUNK)
    for entry, name in zip(made.parts, ("part-0.parquet", "rejects.parquet"), strict=True):
        (lake.root / entry.path).rename(folder / name)
    older = json.loads((folder / MANIFEST).read_text())
    del older["parts"]
    (folder / MANIFEST).write_text(json.dumps(older))
    assert lake.read(TABLE, CHUNK).equals(rows(3))
    assert lake.read_rejects(TABLE, CHUNK).height == 1
    assert lake.version(TABLE, CHUNK) == made.data_version
    with catalog.open_catalog(lake) as connection:
        assert connection.sql("select count(*) from article_xml").fetchall() == [(3,)]
        assert connection.sql("select count(*) from rejects").fetchall() == [(1,)]


def test_a_folder_that_cannot_be_written_is_named_and_the_old_file_stays(tmp_path):
    (tmp_path / "blocked").write_text("a file where a folder should be")
    with pytest.raises(StoreError, match="cannot write"):
        atomic.write_bytes(tmp_path / "blocked" / "x", b"1")
    with pytest.raises(RuntimeError), atomic.replacing(tmp_path / "kept") as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError
    assert not (tmp_path / "kept").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["blocked"]


def test_the_catalog_sees_partitions_that_came_after_it(tmp_path):
    lake = Lake(tmp_path)
    catalog.build(lake)
    publish(lake, rows(3), rejects=[Reject("PMC9.1", "article_xml", RejectReason.FETCH_FAILED, "x")], n_in=4)
    with catalog.open_catalog(lake) as connection:
        assert connection.sql("select count(*), any_value(chunk) from article_xml").fetchall() == [(3, CHUNK)]
        assert connection.sql("select reason, partition from rejects").fetchall() == [("fetch_failed", CHUNK)]
        assert connection.sql("select count(*) from figures").fetchall() == [(0,)]


def test_what_a_dead_process_left_is_swept_and_what_a_living_one_writes_stays(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    living = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        names = {n: [f".tmp-x-{n}", f".tmp-x-{n}-0123abcd", f".tmp-x-{n}-0123abcd.wal"] for n in (dead.pid, living.pid)}
        for name in [*names[dead.pid], *names[living.pid], f".tmp-x-{os.getpid()}", ".tmp-of-nobody", "x"]:
            (tmp_path / name).touch()
        assert atomic.sweep(tmp_path) == 5
        assert {p.name for p in tmp_path.iterdir()} == {*names[living.pid], "x"}
        living.kill()
        assert os.waitid(os.P_PID, living.pid, os.WEXITED | os.WNOWAIT)
        assert atomic.sweep(tmp_path) == 3, "a killed process that nobody has asked after is dead"
    finally:
        living.kill()
        living.wait()
        living.stdin.close()


def test_what_a_killed_build_of_the_catalog_left_is_swept_by_the_next(tmp_path):
    lake = Lake(tmp_path)
    catalog.build(lake)
    left = [
        tmp_path / ".tmp-catalog.duckdb-999999999-0123abcd", tmp_path / ".tmp-catalog.duckdb-999999999-0123abcd.wal",
        tmp_path / "tables/catalog/_empty/.tmp-part-empty.parquet-999999999-0123abcd",
        tmp_path / "tables/_empty/_empty/.tmp-rejects-empty.parquet-999999999-0123abcd",
    ]  # fmt: skip
    for path in left:
        path.touch()
    catalog.build(lake)
    assert [path for path in left if path.exists()] == []


@pytest.mark.parametrize("name", ["there", "it's elsewhere"])
def test_the_catalog_of_a_copied_data_directory_reads_the_copy(tmp_path, name):
    lake = Lake(tmp_path / "here" / name)
    publish(lake, rows(3))
    catalog.build(lake, further=["CREATE VIEW a_few AS SELECT * FROM article_xml LIMIT 2"])
    shutil.copytree(lake.root, tmp_path / name)
    shutil.rmtree(lake.root)
    with catalog.open_catalog(Lake(tmp_path / name)) as connection:
        assert connection.sql("select count(*) from article_xml").fetchall() == [(3,)]
        assert connection.sql("select count(*) from a_few").fetchall() == [(2,)]
        assert connection.sql("select count(*) from rejects").fetchall() == [(0,)]


def test_the_catalog_says_how_to_make_it(tmp_path):
    with pytest.raises(PermanentFailure, match="materialise the asset `catalog` first"):
        catalog.open_catalog(Lake(tmp_path))
