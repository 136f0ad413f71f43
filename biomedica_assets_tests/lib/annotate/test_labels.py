"""Labels of images: propagated with doubt, corrected by the detector, overruled by people, calibrated by an audit."""

import polars as pl
import pytest

from biomedica_assets.lib.annotate import audit, corrections, labels, simulate
from biomedica_assets.lib.annotate.agreement import stage_agreement, stage_confusion
from biomedica_assets.lib.annotate.ballots import BallotBox
from biomedica_assets.lib.annotate.calibration import calibrate, curves
from biomedica_assets.lib.annotate.consensus import Rules, consensus, stage_annotations
from biomedica_assets.lib.annotate.panels import stage_panels
from biomedica_assets.lib.annotate.plots import reliability
from biomedica_assets.lib.annotate.sources.stage import stage_labels
from biomedica_assets.lib.annotate.tally import collect_votes, votes_frame
from biomedica_assets.lib.annotate.tasks import draw_audit
from biomedica_assets.lib.annotate.taxonomy.model import load
from biomedica_assets.lib.compute.local import LocalEngine
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import (
    ANNOTATOR_CONFUSION,
    AUDITED_LABELS,
    CLUSTERS,
    FIGURE_LABELS,
    LABEL_AUDIT,
    LABEL_CALIBRATION,
    NEIGHBOURS,
    PANELS,
)
from biomedica_assets_tests.lib.annotate.synthetic import CHUNK, KINDS, MODEL, publish, row, synthetic_lake
from biomedica_assets_tests.lib.annotate.voting import BAR, LINE, MICRO, vote

SHELF = CHUNK[:6]
TRUTHS = {
    "bars": BAR,
    "line": LINE,
    "spots": MICRO | {"panel_type": "panel-single"},
    "halves": MICRO | {"panel_subtype": "panel-multiple-images"},
}


def annotated(*votes) -> pl.DataFrame:
    return consensus(votes_frame([(v, "active") for v in votes]), MODEL, rules=Rules(), taxonomy=load())


def images(*rows: tuple[str, int, float, float | None]) -> pl.DataFrame:
    return CLUSTERS.frame(
        [
            row(
                CLUSTERS,
                media_id=m,
                cluster=c,
                distance=d,
                runner_up_distance=r,
                runner_up=9 if r else None,
                model=MODEL,
            )
            for m, c, d, r in rows
        ]
    )


def panel(media_id: str, p: float) -> dict:
    kind = "panel-multiple" if p >= 0.5 else "panel-single"
    return row(PANELS, media_id=media_id, p_multiple=p, panel_type=kind)


def labelled(assignments, annotations, panels=(), votes=(), **audited) -> dict[str, dict]:
    frame = labels.label_images(
        assignments,
        annotations,
        PANELS.frame(list(panels)),
        votes_frame([(v, "active") for v in votes]),
        labels.Audited(**audited),
        load(),
    )
    return {r["media_id"]: r for r in FIGURE_LABELS.validate(frame).iter_rows(named=True)}


TWO_OF_THREE = [vote("aaaa1", "ada", 1, BAR), vote("bbbb1", "ben", 1, BAR), vote("cccc1", "cleo", 1, LINE)]


def test_confidence_is_agreement_times_purity_times_margin():
    mixed = vote("dddd1", "dan", 1, BAR | {"mixed": True})
    found = labelled(images(("a", 1, 0.25, 1.0)), annotated(*TWO_OF_THREE, mixed))["a"]
    assert found["local"] == ["kind-bar-plot"]
    assert found["local_provenance"] == "propagated"
    assert found["local_confidence"] == pytest.approx(3 / 4 * 3 / 4 * 0.75)  # 3 of 4 say bar, 3 of 4 say not mixed
    assert found["global_confidence"] == pytest.approx(1 * 3 / 4 * 0.75)


def test_an_image_half_way_between_two_clusters_has_no_confidence_and_one_on_the_centroid_has_all():
    found = labelled(
        images(("far", 1, 1.0, 1.0), ("on", 1, 0.0, 1.0), ("only", 1, 3.0, None)), annotated(*TWO_OF_THREE)
    )
    assert [found[m]["global_confidence"] for m in ("far", "on", "only")] == [0.0, 1.0, 1.0]


