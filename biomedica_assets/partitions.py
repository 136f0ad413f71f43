"""How the graph is cut: chunks, shelves, the mapping between them, and recipes.

Belongs here: partition definitions and mappings, computed from two settings by ``lib.chunks``; no list of articles is
read. A fan-in goes chunk -> shelf -> global, because Dagster silently stops tracking staleness on an edge with 100 or
more upstream partitions (measured with dagster 1.13.27).
Concept: https://docs.dagster.io/guides/build/partitions-and-backfills
"""

import dagster as dg

from biomedica_assets import settings
from biomedica_assets.lib import chunks
from biomedica_assets.lib.select import definition

_SETTINGS = settings.load()
_KEYS = chunks.all_chunks(_SETTINGS.max_pmcid, _SETTINGS.chunk_span)

CHUNKS = dg.StaticPartitionsDefinition(_KEYS)
SHELVES = dg.StaticPartitionsDefinition(sorted({chunks.shelf_of_chunk(key) for key in _KEYS}))
CHUNK_TO_SHELF = dg.StaticPartitionMapping({key: chunks.shelf_of_chunk(key) for key in _KEYS})
"""For an asset on SHELVES that reads an asset on CHUNKS: each shelf reads the chunks of its million."""

RECIPES = dg.StaticPartitionsDefinition(definition.names(_SETTINGS.data_dir / "recipes"))
"""Recipes that are shipped and those in the data directory; a new file is seen when the definitions are reloaded."""
