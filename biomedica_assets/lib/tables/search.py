"""Tables that words are looked up in."""

from __future__ import annotations

from biomedica_assets.lib.tables.model import I32, I64, S, Table
from biomedica_assets.lib.tables.model import column as _c

SEARCH_DOCUMENTS = Table(
    "search_documents",
    "The samples of a shelf as documents that can be searched: caption, title of the article, keywords.",
    "shelf",
    ("document",),
    (
        _c("document", I32, "number of the document in its shelf, from 0, by chunk and key"),
        _c("sample_key", S, "sample", src="shards.sample_key"),
        _c("media_id", S, "its image", src="shards.media_id"),
        _c("chunk", S, "chunk that it lies in"),
        _c(
            "n_words",
            I32,
            "words of the document, stop words left out",
            src="captions.caption articles.title articles.keywords",
        ),
    ),
)

SEARCH_WORDS = Table(
    "search_words",
    "Which documents of a shelf hold a word, and how often: an inverted index, sorted by word.",
    "shelf",
    ("word", "document"),
    (
        _c("word", S, "stem of the word, in lower case", src="captions.caption articles.title articles.keywords"),
        _c("document", I32, "number of the document in its shelf", src="search_documents.document"),
        _c("n", I32, "how often it stands there"),
    ),
)

SEARCH_VECTORS = Table(
    "search_vectors",
    "How the nearest vectors of a shelf are found: by codes of one bit a dimension, or all of them compared.",
    "shelf",
    ("kind",),
    (
        _c("kind", S, "codes: the file beside it proposes candidates; exact: the shelf is small, or faiss is not here"),
        _c("vectors", I64, "vectors of the shelf", src="embedding_shelf.row"),
        _c("dimension", I32, "their length"),
        _c("bytes", I64, "size of the codes; 0 without"),
        _c("library", S, "what wrote the codes, with its version; null without", null=True),
    ),
)
