"""Group articles, continued: what PubMed says of them."""

from biomedica_assets import configs
from biomedica_assets.assets.declare import Step, table_asset
from biomedica_assets.lib.pubmed import stage
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.tables import ARTICLE_HEADS, ARTICLE_INDEX, PUBMED_RECORDS


@table_asset(
    PUBMED_RECORDS,
    group="articles",
    version=stage.VERSION,
    made_from=(ARTICLE_INDEX, ARTICLE_HEADS),
    kinds=("xml", "parquet"),
    pool="network",
)
def pubmed_records(step: Step) -> Report:
    """MeSH headings, structured abstracts, types, references and retraction links, joined by PMID."""
    provider = configs.pubmed_provider(step.values)
    return stage.build_pubmed_records(step.data, step.partition, provider=provider, progress=step.progress)
