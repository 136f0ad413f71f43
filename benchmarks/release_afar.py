"""A release that lies elsewhere: bytes fetched against bytes used, time to the first sample, memory.

A generated release (sizes of samples as measured on PMC figures: median 97 KB, mean 205 KB) behind loopback HTTP, each
answer after 50 ms; ``biomedica stream ADDRESS`` as people run it, from the start of its process. What is fetched is
counted where it is sent: indexes, shards and all.

    python benchmarks/release_afar.py [--samples 4000] [--folder DIRECTORY]
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from stream_throughput import SHARDS, Files, Server, make_index, make_shards

FIRST = 5


def command(address: str, recipe: str, *more: str) -> list[str]:
    """The stream of an epoch."""
    return [
        sys.executable, "-m", "biomedica_assets.cli", "stream", address, "--recipe", recipe, "--of", "1", *more
    ]  # fmt: skip


def first_sample(address: str, recipe: str) -> float:
    """Seconds until a sample of usual size is there."""
    began = time.perf_counter()
    with subprocess.Popen(command(address, recipe), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(205_000)
        taken = time.perf_counter() - began
        process.stdout.close()
    return taken


def main() -> None:
    """Make the release, serve it, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=4000)
    parser.add_argument("--delay", type=float, default=0.05)
    parser.add_argument("--folder", type=Path, help="where the shards are written (default: the temporary directory)")
    options = parser.parse_args()
    sent: list[int] = []

    class Counted(Files):
        delay = options.delay

        def answered(self, size: int) -> None:
            sent.append(size)

    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        root = Path(folder)
        shards, where = make_shards(root, options.samples)
        drawn = set(random.Random(1).sample(range(len(where)), len(where) // 4))
        recipes = {
            "all": where,
            "quarter, drawn": [place for n, place in enumerate(where) if n in drawn],
            "quarter, every fourth": where[::4],
            "quarter, the first": where[: len(where) // 4],
        }
        (root / "recipes").mkdir()
        for number, places in enumerate(recipes.values()):
            make_index(root, f"r{number}", shards, places).path.rename(root / "recipes" / f"r{number}.index")
        Counted.root = root
        server = Server(("127.0.0.1", 0), Counted)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        print(f"{len(where):,} samples in {SHARDS} shards; each answer after {1000 * options.delay:.0f} ms")
        for number, (name, places) in enumerate(recipes.items()):
            sent.clear()
            stats = root / "told"
            stats.unlink(missing_ok=True)
            began = time.perf_counter()
            subprocess.run(
                command(address, f"r{number}", "--stats", str(stats)), stdout=subprocess.DEVNULL, check=True
            )  # fmt: skip
            taken = time.perf_counter() - began
            told, used = json.loads(stats.read_text()), sum(end - start for _, start, end, _ in places)
            print(
                f"  {name:<22} {used / 1e6:7.1f} MB used, {sum(sent) / 1e6:7.1f} MB fetched in {len(sent):,} requests "
                f"(+ {sum(sent) / used - 1:.2%}; wanted at most 5 %); {taken:.1f} s; peak memory "
                f"{told['peak_bytes'] / 1e6:.0f} MB"
            )
        taken = [first_sample(address, "r1") for _ in range(FIRST)]
        print(
            f"  first sample of a drawn quarter: {statistics.median(taken):.2f} s, process start included (wanted: < 1)"
        )
        server.shutdown()


if __name__ == "__main__":
    main()
