"""The leaderboard: fair means, published numbers apart, pages that say everything."""

import shutil

import polars as pl
import pytest

from biomedica_assets.lib.evaluate import leaderboard, leaderboard_page, retrieval_stage, zero_shot_stage
from biomedica_assets.lib.evaluate.adapters.memory import list_source, retrieval_task
from biomedica_assets.lib.evaluate.adapters.opening import TaskRoots, task_status
from biomedica_assets.lib.evaluate.contamination import report_contamination
from biomedica_assets.lib.evaluate.index import image_digest
from biomedica_assets.lib.evaluate.leaderboard_stage import publish_leaderboard
from biomedica_assets.lib.evaluate.registry import load_registry
from biomedica_assets.lib.evaluate.scoring import EvalConfig
from biomedica_assets.lib.evaluate.significance import SCHEMA
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import (
    CONTAMINATION,
    EVALUATION_MATCHES,
    LEADERBOARD,
    RETRIEVAL_SCORES,
    ZERO_SHOT_SCORES,
)
from biomedica_assets_tests.lib.evaluate.fakes import Opener, colour_items, colour_task, spec
from biomedica_assets_tests.lib.evaluate.test_stages import pairs

CONFIG = EvalConfig(replicates=50, with_probes=False)
COSTS = pl.DataFrame({"recipe": ["full"], "model": ["good"], "compute": [1e15], "samples_seen": [5]})


@pytest.fixture
def lake(tmp_path):
    lake = Lake(tmp_path)
    sources = [
        list_source(colour_task(name="one", domain="painting"), colour_items(30)),
        list_source(colour_task(name="two", domain="drawing"), colour_items(21)),
        list_source(colour_task(name="hollow"), []),
        list_source(retrieval_task("search", "S", domain="painting"), pairs()),
    ]
    models = (spec("good"), spec("bad", "base"))
    opener = Opener(wrong=["bad"])
    for stage in (zero_shot_stage, retrieval_stage):
        stage.score_recipe(lake, "full", models, sources, config=CONFIG, opener=opener)
    trained = pl.DataFrame({"media_id": ["m1"], "sha256": [image_digest(colour_items(1)[0].image)]})
    report_contamination(lake, "full", trained, sources)
    return lake


def test_means_are_over_the_tasks_that_all_models_have(lake):
    publish_leaderboard(lake)
    board = lake.read(LEADERBOARD, None)
    overall = board.filter(name=f"{leaderboard.PUBLIC}, accuracy")
    assert dict(overall.select("model", "value").iter_rows()) == pytest.approx({"good": 1.0, "bad": 1 / 3})
    assert overall["n_tasks"].to_list() == [2, 2]
    assert set(board.filter((pl.col("scope") == "domain") & (pl.col("provenance") != "published"))["name"]) == {
        "painting, accuracy", "drawing, accuracy",
    }  # fmt: skip


def test_a_model_that_lacks_a_task_takes_it_out_of_everyones_mean():
    rows = [("r", "a", "x", 0.9), ("r", "a", "y", 0.1), ("r", "b", "x", 0.5)]
    scores = pl.DataFrame(rows, schema=["recipe", "model", "name", "value"], orient="row")
    assert leaderboard.common_tasks(scores) == ["x"]


def _score(model, task, metric, value, domain="pathology", provenance="ours", status="scored"):
    number = {"value": value, "low": value, "high": value, "se": 0.01, "chance": 0.5} if value is not None else {}
    blank = {"value": None, "low": None, "high": None, "se": None, "chance": None}
    return ZERO_SHOT_SCORES.frame([
        dict.fromkeys(ZERO_SHOT_SCORES.schema.names()) | blank | number | {
            "recipe": "full", "model": model, "provenance": provenance, "task": task, "metric": metric, "primary": True,
            "domain": domain, "status": status, "suite": "s", "title": task, "task_kind": "single_label", "n": 9,
            "n_groups": 9, "model_digest": "d", "data_digest": "d", "score_key": "k",
        }
    ])  # fmt: skip


