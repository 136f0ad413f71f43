"""Filling a recipe's score tables: values, exclusions, what is computed again and what is not."""

import dataclasses

import polars as pl
import pytest

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.evaluate import retrieval_stage, zero_shot_stage
from biomedica_assets.lib.evaluate.adapters.memory import list_source, retrieval_task
from biomedica_assets.lib.evaluate.models import WeightsMissing
from biomedica_assets.lib.evaluate.probes import ProbeConfig
from biomedica_assets.lib.evaluate.scoring import EvalConfig
from biomedica_assets.lib.evaluate.task import Item
from biomedica_assets.lib.evaluate.zero_shot_stage import comparisons_of
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import RETRIEVAL_SCORES, ZERO_SHOT_SCORES
from biomedica_assets_tests.lib.evaluate.fakes import Opener, colour_items, colour_task, png, spec
from biomedica_assets_tests.support.garbage import take_out

CONFIG = EvalConfig(replicates=50, probe=ProbeConfig(folds=3, neighbours=3, strengths=(1.0,)))
MODELS = (spec("good"), spec("bad", "base"))


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path)


def score(lake, sources, models=MODELS, config=CONFIG, opener=None, stage=zero_shot_stage):
    opener = opener or Opener(wrong=["bad"])
    report = stage.score_recipe(lake, "full", models, sources, config=config, opener=opener)
    return report, opener


def value(lake, model, task, metric, table=ZERO_SHOT_SCORES):
    rows = lake.read(table, "full").filter(model=model, task=task, metric=metric)
    return rows.filter(pl.col("class_name").is_null()).row(0, named=True)


def test_models_are_scored_and_compared(lake):
    report, _ = score(lake, [list_source(colour_task(), colour_items(30))])
    assert value(lake, "good", "colours", "accuracy")["value"] == 1.0
    bad = value(lake, "bad", "colours", "accuracy")
    assert bad["value"] == pytest.approx(1 / 3)
    assert bad["low"] < 1 / 3 < bad["high"]
    assert bad["chance"] == pytest.approx(1 / 3)
    assert value(lake, "bad", "colours", "linear_probe")["value"] == 1.0
    assert (report.n_in, report.n_out, report.reconciles) == (30, 30, True)
    pairs = pl.read_parquet(comparisons_of(lake, "full"), hive_partitioning=False)
    assert pairs.row(0, named=True)["only_a_right"] == 20
    files = {f.path for f in lake.manifest(ZERO_SHOT_SCORES, "full").files}
    assert files == {
        "scores/recipe=full/good/colours.parquet",
        "scores/recipe=full/bad/colours.parquet",
        lake.path_below(comparisons_of(lake, "full")),
    }


def test_equal_input_gives_equal_bytes_in_another_place(tmp_path):
    versions = []
    for name in ("a", "b"):
        lake = Lake(tmp_path / name)
        report, _ = score(lake, [list_source(colour_task(), colour_items(30))])
        versions.append(report.data_version)
    assert versions[0] == versions[1]


def test_only_a_changed_task_or_model_is_computed_again(lake):
    one = list_source(colour_task(name="one"), colour_items(12))
    two = list_source(colour_task(name="two"), colour_items(15))
    first, _ = score(lake, [one, two])
    again, opener = score(lake, [one, two])
    assert opener.opened == []
    assert again.metrics["scores reused"] == 4
    assert again.data_version == first.data_version
    changed = [dataclasses.replace(item, answer=0) for item in colour_items(15)]
    _, opener = score(lake, [one, list_source(colour_task(name="two"), changed)])
    assert opener.opened == ["good", "bad"]
    assert value(lake, "good", "two", "accuracy")["value"] < 0.5
    _, opener = score(lake, [one, two], models=(spec("good"), dataclasses.replace(spec("bad"), digest="new")))
    assert sorted(opener.opened) == ["bad", "good"], "good only for the task that changed back"