def test_an_open_question_labels_nothing_and_an_unknown_cluster_neither():
    tie = annotated(vote("aaaa1", "ada", 1, BAR), vote("bbbb1", "ben", 1, LINE))
    found = labelled(images(("a", 1, 0.1, 1.0), ("b", 7, 0.1, 1.0)), tie)
    assert (found["a"]["global"], found["a"]["local"], found["a"]["local_provenance"]) == (["kind-plot"], None, None)
    assert found["b"]["panel_type"] is None and found["b"]["global_confidence"] is None


SEVERAL = MICRO | {"panel_subtype": "panel-multiple-images"}
OF_SEVERAL = [vote("aaaa1", "ada", 1, SEVERAL), vote("bbbb1", "ben", 1, SEVERAL)]
FOUR = [("sure", 1, 0.5, 1.0), ("unsure", 1, 0.1, 1.0), ("same", 1, 0.5, 1.0), ("none", 7, 0.5, 1.0)]
SEEN = [panel("sure", 0.1), panel("unsure", 0.2), panel("same", 0.9), panel("none", 0.8)]


def test_without_an_audit_the_detector_overrules_nobody_and_answers_where_nobody_did():
    for helpful in (frozenset(), frozenset({"panel-multiple"})):
        found = labelled(images(*FOUR), annotated(*OF_SEVERAL), SEEN, helpful=helpful)
        said = {m: (r["panel_type"], r["panel_type_provenance"]) for m, r in found.items()}
        assert said == dict.fromkeys(("sure", "unsure", "same"), ("panel-multiple", "propagated")) | {
            "none": ("panel-multiple", "model")
        }


def test_the_detector_corrects_the_panel_type_where_it_helps_and_is_surer_and_drops_the_subtype():
    found = labelled(images(*FOUR), annotated(*OF_SEVERAL), SEEN, helpful=frozenset({"panel-single"}))
    facts = {m: (r["panel_type"], r["panel_type_provenance"], r["panel_subtype"]) for m, r in found.items()}
    assert facts == {
        "sure": ("panel-single", "model", None),
        "unsure": ("panel-multiple", "propagated", "panel-multiple-images"),
        "same": ("panel-multiple", "propagated", "panel-multiple-images"),
        "none": ("panel-multiple", "model", None),
    }
    assert found["sure"]["panel_type_confidence"] == pytest.approx(0.9)
    assert found["sure"]["panel_subtype_confidence"] is None


def test_a_person_who_labelled_the_image_wins_over_cluster_and_detector():
    mine = vote("eeee1", "ada", None, MICRO, task="override", media_id="a")
    found = labelled(images(("a", 1, 0.1, 1.0)), annotated(*TWO_OF_THREE), [panel("a", 0.1)], [mine])["a"]
    assert (found["panel_type"], found["panel_type_provenance"], found["panel_type_confidence"]) == (
        "panel-multiple",
        "human",
        1,
    )
    assert (found["global"], found["global_provenance"]) == (["kind-microscopy"], "human")


def test_a_person_who_corrects_the_global_concept_alone_takes_the_misfit_local_one_along():
    mine = vote("eeee1", "ada", None, {"global": ["kind-map"]}, task="override", media_id="a")
    found = labelled(images(("a", 1, 0.1, 1.0)), annotated(*TWO_OF_THREE), votes=[mine])["a"]
    assert (found["global"], found["local"]) == (["kind-map"], [])


def test_two_people_who_disagree_on_an_image_leave_the_clusters_label():
    mine = [vote(f"eeee{n}", n, None, a, task="audit", media_id="a") for n, a in (("ada", MICRO), ("ben", LINE))]
    found = labelled(images(("a", 1, 0.1, 1.0)), annotated(*TWO_OF_THREE), votes=mine)["a"]
    assert (found["global"], found["global_provenance"]) == (["kind-plot"], "propagated")


