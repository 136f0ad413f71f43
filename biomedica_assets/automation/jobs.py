"""Jobs: named selections of the graph for the UI, schedules and sensors.

Belongs here: which assets or checks run together. Jobs that make what is out of date and nothing else: ``bringing``.
Concept: https://docs.dagster.io/guides/build/jobs
"""

import dagster as dg

from biomedica_assets.checks import ROOT

refresh_inventory = dg.define_asset_job(
    "refresh_inventory",
    selection=dg.AssetSelection.assets("pmc_inventory"),
    description="Read the newest complete inventory and report which chunks changed.",
)

check_everything = dg.define_asset_job(
    "check_everything",
    selection=dg.AssetSelection.checks_for_assets(ROOT),
    description="What is missing, failed, out of date or should not be there any more, with the command that mends it. "
    "`biomedica run` and `refresh` ask it when they are done.",
)

ALL = [refresh_inventory, check_everything]
