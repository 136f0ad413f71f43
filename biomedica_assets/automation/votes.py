"""New votes become a materialisation of the external asset ``expert_votes``.

Belongs here: noticing that vote files changed. What a vote is, and what the table holds: ``lib.annotate``.
Concept: https://docs.dagster.io/guides/automate/sensors
"""

import dagster as dg

from biomedica_assets.lib.annotate.ballots import votes_digest
from biomedica_assets.lib.annotate.tally import collect_votes
from biomedica_assets.lib.tables import EXPERT_VOTES
from biomedica_assets.metadata import result_metadata
from biomedica_assets.resources import LakeResource


@dg.sensor(minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.STOPPED)
def expert_votes_sensor(context: dg.SensorEvaluationContext, lake: LakeResource) -> dg.SensorResult | dg.SkipReason:
    """When vote files change, write the table `expert_votes` and report it with the digest of its content.

    A materialisation, not an observation: what consumes an observed asset stays stale for ever (measured with dagster
    1.13.27).
    """
    data = lake.open()
    digest = votes_digest(data.root)
    if digest == context.cursor:
        return dg.SkipReason("No vote was added since the last look.")
    report = collect_votes(data)
    event = dg.AssetMaterialization(
        asset_key=EXPERT_VOTES.name,
        metadata=result_metadata(report, EXPERT_VOTES),
        tags={
            "dagster/data_version": report.data_version,
            "dagster/data_version_is_user_provided": "true",
        },
    )
    return dg.SensorResult(asset_events=[event], cursor=digest)
