"""The contract of a source, held by both adapters; and what only one of them can get wrong."""

import os

import pytest

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.pmc.source import (
    FetchFailed,
    KeyRefused,
    ObjectMissing,
    SourceError,
    check_key,
    open_source,
)

HOSTILE_KEYS = [
    "",
    "/etc/passwd",
    "../x",
    "PMC1.1/../../x",
    "PMC1.1/./x",
    "PMC1.1//x",
    "a\0b",
    "a\nb",
    "PMC1.1/",
    "x" * 1025,
]
PUBLISHERS_NAMES = ["gr1.jpg", "Video 1.MP4", "a+b%20c.jpg", "étude?#&=.png", "no_extension", "図1.tif", "a'b\"c.gif"]


def test_a_source_gives_the_bytes_of_a_key(source, mirror):
    mirror.put("PMC1.1/a.xml", b"\x00\xff bytes")
    assert source.get("PMC1.1/a.xml") == b"\x00\xff bytes"


def test_an_empty_object_is_an_object(source, mirror):
    mirror.put("PMC1.1/empty", b"")
    assert source.get("PMC1.1/empty") == b""


@pytest.mark.parametrize("name", PUBLISHERS_NAMES)
def test_publishers_names_are_asked_for_as_they_are(source, mirror, name):
    mirror.put(f"PMC1.1/{name}", name.encode())
    assert source.get(f"PMC1.1/{name}") == name.encode()


@pytest.mark.parametrize("key", ["PMC1.1/none.jpg", "PMC2.1", "PMC1.1/a.xml/below"])
def test_what_is_not_there_is_missing_and_says_which_key(source, mirror, key):
    mirror.put("PMC1.1/a.xml", b"x")
    with pytest.raises(ObjectMissing) as error:
        source.get(key)
    assert error.value.key == key
    assert key in str(error.value)


def test_a_folder_is_no_object(source, mirror):
    mirror.put("PMC1.1/a.xml", b"x")
    with pytest.raises(ObjectMissing):
        source.get("PMC1.1")


@pytest.mark.parametrize("key", HOSTILE_KEYS)
def test_keys_that_climb_or_are_none_are_refused_before_anything_is_asked(source, mirror, key):
    mirror.put("PMC1.1/a.xml", b"x")
    (mirror.root.parent / "x").write_bytes(b"secret")
    with pytest.raises(KeyRefused):
        source.get(key)
    with pytest.raises(KeyRefused):
        check_key(key)


def test_get_many_answers_every_item_once_and_mixes_failures_in(source, mirror):
    keys = [mirror.put(f"PMC{n}.1/a.xml", str(n).encode()) for n in range(1, 60)]
    items = [*enumerate(keys), (-1, "PMC99.1/missing"), (-2, "../climbs")]
    results = {number: result for (number, _), result in source.get_many(items, lambda item: item[1])}
    assert {n: r for n, r in results.items() if n >= 0} == {n: str(n + 1).encode() for n in range(59)}
    assert isinstance(results[-1], ObjectMissing)
    assert isinstance(results[-2], KeyRefused)


def test_get_many_draws_its_items_only_as_results_are_taken(source, mirror):
    mirror.put("PMC1.1/a.xml", b"x")
    drawn = []
    results = source.get_many((drawn.append(n) or n for n in range(10_000)), lambda _: "PMC1.1/a.xml")
    for _ in range(20):
        next(results)
    results.close()
    assert len(drawn) < 200


def test_folders_are_listed_without_files_and_without_what_lies_deeper(source, mirror):
    for key in ["inv/2026-01-02/a", "inv/2026-01-01/a/b", "inv/file", "other/x"]:
        mirror.put(key, b"x")
    assert source.list_dirs("inv/") == ["2026-01-01", "2026-01-02"]
    assert source.list_dirs("nowhere/") == []


def test_a_source_that_is_neither_directory_nor_bucket_says_what_would_be(tmp_path):
    with pytest.raises(PermanentFailure, match="aws s3 sync"):
        open_source(tmp_path / "none")
    with pytest.raises(PermanentFailure, match="use a directory or s3://"):
        open_source("https://pmc-oa-opendata.s3.amazonaws.com")
    with pytest.raises(PermanentFailure, match="names no bucket"):
        open_source("s3://")


def test_symbolic_links_are_followed_inside_the_root_and_refused_outside(mirror):
    mirror.put("PMC1.1/a.xml", b"inside")
    (mirror.root.parent / "secret").write_bytes(b"secret")
    (mirror.root / "PMC1.1" / "in").symlink_to("a.xml")
    (mirror.root / "PMC1.1" / "out").symlink_to("../../secret")
    (mirror.root / "PMC2.1").symlink_to(mirror.root.parent)
    (mirror.root / "PMC1.1" / "circle").symlink_to("circle")
    source = open_source(mirror.root)
    assert source.get("PMC1.1/in") == b"inside"
    for key in ["PMC1.1/out", "PMC2.1/secret"]:
        with pytest.raises(KeyRefused, match="leaves"):
            source.get(key)
    with pytest.raises(SourceError):
        source.get("PMC1.1/circle")


def test_a_pipe_in_the_directory_is_refused_instead_of_waited_for(mirror):
    os.mkfifo(mirror.root / "pipe")
    with pytest.raises(FetchFailed, match="not a plain file"):
        open_source(mirror.root).get("pipe")


def test_proxies_and_aws_variables_of_the_environment_have_no_effect(s3, mirror, monkeypatch):
    """They did: AWS_ENDPOINT_URL_S3 beats obstore's endpoint argument, and reqwest takes any proxy it is told of."""
    mirror.put("PMC1.1/a.xml", b"x")
    nowhere = "http://127.0.0.1:9"
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "AWS_ENDPOINT", "AWS_ENDPOINT_URL"]:
        monkeypatch.setenv(name, nowhere)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", nowhere)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    for endpoint in [s3.endpoint, s3.endpoint.replace("127.0.0.1", "localhost")]:
        assert open_source("s3://pmc-oa-opendata", endpoint=endpoint, retries=0).get("PMC1.1/a.xml") == b"x"


def test_a_prefix_of_the_bucket_is_put_before_every_key(s3, mirror):
    mirror.put("copy/of/pmc/PMC1.1/a.xml", b"x")
    source = open_source("s3://pmc-oa-opendata/copy/of/pmc/", endpoint=s3.endpoint, retries=0)
    assert source.get("PMC1.1/a.xml") == b"x"
    assert source.list_dirs("") == ["PMC1.1"]
    assert s3.requests["copy/of/pmc/PMC1.1/a.xml"] == 1


def test_listing_goes_on_past_the_first_page(s3, mirror, bucket):
    for n in range(1205):
        mirror.put(f"many/{n:05d}/x", b"")
    assert bucket.list_dirs("many/") == [f"{n:05d}" for n in range(1205)]
