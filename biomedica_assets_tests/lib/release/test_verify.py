"""Whatever is done to a release is named."""

from __future__ import annotations

import json
import shutil

import pytest

from biomedica_assets.lib.errors import PermanentFailure, StoreError
from biomedica_assets.lib.lineage.stale import Cause, Versions
from biomedica_assets.lib.release import history
from biomedica_assets.lib.release.manifest import load
from biomedica_assets.lib.release.stage import ReleaseConfig
from biomedica_assets.lib.release.verify import verify
from biomedica_assets.lib.store import fsck
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.store.owners import Owner
from biomedica_assets.lib.tables import RELEASE
from biomedica_assets_tests.lib.release import lakes
from biomedica_assets_tests.lib.store.test_damage import flip

FIRST = ReleaseConfig(version="first", pairs=False)


def named(release):
    return [(str(d.kind), d.path) for d in verify(release)]


def test_every_single_file_is_watched(copy):
    for file in load(copy).files:
        path = copy / file.path
        good = path.read_bytes()
        path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        assert named(copy) == [("changed", file.path)]
        path.write_bytes(good)
        if file.kind != "shard":
            continue
        path.unlink()
        assert named(copy) == [("missing", file.path)]
        path.write_bytes(good)
    assert named(copy) == []


def test_a_file_too_many_is_named(copy):
    (copy / "shards" / "extra.tar").write_bytes(b"")
    assert named(copy) == [("surplus", "shards/extra.tar")]


def test_a_manifest_cannot_point_outside(copy):
    manifest = json.loads((copy / "MANIFEST.json").read_text())
    manifest["files"].append({"path": "../x", "kind": "table", "bytes": 1, "sha256": "0", "rows": None})
    (copy / "MANIFEST.json").write_text(json.dumps(manifest))
    assert named(copy) == [("changed", "../x")]


@pytest.mark.parametrize("content", [None, "{}", "no json", '{"format": "something-else"}'])
def test_what_is_no_release_is_said_to_be_none(tmp_path, content):
    if content is not None:
        (tmp_path / "MANIFEST.json").write_text(content)
    with pytest.raises(StoreError, match=r"release"):
        verify(tmp_path)


@pytest.fixture
def own(lake, tmp_path):
    """A lake of the test's own, and its release, published last whatever was before."""
    own = Lake(shutil.copytree(lake.root, tmp_path / "data", copy_function=shutil.copy2))
    return own, lakes.release(own, FIRST)


def test_a_damaged_file_of_a_release_is_damage_of_the_release_and_made_again(own):
    """A cut file is seen at a glance, a flipped byte by ``fsck``; the partition that makes it again is the release."""
    own, folder = own
    captions, card = folder / next(f.path for f in load(folder).files if "captions" in f.path), folder / "README.md"
    good = {path: path.read_bytes() for path in (captions, card)}
    assert Versions(own).faults(RELEASE, None) == [] and fsck.check(own).faults == ()

    flip(captions)
    found = fsck.check(own)
    assert [(fault.path, fault.owner) for fault in found.faults] == [
        (own.path_below(captions), Owner(RELEASE.name, None))
    ]
    assert {reason.cause for reason in Versions(own).faults(RELEASE, None)} == {Cause.DAMAGED}
    assert lakes.release(own, FIRST) == folder
    assert captions.read_bytes() == good[captions] and fsck.check(own).faults == ()

    card.write_bytes(good[card][:-100])
    assert {reason.cause for reason in Versions(own).faults(RELEASE, None)} == {Cause.DAMAGED}
    assert lakes.release(own, FIRST) == folder
    assert card.read_bytes() == good[card] and verify(folder) == []


def test_a_damaged_release_is_made_again_against_the_one_before_it(own, tmp_path):
    """The release published last is the damaged one itself: to compare with that would call everything unchanged."""
    own, first = own
    config = ReleaseConfig(version="second", pairs=False)
    second = lakes.release(own, config)
    assert load(second).before["version"] == first.name
    good = {path: path.read_bytes() for path in second.rglob("*") if path.is_file()}
    (second / "notes.txt").write_text("somebody's own")
    flip(second / "CHANGES.md")
    (second / "withdrawn.parquet").unlink()
    assert lakes.release(own, config) == second
    assert {path: path.read_bytes() for path in good} == good and (second / "notes.txt").exists()

    flip(second / "CHANGES.md")
    first.rename(tmp_path / "elsewhere")
    with pytest.raises(PermanentFailure, match=f"second is damaged .*{first.name}, the release before it, is gone"):
        lakes.release(own, config)


@pytest.mark.parametrize("content", ["{", "{}"])
def test_a_damaged_manifest_of_a_release_is_named_with_the_way_out(tmp_path, content):
    folder = tmp_path / "release" / "2026-11-28"
    folder.mkdir(parents=True)
    (folder / "MANIFEST.json").write_text(content)
    with pytest.raises(PermanentFailure, match=rf"{folder}/MANIFEST.json is damaged .* from a copy .* move"):
        history.same(folder.parent, "made-of", str)
