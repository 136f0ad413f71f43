"""Tables of what PubMed Central and PubMed say: inventory, index, files, heads, notices, withdrawals, records."""

from __future__ import annotations

import polars as pl

from biomedica_assets.lib.tables.model import BOOL, I32, I64, STRINGS, S, Table
from biomedica_assets.lib.tables.model import column as _c

CHUNK_LISTING = Table(
    "chunk_listing",
    "What the newest complete inventory says of one chunk: one row per article version.",
    "chunk",
    ("article_id",),
    (
        _c("article_id", S, "PMC123.1"),
        _c("pmcid", I64, "number of the article"),
        _c("version", I32, "version of the article"),
        _c("key", S, "key of the metadata JSON in the bucket"),
        _c("etag", S, "MD5 of the metadata JSON; changes when any object of the version changes"),
        _c("last_modified", S, "ISO time at which the metadata JSON was last written, if an inventory says", null=True),
    ),
)

PMC_INVENTORY = Table(
    "pmc_inventory",
    "Table of contents of the newest complete inventory: one row per chunk, compared with the inventory before it.",
    "none",
    ("chunk",),
    (
        _c("chunk", S, "key of the chunk"),
        _c("snapshot", S, "inventory the row comes from: its date, or looked-<digest> for a directory without one"),
        _c("rows", I64, "article versions"),
        _c("gone", I64, "withdrawn article versions, kept as tombstones"),
        _c("digest", S, "of the rows, whatever their order"),
        _c("added", I64, "article versions that the inventory before did not list"),
        _c("changed", I64, "article versions of which some object changed"),
        _c("absent", I64, "article versions kept although this inventory does not list them"),
        _c("removed", I64, "article versions found to be withdrawn with this inventory"),
    ),
)

MEDIA = pl.List(pl.Struct({"key": pl.String(), "md5": pl.String()}))

REFUSED = pl.List(pl.Struct({"url": pl.String(), "reason": pl.String()}))

ARTICLE_INDEX = Table(
    "article_index",
    "One row per article version: identity, licence, flags, and whether and why it is selected.",
    "chunk",
    ("article_id",),
    (
        _c("article_id", S, "PMC123.1", src="chunk_listing.article_id"),
        _c("pmcid", I64, "number of the article", src="chunk_listing.pmcid"),
        _c("version", I32, "version of the article", src="chunk_listing.version"),
        _c("etag", S, "MD5 of the metadata JSON", src="chunk_listing.etag"),
        _c("pmid", I64, "PubMed id", null=True),
        _c("doi", S, "DOI", null=True),
        _c("manuscript_id", S, "NIHMS or other manuscript id", null=True),
        _c("title", S, "title as the metadata JSON has it", null=True),
        _c("citation", S, "citation as the metadata JSON has it", null=True),
        _c("journal", S, "journal abbreviation read from the citation", null=True),
        _c("year", I32, "year read from the citation", null=True),
        _c("license_raw", S, "licence code as the source spells it", null=True),
        _c("license_code", S, "normalised licence code, null if it is none that is known", null=True),
        _c("license_group", S, "commercial, noncommercial or other; null if the metadata was not read", null=True),
        _c("is_pmc_openaccess", BOOL, "in the PMC Open Access subset; null if the metadata was not read", null=True),
        _c("is_manuscript", BOOL, "author manuscript; null if the metadata was not read", null=True),
        _c("is_historical_ocr", BOOL, "scanned back issue; null if the metadata was not read", null=True),
        _c("is_retracted", BOOL, "retracted; null if the metadata was not read (not on the list)", null=True),
        _c("xml_key", S, "key of the JATS file", null=True),
        _c("xml_md5", S, "MD5 of the JATS file", null=True),
        _c("media", MEDIA, "figures and supplements of the version, with MD5"),
        _c("media_refused", REFUSED, "URLs of the metadata JSON that are not used, and why"),
        _c("selected", BOOL, "whether the article goes on"),
        _c("left_out_because", S, "reason code when it does not", null=True),
    ),
)

ARTICLE_XML = Table(
    "article_xml",
    "JATS files in the local mirror, verified against the MD5 of the metadata.",
    "chunk",
    ("article_id",),
    (
        _c("article_id", S, "PMC123.1", src="article_index.article_id"),
        _c("key", S, "key in the bucket", src="article_index.xml_key"),
        _c("path", S, "path below the data directory"),
        _c("md5", S, "MD5 of the bytes", src="article_index.xml_md5"),
        _c("bytes", I64, "size"),
    ),
)

RELATED = pl.List(pl.Struct({"kind": pl.String(), "id_type": pl.String(), "id": pl.String()}))

ARTICLE_HEADS = Table(
    "article_heads",
    "What the front matter of each JATS file says of the article's identity and of other articles.",
    "chunk",
    ("article_id",),
    (
        _c("article_id", S, "PMC123.1", src="article_xml.article_id"),
        _c("pmcid", I64, "number of the article"),
        _c("article_type", S, "article-type attribute", null=True),
        _c("pmid", I64, "PubMed id as the file states it", null=True),
        _c("doi", S, "DOI as the file states it", null=True),
        _c("related", RELATED, "related articles: retractions, corrections, companions"),
    ),
)

