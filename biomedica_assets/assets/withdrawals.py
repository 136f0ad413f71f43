"""Group articles, continued: which articles are withdrawn, by whatever source, before anything is made of them."""

import dagster as dg

from biomedica_assets import configs
from biomedica_assets.lib.jats import heads
from biomedica_assets.lib.tables import ARTICLE_HEADS, ARTICLE_NOTICES, NOTICE_SHELF, TOMBSTONES, WITHDRAWALS, Table
from biomedica_assets.lib.withdrawals import stage
from biomedica_assets.metadata import announce, as_result, check_specs, definition_metadata
from biomedica_assets.partitions import CHUNK_TO_SHELF, CHUNKS, SHELVES
from biomedica_assets.resources import LakeResource, Progressing, SettingsResource


@dg.asset(
    deps=["article_xml"],
    partitions_def=CHUNKS,
    group_name="articles",
    kinds={"xml", "parquet"},
    code_version=heads.VERSION,
    pool="cpu",
    check_specs=check_specs("article_heads"),
    metadata=definition_metadata(ARTICLE_HEADS),
)
def article_heads(
    context: dg.AssetExecutionContext,
    settings: SettingsResource,
    lake: LakeResource,
    progress: dg.ResourceParam[Progressing],
) -> dg.MaterializeResult:
    """Ids and related articles from the front matter of each JATS file: whom notices of retraction name."""
    with lake.hold(context) as data:
        report = heads.build_heads(data, context.partition_key, progress=progress.open(context.log))
        return as_result(report, data, tolerance=settings.open().max_reject_fraction)


@dg.asset(
    deps=[dg.AssetDep(table.name, partition_mapping=CHUNK_TO_SHELF) for table in stage.READS],
    partitions_def=SHELVES,
    group_name="articles",
    kinds={"parquet"},
    code_version=stage.VERSION,
    check_specs=check_specs("notice_shelf"),
    metadata=definition_metadata(NOTICE_SHELF),
)
def notice_shelf(
    context: dg.AssetExecutionContext, settings: SettingsResource, lake: LakeResource
) -> dg.MaterializeResult:
    """Which data say that articles of a shelf's chunks are retracted, questioned or corrected."""
    with lake.hold(context) as data:
        report = stage.build_notice_shelf(data, context.partition_key)
        return as_result(report, data, tolerance=settings.open().max_reject_fraction)


@dg.asset(
    deps=[notice_shelf],
    group_name="articles",
    kinds={"parquet"},
    code_version=stage.VERSION,
    check_specs=check_specs("withdrawals"),
    metadata=definition_metadata(WITHDRAWALS),
)
def withdrawals(
    context: dg.AssetExecutionContext, settings: SettingsResource, lake: LakeResource
) -> dg.MaterializeResult:
    """All retractions, concerns and corrections from all sources; the tombstones of each chunk follow."""
    values = settings.open()
    with lake.hold(context) as data:
        report, made = stage.build_withdrawals(data, lists=configs.user_lists(values))
        for table, versions in made.items():
            announce(context.instance, table.name, versions)
        for name, value in report.metrics.items():
            if name == "not_in_pmc":
                context.log.warning(f"named in pmcids_file or withdrawals_file and not in PubMed Central: {value}")
        return as_result(report, data, tolerance=values.max_reject_fraction)


def _reported(table: Table) -> dg.AssetSpec:
    return dg.AssetSpec(
        table.name,
        deps=[withdrawals],
        group_name="articles",
        kinds={"parquet"},
        partitions_def=CHUNKS,
        metadata=definition_metadata(table),
        description=f"{table.meaning} Written and reported by withdrawals, chunk by chunk: only chunks for which "
        "something changed make anything stale.",
    )


tombstones = _reported(TOMBSTONES)
article_notices = _reported(ARTICLE_NOTICES)
