"""The data directory: where each asset's partitions lie, how they are published and read.

``tables/<asset>/<chunk=KEY|shelf=KEY|recipe=KEY|all>/part-0.parquet`` with ``rejects.parquet`` (only if something was
left out) and ``_manifest.json`` beside it. Every asset is a table, also one whose substance is files (mirror, shards,
weights): its table is then the index of them and its manifest lists them with digests.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from biomedica_assets.lib.errors import Reject, StoreError
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.store.manifest import FileEntry, Manifest, digest
from biomedica_assets.lib.tables import REJECTS, Table

MANIFEST = "_manifest.json"
PART = "part-0.parquet"
REJECTS_PART = "rejects.parquet"
ALL = "all"


class Lake:
    """A data directory."""

    def __init__(self, root: Path | str) -> None:
        """Args: root: the data directory; it is made when the first thing is written."""
        self.root = Path(root).absolute()

    def folder(self, table: Table, partition: str | None) -> Path:
        """Folder of one partition."""
        name = ALL if partition is None else f"{table.partitioning}={partition}"
        return self.root / "tables" / table.name / name

    def manifest(self, table: Table, partition: str | None) -> Manifest | None:
        """Manifest of a partition, None if the partition does not exist."""
        path = self.folder(table, partition) / MANIFEST
        try:
            return Manifest.from_json(path.read_bytes(), str(path))
        except FileNotFoundError:
            return None

    def partitions(self, table: Table) -> list[str]:
        """Keys of the partitions that exist, sorted; empty for an unpartitioned table."""
        prefix = f"{table.partitioning}="
        base = self.root / "tables" / table.name
        names = (entry.name for entry in base.iterdir()) if base.is_dir() else ()
        return sorted(n.removeprefix(prefix) for n in names if n.startswith(prefix) and (base / n / MANIFEST).exists())

    def scan(self, table: Table, partitions: Sequence[str] | None = None) -> pl.LazyFrame:
        """Rows of a partitioned table, lazily, with the partition key as an extra column (``chunk``, ``shelf``, ...).

        Args:
            table: which table.
            partitions: which partitions; None takes all that exist. A named one that does not exist raises.
        """
        if table.partitioning == "none":
            return self.read_lazy(table, None)
        keys = self.partitions(table) if partitions is None else list(partitions)
        extra = pl.Schema({**table.schema, table.partitioning: pl.String()})
        if not keys:
            return pl.LazyFrame(schema=extra)
        frames = [self.read_lazy(table, key).with_columns(pl.lit(key).alias(table.partitioning)) for key in keys]
        return pl.concat(frames)

    def read_lazy(self, table: Table, partition: str | None) -> pl.LazyFrame:
        """Rows of one partition, lazily."""
        path = self.folder(table, partition) / PART
        if not (self.folder(table, partition) / MANIFEST).exists():
            what = table.name if partition is None else f"{table.name} of {partition}"
            raise StoreError(f"{what} has not been materialised: {path.parent} has no {MANIFEST}")
        return pl.scan_parquet(path, schema=table.schema, hive_partitioning=False)

    def read(self, table: Table, partition: str | None) -> pl.DataFrame:
        """Rows of one partition."""
        return self.read_lazy(table, partition).collect()

    def read_rejects(self, table: Table, partition: str | None) -> pl.DataFrame:
        """Rejects of one partition; empty if nothing was left out."""
        path = self.folder(table, partition) / REJECTS_PART
        return pl.read_parquet(path, hive_partitioning=False) if path.exists() else REJECTS.empty()

    def version(self, table: Table, partition: str | None) -> str | None:
        """Data version of a partition, None if it does not exist."""
        found = self.manifest(table, partition)
        return found.data_version if found else None

    def inputs(self, *wanted: tuple[Table, str | None]) -> dict[str, str]:
        """The ``inputs`` entry of a manifest for the partitions that a stage reads.

        Raises:
            StoreError: one of them has not been materialised.
        """
        named: dict[str, str] = {}
        for table, partition in wanted:
            version = self.version(table, partition)
            if version is None:
                raise StoreError(f"{input_name(table.name, partition)} has not been materialised; do that first")
            named[input_name(table.name, partition)] = version
        return named

    def publish(
        self,
        table: Table,
        partition: str | None,
        frame: pl.DataFrame,
        *,
        code_version: str,
        inputs: Mapping[str, str],
        config: Mapping[str, Any],
        rejects: Iterable[Reject] = (),
        n_in: int,
        n_out: int,
        files: Sequence[FileEntry] = (),
        metrics: Mapping[str, Any] | None = None,
    ) -> Manifest:
        """Write one partition: table, rejects, then the manifest, so that it exists completely or not at all.

        The frame is validated against the table. Everything is on the disk under temporary names before the old
        manifest goes away; between that and the new manifest the partition does not exist, and never looks whole while
        it is not.

        Args:
            table: which table.
            partition: its key, None if the table is unpartitioned.
            frame: rows in the table's schema.
            code_version: version constant of the algorithm that made them.
            inputs: what was read, from ``Lake.inputs``.
            config: settings that shape the content.
            rejects: items left out.
            n_in: items that came in.
            n_out: items that came out, in the unit of ``n_in``.
            files: further files of the partition, already written.
            metrics: further numbers about the content.

        Raises:
            PermanentFailure: the frame does not fit the table.
            StoreError: the disk cannot be written; the earlier partition stays.
        """
        frame = table.validate(frame)
        left_out = [dataclasses.asdict(r) for r in rejects]
        part = _parquet(frame)
        rejects_part = _parquet(REJECTS.frame(left_out).sort(REJECTS.schema.names())) if left_out else None
        sha = hashlib.sha256(part).hexdigest()
        content = [sha, hashlib.sha256(rejects_part).hexdigest() if rejects_part else ""]
        content += [f"{entry.path}:{entry.sha256}" for entry in files]
        manifest = Manifest(
            asset=table.name,
            partition=partition,
            rows=frame.height,
            bytes=len(part) + sum(entry.bytes for entry in files),
            sha256=sha,
            data_version=digest(*content),
            code_version=code_version,
            inputs=dict(sorted(inputs.items())),
            config=dict(sorted(config.items())),
            n_in=n_in,
            n_out=n_out,
            rejects=dict(sorted(Counter(str(r["reason"]) for r in left_out).items())),
            files=tuple(files),
            metrics=dict(sorted((metrics or {}).items())),
        )
        folder = self.folder(table, partition)
        _swap(folder, {PART: part, REJECTS_PART: rejects_part, MANIFEST: manifest.to_json()})
        return manifest

    def remove(self, table: Table, partition: str | None) -> None:
        """Make a partition not exist (its manifest first)."""
        folder = self.folder(table, partition)
        for name in (MANIFEST, PART, REJECTS_PART):
            (folder / name).unlink(missing_ok=True)

    def path_below(self, path: Path) -> str:
        """A path as it is stored in tables: relative to the data directory, with forward slashes."""
        return path.relative_to(self.root).as_posix()


def input_name(asset: str, partition: str | None) -> str:
    """Name of an input in a manifest: ``asset`` or ``asset@partition``."""
    return asset if partition is None else f"{asset}@{partition}"


def file_entry(lake: Lake, path: Path, sha256: str | None = None) -> FileEntry:
    """Entry for a file below the data directory; hashes it unless the digest is known."""
    if sha256 is None:
        with path.open("rb") as handle:
            sha256 = hashlib.file_digest(handle, "sha256").hexdigest()
    return FileEntry(lake.path_below(path), path.stat().st_size, sha256)


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", compression_level=1, statistics=True)
    return buffer.getvalue()


def _swap(folder: Path, contents: Mapping[str, bytes | None]) -> None:
    """Replace the files of a partition; the manifest is the first to go and the last to come."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        atomic.sweep(folder)
        staged: dict[str, Path] = {}
        for name, data in contents.items():
            if data is not None:
                staged[name] = folder / f"{atomic.TEMPORARY_PREFIX}{name}-{os.getpid()}"
                staged[name].write_bytes(data)
                atomic.sync(staged[name])
        (folder / MANIFEST).unlink(missing_ok=True)
        for name in contents:
            if name in staged:
                staged[name].replace(folder / name)
            else:
                (folder / name).unlink(missing_ok=True)
        atomic.sync(folder)
    except OSError as error:
        raise StoreError(
            f"cannot write {folder}: {error.strerror or error}. Free space or fix its permissions, then "
            "run again; a partition without a manifest is made anew."
        ) from error
