"""Real ``biomedica run`` and ``biomedica demo`` processes on a small mirror, and what they leave behind.

Belongs here: starting, killing and comparing. The faults themselves are in ``preload.c``.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import TABLES
from biomedica_assets_tests.support.garbage import take_out

SPINE = (
    "pmc_inventory", "article_index", "article_xml", "articles", "captions", "figures", "mentions", "images", "shards",
    "catalog",
)  # fmt: skip
SOURCE = Path(__file__).with_name("preload.c")
# Two chunks are enough to be killed in one of them; each further one costs a Dagster run of a second or two.
SPAN = 500_000
# Locks and Dagster's own files are no data; the mirror's ledger holds times of files; SQL views hold no rows.
NO_DATA = ("locks", "dagster_home", ".verified", "catalog.duckdb", "biomedica.toml")
# What a training took and where it ran stands beside its weights: seconds, processes, folders. So does its card, which
# is compared as far as it speaks of the weights: they are files of their own, and the table lists their digests.
RECORDS = ("cost.json", "events.jsonl", "output.log", "spec.json", "out.log", "params.txt", "README.md")
# The demo trains for a minute a recipe; this trains so briefly that starting the process is most of it.
PROFILE = """\
source: "ours: the shortest training that has a second epoch to resume at"
model: biomedica-demo
pretrained: null
batch_size: 32
learning_rate: 3.0e-3
warmup: 2
beta2: 0.98
weight_decay: 0.1
grad_clip_norm: 1.0
epochs: 3
precision: fp32
virtual_shards: 2
alphas: [0.5]
"""
ARTICLES = 52


class Course(enum.StrEnum):
    """What is run: the chunks from a mirror to their shards, or the demo with training, votes, scores and release."""

    SPINE = "spine"
    DEMO = "demo"


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a run ended."""

    code: int
    output: str
    seconds: float


def preload(folder: Path) -> Path | None:
    """The compiled fault library, None if there is no C compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return None
    library = folder / "preload.so"
    if not library.exists():
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True)
    return library


def environment(data: Path, library: Path | None = None, kind: str = "count", at: int = 0) -> dict[str, str]:
    """Environment of a run, with a fault at the ``at``-th change of a file if a library is given."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("BIOMEDICA_", "DAGSTER_"))}
    kept |= {"BIOMEDICA_CHUNK_SPAN": str(SPAN), "BIOMEDICA_WORKERS": "2", "OMP_NUM_THREADS": "1"}
    if library is not None:
        counter = data.parent / f"{data.name}.counter"
        counter.write_bytes(bytes(8))
        kept |= {
            "LD_PRELOAD": str(library), "FAULT_ROOT": str(data), "FAULT_COUNTER": str(counter), "FAULT_KIND": kind,
            "FAULT_AT": str(at),
        }  # fmt: skip
    return kept


def counted(data: Path) -> int:
    """How many changes of files the last run with a library made."""
    return int.from_bytes((data.parent / f"{data.name}.counter").read_bytes(), sys.byteorder)


def start(
    data: Path,
    mirror: Path,
    env: dict[str, str],
    course: Course = Course.SPINE,
    *,
    select: Sequence[str] = SPINE,
    chunks: Sequence[str] = (),
) -> subprocess.Popen[str]:
    """Start ``biomedica run``, or ``biomedica demo``, which invents its own mirror, in a process group of its own."""
    if course is Course.SPINE:
        arguments = ["run", "--data-dir", data, "--source", mirror, "--select", ",".join(select)]
        arguments += [word for chunk in chunks for word in ("--chunk", chunk)]
    else:
        (data / "profiles").mkdir(parents=True, exist_ok=True)
        (data / "profiles" / "demo.yaml").write_text(PROFILE)
        arguments = ["demo", "--data-dir", data, "--articles", ARTICLES]
    return _process(["biomedica_assets.cli", *map(str, arguments)], env, data.parent)


def materialise(data: Path, asset: str, chunk: str, env: dict[str, str]) -> subprocess.Popen[str]:
    """Start a Dagster run of one partition as the UI does: a process of its own, told nothing but the directory."""
    home = {
        "DAGSTER_HOME": str(data / "dagster_home"),
        "BIOMEDICA_DATA_DIR": str(data),
        "DAGSTER_DISABLE_TELEMETRY": "1",
    }
    arguments = ["--select", asset, "--partition", chunk, "-m", "biomedica_assets.definitions"]
    return _process(["dagster", "asset", "materialize", *arguments], env | home, data.parent)


def _process(module: list[str], env: dict[str, str], folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *module], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True, cwd=folder,
    )  # fmt: skip


def run(
    data: Path,
    mirror: Path,
    env: dict[str, str] | None = None,
    *,
    course: Course = Course.SPINE,
    kill_after: float | None = None,
) -> Ended:
    """Run to the end, or until it is killed after so many seconds, or by its fault."""
    began = time.monotonic()
    process = start(data, mirror, env or environment(data), course)
    try:
        output, _ = process.communicate(timeout=kill_after if kill_after is not None else 1800)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
    return Ended(process.returncode, output, time.monotonic() - began)


def digests(data: Path) -> dict[str, str]:
    """Digest of every file that is data, temporary ones included: none may be left over.

    What nothing refers to any more goes first: a rerun leaves the files that it replaced, a kill those it had begun.
    """
    lake = Lake(data)
    take_out(lake)
    files = (path for path in sorted(data.rglob("*")) if path.is_file() or path.is_symlink())
    return {
        path.relative_to(data).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if not set(NO_DATA) & set(path.relative_to(data).parts)
        and not (path.relative_to(data).parts[0] == "checkpoints" and path.name in RECORDS)
    }


def rows_apart(reference: Path, found: Path) -> tuple[int, int]:
    """Rows of the reference that are lost, and rows that are wrong (not in the reference), over all tables."""
    lost = wrong = 0
    before, after = Lake(reference), Lake(found)
    for table in TABLES.values():
        for key in {*before.partitions(table), *after.partitions(table)} if table.partitioning != "none" else {None}:
            old, new = (
                lake.read(table, key) if lake.manifest(table, key) else table.empty() for lake in (before, after)
            )
            if not old.equals(new):
                a, b = (pl.Series([repr(row) for row in frame.iter_rows()], dtype=pl.String) for frame in (old, new))
                lost += a.filter(~a.is_in(b.implode())).len()
                wrong += b.filter(~b.is_in(a.implode())).len()
    return lost, wrong
