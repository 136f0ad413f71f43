"""Each rule of the text against people and other sources: right ones, reach, silent ones; and against real pictures."""

import csv
import re
from pathlib import Path, PurePosixPath

import polars as pl
import pytest

from biomedica_assets.lib.annotate import consensus
from biomedica_assets.lib.annotate.ballots import BallotBox
from biomedica_assets.lib.annotate.sources import claims, combine, rules, scores, text
from biomedica_assets.lib.annotate.tally import collect_votes
from biomedica_assets.lib.annotate.taxonomy.model import load
from biomedica_assets.lib.jats.article import parse_article
from biomedica_assets.lib.jats.rows import Known, Rows
from biomedica_assets.lib.tables import CAPTIONS, FIGURES, MENTIONS, RULE_COUNTS, RULE_SCORES, TEXT_LABELS
from biomedica_assets_tests.lib.annotate.synthetic import CHUNK, publish, synthetic_lake
from biomedica_assets_tests.lib.annotate.voting import BAR, vote

TAXONOMY = load()
JUDGED = Path(__file__).with_name("judged_kinds.csv")
"""118 pictures of real articles and the top kinds that they show, judged by eye without looking at any label."""


def counts(said, truth):
    media = pl.DataFrame(said, schema=["media_id", "rule", "place"], orient="row")
    schema = {"media_id": pl.String, "concept_id": pl.String, "source": pl.String, "simulated": pl.Boolean}
    told = pl.DataFrame([(*row, False) for row in truth], schema=schema, orient="row")
    frame = scores.count_rules(media, told, TAXONOMY)
    RULE_COUNTS.validate(frame)
    return frame


def shares(frame, **which):
    (row,) = frame.filter(**which).iter_rows(named=True)
    return row["n_images"], row["n_judged"], row["n_right"]


SAID = [
    ("a", "kind-bar-plot/bar", "head"),
    ("a", "kind-bar-plot/bar", "caption"),
    ("b", "kind-bar-plot/bar", "caption"),
    ("c", "kind-bar-plot/bar", "caption"),
    ("d", "kind-plot/plot", "mention"),
]


def test_a_rule_is_held_against_people_image_by_image():
    """An image that people call a map, or nothing of ours, is a wrong one of the rule; one they never saw is none."""
    truth = [("a", "kind-plot", "person"), ("a", "kind-bar-plot", "person"), ("b", None, "person")]
    frame = counts(SAID, truth)
    assert shares(frame, rule="kind-bar-plot/bar", place="any", source="person") == (3, 2, 1)
    assert shares(frame, rule="kind-bar-plot/bar", place="caption", source="person") == (3, 2, 1)
    assert shares(frame, rule="kind-bar-plot/bar", place="head", source="person") == (1, 1, 1)
    assert shares(frame, rule="kind-plot/plot", place="any", source="all") == (1, 0, 0)


def test_another_source_that_stops_at_the_wide_concept_says_nothing_of_the_narrow_one():
    """Votes that say plot do not say that it is no bar plot; votes that say map do."""
    truth = [("a", "kind-plot", "propagated"), ("b", "kind-map", "propagated"), ("c", "kind-plot", "propagated")]
    truth.append(("c", "kind-bar-plot", "propagated"))
    assert shares(counts(SAID, truth), rule="kind-bar-plot/bar", place="any", source="propagated") == (3, 2, 1)


def test_scores_sum_over_shelves_and_name_rules_that_never_matched():
    """Whoever edits the rules wants to see those that reach nothing."""
    one = counts(SAID, [("a", "kind-plot", "person"), ("a", "kind-bar-plot", "person")])
    whole = {"rule": "*", "place": "any", "source": "all", "simulated": False, "n_judged": 0, "n_right": 0}
    images = RULE_COUNTS.frame([whole | {"n_images": 4}])
    known = {name: rule for name, rule in rules.shipped().all.items() if name in {"kind-bar-plot/bar", "kind-map/map"}}
    frame = scores.score_rules(pl.concat([one, images, one, images]), known)
    RULE_SCORES.validate(frame)
    (row,) = frame.filter(rule="kind-bar-plot/bar", place="any", source="person").iter_rows(named=True)
    assert (row["n_images"], row["n_judged"], row["n_right"]) == (6, 2, 2)
    assert (row["reach"], row["precision"], row["high"]) == (0.75, 1.0, 1.0)
    assert row["low"] == pytest.approx(0.342, abs=0.001)  # Wilson's interval of 2 of 2
    assert shares(frame, rule="kind-map/map") == (0, 0, 0)
    assert "kind-plot/plot" not in set(frame["rule"])  # it is no rule any more


