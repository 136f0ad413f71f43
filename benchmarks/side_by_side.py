"""Chunks made side by side: a run over real articles with one process and with several.

Claim: 0.8 of ideal from 1 to 2 processes on two free cores. Each run begins in an empty data directory; all up to
the shards, without an encoder. Wall time of the whole command; what was made has to be the same.

    python benchmarks/side_by_side.py [--source DIR] [--jobs 1 2] [--chunks 40]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CORPUS = ROOT.parent / "shared" / "corpus" / "mirror"
sys.path.insert(0, str(ROOT))


def main() -> int:
    """Print seconds and the share of ideal; exit code 1 if the claim does not hold."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--source", type=Path, default=CORPUS, help="articles in the bucket's layout")
    arguments.add_argument("--jobs", type=int, nargs=2, default=(1, 2), help="processes of the two runs")
    arguments.add_argument("--chunks", type=int, default=40, help="so many chunks, the first")
    options = arguments.parse_args()
    if not options.source.is_dir():
        print(f"no articles at {options.source}: give --source")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        taken = [_made(Path(folder) / str(jobs), options.source, jobs, options.chunks) for jobs in options.jobs]
    (few, (alone, version)), (many, (together, again)) = zip(options.jobs, taken, strict=True)
    share = alone / together / (many / few)
    print(
        f"{few}: {alone:.1f} s  {many}: {together:.1f} s  {alone / together:.2f} x, {share:.2f} of ideal (0.80 wanted)"
    )
    print("the same shards" if version == again else "DIFFERENT SHARDS")
    return int(share < 0.8 or version != again)


def _made(folder: Path, source: Path, jobs: int, n: int) -> tuple[float, list[str | None]]:
    """Seconds of a run into an empty folder, and the versions of its shards."""
    from biomedica_assets.lib.store.lake import Lake
    from biomedica_assets.lib.tables import SHARDS

    command = [sys.executable, "-m", "biomedica_assets.cli", "run", "--data-dir", str(folder), "--source", str(source)]
    here = os.environ | {"BIOMEDICA_ENCODER": "texture", "PYTHONPATH": str(ROOT)}
    subprocess.run([*command, "--select", "pmc_inventory"], env=here, check=True, capture_output=True)
    chunks = _listed(folder)[:n]
    began = time.perf_counter()
    only = [word for chunk in chunks for word in ("--chunk", chunk)]
    subprocess.run(
        [*command, *only, "--jobs", str(jobs), "--select", "*shards"], env=here, check=True, capture_output=True
    )
    return time.perf_counter() - began, [Lake(folder).version(SHARDS, chunk) for chunk in chunks]


def _listed(folder: Path) -> list[str]:
    from biomedica_assets import offered

    return [*offered.keys(folder)[0]]


if __name__ == "__main__":
    sys.exit(main())
