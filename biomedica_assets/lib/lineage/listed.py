"""Which chunks and shelves there are: those that the inventory lists, and no others.

A chunk whose last article was withdrawn stays until everything made of it is empty, since it would otherwise keep what
must not be there any more; then it goes. It comes back when the inventory lists an article of it again.
"""

from __future__ import annotations

from collections.abc import Callable

from biomedica_assets.lib import chunks
from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.store.lake import Lake, input_name
from biomedica_assets.lib.store.manifest import Manifest
from biomedica_assets.lib.tables import ALL, ARTICLE_INDEX, CHUNK_LISTING, Table

Manifests = Callable[[Table, str | None], Manifest | None]
"""How a manifest is read: ``Lake.manifest``, or something that remembers."""


def listed_chunks(lake: Lake, manifests: Manifests | None = None) -> list[str]:
    """Keys of the chunks that can be made, sorted: those with listed articles, and those that are not emptied yet.

    A listing that cannot be read counts as one with articles: it is damaged, and what to do about that is said where
    it is read.
    """
    ask = manifests or _reading(lake)
    return [key for key in lake.partitions(CHUNK_LISTING) if _holds_something(ask, key)]


def listed_shelves(lake: Lake) -> list[str]:
    """Keys of the shelves of every chunk that was ever listed, sorted: one without articles is made of nothing."""
    return sorted({chunks.shelf_of_chunk(key) for key in lake.partitions(CHUNK_LISTING)})


def _holds_something(ask: Manifests, chunk: str) -> bool:
    listing = ask(CHUNK_LISTING, chunk)
    if listing is None or listing.rows:
        return True
    index = ask(ARTICLE_INDEX, chunk)
    if index is None:
        return False
    if index.inputs.get(input_name(CHUNK_LISTING.name, chunk)) != listing.data_version:
        return True
    made = (ask(table, chunk) for table in ALL if table.partitioning == "chunk")
    return any(manifest is not None and manifest.rows for manifest in made)


def _reading(lake: Lake) -> Manifests:
    def read(table: Table, partition: str | None) -> Manifest | None:
        try:
            return lake.manifest(table, partition)
        except StoreError:
            return None

    return read
