"""Group catalog: SQL views over every table, for people and for the command line."""

import dagster as dg

from biomedica_assets.assets.article_index import pmc_inventory
from biomedica_assets.lib.select import catalog_view
from biomedica_assets.lib.store import catalog as views
from biomedica_assets.lib.tables import CATALOG
from biomedica_assets.metadata import as_result, check_specs, definition_metadata
from biomedica_assets.resources import LakeResource, SettingsResource


@dg.asset(
    deps=[pmc_inventory],
    group_name="catalog",
    kinds={"duckdb"},
    code_version=views.VERSION,
    check_specs=check_specs("catalog"),
    metadata=definition_metadata(CATALOG),
)
def catalog(context: dg.AssetExecutionContext, settings: SettingsResource, lake: LakeResource) -> dg.MaterializeResult:
    """`catalog.duckdb`: one view per table, and `samples`, what recipes choose from.

    Views read what exists when they are asked, so the catalog is never behind.
    """
    with lake.hold(context) as data:
        return as_result(
            views.build_catalog(data, [catalog_view.view_sql()]), data, tolerance=settings.open().max_reject_fraction
        )
