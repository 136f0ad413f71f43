"""A model is trained from a release over HTTP by a machine that has nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.stream.index import Index
from biomedica_assets.lib.tables import CHECKPOINTS
from biomedica_assets_tests.lib.clip.test_training import MICRO

pytestmark = pytest.mark.full  # a training takes a minute

PROFILE = """
source: tests
model: micro
pretrained: null
batch_size: {batch}
learning_rate: 1.0e-3
epochs: 1
precision: fp32
context_length: 77
image_size: 24
alphas: [0.5]
"""


def train(place, out, *more, batch=16):
    (out / "models").mkdir(parents=True, exist_ok=True)
    (out / "profiles").mkdir(exist_ok=True)
    (out / "models" / "micro.json").write_text(json.dumps(MICRO))
    (out / "profiles" / "micro.yaml").write_text(PROFILE.format(batch=batch))
    command = [sys.executable, "-m", "biomedica_assets.cli", "train", place, "--profile", "micro", *more]
    environment = {
        **os.environ,
        "BIOMEDICA_DEVICE": "cpu",
        "BIOMEDICA_LOADER_WORKERS": "1",
    }
    return subprocess.run(
        [*command, "--data-dir", str(out)], env=environment, capture_output=True, text=True, check=False
    )


def numbers(text):
    """Of the last two lines that the command prints."""
    *_, learned, memory = text.splitlines()
    names = ("learned", "fetched", "bytes", "cached", "skipped")
    found = dict(zip(names, (int(n.replace(",", "")) for n in re.findall(r"[\d,]*\d", learned)), strict=True))
    return found | {"peak_mb": int(re.search(r"training ([\d,]+) MB", memory)[1].replace(",", ""))}


@pytest.mark.parametrize("place", ["http"], indirect=True)
def test_three_steps_from_a_release_over_http(place, with_recipe, tmp_path):
    """What came was used, but for what lies between samples, and what two parts of the training use came once."""
    address, served = place
    index = Index(with_recipe / "recipes" / "full.index")
    batch = -(-index.split("train").entries // 3)
    out, cache = tmp_path / "out", ("--cache", str(tmp_path / "cache"))
    done = train(address, out, *cache, batch=batch)
    assert done.returncode == 0, done.stderr[-3000:]
    found = Lake(out).read(CHECKPOINTS, "full")
    assert set(found["role"]) == {"base", "interpolated", "trained"}
    assert all((out / path).is_file() for path in found["path"])
    told = numbers(done.stdout)
    assert told["learned"] == 3 * batch
    held_out = index.split("validation").bytes
    assert told["bytes"] >= index.split("train").bytes + held_out
    assert 0.9 * (index.split("train").bytes + held_out) < told["fetched"] <= sum(served.sent)
    assert told["fetched"] <= 1.05 * told["bytes"]
    assert told["skipped"] == 0 and told["peak_mb"] > 50


def test_a_folder_with_shards_of_its_own_is_not_trained_into(lake, with_recipe, tmp_path):
    shutil.copytree(lake.root / "tables" / "shards", tmp_path / "tables" / "shards")
    done = train(str(with_recipe), tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "has shards of its own" in line


def test_a_batch_larger_than_the_split_is_one_line(with_recipe, tmp_path):
    done = train(str(with_recipe), tmp_path / "out", batch=100_000)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "100" in done.stderr.splitlines()[-1]
