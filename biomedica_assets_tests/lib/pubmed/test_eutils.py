"""The web service: batches, rate, retries, and replies whose order means nothing."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.pubmed.eutils import BATCH, Eutils, ServiceUnavailable, TokenBucket
from biomedica_assets_tests.lib.pubmed.citations import Service, citation, document

FREE = TokenBucket(1e9)


def client(service, **more):
    return Eutils(endpoint=service.endpoint, pause=0.001, bucket=FREE, **more)


def test_batches_are_posted_with_tool_and_mail():
    with Service(lambda pmids: document(*map(citation, pmids))) as service:
        found = client(service, email="me@example.org").records(range(1, 2 * BATCH + 2))
    assert [len(asked["id"].split(",")) for asked in service.asked] == [BATCH, BATCH, 1]
    assert {asked["tool"] for asked in service.asked} == {"biomedica_assets"}
    assert {asked["email"] for asked in service.asked} == {"me@example.org"}
    assert service.asked[0]["path"].endswith("/efetch.fcgi")
    assert found.height == 2 * BATCH + 1


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_shuffled_missing_repeated_and_foreign_records_shift_nothing(seed):
    """BIOMEDICA joined by position: one reordered reply gave every article another's headings."""
    rng = random.Random(seed)
    missing = set(rng.sample(range(1, 41), 5))

    def answer(pmids):
        sent = [p for p in pmids if p not in missing] + rng.sample(pmids, 3) + [999]
        rng.shuffle(sent)
        return document(*(citation(p) for p in sent if p not in missing))

    with Service(answer) as service:
        found = client(service).records(range(1, 41))
    assert dict(found.select("pmid", "title").iter_rows()) == {
        p: f"Title of {p}" for p in range(1, 41) if p not in missing
    }


def test_a_busy_service_is_asked_again():
    with Service(lambda pmids: document(*map(citation, pmids)), statuses=[429, 503, 500]) as service:
        assert client(service).records([5]).height == 1
    assert len(service.asked) == 4


def test_a_service_that_stays_away_is_an_error_that_says_so():
    with Service(lambda _: b"", statuses=[503] * 9) as service, pytest.raises(ServiceUnavailable, match="503"):
        client(service, retries=2).records([5])
    assert len(service.asked) == 3


def test_a_refusal_is_not_repeated_and_the_key_is_not_told():
    with Service(lambda _: b"", statuses=[400]) as service, pytest.raises(PermanentFailure) as caught:
        client(service, api_key="secret-key").records([5])
    assert len(service.asked) == 1
    assert "secret-key" not in str(caught.value) + repr(client(service, api_key="secret-key"))


def test_an_answer_that_is_no_xml_is_refused():
    with Service(lambda _: b"<html>busy") as service, pytest.raises(PermanentFailure, match="damaged"):
        client(service).records([5])


def test_no_second_holds_more_calls_than_the_rate():
    now, waited = [0.0], []

    def sleep(seconds):
        waited.append(seconds)
        now[0] += seconds

    bucket, calls = TokenBucket(3, clock=lambda: now[0], sleep=sleep), []
    for _ in range(10):
        bucket.take()
        calls.append(now[0])
    assert all(later - earlier > 0.999 for earlier, later in zip(calls, calls[3:], strict=False))
    now[0] += 60
    bucket.take()
    assert len(waited) == 9
