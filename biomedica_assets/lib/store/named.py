"""Files that one asset writes and another names by path: named by their content, so never written over.

``vectors.npy`` becomes ``vectors-<digest>.npy``. Equal bytes have one name and other bytes another, so whoever holds a
path goes on reading what it was given, whatever is made again meanwhile. ``gc.py`` removes what nothing names.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.store.lake import DIGITS, Lake, file_entry
from biomedica_assets.lib.store.manifest import FileEntry


def keep(lake: Lake, draft: Path, sha256: str | None = None) -> FileEntry:
    """Give a finished file the name of its content, in its folder.

    Args:
        lake: the data directory.
        draft: a file that is on the disk already, synced, under a name that only its writer knows.
        sha256: its digest, if it is known.

    Returns:
        The entry for the manifest.
    """
    entry = file_entry(lake, draft, sha256)
    final = path_of(draft, entry.sha256)
    draft.replace(final)
    atomic.sync(final.parent)
    return FileEntry(lake.path_below(final), entry.bytes, entry.sha256)


def write(lake: Lake, path: Path, data: bytes | memoryview) -> FileEntry:
    """Write ``data`` beside ``path``, under its name with the digest in it."""
    sha256 = hashlib.sha256(data).hexdigest()
    final = path_of(path, sha256)
    atomic.write_bytes(final, data)
    return FileEntry(lake.path_below(final), len(data), sha256)


def path_of(path: Path, sha256: str) -> Path:
    """The name of a file with the digest of its content in it."""
    return path.with_name(f"{path.stem}-{sha256[:DIGITS]}{path.suffix}")


def plain(path: str) -> str:
    """The name of a file without folder and digest: ``a/vectors-0123456789abcdef.npy`` is ``vectors.npy``."""
    name = Path(path)
    stem, dash, digits = name.stem.rpartition("-")
    return f"{stem}{name.suffix}" if dash and len(digits) == DIGITS else name.name
