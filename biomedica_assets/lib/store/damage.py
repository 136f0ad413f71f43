"""Whether what lies on the disk is what was written: at a glance by size, time and footer, for certain by digest.

A manifest names every file of its partition with size and SHA-256, and is written after them. A glance is cheap enough
for each look at a data directory of 650 chunks; it hashes only what was written after its manifest.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.store.manifest import FileEntry

_MAGIC = b"PAR1"
MARK = "_damaged.json"
"""Beside a manifest: what ``fsck.py`` found wrong with its partition; gone when the partition is made again."""


class DamagedFile(StoreError):
    """A file is not what was written; the message names the partition to make again."""


def again(asset: str, partition: str | None) -> str:
    """The cure for a damaged partition, as a command."""
    what = asset if partition is None else f"{asset}@{partition}"
    return f"`biomedica run --select {asset}` makes {what} again; `biomedica fsck` looks for further damage"


def checked(root: Path, entry: FileEntry, asset: str, partition: str | None) -> Path:
    """Path of a file that is there and has its size.

    Raises:
        DamagedFile: it is missing or of another size.
    """
    if fault := wrong_size(root, entry):
        raise DamagedFile(f"{root / entry.path} {fault}; {again(asset, partition)}")
    return root / entry.path


def checked_parquet(root: Path, entry: FileEntry, asset: str, partition: str | None) -> Path:
    """As ``checked``, for a Parquet file, which also has to end as one."""
    path = checked(root, entry, asset, partition)
    with path.open("rb") as handle:
        handle.seek(-len(_MAGIC), os.SEEK_END)
        if handle.read() != _MAGIC:
            raise DamagedFile(f"{path} does not end as a Parquet file; {again(asset, partition)}")
    return path


def wrong_size(root: Path, entry: FileEntry) -> str | None:
    """What is wrong with a file as far as its size tells, None if nothing."""
    try:
        size = (root / entry.path).stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return "is missing"
    except OSError as error:
        return f"cannot be looked at ({error.strerror})"
    return None if size == entry.bytes else f"has {size:,} bytes, {entry.bytes:,} were written"


def wrong_bytes(root: Path, entry: FileEntry) -> str | None:
    """What is wrong with a file, its digest included, None if nothing."""
    if fault := wrong_size(root, entry):
        return fault
    try:
        with (root / entry.path).open("rb") as handle:
            found = hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None if found == entry.sha256 else f"has other bytes than were written (SHA-256 {found[:12]}…)"


def marked(folder: Path) -> list[str]:
    """What a check of every byte found wrong with the partition of a folder, a sentence each."""
    try:
        return [str(line) for line in json.loads((folder / MARK).read_bytes())]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError):
        return ["a check found it damaged"]


def glance(root: Path, entries: Sequence[FileEntry], manifest: Path) -> list[str]:
    """Files of a partition that are missing, of another size, or changed after their manifest was written.

    Files are written before their manifest. One that is younger was copied or changed: it is hashed, and if all of them
    are right, the manifest's time is set to now, so that they are not hashed at every look.

    Args:
        root: the data directory.
        entries: the files.
        manifest: the file that names them.

    Returns:
        One sentence per file that is not what was written.
    """
    written = manifest.stat().st_mtime_ns
    faults: list[str] = []
    younger = False
    for entry in entries:
        fault = wrong_size(root, entry)
        if fault is None and (root / entry.path).stat().st_mtime_ns > written:
            younger = True
            fault = wrong_bytes(root, entry)
        if fault:
            faults.append(f"{entry.path} {fault}")
    if younger and not faults:
        with contextlib.suppress(OSError):  # a data directory may be read-only
            os.utime(manifest)
    return faults
