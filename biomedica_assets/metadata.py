"""The one place where the library's words become Dagster's: ``Report`` -> ``MaterializeResult``, ``Table`` -> schema.

Belongs here: translation of counts, rejects, previews, pictures, column schemas and column lineage.
Does not belong here: deciding what is counted (that is the library's) or where an asset sits in the graph.
Concept: https://docs.dagster.io/guides/build/assets/metadata-and-tags
"""

import base64
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import dagster as dg

from biomedica_assets.lib.compute.meter import Cost
from biomedica_assets.lib.errors import RejectReason, WaitingFor
from biomedica_assets.lib.report import Picture, Report
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import TABLES, Table

RECONCILES = "counts_reconcile"
SCHEMA = "schema"
TOLERANCE = "rejects_within_tolerance"

# Reasons that point at a fault in a source, a transfer or our code. The others (no media in the bucket, no caption,
# licence not allowed) are properties of the articles and say nothing about the health of a run.
FAULTS = frozenset(
    {
        RejectReason.CHECKSUM_MISMATCH, RejectReason.FETCH_FAILED, RejectReason.METADATA_INVALID,
        RejectReason.XML_MALFORMED, RejectReason.XML_ENCODING, RejectReason.XML_NOT_JATS,
        RejectReason.IMAGE_UNDECODABLE, RejectReason.IMAGE_TRUNCATED,
    }
)  # fmt: skip
# One broken article in a chunk of three is no storm; below this many faults a run never fails.
FEWEST_FAULTS = 10


def check_specs(*assets: str) -> list[dg.AssetCheckSpec]:
    """The inline checks that every partition of a table carries; they cost no step of their own.

    ``schema`` and ``counts_reconcile`` block what is downstream; so does ``rejects_within_tolerance``.
    """
    return [
        dg.AssetCheckSpec(name, asset=asset, blocking=True, description=text)
        for asset in assets
        for name, text in (
            (SCHEMA, f"What was written fits the table {asset} of lib.tables: columns, types, nulls, key."),
            (RECONCILES, "Nothing disappeared: items in = items out + items left out with a reason."),
            (TOLERANCE, "Left out for a reason that points at a fault: fewer than the tolerance allows."),
        )
    ]


def definition_metadata(table: Table) -> dict[str, Any]:
    """Metadata that shows before any run: the column schema, the key and where the partitions lie."""
    return {
        "dagster/column_schema": column_schema(table),
        "key": ", ".join(table.key) or "none",
        "location": f"tables/{table.name}/",
    }


def column_schema(table: Table) -> dg.TableSchema:
    """A table's columns as Dagster shows them."""
    return dg.TableSchema(
        [
            dg.TableColumn(c.name, str(c.dtype), c.meaning, constraints=dg.TableColumnConstraints(nullable=c.nullable))
            for c in table.columns
        ]
    )


def column_lineage(table: Table) -> dg.TableColumnLineage:
    """Which columns of which assets each column is made from (stored by Dagster, served by its GraphQL)."""
    return dg.TableColumnLineage(
        {
            c.name: [
                dg.TableColumnDep(asset_key=source.split(".")[0], column_name=source.split(".")[1])
                for source in c.sources
            ]
            for c in table.columns
            if c.sources
        }
    )


def as_result(
    report: Report,
    lake: Lake,
    *,
    tolerance: float,
    keyed: bool = False,
    cost: Cost | None = None,
    links: Mapping[str, str] | None = None,
) -> dg.MaterializeResult:
    """One partition's report as Dagster's result, with its inline checks.

    Args:
        report: what the library did.
        lake: where it wrote, to check what was written.
        tolerance: share of items that may be left out for a reason of ``FAULTS``.
        keyed: name the asset in the result, as a multi-asset needs.
        cost: what the work took, None if nobody measured.
        links: addresses where what was made is looked at, by name.
    """
    table = TABLES[report.asset]
    return dg.MaterializeResult(
        asset_key=report.asset if keyed else None,
        metadata=result_metadata(report, table)
        | cost_metadata(cost)
        | {name: dg.MetadataValue.url(address) for name, address in (links or {}).items()},
        data_version=dg.DataVersion(report.data_version),
        check_results=list(check_results(report, table, lake, tolerance)),
    )


STEP_SECONDS, CPU_SECONDS, PEAK_MEMORY = "step_seconds", "cpu_seconds", "peak_memory"
"""Metadata by which a forecast knows what a step cost: it reads them back from Dagster's records."""


def cost_metadata(cost: Cost | None) -> dict[str, Any]:
    """What a step took: seconds, processor seconds, bytes of memory at its peak."""
    if cost is None:
        return {}
    taken = {STEP_SECONDS: round(cost.seconds, 4), CPU_SECONDS: round(cost.cpu_seconds, 4)}
    return taken | ({PEAK_MEMORY: cost.peak_bytes} if cost.peak_bytes else {})


_WAITING = ("waiting_for", "cure", "every_partition")
"""Metadata of a step that did not fail but waits for something from outside."""


