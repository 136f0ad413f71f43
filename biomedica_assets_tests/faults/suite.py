"""The whole fault suite as one command, with its table: ``python -m biomedica_assets_tests.faults.suite``.

Every seed strikes runs of the pipeline somewhere, finishes with a run that nothing strikes, and compares all files with
those of a data directory that nothing happened to. Over the whole demo, whose run takes a minute and more, a seed
strikes three runs of one data directory one after the other. A part of the suite is in the ordinary tests
(``test_kills.py``, ``test_disk.py``). With ``--folder`` a suite that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import itertools
import json
import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from biomedica_assets.lib.demo import write_mirror
from biomedica_assets_tests.faults import runs

KINDS = {"kill at a time": "", "kill at a write": "kill", "disk full": "full", "I/O error": "eio"}
"""Kind of fault -> what the library is told; the first needs no library."""
STRIKES = {runs.Course.SPINE: 1, runs.Course.DEMO: 3}
"""How many runs of one data directory are struck."""
RESULTS = "results.jsonl"


@dataclasses.dataclass(frozen=True)
class Reference:
    """A run that nothing happened to."""

    course: runs.Course
    folder: Path
    mirror: Path
    data: Path
    library: Path | None
    operations: int
    seconds: float


@dataclasses.dataclass
class Line:
    """One line of the table: faults of one kind.

    ``injected``: runs that were to be struck; ``struck``: those that ended by it (a kill can come after the end);
    ``survived``: those after which the data directory was finished with the bytes of an undisturbed one.
    """

    injected: int = 0
    struck: int = 0
    survived: int = 0
    lost: int = 0
    wrong: int = 0
    files_apart: int = 0


def reference(folder: Path, course: runs.Course = runs.Course.SPINE) -> Reference:
    """Write a mirror and run the pipeline on it undisturbed, counting its changes of files."""
    mirror, data = folder / "source", folder / f"reference-{course}"
    library = runs.preload(folder)
    if course is runs.Course.SPINE:
        write_mirror(mirror, seed=11, articles=runs.ARTICLES)
    shutil.rmtree(data, ignore_errors=True)
    ended = runs.run(data, mirror, runs.environment(data, library), course=course)
    if ended.code:
        raise RuntimeError(f"the undisturbed run failed:\n{ended.output}")
    return Reference(course, folder, mirror, data, library, runs.counted(data) if library else 0, ended.seconds)


def strike(given: Reference, kind: str, seed: int, line: Line) -> list[str]:
    """Strike the runs of a data directory, finish it, compare; returns what is apart."""
    rng, strikes = random.Random(f"{kind}-{seed}"), STRIKES[given.course]
    data = given.folder / f"{given.course}-{kind.replace(' ', '-').replace('/', '')}-{seed}"
    shutil.rmtree(data, ignore_errors=True)
    faults: list[str] = []
    # Every run goes on where the one before was struck, so each is struck as much later as the next point is later.
    points = sorted(rng.random() for _ in range(strikes))
    for before, point in itertools.pairwise([0.0, *points]):
        if kind == "kill at a time":
            after = (point - before) * given.seconds
            ended = runs.run(data, given.mirror, course=given.course, kill_after=after)
        else:
            at = 1 + int((point - before) * given.operations)
            env = runs.environment(data, given.library, KINDS[kind], at)
            ended = runs.run(data, given.mirror, env, course=given.course)
        line.injected += 1
        line.struck += ended.code != 0
        if "Traceback" in ended.output:
            faults.append(f"a traceback instead of a message: {ended.output[-2000:]}")
    finished = runs.run(data, given.mirror, course=given.course)
    if finished.code:
        faults.append(f"the last run failed: {finished.output[-2000:]}")
    before, after = runs.digests(given.data), runs.digests(data)
    apart = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    lost, wrong = runs.rows_apart(given.data, data)
    line.lost, line.wrong, line.files_apart = line.lost + lost, line.wrong + wrong, line.files_apart + len(apart)
    faults += [f"{len(apart)} files apart, among them {', '.join(apart[:3])}"] if apart else []
    line.survived += 0 if faults else strikes
    shutil.rmtree(data, ignore_errors=True)
    return faults


def plan(seeds: int, *, library: bool) -> list[tuple[runs.Course, str, int]]:
    """Seeds for each course and kind: kills alternate between a time and a write; of each disk fault a fifth."""
    kills = ["kill at a time", "kill at a write"] if library else ["kill at a time"]
    disk = ["disk full", "I/O error"] if library else []
    made: list[tuple[runs.Course, str, int]] = []
    for course in (runs.Course.DEMO, runs.Course.SPINE):
        made += [(course, kills[seed % len(kills)], seed) for seed in range(seeds)]
        made += [(course, kind, seed) for seed in range(max(1, seeds // 5)) for kind in disk]
    return made


def suite(folder: Path, wanted: list[tuple[runs.Course, str, int]], jobs: int = 1) -> dict[str, Line]:
    """Strike everything that the folder has no result of, ``jobs`` seeds at a time, and add up all results.

    Returns:
        Course and kind -> line.
    """
    lines: dict[str, Line] = {}
    results = folder / RESULTS
    done = [json.loads(text) for text in results.read_text().splitlines()] if results.exists() else []
    known = {tuple(result["seed"]) for result in done}
    for result in done:
        _add(lines, result)
    todo = [seed for seed in wanted if seed not in known]
    made: dict[runs.Course, Reference] = {}
    for course in dict.fromkeys(course for course, _, _ in todo):
        made[course] = reference(folder, course)
        print(f"{course} undisturbed: {made[course].seconds:.1f} s, {made[course].operations} changes of files")
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        struck = {pool.submit(_struck, made[course], kind, seed): (course, kind, seed) for course, kind, seed in todo}
        for number, future in enumerate(concurrent.futures.as_completed(struck), 1):
            seed, (line, faults) = struck[future], future.result()
            print(f"{number} of {len(todo)}: {', '.join(map(str, seed))}", file=sys.stderr, flush=True)
            for fault in faults:
                print(f"{', '.join(map(str, seed))}: {fault}", flush=True)
            result = {"seed": seed, "line": dataclasses.asdict(line)}
            with results.open("a") as file:
                file.write(json.dumps(result) + "\n")
            _add(lines, result)
    return lines


def _struck(given: Reference, kind: str, seed: int) -> tuple[Line, list[str]]:
    line = Line()
    return line, strike(given, kind, seed, line)


def _add(lines: dict[str, Line], result: dict[str, Any]) -> None:
    course, kind, _ = result["seed"]
    line = lines.setdefault(f"{course}: {kind}", Line())
    for name, n in result["line"].items():
        setattr(line, name, getattr(line, name) + n)


def main() -> int:
    """Run all seeds and print the table; 1 if anything was lost."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument(
        "--seeds", type=int, default=30, help="of kills, for each course; a fifth of it for each disk fault"
    )
    arguments.add_argument("--course", choices=list(runs.Course), help="this course alone")
    arguments.add_argument("--only", choices=KINDS, help="faults of this kind alone")
    arguments.add_argument("--jobs", type=int, default=1, help="seeds at a time (default 1)")
    arguments.add_argument("--folder", type=Path, help="keeps the results; with one of before, goes on there")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="biomedica-faults-") as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        library = runs.preload(folder)
        if library is None:
            print("no C compiler: kills at random times only, no disk faults", file=sys.stderr)
        wanted = [
            (course, kind, seed)
            for course, kind, seed in plan(given.seeds, library=library is not None)
            if given.only in {None, kind} and given.course in {None, course}
        ]
        lines = suite(folder.absolute(), wanted, given.jobs)
    names = [field.name for field in dataclasses.fields(Line)]
    print("| fault | " + " | ".join(name.replace("_", " ") for name in names) + " |\n|---|" + "---|" * len(names))
    for kind, line in lines.items():
        print(f"| {kind} | " + " | ".join(str(getattr(line, name)) for name in names) + " |")
    return int(any(line.survived < line.injected for line in lines.values()))


if __name__ == "__main__":
    sys.exit(main())
