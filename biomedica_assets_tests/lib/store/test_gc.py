"""What is taken away: exactly what nothing and nobody refers to any more."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.shards.config import ShardConfig
from biomedica_assets.lib.shards.stage import build_shards
from biomedica_assets.lib.store import gc, lease
from biomedica_assets.lib.store.damage import wrong_bytes
from biomedica_assets.lib.store.lake import MANIFEST, Lake
from biomedica_assets.lib.stream.failures import StreamError
from biomedica_assets.lib.stream.find import find_index
from biomedica_assets.lib.stream.index import Index
from biomedica_assets.lib.stream.virtual import Selection, chunks, open_source
from biomedica_assets.lib.tables import RECIPE, SHARDS
from biomedica_assets_tests.lib.shards.test_stage import sixteen
from biomedica_assets_tests.lib.shards.world import CHUNK
from biomedica_assets_tests.lib.store.test_lake import TABLE, publish, rows
from biomedica_assets_tests.support.garbage import take_out
from biomedica_assets_tests.support.recipes import over_all_shards


def shards(lake: Lake) -> set[str]:
    return {entry.path for entry in lake.manifest(SHARDS, CHUNK).files}


@pytest.fixture
def lake(tmp_path):
    lake = sixteen(tmp_path, n=6)
    build_shards(lake, CHUNK, config=ShardConfig())
    over_all_shards(lake)
    return lake


def replace_shards(lake: Lake, seed: int = 5) -> set[str]:
    """Make the shards again with other bytes; returns the paths of the old ones."""
    old = shards(lake)
    build_shards(lake, CHUNK, config=ShardConfig(seed=seed))
    assert not old & shards(lake)
    return old


def test_nothing_of_a_fresh_directory_is_garbage(lake):
    assert gc.survey(lake, grace=0) == gc.Survey((), {})


def test_shards_stay_as_long_as_a_recipe_names_them_and_go_with_it(lake):
    old = replace_shards(lake)
    part = {path for path in take_out(lake) if path.startswith("tables/")}
    assert part, "the table of the earlier run"
    assert all((lake.root / path).exists() for path in old)
    index = over_all_shards(lake)
    removed = take_out(lake)
    assert old < removed
    assert {path for path in removed if path.endswith(".index")} != {index}
    assert shards(lake) | {index} <= {lake.path_below(p) for p in lake.root.rglob("*") if p.is_file()}


def test_a_look_changes_nothing_and_says_what_would_be_freed(lake):
    old = replace_shards(lake)
    over_all_shards(lake)
    before = {path: path.stat().st_mtime_ns for path in lake.root.rglob("*") if path.is_file()}
    found = gc.survey(lake, grace=0)
    assert old < {one.path for one in found.garbage}
    assert found.bytes == sum((lake.root / one.path).stat().st_size for one in found.garbage)
    assert {path: path.stat().st_mtime_ns for path in lake.root.rglob("*") if path.is_file()} == before


def test_a_reader_of_an_old_index_keeps_it_and_its_shards(lake):
    """Streams open shard after shard by path: what an index names has to stay until the last of them is done."""
    index = Index(find_index(lake.root, "r"))
    old = replace_shards(lake)
    over_all_shards(lake)
    assert not (old | {lake.path_below(index.path)}) & take_out(lake)
    assert gc.survey(lake, grace=0).waiting[lake.path_below(index.path)] == "is being read"
    index.close()
    assert old | {lake.path_below(index.path)} <= take_out(lake)


def test_an_index_that_was_read_within_the_grace_time_stays(lake):
    """Between one virtual shard and the next of somebody's own training nobody holds the index."""
    path = find_index(lake.root, "r")
    replace_shards(lake)
    over_all_shards(lake)
    long_ago = time.time() - 10_000
    for file in [p for p in lake.root.rglob("*") if p.is_file() and "locks" not in p.parts]:
        os.utime(file, (long_ago, long_ago))
    index = Index(path)
    index.close()
    found = gc.survey(lake, grace=3600)
    assert found.waiting[lake.path_below(path)] == "was read too recently"
    os.utime(path, (long_ago, long_ago))
    assert lake.path_below(path) in {one.path for one in gc.survey(lake, grace=3600).garbage}


