"""Tables of what articles hold: metadata, figures, captions, mentions, images, and the samples made of them."""

from __future__ import annotations

import polars as pl

from biomedica_assets.lib.tables.model import BOOL, I32, I64, STRINGS, S, Table
from biomedica_assets.lib.tables.model import column as _c
from biomedica_assets.lib.tables.sources import RELATED

SECTIONS = pl.List(pl.Struct({"title": pl.String(), "text": pl.String()}))

KEYWORD_GROUPS = pl.List(pl.Struct({"kind": pl.String(), "language": pl.String(), "keywords": pl.List(pl.String())}))

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
        _c("check", pl.UInt32(), "CRC-32 of the image XOR CRC-32 of all other bytes from start to end"),
    ),
)
