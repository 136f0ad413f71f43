"""The root of all lineage: what exists in PubMed Central, chunk by chunk.

``refresh_inventory`` finds the newest complete inventory, compares it with the one it kept, and publishes
``chunk_listing`` for the chunks whose rows changed and ``pmc_inventory`` as their table of contents.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import duckdb
import polars as pl

from biomedica_assets.lib import chunks
from biomedica_assets.lib.errors import PermanentFailure, Reject, RejectReason
from biomedica_assets.lib.pmc import listing, snapshots
from biomedica_assets.lib.pmc.source import ListedObject, ObjectMissing, PmcSource, SourceError
from biomedica_assets.lib.progress import SILENT, Progress, track
from biomedica_assets.lib.report import Report, Scalar
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import CHUNK_LISTING, PMC_INVENTORY

VERSION = "1"
FOLDER = "inventory"
ROWS_DIGEST = "rows_digest"
KEPT = 2
LOOK = ".look"
"""Stands before the number of a further look at a directory that holds the same as at the look before."""
# Out-of-range versions are named one by one up to this many; a setting that cuts off millions is stated as a count.
MOST_NAMED = 1000


@dataclasses.dataclass(frozen=True, slots=True)
class InventoryOutcome:
    """What a refresh did.

    Attributes:
        report: of ``pmc_inventory``.
        changed: chunk -> data version of its ``chunk_listing``, for the partitions this refresh gave another content.
        current: the same for all chunks that have a ``chunk_listing``, so that a caller who was interrupted between
            publishing and announcing can tell what it has not announced.
    """

    report: Report
    changed: Mapping[str, str]
    current: Mapping[str, str]


def refresh_inventory(
    lake: Lake, source: PmcSource, *, chunk_span: int, max_pmcid: int, progress: Progress = SILENT
) -> InventoryOutcome:
    """Bring ``pmc_inventory`` and the ``chunk_listing`` of every changed chunk up to date.

    The newest snapshot counts if its manifest and all parts are there and match their MD5, else the one before. A local
    directory without any inventory is listed by looking into it; the report's metrics say so (``listed_by``).
    A version is dropped when two complete snapshots in a row miss it and the source answers 404 for it; for a directory
    that is looked into, each refresh counts as a snapshot while something it had before is missing.
    Only chunks whose rows changed, or that have no partition, are written.

    Args:
        lake: the data directory; our copies lie in ``inventory/<snapshot>.parquet``.
        source: where articles come from.
        chunk_span: PMCIDs per chunk.
        max_pmcid: versions of higher PMCIDs are rejected (``PMCID_OUT_OF_RANGE``), since they have no chunk.
        progress: told about parts and chunks.

    Raises:
        PermanentFailure: no snapshot is complete and the source cannot be listed by looking; or the data directory was
            made with another ``chunk_span``.
        FetchFailed: the source did not deliver.
    """
    began = time.monotonic()
    folder = lake.root / FOLDER
    for leftover in folder.glob(f"{atomic.TEMPORARY_PREFIX}*/"):
        shutil.rmtree(leftover)  # of a refresh that was killed
    kept = _kept(lake, chunk_span)
    taken = _take(source, folder, kept, progress)
    path = folder / f"{taken.name}.parquet"
    with listing.database(folder) as db:
        counts = listing.count(db, path, chunk_span, max_pmcid)
    changed = _publish_chunks(lake, path, counts, chunk_span, progress)
    report = _publish_inventory(lake, path, counts, taken, chunk_span, max_pmcid, len(changed))
    _prune(folder, keep={taken.name, *([kept.name] if kept else [])})
    current = {key: version for key in lake.partitions(CHUNK_LISTING) if (version := lake.version(CHUNK_LISTING, key))}
    return InventoryOutcome(dataclasses.replace(report, seconds=time.monotonic() - began), changed, current)


@dataclasses.dataclass(frozen=True, slots=True)
class _Taken:
    """A listing that lies in the folder, and how it was taken."""

    name: str
    listed_by: str
    loaded: listing.Loaded
    skipped: tuple[str, ...] = ()


def _kept(lake: Lake, chunk_span: int) -> _Taken | None:
    """The listing that the published ``pmc_inventory`` was made of."""
    manifest = lake.manifest(PMC_INVENTORY, None)
    if manifest is None:
        return None
    if (span := manifest.config["chunk_span"]) != chunk_span:
        raise PermanentFailure(
            f"{lake.root} was made with chunk_span {span}, not {chunk_span}: set it back, or use another data "
            "directory; an article must not move between chunks"
        )
    name, metrics = str(manifest.config["snapshot"]), manifest.metrics
    if not (lake.root / FOLDER / f"{name}.parquet").exists():
        return None
    rejects = lake.read_rejects(PMC_INVENTORY, None)
    malformed = rejects.filter(pl.col("reason") == RejectReason.METADATA_INVALID)["article_id"].to_list()
    loaded = listing.Loaded(
        tuple(malformed), metrics["malformed_keys"], metrics["other_keys"], metrics["repeated_rows"]
    )
    return _Taken(name, str(metrics["listed_by"]), loaded)


def _take(source: PmcSource, folder: Path, kept: _Taken | None, progress: Progress) -> _Taken:
    """Make sure that the listing of the newest complete snapshot lies in ``folder``."""
    skipped: list[str] = []
    for name in snapshots.names(source):
        if kept and kept.name == name:
            return dataclasses.replace(kept, skipped=tuple(skipped))
        try:
            with _scratch(folder) as parts, listing.database(folder) as db:
                snapshot = snapshots.copy(source, name, Path(parts), progress)
                loaded = listing.load_snapshot(db, snapshot)
                _compare(db, source, folder, kept, name)
                return _Taken(name, "inventory", loaded, tuple(skipped))
        except snapshots.SnapshotIncomplete as error:
            skipped.append(f"{name}: {error}")
    try:
        found = list(source.list_metadata())
    except PermanentFailure as error:
        raise PermanentFailure(". ".join([str(error), *skipped])) from error
    if not found:
        raise PermanentFailure(
            f"{source.location} has no inventory below {snapshots.FOLDER}, no metadata/*.json and no PMC<id>.<version> "
            "folders: is this the right directory?" + "".join(f" {reason}." for reason in skipped)
        )
    name = f"looked-{_digest(found)}"
    if kept and kept.name.split(LOOK)[0] == name:
        # What this directory lost, it lost once: without a further look nothing would ever decide about it.
        if not listing.awaits_look(folder / f"{kept.name}.parquet"):
            return dataclasses.replace(kept, skipped=tuple(skipped))
        name = f"{name}{LOOK}{int(kept.name.partition(LOOK)[2] or 1) + 1}"
    with listing.database(folder) as db:
        loaded = listing.load_objects(db, found)
        _compare(db, source, folder, kept, name)
    return _Taken(name, "looking", loaded, tuple(skipped))


def _compare(db: duckdb.DuckDBPyConnection, source: PmcSource, folder: Path, kept: _Taken | None, name: str) -> None:
    """Write the listing ``name`` from what is loaded and from the listing before."""
    old = folder / f"{kept.name}.parquet" if kept else None
    gone: list[str] = []
    for key, answer in source.get_many(listing.compare(db, old), str):
        if isinstance(answer, ObjectMissing):
            gone.append(key)
        elif isinstance(answer, SourceError):
            raise answer
    listing.write(db, old, sorted(gone), folder / f"{name}.parquet")


def _publish_chunks(
    lake: Lake, path: Path, counts: Sequence[listing.ChunkCounts], span: int, progress: Progress
) -> dict[str, str]:
    """Publish the chunks whose rows are not what their partition was made of; returns those with another content."""
    wanted = {chunks.chunk_of(count.number * span, span): count for count in counts}
    before = {key: lake.intact(CHUNK_LISTING, key) for key in {*lake.partitions(CHUNK_LISTING), *wanted}}
    stale: dict[str, int] = {}
    for key, manifest in before.items():
        digest = wanted[key].digest if key in wanted else ""
        if manifest is None or manifest.metrics[ROWS_DIGEST] != digest or manifest.code_version != VERSION:
            stale[key] = chunks.chunk_range(key, span).start

    changed: dict[str, str] = {}

    def publish(job: tuple[str, pl.DataFrame]) -> None:
        key, rows = job
        version = _publish_chunk(lake, key, rows, wanted[key].digest if key in wanted else "")
        earlier = before[key]
        if earlier is None or earlier.data_version != version:
            changed[key] = version

    jobs = track(_slices(path, stale, span), progress, "write chunk listings", len(stale), "chunks")
    # A few threads, because a partition is mostly waiting for the disk to confirm; see benchmarks/inventory_diff.py.
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        running: set[concurrent.futures.Future[None]] = set()
        for job in jobs:
            running.add(pool.submit(publish, job))
            if len(running) >= 16:
                done, running = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
                for future in done:
                    future.result()
        for future in running:
            future.result()
    return dict(sorted(changed.items()))


def _slices(path: Path, stale: Mapping[str, int], span: int) -> Iterator[tuple[str, pl.DataFrame]]:
    """Rows of each stale chunk, read shelf by shelf (a shelf of PubMed Central has about 650 000 rows)."""
    shelves: dict[str, list[tuple[int, str]]] = {}
    for key, first in sorted(stale.items()):
        shelves.setdefault(chunks.shelf_of_chunk(key), []).append((first, key))
    for wanted in shelves.values():
        rows = listing.rows_between(path, wanted[0][0], wanted[-1][0] + span - 1)
        pmcids = rows["pmcid"]
        for first, key in wanted:
            start = pmcids.search_sorted(first)
            yield key, rows.slice(start, pmcids.search_sorted(first + span) - start)


def _publish_chunk(lake: Lake, chunk: str, rows: pl.DataFrame, digest: str) -> str:
    """Write one ``chunk_listing``; returns its data version."""
    rows = rows.with_columns(article_id=pl.format("PMC{}.{}", "pmcid", "version"))
    gone = rows.filter("gone")
    message = "withdrawn: two complete inventories in a row do not list it and the source answers 404 for {}"
    rejects = [
        Reject(article, CHUNK_LISTING.name, RejectReason.REMOVED, message.format(key))
        for article, key in gone.select("article_id", "key").iter_rows()
    ]
    frame = rows.filter(~pl.col("gone")).select(CHUNK_LISTING.schema.names())
    manifest = lake.publish(
        CHUNK_LISTING,
        chunk,
        frame,
        code_version=VERSION,
        inputs={},
        config={},
        rejects=rejects,
        n_in=rows.height,
        n_out=frame.height,
        metrics={ROWS_DIGEST: digest},
    )
    return manifest.data_version


def _publish_inventory(
    lake: Lake,
    path: Path,
    counts: Sequence[listing.ChunkCounts],
    taken: _Taken,
    span: int,
    max_pmcid: int,
    n_changed: int,
) -> Report:
    """Write ``pmc_inventory``: one row per chunk."""
    frame = PMC_INVENTORY.frame(
        [
            {**dataclasses.asdict(c), "chunk": chunks.chunk_of(c.number * span, span), "snapshot": taken.name}
            for c in counts
        ]
    )
    stage = PMC_INVENTORY.name
    n_beyond, beyond = listing.out_of_range(path, max_pmcid, MOST_NAMED)
    rejects = [
        Reject(chunks.article_id(*ids), stage, RejectReason.PMCID_OUT_OF_RANGE, f"beyond max_pmcid {max_pmcid}")
        for ids in beyond
    ]
    rejects += [
        Reject(key, stage, RejectReason.METADATA_INVALID, "expected metadata/PMC<id>.<version>.json")
        for key in taken.loaded.malformed
    ]
    totals: dict[str, int] = {
        name: sum(getattr(c, name) for c in counts) for name in ("added", "changed", "absent", "removed", "gone")
    }
    rows = sum(c.rows for c in counts)
    metrics: dict[str, Scalar] = {
        "snapshot": taken.name,
        "listed_by": taken.listed_by,
        "article_versions": rows,
        **totals,
        "beyond_max_pmcid": n_beyond,
        "other_keys": taken.loaded.other,
        "malformed_keys": taken.loaded.n_malformed,
        "repeated_rows": taken.loaded.repeated,
        "skipped_snapshots": "; ".join(taken.skipped),
    }
    # Beyond MOST_NAMED, versions out of range and malformed keys are counted in the metrics alone.
    manifest = lake.publish(
        PMC_INVENTORY,
        None,
        frame,
        code_version=VERSION,
        inputs={},
        config={"snapshot": taken.name, "chunk_span": span, "max_pmcid": max_pmcid},
        rejects=rejects,
        n_in=rows + len(rejects),
        n_out=rows,
        metrics=metrics,
    )
    return Report(
        asset=stage,
        partition=None,
        data_version=manifest.data_version,
        rows=frame.height,
        n_in=manifest.n_in,
        n_out=manifest.n_out,
        rejects=manifest.rejects,
        bytes_written=manifest.bytes,
        metrics={**metrics, "chunks": frame.height, "chunks_changed": n_changed},
        preview=tuple(frame.head(5).to_dicts()),
    )


def _scratch(folder: Path) -> tempfile.TemporaryDirectory[str]:
    folder.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(prefix=atomic.TEMPORARY_PREFIX, dir=folder)


def _digest(found: Sequence[ListedObject]) -> str:
    lines = sorted(f"{one.key} {one.etag}" for one in found)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _prune(folder: Path, keep: set[str]) -> None:
    """Remove copies of older snapshots: the newest and the one before it stay."""
    for path in folder.glob("*.parquet"):
        if path.stem not in keep:
            path.unlink()
