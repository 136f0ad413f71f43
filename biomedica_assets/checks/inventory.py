"""Checks over all chunks: is one missing, did one fail, do the counts of the whole table add up."""

from collections import Counter

import dagster as dg

from biomedica_assets import configs
from biomedica_assets.checks import ROOT
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import TABLES
from biomedica_assets.lib.withdrawals.listed import absent
from biomedica_assets.metadata import markdown_table
from biomedica_assets.resources import LakeResource, SettingsResource

CHAIN = ("article_index", "article_xml", "articles", "figures", "captions", "mentions", "images", "shards")
SAMPLE = 20


@dg.asset_check(asset=ROOT, description="Every chunk that the inventory lists has been made up to its shards.")
def no_missing_chunk(lake: LakeResource) -> dg.AssetCheckResult:
    """A chunk without shards is missing from every recipe and release, and nobody would notice."""
    data = lake.open()
    listed = data.partitions(TABLES["chunk_listing"])
    missing = {name: sorted(set(listed) - set(data.partitions(TABLES[name]))) for name in CHAIN}
    missing = {name: keys for name, keys in missing.items() if keys}
    worst = sorted({key for keys in missing.values() for key in keys})
    command = "biomedica run " + " ".join(f"--chunk {key}" for key in worst[:SAMPLE]) if worst else ""
    return dg.AssetCheckResult(
        passed=not missing,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "listed": len(listed),
            "missing": len(worst),
            "by_asset": dg.MetadataValue.json({name: len(keys) for name, keys in missing.items()}),
            "recover_with": command or "nothing to do",
        },
    )


@dg.asset_check(asset=ROOT, description="Over all chunks, each stage's output and rejects add up to its input.")
def all_counts_reconcile(lake: LakeResource) -> dg.AssetCheckResult:
    """Each partition is checked when it is made; this adds up what lies on the disk now."""
    data = lake.open()
    totals = {name: _totals(data, name) for name in CHAIN}
    wrong = {name: t for name, t in totals.items() if t["in"] != t["out"] + t["rejected"]}
    return dg.AssetCheckResult(passed=not wrong, metadata={"totals": dg.MetadataValue.json(totals)})


@dg.asset_check(asset=ROOT, description="No chunk's newest run has failed.")
def no_failed_chunk(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Lists the chunks whose newest run failed, with the command that makes them again."""
    from biomedica_assets.partitions import CHUNKS

    failed: dict[str, list[str]] = {}
    for name in CHAIN:
        state = context.instance.get_status_by_partition(dg.AssetKey(name), CHUNKS.get_partition_keys(), CHUNKS) or {}
        keys = [key for key, status in state.items() if status is not None and status.name == "FAILED"]
        if keys:
            failed[name] = keys
    worst = sorted({key for keys in failed.values() for key in keys})
    command = "biomedica run " + " ".join(f"--chunk {key}" for key in worst[:SAMPLE]) if worst else "nothing to do"
    return dg.AssetCheckResult(
        passed=not failed,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "failed": len(worst),
            "by_asset": dg.MetadataValue.json({name: keys[:SAMPLE] for name, keys in failed.items()}),
            "recover_with": command,
        },
    )


@dg.asset_check(asset=ROOT, description="PubMed Central has every article that pmcids_file and withdrawals_file name.")
def named_articles_exist(settings: SettingsResource, lake: LakeResource) -> dg.AssetCheckResult:
    """A mistyped PMCID would select, or withdraw, nothing, and nobody would notice."""
    lists = configs.user_lists(settings.open())
    found = absent(lake.open(), {"withdrawals_file": lists.withdrawn.keys(), **lists.others})
    rows = [{"named in": setting, "article": name, "why not": why} for setting, name, why in found]
    first = ", ".join(name for _, name, _ in found[:SAMPLE])
    return dg.AssetCheckResult(
        passed=not found,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "named_and_not_in_pmc": len(found),
            "the_first": first or "none",
            "articles": dg.MetadataValue.md(markdown_table(rows) if rows else "all are there"),
            "recover_with": "correct the file" if found else "nothing to do",
        },
    )


def _totals(data: Lake, name: str) -> dict[str, int]:
    total: Counter[str] = Counter({"in": 0, "out": 0, "rejected": 0})
    for key in data.partitions(TABLES[name]):
        manifest = data.manifest(TABLES[name], key)
        if manifest is not None:
            total.update({"in": manifest.n_in, "out": manifest.n_out, "rejected": sum(manifest.rejects.values())})
    return dict(total)