def _board(*rows):
    scores = pl.concat([row.with_columns(recipe=pl.lit("full")) for row in rows])
    nothing = RETRIEVAL_SCORES.empty().with_columns(recipe=pl.lit(None, pl.String()))
    overlap = CONTAMINATION.empty().with_columns(recipe=pl.lit(None, pl.String()))
    board = leaderboard.build(scores, nothing, overlap, COSTS.clear())
    return board.filter(pl.col("provenance") != "published")


def test_averages_are_over_one_metric_and_own_tasks_stay_apart():
    """Percent of accuracy and of AUROC are not one scale, and own articles are not a public benchmark."""
    board = _board(
        _score("a", "x", "accuracy", 0.2), _score("a", "y", "accuracy", 0.4), _score("a", "z", "macro_auroc", 0.9),
        _score("a", "held_out_kinds", "accuracy", 1.0, domain=leaderboard.OWN),
    )  # fmt: skip
    overall = dict(board.filter(scope="overall").select("name", "value").iter_rows())
    assert overall == pytest.approx(
        {"public tasks, accuracy": 0.3, "public tasks, macro auroc": 0.9, "own articles, accuracy": 1.0}
    )
    assert set(board.filter(scope="domain")["name"]) == {"pathology, accuracy", "pathology, macro auroc"}
    assert leaderboard.main_average(board) == "public tasks, accuracy"


def test_a_data_set_counts_once_however_many_tasks_were_cut_from_it():
    """Lung and colon of LC25000 are one data set, and the released copy of it is the same again."""
    board = _board(
        _score("a", "lc25000_lung", "accuracy", 0.2), _score("a", "lc25000_colon", "accuracy", 0.4),
        _score("a", "evalset_lc25000.lung", "accuracy", 0.6), _score("a", "chexpert", "accuracy", 1.0),
    )  # fmt: skip
    row = board.filter(name="public tasks, accuracy").row(0, named=True)
    assert row["value"] == pytest.approx((0.4 + 1.0) / 2)
    assert row["n_tasks"] == 4


def test_every_task_that_datasets_name_is_registered_or_a_part_of_one():
    import fnmatch
    import importlib.resources

    import yaml

    text = (importlib.resources.files("biomedica_assets.lib.evaluate") / "datasets.yaml").read_text()
    known = list(load_registry())
    for names in yaml.safe_load(text).values():
        for name in names:
            expanded = name.startswith("evalset_") and any(name.startswith(task) for task in known)
            assert expanded or fnmatch.filter(known, name), name


def test_a_model_without_any_value_takes_no_task_out_of_the_others_means():
    """It could not be had: it leaves out its own line and no other."""
    board = _board(
        _score("a", "x", "accuracy", 0.2),
        _score("b", "x", "accuracy", None, provenance="other", status="excluded"),
    )
    assert board.filter(name="public tasks, accuracy")["model"].to_list() == ["a"]


def test_published_numbers_carry_their_citation_and_stay_out_of_our_means(lake):
    publish_leaderboard(lake)
    board = lake.read(LEADERBOARD, None)
    published = board.filter(provenance="published")
    assert published["citation"].null_count() == 0
    assert published["recipe"].null_count() == published.height
    assert board.filter(pl.col("provenance") != "published")["citation"].null_count() > 0
    row = published.filter(model="BMCA-CLIP CF + WiSE-FT", name="mu-Bench coarse").row(0, named=True)
    assert row["value"] == pytest.approx(0.5854, abs=1e-4)
    assert published.filter(model="BiomedCLIP", name="microbench_coarse_stain")["value"][0] == 0.4974


def test_what_was_trained_on_is_shown_for_our_model_and_not_for_the_base(lake):
    publish_leaderboard(lake)
    board = lake.read(LEADERBOARD, None).filter(name=f"{leaderboard.PUBLIC}, accuracy")
    shares = dict(board.select("model", "contaminated").iter_rows())
    assert shares["good"] == pytest.approx(1 / 12)  # the first image of one and two, and of twelve pairs none other
    assert shares["bad"] is None


