"""Fill ``pubmed_records`` of one chunk: articles with a PMID, joined with what PubMed says, by PMID."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Protocol

import polars as pl

from biomedica_assets.lib.errors import Reject, RejectReason
from biomedica_assets.lib.progress import SILENT, Progress
from biomedica_assets.lib.pubmed.record import RECORD
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import ARTICLE_HEADS, ARTICLE_INDEX, PUBMED_RECORDS

VERSION = "pubmed-2"
STAGE = "pubmed_records"


class Provider(Protocol):
    """Where records come from: files (``archive.Archive``), web service (``eutils.Eutils``) or nowhere (``Off``)."""

    def recorded(self) -> Mapping[str, str]:
        """What the manifest keeps of it: when this changes, the partition is out of date."""
        ...

    def records(self, pmids: Sequence[int], progress: Progress = SILENT) -> pl.DataFrame:
        """Records of these PMIDs, one row each at most, in the schema ``RECORD`` and ``source``."""
        ...


class Off:
    """No enrichment: nobody was told where PubMed is. Nothing is looked up, so nothing counts as missing."""

    def recorded(self) -> dict[str, str]:
        """Says so."""
        return {"pubmed": "off", "pubmed_files": ""}

    def records(self, pmids: Sequence[int], progress: Progress = SILENT) -> pl.DataFrame:
        """None."""
        del pmids, progress
        return pl.DataFrame(schema={**RECORD, "source": pl.String()})


def build_pubmed_records(lake: Lake, chunk: str, *, provider: Provider, progress: Progress = SILENT) -> Report:
    """Write one row per article of the chunk whose PMID PubMed has.

    The PMID is what the JATS file states, else what PMC's metadata does. Withdrawn articles are asked for, too: what
    PubMed says of them is why they are. Two versions of an article share a PMID and get a row each. An article
    without PMID is not looked up; a PMID that PubMed lacks or has deleted becomes a reject ``pubmed_missing``, and
    whoever joins this table finds nulls.

    Args:
        lake: reads ``article_index`` and ``article_heads`` of the chunk.
        chunk: partition key.
        provider: where records come from.
        progress: counts files or records.

    Raises:
        StoreError: one of these has not been made.
        PermanentFailure: PubMed's files are incomplete or damaged.
    """
    began = time.monotonic()
    inputs = lake.inputs((ARTICLE_INDEX, chunk), (ARTICLE_HEADS, chunk))
    heads = lake.read_lazy(ARTICLE_HEADS, chunk).select("article_id", stated="pmid")
    index = lake.read_lazy(ARTICLE_INDEX, chunk).filter("selected").select("article_id", "pmid")
    articles = index.join(heads, on="article_id", how="left", maintain_order="left").select(
        "article_id", pmid=pl.coalesce("stated", "pmid")
    ).collect()  # fmt: skip
    asked = articles.filter(pl.col("pmid").is_not_null())
    off = isinstance(provider, Off)
    if off:
        asked = asked.clear()
    records = provider.records(asked["pmid"].to_list(), progress) if asked.height else Off().records(())
    joined = asked.join(records, on="pmid", how="inner", validate="m:1").sort("article_id")
    missing = asked.join(records, on="pmid", how="anti").sort("article_id")
    rejects = [
        Reject(article_id, STAGE, RejectReason.PUBMED_MISSING, f"PubMed has no record of PMID {pmid}", str(pmid))
        for article_id, pmid in missing.iter_rows()
    ]
    without = articles["pmid"].null_count()
    manifest = lake.publish(
        PUBMED_RECORDS, chunk, joined.select(PUBMED_RECORDS.schema.names()), code_version=VERSION,
        inputs=inputs, config=provider.recorded(), rejects=rejects, n_in=asked.height,
        n_out=joined.height, metrics={"articles_without_pmid": without},
    )  # fmt: skip
    return Report(
        asset=STAGE, partition=chunk, data_version=manifest.data_version, rows=joined.height, n_in=asked.height,
        n_out=joined.height, rejects=manifest.rejects, bytes_written=manifest.bytes, seconds=time.monotonic() - began,
        metrics={
            "enrichment": "off: the setting pubmed is empty" if off else provider.recorded()["pubmed"],
            "articles_without_pmid": without,
            "with_mesh": joined.filter(pl.col("mesh").list.len() > 0).height,
            "retracted": joined.filter("is_retracted").height,
        },
    )  # fmt: skip
