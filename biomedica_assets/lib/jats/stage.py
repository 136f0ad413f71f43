"""Fill the partitions ``articles``, ``figures``, ``captions`` and ``mentions`` of a chunk from one parse of each file.

Belongs here: reading the inputs, spreading the parses over the engine's workers, publishing. A chunk is parsed as a
whole: at some 2 ms an article, remembering which of its files are unchanged would save less than it costs to read the
old rows.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from biomedica_assets.lib import tables
from biomedica_assets.lib.compute import Engine
from biomedica_assets.lib.errors import Reject, RejectReason
from biomedica_assets.lib.jats.article import parse_article
from biomedica_assets.lib.jats.limits import beyond_limits
from biomedica_assets.lib.jats.reading import UnreadableXml
from biomedica_assets.lib.jats.records import VERSION
from biomedica_assets.lib.jats.rows import Known, Row, Rows
from biomedica_assets.lib.progress import SILENT, Progress
from biomedica_assets.lib.report import Report, Scalar
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.store.manifest import Manifest

STAGE = "articles"
_BATCH = 32
"""Articles per task: some 60 ms of work, against about 1 ms to hand a task to a process and take its rows back."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Outcome:
    rows: Rows
    rejects: list[Reject]


def parse_chunk(
    lake: Lake,
    chunk: str,
    *,
    engine: Engine,
    withdrawn: Mapping[str, tuple[RejectReason, str]] | None = None,
    progress: Progress = SILENT,
) -> list[Report]:
    """Parse every JATS file of a chunk once and publish the four tables.

    Reads ``article_xml`` and ``article_index`` of the chunk. Each article becomes one row of ``articles`` or one reject
    there. The result does not depend on the number of workers.

    Args:
        lake: the data directory.
        chunk: chunk key.
        engine: where the parses run; processes pay, since parsing holds the GIL.
        withdrawn: article versions that nothing may hold, as ``tombstones`` has them: they are not parsed but rejects,
            each with its reason.
        progress: told of every article.

    Returns:
        Reports of articles, figures, captions and mentions, in this order.

    Raises:
        StoreError: an input has not been materialised, or the disk cannot be written.
    """
    began = time.monotonic()
    inputs = lake.inputs((tables.ARTICLE_XML, chunk), (tables.ARTICLE_INDEX, chunk))
    if lake.manifest(tables.TOMBSTONES, chunk) is not None:
        inputs |= lake.inputs((tables.TOMBSTONES, chunk))
    gone = withdrawn or {}
    there = _wanted(lake, chunk)
    wanted = [known for known in there if known.article_id not in gone]
    rows = Rows()
    rejects = [Reject(k.article_id, STAGE, *gone[k.article_id]) for k in there if k.article_id in gone]
    progress.start(f"parse {chunk}", len(wanted), "articles")
    for batch, outcome in engine.map_batches(parse_batch, _batches(wanted)):
        if isinstance(outcome, Exception):
            raise outcome
        rows.extend(outcome.rows)
        rejects += outcome.rejects
        progress.advance(len(batch))
    progress.finish()
    metrics: dict[str, dict[str, Scalar]] = {
        "articles": {"further_articles_in_files": sum(row["n_further_articles"] for row in rows.articles)},
        "figures": {
            "figs": sum(row["element"] == "fig" for row in rows.figures),
            "without_graphic": sum(not row["graphics"] for row in rows.figures),
            **{f"kind_{kind}": n for kind, n in sorted(Counter(row["kind"] for row in rows.figures).items())},
        },
        "captions": {"inherited": sum(row["inherited"] for row in rows.captions)},
        "mentions": {"inferred": sum(row["inferred"] for row in rows.mentions)},
    }
    reports: list[Report] = []
    for table in (tables.ARTICLES, tables.FIGURES, tables.CAPTIONS, tables.MENTIONS):
        found: list[Row] = getattr(rows, table.name)
        left_out = [reject for reject in rejects if reject.stage == table.name]
        manifest = lake.publish(
            table,
            chunk,
            table.frame([{name: row[name] for name in table.schema.names()} for row in found]),
            code_version=VERSION,
            inputs=inputs,
            config={},
            rejects=left_out,
            n_in=len(found) + len(left_out),
            n_out=len(found),
            metrics=metrics[table.name],
        )
        reports.append(_report(manifest, metrics[table.name], found, time.monotonic() - began))
    return reports


def parse_batch(batch: tuple[Known, ...]) -> _Outcome:
    """Parse some files; runs in a worker process."""
    outcome = _Outcome(Rows(), [])
    for known in batch:
        try:
            parsed = parse_article(Path(known.path).read_bytes(), known.article_id, wanted_pmcid=known.pmcid)
        except UnreadableXml as error:
            line = None if error.line is None else f"line {error.line}"
            outcome.rejects.append(Reject(known.article_id, STAGE, error.reason, error.message, line))
        except FileNotFoundError:
            message = f"{known.path} is listed in article_xml but is not there; materialise article_xml again"
            outcome.rejects.append(Reject(known.article_id, STAGE, RejectReason.OBJECT_MISSING, message))
        else:
            stated = parsed.article.pmcid
            if stated is not None and stated != known.pmcid:
                message = f"the file says that it is PMC{stated}, its key says PMC{known.pmcid}"
                outcome.rejects.append(
                    Reject(known.article_id, STAGE, RejectReason.ARTICLE_ID_MISMATCH, message, f"PMC{stated}")
                )
            else:
                outcome.rows.add(known, parsed)
                outcome.rejects.extend(Reject(known.article_id, *beyond) for beyond in beyond_limits(parsed))
    return outcome


def _wanted(lake: Lake, chunk: str) -> list[Known]:
    index = lake.read_lazy(tables.ARTICLE_INDEX, chunk).select(
        "article_id", "pmcid", "version", "license_code", "is_retracted", "pmid"
    )
    files = lake.read_lazy(tables.ARTICLE_XML, chunk).select("article_id", "path", "md5")
    joined = files.join(index, on="article_id", how="left", validate="1:1").sort("pmcid", "version").collect()
    return [
        Known(
            article_id=row["article_id"],
            pmcid=row["pmcid"],
            version=row["version"],
            path=str(lake.root / row["path"]),
            md5=row["md5"],
            license_code=row["license_code"],
            is_retracted=bool(row["is_retracted"]),
            pmid=row["pmid"],
        )
        for row in joined.iter_rows(named=True)
    ]


def _batches(wanted: list[Known]) -> Iterator[tuple[Known, ...]]:
    remaining = iter(wanted)
    while batch := tuple(itertools.islice(remaining, _BATCH)):
        yield batch


def _report(manifest: Manifest, metrics: dict[str, Scalar], rows: list[dict[str, Any]], seconds: float) -> Report:
    return Report(
        asset=manifest.asset,
        partition=manifest.partition,
        data_version=manifest.data_version,
        rows=manifest.rows,
        n_in=manifest.n_in,
        n_out=manifest.n_out,
        rejects=manifest.rejects,
        bytes_written=manifest.bytes,
        seconds=seconds,
        metrics=metrics,
        preview=tuple(_preview(row) for row in rows[:5]),
    )


def _preview(row: Row) -> dict[str, Scalar]:
    """A row for people: plain values only, long texts cut."""
    short = {name: value for name, value in row.items() if isinstance(value, int | float | str | bool)}
    return {
        name: f"{value[:80]}…" if isinstance(value, str) and len(value) > 80 else value for name, value in short.items()
    }
