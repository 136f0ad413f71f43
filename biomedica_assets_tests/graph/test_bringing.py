"""Jobs that leave nothing of their scope out of date: a change, one job, everything current."""

from __future__ import annotations

import shutil

import dagster as dg
import pytest

from biomedica_assets.automation import bringing
from biomedica_assets.lib import chunks
from biomedica_assets.lib.demo import inventory, load_truth, mutate
from biomedica_assets.lib.tables import TABLES
from biomedica_assets_tests.graph.test_spine import CHAIN, SPINE, Place

pytestmark = pytest.mark.full  # whole walks of the graph


@pytest.fixture(scope="module")
def made(tmp_path_factory, demo_mirror):
    """The spine, made once."""
    place = Place(tmp_path_factory.mktemp("made"), demo_mirror, encoder="texture")
    assert place.walk().ok
    return place


@pytest.fixture
def place(tmp_path, made, demo_mirror):
    """A copy of it, over a mirror of its own."""
    shutil.copytree(made.lake.root, tmp_path / "data")
    shutil.copytree(demo_mirror, tmp_path / "source")
    shutil.copy(demo_mirror.parent / "demo_truth.json", tmp_path / "demo_truth.json")
    place = Place(tmp_path / "data", tmp_path / "source", encoder="texture")
    place.walk()
    return place


def edit(place):
    """Another caption in one article; the chunk it lies in."""
    root = place.settings.data_dir.parent
    truth = load_truth(root / "demo_truth.json")
    article = next(a for a in truth.articles if a.selected and a.parsed and a.figures)
    mutate.change_caption(root / "source", article.article_id)
    inventory.publish_inventory(root / "source", "2026-11-22")
    return chunks.chunk_of(chunks.parse_article_id(article.article_id)[0], 20_000)


def run(place, job, **more):
    return place.definitions.resolve_job_def(job).execute_in_process(
        instance=place.instance, raise_on_error=False, **more
    )


def out_of_date(place, assets):
    place.planner.forget()
    return {(s.asset, s.partition) for s in place.planner.behind(assets)}


def test_a_chunk_is_brought_up_to_date_and_no_other_partition_is_touched(place):
    chunk = edit(place)
    place.walk(select=["pmc_inventory"])
    scope = place.planner.makeable([a for a in place.planner.assets if TABLES[a].partitioning == "chunk"])
    assert ("article_index", chunk) in out_of_date(place, scope)
    before = {run.run_id for run in place.instance.get_runs()}
    assert run(place, "bring_chunk_up_to_date", partition_key=chunk).success
    place.planner.forget()
    assert place.planner.stale(scope, chunk) == []
    mine = [run for run in place.instance.get_runs() if run.run_id not in before and run.asset_selection]
    assert mine and {run.tags["dagster/partition"] for run in mine} == {chunk}
    assert all(bringing.BY in run.tags for run in mine)
    assert {key.to_user_string() for run in mine for key in run.asset_selection} >= {
        *CHAIN,
        "text_labels",
        "embeddings",
    }


def test_a_chunk_that_is_current_costs_no_run(place):
    chunk = place.lake.partitions(TABLES["shards"])[0]
    assert run(place, "bring_chunk_up_to_date", partition_key=chunk).success
    before = len(place.instance.get_runs())
    assert run(place, "bring_chunk_up_to_date", partition_key=chunk).success
    assert len(place.instance.get_runs()) == before + 1, "the job itself and nothing else"


def test_a_job_that_leaves_something_out_of_date_fails_and_says_what(place, monkeypatch):
    chunk = edit(place)
    place.walk(select=["pmc_inventory"])
    monkeypatch.setattr(bringing.runner, "walk", lambda *_, **__: bringing.runner.Outcome())
    result = run(place, "bring_chunk_up_to_date", partition_key=chunk)
    assert not result.success
    (failure,) = result.get_step_failure_events()
    assert f"article_index of {chunk}: input_changed: chunk_listing@{chunk}" in str(failure.step_failure_data.error)


def test_everything_in_scope_is_brought_up_to_date_after_the_source_was_asked(place, monkeypatch):
    monkeypatch.setattr(bringing, "everything", lambda _: SPINE)
    edit(place)
    assert run(place, "bring_everything_up_to_date").success
    assert out_of_date(place, SPINE) == set()


def test_what_a_refresh_would_make_is_what_it_makes(place):
    """Every partition listed as out of date is made; of those that wait, whatever its inputs change; nothing else."""
    edit(place)
    place.walk(select=["pmc_inventory"])
    place.planner.forget()
    assets = [asset for asset in SPINE if asset != "pmc_inventory"]
    listed = list(place.planner.behind(assets))
    made = set(place.walk(select=assets).materialised)
    assert {(s.asset, s.partition) for s in listed if not s.waits} <= made
    assert made <= {(s.asset, s.partition) for s in listed}
    assert len(made) >= len(CHAIN) - 1


def test_a_new_chunk_is_listed_with_the_shelf_that_will_read_it(place):
    shelf = "PMC007"
    place.walk(select=[*SPINE, "image_views", "image_fingerprints"])
    assert ("image_fingerprints", shelf) not in out_of_date(place, ["image_fingerprints"])
    mutate.add_article(place.settings.data_dir.parent / "source", 7_999_001, seed=4, figures=2)
    inventory.publish_inventory(place.settings.data_dir.parent / "source", "2026-11-22")
    place.walk(select=["pmc_inventory"])
    listed = out_of_date(place, ["image_fingerprints"])
    made = set(place.walk(select=["image_views", "image_fingerprints", *CHAIN]).materialised)
    assert listed == {("image_fingerprints", shelf)} == {one for one in made if one[0] == "image_fingerprints"}


def test_scopes(made):
    planner = made.planner
    votes, release = bringing.below_the_votes(planner), bringing.of_a_release(planner)
    assert not {"checkpoints", "zero_shot_scores", "leaderboard"} & {*votes, *release}
    assert {"pmc_inventory", "shards", "release"} <= {*release}
    assert bringing.everything(planner) == planner.assets


@pytest.mark.parametrize("job", bringing.ALL, ids=lambda job: job.name)
def test_jobs_are_offered_with_what_they_leave(job):
    assert isinstance(job, dg.JobDefinition) and job.description
