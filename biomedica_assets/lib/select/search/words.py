"""The words of a text, for the index and for a query alike.

Belongs here: where a word begins and ends, which are left out, and what two spellings of one word have in common. A
word is a run of letters and digits in NFKC form and lower case: ``T2-weighted`` is ``t2`` and ``weight``, ``10⁶`` is
``106``. English stop words give nothing. Words of more than two letters are stems by Snowball's English rules, which
leave words of other alphabets alone.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Sequence
from typing import Any

import polars as pl

_STOP_WORDS = (
    "a an and are as at be but by for if in into is it no not of on or such that the their then there these they this "
    "to was were will with"
)
STOP_WORDS = frozenset(_STOP_WORDS.split())
_WORD = r"[\p{L}\p{N}]+"
_SHORT = 2


def stems(words: Sequence[str]) -> list[str]:
    """The stem of each word, which is in lower case already."""
    return [
        word if len(word) <= _SHORT else stem for word, stem in zip(words, _stemmer().stemWords(words), strict=True)
    ]


@functools.cache
def _stemmer() -> Any:
    return importlib.import_module("Stemmer").Stemmer("english")


def words_of(text: str) -> list[str]:
    """Stems of the words of a text, in its order, stop words left out."""
    # By the same expression as the index: Python's tables of letters are of another version of Unicode than Polars'.
    found = pl.select(_split(pl.lit(text))).to_series()[0].to_list()
    return stems([word for word in found if word not in STOP_WORDS])


def _split(text: pl.Expr) -> pl.Expr:
    return text.str.normalize("NFKC").str.to_lowercase().str.extract_all(_WORD)


def postings(texts: pl.DataFrame) -> pl.DataFrame:
    """How often each word stands in each text: as ``words_of``, for many texts at once.

    Args:
        texts: ``document`` (Int32) and ``text`` (String).

    Returns:
        ``word``, ``document``, ``n`` (Int32), sorted by word and document.
    """
    found = (
        texts.lazy()
        .select("document", _split(pl.col("text")).alias("word"))
        .explode("word")
        .filter(pl.col("word").is_not_null() & ~pl.col("word").is_in([*STOP_WORDS]))
        .group_by("word", "document")
        .agg(pl.len().cast(pl.Int32).alias("n"))
        .collect()
    )
    unique = found["word"].unique()
    stemmed = pl.DataFrame({"word": unique, "stem": pl.Series(stems(unique.to_list()), dtype=pl.String)})
    return (
        found.join(stemmed, on="word", how="left")
        .group_by(pl.col("stem").alias("word"), "document")
        .agg(pl.col("n").sum())
        .sort("word", "document")
    )
