"""A chunk is made again, and what nothing names removed, while others read what was there: they end as they began."""

from __future__ import annotations

import dataclasses
import json

import pytest

from biomedica_assets.lib.clip import stage, training
from biomedica_assets.lib.progress import Progress
from biomedica_assets.lib.shards.config import ShardConfig
from biomedica_assets.lib.shards.stage import build_shards
from biomedica_assets.lib.store import lease
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.store.named import plain
from biomedica_assets.lib.stream.export import export
from biomedica_assets.lib.stream.find import find_index
from biomedica_assets.lib.stream.index import Index
from biomedica_assets.lib.stream.urls import pipe_pattern
from biomedica_assets.lib.stream.virtual import Selection, chunks, open_source
from biomedica_assets.lib.tables import CHECKPOINTS, SHARDS
from biomedica_assets_tests.lib.clip.test_stage import PROFILE
from biomedica_assets_tests.lib.clip.test_training import CPU, MICRO
from biomedica_assets_tests.lib.shards.test_stage import IMAGES_16
from biomedica_assets_tests.lib.shards.world import CHUNK, World
from biomedica_assets_tests.support.garbage import take_out
from biomedica_assets_tests.support.recipes import over_all_shards

SAMPLES = 48
LONG = dataclasses.replace(PROFILE, epochs=6)
"""Epochs enough that some begin after the first has been told of: each opens all shards anew, by path."""


def make(root, caption: str) -> Lake:
    """A chunk with its shards, one sample in each: more than a reader opens ahead."""
    world = World(root)
    for i in range(SAMPLES):
        world.add(f"pmc7-f{i}", [IMAGES_16[i % 16]], caption=f"{caption} {i}.")
    lake = world.publish()
    build_shards(lake, CHUNK, config=ShardConfig(max_samples=1))
    return lake


def make_again(lake: Lake) -> None:
    """What a corrected caption brings: other shards, the recipe over them, and the old ones cleaned away."""
    old = {entry.path for entry in lake.manifest(SHARDS, CHUNK).files}
    make(lake.root, "Corrected")
    over_all_shards(lake, "full")
    take_out(lake)
    assert not old & {entry.path for entry in lake.manifest(SHARDS, CHUNK).files}


class Once(Progress):
    """Does something at the first step of a long work."""

    def __init__(self, do) -> None:
        self._do = do

    def start(self, what, total, unit):
        pass

    def advance(self, n=1):
        if n:
            do, self._do = self._do, lambda: None
            do()

    def finish(self):
        pass


@pytest.fixture
def lake(tmp_path):
    lake = make(tmp_path / "data", "Original")
    over_all_shards(lake, "full")
    return lake


def streamed(index: Index, lake: Lake, meanwhile=lambda: None) -> bytes:
    pieces = chunks(index, open_source(index, str(lake.root)), Selection(split="train", of=1))
    first = bytes(next(pieces))
    meanwhile()
    return first + b"".join(map(bytes, pieces))


def test_a_stream_ends_with_the_bytes_it_began_with(lake):
    index = Index(find_index(lake.root, "full"))
    before = streamed(index, lake)
    assert streamed(index, lake, lambda: make_again(lake)) == before
    index.close()
    anew = Index(find_index(lake.root, "full"))
    assert b"Corrected" in streamed(anew, lake)
    anew.close()
    assert any(path.endswith(".tar") for path in take_out(lake)), "nobody reads the old ones any more"


def test_an_export_ends_with_the_bytes_it_began_with(lake, tmp_path):
    index, wanted = Index(find_index(lake.root, "full")), Selection(split="train", of=3)
    before = export(index, str(lake.root), tmp_path / "before", wanted)
    during = export(index, str(lake.root), tmp_path / "during", wanted, progress=Once(lambda: make_again(lake)))
    assert len(during) == 3
    assert during == before
    index.close()


def train(lake: Lake, root, progress=None):
    def data(workers):
        index, wanted = find_index(lake.root, "full"), Selection(split="train", of=2)
        return training.TrainingData(pipe_pattern(index, str(lake.root), wanted, 2), SAMPLES, 2)

    more = {"progress": progress} if progress else {}
    with lease.hold(lake.root, [CHECKPOINTS.name], "full"):  # as every step does
        stage.build_checkpoints(
            lake, "full", profile=LONG, data=data, device=CPU, model_folder=root,
            validate=lambda candidate: {"recall_at_1": candidate.alpha}, **more,
        )  # fmt: skip
    return {plain(entry.path): entry.sha256 for entry in lake.manifest(CHECKPOINTS, "full").files}


@pytest.mark.full
def test_a_training_ends_with_the_weights_of_what_it_began_with(lake, tmp_path):
    """Its later epochs open all shards anew, by path, after they were replaced."""
    (tmp_path / "micro.json").write_text(json.dumps(MICRO))
    undisturbed = make(tmp_path / "other", "Original")
    over_all_shards(undisturbed, "full")
    expected = train(undisturbed, tmp_path)
    happened = []
    assert train(lake, tmp_path, Once(lambda: happened.append(make_again(lake)))) == expected
    assert happened == [None]
    assert b"Corrected" not in find_index(undisturbed.root, "full").read_bytes()
