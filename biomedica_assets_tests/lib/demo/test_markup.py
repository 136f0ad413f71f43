"""Marked text: what is written as XML and what is noted as true say the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from biomedica_assets.lib.demo.markup import fill, plain, targets

WORDS = st.text("abc xyz 0.µ", min_size=1, max_size=8)
RIDS = st.lists(st.sampled_from(["F1", "F2", "F-3"]), min_size=1, max_size=2).map(" ".join)
LEAF = st.one_of(
    WORDS,
    WORDS.map(lambda w: f"^{w}^"),
    WORDS.map(lambda w: f"~{w}~"),
    st.sampled_from(["$p<0.05$", "$r^2$", "$n=24$"]),
    st.tuples(RIDS, st.one_of(st.just(""), WORDS)).map(lambda pair: f"[[{pair[0]}|{pair[1]}]]"),
)
MARKED = st.lists(
    st.one_of(LEAF, st.lists(LEAF, min_size=1, max_size=3).map(lambda p: f"*{''.join(p)}*")), max_size=6
).map("".join)


@given(MARKED)
def test_plain_words_are_the_text_of_the_element(text: str) -> None:
    element = fill(etree.Element("p"), text)
    assert plain(text).split() == "".join(element.itertext()).split()


@given(MARKED)
def test_targets_are_the_rids_in_document_order(text: str) -> None:
    element = fill(etree.Element("p"), text)
    assert targets(text) == [rid for xref in element.iter("xref") for rid in xref.get("rid", "").split()]


def test_a_no_break_space_is_a_character_like_any_other() -> None:
    assert plain("a\u00a0 b\n c") == "a\u00a0 b c"
