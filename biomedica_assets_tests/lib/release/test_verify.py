"""Whatever is done to a release is named."""

from __future__ import annotations

import json

import pytest

from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.release.manifest import load
from biomedica_assets.lib.release.verify import verify


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
