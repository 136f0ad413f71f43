"""One held-out set, chosen before any recipe: nothing like it is trained on, and no recipe changes it."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.select.definition import Recipe, RecipeError, SelectsNothing, parse
from biomedica_assets.lib.select.held_out import build_held_out, held_of
from biomedica_assets.lib.select.recipe import build_recipe
from biomedica_assets.lib.select.splits import MOST_ARTICLES, Held
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.stream import index as stream_index
from biomedica_assets.lib.tables import DUPLICATES, EVALUATION_MATCHES, HELD_OUT, RECIPE
from biomedica_assets_tests.lib.select.lakes import Sample, make_lake, publish

PLOT, MICRO = "kind-plot", "kind-microscopy"
SAMPLES = [
    Sample(
        n,
        article=(1_020_000 if n % 3 == 0 else 1) + n // 2,
        tops=((PLOT,), (MICRO,), (PLOT, MICRO), ())[n % 4],
        width=100 + n % 5,
        license_group="commercial" if n % 7 else "noncommercial",
        confidence=0.3 if n % 11 == 0 else 0.9,
    )
    for n in range(120)
]
RECIPES = (
    "{}",
    "dedup: none",
    "dedup: bytes",
    "decontaminate: false",
    "where: width > 101",
    "licenses: [commercial]",
    "concepts: {include: [microscopy]}",
    "concepts: {balance: 0.5, weights: {chart: 3}}",
    "splits: {validation: 0.5, seed: 7}",
    "seed: 9",
)


def grouped(lake: Lake, groups: list[list[int]]) -> dict[int, list[int]]:
    """Publish duplicates: lists of samples that are the same picture; a sample is in the first list that has it."""
    taken: set[int] = set()
    of: dict[int, list[int]] = {}
    rows: list[dict[str, object]] = []
    for number, group in enumerate(groups):
        members = [n for n in dict.fromkeys(group) if n not in taken]
        taken.update(members)
        of |= dict.fromkeys(members, members)
        rows += [
            {"media_id": SAMPLES[n].media_id, "article_id": SAMPLES[n].article_id, "group": f"g{number}"}
            for n in members
        ]
    publish(lake, DUPLICATES, None, rows)
    return of


def chosen(lake: Lake) -> set[int]:
    return {int(m[1:]) for m in lake.read(HELD_OUT, None)["media_id"]}


def split_of(lake: Lake, text: str) -> dict[int, str]:
    build_recipe(lake, "r", parse(text, "r"), write_index=stream_index.write)
    return {int(k[1:]): s for k, s in lake.read(RECIPE, "r").select("sample_key", "split").iter_rows()}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return make_lake(tmp_path_factory.mktemp("held"), SAMPLES)


@pytest.mark.full
@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 119), min_size=2, max_size=6), max_size=25),
    st.floats(0.05, 0.6),
    st.integers(0, 5),
    st.lists(st.sampled_from(RECIPES), min_size=1, max_size=3, unique=True),
)
def test_nothing_like_a_held_out_picture_is_trained_on_whatever_the_recipe(
    lake: Lake, groups: list[list[int]], share: float, seed: int, texts: list[str]
) -> None:
    of = grouped(lake, groups)
    build_held_out(lake, Held(share, seed))
    before = lake.version(HELD_OUT, None)
    held = chosen(lake)
    like = {twin for n in held for twin in of.get(n, [n])}
    articles = {SAMPLES[n].article_id for n in held}
    for text in texts:
        try:
            split = split_of(lake, text)
        except SelectsNothing:
            continue
        for kind in ("train", "validation"):
            trained = {n for n, s in split.items() if s == kind}
            assert not trained & like, (text, kind)
            assert not {SAMPLES[n].article_id for n in trained} & articles
            assert not {twin for n in trained for twin in of.get(n, [])} & held
        assert lake.version(HELD_OUT, None) == before
    assert build_held_out(lake, Held(share, seed)).data_version == before, "though there are recipes now"


@pytest.mark.parametrize("text", RECIPES)
def test_every_recipe_keeps_the_same_articles_from_training(lake: Lake, text: str) -> None:
    """A recipe of its own seed and shares trained on what another was scored on."""
    of = grouped(lake, [[4, 50], [51, 90, 91], [8, 9]])
    build_held_out(lake, Held(0.3, 0))
    kept = defaultdict(set)
    for n, split in split_of(lake, text).items():
        kept[split == "test"].add(SAMPLES[n].article_id)
    assert kept[True] and kept[False] and not kept[True] & kept[False]
    held_with_twins = {twin for n in chosen(lake) for twin in of.get(n, [n])}
    assert {SAMPLES[n].article_id for n in held_with_twins} >= kept[True]
    assert not kept[False] & {SAMPLES[n].article_id for n in chosen(lake)}


def test_it_holds_one_of_each_group_no_test_image_and_nothing_widespread(tmp_path: Path) -> None:
    samples = [Sample(n, article=n, width=100 + n) for n in range(1, 60)]
    lake = make_lake(tmp_path, samples)
    rows = [{"media_id": f"m{n:04d}", "article_id": f"PMC{n}.1", "group": "m0001"} for n in (1, 2, 3)]
    logo = range(20, 20 + MOST_ARTICLES + 1)
    rows += [{"media_id": f"m{n:04d}", "article_id": f"PMC{n}.1", "group": "logo"} for n in logo]
    publish(lake, DUPLICATES, None, rows)
    publish(lake, EVALUATION_MATCHES, None, [{"media_id": "m0010", "task": "t", "item": "1"}])
    report = build_held_out(lake, Held(1.0, 0))
    expected = set(range(1, 60)) - {1, 2, 10} - set(logo)
    assert {int(m[1:]) for m in lake.read(HELD_OUT, None)["media_id"]} == expected
    assert (report.metrics["left_out_duplicate"], report.metrics["left_out_evaluation"]) == (2, 1)
    assert report.metrics["left_out_widespread"] == len(logo)
    assert report.metrics["samples_of_held_out_articles"] == report.metrics["considered"] == 59


def test_its_concepts_are_sure_ones(lake: Lake) -> None:
    grouped(lake, [])
    build_held_out(lake, Held(1.0, 0))
    rows = {int(m[1:]): c for m, c in lake.read(HELD_OUT, None).select("media_id", "concept").iter_rows()}
    assert all((rows[s.number] is None) == (not s.tops or s.confidence < 0.5) for s in SAMPLES)
    assert {PLOT, MICRO} == set(rows.values()) - {None}


def test_other_articles_do_not_change_what_is_held_out(tmp_path: Path) -> None:
    few = make_lake(tmp_path / "few", SAMPLES[::2], held=Held(0.3, 0))
    many = make_lake(tmp_path / "many", SAMPLES, held=Held(0.3, 0))
    known = {s.number for s in SAMPLES[::2]}
    assert chosen(few) == chosen(many) & known and len(chosen(few)) > 5


def test_a_recipe_without_a_held_out_set_says_what_to_make(tmp_path: Path) -> None:
    lake = make_lake(tmp_path, SAMPLES[:9])
    grouped(lake, [[1, 2]])
    with pytest.raises(StoreError, match="held_out was chosen by other duplicates than there are now"):
        held_of(lake)
    bare = Lake(tmp_path / "bare")
    with pytest.raises(StoreError, match="held_out has not been materialised"):
        held_of(bare)


def test_no_recipe_can_ask_for_a_test_split_of_its_own() -> None:
    with pytest.raises(RecipeError, match=r"unknown field splits\.test"):
        parse("splits: {test: 0.2}", "r")
    assert "test" not in dataclasses.asdict(Held(0.1, 0)) and "test" not in Recipe().model_dump()["splits"]
