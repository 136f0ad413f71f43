"""Chunk and shelf keys: pure functions of the PMCID."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_assets.lib import chunks

SPANS = st.sampled_from([20, 50, 1000, 5000, 20_000, 100_000, 1_000_000])
PMCIDS = st.integers(0, 99_999_999)


def test_keys_look_like_the_ones_in_the_documentation():
    assert chunks.chunk_of(12_340_123, 20_000) == "PMC012-0340"
    assert chunks.chunk_of(12_340_123, 20) == "PMC012-340120"
    assert chunks.shelf_of(12_340_123) == "PMC012"


@given(PMCIDS, SPANS)
def test_every_article_lies_in_the_range_of_its_chunk(pmcid, span):
    key = chunks.chunk_of(pmcid, span)
    assert pmcid in chunks.chunk_range(key, span)
    assert len(chunks.chunk_range(key, span)) == span
    assert chunks.shelf_of_chunk(key) == chunks.shelf_of(pmcid)


@given(PMCIDS, PMCIDS, SPANS)
def test_keys_sort_like_the_numbers(a, b, span):
    if a <= b:
        assert chunks.chunk_of(a, span) <= chunks.chunk_of(b, span)


def test_all_chunks_are_distinct_sorted_and_cover_the_highest_article():
    keys = chunks.all_chunks(12_999_999, 1000)
    assert len(keys) == 13_000 == len(set(keys))
    assert keys == sorted(keys)
    assert chunks.chunk_of(12_999_999, 1000) in keys


@pytest.mark.parametrize("span", [0, -1, 3, 2_000_000, 30_000])
def test_a_span_that_does_not_divide_a_million_is_refused(span):
    with pytest.raises(ValueError, match="must divide"):
        chunks.check_span(span)


@pytest.mark.parametrize("key", ["", "PMC7-0360", "PMC007-0361", "PMC007-360000", "PMC007", "PMC007-0360 "])
def test_a_key_of_another_span_is_refused(key):
    with pytest.raises(ValueError, match="not a chunk key"):
        chunks.chunk_range(key, 20_000)


@given(PMCIDS, st.integers(1, 999))
def test_article_ids_round_trip(pmcid, version):
    assert chunks.parse_article_id(chunks.article_id(pmcid, version)) == (pmcid, version)


@pytest.mark.parametrize("text", ["PMC12", "12.1", "PMC12.1.2", "PMC12.1/..", "pmc12.1", "PMC.1"])
def test_what_is_no_article_id_is_refused(text):
    with pytest.raises(ValueError, match="not an article id"):
        chunks.parse_article_id(text)