def test_simulated_votes_mark_the_labels_they_reach_and_no_others():
    fake = [vote(f"sim-{n}-1", n, 1, BAR, source="simulated") for n in ("s1", "s2")]
    real = [vote(f"real-{n}-1", n, 2, BAR) for n in ("ada", "ben")]
    found = labelled(images(("a", 1, 0.1, 1.0), ("b", 2, 0.1, 1.0)), annotated(*fake, *real))
    assert (found["a"]["simulated"], found["b"]["simulated"]) == (True, False)


def test_calibration_replaces_the_confidence_and_keeps_the_raw_one():
    found = labelled(
        images(("a", 1, 0.5, 1.0)), annotated(*TWO_OF_THREE), propagated={"global": ([0.0, 1.0], [0.6, 1.0])}
    )["a"]
    assert (found["global_raw"], found["global_confidence"], found["calibrated"]) == (0.5, pytest.approx(0.8), True)
    assert found["local_confidence"] == found["local_raw"]


def test_labels_do_not_depend_on_the_order_of_images_or_votes():
    assignments = images(*[(f"m{i}", i % 2 + 1, 0.1 * i, 1.0) for i in range(8)])
    votes = [vote("eeee1", "ada", None, MICRO, task="override", media_id="m3")]
    one = labelled(assignments, annotated(*TWO_OF_THREE), votes=votes)
    other = labelled(assignments.reverse(), annotated(*reversed(TWO_OF_THREE)), votes=votes)
    assert list(one.items()) == list(other.items())


# ---- neighbours


def near(**others: list[str]) -> pl.DataFrame:
    """A table ``neighbours``: image -> the images nearest to it."""
    rows = [{"media_id": m, "neighbours": n, "similarity": [0.9] * len(n)} for m, n in others.items()]
    return pl.DataFrame(rows, schema=NEIGHBOURS.schema)


LINES = [vote(f"{n}2", n, 2, LINE) for n in ("ada", "ben")]
BARS = [vote(f"{n}1", n, 1, BAR) for n in ("ada", "ben")]
SIX = [(m, 1 if m in "abc" else 2, 0.5, 1.0) for m in "abcdef"]


def test_a_label_that_the_neighbours_share_is_surer_than_one_that_they_do_not():
    asked = near(a=["b", "c"], d=["a", "b"], e=["f", "a"])
    found = labels.propagate(images(*SIX), annotated(*BARS, *LINES), {}, asked)
    by = {r["media_id"]: r for r in found.iter_rows(named=True)}
    sure = 0.5  # agreement and purity are 1, the margin is a half
    weight = labels.FIT_WEIGHT
    told = {m: by[m]["local_raw"] for m in "abde"}
    assert told == {
        "a": pytest.approx((sure + weight * 1) / (1 + weight)),
        "b": pytest.approx(sure),  # it has no row: nobody was asked
        "d": pytest.approx((sure + weight * 0) / (1 + weight)),
        "e": pytest.approx((sure + weight * 0.5) / (1 + weight)),
    }
    assert by["d"]["global_raw"] == pytest.approx(by["a"]["global_raw"])  # a bar plot is a plot, too
    assert {m: by[m]["misfit"] for m in "abde"} == {"a": False, "b": None, "d": True, "e": False}


def test_neighbours_without_an_answer_are_not_asked():
    asked = near(a=["x", "y", "b"], b=["x", "y"])
    rows = images(*SIX, ("x", 7, 0.5, 1.0), ("y", 7, 0.5, 1.0))
    found = {r["media_id"]: r for r in labels.propagate(rows, annotated(*BARS), {}, asked).iter_rows(named=True)}
    assert (found["a"]["local_raw"], found["a"]["misfit"]) == (pytest.approx((0.5 + labels.FIT_WEIGHT) / 4), False)
    assert (found["b"]["local_raw"], found["b"]["misfit"]) == (pytest.approx(0.5), None)
    assert (found["x"]["local_raw"], found["x"]["misfit"]) == (None, None)


