"""Group search: the words of all samples, shelf by shelf, to be looked up."""

from collections.abc import Iterable

from biomedica_assets.assets.declare import Step, table_assets
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.select.search import stage
from biomedica_assets.lib.tables import ARTICLES, CAPTIONS, SEARCH_DOCUMENTS, SEARCH_WORDS, SHARDS


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
