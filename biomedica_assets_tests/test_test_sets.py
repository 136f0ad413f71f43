"""Test sets of a data directory: where they lie, own suites, and what a changed one makes stale."""

import csv

import polars as pl
import pytest

from biomedica_assets import configs, definitions, evaluation, settings, test_sets
from biomedica_assets.automation.planner import Planner
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.evaluate import retrieval_stage, zero_shot_stage
from biomedica_assets.lib.evaluate.contamination import report_contamination
from biomedica_assets.lib.images.verify import ImageLimits, measure
from biomedica_assets.lib.select import decontamination
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import TABLES, TAXONOMY
from biomedica_assets_tests.lib.evaluate.fakes import COLOURS, Opener, png, spec

SUITE = """
suite: mine
kind: single_label
domain: painting
metric: accuracy
source: {adapter: folder, csv: labels.csv, image: path, label: label}
facts: {classes: ours, captions: ours, size: ours, licence: ours, metric: ours, get: ours}
tasks:
  - name: colours
    templates: ["a {} picture"]
    classes: [red, green, blue]
  - name: pairs
    kind: retrieval
    metric: recall_at_1
    source: {caption: caption}
"""
SCORES = ("evaluation_matches", "zero_shot_scores", "retrieval_scores", "contamination")


@pytest.fixture
def elsewhere(tmp_path):
    """A test set that lies outside of the data directory."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    names = list(COLOURS)
    with (folder / "labels.csv").open("w", newline="") as handle:
        rows = csv.writer(handle)
        rows.writerow(["path", "label", "caption"])
        for i in range(9):
            (folder / f"{i}.png").write_bytes(png(names[i % 3], i, 40))
            rows.writerow([f"{i}.png", names[i % 3], f"thing {i}"])
    return folder


@pytest.fixture
def values(tmp_path, elsewhere):
    tasks = tmp_path / "data" / "tasks"
    tasks.mkdir(parents=True)
    (tasks / "mine.yaml").write_text(SUITE)
    (tasks / "places.yaml").write_text(f"mine: {elsewhere}\n")
    return settings.Settings(data_dir=tmp_path / "data")


def make(values):
    """Fill what tests shape, as the assets do."""
    lake, recorded = Lake(values.data_dir), test_sets.recorded(values)
    images = [(s.task.name, i.item_id, i.image) for s in test_sets.ready(values) for i in s.read()]
    tests, rejects = decontamination.hash_test_images(images, lambda data: measure(data, ImageLimits(min_side=1)))
    decontamination.build_evaluation_matches(lake, tests, rejects=rejects, recorded=recorded)
    if lake.manifest(TAXONOMY, None) is None:
        lake.publish(TAXONOMY, None, TAXONOMY.empty(), code_version="t", inputs={}, config={}, n_in=0, n_out=0)
    for stage in (zero_shot_stage, retrieval_stage):
        stage.score_recipe(
            lake, "full", [spec("m")], test_sets.ready(values), config=evaluation.config(values), opener=Opener(),
            recorded=evaluation.recorded_scores(values, stage.KINDS),
        )  # fmt: skip
    report_contamination(
        lake, "full", pl.DataFrame(schema={"media_id": str, "sha256": str}), test_sets.ready(values),
        matches=lake.read(TABLES["evaluation_matches"], None), recorded=evaluation.recorded(values),
    )  # fmt: skip


def why(values, asset):
    """What the planner says of settings, that is, not of inputs that this test did not make."""
    graph = definitions.build(values).resolve_asset_graph()
    planner = Planner(graph, Lake(values.data_dir), configs.expected(values), lambda: ["full"])
    partition = "full" if TABLES[asset].partitioning == "recipe" else None
    return [str(r) for r in planner.reasons(asset, partition) if r.cause in ("settings", "missing")]


def stale(values):
    return {asset: said for asset in SCORES if (said := why(values, asset))}


def test_what_tests_shape_is_current_after_it_was_made(values):
    make(values)
    assert stale(values) == {}


def test_a_changed_image_of_a_test_makes_its_scores_stale_until_they_are_made_again(values, elsewhere):
    make(values)
    (elsewhere / "4.png").write_bytes(png("blue", 77, 40))
    found = stale(values)
    assert set(found) == set(SCORES)
    assert all("test set colours" in " ".join(found[asset]) for asset in SCORES if asset != "retrieval_scores")
    assert [line.split(":")[1].strip() for line in found["retrieval_scores"]] == ["test set pairs"]
    make(values)
    assert stale(values) == {}


def test_a_changed_label_makes_only_that_kind_of_score_stale(values, elsewhere):
    make(values)
    labels = elsewhere / "labels.csv"
    labels.write_text(labels.read_text().replace("0.png,red", "0.png,blue"))
    assert "retrieval_scores" not in stale(values)
    assert "test set colours" in stale(values)["zero_shot_scores"][0]


def test_changed_captions_of_a_suite_make_its_scores_stale(values):
    make(values)
    suite = values.data_dir / "tasks" / "mine.yaml"
    suite.write_text(suite.read_text().replace("a {} picture", "picture of something {}"))
    assert "zero_shot_scores" in stale(values)
    assert "retrieval_scores" not in stale(values)


def test_changed_labels_of_your_own_make_classification_stale(values):
    folder = values.data_dir / "tasks" / "held_out"
    folder.mkdir()
    (folder / "kind.yaml").write_text("{title: Kind, captions: {a: [a], b: [b]}}")
    (folder / "kind.csv").write_text("media_id,label\nm1,a\n")
    make(values)
    assert stale(values) == {}
    (folder / "kind.csv").write_text("media_id,label\nm1,b\n")
    assert set(stale(values)) == {"zero_shot_scores", "contamination"}
    assert "labels kind" in stale(values)["zero_shot_scores"][0]


def test_a_test_set_that_arrives_makes_the_matches_stale_and_then_the_recipes_that_leave_them_out(values):
    places = values.data_dir / "tasks" / "places.yaml"
    said = places.read_text()
    places.unlink()
    make(values)
    assert stale(values) == {}
    places.write_text(said)
    assert "test set colours: None -> " in " ".join(stale(values)["evaluation_matches"])
    graph = definitions.build(values).resolve_asset_graph()
    planner = Planner(graph, Lake(values.data_dir), configs.expected(values), lambda: ["full"])
    assert {"recipe", "checkpoints", "zero_shot_scores"} <= planner.descendants(["evaluation_matches"])


def test_matches_with_other_content_make_the_recipe_stale(values):
    """The recipe compares data versions: other matches, not merely another test set, make it out of date."""
    make(values)
    lake, table, recipe = Lake(values.data_dir), TABLES["evaluation_matches"], TABLES["recipe"]
    lake.publish(
        recipe, "full", recipe.empty(), code_version="t", inputs=lake.inputs((table, None)), config={}, n_in=0, n_out=0
    )

    def inputs():
        graph = definitions.build(values).resolve_asset_graph()
        planner = Planner(graph, lake, configs.expected(values), lambda: ["full"])
        return [str(r) for r in planner.reasons("recipe", "full") if "evaluation_matches" in str(r)]

    assert inputs() == []
    row = {"media_id": "m1", "article_id": "PMC1.1", "task": "colours", "item": "0.png", "match": "bytes"}
    found = table.frame([row | {"distance": 0, "orientation": 0, "correlation": None}])
    kept = lake.manifest(table, None)
    lake.publish(
        table, None, found, code_version=kept.code_version, inputs=kept.inputs, config=kept.config, n_in=1, n_out=1
    )
    assert inputs() == ["input_changed: evaluation_matches"]


def test_a_test_set_that_cannot_be_read_is_stale_with_the_error_as_the_reason(values, elsewhere):
    make(values)
    (elsewhere / "labels.csv").write_text("picture,answer\n")
    (reason,) = why(values, "zero_shot_scores")
    assert reason.startswith("settings: test set colours: ")
    assert "has no column label, path" in reason
    with pytest.raises(PermanentFailure, match="has no column"):
        make(values)


def test_tasks_lie_where_places_says_relative_to_its_folder(values, elsewhere):
    (values.data_dir / "tasks" / "places.yaml").write_text("colours: ../../elsewhere\n")
    found = {s.task.name: s for s in test_sets.statuses(values) if s.task.suite == "mine"}
    assert found["colours"].ready
    assert not found["pairs"].ready


def test_ready_means_read_and_not_that_a_file_is_there(values, elsewhere):
    """A task whose table lacks a column, or whose pictures are no pictures, has its files and cannot be scored."""
    (values.data_dir / "tasks" / "places.yaml").write_text("colours: ../../elsewhere\n")

    def colours():
        return next(s for s in test_sets.checked(values) if s.task.name == "colours")

    assert colours().ready
    (elsewhere / "labels.csv").write_text("picture,answer\n")
    assert not colours().ready and "they cannot be read" in colours().missing and "has no column" in colours().missing


@pytest.mark.parametrize(
    ("text", "says"),
    [("nowhere: /tmp", "nowhere is no suite or task"), ("- a", "expected lines"), ("{a: [", "is not YAML")],
)
def test_places_that_cannot_be_meant_are_refused_with_the_file(values, text, says):
    (values.data_dir / "tasks" / "places.yaml").write_text(text)
    with pytest.raises(PermanentFailure, match=rf"places\.yaml.*{says}"):
        test_sets.statuses(values)


def test_the_version_in_a_manifest_is_that_of_the_data_in_the_table(values):
    make(values)
    lake = Lake(values.data_dir)
    config = lake.manifest(TABLES["zero_shot_scores"], "full").config
    assert config["test set colours"] == test_sets.recorded(values)["test set colours"]


def test_a_model_to_compare_with_makes_scores_stale_and_only_scores(values):
    make(values)
    beside = values.model_copy(update={"compare": ("ViT-B-32@random",)})
    assert set(stale(beside)) == {"zero_shot_scores", "retrieval_scores"}
    assert "compare: None -> 'ViT-B-32@random'" in " ".join(stale(beside)["zero_shot_scores"])
    assert [spec.provenance for spec in evaluation.compared(beside)] == ["other"]
