"""How the graph is cut: chunks, shelves, the mapping between them, and recipes.

Belongs here: partition definitions and mappings over the keys that exist: the chunks that the inventory lists
(``offered``), their shelves, the recipes. A fan-in goes chunk -> shelf -> global, because Dagster silently
stops tracking staleness on an edge with 100 or more upstream partitions (measured with dagster 1.13.27).

The keys are static ones that are read anew, not Dagster's dynamic partitions: those need a mapping of our own, which
the web server does not know, so that it called a shelf fresh whose chunk had changed (measured with dagster 1.13.27).
A process that works for a while calls ``follow``; a web server shows the keys that its code location had when it was
loaded, and ``biomedica ui`` reloads it when they change.
Concept: https://docs.dagster.io/guides/build/partitions-and-backfills
"""

from pathlib import Path

import dagster as dg

from biomedica_assets import offered, settings
from biomedica_assets.lib import chunks

CHUNKS = dg.StaticPartitionsDefinition([])
SHELVES = dg.StaticPartitionsDefinition([])
_TO_SHELF: dict[str, str] = {}
CHUNK_TO_SHELF = dg.StaticPartitionMapping(_TO_SHELF)
"""For an asset on SHELVES that reads an asset on CHUNKS: each shelf reads the chunks of its million."""

RECIPES = dg.StaticPartitionsDefinition([])
"""Recipes that are shipped and those in the data directory."""


def follow(data_dir: Path) -> None:
    """Let the definitions of this process have the keys that the data directory has now.

    They are initialised anew in place: assets, jobs and the resolved graph hold on to these very objects.
    """
    found, shelves, recipes = offered.keys(data_dir)
    if list(found) != CHUNKS.get_partition_keys() or list(shelves) != SHELVES.get_partition_keys():
        CHUNKS.__init__([*found])
        SHELVES.__init__([*shelves])
        _TO_SHELF.clear()
        _TO_SHELF.update({key: chunks.shelf_of_chunk(key) for key in found})
        CHUNK_TO_SHELF.__init__(_TO_SHELF)
    if list(recipes) != RECIPES.get_partition_keys():
        RECIPES.__init__([*recipes])


follow(settings.load().data_dir)
