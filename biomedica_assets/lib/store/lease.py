"""One worker per partition: a lease that a second run of the same partition cannot get.

An advisory lock of the operating system, so a killed process leaves nothing to clean up: the kernel lets go of it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Generator, Sequence
from pathlib import Path

from biomedica_assets.lib.errors import BiomedicaError, StoreError


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


@contextlib.contextmanager
def _hold_one(path: Path, asset: str, partition: str | None) -> Generator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
