"""Checks on what is out of date: partitions behind their inputs, and articles that must not be there any more.

Dagster's graph draws no staleness for partitions; these say it, with the command that mends it.
"""

import dagster as dg

from biomedica_assets.automation.planner import Planner, open_planner
from biomedica_assets.checks import NOTHING_WAITS, ROOT
from biomedica_assets.lib.lineage.withdrawn import remnants
from biomedica_assets.metadata import markdown_table
from biomedica_assets.resources import LakeResource, SettingsResource
from biomedica_assets.settings import Settings

SAMPLE = 50
WIDEST = 400
"""Characters of a reason: a cut one names no cure."""


@dg.asset_check(asset=ROOT, description="No partition that exists is behind its code, its settings or its inputs.")
def nothing_out_of_date(lake: LakeResource, settings: SettingsResource) -> dg.AssetCheckResult:
    """Lists the partitions that `biomedica refresh` would make again, and why; missing ones are counted apart."""
    found = list(_planner(settings.open()).all_stale())
    behind = [entry for entry in found if not entry.missing]
    rows = [
        {"asset": entry.asset, "partition": entry.partition or "-", "why": "; ".join(str(r) for r in entry.reasons[:4])}
        for entry in behind
    ]
    return dg.AssetCheckResult(
        passed=not behind,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "out_of_date": len(behind),
            "never_made": len(found) - len(behind),
            "partitions": dg.MetadataValue.md(
                markdown_table(rows[:SAMPLE], widest=WIDEST) if rows else "everything is current"
            ),
            "recover_with": "biomedica refresh" if found else "nothing to do",
        },
    )


@dg.asset_check(
    asset=ROOT,
    name=NOTHING_WAITS,
    description="Nothing waits for data, votes or weights that are not here; nothing of it has failed.",
)
def nothing_waits(lake: LakeResource, settings: SettingsResource) -> dg.AssetCheckResult:
    """Lists what cannot be made yet, with what it waits for and the cure."""
    found = list(_planner(settings.open()).all_held())
    rows = [
        {"asset": entry.asset, "partition": entry.partition or "-", "waiting": entry.reasons[0].detail}
        for entry in found
    ]
    cures = dict.fromkeys(entry.reasons[0].detail for entry in found if "; " in entry.reasons[0].detail)
    return dg.AssetCheckResult(
        passed=not found,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "waiting": len(found),
            "partitions": dg.MetadataValue.md(
                markdown_table(rows[:SAMPLE], widest=WIDEST) if rows else "nothing waits"
            ),
            "recover_with": "; ".join(list(cures)[:3]) or "nothing to do",
        },
    )


def _planner(values: Settings) -> Planner:
    # A step knows only the part of the graph that its run selected; imported late, since it imports this module.
    from biomedica_assets import definitions

    return open_planner(values, definitions.build(values).resolve_asset_graph())


@dg.asset_check(asset=ROOT, description="No shard, recipe or checkpoint holds an article that is left out now.")
def no_retracted_in_shards(lake: LakeResource) -> dg.AssetCheckResult:
    """Retracted, withdrawn, replaced and relicensed articles, and where they still are."""
    found = list(remnants(lake.open()))
    rows = [{"article": r.article_id, "left out because": r.because, "still in": r.where} for r in found]
    weights = sorted({r.where for r in found if r.where.startswith("checkpoints@")})
    return dg.AssetCheckResult(
        passed=not found,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "found": len(found),
            "where": dg.MetadataValue.md(markdown_table(rows[:SAMPLE]) if rows else "nowhere"),
            "checkpoints_to_train_again": ", ".join(weights) or "none",
            "recover_with": "biomedica refresh" if found else "nothing to do",
        },
    )
