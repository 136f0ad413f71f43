"""Speed of the full ``biomedica parse`` output against a bare lxml parse and against pubmed_parser.

Claims: at least 0.4 times the rate of ``lxml.etree.fromstring`` on the same bytes, and at least 1.5 times that of
``pubmed_parser`` (``parse_pubmed_xml`` + ``parse_pubmed_caption``). Same files, same process, alternating; medians of
the rounds, wall time; the ratio of CPU time, which other processes disturb less, is printed beside it. Ours includes
the JSON lines.

    python benchmarks/parse_speed.py [--corpus DIR] [--rounds N]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from lxml import etree

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from biomedica_assets.lib.jats.jsonl import parse_files

CORPUS = Path(__file__).resolve().parents[2] / "shared" / "corpus"


def main() -> int:
    """Print the rates and the two ratios; exit code 1 if a claim does not hold."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--corpus", type=Path, default=CORPUS, help="folder with mirror/PMC*/PMC*.xml")
    arguments.add_argument("--rounds", type=int, default=7, help="rounds of bare lxml and ours")
    arguments.add_argument("--peer-rounds", type=int, default=2, help="rounds of pubmed_parser, the slow one")
    options = arguments.parse_args()
    paths = sorted(options.corpus.glob("mirror/PMC*/PMC*.xml"))
    if not paths:
        print(f"no articles at {options.corpus}: give --corpus")
        return 2
    megabytes = sum(path.stat().st_size for path in paths) / 1e6
    print(f"{len(paths)} articles, {megabytes:.1f} MB of XML")
    seconds: dict[str, list[float]] = {"lxml.fromstring": [], "biomedica parse": [], "pubmed_parser": []}
    of_cpu: list[float] = []
    failed = 0
    for number in range(options.rounds):
        limit, limit_cpu = _timed(lambda: _bare(paths))
        ours, ours_cpu = _timed(lambda: _ours(paths))
        seconds["lxml.fromstring"].append(limit)
        seconds["biomedica parse"].append(ours)
        of_cpu.append(limit_cpu / ours_cpu)
        if number < options.peer_rounds:
            start = time.perf_counter()
            failed = _pubmed_parser(paths)
            seconds["pubmed_parser"].append(time.perf_counter() - start)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    for name, value in median.items():
        spread = f"{min(seconds[name]):.2f}-{max(seconds[name]):.2f} s"
        print(
            f"{name:16} {value:6.2f} s ({spread})  {megabytes / value:6.1f} MB/s  {len(paths) / value:6.0f} articles/s"
        )
    print(f"pubmed_parser raised on {failed} of {len(paths)} articles; ours on none")
    # Rounds alternate, so a ratio within one round sees the same load of the machine.
    rounds = zip(seconds["lxml.fromstring"], seconds["biomedica parse"], strict=True)
    to_limit = statistics.median(limit / ours for limit, ours in rounds)
    to_peer = median["pubmed_parser"] / median["biomedica parse"]
    print(f"ours / bare lxml     {to_limit:.2f}  (claim: 0.40); of CPU time {statistics.median(of_cpu):.2f}")
    print(f"ours / pubmed_parser {to_peer:.2f}  (claim: 1.50)")
    return 0 if to_limit >= 0.4 and to_peer >= 1.5 else 1


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of wall and of CPU time."""
    start, start_cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - start_cpu


def _ours(paths: list[Path]) -> None:
    """As the command does it, with its lines written to a file of UTF-8 that is thrown away."""
    with Path(os.devnull).open("w", encoding="utf-8") as out:
        parse_files(paths, out, io.StringIO())


def _bare(paths: list[Path]) -> None:
    """The same bytes, the same safe options, nothing but the tree."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    for path in paths:
        etree.fromstring(path.read_bytes(), parser)


def _pubmed_parser(paths: list[Path]) -> int:
    """Both calls for each article; returns on how many one of them raised."""
    import pubmed_parser

    failed = 0
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for path in paths:
            try:
                pubmed_parser.parse_pubmed_xml(str(path))
                pubmed_parser.parse_pubmed_caption(str(path))
            except Exception:  # noqa: BLE001 - what it cannot read is counted, not hidden
                failed += 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
