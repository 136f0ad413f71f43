"""Laws of caps, weights and splits."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_assets.lib.select import quotas, splits
from biomedica_assets.lib.select.definition import Splits
from biomedica_assets.lib.select.splits import Held


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=12), st.floats(0.01, 1))
def test_the_balancing_cap_is_the_largest_that_keeps_within_the_share(counts: list[int], share: float) -> None:
    def kept(cap: int) -> int:
        return sum(min(n, cap) for n in counts)

    cap = quotas.balancing_cap(counts, share)
    assert cap == 1 or kept(cap) <= share * sum(counts)
    assert cap == max(counts) or kept(cap + 1) > share * sum(counts)


def test_a_sample_counts_for_its_rarest_concept() -> None:
    tops = pl.Series([["a", "b"], ["a"], ["a"], [], ["b", "a"]], dtype=pl.List(pl.String))
    assert quotas.rarest(tops).to_list() == ["b", "a", "a", None, "b"]


@given(st.lists(st.sampled_from(["a", "b", None]), max_size=60), st.integers(0, 10), st.integers(0, 5))
def test_caps_hold_and_what_has_no_cap_stays(concepts: list[str | None], cap: int, seed: int) -> None:
    given_ = pl.Series("c", concepts, dtype=pl.String)
    keys = pl.Series([f"k{n}" for n in range(len(concepts))], dtype=pl.String)
    kept = given_.filter(quotas.within_caps(given_, keys, {"a": cap}, seed)).to_list()
    assert kept.count("a") == min(cap, concepts.count("a"))
    assert kept.count("b") == concepts.count("b")
    assert kept.count(None) == concepts.count(None)


def test_luck_under_a_cap_does_not_depend_on_order_or_on_other_concepts() -> None:
    keys = pl.Series([f"k{n}" for n in range(50)])
    concepts = pl.Series(["a"] * 50)
    one = set(keys.filter(quotas.within_caps(concepts, keys, {"a": 20}, 3)))
    two = set(keys.reverse().filter(quotas.within_caps(concepts, keys.reverse(), {"a": 20, "b": 1}, 3)))
    assert one == two
    assert one != set(keys.filter(quotas.within_caps(concepts, keys, {"a": 20}, 4)))


def test_weights_are_met_on_average_and_whole_ones_exactly() -> None:
    keys = pl.Series([f"k{n}" for n in range(4000)])
    concepts = pl.Series(["a", "b", "c", None] * 1000)
    found = quotas.repeats(concepts, keys, {"a": 2.5, "b": 3.0, "c": 0.25}, seed=0)
    by = pl.DataFrame({"c": concepts, "n": found}).group_by("c").agg(pl.col("n").mean())
    mean = dict(by.iter_rows())
    assert mean["a"] == pytest.approx(2.5, abs=0.06)
    assert mean["b"] == 3
    assert mean["c"] == pytest.approx(0.25, abs=0.06)
    assert mean[None] == 1


def _samples(*articles: str) -> pl.DataFrame:
    return pl.DataFrame({"media_id": [f"m{n}" for n in range(len(articles))], "article_id": articles})


def _groups(*rows: tuple[str, str, str]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["media_id", "article_id", "group"], orient="row").cast(pl.String)


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=60),
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 8)), max_size=40),
)
def test_articles_that_share_a_picture_share_a_split(articles: list[int], shared: list[tuple[int, int]]) -> None:
    samples = _samples(*(f"PMC{n}.1" for n in articles))
    groups = _groups(*((f"d{i}", f"PMC{a}.1", f"g{g}") for i, (a, g) in enumerate(shared)))
    found = splits.assign(samples, splits.tie(groups), Held(0.3, 0), Splits(validation=0.4)).names
    of_article: dict[int, str] = dict(zip(articles, found, strict=True))
    assert all(of_article[a] == s for a, s in zip(articles, found, strict=True))
    for a, g in shared:
        for b, h in shared:
            if g == h and a in of_article and b in of_article:
                assert of_article[a] == of_article[b]


@given(
    st.lists(st.tuples(st.integers(1, 40), st.sets(st.integers(0, 5))), min_size=1, max_size=40),
    st.lists(st.tuples(st.integers(0, 39), st.integers(0, 8)), max_size=40),
    st.integers(0, 3),
)
def test_a_panel_and_its_picture_never_lie_on_two_sides(
    pictures: list[tuple[int, set[int]]], shared: list[tuple[int, int]], seed: int
) -> None:
    """One recipe takes whole pictures, another some of their panels: what both hold lies on one side."""
    groups = _groups(*{(f"m{i}", f"PMC{pictures[i][0]}.1", f"g{g}") for i, g in shared if i < len(pictures)})
    cut = [(f"m{i}", f"PMC{article}.1") for i, (article, panels) in enumerate(pictures) for _ in panels]
    panels = pl.DataFrame(cut, schema={"media_id": pl.String, "article_id": pl.String}, orient="row")
    held, rules, ties = Held(0.3, seed), Splits(validation=0.4, seed=seed), splits.tie(groups)
    whole = splits.assign(_samples(*(f"PMC{article}.1" for article, _ in pictures)), ties, held, rules).names
    of_panels = splits.assign(panels, ties, held, rules).names
    for media_id, side in zip(panels["media_id"], of_panels, strict=True):
        assert side == whole[int(media_id[1:])]


def test_versions_of_an_article_share_a_split() -> None:
    samples = _samples(*(f"PMC{n}.{v}" for n in range(1, 60) for v in (1, 2)))
    found = splits.assign(samples, splits.tie(_groups()), Held(0.3, 0), Splits(validation=0.4)).names.to_list()
    assert found[::2] == found[1::2]


def test_other_articles_do_not_move_a_split() -> None:
    """A growing corpus, and another recipe, keep the held-out articles."""
    few = splits.assign(
        _samples(*(f"PMC{n}.1" for n in range(1, 100, 3))), splits.tie(_groups()), Held(0.05, 0), Splits()
    ).names
    many = splits.assign(
        _samples(*(f"PMC{n}.1" for n in range(1, 100))), splits.tie(_groups()), Held(0.05, 0), Splits()
    ).names
    assert few.to_list() == many.to_list()[::3]


def test_shares_are_met() -> None:
    samples = _samples(*(f"PMC{n}.1" for n in range(20_000)))
    found = splits.assign(samples, splits.tie(_groups()), Held(0.2, 0), Splits(validation=0.125))
    counts = dict(found.names.value_counts().iter_rows())
    assert counts["test"] == pytest.approx(4000, rel=0.05)
    assert counts["validation"] == pytest.approx(2000, rel=0.08), "of the others"


def test_a_picture_in_very_many_articles_ties_none_and_trains_only() -> None:
    articles = [f"PMC{n}.1" for n in range(1, 200)]
    groups = _groups(*((f"m{n}", article, "logo") for n, article in enumerate(articles)))
    found = splits.assign(_samples(*articles), splits.tie(groups), Held(0.3, 0), Splits(validation=0.4))
    assert found.largest == 1
    assert set(found.names) == {"train", None}
