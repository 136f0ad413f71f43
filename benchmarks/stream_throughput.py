"""Virtual shards against reading the physical shards: all samples and a quarter, from disk and by HTTP; memory; start.

Generated shards (sizes of samples as measured on PMC figures: median 97 KB, mean 205 KB). Every option is a process
that writes to a pipe which the same reader drains, or webdataset itself; options alternate, medians are printed, "cold"
means that the files were dropped from the page cache first. Virtual shards have their default size, 1 GiB.

    python benchmarks/stream_throughput.py [--samples 4000] [--rounds 5] [--folder DIRECTORY]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import re
import resource
import socketserver
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from biomedica_assets.lib.shards import tar
from biomedica_assets.lib.stream import index as stream_index
from biomedica_assets.lib.stream.checks import check_of
from biomedica_assets.lib.stream.index import Index
from biomedica_assets.lib.stream.urls import pipe_urls
from biomedica_assets.lib.stream.virtual import Selection

SHARDS = 12
MIB = 1 << 20
KEY = "s{:03d}{:06d}"
WHERE = list[tuple[int, int, int, int]]


def make_shards(root: Path, samples: int) -> tuple[list[tuple[str, int, str]], WHERE]:
    """Write the shards; returns them, and shard, start, end and check of each sample."""
    rng = random.Random(0)
    noise = rng.randbytes(8 * MIB)
    shards: list[tuple[str, int, str]] = []
    where: WHERE = []
    for number in range(SHARDS):
        path = root / f"{number:03d}.tar"
        with path.open("wb") as handle:
            for position in range(samples // SHARDS):
                start, key = handle.tell(), KEY.format(number, position)
                size = min(len(noise), int(rng.lognormvariate(np.log(97_000), 1.22)) + 500)
                at = rng.randrange(len(noise) - size + 1)
                members = (("jpg", noise[at : at + size]), ("txt", noise[:900]), ("json", noise[:3100]))
                sample = b"".join(tar.header(f"{key}.{x}", len(d)) + d + tar.padding(len(d)) for x, d in members)
                handle.write(sample)
                where.append((number, start, handle.tell(), check_of(sample)))
            handle.write(tar.END)
            os.fsync(handle.fileno())
        shards.append((path.name, path.stat().st_size, "jpg"))
    return shards, where


def make_index(root: Path, name: str, shards: Sequence[tuple[str, int, str]], where: WHERE) -> Index:
    """Index of the samples as the split train."""
    columns = np.array([(*w, 1) for w in where], dtype=np.int64).T
    split = dict(zip(("shard", "start", "end", "check", "repeat"), columns, strict=True))
    path = root / f"{name}.index"
    stream_index.write(path, recipe=name, seed=0, shards=shards, splits={"train": split})
    return Index(path)


def drop_cache(root: Path) -> None:
    """Forget the shards, so that the next read goes to the disk."""
    for path in root.glob("*.tar"):
        with path.open("rb") as handle:
            os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def drain(commands: Sequence[Sequence[str]]) -> int:
    """Run the commands one after the other and read what they write; returns the bytes."""
    buffer = memoryview(bytearray(MIB))
    total = 0
    for command in commands:
        with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as process:
            assert process.stdout is not None
            while n := process.stdout.readinto(buffer):
                total += n
        assert process.returncode == 0, command
    return total


def peak_megabytes(command: Sequence[str]) -> float:
    """Largest resident memory of a command; started by a small process, since a child counts what its parent had."""
    code = (
        "import os, subprocess, sys; p = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL); "
        "print(os.wait4(p.pid, 0)[2].ru_maxrss)"
    )
    return int(subprocess.check_output([sys.executable, "-c", code, *command])) / 1024


def stream(index: Index, base: str, of: int) -> list[list[str]]:
    """Commands of all virtual shards of an epoch."""
    common = [sys.executable, "-m", "biomedica_assets.cli", "stream", "--index", str(index.path), "--base", base]
    return [[*common, "--shard", str(n), "--of", str(of)] for n in range(of)]


def webdataset_select(paths: Sequence[str], chosen: frozenset[str]) -> None:
    """What the stream replaces: webdataset picks the samples and writes them as a tar."""
    import webdataset

    with Path(os.devnull).open("wb") as sink, webdataset.TarWriter(sink, encoder=False) as writer:
        for sample in webdataset.WebDataset(list(paths), shardshuffle=False):
            if sample["__key__"] in chosen:
                writer.write(sample)


def webdataset_count(urls: Sequence[str], chosen: frozenset[str] | None = None) -> int:
    """Samples that webdataset reads, without decoding."""
    import webdataset

    data = webdataset.WebDataset(list(urls), shardshuffle=False)
    if chosen is not None:
        data = data.select(lambda sample: sample["__key__"] in chosen)
    return sum(1 for _ in data)


def webdataset_count_buffered(urls: Sequence[str], bufsize: int = 1 << 18) -> int:
    """The same by webdataset's stages, whose ``url_opener`` takes the size of the buffer; ``WebDataset`` has 8 KiB."""
    from webdataset.tariterators import group_by_keys, tar_file_expander, url_opener

    opened = url_opener(({"url": url} for url in urls), bufsize=bufsize)
    return sum(1 for _ in group_by_keys(tar_file_expander(opened)))


