"""The forecast of ``biomedica plan --measure`` held against the run that it is for.

Claim: within 25 % of the wall time of `biomedica run`. A sample of the source is timed, then everything is made from it
in an empty data directory, without weights (encoder ``texture``). Processor times are printed beside: on a machine that
does other things, those of the two say more than the clock.

    python benchmarks/plan_against_run.py [--source DIR] [--sample 60] [--save FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
CORPUS = ROOT.parent / "shared" / "corpus" / "mirror"
WANTED = 0.25


class Took(NamedTuple):
    """What a command took."""

    seconds: float
    core_seconds: float
    output: str


def main() -> int:
    """Print both and their ratio; exit code 1 if the claim does not hold."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--source", type=Path, default=CORPUS, help="articles in the bucket's layout")
    arguments.add_argument("--sample", type=int, default=60, help="articles that are timed first")
    arguments.add_argument("--save", type=Path, help="where the measured rates are kept; nowhere without")
    options = arguments.parse_args()
    if not options.source.is_dir():
        print(f"no articles at {options.source}: give --source")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        there = ["--source", str(options.source), "--data-dir", f"{folder}/data"]
        kept = ["--save", str(options.save)] if options.save else []
        planned = _timed("plan", "--measure", "--sample", str(options.sample), "--json", *kept, *there)
        told = json.loads(planned.output)["forecast"]
        run = _timed("run", *there)
        print(run.output.splitlines()[0])
    load = os.getloadavg()[0]
    ratio = told["seconds"] / run.seconds
    print(
        f"forecast {told['seconds']:,.0f} s, took {run.seconds:,.0f} s: {ratio:.2f} x "
        f"(within {WANTED:.0%} is wanted; measuring took {planned.seconds:,.0f} s; load average {load:.1f})"
    )
    print(
        f"processor: forecast {told['core_seconds']:,.0f} s, took {run.core_seconds:,.0f} s: "
        f"{told['core_seconds'] / run.core_seconds:.2f} x"
    )
    print(f"written: forecast {told['written'] / 1e6:,.1f} MB; bottleneck {told['bottleneck']}")
    return int(abs(ratio - 1) > WANTED)


def _timed(*words: str) -> Took:
    environment = os.environ | {"BIOMEDICA_ENCODER": "texture", "PYTHONPATH": str(ROOT)}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-m", "biomedica_assets.cli", *words],
        env=environment, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Took(time.monotonic() - began, used, ended.stdout)


if __name__ == "__main__":
    sys.exit(main())
