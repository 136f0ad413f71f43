"""Group search: words and vectors of all samples, shelf by shelf, to be looked up."""

from collections.abc import Iterable

from biomedica_assets.assets.declare import Step, table_asset, table_assets
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.select.search import codes, stage
from biomedica_assets.lib.tables import (
    ARTICLES,
    CAPTIONS,
    EMBEDDING_SHELF,
    SEARCH_DOCUMENTS,
    SEARCH_VECTORS,
    SEARCH_WORDS,
    SHARDS,
)


@table_assets(
    "search_index",
    tables={SEARCH_DOCUMENTS: "search", SEARCH_WORDS: "search"},
    version=stage.VERSION,
    made_from=(SHARDS, CAPTIONS, ARTICLES),
    pool="disk",
)
def search_index(step: Step) -> Iterable[Report]:
    """Documents and words of a shelf, for search by BM25."""
    return stage.index_shelf(step.data, step.partition, progress=step.progress)


@table_asset(
    SEARCH_VECTORS, group="search", version=codes.VERSION, made_from=(EMBEDDING_SHELF,), kinds=("faiss",), pool="disk"
)
def search_vectors(step: Step) -> Report:
    """Codes of a shelf's vectors, for search by a picture."""
    return codes.code_shelf(step.data, step.partition, progress=step.progress)
