"""Names in the XML find their object, and doubt is never settled by guessing."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_assets.lib.images.resolve import (
    PREFERENCE,
    Ambiguous,
    ArticleMedia,
    Found,
    MediaObject,
    Missing,
    split_extension,
)


def media(*names: str, md5: str | None = None) -> ArticleMedia:
    return ArticleMedia(MediaObject("PMC1.1", f"PMC1.1/{name}", md5 or name) for name in names)


@pytest.mark.parametrize(
    ("href", "names", "name", "match"),
    [
        ("fig1.jpg", ["fig1.jpg", "fig1.png"], "fig1.jpg", "exact"),
        ("fig1", ["fig1", "fig1.jpg"], "fig1", "exact"),
        (
            "pone.0000133.g001",
            ["pone.0000133.g001.gif", "pone.0000133.g001.jpg"],
            "pone.0000133.g001.jpg",
            "extension_added",
        ),
        ("fig1.jpg", ["fig1"], "fig1", "extension_removed"),
        ("fig1.tif", ["fig1.jpg", "fig1.gif"], "fig1.jpg", "other_extension"),
        ("Fig1.TIF", ["fig1.jpg"], "fig1.jpg", "case"),
        ("FIG1", ["fig1.JPG"], "fig1.JPG", "case"),
        ("Größe.jpg", ["Gro\u0308ße.jpg"], "Gro\u0308ße.jpg", "case"),
        ("images/fig1", ["fig1.png"], "fig1.png", "basename"),
        ("..\\images\\fig1.eps", ["fig1.png"], "fig1.png", "basename"),
        ("https://example.org/a/b/fig%201.jpg?x=1#top", ["fig 1.jpg"], "fig 1.jpg", "basename"),
        ("info:doi/10.1371/journal.pone.0000133.g001", ["pone.0000133.g001.jpg"], "pone.0000133.g001.jpg", "basename"),
        ("info:doi/10.1371/journal.pone.0093988.e010", ["e010.png", "g010.png"], "e010.png", "basename"),
        ("https://doi.org/10.1371/journal.pone.1.g002", ["pone.1.g002.tif"], "pone.1.g002.tif", "basename"),
        (" fig1.jpg\n", ["fig1.jpg"], "fig1.jpg", "exact"),
        ("fig3", ["fig3.svg", "fig3.tif"], "fig3.tif", "extension_added"),
        ("fig3", ["fig3.svg"], "fig3.svg", "extension_added"),
    ],
)
def test_each_way_of_writing_a_name_finds_its_object(href, names, name, match):
    found = media(*names).resolve(href)
    assert isinstance(found, Found)
    assert (found.object.name, found.match) == (name, match)


@pytest.mark.parametrize(
    ("href", "names"),
    [
        ("fig1", ["fig10.jpg", "fig11.jpg"]),
        ("", ["fig1.jpg"]),
        ("/", ["fig1.jpg"]),
        ("fig1.jpg", []),
        ("journal.pone.1.g001", ["g001.jpg"]),
        ("fig1.data", ["fig1.jpg"]),
        ("g001.jpg", ["pone.1.g001.jpg"]),
    ],
)
def test_what_only_resembles_a_name_is_missing(href, names):
    assert media(*names).resolve(href) == Missing()


def test_two_objects_that_fit_equally_are_ambiguous_and_named():
    outcome = media("a/fig1.jpg", "b/fig1.jpg").resolve("fig1")
    assert isinstance(outcome, Ambiguous)
    assert [o.key for o in outcome.candidates] == ["PMC1.1/a/fig1.jpg", "PMC1.1/b/fig1.jpg"]
    assert isinstance(media("Fig1.jpg", "fig1.jpg").resolve("FIG1.jpg"), Ambiguous)


def test_objects_with_the_same_bytes_are_no_ambiguity():
    outcome = media("b/fig1.jpg", "a/fig1.jpg", md5="same").resolve("fig1")
    assert isinstance(outcome, Found)
    assert outcome.object.key == "PMC1.1/a/fig1.jpg"


def test_stricter_rule_wins_over_preferred_extension():
    """The author named the tif: that a jpg of the same stem is there does not matter."""
    assert media("fig1.tif", "fig1.jpg").resolve("fig1.tif").object.name == "fig1.tif"


STEMS = st.text(
    st.characters(codec="utf-8", exclude_characters="/\\?#%\x00", exclude_categories=["Zs", "Cc"]),
    min_size=1,
    max_size=20,
)
STEMS = STEMS.filter(lambda s: s == s.strip() and not s.startswith("."))
EXTENSIONS = st.sampled_from(PREFERENCE)


@given(st.lists(STEMS, min_size=1, max_size=8, unique=True), EXTENSIONS, st.data())
def test_every_object_is_found_by_its_own_name_and_by_its_stem_as_long_as_it_is_unique(stems, extension, data):
    names = [f"{stem}.{extension}" for stem in stems]
    stem = data.draw(st.sampled_from(stems))
    index = media(*names)
    assert index.resolve(f"{stem}.{extension}") == Found(
        MediaObject("PMC1.1", f"PMC1.1/{stem}.{extension}", f"{stem}.{extension}"), "exact"
    )
    by_stem = index.resolve(stem)
    assert isinstance(by_stem, Found)
    assert by_stem.object.name in {f"{stem}.{extension}", stem}


@given(st.lists(st.tuples(STEMS, EXTENSIONS), max_size=8), STEMS, st.randoms(use_true_random=False))
def test_order_and_repetition_of_objects_do_not_matter(pairs, href, rng: random.Random):
    names = [f"{stem}.{extension}" for stem, extension in pairs]
    shuffled = rng.sample(names, len(names)) + names[:2]
    for wanted in (href, *names[:2], *(f"x/{name}" for name in names[:2])):
        assert media(*names).resolve(wanted) == media(*shuffled).resolve(wanted)


@given(st.lists(st.tuples(STEMS, EXTENSIONS), max_size=8), st.text(max_size=40))
def test_any_text_gets_an_answer_and_never_an_object_of_another_article(pairs, href):
    names = [f"{stem}.{extension}" for stem, extension in pairs]
    outcome = media(*names).resolve(href)
    if isinstance(outcome, Found):
        assert outcome.object.name in names
    else:
        assert outcome == Missing() or isinstance(outcome, Ambiguous)


@given(STEMS, st.lists(EXTENSIONS, min_size=1, max_size=6, unique=True))
def test_of_several_renditions_the_preferred_one_is_taken(stem, extensions):
    name = "x" + stem.replace(".", "")
    found = media(*(f"{name}.{e}" for e in extensions)).resolve(name)
    assert isinstance(found, Found)
    assert found.object.name == f"{name}.{min(extensions, key=PREFERENCE.index)}"


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("fig1.TIF", ("fig1", "tif")),
        ("pone.0000133.g001", ("pone.0000133.g001", None)),
        (".jpg", (".jpg", None)),
        ("a.b.png", ("a.b", "png")),
        ("plain", ("plain", None)),
    ],
)
def test_only_known_extensions_are_split_off(name, split):
    assert split_extension(name) == split