def test_what_was_replaced_a_moment_ago_waits(lake):
    replace_shards(lake)
    found = gc.survey(lake, grace=3600)
    assert found.garbage == ()
    assert set(found.waiting.values()) == {"was replaced too recently for what may be reading it"}
    assert gc.remove(lake, found).garbage == ()


def holder(root, asset, partition):
    """Another process that holds a lease until it is told to end."""
    program = (
        "import sys; from pathlib import Path; from biomedica_assets.lib.store import lease\n"
        "with lease.hold(Path(sys.argv[1]), [sys.argv[2]], sys.argv[3]): print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(root), asset, partition], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"held\n"
    return process


def test_a_process_that_began_before_a_file_was_replaced_keeps_it(lake):
    """It may have read the earlier manifest and not have opened the files yet."""
    process = holder(lake.root, "embeddings", "PMC009-0000")
    try:
        time.sleep(0.05)
        replace_shards(lake)
        assert take_out(lake) == set()
    finally:
        process.communicate()
    assert take_out(lake) != set()


def test_what_is_being_made_is_left_alone(lake):
    (lake.root / "shards" / "commercial" / f"{CHUNK}-jpg-000009-0123456789ab.tar").write_bytes(b"not in a manifest yet")
    process = holder(lake.root, "shards", CHUNK)
    try:
        assert f"shards@{CHUNK} is being made" in gc.survey(lake, grace=0).waiting.values()
        assert take_out(lake) == set()
    finally:
        process.communicate()
    assert len(take_out(lake)) == 1


def test_what_a_writer_names_again_between_the_look_and_the_removal_stays(lake, monkeypatch):
    old = replace_shards(lake)
    over_all_shards(lake)
    found = gc.survey(lake, grace=0)
    build_shards(lake, CHUNK, config=ShardConfig())  # gives the old shards their names again
    assert shards(lake) == old
    removed = gc.remove(lake, found, grace=0)
    assert not old & {one.path for one in removed.garbage}
    assert all(wrong_bytes(lake.root, entry) is None for entry in lake.manifest(SHARDS, CHUNK).files)


def test_a_shard_that_a_release_links_to_frees_nothing(lake):
    old = replace_shards(lake)
    over_all_shards(lake)
    for path in old:
        (lake.root / "release" / "v" / path).parent.mkdir(parents=True, exist_ok=True)
        os.link(lake.root / path, lake.root / "release" / "v" / path)
    found = gc.survey(lake, grace=0)
    assert [one.bytes for one in found.garbage if one.path in old] == [0] * len(old)
    take_out(lake)
    assert all((lake.root / "release" / "v" / path).exists() for path in old)


def test_a_shard_that_a_release_points_to_stays(lake):
    """Where the file system has no hard links a release holds a symbolic one."""
    old = replace_shards(lake)
    over_all_shards(lake)
    for path in old:
        link = lake.root / "release" / "v" / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(lake.root / path, link.parent))
    assert not old & take_out(lake)


def test_files_of_people_are_nobodys_garbage(lake):
    kept = [
        "annotations/votes/a.jsonl",
        "recipes/mine.yaml",
        "biomedica.toml",
        "source/x",
        "models/mine.bin",
        "notes.txt",
    ]
    for path in kept:
        (lake.root / path).parent.mkdir(parents=True, exist_ok=True)
        (lake.root / path).write_text("mine")
    take_out(lake)
    assert all((lake.root / path).read_text() == "mine" for path in kept)


def test_with_a_damaged_manifest_nothing_is_called_garbage(lake):
    replace_shards(lake)
    (lake.folder(RECIPE, "r") / MANIFEST).write_text("{")
    with pytest.raises(StoreError, match="is not a manifest"):
        gc.survey(lake, grace=0)


STEPS = st.lists(st.sampled_from(["shards", "recipe", "open", "close", "die", "sweep"]), min_size=1, max_size=12)


