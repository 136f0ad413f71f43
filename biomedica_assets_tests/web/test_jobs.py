"""Each job, launched in the UI as its button does, leaves nothing of its scope out of date."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import pytest

from biomedica_assets import definitions, settings
from biomedica_assets.automation import bringing
from biomedica_assets.automation.planner import open_planner
from biomedica_assets.commands import showcase
from biomedica_assets.lib import chunks
from biomedica_assets.lib.annotate import simulate
from biomedica_assets.lib.annotate.ballots import BallotBox
from biomedica_assets.lib.annotate.tally import current_model
from biomedica_assets.lib.annotate.taxonomy.model import load as load_taxonomy
from biomedica_assets.lib.demo import inventory, load_truth, mutate
from biomedica_assets.lib.lineage.withdrawn import remnants
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import CLUSTERS, EXPERT_VOTES, FIGURE_LABELS, RELEASE, TABLES
from biomedica_assets_tests.web.dagster_ui import DagsterUi

pytestmark = pytest.mark.full  # the whole graph but training, in runs of a real web server

SPAN = 1_000_000  # few chunks: each costs as many runs as there are waves
KEPT = ("PMC007", "PMC011")
SETTINGS = (
    f'chunk_span = {SPAN}\nencoder = "texture"\nclusters = 8\nrelease_no_derivatives = false\nworkers = 1\njobs = 1\n'
)
MINUTES = 900.0


class Place:
    """A data directory with its UI, and what is out of date in it."""

    def __init__(self, root: Path, mirror: Path) -> None:
        self.source, self.data = root / "source", root / "data"
        shutil.copytree(mirror, self.source)
        self.truth = load_truth(mirror.parent / "demo_truth.json")
        for path in sorted((self.source / "metadata").glob("*.json")):
            if not chunks.chunk_of(chunks.parse_article_id(path.stem)[0], SPAN).startswith(KEPT):
                mutate.remove_article(self.source, path.stem)
        inventory.publish_inventory(self.source, "2026-11-22")
        here = {path.stem for path in (self.source / "metadata").glob("*.json")}
        whole = [a for a in self.truth.articles if a.selected and a.parsed and a.figures]
        self.articles = [a.article_id for a in whole if a.article_id in here]
        self.data.mkdir()
        (self.data / "biomedica.toml").write_text(f'source = "{self.source}"\n{SETTINGS}')
        self.lake, self.log = Lake(self.data), root / "ui.log"
        self.ui = DagsterUi(self.data, self.log)

    def job(self, name: str, partition: str | None = None) -> None:
        """Launch a job and see it succeed."""
        run = self.ui.launch(name, partition=partition)
        assert self.ui.ended(run, MINUTES) == "SUCCESS", self.log.read_text()[-4000:]

    def out_of_date(self, scope: bringing.Scope = bringing.everything, chunk: str | None = None) -> list[str]:
        """What a fresh look finds; partitions that wait for something from outside are not out of date."""
        values = settings.load(data_dir=self.data)
        planner = open_planner(values, definitions.build(values).resolve_asset_graph())
        found = [one for one in planner.all_stale(scope(planner)) if chunk in (None, one.partition)]
        return [f"{one.asset}@{one.partition}: {one.reasons[0]}" for one in found]

    def votes(self) -> None:
        """Three people who err now and then label the clusters there are."""
        box = BallotBox(self.data, load_taxonomy())
        images = showcase.image_truth(self.lake, self.truth, load_taxonomy())
        right = simulate.cluster_truth(self.lake.scan(CLUSTERS).collect(), images)
        model = current_model(self.lake)[0]
        simulate.cast(box, simulate.vote_on_clusters(right, simulate.THREE, model, load_taxonomy(), seed=3))


@pytest.fixture(scope="module")
def place(tmp_path_factory, demo_mirror):
    """An empty data directory that knows its source."""
    place = Place(tmp_path_factory.mktemp("jobs"), demo_mirror)
    with contextlib.closing(place.ui):
        place.job("bring_everything_up_to_date")
        yield place


def test_from_an_empty_directory_everything_is_made(place):
    assert place.out_of_date() == []
    assert place.lake.read(RELEASE, None)["version"].n_unique() == 1
    assert place.lake.read(EXPERT_VOTES, None).height == 0


def test_after_new_votes_their_labels_are_made(place):
    place.votes()
    place.job("after_new_votes")
    assert place.lake.read(EXPERT_VOTES, None).height > 0
    assert "propagated" in place.lake.scan(FIGURE_LABELS).collect()["global_provenance"].to_list()
    assert place.out_of_date(bringing.below_the_votes) == []


def test_one_chunk_is_brought_up_to_date(place):
    article = place.articles[0]
    chunk = chunks.chunk_of(chunks.parse_article_id(article)[0], SPAN)
    mutate.change_caption(place.source, article)
    inventory.publish_inventory(place.source, "2026-11-23")
    place.job("refresh_inventory")
    assert any(f"@{chunk}" in line for line in place.out_of_date())
    place.job("bring_chunk_up_to_date", chunk)
    chunked = [asset for asset, table in TABLES.items() if table.partitioning == "chunk"]
    assert place.out_of_date(lambda planner: planner.makeable(chunked), chunk) == []


def test_a_new_release_holds_what_changed_and_nothing_that_was_withdrawn(place):
    before = place.lake.read(RELEASE, None)["version"][0]
    mutate.retract(place.source, place.articles[-1])
    inventory.publish_inventory(place.source, "2026-11-24")
    place.job("new_release")
    assert place.lake.read(RELEASE, None)["version"][0] != before
    assert place.out_of_date(bringing.of_a_release) == []
    assert list(remnants(place.lake)) == []


@pytest.mark.parametrize("job", ["check_everything", "collect_garbage", "check_files"])
def test_looking_after_it_finds_nothing_wrong(place, job):
    place.job(job)
