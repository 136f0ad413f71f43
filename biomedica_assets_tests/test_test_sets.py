"""Test sets of a data directory: where they lie, own suites, and what a changed one makes stale."""

import csv
import shutil

import polars as pl
import pytest

from biomedica_assets import cli, configs, definitions, evaluation, settings, test_sets
from biomedica_assets.automation.planner import Planner
from biomedica_assets.lib.errors import PermanentFailure, Reject
from biomedica_assets.lib.evaluate import retrieval_stage, zero_shot_stage
from biomedica_assets.lib.evaluate.contamination import report_contamination
from biomedica_assets.lib.evaluate.index import index_or_fault
from biomedica_assets.lib.evaluate.task import Item
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
    tests, rejects = decontamination.look_at_test_images(
        test_sets.images(values), lambda data: measure(data, ImageLimits(min_side=1))
    )
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
    found = table.frame([row | {"orientation": 0}])
    kept = lake.manifest(table, None)
    lake.publish(
        table, None, found, code_version=kept.code_version, inputs=kept.inputs, config=kept.config, n_in=1, n_out=1
    )
    assert inputs() == ["input_changed: evaluation_matches"]


def test_a_test_set_that_cannot_be_read_is_left_out_by_name_until_it_can_be(values, elsewhere):
    """The rest is scored, nothing that is made without it is held up, and mending it makes it all stale."""
    make(values)
    kept = (elsewhere / "labels.csv").read_text()
    (elsewhere / "labels.csv").write_text("picture,answer\n")
    (reason,) = why(values, "zero_shot_scores")
    assert reason.startswith("settings: test set colours: ")
    assert "has no column label, path" in reason
    other = values.data_dir / "tasks" / "other.yaml"
    other.write_text(SUITE.replace("suite: mine", "suite: other").replace("name: ", "name: other_"))
    (values.data_dir / "tasks" / "places.yaml").write_text(f"mine: {elsewhere}\nother: {elsewhere / 'copy'}\n")
    shutil.copytree(elsewhere, elsewhere / "copy")
    (elsewhere / "copy" / "labels.csv").write_text(kept)
    make(values)
    assert stale(values) == {}
    lake = Lake(values.data_dir)
    scores = lake.read(TABLES["zero_shot_scores"], "full").filter("primary")
    assert dict(scores.select("task", "status").iter_rows()) == {"colours": "excluded", "other_colours": "scored"}
    assert "has no column label, path" in scores.filter(task="colours")["reason"][0]
    for asset in ("zero_shot_scores", "evaluation_matches"):
        table, partition = TABLES[asset], "full" if asset == "zero_shot_scores" else None
        left_out = lake.read_rejects(table, partition).filter(reason="task_unreadable")
        assert set(left_out["article_id"]) >= {"colours"}
        manifest = lake.manifest(table, partition)
        assert manifest.n_in == manifest.n_out + sum(manifest.rejects.values())
    (elsewhere / "labels.csv").write_text(kept)
    assert "test set colours: 'cannot be read: " in " ".join(stale(values)["evaluation_matches"])


BROKEN = {
    "mine.yaml": ["suite: [", "- a list", "suite: s\ntasks: 5\n", "suite: s\ntasks: [{name: x}]\n", "\udce9", ""],
    "places.yaml": ["nowhere: /tmp", "- a", "{a: [", "\udce9: b"],
    "held_out/kind.yaml": ["{", "title: x", "captions: 3", "captions: {a: 1, b: 2}", "captions: {a: [x]}", "\udce9"],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in BROKEN.items() for text in texts])
def test_a_description_that_cannot_be_read_is_left_out_by_name(values, name, text):
    good = values.data_dir / "tasks" / "good.yaml"
    good.write_text(SUITE.replace("suite: mine", "suite: good").replace("name: ", "name: good_"))
    shutil.copytree(values.data_dir.parent / "elsewhere", values.data_dir / "tasks" / "good")
    path = values.data_dir / "tasks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    recorded = evaluation.recorded(values)
    assert {"test set good_colours", "test set good_pairs"} <= set(recorded)
    assert "evaluation_matches" in stale(values)
    by_hand = evaluation.labelled_by_hand(Lake(values.data_dir), PAIRS)
    sources = [*test_sets.ready(values), *by_hand]
    indices = {s.task.name: index_or_fault(s) for s in sources}
    assert indices["good_colours"].fault is None
    (fault,) = [index.fault for index in indices.values() if index.fault]
    assert str(path) in fault
    if "held_out" not in name:
        assert any(str(path) in status.missing for status in test_sets.all_statuses(values))
        assert any("cannot be read" in version for version in recorded.values())


