"""Group articles, continued: what PubMed says of them."""

import dagster as dg

from biomedica_assets import configs
from biomedica_assets.lib.pubmed import stage
from biomedica_assets.lib.tables import PUBMED_RECORDS
from biomedica_assets.metadata import as_result, check_specs, definition_metadata
from biomedica_assets.partitions import CHUNKS
from biomedica_assets.resources import LakeResource, Progressing, SettingsResource


@dg.asset(
    deps=["article_index", "article_heads"],
    partitions_def=CHUNKS,
    group_name="articles",
    kinds={"xml", "parquet"},
    code_version=stage.VERSION,
    pool="network",
    check_specs=check_specs("pubmed_records"),
    metadata=definition_metadata(PUBMED_RECORDS),
)
def pubmed_records(
    context: dg.AssetExecutionContext,
    settings: SettingsResource,
    lake: LakeResource,
    progress: dg.ResourceParam[Progressing],
) -> dg.MaterializeResult:
    """MeSH headings, structured abstracts, types, references and retraction links, joined by PMID."""
    values = settings.open()
    with lake.hold(context) as data:
        report = stage.build_pubmed_records(
            data,
            context.partition_key,
            provider=configs.pubmed_provider(values),
            progress=progress.open(context.log),
        )
        return as_result(report, data, tolerance=values.max_reject_fraction)
