"""Which partitions a data directory has: chunks, shelves, recipes.

Imports no Dagster: the supervisor of the UI asks, too.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from biomedica_assets.lib.lineage import listed
from biomedica_assets.lib.select import definition
from biomedica_assets.lib.store.lake import MANIFEST, Lake
from biomedica_assets.lib.tables import PMC_INVENTORY


class Keys(NamedTuple):
    """Partition keys by kind, each sorted."""

    chunks: tuple[str, ...]
    shelves: tuple[str, ...]
    recipes: tuple[str, ...]


def keys(data_dir: Path) -> Keys:
    """What there is now: the chunks that the inventory lists, their shelves, shipped and own recipes."""
    lake = Lake(data_dir)
    recipes = definition.names(data_dir / "recipes")
    return Keys(tuple(listed.listed_chunks(lake)), tuple(listed.listed_shelves(lake)), tuple(recipes))


def changed_at(data_dir: Path) -> tuple[int, ...]:
    """When the inventory and the folder of recipes last changed; asked every second, so it reads nothing else."""
    inventory = Lake(data_dir).folder(PMC_INVENTORY, None) / MANIFEST
    return tuple(path.stat().st_mtime_ns if path.exists() else 0 for path in (inventory, data_dir / "recipes"))
