"""Group catalog: SQL views over every table, for people and for the command line."""

from biomedica_assets.assets.declare import Step, table_asset
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.select import catalog_view
from biomedica_assets.lib.store import catalog as views
from biomedica_assets.lib.tables import CATALOG, PMC_INVENTORY


@table_asset(CATALOG, group="catalog", version=views.VERSION, made_from=(PMC_INVENTORY,), kinds=("duckdb",))
def catalog(step: Step) -> Report:
    """`catalog.duckdb`: one view per table, and `samples`, what recipes choose from.

    Views read what exists when they are asked, so the catalog is never behind.
    """
    return views.build_catalog(step.data, [catalog_view.view_sql()])
