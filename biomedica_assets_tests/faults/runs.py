"""Real ``biomedica run`` processes on a small mirror, and what they leave behind.

Belongs here: starting, killing and comparing. The faults themselves are in ``preload.c``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl

from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import TABLES

SPINE = (
    "pmc_inventory", "article_index", "article_xml", "articles", "captions", "figures", "mentions", "images", "shards",
    "catalog",
)  # fmt: skip
SOURCE = Path(__file__).with_name("preload.c")
# Two chunks are enough to be killed in one of them; each further one costs a Dagster run of a second or two.
SPAN = 500_000
# Locks and Dagster's own files are no data; the mirror's ledger holds times of files; SQL views hold no rows.
NO_DATA = ("locks", "dagster_home", ".verified", "catalog.duckdb", "biomedica.toml")


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


def start(data: Path, mirror: Path, env: dict[str, str], *, select: str = ",".join(SPINE)) -> subprocess.Popen[str]:
    """Start ``biomedica run`` in a process group of its own."""
    command = [sys.executable, "-m", "biomedica_assets.cli", "run", "--data-dir", data, "--source", mirror]
    return subprocess.Popen(
        [*map(str, command), "--select", select], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True, cwd=data.parent,
    )  # fmt: skip


def run(data: Path, mirror: Path, env: dict[str, str] | None = None, *, kill_after: float | None = None) -> Ended:
    """Run to the end, or until it is killed after so many seconds, or by its fault."""
    began = time.monotonic()
    process = start(data, mirror, env or environment(data))
    try:
        output, _ = process.communicate(timeout=kill_after if kill_after is not None else 600)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
    return Ended(process.returncode, output, time.monotonic() - began)


def digests(data: Path) -> dict[str, str]:
    """Digest of every file that is data, temporary ones included: none may be left over."""
    files = (path for path in sorted(data.rglob("*")) if path.is_file() or path.is_symlink())
    return {
        path.relative_to(data).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if not set(NO_DATA) & set(path.relative_to(data).parts)
    }


def rows_apart(reference: Path, found: Path) -> tuple[int, int]:
    """Rows of the reference that are lost, and rows that are wrong (not in the reference), over all tables."""
    lost = wrong = 0
    for name in SPINE:
        table, before, after = TABLES[name], Lake(reference), Lake(found)
        for key in {*before.partitions(table), *after.partitions(table)} if table.partitioning != "none" else {None}:
            old, new = (
                lake.read(table, key) if lake.manifest(table, key) else table.empty() for lake in (before, after)
            )
            if not old.equals(new):
                a, b = (pl.Series([repr(row) for row in frame.iter_rows()], dtype=pl.String) for frame in (old, new))
                lost += a.filter(~a.is_in(b.implode())).len()
                wrong += b.filter(~b.is_in(a.implode())).len()
    return lost, wrong
