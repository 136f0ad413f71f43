"""Schedules; all of them are off until a person switches them on.

Concept: https://docs.dagster.io/guides/automate/schedules
"""

import dagster as dg

from biomedica_assets.automation import jobs

# The bucket's inventory is written at 01:00 UTC and appears some hours later (README of pmc-oa-opendata).
daily_inventory = dg.ScheduleDefinition(
    name="daily_inventory",
    job=jobs.refresh_inventory,
    cron_schedule="0 6 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Every day at 06:00 UTC: is there a new complete inventory, and what does it change?",
)

ALL = [daily_inventory]
