"""Everything hashed: what is damaged is named with what makes it again, marked, and unmarked when it is whole."""

from __future__ import annotations

import hashlib

import pytest

from biomedica_assets.lib.lineage.stale import Cause, Versions
from biomedica_assets.lib.shards.config import ShardConfig
from biomedica_assets.lib.shards.stage import build_shards
from biomedica_assets.lib.store import fsck
from biomedica_assets.lib.store.lake import MANIFEST
from biomedica_assets.lib.store.owners import Owner
from biomedica_assets.lib.tables import IMAGES, SHARDS
from biomedica_assets_tests.lib.shards.test_stage import sixteen
from biomedica_assets_tests.lib.shards.world import CHUNK
from biomedica_assets_tests.lib.store.test_damage import flip


@pytest.fixture
def lake(tmp_path):
    lake = sixteen(tmp_path, n=4)
    build_shards(lake, CHUNK, config=ShardConfig())
    return lake


def test_nothing_is_wrong_with_what_was_just_written(lake):
    found = fsck.check(lake)
    assert found.faults == ()
    named = [e for _, m in _manifests(lake) for e in m.stored]
    assert found.files == len(named) + lake.read(IMAGES, CHUNK).height
    assert found.bytes == sum(e.bytes for e in named) + lake.read(IMAGES, CHUNK)["bytes"].sum()


def _manifests(lake):
    from biomedica_assets.lib.store import gc

    return gc.manifests(lake)


def test_each_damage_is_named_with_what_makes_it_again(lake):
    (shard,) = lake.manifest(SHARDS, CHUNK).files
    image = lake.read(IMAGES, CHUNK)["path"][0]
    part = lake.part(SHARDS, CHUNK)
    votes = lake.root / "annotations" / "votes" / "anna.jsonl"
    votes.parent.mkdir(parents=True)
    votes.write_text('{"vote": 1}\n{"vo\n')
    for path in (lake.root / shard.path, lake.root / image, part):
        flip(path)
    found = fsck.check(lake)
    assert {(fault.path, fault.owner) for fault in found.faults} == {
        (shard.path, Owner("shards", CHUNK)), (lake.path_below(part), Owner("shards", CHUNK)),
        (image, Owner("images", CHUNK)), ("annotations/votes/anna.jsonl", None),
    }  # fmt: skip
    assert found.partitions == [Owner("images", CHUNK), Owner("shards", CHUNK)]
    (lost,) = found.lost
    assert lost.what.startswith("has 1 lines that are no votes (line 2)")
    for table in (IMAGES, SHARDS):
        assert {reason.cause for reason in Versions(lake).faults(table, CHUNK)} == {Cause.DAMAGED}


def test_the_mark_goes_when_the_partition_is_made_again_or_found_whole(lake):
    (shard,) = lake.manifest(SHARDS, CHUNK).files
    data = (lake.root / shard.path).read_bytes()
    flip(lake.root / shard.path)
    fsck.check(lake)
    assert Versions(lake).faults(SHARDS, CHUNK)
    build_shards(lake, CHUNK, config=ShardConfig())
    assert Versions(lake).faults(SHARDS, CHUNK) == []
    assert (lake.root / shard.path).read_bytes() == data
    assert hashlib.sha256(data).hexdigest() == shard.sha256
    flip(lake.root / shard.path)
    fsck.check(lake)
    flip(lake.root / shard.path)
    assert Versions(lake).faults(SHARDS, CHUNK), "nobody has looked since"
    assert fsck.check(lake).faults == ()
    assert Versions(lake).faults(SHARDS, CHUNK) == []


def test_a_damaged_image_is_no_longer_believed_by_its_time(lake):
    """The mirror and `images` take a file of the size and time they know for verified, and would fetch nothing."""
    path = lake.root / lake.read(IMAGES, CHUNK)["path"][0]
    flip(path)
    before = (lake.folder(IMAGES, CHUNK) / MANIFEST).stat().st_mtime_ns
    fsck.check(lake)
    assert path.stat().st_mtime_ns > before


def test_a_damaged_manifest_is_damage_of_its_partition(lake):
    (lake.folder(SHARDS, CHUNK) / MANIFEST).write_text("{")
    (fault,) = fsck.check(lake).faults
    assert fault.owner == Owner("shards", CHUNK)
    assert "is not a manifest" in fault.what
