"""The data directory: where each asset's partitions lie, how they are published and read.

``tables/<asset>/<chunk=KEY|shelf=KEY|recipe=KEY|all>/_manifest.json`` names everything a partition consists of: beside
it ``part-<digest>.parquet`` and, only if something was left out, ``rejects-<digest>.parquet``. Every asset is a table,
also one whose substance is files (mirror, shards, weights): its table is then the index of them and its manifest lists
them with digests.

Files are named by their content and never written over. A rerun puts new ones beside the old and replaces the manifest
in one step, so a reader that began before goes on with what it began with; ``gc.py`` alone takes away what nothing
names.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from biomedica_assets.lib.errors import Reject, StoreError
from biomedica_assets.lib.store import atomic, damage
from biomedica_assets.lib.store.manifest import FileEntry, Manifest, digest
from biomedica_assets.lib.tables import REJECTS, Table

MANIFEST = "_manifest.json"
PART, REJECTS_PART = "part", "rejects"
"""How the names of the two files of a table begin; a dash, their digest and ``.parquet`` follow."""
ALL = "all"
DIGITS = 16
"""Hexadecimal digits of a SHA-256 in a file's name."""


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
            found = Manifest.from_json(path.read_bytes(), str(path))
        except FileNotFoundError:
            return None
        return found if found.parts else self._with_fixed_names(found, path.parent)

    def intact(self, table: Table, partition: str | None) -> Manifest | None:
        """The manifest of a partition of which every file is what was written, bit by bit; None if it is not.

        For what takes over its own earlier results: it makes them anew where they are damaged.
        """
        try:
            found = self.manifest(table, partition)
        except StoreError:
            return None
        return found if found and not any(damage.wrong_bytes(self.root, entry) for entry in found.stored) else None

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
        return pl.scan_parquet(self.part(table, partition), schema=table.schema, hive_partitioning=False)

    def part(self, table: Table, partition: str | None) -> Path:
        """The file with the rows of a partition, as large as it was written and with a footer.

        Raises:
            StoreError: the partition has not been materialised.
            DamagedFile: the file is missing or not what was written.
        """
        found = self.manifest(table, partition)
        if found is None:
            what = table.name if partition is None else f"{table.name} of {partition}"
            raise StoreError(
                f"{what} has not been materialised: {self.folder(table, partition)} has no {MANIFEST}; `biomedica run` "
                "makes it, `biomedica stale` says what it waits for"
            )
        return damage.checked_parquet(self.root, found.parts[0], table.name, partition)

    def read(self, table: Table, partition: str | None) -> pl.DataFrame:
        """Rows of one partition.

        Raises:
            StoreError: it has not been materialised, or an earlier version of the code wrote it with other columns.
            DamagedFile: its file is not what was written.
        """
        try:
            return self.read_lazy(table, partition).collect()
        except (pl.exceptions.ColumnNotFoundError, pl.exceptions.SchemaError) as error:
            why = str(error).partition("\n")[0]
            raise StoreError(
                f"{input_name(table.name, partition)} was written with other columns than this version reads ({why}); "
                "`biomedica refresh` brings it up to date"
            ) from error
        except pl.exceptions.ComputeError as error:
            why = str(error).partition("\n")[0]
            raise damage.DamagedFile(
                f"{self.part(table, partition)} cannot be read ({why}); {damage.again(table.name, partition)}"
            ) from error

    def read_rejects(self, table: Table, partition: str | None) -> pl.DataFrame:
        """Rejects of one partition; empty if nothing was left out."""
        found = self.manifest(table, partition)
        if found is None or len(found.parts) == 1:
            return REJECTS.empty()
        path = damage.checked_parquet(self.root, found.parts[1], table.name, partition)
        return pl.read_parquet(path, hive_partitioning=False)

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
        identity: str = "",
    ) -> Manifest:
        """Write one partition: table, rejects, then the manifest, so that it is the old one or the new one at any time.

        The frame is validated against the table. The files get names of their own, beside those of the partition that
        is there; it is the new one from the moment at which the new manifest takes the old one's name.

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
            identity: what tells contents apart beside their bytes, such as the digest of an encoder whose vectors
                happen to equal another's: what stands on this partition refuses or becomes out of date by it.

        Raises:
            PermanentFailure: the frame does not fit the table.
            StoreError: the disk cannot be written; the earlier partition stays.
        """
        frame = table.validate(frame)
        left_out = [dataclasses.asdict(r) for r in rejects]
        contents = [(PART, _parquet(frame))]
        if left_out:
            contents.append((REJECTS_PART, _parquet(REJECTS.frame(left_out).sort(REJECTS.schema.names()))))
        folder = self.folder(table, partition)
        parts = {f"{stem}-{sha[:DIGITS]}.parquet": (sha, data) for stem, data in contents if (sha := _sha256(data))}
        entries = [FileEntry(self.path_below(folder / n), len(data), sha) for n, (sha, data) in parts.items()]
        content = [entries[0].sha256, entries[1].sha256 if left_out else ""]
        content += [f"{entry.path}:{entry.sha256}" for entry in files]
        content += [identity] if identity else []
        manifest = Manifest(
            asset=table.name,
            partition=partition,
            rows=frame.height,
            bytes=entries[0].bytes + sum(entry.bytes for entry in files),
            sha256=entries[0].sha256,
            data_version=digest(*content),
            code_version=code_version,
            inputs=dict(sorted(inputs.items())),
            config=dict(sorted(config.items())),
            n_in=n_in,
            n_out=n_out,
            rejects=dict(sorted(Counter(str(r["reason"]) for r in left_out).items())),
            files=tuple(files),
            metrics=dict(sorted((metrics or {}).items())),
            parts=tuple(entries),
        )
        _write(folder, {name: data for name, (_, data) in parts.items()}, manifest.to_json())
        return manifest

    def remove(self, table: Table, partition: str | None) -> None:
        """Make a partition not exist; its files stay for those who read them."""
        atomic.remove(self.folder(table, partition) / MANIFEST)

    def path_below(self, path: Path) -> str:
        """A path as it is stored in tables: relative to the data directory, with forward slashes."""
        return path.relative_to(self.root).as_posix()

    def _with_fixed_names(self, found: Manifest, folder: Path) -> Manifest:
        """A manifest of before files were named by their digest: they had one name each and were written over."""
        part = FileEntry(self.path_below(folder / "part-0.parquet"), 0, found.sha256)
        part = dataclasses.replace(part, bytes=found.bytes - sum(entry.bytes for entry in found.files))
        rejects = folder / "rejects.parquet"
        parts = (part, file_entry(self, rejects)) if found.rejects and rejects.exists() else (part,)
        return dataclasses.replace(found, parts=parts)


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


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _write(folder: Path, parts: Mapping[str, bytes], manifest: bytes) -> None:
    """Put files into a partition's folder and then, in one step, the manifest that names them."""
    atomic.sweep(folder)
    # Also what is there under this name: its bytes may have been damaged since.
    atomic.write_many(folder, parts)
    atomic.write_many(folder, {MANIFEST: manifest})
    atomic.remove(folder / damage.MARK)