def test_nothing_but_confidence_and_misfits_changes_with_neighbours():
    rows, said = images(*SIX), annotated(*BARS, *LINES)
    asked = near(**{m: [n for n in "abcdef" if n != m] for m in "abcdef"})
    without, within = (labels.propagate(rows, said, {}, n) for n in (None, asked))
    kept = [name for name in without.columns if not name.endswith(("_raw", "_confidence", "misfit"))]
    assert within.columns == without.columns and within.schema == without.schema
    assert within.select(kept).equals(without.select(kept))
    raws = within.select(f"{q}_raw" for q in labels.QUESTIONS)
    assert all(raws[name].drop_nulls().is_between(0, 1).all() for name in raws.columns)


def test_labels_and_verdicts_name_the_neighbours_that_they_asked(tmp_path):
    """Neighbours that are made later, or anew, make them stale."""
    lake = synthetic_lake(tmp_path, clusters=2, members=2)
    stage_annotations(lake)
    stage_panels(lake, CHUNK, LocalEngine("threads", 2))
    stage_labels(lake, CHUNK)
    asked = f"neighbours@{CHUNK}"
    assert asked not in lake.manifest(FIGURE_LABELS, CHUNK).inputs
    publish(lake, NEIGHBOURS, CHUNK, [{"media_id": "m000-00", "neighbours": ["m001-00"], "similarity": [0.5]}])
    stage_labels(lake, CHUNK)
    assert asked in lake.manifest(FIGURE_LABELS, CHUNK).inputs


# ---- the audit


def held(rows, **more) -> pl.DataFrame:
    """Rows of ``audited_labels``: (media_id, concept, labelled, shown, inclusion)."""
    plain = {"question": "global", "simulated": False, "confidence": 0.5} | more
    names = ("media_id", "concept_id", "labelled", "shown", "inclusion")
    return AUDITED_LABELS.frame([plain | dict(zip(names, one, strict=True)) for one in rows])


def test_with_equal_chances_the_interval_is_wilsons_as_published():
    # Newcombe (1998), Statistics in Medicine 17:857, table I: 81 of 263 gives 0.2553 to 0.3662
    judged = held([(str(i), "kind-map", True, i < 81, 0.1) for i in range(263)])
    found = audit.estimate(judged).filter(concept_id="kind-map").row(0, named=True)
    assert (found["n"], found["n_correct"], found["n_shown"]) == (263, 81, 81)
    assert (found["low"], found["high"]) == (pytest.approx(0.2553, abs=1e-4), pytest.approx(0.3662, abs=1e-4))


def test_each_image_counts_as_one_over_its_chance_of_being_drawn():
    # 10 of 10 000 common ones, all right; 10 of 20 rare ones, half of them wrong: in truth 9 995 of 10 020 are right
    common = [(f"c{i}", "kind-plot", True, True, 0.001) for i in range(10)]
    rare = [(f"r{i}", "kind-map", True, i % 2 == 0, 0.5) for i in range(10)]
    missed = [(f"r{i}", "kind-plot", False, True, 0.5) for i in range(1, 10, 2)]
    found = {row["concept_id"]: row for row in audit.estimate(held([*common, *rare, *missed])).iter_rows(named=True)}
    assert found["all"]["precision"] == pytest.approx(1 - 10 / 10_020)
    assert found["all"]["low"] < 0.8  # ten images of the common label tell no more than this
    assert found["kind-map"]["precision"] == pytest.approx(0.5)
    assert found["kind-plot"]["recall"] == pytest.approx(10_000 / 10_010)
    assert (found["kind-map"]["recall"], found["kind-map"]["n_shown"]) == (1.0, 5)


def test_images_that_were_picked_by_hand_speak_for_no_others():
    drawn = [("a", "kind-map", True, True, 0.5), ("b", "kind-map", True, False, 0.5)]
    by_hand = [(f"h{i}", "kind-map", True, False, None) for i in range(9)]
    assert audit.estimate(held([*drawn, *by_hand])).equals(audit.estimate(held(drawn)))


def test_a_label_that_is_only_missed_has_a_recall_and_no_precision():
    found = audit.estimate(held([("a", "kind-map", False, True, 0.5)])).filter(concept_id="kind-map").row(0, named=True)
    assert (found["n"], found["precision"], found["recall"]) == (0, None, 0.0)


