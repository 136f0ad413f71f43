"""Group article_index: which article versions exist, and which of them are taken."""

from biomedica_assets import configs
from biomedica_assets.assets.declare import Step, reported, table_asset
from biomedica_assets.lib.lineage import changes
from biomedica_assets.lib.pmc import index, inventory
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.tables import ARTICLE_INDEX, CHUNK_LISTING, PMC_INVENTORY

chunk_listing = reported(
    CHUNK_LISTING,
    "Written and reported by pmc_inventory, chunk by chunk, with the digest of its rows as data version: only changed "
    "chunks make anything stale. The root of all lineage.",
    group="article_index",
    made_from=(PMC_INVENTORY,),
)


@table_asset(
    PMC_INVENTORY,
    group="article_index",
    version=inventory.VERSION,
    kinds=("parquet", "duckdb"),
    pool="network",
    needs=("source",),
)
def pmc_inventory(step: Step) -> Report:
    """Newest complete inventory of the bucket, kept as our own copy and compared with the last one."""
    outcome = inventory.refresh_inventory(
        step.data,
        step.source,
        chunk_span=step.values.chunk_span,
        max_pmcid=step.values.max_pmcid,
        progress=step.progress,
    )
    step.announce(CHUNK_LISTING, outcome.current)
    return outcome.report


@table_asset(
    ARTICLE_INDEX,
    group="article_index",
    version=index.VERSION,
    made_from=(CHUNK_LISTING,),
    kinds=("parquet", "polars"),
    pool="network",
    needs=("source",),
)
def article_index(step: Step) -> Report:
    """One row per article version: licence, flags, ids, citation; taken, or the reason why not."""
    changes.keep_before(step.data, step.partition)
    rules = configs.selection_rules(step.values)
    return index.build_index(step.data, step.partition, step.source, rules=rules, progress=step.progress)