def waiting_results(assets: Iterable[str], waiting: WaitingFor) -> Iterator[dg.AssetCheckResult]:
    """What a step gives that waits for something from outside: no asset, and no failure.

    The inline checks stand in the place of the asset, as warnings with what is waited for and the cure: they are what
    Dagster shows of an asset whose step made nothing. A failed step would be tried again, counted and alarmed about.
    """
    for spec in check_specs(*assets):
        yield dg.AssetCheckResult(
            asset_key=spec.asset_key,
            check_name=spec.name,
            passed=False,
            severity=dg.AssetCheckSeverity.WARN,
            description=str(waiting),
            metadata=dict(zip(_WAITING, (waiting.what, waiting.cure, waiting.everywhere), strict=True)),
        )


def as_waiting(event: dg.DagsterEvent) -> WaitingFor | None:
    """What ``waiting_results`` made a check of, None if the event is another."""
    if event.event_type_value != "ASSET_CHECK_EVALUATION":
        return None
    told = event.asset_check_evaluation_data.metadata
    if any(name not in told for name in _WAITING):
        return None
    what, cure, everywhere = (told[name].value for name in _WAITING)
    return WaitingFor(str(what), str(cure), everywhere=bool(everywhere))


def result_metadata(report: Report, table: Table) -> dict[str, Any]:
    """Counts as plain numbers, so that the UI plots them over partitions and time."""
    rows = "dagster/row_count" if report.partition is None else "dagster/partition_row_count"
    metadata: dict[str, Any] = {
        rows: report.rows,
        "items_in": report.n_in,
        "items_out": report.n_out,
        "rejected": report.n_rejected,
        "bytes": report.bytes_written,
        "seconds": round(report.seconds, 3),
        "items_per_second": round(report.n_in / report.seconds, 1) if report.seconds else 0.0,
        "already_current": report.skipped,
    }
    metadata |= {f"rejected/{reason}": n for reason, n in sorted(report.rejects.items())}
    metadata |= {name: value for name, value in report.metrics.items() if value is not None}
    if any(c.sources for c in table.columns):
        metadata["dagster/column_lineage"] = column_lineage(table)
    if report.preview:
        metadata["preview"] = dg.MetadataValue.md(markdown_table(report.preview))
    for picture in report.pictures:
        metadata[picture.title] = dg.MetadataValue.md(markdown_picture(picture))
    return metadata


def check_results(report: Report, table: Table, lake: Lake, tolerance: float) -> Iterable[dg.AssetCheckResult]:
    """Results for ``check_specs``, from what lies on the disk and what the report counted."""
    problems = table.problems(lake.read(table, report.partition))
    yield dg.AssetCheckResult(
        passed=not problems,
        check_name=SCHEMA,
        asset_key=table.name,
        metadata={"problems": "; ".join(problems) or "none"},
    )
    yield dg.AssetCheckResult(
        passed=report.reconciles,
        check_name=RECONCILES,
        asset_key=table.name,
        metadata={"items_in": report.n_in, "items_out": report.n_out, "rejected": report.n_rejected},
    )
    faults = sum(n for reason, n in report.rejects.items() if reason in FAULTS)
    yield dg.AssetCheckResult(
        passed=faults < FEWEST_FAULTS or faults <= tolerance * report.n_in,
        check_name=TOLERANCE,
        asset_key=table.name,
        metadata={"faults": faults, "items_in": report.n_in, "tolerance": tolerance},
    )


def markdown_table(rows: Iterable[Mapping[str, Any]], *, widest: int = 100) -> str:
    """Rows as a Markdown table, texts longer than ``widest`` characters cut."""
    listed = list(rows)
    if not listed:
        return "no rows"
    names = list(listed[0])
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(_cell(row.get(name), widest) for name in names) + " |" for row in listed]
    return "\n".join(lines)


def markdown_picture(picture: Picture) -> str:
    """A picture inside Markdown, as a data URL: the UI needs no file server to show it."""
    return f"![{picture.title}](data:{picture.media_type};base64,{base64.b64encode(picture.data).decode()})"


def _cell(value: Any, widest: int) -> str:
    text = "" if value is None else str(value)
    text = text if len(text) <= widest else text[: widest - 3] + "..."
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def announce(instance: dg.DagsterInstance, asset: str, versions: Mapping[str, str]) -> None:
    """Report materialisations with data versions for partitions that another step wrote, unless they are known.

    All that exist are asked for, not only those that just changed: a run that died between writing and reporting is
    made good by the next.

    An observation would break the chain: a consumer of an observed partition never becomes fresh again (measured with
    dagster 1.13.27), so it is a materialisation.
    """
    for partition, version in versions.items():
        known = instance.get_latest_data_version_record(dg.AssetKey(asset), partition_key=partition)
        materialization = known.asset_materialization if known is not None else None
        if materialization is not None and (materialization.tags or {}).get("dagster/data_version") == version:
            continue
        instance.report_runless_asset_event(
            dg.AssetMaterialization(
                asset_key=asset,
                partition=partition,
                metadata={"reported_at": dg.MetadataValue.timestamp(time.time())},
                tags={"dagster/data_version": version, "dagster/data_version_is_user_provided": "true"},
            )
        )


def announce_one(instance: dg.DagsterInstance, report: Report, table: Table) -> None:
    """Report an unpartitioned external asset that was just written, with its counts."""
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            asset_key=report.asset,
            metadata=result_metadata(report, table),
            tags={"dagster/data_version": report.data_version, "dagster/data_version_is_user_provided": "true"},
        )
    )
