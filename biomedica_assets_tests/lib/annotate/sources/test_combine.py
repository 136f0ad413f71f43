"""All sources together: labels without votes, hierarchy kept, disagreement weighed, sources named."""

import polars as pl
import pytest

from biomedica_assets.lib.annotate.sources import trust
from biomedica_assets.lib.annotate.sources.claims import SCHEMA, upward
from biomedica_assets.lib.annotate.sources.combine import Trust, combined
from biomedica_assets.lib.annotate.taxonomy.model import load

TAXONOMY = load()


def together(*rows: tuple[str, str, str, str]) -> dict[str, dict]:
    claims = upward(pl.DataFrame(rows, schema=SCHEMA, orient="row"), TAXONOMY)
    return {row["media_id"]: row for row in combined(claims, Trust({}, {}), TAXONOMY).iter_rows(named=True)}


def test_without_any_vote_the_head_of_a_caption_labels_and_a_heading_alone_does_not():
    """Most users never gather annotators; subject headings speak of the article and not of the figure."""
    found = together(("a", "kind-bar-plot", "text", "head"), ("b", "kind-magnetic-resonance", "text", "mesh"))
    assert (found["a"]["global"], found["a"]["local"]) == (["kind-plot"], ["kind-bar-plot"])
    assert found["a"]["global_provenance"] == "text"
    assert found["b"]["global"] is None


def test_sources_that_agree_are_surer_than_each_and_both_are_named():
    """And one source against a surer one loses."""
    found = together(
        ("a", "kind-plot", "text", "head"),
        ("b", "kind-plot", "text", "head"), ("b", "kind-plot", "propagated", "sure"),
        ("c", "kind-map", "text", "mention"), ("c", "kind-plot", "propagated", "sure"),
    )  # fmt: skip
    assert found["b"]["global_confidence"] > found["a"]["global_confidence"]
    assert found["b"]["global_provenance"] == "propagated+text"
    assert found["c"]["global"] == ["kind-plot"]


def test_no_narrow_concept_is_surer_than_the_wide_one():
    """A label without what is above it would break the hierarchy."""
    for row in together(("a", "kind-bar-plot", "text", "head"), ("a", "kind-plot", "propagated", "unsure")).values():
        sure = {c["concept_id"]: c["confidence"] for c in row["claims"] if c["source"] == "combined"}
        assert sure["kind-bar-plot"] <= sure["kind-plot"]


def verdicts(n: int) -> pl.DataFrame:
    """Images that people call plots, which the text calls plots and the votes call maps."""
    rows = []
    for i in range(n):
        one = {"media_id": f"m{i:03d}", "article_id": f"PMC{i}.1", "simulated": True}
        said = (("kind-plot", "text", "head"), ("kind-map", "propagated", "sure"), ("kind-plot", "person", "yes"))
        rows += [one | {"concept_id": c, "source": s, "symbol": y} for c, s, y in said]
    return pl.DataFrame(rows)


def test_peoples_verdicts_turn_the_trust_in_a_source():
    """The votes were believed more; forty verdicts say otherwise, and the leaderboard says so too."""
    candidates, sources, _ = trust.judged_items(verdicts(40), TAXONOMY)
    learned = trust.as_trust(trust.estimate(candidates, sources))
    claims = pl.DataFrame(
        [("x", "kind-plot", "text", "head"), ("x", "kind-map", "propagated", "sure")], schema=SCHEMA, orient="row"
    )
    (row,) = combined(claims, learned, TAXONOMY).iter_rows(named=True)
    assert row["global"] == ["kind-plot"]
    board = trust.leaderboard(verdicts(60), TAXONOMY)
    whole = {r["source"]: r for r in board.filter(question="global", concept_id="all").iter_rows(named=True)}
    assert whole["text"]["precision"] == 1
    assert whole["combined"]["recall"] == 1
    assert whole["propagated"]["recall"] == 0
    assert whole["text"]["coverage"] == pytest.approx(1)


def test_few_candidates_leave_what_is_believed():
    """Ten images teach nothing about a source."""
    frame = trust.estimate(*trust.judged_items(verdicts(10).filter(pl.col("source") != "person"), TAXONOMY)[:2])
    assert not frame["estimated"].any()
