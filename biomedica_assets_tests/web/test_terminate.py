"""Terminate pressed in the UI of a running training: no process stays, the checkpoint does, the next run goes on."""

from __future__ import annotations

import contextlib
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from biomedica_assets.lib.clip import interpolate, training
from biomedica_assets.lib.store.lake import Lake, file_entry
from biomedica_assets.lib.stream import index
from biomedica_assets.lib.tables import CHECKPOINTS
from biomedica_assets_tests.lib.clip.test_training import MICRO, draw_shards, processes
from biomedica_assets_tests.lib.lineage import world
from biomedica_assets_tests.web.dagster_ui import DagsterUi, until

pytestmark = pytest.mark.full  # a training under a real daemon

PROFILE = (
    "model: micro\npretrained: null\nbatch_size: 8\nlearning_rate: 1.0e-3\nepochs: 2\nalphas: [0.5]\nsource: tests\n"
)
SETTINGS = 'training_profile = "micro"\ndevice = "cpu"\nloader_workers = 1\nworkers = 1\nmax_pmcid = 19999\n'
# Imported by every Python process: the streams of the second epoch tell that they were opened, and hold back.
GATE = """
import os, pathlib, sys, time
epoch = sys.orig_argv.index("--epoch") + 1 if "--epoch" in sys.orig_argv else 0
if "stream" in sys.orig_argv and epoch and sys.orig_argv[epoch] == "1":
    here = pathlib.Path(__file__).parent
    (here / "reached").touch()
    while (here / "held").exists():
        time.sleep(0.05)
"""
TERMINATE = """mutation($id:String!){terminateRun(runId:$id,terminatePolicy:SAFE_TERMINATE){__typename
... on TerminateRunFailure{message}}}"""


def prepare(root: Path) -> Lake:
    """A data directory whose recipe ``full`` has 28 samples to train on and 4 to validate with."""
    draw_shards(root)
    lake = Lake(root / "data")
    for name in ("shards", "models", "profiles", "recipes", "images"):
        (lake.root / name).mkdir(parents=True)
    (lake.root / "biomedica.toml").write_text(f"chunk_span = 20000\n{SETTINGS}")
    (lake.root / "models" / "micro.json").write_text(json.dumps(MICRO))
    (lake.root / "profiles" / "micro.yaml").write_text(PROFILE)
    samples, spans, shards = [], {"train": [], "validation": []}, []
    for number in range(2):
        path = (root / f"s{number}.tar").rename(lake.root / "shards" / f"s{number}.tar")
        shards.append((lake.path_below(path), path.stat().st_size, "png"))
        with tarfile.open(path) as tar:
            pictures = [member for member in tar if member.name.endswith(".png")]
            ends = [*(member.offset for member in pictures[1:]), tar.offset]
            for member, end in zip(pictures, ends, strict=True):
                key = member.name.removesuffix(".png")
                image = lake.root / "images" / member.name
                image.write_bytes(tar.extractfile(member).read())
                ids = {"sample_key": key, "media_id": key, "figure_id": key, "article_id": f"PMC{len(samples)}.1"}
                split = "validation" if len(samples) % 8 == 7 else "train"
                more = {"image_ext": "png", "path": lake.path_below(image), "caption": f"figure {key}"}
                samples.append(ids | more | {"split": split, "repeat": 1})
                spans[split].append((number, member.offset, end, 1, 0))
    for name in ("shards", "images", "captions"):
        columns = world.TABLES[name].schema
        rows = [{k: v for k, v in sample.items() if k in columns} for sample in samples]
        world.publish(lake, name, world.CHUNK, *rows)
    splits = {
        split: dict(zip(("shard", "start", "end", "repeat", "check"), np.array(found, dtype=np.int64).T, strict=True))
        for split, found in spans.items()
    }
    path = lake.root / "recipes" / "full.index"
    index.write(path, recipe="full", seed=0, shards=shards, splits=splits)
    columns = world.TABLES["recipe"].schema
    rows = [{k: v for k, v in sample.items() if k in columns} for sample in samples]
    world.publish(lake, "recipe", "full", *rows, files=[file_entry(lake, path)])
    return lake


@pytest.fixture
def gate(tmp_path):
    """Folder of the gate; it opens at the end, so that a process that was left over ends."""
    folder = tmp_path / "gate"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(GATE)
    (folder / "held").touch()
    yield folder
    (folder / "held").unlink(missing_ok=True)


def test_a_training_terminated_in_the_ui_leaves_its_checkpoint_and_no_process(tmp_path, gate):
    lake = prepare(tmp_path)
    with contextlib.closing(DagsterUi(lake.root, tmp_path / "ui.log", {"PYTHONPATH": str(gate)})) as ui:

        def training_processes() -> list[str]:
            """Trainer and loaders name the run's folder, the commands of streams the recipe's index."""
            return [*processes(lake.root / "checkpoints"), *processes(lake.root / "recipes")]

        run = ui.launch(assets=["checkpoints"], partition="full")

        def waits_in_second_epoch() -> bool:
            assert ui.status(run) not in ("SUCCESS", "FAILURE", "CANCELED"), (tmp_path / "ui.log").read_text()
            return (gate / "reached").exists()

        until(waits_in_second_epoch, "the second epoch opens its streams")
        (folder,) = (path for path in (lake.root / "checkpoints" / "full").iterdir() if path.is_dir())
        latest = folder / "run" / "checkpoints" / "epoch_latest.pt"
        assert training.Told.read(folder).steps
        # the trainer, its loader and at least one command that the gate holds
        assert len(training_processes()) >= 3

        got = ui.ask(TERMINATE, id=run)["terminateRun"]
        assert got["__typename"] == "TerminateRunSuccess", got
        assert ui.ended(run) == "CANCELED"
        assert training_processes() == []
        assert interpolate.load_training_checkpoint(latest)[0] == 1
        assert lake.manifest(CHECKPOINTS, "full") is None

        (gate / "held").unlink()
        assert ui.ended(ui.launch(assets=["checkpoints"], partition="full")) == "SUCCESS", (
            tmp_path / "ui.log"
        ).read_text()
        assert training_processes() == []
    events = [json.loads(line) for line in (folder / training.EVENTS).read_text().splitlines()]
    assert [event["epoch"] for event in events if event["kind"] == "epoch"] == [0, 1]
    assert lake.manifest(CHECKPOINTS, "full").metrics["samples_seen"] == 2 * 32
    assert set(lake.read(CHECKPOINTS, "full")["role"]) == {"base", "interpolated", "trained"}
