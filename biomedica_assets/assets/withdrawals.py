"""Group articles, continued: which articles are withdrawn, by whatever source, before anything is made of them."""

from biomedica_assets import configs
from biomedica_assets.assets.declare import Step, reported, table_asset
from biomedica_assets.lib.jats import heads
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.tables import (
    ARTICLE_HEADS,
    ARTICLE_NOTICES,
    ARTICLE_XML,
    NOTICE_SHELF,
    TOMBSTONES,
    WITHDRAWALS,
)
from biomedica_assets.lib.withdrawals import stage


@table_asset(
    ARTICLE_HEADS,
    group="articles",
    version=heads.VERSION,
    made_from=(ARTICLE_XML,),
    kinds=("xml", "parquet"),
    pool="cpu",
)
def article_heads(step: Step) -> Report:
    """Ids and related articles from the front matter of each JATS file: whom notices of retraction name."""
    return heads.build_heads(step.data, step.partition, progress=step.progress)


@table_asset(NOTICE_SHELF, group="articles", version=stage.VERSION, made_from=stage.READS)
def notice_shelf(step: Step) -> Report:
    """Which data say that articles of a shelf's chunks are retracted, questioned or corrected."""
    return stage.build_notice_shelf(step.data, step.partition)


@table_asset(WITHDRAWALS, group="articles", version=stage.VERSION, made_from=(NOTICE_SHELF,))
def withdrawals(step: Step) -> Report:
    """All retractions, concerns and corrections from all sources; the tombstones of each chunk follow."""
    report, made = stage.build_withdrawals(step.data, lists=configs.user_lists(step.values))
    for table, versions in made.items():
        step.announce(table, versions)
    if unknown := report.metrics.get("not_in_pmc"):
        step.context.log.warning(f"named in pmcids_file or withdrawals_file and not in PubMed Central: {unknown}")
    return report


_WRITTEN = "Written and reported by withdrawals, chunk by chunk: only chunks for which something changed make anything "
tombstones = reported(TOMBSTONES, f"{_WRITTEN}stale.", group="articles", made_from=(WITHDRAWALS,))
article_notices = reported(ARTICLE_NOTICES, f"{_WRITTEN}stale.", group="articles", made_from=(WITHDRAWALS,))
