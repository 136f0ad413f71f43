"""What a recipe is evaluated with, from the tables of the other subjects, through the stages."""

import json

import polars as pl
import pytest

from biomedica_assets import evaluation, settings, test_sets
from biomedica_assets.lib.evaluate import retrieval_stage, zero_shot_stage
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import (
    CAPTIONS,
    CHECKPOINTS,
    HELD_OUT,
    IMAGES,
    RECIPE,
    RETRIEVAL_SCORES,
    TAXONOMY,
    ZERO_SHOT_SCORES,
    Table,
)
from biomedica_assets_tests.lib.evaluate.fakes import Opener, png

CHUNK = "PMC000-0000"
COLOURS = ("red", "green", "blue")


def filled(table: Table, rows):
    """Rows with a plain value in every column that they leave out."""
    plain = {pl.String: "x", pl.Boolean: False, pl.List: []}
    blank = {c.name: None if c.nullable else plain.get(type(c.dtype), 0) for c in table.columns}
    return table.frame([blank | row for row in rows])


@pytest.fixture
def lake(tmp_path):
    lake = Lake(tmp_path)
    ids = [f"m{i:02d}" for i in range(12)]
    for i, name in enumerate(ids):
        (tmp_path / f"{name}.png").write_bytes(png(COLOURS[i % 3], i))
    images = [
        {"media_id": m, "figure_id": f"f{m}", "article_id": f"PMC{i}.1", "path": f"{m}.png", "sha256": m}
        for i, m in enumerate(ids)
    ]
    captions = [{"figure_id": f"f{m}", "caption": f"a {COLOURS[i % 3]} thing {i}"} for i, m in enumerate(ids)]
    recipe = [
        {"sample_key": m, "media_id": m, "article_id": f"PMC{i}.1", "split": "test" if i >= 3 else "train",
         "position": i, "concept": f"kind-{COLOURS[i % 3]}"}
        for i, m in enumerate(ids)
    ]  # fmt: skip
    held_out = [row for row in recipe if row["split"] == "test"]
    taxonomy = [{"concept_id": f"kind-{c}", "label": c} for c in COLOURS]
    checkpoints = [
        {"name": f"full-{role}", "role": role, "best": best, "config": "m.json", "path": f"{role}.safetensors",
         "sha256": role, "samples_seen": seen}
        for role, best, seen in (("base", False, 0), ("interpolated", True, 9), ("trained", False, 9))
    ]  # fmt: skip
    checkpoints.append(checkpoints[1] | {"name": "full-interpolated-0.25", "best": False})
    (tmp_path / "m.json").write_text(json.dumps({}))
    for table, partition, rows, metrics in (
        (IMAGES, CHUNK, images, {}), (CAPTIONS, CHUNK, captions, {}), (RECIPE, "full", recipe, {}),
        (HELD_OUT, None, [{k: row[k] for k in HELD_OUT.schema.names()} for row in held_out], {}),
        (TAXONOMY, None, taxonomy, {}), (CHECKPOINTS, "full", checkpoints, {"flops": 5e9}),
    ):  # fmt: skip
        frame = filled(table, rows)
        lake.publish(table, partition, frame, code_version="t", inputs={}, config={}, n_in=0, n_out=0, metrics=metrics)
    return lake


def test_base_trained_and_best_interpolation_are_evaluated(lake):
    found = {m.name: m.provenance for m in evaluation.models(lake, "full")}
    assert found == {"full-base": "base", "full-interpolated": "interpolated", "full-trained": "ours"}


def test_held_out_articles_become_retrieval_and_classification_by_concept(lake):
    search, kinds = evaluation.held_out(lake)
    assert len(list(search.read())) == 9
    assert [c.name for c in kinds.task.classes] == ["kind-blue", "kind-green", "kind-red"]
    assert {item.group for item in kinds.read()} == {f"PMC{i}.1" for i in range(3, 12)}


def test_held_out_articles_without_concepts_are_only_searched(lake):
    rows = lake.read(HELD_OUT, None).with_columns(concept=pl.lit(None, pl.String()))
    lake.publish(HELD_OUT, None, rows, code_version="t", inputs={}, config={}, n_in=0, n_out=0)
    assert [s.task.kind for s in evaluation.held_out(lake)] == ["retrieval"]


def test_only_the_training_split_counts_as_trained_on(lake):
    assert evaluation.training_images(lake, "full").sort("media_id")["media_id"].to_list() == ["m00", "m01", "m02"]


def test_training_costs_are_those_of_our_models(lake):
    costs = evaluation.costs(lake, ["full", "missing"])
    assert dict(costs.select("model", "compute").iter_rows()) == {"full-interpolated": 5e9, "full-trained": 5e9}


def test_a_recipe_goes_through_both_stages(lake):
    values = settings.load(data_dir=lake.root)
    assert test_sets.ready(values) == []
    opener = Opener(wrong=["full-base"])
    for stage, table in ((zero_shot_stage, ZERO_SHOT_SCORES), (retrieval_stage, RETRIEVAL_SCORES)):
        report = stage.score_recipe(
            lake, "full", evaluation.models(lake, "full"), evaluation.tasks(lake, values),
            config=evaluation.config(values), opener=opener,
        )  # fmt: skip
        assert report.reconciles
        rows = lake.read(table, "full").filter("primary")
        assert set(rows["model"]) == {"full-base", "full-interpolated", "full-trained"}
    kinds = lake.read(ZERO_SHOT_SCORES, "full").filter(pl.col("primary"))
    values = dict(kinds.select("model", "value").iter_rows())
    assert values["full-trained"] == 1.0
    assert values["full-base"] == pytest.approx(1 / 3)
