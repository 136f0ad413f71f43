"""What is asked next: large clusters in doubt first, settled ones not; what sources say, never of single images."""

import polars as pl
import pytest

from biomedica_assets.lib.annotate import worth
from biomedica_assets.lib.annotate.annotators import Annotator
from biomedica_assets.lib.annotate.ballots import BallotBox
from biomedica_assets.lib.annotate.consensus import Rules
from biomedica_assets.lib.annotate.tasks import read_sheets
from biomedica_assets.lib.annotate.taxonomy.model import load
from biomedica_assets.lib.annotate.web.desk import Desk
from biomedica_assets.lib.tables import FIGURE_LABELS, SOURCE_LEADERBOARD
from biomedica_assets_tests.lib.annotate.synthetic import CHUNK, MODEL, publish, row, synthetic_lake

TAXONOMY = load()
SURE = [("kind-plot", "combined", 0.99), ("kind-plot", "text", 0.9), ("kind-plot", "model", 0.9)]
TORN = [("kind-plot", "combined", 0.6), ("kind-map", "combined", 0.4), ("kind-plot", "text", 0.9)]
TORN.append(("kind-map", "model", 0.8))
UNSURE = [("kind-plot", "combined", 0.6), ("kind-plot", "text", 0.6)]


def labelled(root, by_cluster):
    """Six clusters of three images, whose labels rest on the given claims."""
    lake = synthetic_lake(root, clusters=6, members=3)
    names = ("concept_id", "source", "confidence")
    rows = []
    for cluster, said in by_cluster.items():
        claims = [dict(zip(names, one, strict=True)) for one in said]
        rows += [
            row(FIGURE_LABELS, media_id=f"m{cluster:03d}-{n:02d}", cluster=cluster, claims=claims) for n in range(3)
        ]
    publish(lake, FIGURE_LABELS, CHUNK, rows)
    return lake


@pytest.fixture
def lake(tmp_path):
    return labelled(tmp_path, {0: SURE, 1: TORN, 2: UNSURE, 3: [], 4: SURE, 5: UNSURE})


def desk_of(lake, **more):
    sheets = read_sheets(lake, ["m001-00"])
    known = worth.read_worth(lake, sheets.model, TAXONOMY)
    box = BallotBox(lake.root, TAXONOMY)
    box.register.ensure("ada")
    desk = Desk(box, sheets, TAXONOMY, overlap=1, seed=0, rules=Rules(), clock=lambda: 0.0, worth=known, **more)
    return desk, Annotator("ada", "human")


def test_doubt_grows_with_uncertainty_and_with_sources_that_disagree(lake):
    known = worth.read_worth(lake, MODEL, TAXONOMY)
    assert known[0].doubt == pytest.approx((1 - 0.98) / 2, abs=1e-5)
    assert known[2].doubt == pytest.approx((1 - 0.2) / 2, abs=1e-5)
    assert known[1].doubt == pytest.approx((1 - 0.2) * 1.5 / 2, abs=1e-5)
    assert known[3].doubt == pytest.approx(0.5)  # nobody says anything
    assert known[1].said == (("model", "kind-map", 1.0), ("text", "kind-plot", 1.0))


def test_an_image_whose_candidates_are_all_unlikely_is_in_doubt(tmp_path):
    """Nobody knows what it shows, however surely it is no map."""
    lake = labelled(tmp_path, {0: [("kind-map", "combined", 0.02), ("kind-map", "text", 0.3)]})
    assert worth.read_worth(lake, MODEL, TAXONOMY)[0].doubt == pytest.approx(0.5)


def test_another_cluster_model_is_not_meant(lake):
    assert worth.read_worth(lake, "model-b", TAXONOMY) == {}


def test_a_large_cluster_comes_before_a_doubtful_small_one_and_settled_ones_do_not_come():
    known = {0: worth.Worth(0.3, ()), 1: worth.Worth(0.6, ()), 2: worth.Worth(0.01, ()), 3: worth.Worth(0.3, ())}
    assert worth.by_worth([0, 1, 2, 3], known, {0: 100, 1: 10, 2: 10_000, 3: 100}) == [0, 3, 1]
    assert worth.by_worth([2, 0, 1], {}, {0: 9, 1: 5, 2: 7}) == [2, 0, 1], "before there are labels the order stays"


def test_the_page_asks_for_the_most_doubtful_first_and_says_who_says_what(lake):
    desk, ada = desk_of(lake, gain="better")
    assert desk.queue(ada, "label")[0] == 1
    assert set(desk.queue(ada, "label")) == {1, 2, 3, 5}
    shown = desk.item(ada, "label")
    assert (shown["id"], shown["settled"], shown["gain"]) == (1, 2, "better")
    assert shown["sources"][0] == {"source": "model", "concept": TAXONOMY.get("kind-map").label, "share": 1.0}
    assert desk.item(ada, "label", "0")["id"] == 0, "who wants to label a settled one may"


def test_single_images_are_judged_blind(lake):
    """Their verdicts score the sources: whoever judges must not see what those say."""
    desk, ada = desk_of(lake)
    assert desk.queue(ada, "audit") == ["m001-00"]
    assert "sources" not in desk.item(ada, "audit")
    assert "sources" not in desk.item(ada, "override", "m001-00")


def test_the_gain_of_votes_is_told_from_audited_images(lake):
    assert worth.gain(lake) is None
    plain = {"question": "global", "concept_id": "all", "n_true": 40, "coverage": 1.0}
    rows = [
        row(SOURCE_LEADERBOARD, **plain, source="before_votes", precision=0.8, recall=0.5),
        row(SOURCE_LEADERBOARD, **plain, source="combined", precision=0.95, recall=0.9),
    ]
    publish(lake, SOURCE_LEADERBOARD, None, rows)
    told = worth.gain(lake)
    assert told is not None
    assert "precision 0.80 without votes, 0.95 with them; found 0.50, now 0.90" in told
    assert pl.Series([told]).str.contains("40").all()
