"""Which engine work runs on: this machine, or a cluster by its address."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from biomedica_assets.lib.compute import Engine
from biomedica_assets.lib.compute.local import LocalEngine
from biomedica_assets.lib.compute.ray import RayEngine


def open_engine(kind: Literal["threads", "processes"], *, workers: int, ray: str, disk: Path) -> Engine:
    """An engine; nothing is started or connected before work is handed to it.

    Args:
        kind: what serves best on one machine: threads for decoding, hashing and reading, processes for parsing. A
            cluster has processes alone, one for each core.
        workers: how many at once on this machine, 0 for one per core.
        ray: address of a Ray cluster; empty for this machine.
        disk: the data directory, which every node of a cluster has to see under this path.
    """
    return RayEngine(ray, disk) if ray else LocalEngine(kind, workers or None)
