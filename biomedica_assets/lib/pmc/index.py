"""``article_index``: the metadata of every article version of a chunk, and which of them are taken."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import time
from collections import Counter
from collections.abc import Iterator

import polars as pl

from biomedica_assets.lib.errors import Reject, RejectReason
from biomedica_assets.lib.licenses import group_of, normalise
from biomedica_assets.lib.pmc.metadata import ArticleMetadata, MetadataRefused, read_metadata
from biomedica_assets.lib.pmc.selection import SelectionRules, select
from biomedica_assets.lib.pmc.source import FetchFailed, ObjectMissing, PmcSource, SourceError
from biomedica_assets.lib.progress import SILENT, Progress
from biomedica_assets.lib.report import Report, Scalar
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import ARTICLE_INDEX, CHUNK_LISTING

VERSION = "1"
STAGE = ARTICLE_INDEX.name
# "ChemistryOpen. 2026 Sep 1;15(9):e70282. doi: …": the journal ends where ". <year>" begins. "0000" stands for no year.
_CITATION = re.compile(r"\s*(?P<journal>.*?)\.?\s+(?P<year>1[5-9]\d\d|20\d\d|0000)\b")
_DECIDED = ("selected", "left_out_because")


@dataclasses.dataclass(frozen=True, slots=True)
class Listed:
    """One row of ``chunk_listing``, as far as reading its metadata needs it."""

    article_id: str
    pmcid: int
    version: int
    key: str
    etag: str

    @property
    def copy_key(self) -> str:
        """Key of the second copy of the JSON, in the article's own prefix."""
        return f"{self.article_id}/{self.article_id}.json"


def build_index(
    lake: Lake, chunk: str, source: PmcSource, *, rules: SelectionRules, progress: Progress = SILENT
) -> Report:
    """Publish ``article_index`` of a chunk.

    A row of the earlier partition whose metadata JSON has the same MD5 is used again; only the others are fetched. With
    a list of ids, articles that are not on it are not read at all: their row has no metadata (flags null).

    Args:
        lake: the data directory; reads ``chunk_listing``.
        chunk: partition key.
        source: where the metadata JSONs come from.
        rules: what is taken.
        progress: told about each JSON.

    Raises:
        FetchFailed: the source delivered none of the JSONs that were needed.
    """
    began = time.monotonic()
    inputs = lake.inputs((CHUNK_LISTING, chunk))
    listing = lake.read(CHUNK_LISTING, chunk)
    known = _known(lake, chunk, listing)
    unknown = listing.join(known, on="article_id", how="anti")
    unread = unknown.filter(~_on_list(rules)) if rules.ids is not None else unknown.clear()
    wanted = [
        Listed(*row)
        for row in unknown.join(unread, on="article_id", how="anti")
        .select("article_id", "pmcid", "version", "key", "etag")
        .iter_rows()
    ]
    rows: list[dict[str, object]] = [
        {**row, "media": [], "media_refused": []}
        for row in unread.select("article_id", "pmcid", "version", "etag").to_dicts()
    ]
    rejects: list[Reject] = []
    progress.start("read article metadata", len(wanted), "articles")
    for item, result in read_all(source, wanted):
        if isinstance(result, Reject):
            rejects.append(result)
        else:
            rows.append(_row(item, result))
        progress.advance()
    progress.finish()
    failed = [reject for reject in rejects if reject.reason == RejectReason.FETCH_FAILED]
    if failed and len(failed) == len(wanted):
        raise FetchFailed(failed[0].article_id, f"{source.location} delivers nothing: {failed[0].message}")

    schema = pl.Schema({name: dtype for name, dtype in ARTICLE_INDEX.schema.items() if name not in _DECIDED})
    fresh = pl.DataFrame(rows, schema=schema, orient="row")
    newest = listing.group_by("pmcid").agg(newest=pl.col("version").max())
    frame = select(pl.concat([known.select(schema.names()), fresh]), newest, rules).select(ARTICLE_INDEX.schema.names())
    manifest = lake.publish(
        ARTICLE_INDEX,
        chunk,
        frame,
        code_version=VERSION,
        inputs=inputs,
        config=rules.as_config(),
        rejects=rejects,
        n_in=listing.height,
        n_out=frame.height,
    )
    left_out = Counter(frame["left_out_because"].drop_nulls().to_list())
    metrics: dict[str, Scalar] = {
        "selected": int(frame["selected"].sum()),
        "metadata_read": len(wanted),
        "metadata_reused": known.height,
        "media": int(frame["media"].list.len().sum() or 0),
        "media_refused": int(frame["media_refused"].list.len().sum() or 0),
        **{f"left_out_{reason}": n for reason, n in sorted(left_out.items())},
    }
    return Report(
        asset=STAGE,
        partition=chunk,
        data_version=manifest.data_version,
        rows=frame.height,
        n_in=manifest.n_in,
        n_out=manifest.n_out,
        rejects=manifest.rejects,
        bytes_written=manifest.bytes,
        seconds=time.monotonic() - began,
        metrics=metrics,
        preview=tuple(
            frame.select("article_id", "license_code", "journal", "year", "selected", "left_out_because")
            .head(5)
            .to_dicts()
        ),
    )


