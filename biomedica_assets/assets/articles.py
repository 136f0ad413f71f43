"""Groups articles and figures, as far as text goes: the JATS files, and all that one parse of them gives."""

from collections.abc import Iterable

from biomedica_assets.assets.declare import Step, table_asset, table_assets
from biomedica_assets.lib.jats import stage
from biomedica_assets.lib.pmc import fetch
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.tables import ARTICLE_INDEX, ARTICLE_XML, ARTICLES, CAPTIONS, FIGURES, MENTIONS, TOMBSTONES
from biomedica_assets.lib.withdrawals.stage import withdrawn


@table_asset(
    ARTICLE_XML,
    group="articles",
    version=fetch.VERSION,
    made_from=(ARTICLE_INDEX,),
    kinds=("xml",),
    pool="network",
    needs=("source",),
)
def article_xml(step: Step) -> Report:
    """JATS files of the selected articles in the local mirror, each verified against its MD5."""
    return fetch.fetch_xml(step.data, step.partition, step.source, progress=step.progress)


@table_assets(
    "parse",
    tables={ARTICLES: "articles", FIGURES: "figures", CAPTIONS: "figures", MENTIONS: "figures"},
    version=stage.VERSION,
    made_from=(ARTICLE_INDEX, ARTICLE_XML, TOMBSTONES),
    kinds=("parquet", "xml"),
    pool="cpu",
    needs=("engine",),
)
def parse(step: Step) -> Iterable[Report]:
    """Articles, figures, captions and mentions from one parse of each JATS file."""
    return stage.parse_chunk(
        step.data,
        step.partition,
        engine=step.engine("processes"),
        withdrawn=withdrawn(step.data, step.partition),
        progress=step.progress,
    )