@settings(max_examples=12, deadline=None)
@given(STEPS, st.integers(0, 3))
def test_whatever_happens_in_which_order_nothing_that_is_referred_to_goes(tmp_path_factory, steps, seed):
    """Reruns, deaths before the manifest, readers that come and go: what is named or being read is whole."""
    lake = sixteen(tmp_path_factory.mktemp("w"), n=3)
    build_shards(lake, CHUNK, config=ShardConfig())
    over_all_shards(lake)
    rng, readers = random.Random(seed), []
    try:
        for step in [*steps, "sweep"]:
            match step:
                case "shards":
                    build_shards(lake, CHUNK, config=ShardConfig(seed=rng.randrange(4)))
                case "recipe":
                    over_all_shards(lake)
                case "open":
                    index = Index(find_index(lake.root, "r"))
                    content = {s.path: (lake.root / s.path).read_bytes() for s in index.shards}
                    readers.append((index, content))
                case "close" if readers:
                    readers.pop(rng.randrange(len(readers)))[0].close()
                case "die":
                    with pytest.MonkeyPatch.context() as patch:
                        patch.setattr(Lake, "publish", _dies)
                        with contextlib.suppress(KeyboardInterrupt):
                            build_shards(lake, CHUNK, config=ShardConfig(seed=rng.randrange(4)))
                case "sweep":
                    take_out(lake)
                case _:
                    continue
            for _, manifest in gc.manifests(lake):
                assert [entry.path for entry in manifest.stored if wrong_bytes(lake.root, entry)] == []
            named = Index(find_index(lake.root, "r"))
            assert all((lake.root / shard.path).exists() for shard in named.shards)
            named.close()
            for _, content in readers:
                assert all((lake.root / path).read_bytes() == data for path, data in content.items())
    finally:
        for index, _ in readers:
            index.close()
    living = {entry.path for _, manifest in gc.manifests(lake) for entry in manifest.stored}
    over_all_shards(lake)
    take_out(lake)
    on_disk = {lake.path_below(p) for f in ("shards", "recipes") for p in (lake.root / f).rglob("*") if p.is_file()}
    assert on_disk - living <= {lake.path_below(find_index(lake.root, "r"))}, "in the end nothing else is left"


def _dies(*_args, **_more):
    raise KeyboardInterrupt


def test_held_leases_are_told_with_their_time_and_looking_hinders_nobody(tmp_path):
    began = time.time()
    with lease.hold(tmp_path, ["shards", "images"], CHUNK), lease.hold(tmp_path, ["catalog"], None):
        found = lease.held(tmp_path)
    assert set(found) == {f"shards@{CHUNK}", f"images@{CHUNK}", "catalog"}
    assert all(began - 1 <= at <= time.time() for at in found.values())
    assert lease.held(tmp_path) == {}


def test_parts_of_a_partition_that_was_taken_away_go(tmp_path):
    lake = Lake(tmp_path)
    publish(lake, rows(3))
    lake.remove(TABLE, "PMC007-0360")
    assert len(take_out(lake)) == 1
    assert lake.partitions(TABLE) == []


def test_a_stream_over_shards_that_are_gone_says_what_mends_it(lake):
    """Other shards than those it was built from are no cure for a recipe: it has to be built again."""
    index = Index(find_index(lake.root, "r"))
    wanted, (path,) = Selection(split="train", of=1), shards(lake)

    def says():
        with pytest.raises(StreamError) as error:
            b"".join(map(bytes, chunks(index, open_source(index, str(lake.root)), wanted)))
        return str(error.value)

    os.truncate(lake.root / path, 5000)
    assert "is damaged: it has 5,000 bytes" in says()
    assert f"`biomedica run --select shards --chunk {CHUNK}`; the recipe stays as it is" in says()
    replace_shards(lake)
    (lake.root / path).unlink()
    assert "Build the recipe again (`biomedica run --select recipe`)" in says()
    index.close()


def test_an_index_in_use_that_cannot_be_read_keeps_every_shard(lake):
    """It may point into any of them; one of another version was taken for one that points nowhere, and they went."""
    old = replace_shards(lake)
    (path,) = lake.manifest(RECIPE, "r").files
    whole = (lake.root / path.path).read_bytes()
    (lake.root / path.path).write_bytes(b"BMSHARD9" + whole[8:])
    assert not old & take_out(lake)
    (lake.root / path.path).write_bytes(whole)
    assert not old & take_out(lake)
    over_all_shards(lake)
    assert old < take_out(lake)
