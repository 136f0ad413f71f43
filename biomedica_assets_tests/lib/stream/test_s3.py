"""A release in a bucket that not everyone may read: signed with the credentials of the environment, else not."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest

from biomedica_assets.lib.stream import s3
from biomedica_assets.lib.stream.addresses import web_address
from biomedica_assets_tests.lib.stream.conftest import Physical
from biomedica_assets_tests.lib.stream.test_afar import ALL, published, stream
from biomedica_assets_tests.lib.stream.test_virtual import tar_of
from biomedica_assets_tests.support.s3_standin import S3StandIn
from biomedica_assets_tests.support.signatures import Account, refusal

KEY, SECRET, TOKEN = "AKIAREADER", "very/secret+key", "session/token=="
EXAMPLE = (
    "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
    "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z"
    "&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
    "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
)
"""The one of Amazon's documentation."""


@pytest.fixture
def release(physical: Physical) -> Physical:
    return published(physical, full=list(physical.where))


@pytest.fixture
def bucket(release: Physical) -> Iterator[S3StandIn]:
    """Its objects are for one key and its token."""
    with S3StandIn(release.root, "private", accounts={KEY: Account(SECRET, TOKEN)}) as served:
        yield served


def environment(bucket: S3StandIn, **more: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL_S3": bucket.endpoint, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_SESSION_TOKEN": TOKEN, **more,
    }  # fmt: skip


def test_the_stand_in_checks_signatures_as_amazon_does() -> None:
    accounts = {"AKIAIOSFODNN7EXAMPLE": Account("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")}
    then = dt.datetime(2013, 5, 24, 12, tzinfo=dt.UTC)
    assert refusal("GET", EXAMPLE, accounts, then) is None
    assert refusal("PUT", EXAMPLE, accounts, then) == "SignatureDoesNotMatch"
    assert refusal("GET", EXAMPLE.replace("test.txt", "tost.txt"), accounts, then) == "SignatureDoesNotMatch"
    assert refusal("GET", EXAMPLE, accounts, then + dt.timedelta(days=1)) == "AccessDenied"


def test_a_private_release_is_streamed_with_the_credentials_of_the_environment(
    bucket: S3StandIn, release: Physical
) -> None:
    done = stream("s3://private", "--of", "1", **environment(bucket))
    assert done.returncode == 0, done.stderr
    assert done.stdout == tar_of(release.index(), release.root, ALL)
    assert not bucket.refused


def test_a_region_and_the_general_endpoint_are_taken_from_the_environment(bucket: S3StandIn, release: Physical) -> None:
    bucket.region = "eu-central-1"
    given = environment(bucket, AWS_ENDPOINT_URL=bucket.endpoint, AWS_REGION="eu-central-1")
    del given["AWS_ENDPOINT_URL_S3"]
    done = stream("s3://private", "--of", "1", **given)
    assert (done.returncode, done.stdout) == (0, tar_of(release.index(), release.root, ALL)), done.stderr
    other = stream("s3://private", "--of", "1", **{**given, "AWS_REGION": "us-west-2"})
    assert other.returncode == 1
    assert b"the bucket lies in eu-central-1; set AWS_REGION=eu-central-1" in other.stderr


@pytest.mark.parametrize(
    ("wrong", "says", "why"),
    [
        (
            {"AWS_SECRET_ACCESS_KEY": "other"},
            "the credentials of the environment may not read it",
            "SignatureDoesNotMatch",
        ),
        ({"AWS_SESSION_TOKEN": "run-out"}, "the credentials of the environment may not read it", "InvalidToken"),
        ({"AWS_SKIP_SIGNATURE": "true"}, "not everyone may read it; set AWS_ACCESS_KEY_ID", "AccessDenied"),
        ({"AWS_ACCESS_KEY_ID": ""}, "not everyone may read it; set AWS_ACCESS_KEY_ID", "AccessDenied"),
    ],
)
def test_a_refusal_is_one_line_and_tells_no_secret(
    bucket: S3StandIn, wrong: dict[str, str], says: str, why: str
) -> None:
    done = stream("s3://private", "--of", "1", **environment(bucket, **wrong))
    assert (done.returncode, done.stdout) == (1, b"")
    (line,) = done.stderr.decode().splitlines()
    assert says in line
    assert not any(secret in line for secret in (SECRET, TOKEN, "X-Amz", "other", "run-out"))
    assert [*bucket.refused] == [why]


def test_a_bucket_for_everyone_is_asked_without_a_signature(bucket: S3StandIn, release: Physical) -> None:
    bucket.accounts = {}
    done = stream("s3://private", "--of", "1", AWS_ENDPOINT_URL_S3=bucket.endpoint)
    assert (done.returncode, done.stdout) == (0, tar_of(release.index(), release.root, ALL)), done.stderr


def test_an_address_is_used_again_and_signed_anew_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training for days must not end with the first signature."""
    for name, value in (("ACCESS_KEY_ID", KEY), ("SECRET_ACCESS_KEY", SECRET), ("ENDPOINT_URL_S3", "http://h:1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    now = [1000.0]
    monkeypatch.setattr(s3.time, "monotonic", lambda: now[0])
    signed = s3.signed("s3://bucket/some/prefix")
    assert signed is not None
    first = signed.url("shards/a b.tar")
    assert first.startswith("http://h:1/bucket/some/prefix/shards/a%20b.tar?")
    asked: list[str] = []
    monkeypatch.setattr(signed, "_sign", lambda key: asked.append(key) or "another")
    assert signed.url("shards/a b.tar") == first and not asked
    now[0] += s3.RENEWED + 1
    assert signed.url("shards/a b.tar") == "another"
    assert not signed.forget("shards/a b.tar")  # refused at once: it is no matter of time
    signed.url("shards/a b.tar")
    now[0] += s3.FRESH + 1
    assert signed.forget("shards/a b.tar")


def test_credentials_go_to_no_other_kind_of_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    assert s3.signed("https://somebody.example/release") is None


def test_another_endpoint_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://minio:9000/")
    assert web_address("s3://bucket/a") == "http://minio:9000/bucket/a"
