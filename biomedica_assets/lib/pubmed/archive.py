"""PubMed from a directory in the layout of NLM's server: ``baseline`` and ``updatefiles``, each file with its MD5.

Each file is read once and kept as Parquet sorted by PMID, named by its MD5: 1,334 baseline files would otherwise be
read anew for each of 650 chunks. A later file wins over an earlier one, by number and not by name or time, and a
``DeleteCitation`` takes a record out. Layout and rules: https://ftp.ncbi.nlm.nih.gov/pubmed/ (baseline/README.txt).
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import functools
import gzip
import hashlib
import re
from collections.abc import Collection, Generator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from biomedica_assets.lib.compute import Engine
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.progress import SILENT, Progress
from biomedica_assets.lib.pubmed.reading import Deletion, read_set
from biomedica_assets.lib.pubmed.record import RECORD
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.store.manifest import digest

VERSION = "1"
FOLDERS = ("baseline", "updatefiles")
_NAME = re.compile(r"pubmed(\d\d)n(\d{4,})\.xml\.gz")
_MD5 = re.compile(r"\b[0-9a-f]{32}\b", re.IGNORECASE)
# A chunk wants about 10,000 of the 40 million PMIDs: small row groups let a reader skip most of a file.
_ROW_GROUP = 2_000
_STORED = pl.Schema({**RECORD, "deleted": pl.Boolean(), "position": pl.Int32()})


@dataclasses.dataclass(frozen=True, slots=True)
class ArchiveFile:
    """One file of the server: where it lies, its number in the year's series, its MD5 as the server states it."""

    path: Path
    number: int
    md5: str


@dataclasses.dataclass(frozen=True, slots=True)
class Archive:
    """PubMed in files; a ``stage.Provider``.

    Attributes:
        directory: holds ``baseline`` and ``updatefiles``.
        store: folder for the converted files, below the data directory.
        engine: converts several files at once.
    """

    directory: Path
    store: Path
    engine: Engine

    def recorded(self) -> dict[str, str]:
        """What decides about the records: the files, by number and MD5."""
        found = files(self.directory)
        return {"pubmed": "archive", "pubmed_files": digest(*(f"{file.number}:{file.md5}" for file in found))}

    def records(self, pmids: Sequence[int], progress: Progress = SILENT) -> pl.DataFrame:
        """Records of these PMIDs in the schema ``RECORD`` and ``source``; those PubMed lacks or deleted are absent.

        Raises:
            PermanentFailure: a file is missing in the series, damaged, or does not have the MD5 the server states.
        """
        found = files(self.directory)
        convert(found, self.store, self.engine, progress)
        frames: list[pl.DataFrame] = []
        wanted = sorted(set(pmids))
        for file in found:
            rows = _look_up(_stored(self.store, file), wanted)
            if rows.height:
                frames.append(rows.with_columns(order=pl.lit(file.number), source=pl.lit(file.path.name)))
        if not frames:
            return pl.DataFrame(schema={**RECORD, "source": pl.String()})
        newest = pl.concat(frames).sort("pmid", "order", "position").unique("pmid", keep="last", maintain_order=True)
        return newest.filter(~pl.col("deleted")).select(*RECORD.names(), "source")


def files(directory: Path) -> list[ArchiveFile]:
    """The files of the newest year, in numeric order, with the MD5 from the file beside each.

    Raises:
        PermanentFailure: there is no baseline, an MD5 file is missing or says nothing, or the series has a gap.
    """
    by_year: dict[str, dict[int, Path]] = {}
    for folder in FOLDERS:
        for path in sorted((directory / folder).glob("pubmed*.xml.gz")):
            if match := _NAME.fullmatch(path.name):
                by_year.setdefault(match[1], {})[int(match[2])] = path
    if not by_year or not any((directory / FOLDERS[0]).glob("pubmed*.xml.gz")):
        raise PermanentFailure(
            f"{directory} holds no PubMed baseline: {directory / FOLDERS[0]}/pubmedYYnNNNN.xml.gz is expected, as on "
            "https://ftp.ncbi.nlm.nih.gov/pubmed/"
        )
    # A new baseline replaces the files of the year before, of which some may still lie there.
    year = max(match[1] for path in (directory / FOLDERS[0]).iterdir() if (match := _NAME.fullmatch(path.name)))
    series = by_year[year]
    if gaps := sorted(set(range(1, max(series) + 1)) - series.keys()):
        named = ", ".join(f"pubmed{year}n{n:04d}" for n in gaps[:5])
        raise PermanentFailure(
            f"{directory} lacks {len(gaps)} files of the series, the first are {named}; without them records would be "
            "missing or out of date. Fetch them and run again"
        )
    return [ArchiveFile(series[n], n, _stated_md5(series[n])) for n in sorted(series)]


