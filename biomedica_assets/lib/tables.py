"""Every table of the project, described once, as data.

Parquet schemas, asset checks, the column schemas in the Dagster UI and the data dictionary of a release are generated
from here. A column is a name, a Polars type, whether it may be null, what it means, and where it comes from
(``table.column`` of other tables, for column lineage). Null is null: no "None", no "" for missing, no ``[""]``.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Literal

import polars as pl

from biomedica_assets.lib.errors import PermanentFailure

Partitioning = Literal["chunk", "shelf", "recipe", "none"]


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """One column: name, Polars type, meaning, nullability and the columns it is made from."""

    name: str
    dtype: pl.DataType
    meaning: str
    nullable: bool = False
    sources: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Table:
    """One table: its columns in order, its key, and how it is cut into partitions.

    Without slots, so that ``schema`` is made once: a look at 650 chunks asks for it some 10 000 times.
    """

    name: str
    meaning: str
    partitioning: Partitioning
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    @functools.cached_property
    def schema(self) -> pl.Schema:
        """Polars schema, columns in order; one object for all, so not to be changed."""
        return pl.Schema({column.name: column.dtype for column in self.columns})

    def empty(self) -> pl.DataFrame:
        """The table without rows."""
        return pl.DataFrame(schema=self.schema)

    def frame(self, rows: list[dict[str, object]]) -> pl.DataFrame:
        """Rows as a frame in this table's schema; a missing key becomes null."""
        return pl.DataFrame(rows, schema=self.schema, orient="row")

    def problems(self, frame: pl.DataFrame) -> list[str]:
        """What is wrong with a frame, one sentence per fault; empty if it fits."""
        found = [f"column {c.name} is missing" for c in self.columns if c.name not in frame.columns]
        found += [f"column {name} is not part of {self.name}" for name in frame.columns if name not in self.schema]
        for column in self.columns:
            if column.name not in frame.columns:
                continue
            dtype = frame.schema[column.name]
            if dtype != column.dtype:
                found.append(f"column {column.name} is {dtype}, expected {column.dtype}")
            elif not column.nullable and (n := frame[column.name].null_count()):
                found.append(f"column {column.name} has {n:,} nulls, none are allowed")
        if not found and self.key and frame.height:
            n = frame.height - frame.select(self.key).n_unique()
            if n:
                found.append(f"key {', '.join(self.key)} is not unique: {n:,} rows too many")
        return found

    def validate(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the frame in column order.

        Raises:
            PermanentFailure: it does not fit the schema, a required column has nulls, or the key is not unique.
        """
        if found := self.problems(frame):
            raise PermanentFailure(f"table {self.name}: " + "; ".join(found))
        return frame.select(self.schema.names())


S, I64, I32, F32, BOOL = pl.String(), pl.Int64(), pl.Int32(), pl.Float32(), pl.Boolean()
STRINGS = pl.List(pl.String())


def _c(name: str, dtype: pl.DataType, meaning: str, *, null: bool = False, src: str = "") -> Column:
    return Column(name, dtype, meaning, null, tuple(src.split()))


REJECTS = Table(
    "rejects",
    "Items left out at any stage, each with its reason; one file beside each partition.",
    "chunk",
    (),
    (
        _c("article_id", S, "PMC123.1, or the key or file when no article is known"),
        _c("stage", S, "asset that refused the item"),
        _c("reason", S, "reason code, see lib.errors.RejectReason"),
        _c("message", S, "what was found, what was expected"),
        _c("subject", S, "figure_id, media name or place concerned", null=True),
    ),
)

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
SECTIONS = pl.List(pl.Struct({"title": pl.String(), "text": pl.String()}))
KEYWORD_GROUPS = pl.List(pl.Struct({"kind": pl.String(), "language": pl.String(), "keywords": pl.List(pl.String())}))

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

ARTICLES = Table(
    "articles",
    "One row per parsed article version: what its JATS file says of it.",
    "chunk",
    ("article_id",),
    (
        _c("article_id", S, "PMC123.1", src="article_index.article_id"),
        _c("pmcid", I64, "number of the article, as stated by the file or else by its key", null=True),
        _c("version", I32, "version of the article", null=True),
        _c("pmid", I64, "PubMed id: the file's, else the metadata's", null=True, src="article_index.pmid"),
        _c("doi", S, "DOI", null=True),
        _c("title", S, "title in document order, without footnote marks", null=True),
        _c("subtitle", S, "subtitle", null=True),
        _c("article_type", S, "article-type attribute", null=True),
        _c("language", S, "xml:lang of the article", null=True),
        _c("journal", S, "journal-title", null=True),
        _c("journal_id", S, "NLM title abbreviation or other journal-id", null=True),
        _c("issn", STRINGS, "ISSNs in document order"),
        _c("publisher", S, "publisher name", null=True),
        _c("date", S, "publication date, ISO, as precise as it is known: 2021, 2021-03 or 2021-03-09", null=True),
        _c("date_precision", S, "Y, YM or YMD", null=True),
        _c("date_source", S, "pub-type or date-type of the pub-date used", null=True),
        _c("year", I32, "year of publication", null=True),
        _c("volume", S, "volume", null=True),
        _c("issue", S, "issue", null=True),
        _c("pages", S, "first and last page, or elocation id", null=True),
        _c("authors", STRINGS, "names in document order: surname, given names"),
        _c("keywords", KEYWORD_GROUPS, "keywords by group"),
        _c("subjects", STRINGS, "subjects of the article itself, in document order"),
        _c("abstract", S, "abstract as text", null=True),
        _c("abstract_sections", SECTIONS, "abstract by section"),
        _c("license_url", S, "licence URL as stated in the file", null=True),
        _c("license_barred", S, "why the licence named is not in force (embargo); null if nothing bars it", null=True),
        _c("license_version", S, "licence version read from the URL, for example 4.0", null=True),
        _c("license_text", S, "licence paragraph as text", null=True),
        _c(
            "license_code",
            S,
            "normalised code; the metadata's, else what the URL or text states",
            null=True,
            src="article_index.license_code",
        ),
        _c("license_group", S, "commercial, noncommercial or other", src="article_index.license_group"),
        _c("copyright", S, "copyright statement", null=True),
        _c("is_retracted", BOOL, "retracted", src="article_index.is_retracted"),
        _c("n_references", I32, "entries of the reference list"),
        _c("related", RELATED, "related articles: retractions, corrections, companions"),
        _c("n_further_articles", I32, "other articles in the same file, which were not read"),
        _c("xml_md5", S, "MD5 of the JATS file that was parsed", src="article_xml.md5"),
        _c("parser_version", S, "version of lib.jats that made the row"),
    ),
)

GRAPHICS = pl.List(
    pl.Struct(
        {
            "href": pl.String(),
            "mime": pl.String(),
            "content_type": pl.String(),
            "xml_id": pl.String(),
            "renditions": pl.List(pl.String()),
        }
    )
)

FIGURES = Table(
    "figures",
    "One row per figure, and per table image, formula or other graphic, each with its kind.",
    "chunk",
    ("figure_id",),
    (
        _c("figure_id", S, "opaque stable key, [a-z0-9_-]"),
        _c("article_id", S, "PMC123.1", src="articles.article_id"),
        _c("ordinal", I32, "position in the document, from 0"),
        _c("xml_id", S, "id attribute of the element", null=True),
        _c("element", S, "JATS element the row stands for: fig, table-wrap, disp-formula, graphic, ..."),
        _c("kind", S, "figure, scheme, algorithm, chart, map, table, formula, chemical_structure, graphic, ..."),
        _c("label", S, "text of the label", null=True),
        _c("parent_figure_id", S, "figure in which this one is nested", null=True),
        _c("group_xml_id", S, "id of the fig-group", null=True),
        _c("group_label", S, "label of the fig-group", null=True),
        _c("group_caption", S, "caption of the fig-group", null=True),
        _c("place", S, "where it stands: body, floats, back, appendix, abstract, sub-article, supplementary, ..."),
        _c("section", S, "section titles from the outside in, joined by ' > '", null=True),
        _c("language", S, "language in force", null=True),
        _c("license_url", S, "licence URL stated by the part that decides; null where the article decides", null=True),
        _c("license_code", S, "normalised licence in force: that of the nearest part that speaks of rights", null=True),
        _c("license_group", S, "commercial, noncommercial or other, in force for the figure"),
        _c("license_source", S, "what decides: element of that part (graphic, fig, sec, ...), article or credit line"),
        _c("license_reason", S, "the words that decided; null where only the article speaks", null=True),
        _c("copyright", S, "copyright statement of the part that decides, or of the figure", null=True),
        _c("attribution", S, "attrib of the figure and of its graphics", null=True),
        _c("credit", S, "credit line in caption or attrib, also where nothing follows from it", null=True),
        _c(
            "credit_rule",
            S,
            "rule it met: reserved, not_covered, permission, copyright, verbatim, licence or source",
            null=True,
        ),
        _c("alt_text", S, "alt-text of the figure", null=True),
        _c("graphics", GRAPHICS, "graphics in document order; alternatives count once, the full-size one chosen"),
        _c("n_mentions", I32, "mentions of the figure"),
    ),
)

CAPTIONS = Table(
    "captions",
    "One row per figure that has a caption.",
    "chunk",
    ("figure_id",),
    (
        _c("figure_id", S, "figure the caption belongs to", src="figures.figure_id"),
        _c("article_id", S, "PMC123.1", src="articles.article_id"),
        _c("caption", S, "title and paragraphs as text, blocks separated by a line feed"),
        _c(
            "caption_reading",
            S,
            "the same with 10^6 for a raised 6 and 1/2 for a fraction: no number changes its value",
        ),
        _c("title", S, "title of the caption as text", null=True),
        _c("xml", S, "caption element as XML"),
        _c("inherited", BOOL, "true if the figure has no caption of its own and this is that of what is around it"),
        _c("source", S, "what it was read from: caption, p (paragraphs of the figure), or inherited: fig-group, fig"),
        _c("language", S, "language in force", null=True),
        _c("n_chars", I32, "length of the caption in characters"),
    ),
)

SPANS = pl.List(pl.Struct({"start": pl.Int32(), "end": pl.Int32()}))

MENTIONS = Table(
    "mentions",
    "One row per figure and block of text that cites it.",
    "chunk",
    ("mention_id",),
    (
        _c("mention_id", S, "opaque stable key"),
        _c("figure_id", S, "figure that is cited", src="figures.figure_id"),
        _c("article_id", S, "PMC123.1", src="articles.article_id"),
        _c("ordinal", I32, "position of the block in the document"),
        _c("text", S, "text of the block without the floats in it; of a long one 4 000 characters around the citation"),
        _c("text_start", I32, "where text begins in the block, in characters"),
        _c("paragraph_chars", I32, "length of the whole block in characters"),
        _c("start", I32, "first character of the first citation in text"),
        _c("end", I32, "one past its last character"),
        _c("spans", SPANS, "citations of the figure in text"),
        _c("block", S, "element of the block: p, title, td, li, ..."),
        _c("place", S, "where it stands: body, abstract, caption, footnote, appendix, ..."),
        _c("section", S, "section titles from the outside in, joined by ' > '", null=True),
        _c("inferred", BOOL, "true if the figure is only implied by a range such as Figs 2-4"),
    ),
)

IMAGES = Table(
    "images",
    "One row per image file of a figure that was fetched, verified and decoded.",
    "chunk",
    ("media_id",),
    (
        _c("media_id", S, "opaque stable key, [a-z0-9_-]"),
        _c("figure_id", S, "figure it belongs to", src="figures.figure_id"),
        _c("article_id", S, "PMC123.1", src="articles.article_id"),
        _c("position", I32, "position among the graphics of the figure, from 0"),
        _c("href", S, "name as the XML has it", src="figures.graphics"),
        _c("key", S, "key of the object in the bucket", src="article_index.media"),
        _c("path", S, "path below the data directory"),
        _c("match", S, "how href met key: exact, extension_added, extension_removed, other_extension, case, basename"),
        _c("format", S, "format by content: jpeg, png, gif, tiff, webp, bmp"),
        _c("width", I32, "pixels"),
        _c("height", I32, "pixels"),
        _c("mode", S, "Pillow mode of the file: RGB, L, P, CMYK, I;16, ..."),
        _c("n_frames", I32, "frames or pages; the first is measured"),
        _c("orientation", I32, "EXIF orientation 1..8 of the file; applied in width, height and pixels", null=True),
        _c("bytes", I64, "size of the file"),
        _c("md5", S, "MD5 of the file, equal to the source's"),
        _c("sha256", S, "SHA-256 of the file"),
        _c("crc32", pl.UInt32(), "CRC-32 of the file, by which a later change of it is noticed cheaply", null=True),
        _c(
            "pixel_hash",
            S,
            "BLAKE3 of the first frame as 8-bit RGB and its size, hex; the exact form: lib.images.pixels",
        ),
        _c("phash", pl.UInt64(), "64-bit perceptual hash (DCT); near-copies differ in few bits"),
        _c("license_code", S, "licence in force for the figure", null=True, src="figures.license_code"),
        _c("license_group", S, "commercial, noncommercial or other", src="figures.license_group"),
    ),
)

SHARDS = Table(
    "shards",
    "One row per sample of the WebDataset shards, with the byte range of each member.",
    "chunk",
    ("sample_key",),
    (
        _c("sample_key", S, "key of the sample, [a-z0-9_-]", src="images.media_id"),
        _c("media_id", S, "image of the sample", src="images.media_id"),
        _c("figure_id", S, "figure of the sample", src="figures.figure_id"),
        _c("article_id", S, "PMC123.1", src="articles.article_id"),
        _c("license_group", S, "commercial, noncommercial or other", src="images.license_group"),
        _c("shard", S, "path of the tar below the data directory"),
        _c("position", I32, "position of the sample in its shard"),
        _c("start", I64, "first byte of the sample (header of its first member)"),
        _c("end", I64, "one past its last byte, padding included"),
        _c("image_ext", S, "extension of the image member"),
        _c("image_start", I64, "first byte of the image's data"),
        _c("image_bytes", I64, "size of the image"),
        _c("txt_start", I64, "first byte of the caption's data"),
        _c("txt_bytes", I64, "size of the caption in UTF-8"),
        _c("json_start", I64, "first byte of the JSON's data"),
        _c("json_bytes", I64, "size of the JSON"),
        _c("sha256", S, "SHA-256 of the image bytes", src="images.sha256"),
    ),
)

EMBEDDINGS = Table(
    "embeddings",
    "One row per embedded image: where its vector stands in the chunk's float16 file.",
    "chunk",
    ("media_id",),
    (
        _c("media_id", S, "image", src="images.media_id"),
        _c("row", I32, "row of the vector in the partition's .npy file, from 0"),
        _c("sha256", S, "SHA-256 of the image bytes that were embedded", src="images.sha256"),
        _c("encoder", S, "name of the encoder"),
        _c("encoder_digest", S, "digest of its weights, arithmetic and preprocessing"),
    ),
)

EMBEDDING_SHELF = Table(
    "embedding_shelf",
    "The embeddings of a shelf's chunks as one file, sorted by id.",
    "shelf",
    ("media_id",),
    (
        _c("media_id", S, "image", src="embeddings.media_id"),
        _c("row", I32, "row of the vector in the partition's .npy file, from 0"),
        _c("source_chunk", S, "chunk the vector comes from"),
    ),
)

CLUSTER_MODEL = Table(
    "cluster_model",
    "One row per cluster of the global model (PCA and k-means); the model file lies beside it.",
    "none",
    ("cluster",),
    (
        _c("cluster", I32, "number of the cluster, from 0, by falling size in the fit"),
        _c("n_fit", I64, "images of the fit nearest to its centroid"),
        _c("mean_distance", F32, "root mean square distance of those images to it, Euclidean in PCA space"),
        _c("neighbour", I32, "nearest other cluster", null=True),
        _c("neighbour_distance", F32, "distance of the two centroids", null=True),
        _c("model", S, "digest of the model file", src="embedding_shelf.row"),
    ),
)

CLUSTERS = Table(
    "clusters",
    "One row per embedded image: its cluster, the runner-up, and how far both are.",
    "chunk",
    ("media_id",),
    (
        _c("media_id", S, "image", src="embeddings.media_id"),
        _c("cluster", I32, "nearest cluster", src="cluster_model.cluster embeddings.row"),
        _c("distance", F32, "Euclidean distance to its centroid in PCA space", src="embeddings.row"),
        _c("runner_up", I32, "second nearest cluster", null=True, src="cluster_model.cluster embeddings.row"),
        _c("runner_up_distance", F32, "distance to its centroid", null=True, src="embeddings.row"),
        _c("model", S, "digest of the model", src="cluster_model.model"),
    ),
)

CONTACT_SHEETS = Table(
    "contact_sheets",
    "One row per picture on a cluster's contact sheet: central, random and border images.",
    "none",
    ("cluster", "role", "rank"),
    (
        _c("cluster", I32, "cluster the sheet shows", src="clusters.cluster"),
        _c("role", S, "central (nearest), random (seeded) or border (least clear against the runner-up)"),
        _c("rank", I32, "position within the role, from 0"),
        _c("media_id", S, "image", src="clusters.media_id"),
        _c("figure_id", S, "figure of the image", src="images.figure_id"),
        _c("article_id", S, "PMC123.1", src="images.article_id"),
        _c("caption", S, "caption of the figure", null=True, src="captions.caption"),
        _c("distance", F32, "Euclidean distance to the centroid", src="clusters.distance"),
        _c("margin", F32, "distance to the runner-up less distance to the cluster", null=True, src="clusters.distance"),
        _c("n_images", I64, "images of the cluster", src="clusters.cluster"),
        _c("sheet", S, "path of the sheet below the data directory"),
        _c("x", I32, "left edge of the picture's cell on the sheet, pixels"),
        _c("y", I32, "top edge"),
        _c("side", I32, "width and height of the cell"),
        _c("model", S, "digest of the model", src="clusters.model"),
    ),
)

TAXONOMY = Table(
    "taxonomy",
    "Concepts of the annotation vocabulary: kind, content and panel arrangement, each a tree.",
    "none",
    ("concept_id",),
    (
        _c("concept_id", S, "stable id, never renamed or used again: kind-bar-plot"),
        _c("axis", S, "kind, content or panel"),
        _c("label", S, "preferred name"),
        _c("broader", S, "parent concept", null=True),
        _c("top", S, "top concept above it, or itself"),
        _c("depth", I32, "0 for a top concept"),
        _c("alt", STRINGS, "other names"),
        _c("note", S, "remark for editors", null=True),
        _c("deprecated", BOOL, "no longer offered in the form"),
        _c("taxonomy_version", S, "version of the vocabulary"),
    ),
)

EXPERT_VOTES = Table(
    "expert_votes",
    "Every vote that people (or simulated annotators) gave, also those that a later one replaced or took back.",
    "none",
    ("vote_id",),
    (
        _c("vote_id", S, "id given by the page or the importer; sending one twice counts once"),
        _c("annotator", S, "who voted"),
        _c("source", S, "human, simulated or imported"),
        _c("task", S, "label, adjudication, audit or override"),
        _c("cluster", I32, "cluster that was judged", null=True),
        _c("media_id", S, "image that was judged, for audit and override", null=True),
        _c("cluster_model", S, "data version of the cluster model the cluster number belongs to", null=True),
        _c("panel_type", S, "panel concept", null=True, src="taxonomy.concept_id"),
        _c("panel_subtype", S, "narrower panel concept", null=True, src="taxonomy.concept_id"),
        _c("global", STRINGS, "top kind concepts; null if not answered", null=True, src="taxonomy.concept_id"),
        _c("local", STRINGS, "narrower kind concepts; null if not answered", null=True, src="taxonomy.concept_id"),
        _c("content", STRINGS, "content concepts; null if not answered", null=True, src="taxonomy.concept_id"),
        _c("mixed", BOOL, "the images do not belong together"),
        _c("cant_tell", BOOL, "the annotator could not tell"),
        _c("comment", S, "free text", null=True),
        _c("seconds", F32, "time spent, seconds", null=True),
        _c("time", S, "when it was given, ISO 8601 in UTC"),
        _c("taxonomy_version", S, "version of the vocabulary offered"),
        _c("guideline_version", S, "version of the guideline in force"),
        _c("status", S, "active, replaced (by a later vote of the same person) or withdrawn"),
    ),
)

ANNOTATIONS = Table(
    "annotations",
    "Consensus of the votes: one row per cluster and question.",
    "none",
    ("cluster", "question"),
    (
        _c("cluster", I32, "cluster", src="expert_votes.cluster"),
        _c("question", S, "panel_type, panel_subtype, global, local, content or mixed"),
        _c("answer", STRINGS, "concepts agreed on (yes or no for mixed); empty if none", src="taxonomy.concept_id"),
        _c("agreement", F32, "share of the votes that back the answer, 0..1; null without votes", null=True),
        _c("n_votes", I32, "votes that answered the question"),
        _c("status", S, "agreed, adjudicated, tie, low_agreement, cant_tell, contradiction, too_few or unanswered"),
        _c("votes", STRINGS, "ids of the votes it rests on", src="expert_votes.vote_id"),
        _c("simulated", BOOL, "true if any of the votes was simulated", src="expert_votes.source"),
        _c("cluster_model", S, "data version of the cluster model"),
    ),
)

ANNOTATOR_AGREEMENT = Table(
    "annotator_agreement",
    "How far annotators agree, by question, with 95 % bootstrap intervals; and whom each one is confused with.",
    "none",
    ("question", "statistic", "subject"),
    (
        _c("question", S, "question of the form"),
        _c("statistic", S, "krippendorff_alpha, krippendorff_alpha_jaccard, fleiss_kappa or cohen_kappa"),
        _c("subject", S, "all, one annotator, or two joined by ' | '"),
        _c("value", F32, "the statistic; null where it is undefined", null=True),
        _c("low", F32, "lower end of the interval", null=True),
        _c("high", F32, "upper end of the interval", null=True),
        _c("n_items", I32, "clusters it rests on"),
        _c("simulated", BOOL, "true if any of the votes was simulated"),
    ),
)

ANNOTATOR_CONFUSION = Table(
    "annotator_confusion",
    "How each annotator's answers lie against the consensus.",
    "none",
    ("question", "annotator", "consensus", "answer"),
    (
        _c("question", S, "question of the form"),
        _c("annotator", S, "who voted", src="expert_votes.annotator"),
        _c("consensus", S, "consensus answer, concepts joined by ' + '; 'none' if empty", src="annotations.answer"),
        _c("answer", S, "the annotator's answer, spelled likewise"),
        _c("n", I32, "clusters"),
        _c("simulated", BOOL, "true if the annotator is simulated"),
    ),
)

PANELS = Table(
    "panels",
    "What the panel detector says of each image: one panel or several.",
    "chunk",
    ("media_id",),
    (
        _c("media_id", S, "image", src="images.media_id"),
        _c("sha256", S, "file that was looked at", src="images.sha256"),
        _c("caption_digest", S, "digest of the caption that was read; null without caption", null=True),
        _c("n_blocks", I32, "blocks that gutters cut the picture into"),
        _c("n_letters", I32, "panels that the caption names in order: A, B, C"),
        _c("gutter", F32, "width of the gutters found, share of the side they run along"),
        _c("p_multiple", F32, "probability that the picture has several panels"),
        _c("panel_type", S, "panel-single or panel-multiple", src="taxonomy.concept_id"),
    ),
)

LABEL_VERDICTS = Table(
    "label_verdicts",
    "Labels of audited images held against what people said of the same images, one label a row.",
    "shelf",
    ("variant", "media_id", "question", "concept_id"),
    (
        _c("variant", S, "propagated (by the cluster alone) or corrected (by the panel detector too)"),
        _c("media_id", S, "audited image", src="expert_votes.media_id"),
        _c("question", S, "question of the form"),
        _c("concept_id", S, "label the image would get", src="annotations.answer panels.panel_type"),
        _c("raw", F32, "its raw confidence; null if it is the panel detector's", null=True, src="clusters.distance"),
        _c("correct", BOOL, "whether people agree with it", src="expert_votes.vote_id"),
        _c("simulated", BOOL, "true if the verdict was simulated", src="expert_votes.source"),
    ),
)

LABEL_AUDIT = Table(
    "label_audit",
    "What image-level verdicts of people say about propagated labels: precision per label with its interval.",
    "none",
    ("question", "concept_id"),
    (
        _c("question", S, "question of the form"),
        _c("concept_id", S, "label; 'all' for the question as a whole"),
        _c("n", I32, "audited images that carry the label"),
        _c("n_correct", I32, "of these, images for which people agree with it"),
        _c("precision", F32, "share correct"),
        _c("low", F32, "lower end of the 95 % Wilson interval"),
        _c("high", F32, "upper end of the 95 % Wilson interval"),
        _c("simulated", BOOL, "true if any verdict was simulated"),
    ),
)

LABEL_CALIBRATION = Table(
    "label_calibration",
    "Monotone map from the raw confidence of a label to the share of such labels that people found correct.",
    "none",
    ("question", "knot"),
    (
        _c("question", S, "question of the form"),
        _c("knot", I32, "number of the knot, from 0, raw confidence rising"),
        _c("raw", F32, "raw confidence: agreement x purity x margin"),
        _c("confidence", F32, "calibrated confidence"),
        _c("n", I32, "audited labels the question's map was fitted on"),
    ),
)


def _label_columns(question: str, dtype: pl.DataType, what: str) -> tuple[Column, ...]:
    """Answer, provenance and confidence of one question."""
    where = "annotations.answer expert_votes.vote_id"
    return (
        _c(
            question,
            dtype,
            f"{what}; null without accepted answer",
            null=True,
            src=where + (" panels.panel_type" if dtype == S else ""),
        ),
        _c(
            f"{question}_provenance",
            S,
            f"{question}: human, model, or propagated and text joined by +; null without answer",
            null=True,
        ),
        _c(f"{question}_raw", F32, f"{question}: agreement x purity x margin, before calibration", null=True),
        _c(f"{question}_confidence", F32, f"{question}: confidence 0..1; null without answer", null=True),
    )


TEXT_LABELS = Table(
    "text_labels",
    "What the text says of each figure: concepts that rules found in caption, mentions, headings and kind of element.",
    "chunk",
    ("figure_id", "concept_id", "rule", "place"),
    (
        _c("figure_id", S, "figure the text speaks of", src="figures.figure_id"),
        _c("concept_id", S, "concept that follows", src="taxonomy.concept_id"),
        _c("rule", S, "rule that matched: concept/rule of the rules file"),
        _c("place", S, "kind, head (first sentence of the caption), caption, mention or mesh"),
        _c("words", S, "words that matched", src="captions.caption mentions.text pubmed_records.mesh figures.kind"),
        _c("trust", F32, "share of matches in the head of a caption that are right, as the rules file states"),
    ),
)
LABEL_CLAIMS = Table(
    "label_claims",
    "What each source says of a sample of images, and what people said of the same images.",
    "shelf",
    ("media_id", "concept_id", "source"),
    (
        _c("media_id", S, "image", src="images.media_id"),
        _c("article_id", S, "its article", src="images.article_id"),
        _c("concept_id", S, "concept of the axis kind, wider ones included", src="taxonomy.concept_id"),
        _c("source", S, "text or propagated; person for what people said of the image itself"),
        _c("symbol", S, "how it says so: head, mention, sure, ...; yes for a person"),
        _c("simulated", BOOL, "true if it rests on a simulated vote"),
    ),
)
LABEL_TRUST = Table(
    "label_trust",
    "What each source's word is worth: probability of its symbols where a label is right and where it is wrong.",
    "none",
    ("level", "source", "symbol"),
    (
        _c("level", S, "top or narrower concepts"),
        _c("source", S, "source, or prior with a concept as symbol"),
        _c("symbol", S, "what it says", src="label_claims.symbol"),
        _c("p_no", F32, "probability of the symbol where the label is wrong; of a prior the share of wrong ones"),
        _c("p_yes", F32, "probability of the symbol where the label is right; of a prior the share of right ones"),
        _c("n", I32, "times it was said in the sample"),
        _c("estimated", BOOL, "true if counted (Dawid and Skene's model), false if as believed beforehand"),
    ),
)
SOURCE_LEADERBOARD = Table(
    "source_leaderboard",
    "Each source of labels and their combination against what people said of single images, by concept.",
    "none",
    ("source", "question", "concept_id"),
    (
        _c("source", S, "source, or combined"),
        _c("question", S, "global or local"),
        _c("concept_id", S, "label; 'all' for the question as a whole"),
        _c("n", I32, "judged images for which the source names the label"),
        _c("n_correct", I32, "of these, those that people agree with"),
        _c("n_true", I32, "judged images that show it"),
        _c("precision", F32, "share correct, null if it was never said", null=True),
        _c("low", F32, "lower end of the 95 % interval", null=True),
        _c("high", F32, "upper end of the 95 % interval", null=True),
        _c("recall", F32, "share of those that show it", null=True),
        _c("brier", F32, "mean squared error of the probability over candidates", null=True),
        _c("coverage", F32, "share of judged images of which the source says something"),
        _c("simulated", BOOL, "true if any verdict was simulated"),
    ),
)
CLAIMS = pl.List(pl.Struct({"concept_id": pl.String(), "source": pl.String(), "confidence": pl.Float32()}))
FIGURE_LABELS = Table(
    "figure_labels",
    "Labels of each image, with where they come from and how far they can be trusted.",
    "chunk",
    ("media_id",),
    (
        _c("media_id", S, "image", src="clusters.media_id"),
        _c("cluster", I32, "cluster of the image", src="clusters.cluster"),
        *_label_columns("panel_type", S, "panel concept: single or multiple"),
        *_label_columns("panel_subtype", S, "narrower panel concept"),
        *_label_columns("global", STRINGS, "top kind concepts"),
        *_label_columns("local", STRINGS, "narrower kind concepts"),
        *_label_columns("content", STRINGS, "content concepts"),
        _c(
            "claims",
            CLAIMS,
            "concepts of the axis kind that any source names, with its confidence; 'combined' for all sources together",
            src="text_labels.concept_id annotations.answer",
        ),
        _c("calibrated", BOOL, "true if confidences were calibrated on an audit sample"),
        _c("simulated", BOOL, "true if any label rests on a simulated vote"),
    ),
)


CATALOG = Table(
    "catalog",
    "The views of catalog.duckdb.",
    "none",
    ("view",),
    (
        _c("view", S, "name of the view, equal to the table's"),
        _c("meaning", S, "what a row of it is"),
        _c("key", STRINGS, "columns that identify a row"),
        _c("partitioning", S, "chunk, shelf, recipe or none"),
        _c("columns", I32, "number of columns"),
    ),
)

F64 = pl.Float64()


def _estimate_columns() -> tuple[Column, ...]:
    return (
        _c("value", F64, "the metric on the test set; null where it could not be computed, never 0", null=True),
        _c("low", F64, "lower end of the 95 % bootstrap interval", null=True),
        _c("high", F64, "upper end of the 95 % bootstrap interval", null=True),
        _c("se", F64, "standard deviation of the bootstrap replicates", null=True),
        _c("chance", F64, "value of guessing, where it is known", null=True),
        _c("n", I64, "units scored: items, or items and labels, or queries"),
        _c("n_groups", I64, "patients or distinct images that were resampled"),
        _c("status", S, "scored, undefined (this metric has no value here) or excluded (the task cannot be scored)"),
        _c("reason", S, "why it is undefined or excluded, or what limits it", null=True),
    )


def _scored_columns() -> tuple[Column, ...]:
    return (
        _c("model", S, "name of the model", src="checkpoints.name"),
        _c("provenance", S, "ours, base, interpolated, other (trained by others, scored here) or published"),
        _c("model_digest", S, "digest of weights, architecture, precision and preprocessing"),
        _c("task", S, "name of the task"),
        _c("suite", S, "suite of the task"),
        _c("title", S, "what people call the task"),
        _c("domain", S, "field of medicine or biology"),
        _c("modality", S, "how the images were made", null=True),
        _c("task_kind", S, "single_label, multi_label, closed_vqa or retrieval"),
        _c("data_digest", S, "digest of the test set: images, answers, options, groups"),
        _c("score_key", S, "digest of everything that decides the score; equal keys are not computed again"),
        _c("primary", BOOL, "true for the metric the task is compared by"),
    )


ZERO_SHOT_SCORES = Table(
    "zero_shot_scores",
    "Scores of each model on each task that asks for a class or an option, with intervals.",
    "recipe",
    ("model", "task", "metric", "class_name"),
    (
        *_scored_columns(),
        _c("metric", S, "accuracy, balanced_accuracy, macro_auroc, recall, auroc, linear_probe or knn"),
        _c("class_name", S, "class the value is of; null for the whole task", null=True),
        *_estimate_columns(),
    ),
)

RETRIEVAL_SCORES = Table(
    "retrieval_scores",
    "Scores of each model on each retrieval task, both ways, with intervals.",
    "recipe",
    ("model", "task", "direction", "metric"),
    (
        *_scored_columns(),
        _c("direction", S, "image_to_text or text_to_image"),
        _c("metric", S, "recall_at_1, recall_at_10, recall_at_100 or median_rank"),
        *_estimate_columns(),
        _c("n_candidates", I64, "captions or images searched"),
        _c("n_tied", I64, "queries whose counterpart ties with a wrong candidate; they count as that much lower"),
        _c("n_images", I64, "images; one is found if any of its texts is"),
        _c("n_texts", I64, "texts of all images"),
    ),
)

CONTAMINATION = Table(
    "contamination",
    "Overlap of a recipe's training images with the images of each task.",
    "recipe",
    ("task",),
    (
        _c("task", S, "name of the task"),
        _c("suite", S, "suite of the task"),
        _c("data_digest", S, "digest of the test set"),
        _c("n_images", I64, "distinct images of the task"),
        _c("n_training", I64, "training images they were compared with"),
        _c("n_exact", I64, "task images whose bytes are a training image's"),
        _c(
            "n_near",
            I64,
            "further task images that a training image shows: equal pixels or near hashes; null if not looked for",
            null=True,
            src="evaluation_matches.media_id",
        ),
        _c("share", F64, "share of the task's images found either way", null=True),
        _c("examples", STRINGS, "up to ten pairs: item of the task = training image"),
        _c("method", S, "what was compared and with which limits"),
    ),
)

LEADERBOARD = Table(
    "leaderboard",
    "All models side by side: per task, per domain, overall; published numbers with their citation.",
    "none",
    ("recipe", "model", "scope", "name", "metric"),
    (
        _c("recipe", S, "recipe under which the model was scored; null for published numbers", null=True),
        _c("model", S, "name of the model", src="zero_shot_scores.model retrieval_scores.model"),
        _c("provenance", S, "ours, base, interpolated, other or published", src="zero_shot_scores.provenance"),
        _c("scope", S, "task, domain or overall"),
        _c("name", S, "task or domain, or the name of the average", src="zero_shot_scores.task retrieval_scores.task"),
        _c("domain", S, "domain of the task", null=True, src="zero_shot_scores.domain retrieval_scores.domain"),
        _c("metric", S, "metric the tasks are compared by"),
        _c(
            "value",
            F64,
            "mean over the tasks, or the task's value",
            src="zero_shot_scores.value retrieval_scores.value",
        ),
        _c("low", F64, "lower end of the 95 % interval", null=True),
        _c("high", F64, "upper end of the 95 % interval", null=True),
        _c("chance", F64, "value of guessing", null=True),
        _c("n_tasks", I32, "tasks in the mean"),
        _c("compute", F64, "training compute in FLOPs, null if unknown", null=True),
        _c("samples_seen", I64, "training samples seen, null if unknown", null=True),
        _c("contaminated", F64, "largest share of a task's images found in the training set", null=True),
        _c("citation", S, "where a published number comes from", null=True),
    ),
)

IMAGE_FINGERPRINTS = Table(
    "image_fingerprints",
    "What tells images apart, gathered from the chunks of a shelf.",
    "shelf",
    ("media_id",),
    (
        _c("media_id", S, "image", src="images.media_id"),
        _c("article_id", S, "PMC123.1", src="images.article_id"),
        _c("chunk", S, "chunk of the article"),
        _c("path", S, "path below the data directory", src="images.path"),
        _c("sha256", S, "SHA-256 of the file", src="images.sha256"),
        _c("pixel_hash", S, "digest of the decoded pixels and their size", src="images.pixel_hash"),
        _c("phash", pl.UInt64(), "64-bit perceptual hash", src="images.phash"),
    ),
)

SAMPLE_SHELF = Table(
    "sample_shelf",
    "Which data describe the samples of each chunk of a shelf: what a recipe reads.",
    "shelf",
    ("chunk", "table"),
    (
        _c("chunk", S, "chunk"),
        _c("table", S, "table of the chunk: shards, images, figures, captions, articles or figure_labels"),
        _c("data_version", S, "digest of its content"),
        _c("rows", I64, "its rows"),
    ),
)

DUPLICATES = Table(
    "duplicates",
    "Images that are not alone: one row per image of a group with equal bytes, equal pixels or near-equal looks.",
    "none",
    ("media_id",),
    (
        _c("media_id", S, "image", src="image_fingerprints.media_id"),
        _c("article_id", S, "PMC123.1", src="image_fingerprints.article_id"),
        _c("group", S, "media_id of the group's first image, by chunk and id", src="image_fingerprints.media_id"),
        _c(
            "match",
            S,
            "what ties the image to another of its group: bytes, pixels or perceptual (the strongest)",
            src="image_fingerprints.sha256 image_fingerprints.pixel_hash image_fingerprints.phash",
        ),
        _c(
            "distance",
            I32,
            "bits in which its perceptual hash differs from the first image's",
            src="image_fingerprints.phash",
        ),
        _c("group_size", I32, "images in the group"),
    ),
)

EVALUATION_MATCHES = Table(
    "evaluation_matches",
    "Images that an evaluation task also uses; recipes leave them out.",
    "none",
    ("media_id", "task", "item"),
    (
        _c("media_id", S, "image", src="image_fingerprints.media_id"),
        _c("article_id", S, "PMC123.1", src="image_fingerprints.article_id"),
        _c("task", S, "name of the task"),
        _c("item", S, "item of the task"),
        _c("match", S, "bytes, pixels or perceptual (the strongest)"),
        _c("distance", I32, "bits in which the perceptual hashes differ", src="image_fingerprints.phash"),
        _c("orientation", I32, "how the task's image is turned: quarter turns, 4 more for the mirror image"),
        _c("correlation", F32, "of 64 x 64 grey images; null if it was not needed or not asked for", null=True),
    ),
)

RECIPE = Table(
    "recipe",
    "The samples of one recipe in the order of the physical shards, with where their bytes lie.",
    "recipe",
    ("sample_key",),
    (
        _c("position", I64, "place in the list: by split, shard and byte"),
        _c("sample_key", S, "key of the sample", src="shards.sample_key"),
        _c("media_id", S, "image of the sample", src="shards.media_id"),
        _c("article_id", S, "PMC123.1", src="shards.article_id"),
        _c("split", S, "train, validation or test", src="duplicates.group articles.article_id"),
        _c("shard", S, "path of the tar below the data directory", src="shards.shard"),
        _c("start", I64, "first byte of the sample", src="shards.start"),
        _c("end", I64, "one past its last byte", src="shards.end"),
        _c("repeat", I32, "how often the sample comes in an epoch", src="figure_labels.global figure_labels.local"),
        _c("concept", S, "top concept it counts for in caps and weights", null=True, src="figure_labels.global"),
        _c("license_group", S, "commercial, noncommercial or other", src="shards.license_group"),
    ),
)

CHECKPOINTS = Table(
    "checkpoints",
    "One row per set of weights of a recipe: base, interpolated at each alpha, trained, earlier epochs that were kept.",
    "recipe",
    ("name",),
    (
        _c("name", S, "recipe, role and alpha"),
        _c("role", S, "base, interpolated, trained, or epoch (earlier weights that were kept)"),
        _c("alpha", pl.Float64(), "weight of the trained model: 0 base, 1 trained"),
        _c("best", BOOL, "the interpolation with the best score on the validation split"),
        _c("model", S, "open_clip architecture"),
        _c("config", S, "path of the model configuration below the data directory"),
        _c("path", S, "path of the safetensors file below the data directory"),
        _c("sha256", S, "SHA-256 of the file"),
        _c("metric", S, "name of the score"),
        _c("score", pl.Float64(), "score on the validation split"),
        _c("scores", S, "all scores on the validation split, as JSON"),
        _c("samples_seen", I64, "training samples the weights have seen"),
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

RELEASE_SHELF = Table(
    "release_shelf",
    "What one shelf contributes to a release: one row per table and chunk, with its digest and counts.",
    "shelf",
    ("table", "chunk"),
    (
        _c("table", S, "name of the table"),
        _c("chunk", S, "key of the chunk"),
        _c("data_version", S, "digest of the partition's content"),
        _c("code_version", S, "version of the algorithm that made it"),
        _c("sha256", S, "SHA-256 of its Parquet file"),
        _c("rows", I64, "rows"),
        _c("bytes", I64, "size of table and files"),
        _c("n_in", I64, "items that came in"),
        _c("n_out", I64, "items that came out"),
        _c("n_rejected", I64, "items left out"),
    ),
)

RELEASE = Table(
    "release",
    "The newest release: one row per file of its folder.",
    "none",
    ("path",),
    (
        _c("version", S, "version of the release"),
        _c("path", S, "path below the folder of the release"),
        _c("kind", S, "manifest, card, pairs, table, shard, statistic, plot, document or metadata"),
        _c("bytes", I64, "size"),
        _c("sha256", S, "SHA-256 of the bytes"),
        _c("rows", I64, "rows of a table, samples of a shard", null=True),
    ),
)

ALL: tuple[Table, ...] = (
    PMC_INVENTORY,
    CHUNK_LISTING,
    ARTICLE_INDEX,
    ARTICLE_XML,
    ARTICLE_HEADS,
    NOTICE_SHELF,
    WITHDRAWALS,
    TOMBSTONES,
    ARTICLE_NOTICES,
    ARTICLES,
    FIGURES,
    CAPTIONS,
    MENTIONS,
    IMAGES,
    SHARDS,
    EMBEDDINGS,
    EMBEDDING_SHELF,
    CLUSTER_MODEL,
    CLUSTERS,
    CONTACT_SHEETS,
    TAXONOMY,
    EXPERT_VOTES,
    ANNOTATIONS,
    ANNOTATOR_AGREEMENT,
    ANNOTATOR_CONFUSION,
    PANELS,
    LABEL_VERDICTS,
    LABEL_AUDIT,
    LABEL_CALIBRATION,
    TEXT_LABELS,
    LABEL_CLAIMS,
    LABEL_TRUST,
    SOURCE_LEADERBOARD,
    FIGURE_LABELS,
    CATALOG,
    ZERO_SHOT_SCORES,
    RETRIEVAL_SCORES,
    CONTAMINATION,
    LEADERBOARD,
    IMAGE_FINGERPRINTS,
    SAMPLE_SHELF,
    DUPLICATES,
    EVALUATION_MATCHES,
    RECIPE,
    CHECKPOINTS,
    PUBMED_RECORDS,
    RELEASE_SHELF,
    RELEASE,
)
TABLES: dict[str, Table] = {table.name: table for table in ALL}