class Files(socketserver.StreamRequestHandler):
    """Whole files and ranges of them, by sendfile; reads of a request only what it needs, to be no bottleneck."""

    root: Path
    delay = 0.0
    disable_nagle_algorithm = True

    def handle(self) -> None:
        """Answer the requests of one connection."""
        while line := self.rfile.readline():
            name, wanted = line.split()[1].decode().lstrip("/"), None
            while (field := self.rfile.readline()) not in (b"\r\n", b""):
                if field[:6].lower() == b"range:":
                    wanted = re.search(rb"bytes=(\d+)-(\d+)", field)
            with (self.root / name).open("rb") as handle:
                size = os.fstat(handle.fileno()).st_size
                low, high = (int(wanted[1]), int(wanted[2]) + 1) if wanted else (0, size)
                head = f"HTTP/1.1 {206 if wanted else 200} OK\r\nContent-Length: {high - low}\r\n"
                head += f"Content-Range: bytes {low}-{high - 1}/{size}\r\n\r\n"
                time.sleep(self.delay)
                self.answered(high - low)
                self.connection.sendall(head.encode())
                while low < high:
                    low += os.sendfile(self.connection.fileno(), handle.fileno(), low, high - low)

    def answered(self, size: int) -> None:
        """Told of every answer and the bytes of its body."""


class Server(socketserver.ThreadingTCPServer):
    """One thread for each connection; readers that hang up are nothing to report."""

    daemon_threads = True
    request_queue_size = 128  # with the usual 5, readers that connect at once are dropped and come a second later

    def handle_error(self, *_: object) -> None:
        """Stay quiet."""


