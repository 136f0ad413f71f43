"""The metadata JSON: lenient about values, strict about which article it is and where its URLs point."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_assets.lib.pmc.metadata import MetadataRefused, parse_url, read_metadata
from biomedica_assets.lib.pmc.names import safe_name
from biomedica_assets.lib.pmc.source import PMC_BUCKET

BUCKETS = frozenset({PMC_BUCKET})
MD5 = "0123456789abcdef0123456789abcdef"
XML = f"s3://{PMC_BUCKET}/PMC1.2/PMC1.2.xml?md5={MD5}"


def read(**fields):
    return read_metadata(json.dumps({"pmcid": "PMC1", "version": 2, **fields}).encode(), "PMC1.2", BUCKETS)


def test_a_json_that_says_next_to_nothing_is_read_and_nothing_is_assumed_in_its_favour():
    found = read()
    assert (found.pmid, found.doi, found.title, found.license_raw, found.xml, found.media) == (None,) * 5 + ((),)
    assert (found.is_pmc_openaccess, found.is_retracted) == (False, False)


def test_nulls_are_as_good_as_missing_fields():
    names = ["pmid", "doi", "mid", "title", "citation", "license_code", "xml_url", "pdf_url", "media_urls"]
    flags = ["is_pmc_openaccess", "is_manuscript", "is_historical_ocr", "is_retracted"]
    assert read(**dict.fromkeys([*names, *flags])) == read()


@pytest.mark.parametrize("yes", [True, "yes", "true", "TRUE", " Yes ", 1, "1", "y"])
def test_many_spellings_say_yes(yes):
    assert read(is_retracted=yes).is_retracted is True


@pytest.mark.parametrize("no", [False, "no", "false", "False", 0, "0", "", None])
def test_many_spellings_say_no(no):
    assert read(is_retracted=no).is_retracted is False


@pytest.mark.parametrize("value", ["perhaps", 2, [], {"a": 1}])
def test_a_flag_that_says_neither_is_refused_instead_of_guessed(value):
    with pytest.raises(MetadataRefused, match="is_retracted"):
        read(is_retracted=value)


def test_numbers_may_be_strings_and_texts_may_be_numbers():
    found = read(pmid="123", version="2", doi=" 10.1/x ", title=2020, pmcid="PMC1.2")
    assert (found.pmid, found.doi, found.title) == (123, "10.1/x", "2020")
    assert read(pmcid=1).pmid is None


def test_empty_texts_are_null():
    assert (read(title="  ").title, read(license_code="").license_raw) == (None, None)


@pytest.mark.parametrize("fields", [{"pmcid": "PMC11"}, {"version": 20}, {"pmcid": None}, {"pmcid": "PMC1.20"}])
def test_a_json_of_another_article_is_refused(fields):
    with pytest.raises(MetadataRefused) as error:
        read(**fields)
    assert error.value.reason == "article_id_mismatch"


@pytest.mark.parametrize(
    "data", [b"", b"<Error/>", b"[]", b'"x"', b"null", b"\xff", b"[" * 100_000, b'{"pmcid": "PMC1"']
)
def test_what_is_no_json_object_is_refused(data):
    with pytest.raises(MetadataRefused) as error:
        read_metadata(data, "PMC1.2", BUCKETS)
    assert error.value.reason == "metadata_invalid"


@pytest.mark.parametrize("field", [{"pmid": "x"}, {"pmid": -1}, {"pmid": 1.5}, {"pmid": True}, {"title": ["a"]}])
def test_values_of_another_kind_are_refused_and_named(field):
    with pytest.raises(MetadataRefused, match=next(iter(field))):
        read(**field)


def test_keys_are_taken_as_they_stand_with_percent_signs_plus_and_question_marks():
    for name in ["a b.jpg", "a%20b.jpg", "a+b.jpg", "a?b.jpg", "étude#1.png", "sub/dir.tif", "?md5=x.gif"]:
        assert parse_url(f"s3://{PMC_BUCKET}/PMC1.2/{name}?md5={MD5}", "PMC1.2", BUCKETS).key == f"PMC1.2/{name}"


HOSTILE_URLS = [
    f"s3://other-bucket/PMC1.2/a.jpg?md5={MD5}",
    f"s3://{PMC_BUCKET}/PMC1.20/a.jpg?md5={MD5}",
    f"s3://{PMC_BUCKET}/PMC1.2x/a.jpg?md5={MD5}",
    f"s3://{PMC_BUCKET}/PMC1.2/../PMC3.1/a.jpg?md5={MD5}",
    f"s3://{PMC_BUCKET}//PMC1.2/a.jpg?md5={MD5}",
    f"s3://{PMC_BUCKET}/PMC1.2//a.jpg?md5={MD5}",
    f"s3://{PMC_BUCKET}/PMC1.2/?md5={MD5}",
    f"s3://{PMC_BUCKET}/PMC1.2/a\0.jpg?md5={MD5}",
    f"https://{PMC_BUCKET}/PMC1.2/a.jpg?md5={MD5}",
    f"s3://user@{PMC_BUCKET}/PMC1.2/a.jpg?md5={MD5}",
    f"file:///etc/passwd?md5={MD5}",
    "",
    17,
]


@pytest.mark.parametrize("url", HOSTILE_URLS)
def test_urls_that_leave_the_bucket_or_the_article_are_refused(url):
    with pytest.raises(MetadataRefused) as error:
        parse_url(url, "PMC1.2", BUCKETS)
    assert error.value.reason == "unsafe_url"


@pytest.mark.parametrize("tail", ["", "?md5=", "?md5=xyz", f"?md5={MD5[:-1]}"])
def test_an_object_that_cannot_be_verified_is_refused(tail):
    with pytest.raises(MetadataRefused, match="cannot be verified"):
        parse_url(f"s3://{PMC_BUCKET}/PMC1.2/a.jpg{tail}", "PMC1.2", BUCKETS)


def test_a_bad_medium_is_left_out_and_noted_and_a_bad_xml_refuses_the_article():
    good = f"s3://{PMC_BUCKET}/PMC1.2/a.jpg?md5={MD5}"
    found = read(xml_url=XML, media_urls=[good, HOSTILE_URLS[0], good])
    assert [medium.key for medium in found.media] == ["PMC1.2/a.jpg"]
    assert [url for url, _ in found.refused] == [HOSTILE_URLS[0]]
    with pytest.raises(MetadataRefused) as error:
        read(xml_url=HOSTILE_URLS[0])
    assert error.value.reason == "unsafe_url"


ORDINARY = [
    "gr1.jpg",
    "NPR2-43-85-g001.jpg",
    "Video 1.MP4",
    "mbio.01679-24.f001.jpg",
    "a(1).tif",
    "no_extension",
    "x" * 180,
]
HOSTILE_NAMES = [
    "..",
    ".",
    ".hidden",
    "a/b",
    "a\\b",
    "a\0b",
    "a\nb",
    "\u202egpj.exe",
    "a\u200bb",
    "étude.png",
    "CON",
    "nul.txt",
    "com1.jpg",
]
HOSTILE_NAMES += [
    "x" * 300 + ".jpg",
    "a ",
    "a.",
    " a",
    "a:b",
    "a*b?",
    "~",
    "a~b.jpg",
    "-rf",
    "",
    "é" * 200,
    "\ud800",
    "a|b",
    ".tmp-x",
]


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_names_stay_as_they_are(name):
    assert safe_name(name) == name


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_hostile_names_become_harmless_ones(name, tmp_path):
    local = safe_name(name)
    assert local != name
    (tmp_path / local).write_bytes(b"x")
    assert [path.name for path in tmp_path.iterdir()] == [local]
    assert local.isascii() and local.isprintable() and local[0].isalnum() and len(local) <= 180
    assert safe_name(name) == local


def test_plain_extensions_survive():
    assert safe_name("Abbildung ä 1.tif").endswith(".tif")
    assert safe_name("x" * 300 + ".jpeg").endswith(".jpeg")


@given(st.lists(st.text(st.characters(), max_size=40), unique=True, max_size=30))
def test_two_names_never_become_one(names):
    assert len({safe_name(name) for name in names}) == len(names)


@given(st.text(max_size=60))
def test_a_name_made_harmless_does_not_collide_with_a_name_that_looks_like_it(name):
    local = safe_name(name)
    assert local == name or safe_name(local) != local
