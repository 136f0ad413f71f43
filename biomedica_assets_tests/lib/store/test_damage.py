"""What lies on the disk is what was written: readers notice at once, `stale` sees it by size and time."""

import os
import shutil
import time

import polars as pl
import pytest

from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.lineage.stale import Cause, Versions
from biomedica_assets.lib.shards.config import ShardConfig
from biomedica_assets.lib.shards.stage import build_shards
from biomedica_assets.lib.store import damage
from biomedica_assets.lib.store.damage import DamagedFile
from biomedica_assets.lib.store.lake import MANIFEST, Lake
from biomedica_assets.lib.tables import RECIPE, SHARDS
from biomedica_assets_tests.lib.shards.test_stage import sixteen
from biomedica_assets_tests.lib.shards.world import CHUNK as SHARD_CHUNK
from biomedica_assets_tests.lib.store.test_lake import CHUNK, TABLE, publish, rows
from biomedica_assets_tests.support.recipes import over_all_shards


@pytest.fixture
def lake(tmp_path):
    lake = Lake(tmp_path)
    publish(lake, rows(100))
    return lake


def faults(lake, table=TABLE, partition=CHUNK):
    return [(reason.cause, reason.detail) for reason in Versions(lake).faults(table, partition)]


def flip(path, at=40):
    """Change one byte as a failing disk does: size and time stay."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_table_that_lost_its_end_is_refused_with_the_partition_to_make_again(lake):
    part = lake.part(TABLE, CHUNK)
    size = part.stat().st_size
    os.truncate(part, size - 100)
    with pytest.raises(
        DamagedFile, match=rf"has {size - 100:,} bytes, {size:,} were written.*makes article_xml@{CHUNK}"
    ):
        lake.read(TABLE, CHUNK)
    assert faults(lake) == [(Cause.DAMAGED, f"{lake.path_below(part)} has {size - 100:,} bytes, {size:,} were written")]


def test_a_file_of_the_right_size_that_is_no_table_is_refused(lake):
    part = lake.part(TABLE, CHUNK)
    part.write_bytes(bytes(part.stat().st_size))
    with pytest.raises(DamagedFile, match="does not end as a Parquet file"):
        lake.read(TABLE, CHUNK)
    (reason,) = faults(lake)
    assert "has other bytes than were written" in reason[1]


def test_a_table_that_is_missing_is_named(lake):
    part = lake.part(TABLE, CHUNK)
    part.unlink()
    with pytest.raises(DamagedFile, match="is missing"):
        lake.scan(TABLE).collect()
    assert faults(lake) == [(Cause.DAMAGED, f"{lake.path_below(part)} is missing")]


def test_a_damaged_manifest_is_a_reason_and_stops_no_survey(lake):
    (lake.folder(TABLE, CHUNK) / MANIFEST).write_text('{"half": ')
    versions = Versions(lake)
    assert versions.manifest(TABLE, CHUNK) is None
    (reason,) = versions.faults(TABLE, CHUNK)
    assert reason.cause is Cause.DAMAGED
    assert "is not a manifest" in reason.detail
    publish(lake, rows(100))
    assert faults(lake) == [], "making it again mends it"


def test_a_byte_changed_without_a_trace_is_found_by_its_digest_alone(lake):
    part = lake.part(TABLE, CHUNK)
    flip(part)
    assert faults(lake) == []
    assert "has other bytes" in damage.wrong_bytes(lake.root, lake.manifest(TABLE, CHUNK).parts[0])
    assert lake.intact(TABLE, CHUNK) is None


def test_files_that_were_copied_later_are_hashed_once_and_then_believed(lake, tmp_path, monkeypatch):
    """`cp -r` gives new times in any order; nothing is stale for that, and not every look hashes everything."""
    shutil.copytree(lake.root, tmp_path / "copy", copy_function=shutil.copyfile)
    copy, later = Lake(tmp_path / "copy"), time.time() + 5
    os.utime(copy.part(TABLE, CHUNK), (later, later))
    hashed = []
    real = damage.wrong_bytes
    monkeypatch.setattr(damage, "wrong_bytes", lambda *a: hashed.append(a) or real(*a))
    assert faults(copy) == []
    assert len(hashed) == 1
    os.utime(copy.part(TABLE, CHUNK), (time.time() - 5,) * 2)
    assert faults(copy) == []
    assert len(hashed) == 1
    flip(copy.part(TABLE, CHUNK))
    os.utime(copy.part(TABLE, CHUNK), (later, later))
    assert len(faults(copy)) == 1


def test_making_it_again_mends_a_damaged_file_of_the_same_name(lake):
    part = lake.part(TABLE, CHUNK)
    flip(part)
    publish(lake, rows(100))
    assert damage.wrong_bytes(lake.root, lake.manifest(TABLE, CHUNK).parts[0]) is None
    assert lake.part(TABLE, CHUNK) == part


def test_a_shard_that_was_cut_and_shards_that_were_replaced_are_reasons(tmp_path):
    lake = sixteen(tmp_path, n=4)
    build_shards(lake, SHARD_CHUNK, config=ShardConfig())
    over_all_shards(lake)
    assert faults(lake, SHARDS, SHARD_CHUNK) == faults(lake, RECIPE, "r") == []
    (entry,) = lake.manifest(SHARDS, SHARD_CHUNK).files
    os.truncate(lake.root / entry.path, 5000)
    assert faults(lake, SHARDS, SHARD_CHUNK) == [
        (Cause.DAMAGED, f"{entry.path} has 5,000 bytes, {entry.bytes:,} were written")
    ]
    build_shards(lake, SHARD_CHUNK, config=ShardConfig(seed=9))
    assert faults(lake, SHARDS, SHARD_CHUNK) == []
    assert faults(lake, RECIPE, "r") == [
        (Cause.INPUT_REPLACED, f"shards@{SHARD_CHUNK} was made again: this reads 1 shard of an earlier run")
    ]
    over_all_shards(lake)
    assert faults(lake, RECIPE, "r") == []


def test_bytes_that_are_no_pages_are_named_as_damage(lake):
    part = lake.part(TABLE, CHUNK)
    data = part.read_bytes()
    part.write_bytes(b"PAR1" + bytes(len(data) // 2) + data[4 + len(data) // 2 :])
    with pytest.raises(DamagedFile, match=rf"cannot be read .*makes article_xml@{CHUNK} again"):
        lake.read(TABLE, CHUNK)


def test_a_table_of_an_earlier_version_is_no_damage_but_out_of_date(lake):
    entry = lake.manifest(TABLE, CHUNK).parts[0]
    before = pl.read_parquet(lake.root / entry.path).drop("md5")
    before.write_parquet(lake.root / entry.path)
    size = (lake.root / entry.path).stat().st_size
    manifest = lake.folder(TABLE, CHUNK) / MANIFEST
    manifest.write_text(manifest.read_text().replace(f'"bytes": {entry.bytes}', f'"bytes": {size}'))
    with pytest.raises(StoreError, match=r"written with other columns than this version reads .*biomedica refresh"):
        lake.read(TABLE, CHUNK)