def serve(root: Path, ready: Connection) -> None:
    """Serve a folder on the loopback interface; sends the port."""
    Files.root = root
    server = Server(("127.0.0.1", 0), Files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ready.send(server.server_address[1])
    ready.recv()


def compare(
    options: dict[str, Callable[[], object]], rounds: int, before: Callable[[], None] = lambda: None
) -> dict[str, float]:
    """Median seconds of each option, alternating, in reversed order every other round."""
    times: dict[str, list[float]] = {name: [] for name in options}
    for turn in range(rounds):
        for name in list(options)[:: 1 if turn % 2 == 0 else -1]:
            before()
            began = time.perf_counter()
            options[name]()
            times[name].append(time.perf_counter() - began)
    return {name: statistics.median(taken) for name, taken in times.items()}


def show(title: str, medians: dict[str, float], note: str) -> None:
    """Print one comparison."""
    print(f"\n{title}")
    for name, seconds in medians.items():
        print(f"  {name:<58} {seconds:7.3f} s")
    print(f"  -> {note}")


def main() -> None:
    """Run all comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where the shards are written (default: the temporary directory)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        run(Path(folder), options.samples, options.rounds)


def run(root: Path, samples: int, rounds: int) -> None:
    """Make the data and compare."""
    shards, where = make_shards(root, samples)
    chosen = sorted(random.Random(1).sample(range(len(where)), len(where) // 4))
    part = [where[n] for n in chosen]
    full, quarter = make_index(root, "full", shards, where), make_index(root, "quarter", shards, part)
    megabytes = sum(end - start for _, start, end in where) / 1e6
    print(f"{len(where):,} samples, {megabytes:,.0f} MB in {SHARDS} shards; the quarter has "
          f"{sum(end - start for _, start, end in part) / 1e6:,.0f} MB")  # fmt: skip
    through_a_pipe(root, full, quarter, rounds)
    through_webdataset(
        root, full, quarter, frozenset(KEY.format(*divmod(n, samples // SHARDS)) for n in chosen), rounds
    )
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(root, there), daemon=True)
    server.start()
    address = f"http://127.0.0.1:{here.recv()}"
    by_http(full, quarter, address, rounds)
    print(f"\npeak memory, everything as one virtual shard of {megabytes:,.0f} MB (wanted below 150 MB)")
    for name, base in (("disk", str(root)), ("HTTP", address)):
        print(f"  {name:<6} {peak_megabytes(stream(full, base, 1)[0]):6.1f} MB")
    here.send(None)
    server.join()
    start = [[sys.executable, "-m", "biomedica_assets.cli", "stream", "--index", str(full.path), "--count"]]
    empty = [[sys.executable, "-c", "pass"]]
    taken = compare({"python -c pass": lambda: drain(empty), "stream --count": lambda: drain(start)}, 9)
    show("start-up, whole process", taken, f"{1000 * taken['stream --count']:.0f} ms (wanted below 500)")


def virtual_shards(index: Index) -> int:
    """As many as make virtual shards of the default size, whatever the least number is."""
    return max(1, round(index.split("train").bytes / stream_index.VIRTUAL_SHARD_BYTES))


def through_a_pipe(root: Path, full: Index, quarter: Index, rounds: int) -> None:
    """Processes that write, one reader that drains, warm and cold."""
    cat = [["cat", str(root / shard.path)] for shard in full.shards]
    whole, part = (stream(index, str(root), virtual_shards(index)) for index in (full, quarter))
    for state, before in (("warm", lambda: None), ("cold", lambda: drop_cache(root))):
        taken = compare(
            {
                f"cat of every physical shard ({len(cat)})": lambda: drain(cat),
                f"full, {len(whole)} virtual shards": lambda: drain(whole),
                f"a quarter, {len(part)} virtual shards": lambda: drain(part),
            },
            rounds,
            before,
        )
        show(f"disk, {state}, through a pipe", taken, verdict(*taken.values(), "cat"))
    for name, commands in (("cat", cat), ("full", whole), ("a quarter", part)):
        spent = statistics.median(cpu_seconds(commands) for _ in range(rounds))
        print(f"  -> {name}: {spent:.3f} s of one core, start of processes included")


def through_webdataset(root: Path, full: Index, quarter: Index, keys: frozenset[str], rounds: int) -> None:
    """Webdataset as the reader, bytes only, warm."""
    paths = [str(root / shard.path) for shard in full.shards]
    urls = {i.recipe: pipe_urls(i.path, str(root), Selection(), virtual_shards(i)) for i in (full, quarter)}
    assert webdataset_count(urls["full"]) == webdataset_count_buffered(urls["full"]) == full.split("train").entries
    assert webdataset_count(urls["quarter"]) == len(keys) == webdataset_count(paths, keys)
    taken = compare(
        {
            "physical shards as files": lambda: webdataset_count(paths),
            "physical shards as pipe:cat": lambda: webdataset_count([f"pipe:cat {path}" for path in paths]),
            "full as pipe: URLs": lambda: webdataset_count(urls["full"]),
            "full as pipe: URLs, url_opener(bufsize=256 KiB)": lambda: webdataset_count_buffered(urls["full"]),
            "physical shards, select a quarter": lambda: webdataset_count(paths, keys),
            "physical shards, select a quarter, write a tar": lambda: webdataset_select(paths, keys),
            "a quarter as pipe: URLs": lambda: webdataset_count(urls["quarter"]),
            "a quarter, the stream alone": lambda: drain(stream(quarter, str(root), virtual_shards(quarter))),
        },
        rounds,
    )
    files, cat, whole, buffered, select, written, part, alone = taken.values()
    show(
        "webdataset as the reader, warm",
        taken,
        f"full {files / whole:.2f} x the rate of files, {cat / whole:.2f} x that of pipe:cat (wanted 0.8), "
        f"with the larger buffer {files / buffered:.2f} x and {cat / buffered:.2f} x; a quarter: "
        f"the stream alone {written / alone:.1f} x faster than select written as a tar, {select / alone:.1f} x than "
        f"select (wanted 4), read by webdataset {select / part:.1f} x than select",
    )


def by_http(full: Index, quarter: Index, address: str, rounds: int) -> None:
    """From a loopback server, warm; the peer is what webdataset itself does with an http address."""
    curl = [["curl", "-f", "-s", "-L", f"{address}/{shard.path}"] for shard in full.shards]
    whole, part = (stream(index, address, virtual_shards(index)) for index in (full, quarter))
    taken = compare(
        {
            f"curl of every physical shard ({len(curl)})": lambda: drain(curl),
            f"full, {len(whole)} virtual shards": lambda: drain(whole),
            f"a quarter, {len(part)} virtual shards": lambda: drain(part),
        },
        rounds,
    )
    show("loopback HTTP, warm, through a pipe", taken, verdict(*taken.values(), "curl"))


def cpu_seconds(commands: Sequence[Sequence[str]]) -> float:
    """What the commands took of a core; unlike seconds on the clock it says the same on a busy machine."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    drain(commands)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def verdict(everything: float, whole: float, part: float, peer: str) -> str:
    """The two ratios asked for."""
    return (
        f"full {everything / whole:.2f} x the rate of {peer} (wanted 0.8); a quarter in {part / everything:.2f} of the "
        "time of reading everything (wanted at most 1)"
    )


if __name__ == "__main__":
    main()
