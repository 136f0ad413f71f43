"""One worker per partition: a lease that a second run of the same partition cannot get.

An advisory lock of the operating system, so a killed process leaves nothing to clean up: the kernel lets go of it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Generator, Sequence
from pathlib import Path

from biomedica_assets.lib.errors import BiomedicaError, StoreError

_LOOKS = 5


class PartitionBusy(BiomedicaError):
    """Another process is making this partition."""


@contextlib.contextmanager
def hold(root: Path, assets: Sequence[str], partition: str | None) -> Generator[None]:
    """Hold the leases of these assets' partition while the block runs.

    Args:
        root: the data directory.
        assets: names; they are taken in sorted order, so two holders cannot wait for each other.
        partition: partition key, None if unpartitioned.

    Raises:
        PartitionBusy: another process holds one of them; the message names the process.
        StoreError: the lock file cannot be written.
    """
    with contextlib.ExitStack() as stack:
        for asset in sorted(assets):
            stack.enter_context(_hold_one(root / "locks" / f"{asset}@{partition or 'all'}.lock", asset, partition))
        yield


def held(root: Path) -> dict[str, float]:
    """Leases that processes hold now: ``asset@partition`` (``asset`` if unpartitioned) -> when they were taken."""
    found: dict[str, float] = {}
    for path in (root / "locks").glob("*.lock"):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            found[path.stem.removesuffix("@all")] = os.fstat(descriptor).st_mtime
        finally:
            os.close(descriptor)
    return found


@contextlib.contextmanager
def _hold_one(path: Path, asset: str, partition: str | None) -> Generator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from error
    try:
        try:
            _lock(descriptor)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            where = f"{asset} of {partition}" if partition else asset
            raise PartitionBusy(
                f"{where} is being made by process {holder}; wait for that run or end it, then run again"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Take the lock; one that is only being looked at (``held``) is free again in a moment."""
    for _ in range(_LOOKS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02)
        else:
            return
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
