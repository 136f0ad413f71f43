"""The whole fault suite as one command, with its table: ``python -m biomedica_assets_tests.faults.suite``.

Every seed strikes one run of the pipeline somewhere, finishes it with a second run, and compares all files with those
of a run that nothing happened to. A part of it is in the ordinary tests (``test_kills.py``, ``test_disk.py``).
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import shutil
import sys
import tempfile
from pathlib import Path

from biomedica_assets.lib.demo import write_mirror
from biomedica_assets_tests.faults import runs

KINDS = {"kill at a time": "", "kill at a write": "kill", "disk full": "full", "I/O error": "eio"}
"""Kind of fault -> what the library is told; the first needs no library."""


@dataclasses.dataclass(frozen=True)
class Reference:
    """A run that nothing happened to."""

    folder: Path
    mirror: Path
    data: Path
    library: Path | None
    operations: int
    seconds: float


@dataclasses.dataclass
class Line:
    """One line of the table: faults of one kind."""

    injected: int = 0
    struck: int = 0
    survived: int = 0
    lost: int = 0
    wrong: int = 0
    files_apart: int = 0


def reference(folder: Path, *, articles: int = 52) -> Reference:
    """Write a mirror and run the pipeline on it undisturbed, counting its changes of files."""
    mirror, data = folder / "source", folder / "reference"
    write_mirror(mirror, seed=11, articles=articles)
    library = runs.preload(folder)
    ended = runs.run(data, mirror, runs.environment(data, library))
    if ended.code:
        raise RuntimeError(f"the undisturbed run failed:\n{ended.output}")
    return Reference(folder, mirror, data, library, runs.counted(data) if library else 0, ended.seconds)


def strike(given: Reference, kind: str, seed: int, line: Line) -> list[str]:
    """Strike one run, finish it, compare; returns what is apart."""
    rng = random.Random(f"{kind}-{seed}")
    data = given.folder / f"{kind.replace(' ', '-').replace('/', '')}-{seed}"
    if kind == "kill at a time":
        ended = runs.run(data, given.mirror, kill_after=rng.uniform(0.1, 1.0) * given.seconds)
    else:
        env = runs.environment(data, given.library, KINDS[kind], rng.randint(1, given.operations))
        ended = runs.run(data, given.mirror, env)
    line.injected += 1
    line.struck += ended.code != 0
    faults: list[str] = []
    if "Traceback" in ended.output:
        faults.append(f"a traceback instead of a message: {ended.output[-2000:]}")
    finished = runs.run(data, given.mirror)
    if finished.code:
        faults.append(f"the second run failed: {finished.output[-2000:]}")
    before, after = runs.digests(given.data), runs.digests(data)
    apart = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    lost, wrong = runs.rows_apart(given.data, data)
    line.lost, line.wrong, line.files_apart = line.lost + lost, line.wrong + wrong, line.files_apart + len(apart)
    faults += [f"{len(apart)} files apart, among them {', '.join(apart[:3])}"] if apart else []
    line.survived += not faults
    shutil.rmtree(data, ignore_errors=True)
    return faults


def main() -> int:
    """Run all seeds and print the table; 1 if anything was lost."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seeds", type=int, default=30, help="kills; of each disk fault a third of it")
    arguments.add_argument("--only", choices=KINDS, help="faults of this kind alone")
    given = arguments.parse_args()
    lines: dict[str, Line] = {}
    with tempfile.TemporaryDirectory(prefix="biomedica-faults-") as folder:
        made = reference(Path(folder))
        half = (given.seeds + 1) // 2
        plan = [("kill at a time", seed) for seed in range(given.seeds - half if made.library else given.seeds)]
        if made.library:
            third = max(1, given.seeds // 3)
            plan += [("kill at a write", seed) for seed in range(half)]
            plan += [(kind, seed) for kind in ("disk full", "I/O error") for seed in range(third)]
        else:
            print("no C compiler: kills at random times only, no disk faults", file=sys.stderr)
        print(f"undisturbed: {made.seconds:.1f} s, {made.operations} changes of files", flush=True)
        plan = [(kind, seed) for kind, seed in plan if given.only in {None, kind}]
        for number, (kind, seed) in enumerate(plan, 1):
            print(f"{number} of {len(plan)}: {kind}, seed {seed}", file=sys.stderr, flush=True)
            for fault in strike(made, kind, seed, lines.setdefault(kind, Line())):
                print(f"{kind}, seed {seed}: {fault}", flush=True)
    names = [field.name for field in dataclasses.fields(Line)]
    print("| fault | " + " | ".join(name.replace("_", " ") for name in names) + " |\n|---|" + "---|" * len(names))
    for kind, line in lines.items():
        print(f"| {kind} | " + " | ".join(str(getattr(line, name)) for name in names) + " |")
    return int(any(line.survived < line.injected for line in lines.values()))


if __name__ == "__main__":
    sys.exit(main())