def test_pages_name_models_tasks_exclusions_pairs_and_what_is_missing(lake, tmp_path):
    statuses = [s for s in task_status(load_registry().values(), TaskRoots(tmp_path / "no")) if not s.ready]
    report = publish_leaderboard(lake, costs=COSTS, not_ready=statuses)
    folder = lake.root / "scores" / "leaderboard"
    page = (folder / "leaderboard.html").read_text()
    text = (folder / "leaderboard.md").read_text()
    for words in ("good", "search (image to text)", "empty: the files hold no item", "BMCA-CLIP", "medmnist_organa"):
        assert words in page, words
        assert words in text, words
    assert "<script" not in page
    assert "http-equiv" not in page
    assert {f.path for f in lake.manifest(LEADERBOARD, None).files} == {
        f"scores/leaderboard/{p.name}" for p in folder.iterdir()
    }
    assert len(report.pictures) == 3, "tasks, domains, compute"
    assert pl.read_csv(folder / "leaderboard.csv").height == report.rows
    assert report.metrics["best model"] == "good"


def test_equal_scores_give_equal_pages_and_pictures(lake):
    first = publish_leaderboard(lake, costs=COSTS).data_version
    assert publish_leaderboard(lake, costs=COSTS).data_version == first


def test_the_page_does_not_depend_on_where_the_data_directory_lies(lake, tmp_path):
    missing = [s for s in task_status(load_registry().values(), TaskRoots(lake.root / "tasks")) if not s.ready]
    first = publish_leaderboard(lake, not_ready=missing)
    moved = Lake(tmp_path / "elsewhere" / "lake")
    shutil.copytree(lake.root, moved.root)
    missing = [s for s in task_status(load_registry().values(), TaskRoots(moved.root / "tasks")) if not s.ready]
    assert publish_leaderboard(moved, not_ready=missing).data_version == first.data_version
    assert "<data directory>/tasks/pathology" in (lake.root / "scores/leaderboard/leaderboard.md").read_text()
    assert "&lt;data directory&gt;/tasks" in (lake.root / "scores/leaderboard/leaderboard.html").read_text()


def test_names_are_escaped_in_the_page(lake):
    tables = (lake.scan(t).collect().clear() for t in (ZERO_SHOT_SCORES, RETRIEVAL_SCORES, CONTAMINATION))
    board = leaderboard.build(*tables, COSTS.clear())
    evil = board.head(1).with_columns(model=pl.lit("<img src=x onerror=alert(1)>"))
    page = leaderboard_page.Board(
        evil,
        pl.DataFrame(schema=leaderboard_page.DETAILS),
        pl.DataFrame(schema={"task": str, "model": str, "reason": str}),
        pl.DataFrame(schema=SCHEMA),
    )
    assert "<img src=x" not in leaderboard_page.to_html(page)


def test_an_empty_lake_gives_a_board_of_published_numbers(tmp_path):
    lake = Lake(tmp_path)
    report = publish_leaderboard(lake)
    assert set(lake.read(LEADERBOARD, None)["provenance"]) == {"published"}
    assert "No task has been scored." in (lake.root / "scores/leaderboard/leaderboard.html").read_text()
    assert report.pictures == ()


def test_near_copies_come_from_the_matches_and_only_of_trained_images(tmp_path):
    lake = Lake(tmp_path)
    source = list_source(colour_task(), colour_items(10))
    trained = pl.DataFrame({"media_id": ["m1", "m2"], "sha256": [image_digest(colour_items(1)[0].image), "0" * 64]})
    match = {"article_id": "PMC1.1", "task": "colours", "match": "altered", "orientation": 0, "score": 0.99}
    matches = EVALUATION_MATCHES.frame(
        [match | {"media_id": m, "item": i} for m, i in (("m1", "item000"), ("m2", "item003"), ("m9", "item004"))]
    )
    for given, near, share in ((None, None, 0.1), (matches, 1, 0.2)):
        report = report_contamination(lake, "full", trained, [source], matches=given)
        row = lake.read(CONTAMINATION, "full").row(0, named=True)
        assert (row["n_exact"], row["n_near"], row["share"]) == (1, near, pytest.approx(share))
        assert report.reconciles
    assert row["examples"] == ["item000 = m1", "item003 ~ m2"]
