"""Group search: the words of all samples, shelf by shelf, to be looked up."""

from collections.abc import Iterator

import dagster as dg

from biomedica_assets.lib.select.search import stage
from biomedica_assets.lib.tables import SEARCH_DOCUMENTS, SEARCH_WORDS, Table
from biomedica_assets.metadata import as_result, check_specs, definition_metadata
from biomedica_assets.partitions import CHUNK_TO_SHELF, SHELVES
from biomedica_assets.resources import LakeResource, Progressing, SettingsResource


def _indexed(table: Table) -> dg.AssetSpec:
    return dg.AssetSpec(
        table.name,
        deps=[dg.AssetDep(made, partition_mapping=CHUNK_TO_SHELF) for made in ("shards", "captions", "articles")],
        group_name="search",
        kinds={"parquet"},
        code_version=stage.VERSION,
        metadata=definition_metadata(table),
        description=table.meaning,
    )


@dg.multi_asset(
    specs=[_indexed(SEARCH_DOCUMENTS), _indexed(SEARCH_WORDS)],
    partitions_def=SHELVES,
    pool="disk",
    check_specs=check_specs("search_documents", "search_words"),
)
def search_index(
    context: dg.AssetExecutionContext,
    settings: SettingsResource,
    lake: LakeResource,
    progress: dg.ResourceParam[Progressing],
) -> Iterator[dg.MaterializeResult]:
    """Documents and words of a shelf, for search by BM25."""
    values = settings.open()
    with lake.hold(context) as data:
        for report in stage.index_shelf(data, context.partition_key, progress=progress.open(context.log)):
            yield as_result(report, data, tolerance=values.max_reject_fraction, keyed=True)
