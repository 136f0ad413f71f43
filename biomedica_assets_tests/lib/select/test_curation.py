"""Lines of a recipe that thin by caption, by the fit of picture and caption, and by meaning: each with its count."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.select import definition
from biomedica_assets.lib.select.definition import RecipeError, SelectsNothing
from biomedica_assets.lib.select.recipe import build_recipe
from biomedica_assets.lib.select.shelves import build_sample_shelf
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.stream import index as stream_index
from biomedica_assets.lib.tables import CLUSTERS, EMBEDDINGS, PAIR_SCORES, RECIPE
from biomedica_assets_tests.lib.cluster.lakes import put
from biomedica_assets_tests.lib.select.lakes import Sample, make_lake, publish
from biomedica_assets_tests.lib.select.test_language import WRITTEN

CAPTIONS = [*WRITTEN.values(), "a caption", "x" * 40, " two  words ", "one two three four five"]
SAMPLES = [Sample(n, article=n, caption=CAPTIONS[n % len(CAPTIONS)]) for n in range(1, 56)]
CHUNK = SAMPLES[0].chunk


def with_scores(lake: Lake) -> None:
    rows = [{"media_id": s.media_id, "score": s.number / 100} for s in SAMPLES if s.number % 5]
    publish(lake, PAIR_SCORES, CHUNK, rows)


def with_clusters(lake: Lake) -> None:
    """Five clusters, in each directions that repeat after eleven."""
    angle = np.arange(len(SAMPLES)) % 11 * 0.3
    put(lake, EMBEDDINGS, CHUNK, np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float16),
        [s.media_id for s in SAMPLES])  # fmt: skip
    rows = [{"media_id": s.media_id, "cluster": s.number // 11, "distance": s.number} for s in SAMPLES]
    publish(lake, CLUSTERS, CHUNK, rows)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    made = make_lake(tmp_path_factory.mktemp("curation"), SAMPLES)
    with_scores(made)
    with_clusters(made)
    build_sample_shelf(made, CHUNK[:6])
    return made


def build(lake: Lake, text: str) -> Report:
    return build_recipe(lake, "r", definition.parse(text, "r"), write_index=stream_index.write)


def left(report: Report) -> dict[str, int]:
    return {name: int(n or 0) for name, n in report.metrics.items() if name.startswith("left_out") and n}


@pytest.mark.parametrize(
    ("text", "why", "stays"),
    [
        ("captions: {min_words: 3}", "caption_length", lambda s: len(s.caption.split()) >= 3),
        ("captions: {max_words: 2}", "caption_length", lambda s: len(s.caption.split()) <= 2),
        ("captions: {min_chars: 40, max_chars: 90}", "caption_length", lambda s: 40 <= len(s.caption) <= 90),
        ("captions: {languages: [de, fr]}", "caption_language", lambda s: s.caption in (WRITTEN["de"], WRITTEN["fr"])),
        ("min_pair_score: 0.3", "pair_score", lambda s: s.number % 5 > 0 and s.number >= 30),
        ("where: pair_score < 0.3", "where", lambda s: s.number % 5 > 0 and s.number < 30),
    ],
)
def test_each_line_leaves_out_what_it_says_and_counts_it(lake: Lake, text: str, why: str, stays) -> None:
    report = build(lake, text)
    kept = {s.media_id for s in SAMPLES if stays(s)}
    assert set(lake.read(RECIPE, "r")["sample_key"]) == kept
    assert left(report) == {f"left_out_{why}": len(SAMPLES) - len(kept)}


def test_of_pictures_that_say_the_same_the_furthest_from_the_centroid_stays(lake: Lake) -> None:
    report = build(lake, "semantic_dedup: 0.01")
    kept = {int(key[1:]) for key in lake.read(RECIPE, "r")["sample_key"]}
    # directions of a cluster repeat only where its numbers are eleven apart: here none is
    assert kept == {s.number for s in SAMPLES} and not left(report)
    report = build(lake, "semantic_dedup: 0.06")  # directions that stand 0.3 apart have a cosine of 0.955
    kept = {int(key[1:]) for key in lake.read(RECIPE, "r")["sample_key"]}
    assert left(report) == {"left_out_semantic_duplicate": len(SAMPLES) - len(kept)}
    assert {max(n for n in range(1, 56) if n // 11 == c) for c in range(5)} <= kept
    assert len(kept) < len(SAMPLES) / 2


FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "min_words": st.integers(0, 6),
        "max_chars": st.integers(20, 100),
        "languages": st.lists(st.sampled_from(sorted(WRITTEN)), min_size=1, max_size=3),
    },
)
RECIPES = st.fixed_dictionaries(
    {"captions": FIELDS},
    optional={
        "min_pair_score": st.floats(0, 0.5),
        "semantic_dedup": st.floats(0.001, 0.9),
        "where": st.sampled_from(["width >= 100", "pair_score > 0.2", "caption_chars > 30"]),
    },
)


@pytest.mark.full
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(RECIPES)
def test_every_sample_is_kept_or_counted_with_its_reason_and_again_the_same(lake: Lake, fields: dict) -> None:
    recipe = definition.Recipe.model_validate(fields)
    build_again = functools.partial(build_recipe, lake, "p", recipe, write_index=stream_index.write)
    try:
        report = build_again()
    except SelectsNothing as error:
        said = str(error).partition("left out: ")[2].partition(";")[0]
        assert sum(int(part.rpartition(" ")[2]) for part in said.split(", ")) == len(SAMPLES)
        return
    assert report.metrics["considered"] == len(SAMPLES) == report.rows + sum(left(report).values())
    assert build_again().data_version == report.data_version


def test_without_a_model_a_recipe_that_asks_for_scores_waits_and_says_what_to_set(tmp_path: Path) -> None:
    lake = make_lake(tmp_path, SAMPLES)
    with pytest.raises(
        SelectsNothing, match=r"waiting for scores of pairs: .*min_pair_score 0\.3.*set pair_model to one"
    ):
        build(lake, "min_pair_score: 0.3")
    publish(lake, PAIR_SCORES, CHUNK, [])
    build_sample_shelf(lake, CHUNK[:6])
    with pytest.raises(SelectsNothing, match=r"no CLIP model scored any"):
        build(lake, "min_pair_score: 0.3")


def test_without_clusters_a_recipe_that_thins_by_meaning_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=f"semantic_dedup, but embeddings of {CHUNK} is not there"):
        build(make_lake(tmp_path, SAMPLES), "semantic_dedup: 0.1")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("captions: {min_word: 3}", "unknown field captions.min_word .did you mean 'min_words'"),
        ("captions: {min_words: 9, max_words: 3}", "min_words 9 is more than max_words 3"),
        ("captions: {min_chars: -1}", "captions.min_chars = -1"),
        ("captions: {max_words: 2.5}", "captions.max_words = 2.5"),
        ("captions: {languages: [english]}", "captions.languages.0 = 'english'"),
        ("min_pair_score: 28", "min_pair_score = 28"),
        ("min_pair_score: high", "min_pair_score = 'high'"),
        ("semantic_dedup: 0", "semantic_dedup = 0"),
        ("semantic_dedup: 1e-3", "semantic_dedup = '1e-3'"),
        ("semantic_dedup: true", "semantic_dedup = True"),
    ],
)
def test_mistakes_are_named(text: str, says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        definition.parse(text, "recipes/x.yaml")


def test_a_language_nobody_can_tell_is_named_before_anything_is_read(lake: Lake) -> None:
    with pytest.raises(RecipeError, match=r"recipe r: captions\.languages: 'xq' cannot be told"):
        build(lake, "captions: {languages: [xq]}")
