"""Group article_index: which article versions exist, and which of them are taken."""

import dagster as dg

from biomedica_assets import configs
from biomedica_assets.lib.lineage import changes
from biomedica_assets.lib.pmc import index, inventory
from biomedica_assets.lib.tables import ARTICLE_INDEX, CHUNK_LISTING, PMC_INVENTORY
from biomedica_assets.metadata import announce, as_result, check_specs, definition_metadata
from biomedica_assets.partitions import CHUNKS
from biomedica_assets.resources import LakeResource, Progressing, SettingsResource, SourceResource

chunk_listing = dg.AssetSpec(
    "chunk_listing",
    deps=["pmc_inventory"],
    group_name="article_index",
    kinds={"parquet"},
    partitions_def=CHUNKS,
    metadata=definition_metadata(CHUNK_LISTING),
    description=CHUNK_LISTING.meaning
    + " Written and reported by pmc_inventory, chunk by chunk, with the digest of its "
    "rows as data version: only changed chunks make anything stale. The root of all lineage.",
)


@dg.asset(
    group_name="article_index",
    kinds={"parquet", "duckdb"},
    code_version=inventory.VERSION,
    pool="network",
    check_specs=check_specs("pmc_inventory"),
    metadata=definition_metadata(PMC_INVENTORY),
)
def pmc_inventory(
    context: dg.AssetExecutionContext,
    settings: SettingsResource,
    lake: LakeResource,
    source: SourceResource,
    progress: dg.ResourceParam[Progressing],
) -> dg.MaterializeResult:
    """Newest complete inventory of the bucket, kept as our own copy and compared with the last one."""
    values = settings.open()
    with lake.hold(context) as data:
        outcome = inventory.refresh_inventory(
            data,
            source.open(),
            chunk_span=values.chunk_span,
            max_pmcid=values.max_pmcid,
            progress=progress.open(context.log),
        )
        announce(context.instance, "chunk_listing", outcome.current)
        return as_result(outcome.report, data, tolerance=values.max_reject_fraction)


@dg.asset(
    deps=[chunk_listing],
    partitions_def=CHUNKS,
    group_name="article_index",
    kinds={"parquet", "polars"},
    code_version=index.VERSION,
    pool="network",
    check_specs=check_specs("article_index"),
    metadata=definition_metadata(ARTICLE_INDEX),
)
def article_index(
    context: dg.AssetExecutionContext,
    settings: SettingsResource,
    lake: LakeResource,
    source: SourceResource,
    progress: dg.ResourceParam[Progressing],
) -> dg.MaterializeResult:
    """One row per article version: licence, flags, ids, citation; taken, or the reason why not."""
    values = settings.open()
    with lake.hold(context) as data:
        changes.keep_before(data, context.partition_key)
        report = index.build_index(
            data,
            context.partition_key,
            source.open(),
            rules=configs.selection_rules(values),
            progress=progress.open(context.log),
        )
        return as_result(report, data, tolerance=values.max_reject_fraction)