def test_calibration_rises_stays_within_bounds_and_needs_enough_verdicts():
    rows = [(f"m{i:02d}", "x", True, i > 40, 0.5) for i in range(100)]
    judged = held(rows).with_columns(confidence=pl.int_range(100).cast(pl.Float32) / 100, variant=pl.lit("propagated"))
    knots = calibrate(judged)
    assert knots["raw"].is_sorted() and knots["confidence"].is_sorted()
    assert (knots["confidence"].min(), knots["confidence"].max()) == (0.0, 1.0)
    assert (knots["brier"] < knots["brier_raw"]).all()
    assert calibrate(judged.head(20)).height == 0


def test_a_confidence_that_is_right_as_it_is_gets_no_map():
    """Confidence 0.8, 80 of 100 right: what a map would change is noise."""
    rows = [(f"m{i:03d}", "x", True, i % 5 > 0, 0.5) for i in range(100)]
    noise = 0.8 + pl.int_range(100).cast(pl.Float32).mod(7) / 1000
    assert calibrate(held(rows).with_columns(confidence=noise, variant=pl.lit("combined"))).height == 0


def detected(n: int, right: int, sure: float, inclusion: float = 0.5) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What clusters (several panels, confidence 0.5) and the detector (one panel) say of ``n`` images."""
    ids = [f"m{i}" for i in range(n)]
    by = {"question": "panel_type", "confidence": 0.5}
    clusters = held([(m, "panel-multiple", True, i >= right, inclusion) for i, m in enumerate(ids)], **by)
    its = held(
        [(m, "panel-single", True, i < right, inclusion) for i, m in enumerate(ids)], **by | {"confidence": sure}
    )
    return clusters, its


@pytest.mark.parametrize(
    ("n", "right", "sure", "applied"),
    [(20, 18, 0.9, True), (20, 12, 0.9, False), (20, 2, 0.9, False), (6, 6, 0.9, True), (5, 5, 0.9, False)],
)
def test_a_correction_is_applied_only_where_audited_images_say_that_it_helps(n, right, sure, applied):
    (row,) = corrections.compare(*detected(n, right, sure), {}).iter_rows(named=True)
    assert (row["concept_id"], row["n"], row["n_better"], row["applied"]) == ("panel-single", n, right, applied)


def test_a_correction_is_judged_where_it_would_be_made_and_nowhere_else():
    assert corrections.compare(*detected(20, 20, 0.4), {}).height == 0  # the cluster is surer
    calibration = {"panel_type": ([0.0, 1.0], [0.95, 0.95])}
    assert corrections.compare(*detected(20, 20, 0.9), calibration).height == 0  # calibrated, it is surer, too
    clusters, its = detected(20, 20, 0.9)
    assert corrections.compare(clusters, its.with_columns(inclusion=pl.lit(None, pl.Float32)), {}).height == 0


def test_the_reliability_diagram_is_the_same_each_time():
    rows = [(f"m{i:02d}", "x", True, i > 40, 0.5) for i in range(100)]
    judged = held(rows).with_columns(confidence=pl.int_range(100).cast(pl.Float32) / 100, variant=pl.lit("propagated"))
    one, other = (reliability(curves(judged)) for _ in range(2))
    assert one.data == other.data and one.data.startswith(b"\x89PNG")


def test_a_verdict_counts_label_by_label_and_tells_what_was_missed():
    frame = labels.propagate(images(("a", 1, 0.5, 1.0)), annotated(*TWO_OF_THREE), {})
    verdict = vote("eeee1", "ada", None, LINE, task="audit", media_id="a")
    votes = votes_frame([(verdict, "active")], {"a": 0.25})
    judged = audit.verdicts(frame, votes, load(), confidence="raw")
    facts = {(q, c): said for q, c, *said in judged.select(
        "question", "concept_id", "labelled", "shown", "confidence", "inclusion"
    ).iter_rows()}  # fmt: skip
    assert facts == {
        ("panel_type", "panel-single"): [True, True, 0.5, 0.25],
        ("global", "kind-plot"): [True, True, 0.5, 0.25],
        ("local", "kind-bar-plot"): [True, False, pytest.approx(1 / 3), 0.25],
        ("local", "kind-line-plot"): [False, True, None, 0.25],
    }


# ---- the whole loop, simulated


@pytest.fixture(scope="module")
def looped(tmp_path_factory) -> tuple[Lake, pl.DataFrame]:
    """Twelve clusters of eight pictures, a tenth of them in the wrong cluster, through the whole loop."""
    lake = synthetic_lake(tmp_path_factory.mktemp("loop"), clusters=12, members=8)
    taxonomy = load()
    box = BallotBox(lake.root, taxonomy)
    assignments = lake.read(CLUSTERS, CHUNK)
    kinds = [TRUTHS[KINDS[int(m[1:4]) % 4]] for m in assignments["media_id"]]
    # the outermost member of every cluster is in truth of the next kind: propagation must get it wrong, and doubt it
    wrong = [m.endswith("-07") for m in assignments["media_id"]]
    kinds = [TRUTHS["line"] if bad and k is not TRUTHS["line"] else k for k, bad in zip(kinds, wrong, strict=True)]
    truth = pl.DataFrame(
        {
            "media_id": assignments["media_id"],
            **{q: [k.get(q) for k in kinds] for q in ("panel_type", "panel_subtype", "global", "local", "content")},
        },
        schema_overrides={"content": pl.List(pl.String)},
    )
    right = simulate.cluster_truth(assignments, truth)
    people = simulate.THREE
    simulate.cast(box, simulate.vote_on_clusters(right, people, MODEL, taxonomy, seed=5))
    collect_votes(lake)
    stage_annotations(lake)
    stage_panels(lake, CHUNK, LocalEngine("threads", 2))
    stage_labels(lake, CHUNK)
    return lake, truth


def test_the_simulated_loop_labels_most_images_right_and_the_threshold_buys_precision(looped):
    lake, truth = looped
    found = lake.read(FIGURE_LABELS, CHUNK)
    assert found["simulated"].all()
    plain = {r["question"]: r for r in simulate.score(found, truth).iter_rows(named=True)}
    strict = {r["question"]: r for r in simulate.score(found, truth, threshold=0.2).iter_rows(named=True)}
    assert plain["global"]["precision"] > 0.8 and plain["local"]["recall"] > 0.7
    assert strict["local"]["precision"] > plain["local"]["precision"]
    assert strict["local"]["recall"] < plain["local"]["recall"]


def test_an_audit_measures_and_calibrates_the_loop(looped):
    lake, truth = looped
    taxonomy = load()
    drawn = draw_audit(lake, 12, seed=1)
    auditor = simulate.Simulated("simulated-auditor", 0.0, 0.0)
    simulate.cast(
        BallotBox(lake.root, taxonomy), simulate.vote_on_images(truth, drawn, auditor, MODEL, taxonomy, seed=1)
    )
    collect_votes(lake)
    audit.stage_verdicts(lake, SHELF)
    audit.stage_audited(lake, SHELF)
    assert audit.stage_audit(lake).metrics["simulated"]
    assert audit.stage_calibration(lake).metrics["calibrated"] >= 2
    assert audit.stage_corrections(lake).reconciles
    whole = lake.read(LABEL_AUDIT, None).filter(concept_id="all")
    assert (whole["low"] <= whole["precision"]).all() and (whole["precision"] <= whole["high"]).all()
    report = stage_labels(lake, CHUNK)
    assert report.metrics["calibrated"]
    assert lake.manifest(FIGURE_LABELS, CHUNK).inputs.keys() == {
        f"clusters@{CHUNK}", "annotations", "expert_votes", f"panels@{CHUNK}", "label_calibration", "label_corrections",
        f"images@{CHUNK}",
    }  # fmt: skip
    human = lake.read(FIGURE_LABELS, CHUNK).filter(pl.col("media_id").is_in(drawn))
    assert set(human["global_provenance"]) == {"human"}
    assert lake.read(LABEL_CALIBRATION, None)["confidence"].is_between(0, 1).all()


def test_simulation_is_the_same_each_time_and_another_with_another_seed():
    truth = {c: ({"panel_type": ("panel-single",), "global": ("kind-plot",)}, False) for c in range(50)}
    one, same, other = (simulate.vote_on_clusters(truth, simulate.THREE, MODEL, load(), seed=s) for s in (1, 1, 2))
    assert one == same
    assert [v.answer for v in one] != [v.answer for v in other]


def test_simulated_errors_have_the_rates_that_were_asked_for():
    truth = {c: ({"panel_type": ("panel-single",), "global": ("kind-plot",)}, False) for c in range(2000)}
    who = simulate.Simulated("simulated-x", 0.2, 0.1, 0.05)
    votes = simulate.vote_on_clusters(truth, [who], MODEL, load(), seed=0)
    told = [v.answer for v in votes if not v.answer.cant_tell]
    assert 1 - len(told) / 2000 == pytest.approx(0.05, abs=0.015)  # three standard errors
    assert sum(a.one("panel_type") != "panel-single" for a in told) / len(told) == pytest.approx(0.2, abs=0.03)
    assert sum(a.given("global") != ("kind-plot",) for a in told) / len(told) == pytest.approx(0.1, abs=0.02)


def test_an_adjudicator_who_knows_settles_every_dispute():
    truth = {1: ({"panel_type": ("panel-single",), "global": ("kind-plot",), "local": ("kind-bar-plot",)}, False)}
    disputed = [vote("aaaa1", "ada", 1, BAR), vote("bbbb1", "ben", 1, MICRO)]
    rulings = simulate.rule_on_disputes(truth, [1, 99], MODEL, load(), seed=0)
    found = annotated(*disputed, *rulings)
    assert set(found.filter(pl.col("question").is_in(["global", "local", "panel_type"]))["status"]) == {"adjudicated"}
    assert found["simulated"].all()


def test_before_anybody_voted_images_get_the_detectors_panel_type_and_nothing_else(tmp_path):
    lake = synthetic_lake(tmp_path, clusters=4, members=2)
    stage_annotations(lake)
    stage_panels(lake, CHUNK, LocalEngine("threads", 2))
    assert audit.stage_verdicts(lake, SHELF).rows == audit.stage_audited(lake, SHELF).rows == 0
    for stage in (
        audit.stage_audit,
        audit.stage_calibration,
        audit.stage_corrections,
        stage_agreement,
        stage_confusion,
    ):
        stage(lake)
    report = stage_labels(lake, CHUNK)
    frame = lake.read(FIGURE_LABELS, CHUNK)
    assert (report.n_in, report.rows) == (8, 8)
    assert frame["panel_type_provenance"].to_list() == ["model"] * 8
    assert frame["global"].null_count() == 8
    assert not frame["calibrated"].any() and not frame["simulated"].any()


def test_the_stages_of_agreement_read_what_the_loop_made(looped):
    lake, _ = looped
    assert stage_agreement(lake, resamples=20).metrics["alpha_global"] > 0.4
    report = stage_confusion(lake)
    assert report.reconciles
    assert report.metrics["equal_to_consensus"] > 0.8
    assert lake.read(ANNOTATOR_CONFUSION, None)["simulated"].all()


def test_truth_by_published_names_is_split_over_the_axes_and_counts_panels():
    one = simulate.truth_of([("Clinical Imaging", "eye")], load())
    assert one["panel_type"] == "panel-single"
    assert (one["global"], one["local"], one["content"]) == (["kind-clinical-imaging"], [], ["content-eye"])
    two = simulate.truth_of([("Maps", "map"), ("Plots and Charts", "bar plot")], load())
    assert (two["panel_type"], two["global"], two["local"]) == (
        "panel-multiple", ["kind-map", "kind-plot"], ["kind-bar-plot"]
    )  # fmt: skip
    with pytest.raises(PermanentFailure, match="treasure map"):
        simulate.truth_of([("Maps", "treasure map")], load())