def read_all(source: PmcSource, wanted: list[Listed]) -> Iterator[tuple[Listed, ArticleMetadata | Reject]]:
    """Fetch, verify and read metadata JSONs; in any order, one result for each.

    A JSON that does not match the MD5 of the inventory is fetched once more. If it still differs, the article changed
    after the inventory was taken; that is believed only if the second copy of the JSON, in the article's own prefix,
    has the same bytes. Otherwise it is a reject.
    """
    again: list[Listed] = []
    for item, data in source.get_many(wanted, lambda one: one.key):
        if isinstance(data, bytes) and _md5(data) != item.etag:
            again.append(item)
        else:
            yield item, _read(source, item, data)
    changed: list[tuple[Listed, bytes]] = []
    for item, data in source.get_many(again, lambda one: one.key):
        if isinstance(data, bytes) and _md5(data) != item.etag:
            changed.append((item, data))
        else:
            yield item, _read(source, item, data)
    for (item, data), copy in source.get_many(changed, lambda pair: pair[0].copy_key):
        if copy == data:
            yield item, _read(source, item, data)
        else:
            message = (
                f"{item.key} has MD5 {_md5(data)}, the inventory says {item.etag}, and {item.copy_key} does not have "
                "the same bytes either: damaged, or in the middle of a change; the next inventory will tell"
            )
            yield item, Reject(item.article_id, STAGE, RejectReason.CHECKSUM_MISMATCH, message)


def _read(source: PmcSource, item: Listed, data: bytes | SourceError) -> ArticleMetadata | Reject:
    if isinstance(data, ObjectMissing):
        message = f"{data}; the inventory lists it, so it was withdrawn since or the mirror is incomplete"
        return Reject(item.article_id, STAGE, RejectReason.OBJECT_MISSING, message)
    if isinstance(data, SourceError):
        return Reject(item.article_id, STAGE, RejectReason.FETCH_FAILED, str(data))
    try:
        return read_metadata(data, item.article_id, source.buckets)
    except MetadataRefused as error:
        return Reject(item.article_id, STAGE, error.reason, f"{item.key}: {error}")


def _row(item: Listed, metadata: ArticleMetadata) -> dict[str, object]:
    code = normalise(metadata.license_raw)
    citation = _CITATION.match(metadata.citation or "")
    return {
        "article_id": item.article_id,
        "pmcid": item.pmcid,
        "version": item.version,
        "etag": item.etag,
        "pmid": metadata.pmid,
        "doi": metadata.doi,
        "manuscript_id": metadata.manuscript_id,
        "title": metadata.title,
        "citation": metadata.citation,
        "journal": (citation["journal"] or None) if citation else None,
        "year": (int(citation["year"]) or None) if citation else None,
        "license_raw": metadata.license_raw,
        "license_code": code,
        "license_group": group_of(code),
        "is_pmc_openaccess": metadata.is_pmc_openaccess,
        "is_manuscript": metadata.is_manuscript,
        "is_historical_ocr": metadata.is_historical_ocr,
        "is_retracted": metadata.is_retracted,
        "xml_key": metadata.xml.key if metadata.xml else None,
        "xml_md5": metadata.xml.md5 if metadata.xml else None,
        "media": [dataclasses.asdict(medium) for medium in metadata.media],
        "media_refused": [{"url": url, "reason": reason} for url, reason in metadata.refused],
    }


def _known(lake: Lake, chunk: str, listing: pl.DataFrame) -> pl.DataFrame:
    """Rows of the earlier partition that still hold: read by this code from a JSON of the same MD5."""
    manifest = lake.intact(ARTICLE_INDEX, chunk)
    if manifest is None or manifest.code_version != VERSION:
        return ARTICLE_INDEX.empty().drop(_DECIDED)
    earlier = lake.read(ARTICLE_INDEX, chunk).filter(pl.col("is_retracted").is_not_null()).drop(_DECIDED)
    return earlier.join(listing.select("article_id", "etag"), on=["article_id", "etag"], how="semi")


def _on_list(rules: SelectionRules) -> pl.Expr:
    wanted = sorted(rules.ids or ())
    return pl.format("PMC{}", "pmcid").is_in(wanted) | pl.col("article_id").is_in(wanted)


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
