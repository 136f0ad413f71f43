"""One row followed both ways, and what still holds an article that is gone."""

from __future__ import annotations

import pytest

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.lineage import trace, withdrawn
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import TABLES
from biomedica_assets_tests.lib.lineage.world import ARTICLE, CHUNK, MEDIA, RECIPE, build, publish

ORIGIN = ["inventory", "listing", "metadata", "xml", "article", "figure", "image"]


@pytest.fixture
def lake(tmp_path):
    return build(Lake(tmp_path))


def kinds(links):
    return [link.what for link in links]


def test_an_article_is_followed_to_the_scores(lake):
    found = trace.trace(lake, "pmc123")
    assert found.subject == f"article {ARTICLE}"
    assert kinds(found.made_from) == ORIGIN[:5]
    assert kinds(found.contained_in) == [
        "figure", "image", "labels", "shard", "recipe", "checkpoint", "score", "leaderboard",
    ]  # fmt: skip
    assert found.not_made == ("retrieval_scores",)


def test_a_sample_names_its_voters_and_its_shard(lake):
    found = trace.trace(lake, MEDIA)
    assert kinds(found.made_from) == ORIGIN
    (labels,) = [link for link in found.contained_in if link.what == "labels"]
    assert labels.facts["voters"] == ["anna (human)"]


def test_a_score_is_followed_back_to_the_article(lake):
    for name in ("full-trained/kinds", "full-trained/kinds/auroc"):
        found = trace.trace(lake, name)
        assert kinds(found.made_from) == [*ORIGIN, "recipe", "checkpoint"]
        assert kinds(found.contained_in) == ["score", "leaderboard"]
        assert next(link for link in found.made_from if link.what == "xml").name == f"{ARTICLE}/{ARTICLE}.xml"


def test_a_checkpoint_is_followed_both_ways(lake):
    found = trace.trace(lake, "full-trained")
    assert kinds(found.made_from) == [*ORIGIN, "recipe", "checkpoint"]
    assert kinds(found.contained_in) == ["score", "leaderboard"]


def test_a_name_that_nothing_has_is_refused_with_what_was_looked_for(lake):
    with pytest.raises(PermanentFailure, match=r"no article .* sample, checkpoint"):
        trace.trace(lake, "nonsense")
    with pytest.raises(PermanentFailure, match="no inventory that was read lists PMC999"):
        trace.trace(lake, "PMC999")
    with pytest.raises(PermanentFailure, match="not an article"):
        trace.affected(lake, MEDIA)


def test_tables_that_are_not_made_are_named(tmp_path):
    lake = build(Lake(tmp_path))
    lake.remove(TABLES["recipe"], RECIPE)
    lake.remove(TABLES["expert_votes"], None)
    assert set(trace.trace(lake, MEDIA).not_made) >= {"recipe", "expert_votes"}


def retract(lake):
    row = {"article_id": ARTICLE, "pmcid": 123, "selected": False, "left_out_because": "retracted"}
    publish(lake, "article_index", CHUNK, row, inputs=[(TABLES["chunk_listing"], CHUNK)])


def test_nothing_is_left_over_while_the_article_is_taken(lake):
    assert list(withdrawn.remnants(lake)) == []


def test_a_retracted_article_is_found_wherever_it_still_is(lake):
    retract(lake)
    assert [(r.article_id, r.because, r.where) for r in withdrawn.remnants(lake)] == [
        (ARTICLE, "retracted", f"shards@{CHUNK}"),
        (ARTICLE, "retracted", f"recipe@{RECIPE}"),
        (ARTICLE, "retracted", f"checkpoints@{RECIPE}"),
    ]


def test_weights_are_named_after_their_recipe_has_forgotten_the_article(lake):
    """The case that matters: tables follow a retraction within hours, weights stay until somebody trains again."""
    retract(lake)
    for name in ("figures", "captions", "images", "shards"):
        publish(lake, name, CHUNK)
    publish(lake, "recipe", RECIPE)
    assert [r.where for r in withdrawn.remnants(lake)] == [f"checkpoints@{RECIPE}"]
    affected = trace.affected(lake, "PMC123.1")
    assert affected.made_from == ()
    assert kinds(affected.contained_in) == ["checkpoint", "score", "leaderboard"]
    assert affected.contained_in[0].facts["trained_on"] == {ARTICLE: 1}


def test_weights_whose_data_are_not_recorded_are_not_called_clean(lake):
    for path in (lake.root / "checkpoints").rglob("trained-on-*"):
        path.unlink()
    publish(lake, "recipe", RECIPE)
    assert withdrawn.trained_on(lake, RECIPE) is None
    (note,) = trace.affected(lake, "PMC123").contained_in[-1:]
    assert "not recorded" in note.facts["note"]


def test_records_of_training_that_no_weights_need_are_removed(lake):
    publish(lake, "recipe", RECIPE)
    withdrawn.remember_training(lake, RECIPE)
    publish(lake, "recipe", RECIPE, {"article_id": "PMC7.1", "split": "train"})
    withdrawn.remember_training(lake, RECIPE)
    assert len(list((lake.root / "checkpoints" / RECIPE).glob("trained-on-*"))) == 2
    assert withdrawn.trained_on(lake, RECIPE) == {ARTICLE: 1}
