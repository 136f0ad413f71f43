"""``article_xml``: the JATS files of the selected articles, in the local mirror."""

from __future__ import annotations

import time

import polars as pl

from biomedica_assets.lib.errors import Reject, RejectReason
from biomedica_assets.lib.pmc.mirror import Mirror, MirrorObject
from biomedica_assets.lib.pmc.source import FetchFailed, PmcSource
from biomedica_assets.lib.progress import SILENT, Progress
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import ARTICLE_INDEX, ARTICLE_XML

__all__ = ["VERSION", "Mirror", "MirrorObject", "fetch_xml"]

VERSION = "1"


def fetch_xml(
    lake: Lake, chunk: str, source: PmcSource, *, rehash: bool = False, progress: Progress = SILENT
) -> Report:
    """Publish ``article_xml`` of a chunk: every selected article's JATS file lies in the mirror, verified.

    Args:
        lake: the data directory; reads ``article_index``.
        chunk: partition key.
        source: where the files come from.
        rehash: hash files that are there already instead of trusting the ledger.
        progress: told about each file.

    Raises:
        FetchFailed: the source delivered none of the files that were needed.
        StoreError: the disk cannot be written.
    """
    began = time.monotonic()
    inputs = lake.inputs((ARTICLE_INDEX, chunk))
    selected = (
        lake.read_lazy(ARTICLE_INDEX, chunk).filter("selected").select("article_id", "xml_key", "xml_md5").collect()
    )
    mirror = Mirror(lake, source, stage=ARTICLE_XML.name, rehash=rehash)
    rows: list[dict[str, object]] = []
    rejects: list[Reject] = []
    for wanted, result in mirror.ensure((MirrorObject(*row) for row in selected.iter_rows()), progress):
        found = None if isinstance(result, Reject) else mirror.verified(wanted)
        if isinstance(result, Reject):
            rejects.append(result)
        elif found is None:
            message = f"{lake.path_below(result)} changed on the disk while the chunk was being made; run it again"
            rejects.append(Reject(wanted.article_id, ARTICLE_XML.name, RejectReason.CHECKSUM_MISMATCH, message))
        else:
            rows.append(
                {
                    "article_id": wanted.article_id,
                    "key": wanted.key,
                    "path": lake.path_below(result),
                    "md5": found.md5,
                    "bytes": found.size,
                }
            )
    failed = [reject for reject in rejects if reject.reason == RejectReason.FETCH_FAILED]
    if failed and len(failed) == len(rejects) and not mirror.fetched:
        raise FetchFailed(failed[0].article_id, f"{source.location} delivers nothing: {failed[0].message}")
    order = selected.select("article_id").with_row_index("order")
    frame = ARTICLE_XML.frame(rows).join(order, on="article_id").sort("order").drop("order")
    manifest = lake.publish(
        ARTICLE_XML,
        chunk,
        frame,
        code_version=VERSION,
        inputs=inputs,
        config={},
        rejects=rejects,
        n_in=selected.height,
        n_out=frame.height,
    )
    return Report(
        asset=ARTICLE_XML.name,
        partition=chunk,
        data_version=manifest.data_version,
        rows=frame.height,
        n_in=manifest.n_in,
        n_out=manifest.n_out,
        rejects=manifest.rejects,
        bytes_written=manifest.bytes + mirror.fetched_bytes,
        seconds=time.monotonic() - began,
        metrics={
            "fetched": mirror.fetched,
            "already_present": mirror.present,
            "fetched_bytes": mirror.fetched_bytes,
            "xml_bytes": int(frame.select(pl.col("bytes").sum()).item()),
        },
        preview=tuple(frame.head(5).to_dicts()),
    )
