"""Everything the Dagster UI shows, assembled in one place. Wiring only."""

import dagster as dg

from biomedica_assets import assets, checks, partitions, resources, settings
from biomedica_assets.automation import bringing, engines, jobs, schedules, sensors, upkeep
from biomedica_assets.lib import quiet

quiet.hold_back_dagsters_own()
engines.keep_engines()


def build(values: settings.Settings, progress: resources.Progressing | None = None) -> dg.Definitions:
    """The graph over one data directory.

    Args:
        values: settings; the partitions of this process become those of their data directory.
        progress: what shows the progress of steps; None writes log lines.
    """
    partitions.follow(values.data_dir)
    return dg.Definitions(
        assets=dg.load_assets_from_package_module(assets, include_specs=True),
        asset_checks=dg.load_asset_checks_from_package_module(checks),
        resources=resources.build(values, progress),
        jobs=[*bringing.ALL, *jobs.ALL, *upkeep.ALL],
        schedules=schedules.ALL,
        sensors=sensors.ALL,
        # A run is a process of its own, and the steps of a chunk depend on one another: a process for each of them
        # would cost 3 to 4 seconds a step (measured, dagster 1.13.27) and win nothing.
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What ``dg dev`` and the workspace load."""
    return build(settings.load())
