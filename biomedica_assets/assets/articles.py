"""Groups articles and figures, as far as text goes: the JATS files, and all that one parse of them gives."""

from collections.abc import Iterator

import dagster as dg

from biomedica_assets.assets.article_index import article_index
from biomedica_assets.lib.jats import stage
from biomedica_assets.lib.pmc import fetch
from biomedica_assets.lib.tables import ARTICLE_XML, ARTICLES, CAPTIONS, FIGURES, MENTIONS, Table
from biomedica_assets.lib.withdrawals.stage import withdrawn
from biomedica_assets.metadata import as_result, check_specs, definition_metadata
from biomedica_assets.partitions import CHUNKS
from biomedica_assets.resources import EngineResource, LakeResource, Progressing, SettingsResource, SourceResource


@dg.asset(
    deps=[article_index],
    partitions_def=CHUNKS,
    group_name="articles",
    kinds={"xml"},
    code_version=fetch.VERSION,
    pool="network",
    check_specs=check_specs("article_xml"),
    metadata=definition_metadata(ARTICLE_XML),
)
def article_xml(
    context: dg.AssetExecutionContext,
    settings: SettingsResource,
    lake: LakeResource,
    source: SourceResource,
    progress: dg.ResourceParam[Progressing],
) -> dg.MaterializeResult:
    """JATS files of the selected articles in the local mirror, each verified against its MD5."""
    values = settings.open()
    with lake.hold(context) as data:
        report = fetch.fetch_xml(data, context.partition_key, source.open(), progress=progress.open(context.log))
        return as_result(report, data, tolerance=values.max_reject_fraction)


def _parsed(table: Table, group: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        table.name,
        deps=[article_index, article_xml, "tombstones"],
        group_name=group,
        kinds={"parquet", "xml"},
        code_version=stage.VERSION,
        metadata=definition_metadata(table),
        description=table.meaning,
    )


@dg.multi_asset(
    specs=[
        _parsed(ARTICLES, "articles"),
        _parsed(FIGURES, "figures"),
        _parsed(CAPTIONS, "figures"),
        _parsed(MENTIONS, "figures"),
    ],
    partitions_def=CHUNKS,
    pool="cpu",
    check_specs=check_specs("articles", "figures", "captions", "mentions"),
)
def parse(
    context: dg.AssetExecutionContext,
    settings: SettingsResource,
    lake: LakeResource,
    engine: EngineResource,
    progress: dg.ResourceParam[Progressing],
) -> Iterator[dg.MaterializeResult]:
    """Articles, figures, captions and mentions from one parse of each JATS file."""
    values = settings.open()
    with lake.hold(context) as data:
        for report in stage.parse_chunk(
            data,
            context.partition_key,
            engine=engine.open("processes"),
            withdrawn=withdrawn(data, context.partition_key),
            progress=progress.open(context.log),
        ):
            yield as_result(report, data, tolerance=values.max_reject_fraction, keyed=True)