def test_a_new_caption_or_setting_makes_a_new_score(lake):
    source = list_source(colour_task(), colour_items(12))
    score(lake, [source])
    _, opener = score(lake, [source], config=dataclasses.replace(CONFIG, seed=9))
    assert opener.opened
    classes = tuple(dataclasses.replace(c, captions=(f"the {c.name}",)) for c in colour_task().classes)
    _, opener = score(lake, [list_source(colour_task(classes=classes), colour_items(12))])
    assert opener.opened


def test_speed_settings_do_not_make_a_new_score(lake):
    source = list_source(colour_task(), colour_items(12))
    score(lake, [source])
    _, opener = score(lake, [source], config=dataclasses.replace(CONFIG, batch_size=3, threads=1))
    assert opener.opened == []


@pytest.mark.parametrize(
    ("items", "says"),
    [
        ([], "empty: the files hold no item"),
        ([Item("a", b"broken", answer=0)], "none of 1 items can be scored; 1 times: image cannot be decoded"),
        ([Item("a", png("red"), answer=9)], "none of 1 items can be scored; 1 times: class index 9"),
    ],
)
def test_a_task_without_usable_items_is_excluded_and_never_zero(lake, items, says):
    good = list_source(colour_task(name="good"), colour_items(9))
    report, _ = score(lake, [list_source(colour_task(name="sad"), items), good])
    rows = lake.read(ZERO_SHOT_SCORES, "full").filter(task="sad")
    assert rows["status"].to_list() == ["excluded", "excluded"]
    assert rows["value"].null_count() == 2
    assert says in rows["reason"][0]
    assert report.reconciles
    assert report.n_rejected == len(items)
    assert value(lake, "good", "good", "accuracy")["value"] == 1.0


def test_a_task_of_one_option_is_excluded(lake):
    task = colour_task(name="one", kind="closed_vqa", classes=())
    items = [Item(f"i{i}", png("red", i), answer=0, options=("red",)) for i in range(5)]
    score(lake, [list_source(task, items)])
    row = lake.read(ZERO_SHOT_SCORES, "full").row(0, named=True)
    assert (row["status"], row["value"]) == ("excluded", None)
    assert "1 option: nothing to choose between" in row["reason"]


@pytest.mark.parametrize(
    ("options", "answer", "says"),
    [
        (("red", "green"), 2, "answer index 2 for 2 options"),
        (("red", "green"), -1, "answer index -1 for 2 options"),
        (("red", " "), 0, "an option is empty"),
        (("red", "red"), 0, "two options have the same text"),
    ],
)
def test_items_with_wrong_options_are_left_out_with_the_reason_and_the_others_scored(lake, options, answer, says):
    task = colour_task(name="vqa", kind="closed_vqa", classes=())
    good = [Item(f"i{i}", png("red", i), answer=0, options=("red", "green")) for i in range(4)]
    report, _ = score(lake, [list_source(task, [*good, Item("odd", png("red", 9), answer=answer, options=options)])])
    row = value(lake, "good", "vqa", "accuracy")
    assert (row["value"], row["n"]) == (1.0, 4)
    assert says in lake.read_rejects(ZERO_SHOT_SCORES, "full")["message"][0]
    assert report.reconciles


def test_a_missing_class_is_named_and_does_not_count_as_zero(lake):
    items = [item for item in colour_items(30) if item.answer != 2]
    score(lake, [list_source(colour_task(), items)])
    row = value(lake, "good", "colours", "balanced_accuracy")
    assert row["value"] == 1.0
    assert "no items of blue" in row["reason"]


def test_broken_images_stay_counted_when_scores_are_reused(lake):
    items = [*colour_items(9), Item("cut", png("red", 50)[:60], answer=0)]
    first, _ = score(lake, [list_source(colour_task(), items)])
    again, opener = score(lake, [list_source(colour_task(), items)])
    assert opener.opened == []
    for report in (first, again):
        assert dict(report.rejects) == {"image_undecodable": 1}
        assert (report.n_in, report.n_out) == (10, 9)


def test_what_left_leaves_no_file_behind(lake):
    score(lake, [list_source(colour_task(name=n), colour_items(9)) for n in ("one", "two")])
    score(lake, [list_source(colour_task(name="one"), colour_items(9))], models=MODELS[:1])
    take_out(lake)
    left = sorted(p.relative_to(lake.root).as_posix() for p in (lake.root / "scores").rglob("*.parquet"))
    assert left == [lake.path_below(comparisons_of(lake, "full")), "scores/recipe=full/good/one.parquet"]