def test_the_stages_hold_rules_against_votes_and_verdicts_of_a_shelf(tmp_path):
    """Images that were looked at one by one, and clusters that were voted on, count apart."""
    lake = synthetic_lake(tmp_path / "data", clusters=2, members=3)
    box = BallotBox(lake.root, load())
    box.register.ensure("ada")
    for media_id, kind in (("m000-00", "kind-plot"), ("m000-01", "kind-map")):
        answer = {"global": [kind], "local": []}
        more = {"media_id": media_id, "task": "audit", "cluster_model": None}
        box.append([vote(f"ada-{media_id}", "ada", None, answer, **more)])
    box.append([vote(f"ada-{c}", "ada", c, BAR | {"local": []}) for c in (0, 1)])
    collect_votes(lake)
    consensus.stage_annotations(lake, rules=consensus.Rules(min_votes=1))
    rule = {"rule": "kind-plot/plot", "place": "head", "concept_id": "kind-plot", "words": "plot", "trust": 0.7}
    publish(lake, TEXT_LABELS, CHUNK, [rule | {"figure_id": f"f-m00{c}-0{n}"} for c in (0, 1) for n in range(3)])
    scores.stage_counts(lake, "PMC000")
    report = scores.stage_scores(lake)
    assert report.metrics["rules_judged"] == 1
    frame = lake.read(RULE_SCORES, None).filter(rule="kind-plot/plot", place="any")
    assert shares(frame, source="person") == (6, 2, 1)
    reach, judged, right = shares(frame, source="propagated")
    assert reach == 6
    assert judged == right >= 2  # images far from the middle of their cluster are unsure, and not held against


def found_by_text(mirror: Path, articles: set[str]) -> dict[str, set[str]]:
    """Top kinds of each graphic, ``PMC1.1/stem``, by the text alone."""
    rows = Rows()
    for article in sorted(articles):
        data = next((mirror / article).glob("*.xml")).read_bytes()
        number, version = article.removeprefix("PMC").split(".")
        rows.add(Known(article, int(number), int(version), "x", "x", None, False), parse_article(data, article))
    figures, captions = FIGURES.frame(rows.figures), CAPTIONS.frame(rows.captions)
    said = text.claims_of(figures, captions, MENTIONS.frame(rows.mentions), {}, rules.shipped())
    media = figures.explode("graphics").with_columns(
        media_id=pl.concat_str("article_id", pl.lit("/"), pl.col("graphics").struct.field("href"))
    )
    together = combine.combined(
        claims.upward(claims.of_text_frame(media.select("media_id", "figure_id"), said), TAXONOMY),
        combine.Trust({}, {}),
        TAXONOMY,
    )
    return {stem_of(media_id): set(tops or ()) for media_id, tops in together.select("media_id", "global").iter_rows()}


def stem_of(key: str) -> str:
    path = PurePosixPath(key)
    stem = re.sub(r"\.(jpe?g|gif|png|tiff?)$", "", path.name, flags=re.IGNORECASE)
    return f"{path.parts[0]}/{stem}"


@pytest.mark.full  # real articles
@pytest.mark.corpus
def test_without_any_vote_the_text_labels_real_pictures_as_a_reader_would(corpus):
    """What the recipe ``filtered`` takes of them is what a reader would take, though not all of it."""
    judged = {stem_of(row["key"]): set(row["kinds"].split()) for row in csv.DictReader(JUDGED.open())}
    found = found_by_text(corpus, {key.split("/")[0] for key in judged})
    said = {key: found.get(key, set()) for key in judged}
    n_said = sum(len(kinds) for kinds in said.values())
    n_right = sum(len(kinds & judged[key]) for key, kinds in said.items())
    assert n_right / n_said >= 0.93
    assert n_right / sum(map(len, judged.values())) >= 0.55
    wanted = {"kind-clinical-imaging", "kind-microscopy", "kind-assay", "kind-laboratory-specimen"}
    taken = {key for key, kinds in said.items() if kinds & wanted}
    readers = {key for key, kinds in judged.items() if kinds & wanted}
    assert taken <= readers
    assert len(taken) >= 9
    assert len(readers) == 13
