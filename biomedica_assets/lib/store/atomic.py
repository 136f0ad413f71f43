"""The one way a file is written: temporary name in the same folder, fsync, rename, fsync of the folder.

A reader therefore sees the old file or the new one, never a part, whatever is killed and whenever.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Generator, Mapping
from pathlib import Path

from biomedica_assets.lib.errors import StoreError

TEMPORARY_PREFIX = ".tmp-"
# Process id, the random part that ``replacing`` adds, and what DuckDB hangs on the name of its log.
_OWNER = re.compile(r"-([1-9]\d{0,8})(?:-[0-9a-f]{8})?(?:\.wal)?$")


@contextlib.contextmanager
def replacing(path: Path) -> Generator[Path]:
    """Yield a temporary path in the folder of ``path``; on success it is synced and takes the name ``path``.

    Raises:
        StoreError: the folder cannot be written (full, read-only, no permission); what ``path`` held before is whole.
    """
    temporary = path.parent / f"{TEMPORARY_PREFIX}{path.name[:80]}-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    except OSError as error:
        reason = error.strerror or error
        raise StoreError(
            f"cannot write {path}: {reason}. What it held before is unchanged; free space or fix the "
            f"permissions of {path.parent} and run again."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Write ``data`` to ``path`` atomically and durably."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_many(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write files into one folder, all of them durably before the first has its name; the folder is synced once.

    Raises:
        StoreError: the folder cannot be written; what it held before is whole.
    """
    staged: dict[str, Path] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in contents.items():
            staged[name] = folder / f"{TEMPORARY_PREFIX}{name[:80]}-{os.getpid()}-{secrets.token_hex(4)}"
            staged[name].write_bytes(data)
            sync(staged[name])
        for name, temporary in staged.items():
            temporary.replace(folder / name)
        sync(folder)
    except OSError as error:
        raise StoreError(
            f"cannot write {folder}: {error.strerror or error}. What it held before is unchanged; free space or "
            "fix its permissions, then run again."
        ) from error
    finally:
        for temporary in staged.values():
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Take a file away if it is there.

    Raises:
        StoreError: the disk or the permissions of its folder do not let it go.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            f"cannot remove {path}: {error.strerror or error}. See to the disk or the permissions of {path.parent}, "
            "then run again."
        ) from error


def sync(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(folder: Path, of: str = "") -> int:
    """Remove what killed processes left in a folder (not below it); returns how many files.

    Args:
        folder: where to look.
        of: only files whose name was to begin with this, in a folder that several write to.

    What a process that lives is writing stays, and what this one wrote goes: it writes a folder one step after another.
    """
    n = 0
    if folder.is_dir():
        for leftover in folder.glob(f"{TEMPORARY_PREFIX}{of}*"):
            owner = _OWNER.search(leftover.name)
            if leftover.is_dir() or (owner is not None and _lives(int(owner[1]))):
                continue
            remove(leftover)
            n += 1
    return n


def _lives(process: int) -> bool:
    """Whether another process of this number runs; that of a user whom we may not signal does."""
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    try:
        # In a container nobody may ask after an orphan that was killed: it keeps its number as a zombie.
        return (
            Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace").rpartition(") ")[2][:1] != "Z"
        )
    except OSError:
        return True