PAIRS = pl.DataFrame(
    {"item_id": ["m1"], "path": ["m1.png"], "caption": ["c"], "group": ["PMC1.1"]},
    schema={"item_id": str, "path": str, "caption": str, "group": str},
)


def test_rows_of_labels_of_your_own_that_cannot_be_read_are_left_out_with_their_line(values):
    folder = values.data_dir / "tasks" / "held_out"
    folder.mkdir()
    (values.data_dir / "m1.png").write_bytes(png("red", 1))
    (folder / "kind.yaml").write_text("{title: Kind, captions: {a: [a], b: [b]}}")
    (folder / "kind.csv").write_bytes(b"media_id,label,note\nm1,a,x\nm1\nm1,\xe9,x\nm2,a,x\nm1,z,x\n")
    (source,) = evaluation.labelled_by_hand(Lake(values.data_dir), PAIRS)
    found = list(source.read())
    assert [i.item_id for i in found if isinstance(i, Item)] == ["m1"]
    assert [r.message.partition(": ")[0] for r in found if isinstance(r, Reject)] == [
        "kind.csv line 3", "kind.csv line 4", "kind.csv line 6",
    ]  # fmt: skip
    assert test_sets.recorded_labels(values)["labels kind"]
    (folder / "kind.csv").unlink()
    (source,) = evaluation.labelled_by_hand(Lake(values.data_dir), PAIRS)
    assert "kind.csv cannot be read" in index_or_fault(source).fault


def test_commands_name_bad_test_sets_and_go_on(values, elsewhere, capsys):
    """No command ends in a traceback, a run of the graph makes the decontamination, and the bad sets are named."""
    tasks = values.data_dir / "tasks"
    (elsewhere / "labels.csv").write_bytes(b"path,label,caption\n0.png,red,a\n1.png\n2.png,\xe9,b\n3.png,red,c\n")
    (tasks / "bad.yaml").write_text(SUITE.replace("suite: mine", "suite: bad").replace("name: ", "name: bad_"))
    (tasks / "bad").mkdir()
    (tasks / "bad" / "labels.csv").write_bytes("path,label\n".encode("utf-16"))
    (tasks / "worse.yaml").write_text("suite: [")

    def biomedica(*arguments):
        assert cli.main([*arguments, "--data-dir", str(values.data_dir)]) == 0
        return capsys.readouterr().out

    said = biomedica("tasks", "--how")
    assert "is UTF-16; save it as UTF-8" in said
    assert "worse.yaml" in said
    biomedica("status")
    assert "evaluation_matches" in biomedica("stale", "--select", "evaluation_matches")
    biomedica("run", "--select", "evaluation_matches")
    left_out = Lake(values.data_dir).read_rejects(TABLES["evaluation_matches"], None).filter(reason="task_unreadable")
    assert set(left_out["article_id"]) == {"bad_colours", "bad_pairs", "file.worse-yaml"}
    biomedica("refresh", "--select", "evaluation_matches", "--dry-run")
    assert "evaluation_matches" not in biomedica("stale", "--select", "evaluation_matches")


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


def test_a_task_with_some_bad_items_is_ready_and_says_so_and_with_most_of_them_bad_it_is_not(values, elsewhere):
    (values.data_dir / "tasks" / "places.yaml").write_text("colours: ../../elsewhere\n")

    def colours():
        return next(s for s in test_sets.checked(values) if s.task.name == "colours")

    whole = (elsewhere / "labels.csv").read_text().splitlines()
    assert colours().ready and colours().note == ""
    (elsewhere / "labels.csv").write_text("\n".join([*whole, "gone.png,red,x", whole[1].replace("red", "nan")]))
    n = len(whole) + 1
    assert colours().ready and f"2 of the first {n} items of colours cannot be used; the first: " in colours().note
    assert "there is no image gone.png" in colours().note
    (elsewhere / "labels.csv").write_text("\n".join([whole[0], whole[1], *["gone.png,nan,x"] * 3]))
    assert not colours().ready and "3 of the first 4 items of colours cannot be used" in colours().missing
    (elsewhere / "labels.csv").write_text("\n".join(whole))
    for path in elsewhere.glob("*.png"):
        path.write_bytes(path.read_bytes()[:60])
    assert not colours().ready and "its picture cannot be decoded" in colours().missing


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
