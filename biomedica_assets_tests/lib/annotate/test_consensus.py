"""Majority per question; ties, low agreement and contradictions wait for an adjudicator."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_assets.lib.annotate.ballots import BallotBox
from biomedica_assets.lib.annotate.consensus import (
    Rules,
    consensus,
    majority_of_one,
    majority_of_sets,
    open_questions,
    stage_annotations,
    violations,
)
from biomedica_assets.lib.annotate.tally import collect_votes, votes_frame
from biomedica_assets.lib.annotate.taxonomy.model import load
from biomedica_assets.lib.tables import ANNOTATIONS
from biomedica_assets_tests.lib.annotate.synthetic import MODEL, synthetic_lake
from biomedica_assets_tests.lib.annotate.voting import BAR, CANT_TELL, LINE, MICRO, vote

RULES = Rules(min_votes=2, min_agreement=0.6)


def settled(*votes, rules=RULES) -> dict[str, tuple]:
    """Question -> (answer, status, agreement, n_votes) of cluster 1."""
    frame = consensus(votes_frame([(v, "active") for v in votes]), MODEL, rules=rules, taxonomy=load())
    rows = frame.filter(pl.col("cluster") == 1).iter_rows(named=True)
    return {r["question"]: (r["answer"], r["status"], r["agreement"], r["n_votes"]) for r in rows}


def ballots(*answers, task="label", cluster=1, **changes):
    return [vote(f"{task}{cluster}-{i}", f"p{i}", cluster, a, task=task, **changes) for i, a in enumerate(answers)]


def test_two_of_three_carry_the_question():
    found = settled(*ballots(BAR, BAR, LINE))
    assert found["local"] == (["kind-bar-plot"], "agreed", pytest.approx(2 / 3), 3)
    assert found["global"] == (["kind-plot"], "agreed", 1.0, 3)
    assert found["mixed"] == (["no"], "agreed", 1.0, 3)


def test_a_tie_goes_to_adjudication_and_answers_nothing():
    found = settled(*ballots(BAR, MICRO))
    for question in ("panel_type", "global", "local"):
        assert found[question][:2] == ([], "tie")
    frame = consensus(votes_frame([(v, "active") for v in ballots(BAR, MICRO)]), MODEL, rules=RULES, taxonomy=load())
    assert set(open_questions(frame)["question"]) == {"panel_type", "global", "local"}


def test_three_different_answers_are_a_tie_too():
    assert settled(*ballots(BAR, LINE, MICRO))["local"][:2] == ([], "tie")


def test_a_narrow_majority_below_the_threshold_is_low_agreement():
    found = settled(*ballots(BAR, BAR, BAR, MICRO, MICRO), rules=Rules(2, 0.7))
    assert found["panel_type"][:2] == (["panel-single"], "low_agreement")


def test_one_vote_is_too_few_unless_the_rules_allow_it():
    assert settled(*ballots(BAR))["global"][:2] == ([], "too_few")
    assert settled(*ballots(BAR), rules=Rules(min_votes=1))["global"][:2] == (["kind-plot"], "agreed")


def test_half_who_cannot_tell_send_the_cluster_to_adjudication():
    assert settled(*ballots(BAR, CANT_TELL))["global"][1] == "cant_tell"
    assert settled(*ballots(BAR, BAR, CANT_TELL))["global"] == (["kind-plot"], "agreed", 1.0, 2)


def test_a_concept_that_exactly_half_name_is_a_tie():
    both = BAR | {"global": ["kind-plot", "kind-table"]}
    assert settled(*ballots(BAR, both))["global"][:2] == ([], "tie")
    assert settled(*ballots(BAR, both, both))["global"][:2] == (["kind-plot", "kind-table"], "agreed")


def test_a_subtype_is_counted_among_those_who_see_several_panels():
    images = MICRO | {"panel_subtype": "panel-multiple-images"}
    found = settled(*ballots(images, images, BAR))
    assert found["panel_subtype"] == (["panel-multiple-images"], "agreed", 1.0, 2)
    assert settled(*ballots(BAR, BAR, images))["panel_subtype"][0] == []


def test_votes_for_another_cluster_model_are_not_counted():
    others = [vote(f"other-{i}", f"p{i}", 1, MICRO, cluster_model="model-b") for i in range(3)]
    votes = ballots(BAR, BAR, BAR) + others
    assert settled(*votes)["global"][:2] == (["kind-plot"], "agreed")


def test_an_adjudicator_settles_and_the_agreement_says_how_disputed_it_was():
    found = settled(*ballots(BAR, MICRO), *ballots(BAR, task="adjudication"))
    assert found["global"] == (["kind-plot"], "adjudicated", pytest.approx(2 / 3), 3)


def test_an_adjudicator_who_cannot_tell_leaves_the_question_open():
    assert settled(*ballots(BAR, MICRO), *ballots(CANT_TELL, task="adjudication"))["global"][1] == "tie"


def test_a_ruling_on_the_global_concept_reopens_local_ones_that_no_longer_fit():
    ruling = {"global": ["kind-map"]}
    found = settled(*ballots(BAR, BAR, BAR), *ballots(ruling, task="adjudication"))
    assert found["global"][:2] == (["kind-map"], "adjudicated")
    assert found["local"][:2] == ([], "contradiction")


@given(st.lists(st.frozensets(st.sampled_from("abc")), min_size=1, max_size=7), st.randoms())
def test_consensus_of_sets_ignores_order_and_never_chooses_a_minority_concept(answers, rng):
    outcome = majority_of_sets(answers, RULES)
    shuffled = list(answers)
    rng.shuffle(shuffled)
    assert majority_of_sets(shuffled, RULES) == outcome
    for concept in outcome.answer:
        assert sum(concept in a for a in answers) > len(answers) / 2


@given(st.lists(st.sampled_from("ab"), min_size=1, max_size=9), st.randoms())
def test_consensus_of_single_choices_ignores_order_and_ties_answer_nothing(answers, rng):
    outcome = majority_of_one(answers, RULES)
    shuffled = list(answers)
    rng.shuffle(shuffled)
    assert majority_of_one(shuffled, RULES) == outcome
    assert (outcome.status == "tie") == (2 * answers.count("a") == len(answers))


def test_the_check_refuses_what_breaks_the_vocabulary_and_passes_what_consensus_makes():
    good = consensus(votes_frame([(v, "active") for v in ballots(BAR, BAR)]), MODEL, rules=RULES, taxonomy=load())
    assert violations(good, load()) == []

    def with_answer(question, answer):
        changed = pl.when(pl.col("question") == question).then(pl.lit(answer)).otherwise(pl.col("answer"))
        return violations(good.with_columns(answer=changed), load())

    assert with_answer("global", ["kind-map"]) == [
        "cluster 1: local concept 'bar plot' needs the global concept 'plot or chart'"
    ]
    assert with_answer("global", ["kind-nothing"]) == ["cluster 1: unknown concept kind-nothing"]
    assert "twice" in with_answer("global", ["kind-plot", "kind-plot"])[0]
    assert "sub-type" in with_answer("panel_subtype", ["panel-multiple-plots"])[0]


def test_the_stage_publishes_with_lineage_and_says_what_waits(tmp_path):
    lake = synthetic_lake(tmp_path, clusters=3, members=1)
    box = BallotBox(tmp_path, load())
    votes = ballots(BAR, BAR) + ballots(BAR, MICRO, cluster=2) + [vote("late-vote", "p0", 3, BAR, cluster_model="old")]
    for name in ("p0", "p1"):
        box.register.ensure(name)
    box.append(votes)
    version = collect_votes(lake).data_version
    report = stage_annotations(lake)
    assert report.reconciles
    assert report.metrics["clusters_to_adjudicate"] == 1
    assert report.metrics["votes_for_other_cluster_models"] == 1
    inputs = lake.manifest(ANNOTATIONS, None).inputs
    assert inputs.keys() == {"expert_votes", "cluster_model", "taxonomy"}
    assert inputs["expert_votes"] == version
    assert stage_annotations(lake).data_version == report.data_version


def test_before_anybody_voted_the_table_is_empty_and_nothing_fails(tmp_path):
    lake = synthetic_lake(tmp_path, clusters=3, members=1)
    assert stage_annotations(lake).rows == 0
    assert lake.manifest(ANNOTATIONS, None).inputs.keys() == {"cluster_model", "taxonomy"}