def convert(found: Sequence[ArchiveFile], store: Path, engine: Engine, progress: Progress = SILENT) -> int:
    """Convert the files that the store lacks; several processes may ask at once, one does it.

    Returns:
        How many files were converted now.
    """
    with _alone(store):
        missing = [file for file in found if not _stored(store, file).exists()]
        progress.start("read PubMed files", len(missing), "files")
        try:
            for _, outcome in engine.map_batches(functools.partial(convert_file, store), missing):
                if isinstance(outcome, Exception):
                    raise outcome
                progress.advance()
        finally:
            progress.finish()
        keep = {_stored(store, file).name for file in found}
        for old in store.glob("*.parquet"):
            if old.name not in keep:
                old.unlink()
    return len(missing)


def convert_file(store: Path, file: ArchiveFile) -> int:
    """Write one file's records and deletions as Parquet, sorted by PMID; returns how many.

    Raises:
        PermanentFailure: the bytes do not have the stated MD5, or are not PubMed XML.
    """
    with file.path.open("rb") as handle:
        found = hashlib.file_digest(handle, functools.partial(hashlib.md5, usedforsecurity=False)).hexdigest()
    if found != file.md5:
        raise PermanentFailure(
            f"{file.path} has MD5 {found}, its .md5 file says {file.md5}; fetch both again from the server"
        )
    parts: list[pl.DataFrame] = []
    rows: list[dict[str, Any]] = []
    with gzip.open(file.path, "rb") as stream:
        for position, entry in enumerate(read_set(stream, str(file.path))):  # pyright: ignore[reportArgumentType]
            rows.append(_deleted(entry) if isinstance(entry, Deletion) else {**entry, "deleted": False})
            rows[-1]["position"] = position
            if len(rows) == _ROW_GROUP:
                parts.append(pl.DataFrame(rows, schema=_STORED, orient="row"))
                rows = []
    parts.append(pl.DataFrame(rows, schema=_STORED, orient="row"))
    frame = pl.concat(parts).sort("pmid", "position")
    with atomic.replacing(_stored(store, file)) as temporary:
        frame.write_parquet(temporary, compression="zstd", row_group_size=_ROW_GROUP)
    return frame.height


def _look_up(path: Path, wanted: Collection[int]) -> pl.DataFrame:
    rows = pl.scan_parquet(path, schema=_STORED, hive_partitioning=False)
    hits = rows.select("pmid").unique().collect()["pmid"].implode()
    wanted_here = pl.Series("pmid", sorted(wanted), dtype=pl.Int64())
    wanted_here = wanted_here.filter(wanted_here.is_in(hits))
    if not wanted_here.len():
        return pl.DataFrame(schema=_STORED)
    low, high = wanted_here.min(), wanted_here.max()
    chosen = rows.filter(pl.col("pmid").is_between(low, high), pl.col("pmid").is_in(wanted_here.implode()))
    return chosen.collect()


def _deleted(entry: Deletion) -> dict[str, Any]:
    empty: dict[str, Any] = {name: [] if isinstance(dtype, pl.List) else None for name, dtype in RECORD.items()}
    return {**empty, "pmid": entry.pmid, "is_retracted": False, "deleted": True}


def _stored(store: Path, file: ArchiveFile) -> Path:
    return store / f"{file.path.name.removesuffix('.xml.gz')}-{file.md5[:16]}-{VERSION}.parquet"


def _stated_md5(path: Path) -> str:
    stated = path.with_name(path.name + ".md5")
    try:
        text = stated.read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        raise PermanentFailure(
            f"{stated} is missing; fetch it from the server, {path.name} cannot be trusted"
        ) from None
    if not (match := _MD5.search(text)):
        raise PermanentFailure(f"{stated} names no MD5: {text[:60]!r}; expected the form MD5({path.name})= hex")
    return match[0].lower()


@contextlib.contextmanager
def _alone(store: Path) -> Generator[None]:
    """Wait until no other process converts into this store."""
    store.mkdir(parents=True, exist_ok=True)
    with (store / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
