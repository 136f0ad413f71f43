"""Compare two inventories of 8 million article versions: seconds and memory against the limits of 15 s and 3 GB.

Generates two snapshots in the bucket's format (gzipped CSV parts with manifest). The first refresh writes the
``chunk_listing`` partitions of all chunks. The second is what happens every day, and what the limits are for: verify,
parse, compare, write our sorted copy, digest every chunk, write the chunks that changed.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import polars as pl

from biomedica_assets.lib.pmc.inventory import refresh_inventory
from biomedica_assets.lib.pmc.snapshots import FOLDER
from biomedica_assets.lib.pmc.source import PMC_BUCKET, open_source
from biomedica_assets.lib.store.lake import Lake

LIMIT_SECONDS, LIMIT_GB = 15.0, 3.0
MAX_PMCID, SPAN, PARTS = 12_999_999, 20_000, 5


def generate(root: Path, name: str, rows: int, *, changed_every: int, shift: int) -> None:
    """Write a snapshot; ``changed_every`` of 0 changes nothing, ``shift`` rows are missing and as many are new."""
    ids = (pl.int_range(shift, rows + shift, eager=True) * MAX_PMCID // (rows + shift + 1)).rename("pmcid") + 1
    frame = pl.DataFrame({"pmcid": ids}).with_columns(version=1 + pl.int_range(pl.len()).over("pmcid"))
    word = pl.format("PMC{}.{}", "pmcid", "version")
    salt = pl.when(pl.col("pmcid") % max(changed_every, 1) == 0).then(changed_every).otherwise(0)
    frame = frame.select(
        pl.lit(PMC_BUCKET).alias("bucket"),
        pl.format("metadata/{}.json", word).alias("key"),
        pl.lit("2026-01-08T11:47:59.000Z").alias("modified"),
        pl.concat_str([(word.hash(seed) + salt).cast(pl.String).str.zfill(20) for seed in (1, 2)])
        .str.slice(4, 32)
        .alias("etag"),
    )
    files: list[dict[str, object]] = []
    for part in range(PARTS):
        key = f"{FOLDER}data/{name}-{part}.csv.gz"
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        text = frame.gather_every(PARTS, part).write_csv(None, include_header=False, quote_style="always").encode()
        path.write_bytes(gzip.compress(text, 1))
        md5 = hashlib.md5(path.read_bytes()).hexdigest()
        files.append({"key": key, "size": path.stat().st_size, "MD5checksum": md5})
    manifest = {"fileFormat": "CSV", "fileSchema": "Bucket, Key, LastModifiedDate, ETag", "files": files}
    folder = root / FOLDER / name
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "manifest.checksum").write_text(hashlib.md5((folder / "manifest.json").read_bytes()).hexdigest())


def refresh(root: str, data: str, results: multiprocessing.Queue[tuple[float, float, float, int, int]]) -> None:
    """One refresh in this process: seconds, seconds of CPU, peak memory in GB, article versions, chunks written."""
    began, cpu_began = time.perf_counter(), time.process_time()
    outcome = refresh_inventory(Lake(data), open_source(root), chunk_span=SPAN, max_pmcid=MAX_PMCID)
    seconds = time.perf_counter() - began
    cpu = time.process_time() - cpu_began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    results.put((seconds, cpu, peak, int(outcome.report.metrics["article_versions"] or 0), len(outcome.changed)))


def measure(what: str, root: Path, data: Path, limit: float | None) -> None:
    """Refresh in a fresh process and print what it took."""
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[tuple[float, float, float, int, int]] = context.Queue()
    process = context.Process(target=refresh, args=(str(root), str(data), results))
    process.start()
    seconds, cpu, peak, rows, chunks = results.get()
    process.join()
    print(f"{what}: {rows:,} article versions, {chunks} chunks written", end=", ")
    print(f"{seconds:.1f} s ({cpu:.1f} s of CPU), peak {peak:.2f} GB", flush=True)
    if limit:
        print(f"  = {seconds / limit:.2f} of the limit of {limit:.0f} s, {peak / LIMIT_GB:.2f} of {LIMIT_GB:.0f} GB")


def main() -> None:
    """Generate, refresh twice, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=8_000_000)
    parser.add_argument(
        "--folder", type=Path, help="where to put about 1 GB of generated data (default: a temporary one)"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        root, data = Path(folder) / "source", Path(folder) / "data"
        generate(root, "2026-11-20T01-00Z", arguments.rows, changed_every=0, shift=0)
        measure("first refresh, every chunk written", root, data, None)
        # Changes in the newest PMCIDs alone, as on most days, so that few chunks are written.
        generate(root, "2026-11-21T01-00Z", arguments.rows, changed_every=100_003, shift=0)
        measure("next refresh, compared with the first", root, data, LIMIT_SECONDS)
        measure("refresh when nothing is new", root, data, None)


if __name__ == "__main__":
    main()
