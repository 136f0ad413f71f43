"""The stage: what is selected, what is left out and why, and that the stream reads exactly the list."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import pytest

from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.select import catalog_view, definition
from biomedica_assets.lib.select.definition import Recipe, RecipeError
from biomedica_assets.lib.select.held_out import build_held_out
from biomedica_assets.lib.select.recipe import build_recipe
from biomedica_assets.lib.select.splits import Held
from biomedica_assets.lib.store import catalog
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.stream import index as stream_index
from biomedica_assets.lib.stream.find import find_index
from biomedica_assets.lib.stream.index import Index
from biomedica_assets.lib.stream.virtual import Selection
from biomedica_assets.lib.tables import DUPLICATES, EVALUATION_MATCHES, RECIPE
from biomedica_assets_tests.lib.select.lakes import Sample, make_lake, publish
from biomedica_assets_tests.lib.stream.conftest import keys_in_order
from biomedica_assets_tests.lib.stream.test_virtual import tar_of
from biomedica_assets_tests.support.garbage import take_out

PLOT, MICRO = "kind-plot", "kind-microscopy"
SAMPLES = [
    *(Sample(n, article=n, tops=(PLOT,), local=("kind-bar-plot",)) for n in range(1, 41)),
    *(Sample(n, article=n, tops=(MICRO,), width=400) for n in range(41, 49)),
    *(Sample(n, article=1_020_000 + n, tops=(MICRO, PLOT), license_group="noncommercial") for n in range(49, 53)),
    *(Sample(n, article=1_020_000 + n, confidence=0.2, tops=(MICRO,), caption="unsure") for n in range(53, 56)),
    *(Sample(n, article=1_020_000 + n) for n in range(56, 60)),
]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return make_lake(tmp_path, SAMPLES)


def build(lake: Lake, text: str = "", name: str = "r") -> Report:
    return build_recipe(lake, name, definition.parse(text or "{}", name), write_index=stream_index.write)


def selected(lake: Lake, name: str = "r") -> set[int]:
    return {int(key[1:]) for key in lake.read(RECIPE, name)["sample_key"]}


def numbers(*ranges: range) -> set[int]:
    return {n for r in ranges for n in r}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", numbers(range(1, 60))),
        ("where: width >= 400", numbers(range(41, 49))),
        ("where: caption = 'unsure' or list_contains(local, 'kind-bar-plot')", numbers(range(1, 41), range(53, 56))),
        ("where: kind = 'figure' and year = 2020 and position = 3", numbers(range(1, 60))),
        ("licenses: [noncommercial]", numbers(range(49, 53))),
        ("concepts: {include: [microscopy]}", numbers(range(41, 56))),
        ("concepts: {include: [Bar plot]}", numbers(range(1, 41))),
        ("concepts: {include: [microscopy], min_confidence: 0.5}", numbers(range(41, 53))),
        ("concepts: {exclude: [chart]}", numbers(range(41, 49), range(53, 60))),
        ("concepts: {include: [histology, kind-plot], exclude: [microscopy]}", numbers(range(1, 41))),
    ],
)
def test_what_is_asked_for_is_selected(lake: Lake, text: str, expected: set[int]) -> None:
    report = build(lake, text)
    assert selected(lake) == expected
    left_out = sum(int(n or 0) for name, n in report.metrics.items() if name.startswith("left_out"))
    assert report.metrics["considered"] == len(SAMPLES) == len(expected) + left_out


def test_balance_caps_every_concept_alike_and_keeps_small_ones_whole(lake: Lake) -> None:
    report = build(lake, "concepts: {balance: 0.6}")
    counts = Counter(lake.read(RECIPE, "r")["concept"])
    assert counts == {MICRO: 15, PLOT: 18}
    assert (report.metrics["left_out_unlabelled"], report.metrics["left_out_cap"]) == (4, 22)


def test_caps_and_weights_take_names_and_hold(lake: Lake) -> None:
    build_held_out(lake, Held(0, 0))
    build(lake, "{concepts: {caps: {chart: 10}, weights: {microscopy: 2}}, splits: {validation: 0}}")
    frame = lake.read(RECIPE, "r")
    assert Counter(frame["concept"]) == {PLOT: 10, MICRO: 15, None: 4}
    assert set(frame.filter(concept=MICRO)["repeat"]) == {2}
    assert Counter(_streamed(lake, "train")) == Counter(dict(frame.select("sample_key", "repeat").iter_rows()))


def test_weights_leave_held_out_splits_alone(lake: Lake) -> None:
    build_held_out(lake, Held(0.3, 0))
    build(lake, "{concepts: {weights: {chart: 0, microscopy: 2}}, splits: {validation: 0.4}}")
    frame = lake.read(RECIPE, "r")
    held_out, train = frame.filter(frame["split"] != "train"), frame.filter(split="train")
    assert set(held_out["repeat"]) == {1}
    assert PLOT in set(held_out["concept"])
    assert PLOT not in set(train["concept"])


def _streamed(lake: Lake, split: str, of: int = 3, name: str = "r") -> list[str]:
    index = Index(find_index(lake.root, name))
    shards = (tar_of(index, lake.root, Selection(split=split, shard=n, of=of)) for n in range(of))
    return [key for shard in shards for key in keys_in_order(shard)]


def test_the_stream_of_each_split_is_the_list(lake: Lake) -> None:
    build_held_out(lake, Held(0.2, 0))
    build(lake, "splits: {validation: 0.2}")
    frame = lake.read(RECIPE, "r")
    for split in ("train", "validation", "test"):
        assert sorted(_streamed(lake, split)) == sorted(frame.filter(split=split)["sample_key"])
        assert frame.filter(split=split).height > 0


def test_one_of_each_duplicate_group_stays_the_largest(tmp_path: Path) -> None:
    samples = [Sample(1, width=100), Sample(2, article=2, width=300), Sample(3, article=3), Sample(4, article=4)]
    samples[3] = dataclasses.replace(samples[3], sha256="a" * 64)
    samples.append(Sample(5, article=5, sha256="a" * 64))
    lake = make_lake(tmp_path, samples)
    rows = [{"media_id": f"m000{n}", "article_id": f"PMC{n}.1", "group": "m0001"} for n in (1, 2, 3)]
    publish(lake, DUPLICATES, None, rows)
    with pytest.raises(StoreError, match="held_out was chosen by other duplicates"):
        build(lake)
    build_held_out(lake, Held(0, 0))
    build(lake)
    assert selected(lake) == {2, 4, 5}, "near takes the groups of the table"
    build(lake, "dedup: bytes")
    assert selected(lake) == {1, 2, 3, 4}
    build(lake, "dedup: pixels")
    assert selected(lake) == {1, 2, 3, 4, 5}
    build(lake, "dedup: none")
    assert selected(lake) == {1, 2, 3, 4, 5}
    frame = lake.read(RECIPE, "r")
    assert frame.filter(frame["sample_key"].is_in(["m0001", "m0002", "m0003"]))["split"].n_unique() == 1


def test_images_of_evaluation_tasks_are_left_out_unless_asked_for(lake: Lake) -> None:
    publish(lake, EVALUATION_MATCHES, None, [{"media_id": "m0007", "task": "t", "item": str(n)} for n in (1, 2)])
    assert build(lake).metrics["left_out_evaluation"] == 1
    assert 7 not in selected(lake)
    build(lake, "decontaminate: false")
    assert 7 in selected(lake)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("concepts: {include: [microscpy]}", "no concept 'microscpy' .did you mean 'microscopy'"),
        ("concepts: {caps: {bar plot: 3}}", "belongs to 'plot or chart'"),
        ("where: widht > 1", "recipe r: where: there is no column 'widht' .did you mean 'width'"),
        ("where: width > 100000", "selects none of 59 samples; left out: left_out_where 59"),
    ],
)
def test_mistakes_are_named(lake: Lake, text: str, says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        build(lake, text)
    assert lake.manifest(RECIPE, "r") is None


def test_labels_are_needed_only_by_recipes_that_name_concepts(tmp_path: Path) -> None:
    lake = make_lake(tmp_path, SAMPLES, labels=False)
    build(lake)
    assert selected(lake) == numbers(range(1, 60))
    with pytest.raises(StoreError, match="figure_labels"):
        build(lake, "concepts: {include: [microscopy]}")


def test_equal_inputs_give_equal_bytes_and_old_indexes_stay_for_their_readers(lake: Lake) -> None:
    first = build(lake, "concepts: {balance: 0.5}").data_version
    path = find_index(lake.root, "r")
    data = path.read_bytes()
    build(lake)
    assert path.read_bytes() == data
    assert build(lake, "concepts: {balance: 0.5}").data_version == first
    assert path.read_bytes() == data
    take_out(lake)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["full", "balanced", "filtered"])
def test_shipped_recipes_build_and_show_what_they_took(lake: Lake, name: str) -> None:
    recipe: Recipe = definition.load(name)
    report = build_recipe(lake, name, recipe, write_index=stream_index.write)
    assert report.rows == report.n_in == report.n_out == len(selected(lake, name)) > 0
    assert report.pictures[0].data.startswith(b"\x89PNG")
    manifest = lake.manifest(RECIPE, name)
    assert manifest is not None
    assert manifest.config == recipe.model_dump(mode="json")
    assert set(manifest.inputs) == {
        *("sample_shelf@PMC000", "sample_shelf@PMC001", "duplicates", "evaluation_matches", "held_out", "taxonomy")
    }


def test_the_view_of_the_catalog_has_the_columns_and_rows_that_recipes_see(lake: Lake) -> None:
    with catalog.connect(lake) as connection:
        connection.execute(catalog_view.view_sql())
        names = [row[0] for row in connection.execute("describe samples").fetchall()]
        wide = connection.execute("select sample_key from samples where width >= 400 and kind = 'figure'").fetchall()
    assert names == list(catalog_view.BY_NAME)
    build(lake, "where: width >= 400 and kind = 'figure'")
    assert {int(key[1:]) for (key,) in wide} == selected(lake)


def test_every_column_of_the_view_says_what_it_means() -> None:
    assert all(column.meaning for column in catalog_view.COLUMNS)
    assert len(catalog_view.BY_NAME) == len(catalog_view.COLUMNS), "a name came twice"
