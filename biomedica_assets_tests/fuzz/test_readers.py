"""No input makes a reader fail in a way it does not name."""

from __future__ import annotations

import json

import hypothesis
import pytest
from hypothesis import strategies as st

from biomedica_assets_tests.fuzz.readers import METADATA, READERS, SEEDS, feed

KNOWN = {
    "deep JSON": b"[" * 200_000,
    "deep JSON object": b'{"a":' * 100_000,
    "huge number": b'{"pmcid": "PMC1", "version": 1e999, "pmid": ' + b"9" * 5000 + b"}",
    "lone surrogate": b'{"pmcid": "PMC1", "version": 1, "title": "\\ud800"}',
    "not UTF-8": b"\xff\xfe\x00\x01",
    "NUL": b"\0" * 100,
    "deep YAML": b"[" * 20_000,
    "laughing YAML": b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 9)) for c in range(98, 106)),
    "impossible YAML date": b"title: 2021-13-45\n",
    "YAML that loads code": b"title: !!python/object/apply:os.system ['true']\n",
    "quote without end": b'"a,b\n' * 1000,
    "one very long line": b"x" * 3_000_000,
    "UTF-7": b'<?xml version="1.0" encoding="UTF-7"?><article/>',
    "UTF-16 that says UTF-8": '<?xml version="1.0" encoding="UTF-8"?><article/>'.encode("utf-16"),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("case", KNOWN)
def test_known_tricks_are_refused_by_name(name, case):
    feed(name, KNOWN[case])


@pytest.mark.parametrize("name", READERS)
@hypothesis.settings(max_examples=40, deadline=None)
@hypothesis.given(data=st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "replace")))
def test_anything_is_read_or_refused_by_name(name, data):
    feed(name, data)


@pytest.mark.parametrize("name", READERS)
@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(cuts=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), st.binary(max_size=12)), max_size=5))
def test_damage_to_what_is_right_is_read_or_refused_by_name(name, cuts):
    data = SEEDS[name]
    for share, length, put in cuts:
        at = int(share * len(data))
        data = data[:at] + put + data[at + length :]
    feed(name, data)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@hypothesis.settings(max_examples=80, deadline=None)
@hypothesis.given(field=st.sampled_from([*json.loads(METADATA), "xml_url", "pmid", "media_urls"]), value=_JSON)
def test_metadata_with_any_value_in_any_field_is_read_or_refused_by_name(field, value):
    feed("metadata", json.dumps(json.loads(METADATA) | {field: value}).encode())


@hypothesis.settings(max_examples=80, deadline=None)
@hypothesis.given(
    field=st.sampled_from(["title", "where", "licenses", "concepts", "dedup", "seed", "splits"]), value=_JSON
)
def test_a_recipe_with_any_value_in_any_field_is_read_or_refused_by_name(field, value):
    feed("recipe", json.dumps({field: value}).encode())