NOTICE_SHELF = Table(
    "notice_shelf",
    "Which data of the chunks of a shelf say that articles are retracted, questioned or corrected.",
    "shelf",
    ("chunk", "table"),
    (
        _c("chunk", S, "chunk"),
        _c("table", S, "table of the chunk: article_index, article_heads or pubmed_records"),
        _c("data_version", S, "digest of its content"),
    ),
)

WITHDRAWALS = Table(
    "withdrawals",
    "Every statement that an article of the index is retracted, questioned or corrected, with who says it.",
    "none",
    ("article_id", "kind", "source", "said_by"),
    (
        _c("article_id", S, "article version concerned", src="article_index.article_id"),
        _c("chunk", S, "chunk of the article"),
        _c("kind", S, "retraction, concern or correction"),
        _c(
            "source",
            S,
            "pmc (flag), pubmed (record), notice (JATS file) or list (withdrawals_file)",
            src="article_index.is_retracted pubmed_records.links article_heads.related",
        ),
        _c("said_by", S, "who says it: article version, PMID, or the list"),
        _c("words", S, "what it says; of the list, what stands behind the id"),
    ),
)

TOMBSTONES = Table(
    "tombstones",
    "Article versions of a chunk that are withdrawn, by whatever source: nothing downstream holds them.",
    "chunk",
    ("article_id",),
    (
        _c("article_id", S, "PMC123.1", src="withdrawals.article_id"),
        _c("pmcid", I64, "number of the article"),
        _c("version", I32, "version of the article"),
        _c("reason", S, "reason code: retracted, or withdrawn where only the user's list says so"),
        _c("sources", STRINGS, "pmc, pubmed, notice, list", src="withdrawals.source"),
        _c("because", S, "who says what, in words", src="withdrawals.words"),
    ),
)

ARTICLE_NOTICES = Table(
    "article_notices",
    "Article versions of a chunk about which there is an expression of concern or a correction.",
    "chunk",
    ("article_id",),
    (
        _c("article_id", S, "PMC123.1", src="withdrawals.article_id"),
        _c("has_concern", BOOL, "there is an expression of concern about the article"),
        _c("concerns", STRINGS, "who expresses it: article version or PMID", src="withdrawals.said_by"),
        _c("is_corrected", BOOL, "there is a correction, an addendum or a partial retraction"),
        _c("corrections", STRINGS, "where it stands: article version or PMID", src="withdrawals.said_by"),
    ),
)

QUALIFIED = pl.List(
    pl.Struct(
        {
            "ui": pl.String(),
            "descriptor": pl.String(),
            "major": pl.Boolean(),
            "qualifiers": pl.List(pl.Struct({"ui": pl.String(), "name": pl.String(), "major": pl.Boolean()})),
        }
    )
)

ABSTRACT_SECTIONS = pl.List(pl.Struct({"label": pl.String(), "category": pl.String(), "text": pl.String()}))

PUBLICATION_TYPES = pl.List(pl.Struct({"ui": pl.String(), "name": pl.String()}))

REFERENCES = pl.List(pl.Struct({"citation": pl.String(), "pmid": pl.Int64(), "doi": pl.String(), "pmcid": pl.String()}))

LINKS = pl.List(pl.Struct({"kind": pl.String(), "pmid": pl.Int64(), "citation": pl.String()}))

PUBMED_RECORDS = Table(
    "pubmed_records",
    "What PubMed says of each article that has a PMID: subject headings, abstract, types, references, links.",
    "chunk",
    ("article_id",),
    (
        _c("article_id", S, "PMC123.1", src="article_index.article_id"),
        _c(
            "pmid",
            I64,
            "PubMed id, by which the record was found: the file's, else the metadata's",
            src="article_heads.pmid article_index.pmid",
        ),
        _c("pubmed_version", I32, "version of the PubMed record"),
        _c("status", S, "indexing status, for example MEDLINE or PubMed-not-MEDLINE", null=True),
        _c("title", S, "title as PubMed has it", null=True),
        _c("mesh", QUALIFIED, "MeSH headings in order; empty if the article is not indexed"),
        _c("abstract", S, "abstract as text, one line per section, its label before a colon", null=True),
        _c("abstract_sections", ABSTRACT_SECTIONS, "sections with label, NLM category and text"),
        _c("publication_types", PUBLICATION_TYPES, "publication types with their MeSH UI"),
        _c("references", REFERENCES, "reference list as far as PubMed has it"),
        _c("links", LINKS, "corrections and comments: RetractionIn, RetractionOf, ErratumIn, CommentOn, ..."),
        _c("is_retracted", BOOL, "a retracted publication by its type or by a RetractionIn link"),
        _c("date_revised", S, "day the record was last revised, ISO", null=True),
        _c("source", S, "file or service the record was read from"),
    ),
)
