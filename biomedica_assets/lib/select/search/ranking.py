"""Documents by how well their words answer a query: BM25 (Robertson and Zaragoza 2009), as Lucene counts it.

    score = sum over the words of the query of  idf * n * (k1 + 1) / (n + k1 * (1 - b + b * length / mean length))
    idf   = ln(1 + (N - df + 0.5) / (df + 0.5))

``N``, ``df`` and the mean length are of all documents of all shelves, so that a score does not depend on where an
article lies. DuckDB reads the row groups of the query's words
alone, since ``search_words`` is sorted by word.
"""

from __future__ import annotations

import duckdb
import polars as pl

from biomedica_assets.lib.select.search.words import words_of

K1, B = 1.2, 0.75
"""Lucene's and the literature's usual values."""

_SCORES = """
WITH hits AS (
    SELECT shelf, document, word, n FROM search_words WHERE word IN (SELECT unnest(getvariable('words')))
),
word_df AS (SELECT word, count(*) AS df FROM hits GROUP BY word),
stated AS (SELECT count(*) AS documents, avg(n_words) AS mean FROM search_documents)
SELECT d.sample_key, d.media_id, d.chunk, round(sum(
    ln(1 + (documents - df + 0.5) / (df + 0.5)) * n * ({k1} + 1)
    / (n + {k1} * (1 - {b} + {b} * d.n_words / mean))
), 9) AS score
FROM hits JOIN word_df USING (word) JOIN search_documents d USING (shelf, document), stated
GROUP BY d.sample_key, d.media_id, d.chunk
ORDER BY score DESC, d.sample_key
LIMIT {most}
"""


def by_words(connection: duckdb.DuckDBPyConnection, query: str, most: int) -> pl.DataFrame:
    """The documents that hold any word of a query, best first.

    Args:
        connection: with the views ``search_words`` and ``search_documents``.
        query: words; their order says nothing, a repeated one counts once.
        most: how many documents.

    Returns:
        ``sample_key``, ``media_id``, ``chunk``, ``score``; equals by key.
    """
    connection.execute("SET VARIABLE words = ?::VARCHAR[]", [sorted(set(words_of(query)))])
    return connection.sql(_SCORES.format(k1=K1, b=B, most=int(most))).pl()