@pytest.mark.parametrize("name", ["../evil", "a/b", "", "."])
def test_names_that_could_leave_the_folder_are_refused(lake, name):
    with pytest.raises(PermanentFailure, match="names must be unique"):
        score(lake, [list_source(colour_task(), colour_items(3))], models=[dataclasses.replace(MODELS[0], name=name)])


def test_two_models_may_not_share_a_name(lake):
    with pytest.raises(PermanentFailure, match="good"):
        score(lake, [list_source(colour_task(), colour_items(3))], models=[MODELS[0], MODELS[0]])


def pairs(n=12):
    colours = ("red", "green", "blue")
    return [Item(f"p{i:02d}", png(colours[i % 3], i), captions=(f"a {colours[i % 3]} thing {i}",)) for i in range(n)]


def test_retrieval_is_scored_both_ways_and_only_it(lake):
    sources = [list_source(retrieval_task("r", "R", domain="d"), pairs()), list_source(colour_task(), colour_items(9))]
    report, _ = score(lake, sources, stage=retrieval_stage)
    rows = lake.read(RETRIEVAL_SCORES, "full")
    assert set(rows["task"]) == {"r"}
    assert rows.filter(model="good", metric="recall_at_10")["value"].to_list() == [1.0, 1.0]
    assert rows.filter(model="good", metric="recall_at_1", direction="image_to_text")["n_tied"][0] == 12
    assert rows.filter(model="good", metric="recall_at_1")["value"].to_list()[0] == 0.0, "equal captions tie"
    assert rows["n_candidates"].unique().to_list() == [12]
    assert report.reconciles
    again, opener = score(lake, sources, stage=retrieval_stage)
    assert opener.opened == []
    assert again.data_version == report.data_version


def test_one_pair_is_nothing_to_search_among(lake):
    score(lake, [list_source(retrieval_task("r", "R", domain="d"), pairs(1))], stage=retrieval_stage)
    rows = lake.read(RETRIEVAL_SCORES, "full")
    assert set(rows["status"]) == {"excluded"}
    assert rows["value"].null_count() == rows.height


class Lacking(Opener):
    """Cannot load some of the models."""

    def __init__(self, lacking):
        super().__init__()
        self.lacking = lacking

    def __call__(self, spec, device, precision):
        if spec.name in self.lacking:
            raise WeightsMissing(f"model {spec.name}: not to be had")
        return super().__call__(spec, device, precision)


@pytest.mark.parametrize("stage", [zero_shot_stage, retrieval_stage])
def test_a_model_of_others_that_cannot_be_had_leaves_out_its_own_line_and_no_other(lake, stage):
    """One name in the setting ``compare`` that the hub does not give once blocked every score of our own."""
    pairs_source = list_source(retrieval_task("search", "S", domain="painting"), pairs())
    sources = [list_source(colour_task(), colour_items(30)), pairs_source]
    models = (*MODELS, spec("gone", "other"), spec("there", "other"), known_missing := spec("unknown", "other"))
    models = (*models[:-1], dataclasses.replace(known_missing, missing="model 'unknown' is none of x"))
    score(lake, sources, models, opener=Lacking(["gone"]), stage=stage)
    table = ZERO_SHOT_SCORES if stage is zero_shot_stage else RETRIEVAL_SCORES
    rows = lake.read(table, "full").filter("primary")
    assert set(rows.filter(status="scored")["model"]) == {"good", "bad", "there"}
    assert dict(rows.filter(status="excluded").select("model", "reason").unique().iter_rows()) == {
        "gone": "model gone: not to be had", "unknown": "model 'unknown' is none of x",
    }  # fmt: skip


def test_a_checkpoint_of_ours_that_cannot_be_had_fails_the_step(lake):
    with pytest.raises(WeightsMissing):
        score(lake, [list_source(colour_task(), colour_items(30))], opener=Lacking(["good"]))
