"""Faults of a server: how often it is asked again, how it is asked less, and that nothing is lost."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_assets.lib.pmc.retry import RetryPolicy, Throttle
from biomedica_assets.lib.pmc.source import FetchFailed, ObjectMissing, open_source

TRANSIENT = ["503", "500", "429", "truncate", "reset"]


@pytest.mark.parametrize("fault", TRANSIENT)
@pytest.mark.parametrize("failures", [0, 1, 3])
def test_after_k_failures_there_were_exactly_k_plus_one_requests(s3, mirror, bucket, fault, failures):
    key = mirror.put("PMC1.1/a.xml", b"x" * 50_000)
    s3.faults[key] = [fault] * failures
    assert bucket.get(key) == b"x" * 50_000
    assert s3.requests[key] == failures + 1


@pytest.mark.parametrize("fault", TRANSIENT)
def test_when_all_tries_fail_there_is_one_typed_error(s3, mirror, bucket, fault):
    key = mirror.put("PMC1.1/a.xml", b"x" * 50_000)
    s3.faults[key] = [fault] * 10
    with pytest.raises(FetchFailed, match=r"in 4 tries") as error:
        bucket.get(key)
    assert error.value.key == key
    assert s3.requests[key] == 4


def test_a_server_that_hangs_counts_as_failed_when_the_time_is_up(s3, mirror):
    key = mirror.put("PMC1.1/a.xml", b"x")
    s3.faults[key] = ["hang"]
    source = open_source("s3://pmc-oa-opendata", endpoint=s3.endpoint, retries=1, timeout=3.0, backoff=0.01)
    assert source.get(key) == b"x"
    assert s3.requests[key] == 2


def test_what_trying_again_cannot_help_is_asked_once(s3, mirror, bucket):
    key = mirror.put("PMC1.1/a.xml", b"x")
    s3.faults[key] = ["403"]
    with pytest.raises(FetchFailed, match="refuses"):
        bucket.get(key)
    with pytest.raises(ObjectMissing):
        bucket.get("PMC1.1/none")
    assert s3.requests == {key: 1, "PMC1.1/none": 1}


def test_listing_is_tried_again_as_well(s3, mirror, bucket):
    mirror.put("inv/2026/x", b"")
    s3.faults["?inv/"] = ["503", "503"]
    assert bucket.list_dirs("inv/") == ["2026"]
    assert s3.requests["?inv/"] == 3


def test_a_storm_of_503_slows_requests_down_and_loses_none(s3, mirror):
    """The server refuses whenever more than 3 requests are in flight; 32 are allowed to begin with."""
    keys = [mirror.put(f"PMC{n}.1/a.xml", str(n).encode()) for n in range(1, 200)]
    s3.storm, s3.delay = (lambda in_flight: in_flight > 3), 0.002
    source = open_source("s3://pmc-oa-opendata", endpoint=s3.endpoint, concurrency=32, retries=8, backoff=0.01)
    results = dict(source.get_many(keys, str))
    assert results == {key: str(n).encode() for n, key in enumerate(keys, 1)}
    assert source.throttle.lowest <= 4
    assert s3.most_in_flight > 3


def test_no_more_objects_are_asked_for_at_once_than_allowed(s3, mirror):
    keys = [mirror.put(f"PMC{n}.1/a.xml", b"x") for n in range(1, 60)]
    s3.delay = 0.01
    source = open_source("s3://pmc-oa-opendata", endpoint=s3.endpoint, concurrency=5)
    assert len(list(source.get_many(keys, str))) == 59
    assert s3.most_in_flight <= 5


def test_a_caller_who_stops_early_does_not_wait_for_retries(s3, mirror):
    keys = [mirror.put(f"PMC{n}.1/a.xml", b"x") for n in range(1, 9)]
    for key in keys[1:]:
        s3.faults[key] = ["503"] * 99
    source = open_source("s3://pmc-oa-opendata", endpoint=s3.endpoint, concurrency=8, retries=9, backoff=60.0)
    results = source.get_many(keys, str)
    assert next(results) == (keys[0], b"x")
    closing = threading.Thread(target=results.close, daemon=True)
    closing.start()
    closing.join(60)
    assert not closing.is_alive()


@given(st.text(max_size=20), st.integers(0, 30), st.floats(0.001, 5))
def test_waits_grow_with_each_try_up_to_a_limit_and_are_the_same_in_every_run(key, attempt, first):
    policy = RetryPolicy(9, first, 20.0)
    wait = policy.delay(key, attempt)
    assert min(20.0, first * 2**attempt) / 2 <= wait <= min(20.0, first * 2**attempt)
    assert wait == policy.delay(key, attempt)


def test_waits_of_different_keys_are_spread():
    assert len({round(RetryPolicy().delay(f"PMC{n}.1", 3), 6) for n in range(50)}) == 50


def test_failures_in_flight_together_halve_the_limit_once():
    throttle = Throttle(64)
    epochs = [throttle.epoch() for _ in range(10)]
    for epoch in epochs:
        throttle.failed(epoch)
    assert throttle.limit == 32
    throttle.failed(throttle.epoch())
    assert throttle.limit == 16


def test_the_limit_grows_by_one_per_round_of_successes_and_never_beyond_its_start():
    throttle = Throttle(8)
    throttle.failed(throttle.epoch())
    for _ in range(5):
        throttle.succeeded()
    assert throttle.limit == 5
    for _ in range(1000):
        throttle.succeeded()
    assert throttle.limit == 8


def test_the_limit_never_falls_below_one():
    throttle = Throttle(4)
    for _ in range(20):
        throttle.failed(throttle.epoch())
    assert throttle.limit == 1
    with throttle.place():
        pass
