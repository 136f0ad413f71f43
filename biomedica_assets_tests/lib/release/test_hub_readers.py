"""A release on the Hub, read by what people read the Hub with, by their own clients.

DuckDB is not among them: it reads the Hub with an extension that it downloads, which not every machine may.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from biomedica_assets.lib.release.manifest import load
from biomedica_assets_tests.support.hub import WRITER, Hub

pytestmark = pytest.mark.full  # processes of their own, which import datasets

REPO = "lab/figures"
BY_DATASETS = """
import datasets, json, os, sys
name, streaming = sys.argv[1:]
found = datasets.load_dataset(REPO, name or None, streaming=streaming == "streamed")
rows = {split: sum(1 for _ in part) for split, part in found.items()}
first = next(iter(next(iter(found.values()))))
print(json.dumps([sum(rows.values()), "image" in first and first["image"].size[0] > 0]), flush=True)
# Threads that read ahead may outlive the interpreter, and abort the process after its work ("terminate called").
os._exit(0)
"""
BY_POLARS = """
import json, os, polars as pl
place = f"{os.environ['HF_ENDPOINT']}/datasets/{REPO}/resolve/main/"
rows = [pl.scan_parquet(place + path).select(pl.len()).collect().item() for path in json.loads(sys.argv[1])]
print(json.dumps([sum(rows), False]))
"""


@pytest.fixture(scope="module")
def hub(release):
    """One that has it, for everyone."""
    with Hub() as served:
        repo = served.add(REPO, private=False)
        for path in release.rglob("*"):
            if path.is_file():
                repo.files[path.relative_to(release).as_posix()] = path.read_bytes()
        repo.keep("a release", [])
        yield served


def run(code, hub, tmp_path, *arguments):
    environment = {
        **os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path), "HF_TOKEN": WRITER,
        "HF_HUB_DISABLE_XET": "1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\nREPO = {REPO!r}\n{code}", *arguments],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("how", ["copied", "streamed"])
@pytest.mark.parametrize("name", ["", "pairs_commercial", "articles"])
def test_datasets(hub, release, tmp_path, name, how):
    rows, shown = run(BY_DATASETS, hub, tmp_path, name, how)
    counts = load(release).counts
    assert rows == {"": counts["samples"], "articles": counts["articles"]}.get(name, rows) > 0
    assert shown == (name != "articles")


def test_polars_by_address(hub, release, tmp_path):
    paths = [file.path for file in load(release).files if file.path.startswith("data/articles/")]
    assert run(BY_POLARS, hub, tmp_path, json.dumps(paths))[0] == load(release).counts["articles"]
