"""All that is said against articles in one table, and what follows from it for each chunk.

A statement names its object by PMCID, PMID or DOI; it holds for all versions of the article, except that PMC's flag and
an entry of the user's list may name one version (a flag also holds for the versions before it). Which article has which
PMID: what its JATS file says, else what PMC's metadata says.
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import polars as pl

from biomedica_assets.lib.chunks import shelf_of_chunk
from biomedica_assets.lib.errors import Reject, RejectReason, StoreError
from biomedica_assets.lib.report import Report, Scalar
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.store.manifest import FileEntry, digest
from biomedica_assets.lib.tables import (
    ARTICLE_HEADS,
    ARTICLE_INDEX,
    ARTICLE_NOTICES,
    NOTICE_SHELF,
    PUBMED_RECORDS,
    TOMBSTONES,
    WITHDRAWALS,
    Table,
)
from biomedica_assets.lib.withdrawals import rules
from biomedica_assets.lib.withdrawals.listed import absent
from biomedica_assets.lib.withdrawals.rules import Kind, Source

VERSION = "withdrawals-1"
READS: tuple[Table, ...] = (ARTICLE_INDEX, ARTICLE_HEADS, PUBMED_RECORDS)
"""Tables by chunk in which something is said."""
WRITTEN: tuple[Table, ...] = (TOMBSTONES, ARTICLE_NOTICES)
"""Tables by chunk that follow."""
_SAID = pl.Schema(
    {"id_type": pl.String(), "id": pl.String(), "kind": pl.String(), "source": pl.String(), "said_by": pl.String(),
     "words": pl.String(), "not_of": pl.Int64()}
)  # fmt: skip
"""A statement: its object by one id, and the PMCID that cannot be meant (the notice's own)."""
_KNOWN = pl.Schema(
    {"article_id": pl.String(), "pmcid": pl.Int64(), "version": pl.Int32(), "pmid": pl.Int64(), "doi": pl.String(),
     "flagged": pl.Boolean(), "chunk": pl.String()}
)  # fmt: skip
"""An article version of the index with the ids by which it can be named."""


@dataclasses.dataclass(frozen=True, slots=True)
class Lists:
    """What the user names.

    Attributes:
        withdrawn: setting ``withdrawals_file``: id -> reason.
        others: setting -> ids of further lists, which are only looked for.
    """

    withdrawn: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    others: Mapping[str, frozenset[str]] = dataclasses.field(default_factory=dict[str, frozenset[str]])

    def recorded(self) -> dict[str, str]:
        """What the manifest keeps of it."""
        wanted = digest(*(f"{name}#{reason}" for name, reason in sorted(self.withdrawn.items())))
        others = {name: digest(*sorted(ids)) for name, ids in self.others.items()}
        return {"withdrawals_file": wanted if self.withdrawn else "", **others}


def build_notice_shelf(lake: Lake, shelf: str) -> Report:
    """Stage of ``notice_shelf``: which data of a shelf's chunks say something of articles."""
    began = time.monotonic()
    parts = [(t, c) for t in READS for c in lake.partitions(t) if shelf_of_chunk(c) == shelf]
    inputs = lake.inputs(*parts)
    rows: list[dict[str, object]] = [
        {"chunk": chunk, "table": table.name, "data_version": lake.version(table, chunk)} for table, chunk in parts
    ]
    frame = NOTICE_SHELF.frame(rows).sort("chunk", "table")
    n = frame.height
    manifest = lake.publish(
        NOTICE_SHELF, shelf, frame, code_version=VERSION, inputs=inputs, config={}, n_in=n, n_out=n
    )  # fmt: skip
    return Report(
        NOTICE_SHELF.name, shelf, manifest.data_version, n, n, n, bytes_written=manifest.bytes,
        seconds=time.monotonic() - began,
    )  # fmt: skip


def build_withdrawals(lake: Lake, *, lists: Lists | None = None) -> tuple[Report, dict[Table, dict[str, str]]]:
    """Fill ``withdrawals``, and ``tombstones`` and ``article_notices`` of each chunk where they change.

    Args:
        lake: reads ``article_index``, ``article_heads`` and ``pubmed_records`` of all chunks, as far as they are made.
        lists: what the user names.

    Returns:
        Report: items are statements about articles that are in the index, and ids of lists, of which those that PubMed
        Central does not have are rejects. And of each table by chunk the data version of every partition.
    """
    began, lists = time.monotonic(), lists or Lists()
    inputs = lake.inputs(*((NOTICE_SHELF, shelf) for shelf in lake.partitions(NOTICE_SHELF)))
    said = pl.concat([_of_notices(lake), _of_pubmed(lake)])
    known = _concerned(_known(lake), said, lists.withdrawn)
    found = pl.concat([_of_flags(known), _of_list(known, lists.withdrawn), _met(said, known)])
    frame = found.unique().select(WITHDRAWALS.schema.names()).sort(*WITHDRAWALS.key, "words")
    frame = frame.unique(WITHDRAWALS.key, keep="first", maintain_order=True)
    names = {"withdrawals_file": lists.withdrawn.keys(), **lists.others}
    rejects = [
        Reject(name, WITHDRAWALS.name, RejectReason.NOT_IN_PMC, f"{setting} names {name}: {why}", setting)
        for setting, name, why in absent(lake, names)
    ]
    made: dict[Table, dict[str, str]] = {table: {} for table in WRITTEN}
    written: list[FileEntry] = []
    tombstones, notices = _tombstones(frame, known), _notices(frame)
    for chunk in lake.partitions(ARTICLE_INDEX):
        for table, rows in ((TOMBSTONES, tombstones), (ARTICLE_NOTICES, notices)):
            version, entries = _write(lake, table, chunk, rows.filter(chunk=chunk))
            made[table][chunk] = version
            written += entries
    n_listed = sum(len(set(ids)) for ids in names.values())
    counts = Counter(frame.filter(kind=Kind.RETRACTION).unique(["article_id", "source"])["source"])
    metrics: dict[str, Scalar] = {
        "articles_withdrawn": tombstones.height,
        **{f"withdrawn_by_{source}": counts.get(source, 0) for source in Source},
        "articles_with_a_concern": frame.filter(kind=Kind.CONCERN)["article_id"].n_unique(),
        "articles_corrected": frame.filter(kind=Kind.CORRECTION)["article_id"].n_unique(),
        "named_and_not_in_pmc": len(rejects),
    }
    if rejects:
        more = f" and {len(rejects) - 20:,} more" if len(rejects) > 20 else ""
        metrics["not_in_pmc"] = ", ".join(f"{r.article_id} ({r.subject})" for r in rejects[:20]) + more
    n_out = frame.height + n_listed - len(rejects)
    manifest = lake.publish(
        WITHDRAWALS, None, frame, code_version=VERSION, inputs=inputs, config=lists.recorded(), rejects=rejects,
        n_in=frame.height + n_listed, n_out=n_out, files=written, metrics=metrics,
    )  # fmt: skip
    report = Report(
        asset=WITHDRAWALS.name, partition=None, data_version=manifest.data_version, rows=frame.height,
        n_in=manifest.n_in, n_out=manifest.n_out, rejects=manifest.rejects, bytes_written=manifest.bytes,
        seconds=time.monotonic() - began, metrics=metrics,
        preview=tuple(frame.head(20).select("article_id", "kind", "source", "said_by", "words").to_dicts()),
    )  # fmt: skip
    return report, made


def withdrawn(lake: Lake, chunk: str) -> dict[str, tuple[RejectReason, str]]:
    """Article versions of a chunk that nothing may hold: reason code, and who says so; none if nobody has looked."""
    if lake.manifest(TOMBSTONES, chunk) is None:
        return {}
    rows = lake.read(TOMBSTONES, chunk).select("article_id", "reason", "because")
    return {article: (RejectReason(reason), because) for article, reason, because in rows.iter_rows()}


def _known(lake: Lake) -> pl.LazyFrame:
    """Every article version of the index: ids, flag, chunk; joined chunk by chunk, so that few are held at once."""
    columns = ("article_id", "pmcid", "version", "pmid", "doi", "is_retracted")
    made, frames = set(lake.partitions(ARTICLE_HEADS)), [pl.LazyFrame(schema=_KNOWN)]
    for chunk in lake.partitions(ARTICLE_INDEX):
        index = lake.read_lazy(ARTICLE_INDEX, chunk).select(columns)
        table = lake.read_lazy(ARTICLE_HEADS, chunk) if chunk in made else ARTICLE_HEADS.empty().lazy()
        heads = table.select("article_id", head_pmid="pmid", head_doi="doi")
        joined = index.join(heads, on="article_id", how="left", validate="1:1", maintain_order="left")
        frames.append(
            joined.select(
                "article_id",
                "pmcid",
                "version",
                pmid=pl.coalesce("head_pmid", "pmid"),
                doi=pl.coalesce("head_doi", "doi").str.extract(rules.DOI).str.to_lowercase(),
                flagged=pl.col("is_retracted").fill_null(False),
                chunk=pl.lit(chunk),
            )
        )
    return pl.concat(frames)


def _concerned(known: pl.LazyFrame, said: pl.DataFrame, listed: Iterable[str]) -> pl.DataFrame:
    """All versions of the articles about which anything is said: some thousands of millions."""
    named = {id_type: said.filter(id_type=id_type)["id"].unique() for id_type in ("article_id", "pmcid", "pmid", "doi")}
    numbers = pl.Series([int(name.removeprefix("PMC").partition(".")[0]) for name in listed], dtype=pl.Int64)
    meant = known.filter(
        pl.col("flagged")
        | pl.col("article_id").is_in(named["article_id"].implode())
        | pl.col("pmcid").is_in(pl.concat([named["pmcid"].cast(pl.Int64), numbers]).implode())
        | pl.col("pmid").is_in(named["pmid"].cast(pl.Int64).implode()).fill_null(False)
        | pl.col("doi").is_in(named["doi"].implode()).fill_null(False)
    ).select("pmcid").unique().collect()["pmcid"]  # fmt: skip
    return known.filter(pl.col("pmcid").is_in(meant.implode())).collect()


def _of_flags(known: pl.DataFrame) -> pl.DataFrame:
    """PMC's flag holds for the version that has it and those before; a newer one without it was put in its place."""
    newest = known.filter("flagged").group_by("pmcid").agg(until=pl.col("version").max())
    return known.join(newest, on="pmcid").filter(pl.col("version") <= pl.col("until")).select(
        "article_id", "chunk", kind=pl.lit(str(Kind.RETRACTION)), source=pl.lit(str(Source.PMC)),
        said_by=pl.format("PMC{}.{}", "pmcid", "until"), words=pl.lit("is_retracted in PMC's metadata"),
    )  # fmt: skip


def _of_list(known: pl.DataFrame, named: Mapping[str, str]) -> pl.DataFrame:
    given = pl.DataFrame(
        {"name": list(named), "words": list(named.values())}, schema={"name": pl.String, "words": pl.String}
    )
    both = known.with_columns(article=pl.format("PMC{}", "pmcid"))
    rows = [both.join(given, left_on=column, right_on="name") for column in ("article_id", "article")]
    return pl.concat([frame.select("article_id", "chunk", "words") for frame in rows]).select(
        "article_id", "chunk", kind=pl.lit(str(Kind.RETRACTION)), source=pl.lit(str(Source.LIST)),
        said_by=pl.lit("withdrawals_file"), words="words",
    )  # fmt: skip


def _of_notices(lake: Lake) -> pl.DataFrame:
    heads = lake.scan(ARTICLE_HEADS).filter(pl.col("related").list.len() > 0)
    rows = heads.select("article_id", "pmcid", "article_type", "related").collect()
    return pl.DataFrame(list(_links(rows)), schema=_SAID, orient="row")


def _links(rows: pl.DataFrame) -> Iterator[tuple[object, ...]]:
    for article, pmcid, article_type, related in rows.iter_rows():
        for link in related:
            if (said := rules.of_link(article_type, link["kind"])) is None:
                continue
            kind, itself = said
            named = rules.target(link["id_type"], link["id"])
            whom = f"{named[0]} {named[1]}" if named else (link["id"] or "an article without an id")
            if itself:
                words = f"its own file names {whom} as its {link['kind']}"
                yield "article_id", article, kind, Source.NOTICE, article, words, None
            elif named:
                words = f"{article_type or 'article'} names {whom} as {link['kind'] or 'its object'}"
                yield *named, kind, Source.NOTICE, article, words, pmcid


def _of_pubmed(lake: Lake) -> pl.DataFrame:
    kinds = [*rules.PUBMED_OF_ITSELF, *rules.PUBMED_OF_ANOTHER]
    linked = pl.col("links").list.eval(pl.element().struct.field("kind").is_in(kinds)).list.any()
    typed = pl.col("publication_types").list.eval(pl.element().struct.field("ui") == rules.RETRACTED_PUBLICATION)
    rows = lake.scan(PUBMED_RECORDS).select("pmid", "publication_types", "links").filter(linked | typed.list.any())
    rows = rows.collect().unique("pmid", keep="any").sort("pmid")
    return pl.DataFrame(list(_records(rows)), schema=_SAID, orient="row")


def _records(rows: pl.DataFrame) -> Iterator[tuple[object, ...]]:
    for pmid, types, links in rows.iter_rows():
        itself = f"PMID {pmid}"
        if any(one["ui"] == rules.RETRACTED_PUBLICATION for one in types):
            words = "PubMed's publication type is Retracted Publication"
            yield "pmid", str(pmid), Kind.RETRACTION, Source.PUBMED, itself, words, None
        for link in links:
            other = f"PMID {link['pmid']}" if link["pmid"] else (link["citation"] or "a notice without a PMID")
            if kind := rules.PUBMED_OF_ITSELF.get(link["kind"]):
                words = f"PubMed: {link['kind']} {other}"
                yield "pmid", str(pmid), kind, Source.PUBMED, other, words, None
            elif (kind := rules.PUBMED_OF_ANOTHER.get(link["kind"])) and link["pmid"] and link["pmid"] != pmid:
                words = f"PubMed: {itself} is {link['kind']} it"
                yield "pmid", str(link["pmid"]), kind, Source.PUBMED, itself, words, None


def _met(said: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Statements about articles of the index, one row for each version of the article."""
    names = {"article_id": "article_id", "pmcid": "pmcid", "pmid": "pmid", "doi": "doi"}
    numbers: list[pl.DataFrame] = []
    for id_type, column in names.items():
        of_type = said.filter(id_type=id_type)
        ids = known.select(pl.col(column).cast(pl.String).alias("id"), meant="pmcid").drop_nulls().unique()
        numbers.append(of_type.join(ids, on="id"))
    meant = pl.concat(numbers).filter(pl.col("not_of").is_null() | (pl.col("not_of") != pl.col("meant")))
    versions = known.select("article_id", "chunk", meant="pmcid")
    return meant.join(versions, on="meant").select("article_id", "chunk", "kind", "source", "said_by", "words")


def _tombstones(frame: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """One row per withdrawn version; what the user writes beside an id stays in ``withdrawals``."""
    listed = pl.col("source") == str(Source.LIST)
    said = pl.when(listed).then(pl.lit("named on the list of withdrawn articles")).otherwise("words")
    rows = frame.filter(kind=Kind.RETRACTION).group_by("article_id", "chunk").agg(
        reason=pl.when(listed.all()).then(pl.lit(RejectReason.WITHDRAWN.value))
        .otherwise(pl.lit(RejectReason.RETRACTED.value)).first(),
        sources=pl.col("source").unique().sort(),
        because=pl.concat_str("source", said, separator=": ").unique().sort().str.join("; "),
    )  # fmt: skip
    return rows.join(known.select("article_id", "pmcid", "version"), on="article_id").sort("pmcid", "version")


def _notices(frame: pl.DataFrame) -> pl.DataFrame:
    def who(kind: Kind) -> pl.Expr:
        return pl.col("said_by").filter(pl.col("kind") == str(kind)).unique().sort()

    rows = frame.filter(pl.col("kind") != str(Kind.RETRACTION)).group_by("article_id", "chunk").agg(
        concerns=who(Kind.CONCERN), corrections=who(Kind.CORRECTION)
    )  # fmt: skip
    flags = {"has_concern": pl.col("concerns").list.len() > 0, "is_corrected": pl.col("corrections").list.len() > 0}
    return rows.with_columns(**flags).sort("article_id")


def _write(lake: Lake, table: Table, chunk: str, rows: pl.DataFrame) -> tuple[str, Iterable[FileEntry]]:
    """One partition, left as it is if its rows are those; its data version and files."""
    frame = rows.select(table.schema.names())
    manifest = lake.intact(table, chunk)
    if manifest is None or manifest.code_version != VERSION or not _equal(lake, table, chunk, frame):
        n = frame.height
        manifest = lake.publish(table, chunk, frame, code_version=VERSION, inputs={}, config={}, n_in=n, n_out=n)
    return manifest.data_version, manifest.parts


def _equal(lake: Lake, table: Table, chunk: str, frame: pl.DataFrame) -> bool:
    try:
        return lake.read(table, chunk).equals(frame)
    except StoreError:
        return False
