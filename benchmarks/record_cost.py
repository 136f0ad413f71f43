"""What Dagster's records of a small chunk cost, with its SQLite connections made for each event and with kept ones.

A run of eight trivial assets with a check each stands for the steps of a chunk, so that nothing but records is
measured. Rounds alternate between the two; medians of CPU seconds, of wall seconds, and of what was written (by the
process, as the kernel counts it).

    python benchmarks/record_cost.py [--rounds 5] [--runs 12]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import dagster as dg

ROOT = Path(__file__).resolve().parents[1]
ASSETS = 8
WAYS = ("Dagster as it is", "kept connections")


def made(folder: str, runs: int, way: str) -> dict[str, float]:
    """CPU seconds, wall seconds and megabytes written of one run, in this process."""
    import psutil

    from biomedica_assets.automation import engines
    from biomedica_assets.automation.runs import execute

    if way == WAYS[1]:
        engines.keep_engines()

    def one(n: int) -> dg.AssetsDefinition:
        @dg.asset(name=f"a{n}", check_specs=[dg.AssetCheckSpec("right", asset=f"a{n}")])
        def computed():
            return dg.MaterializeResult(metadata={"rows": n}, check_results=[dg.AssetCheckResult(passed=True)])

        return computed

    job = dg.Definitions([one(n) for n in range(ASSETS)]).resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.local_temp(folder) as instance:
        execute(job, instance, assets=[f"a{n}" for n in range(ASSETS)])  # imports and tables
        me = psutil.Process()
        began, cpu, written = time.monotonic(), time.process_time(), me.io_counters().write_bytes
        for _ in range(runs):
            execute(job, instance, assets=[f"a{n}" for n in range(ASSETS)])
        engines.let_go()
        return {
            "CPU s": (time.process_time() - cpu) / runs,
            "s": (time.monotonic() - began) / runs,
            "MB": (me.io_counters().write_bytes - written) / runs / 1e6,
        }


def main() -> None:
    """Alternate and print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=12, help="runs a round")
    parser.add_argument("--one", nargs=2, metavar=("FOLDER", "WAY"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(made(options.one[0], options.runs, options.one[1])))
        return
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(options.rounds):
        for way in WAYS:
            # on the disk that the benchmark lies on: where temporary files are kept in memory nothing is written
            with tempfile.TemporaryDirectory(dir=ROOT, prefix=".records-") as folder:
                command = [sys.executable, __file__, "--runs", str(options.runs), "--one", folder, way]
                environment = os.environ | {"PYTHONPATH": str(ROOT), "DAGSTER_DISABLE_TELEMETRY": "1"}
                told = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
                found[way].append(json.loads(told.splitlines()[-1]))
    print(f"a run of {ASSETS} assets with a check each, median of {options.rounds} rounds of {options.runs}")
    for way, rounds in found.items():
        middle = {unit: statistics.median(one[unit] for one in rounds) for unit in rounds[0]}
        print(f"{way:<18}" + "".join(f"{value:>9.3f} {unit}" for unit, value in middle.items()))


if __name__ == "__main__":
    main()
