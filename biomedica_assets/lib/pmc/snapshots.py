"""Snapshots of the bucket's inventory: which there are, which is the newest that is complete, and its parts.

The format is AWS S3 Inventory as CSV (Amazon S3 User Guide, "Locating your inventory list"):
``<date>/manifest.json``, its MD5 in ``<date>/manifest.checksum``, and the ``files`` it names, each with its MD5. A new
date folder may be there before its parts are, so a snapshot counts only when all of it was read and matches.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from biomedica_assets.lib.errors import BiomedicaError
from biomedica_assets.lib.pmc.source import PMC_BUCKET, KeyRefused, ObjectMissing, PmcSource
from biomedica_assets.lib.progress import SILENT, Progress

FOLDER = f"inventory-reports/{PMC_BUCKET}/metadata/"
_DATED = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}-\d{2}Z")
REQUIRED = ("Key", "ETag")


class SnapshotIncomplete(BiomedicaError):
    """A part of a snapshot is missing or does not match; the message names it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    """A complete snapshot whose parts were copied here.

    Attributes:
        name: its date folder, for example ``2026-11-21T01-00Z``.
        columns: columns of the CSV parts, in order.
        parts: the gzipped parts.
    """

    name: str
    columns: tuple[str, ...]
    parts: tuple[Path, ...]


def names(source: PmcSource) -> list[str]:
    """Dates of the source's snapshots, newest first, complete or not."""
    return sorted((name for name in source.list_dirs(FOLDER) if _DATED.fullmatch(name)), reverse=True)


def copy(source: PmcSource, name: str, into: Path, progress: Progress = SILENT) -> Snapshot:
    """Copy the parts of a snapshot into a folder, each verified.

    Raises:
        SnapshotIncomplete: the manifest or a part is missing, damaged, or does not match its MD5.
        FetchFailed: the source did not deliver; this says nothing about the snapshot.
    """
    raw = _object(source, f"{FOLDER}{name}/manifest.json")
    stated = _object(source, f"{FOLDER}{name}/manifest.checksum").decode("ascii", "replace").strip().lower()
    if stated != (found := _md5(raw)):
        raise SnapshotIncomplete(f"manifest.json has MD5 {found}, manifest.checksum says {stated[:64]!r}")
    columns, files = _read_manifest(raw)
    parts: list[Path] = []
    progress.start(f"copy inventory {name}", len(files), "parts")
    for number, (key, md5) in enumerate(files):
        data = _object(source, key)
        if (found := _md5(data)) != md5:
            raise SnapshotIncomplete(f"part {key} has MD5 {found}, the manifest says {md5}")
        parts.append(into / f"part-{number:05d}.csv.gz")
        parts[-1].write_bytes(data)
        progress.advance()
    progress.finish()
    return Snapshot(name, columns, tuple(parts))


def _read_manifest(raw: bytes) -> tuple[tuple[str, ...], list[tuple[str, str]]]:
    """Columns, and key and MD5 of each part."""
    try:
        manifest: dict[str, Any] = json.loads(raw)
        if (kind := manifest.get("fileFormat", "CSV")) != "CSV":
            raise SnapshotIncomplete(f"manifest.json announces {kind} parts; only CSV is read")
        columns = tuple(column.strip() for column in manifest["fileSchema"].split(","))
        files = [(str(file["key"]), str(file["MD5checksum"]).lower()) for file in manifest["files"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SnapshotIncomplete(f"manifest.json is not an S3 Inventory manifest: {error!r}") from error
    if lacking := [column for column in REQUIRED if column not in columns]:
        raise SnapshotIncomplete(f"manifest.json announces no column {', '.join(lacking)}")
    if not files:
        raise SnapshotIncomplete("manifest.json names no parts")
    return columns, files


def _object(source: PmcSource, key: str) -> bytes:
    try:
        return source.get(key)
    except (ObjectMissing, KeyRefused) as error:
        raise SnapshotIncomplete(str(error)) from error


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
