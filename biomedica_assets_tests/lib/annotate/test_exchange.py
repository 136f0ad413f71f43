"""Votes in other people's formats: round trips lose nothing, bad items are named, imports twice change nothing."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from biomedica_assets.lib.annotate.ballots import BallotBox
from biomedica_assets.lib.annotate.consensus import Rules, consensus, violations
from biomedica_assets.lib.annotate.exchange import biomedica, label_studio, tables, take_in
from biomedica_assets.lib.annotate.form import QUESTIONS, choices
from biomedica_assets.lib.annotate.tally import votes_frame
from biomedica_assets.lib.annotate.tasks import read_sheets
from biomedica_assets.lib.annotate.taxonomy.model import load
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets_tests.lib.annotate.synthetic import MODEL, synthetic_lake
from biomedica_assets_tests.lib.annotate.voting import BAR, CANT_TELL, MICRO, vote

LABELS = Path(__file__).resolve().parents[4] / "shared" / "biomedica_annotations" / "cluster_labels.json"
VOTES = [
    vote("aaaa1", "ada", 1, BAR | {"comment": 'says "so",\nand = more'}),
    vote(
        "bbbb1",
        "ben",
        1,
        MICRO | {"panel_subtype": "panel-multiple-images", "mixed": True, "content": ["content-brain"]},
    ),
    vote("bbbb2", "ben", 2, CANT_TELL, seconds=None),
]


def test_csv_gives_back_every_vote_as_it_was(tmp_path):
    path = tmp_path / "votes.csv"
    path.write_text(tables.export_csv(VOTES))
    found = tables.import_csv(path, load())
    assert list(found.votes) == VOTES
    assert (found.n_in, found.rejects) == (3, ())


def test_csv_with_a_byte_order_mark_and_windows_line_ends_reads_too(tmp_path):
    path = tmp_path / "votes.csv"
    path.write_bytes(b"\xef\xbb\xbf" + tables.export_csv(VOTES[2:]).replace("\n", "\r\n").encode())
    assert list(tables.import_csv(path, load()).votes) == VOTES[2:]


def test_a_bad_row_is_named_by_its_line_and_the_others_count(tmp_path):
    path = tmp_path / "votes.csv"
    path.write_text(tables.export_csv([VOTES[1], VOTES[2]]).replace("kind-microscopy", "kind-mystery"))
    found = tables.import_csv(path, load())
    assert [v.vote_id for v in found.votes] == ["vote-bbbb2"]
    (reject,) = found.rejects
    assert (reject.article_id, reject.subject) == ("votes.csv", "line 2")
    assert "'kind-mystery' is not a concept" in reject.message
    assert found.n_in == len(found.votes) + len(found.rejects)


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"", b"\xff\xfe\x00"])
def test_a_csv_of_another_form_is_refused(tmp_path, content):
    path = tmp_path / "votes.csv"
    path.write_bytes(content)
    with pytest.raises(PermanentFailure, match=r"votes\.csv"):
        tables.import_csv(path, load())


def test_label_studio_gives_back_the_votes_that_it_was_given(tmp_path):
    lake = synthetic_lake(tmp_path / "data", clusters=3, members=2)
    sheets = read_sheets(lake)
    text = label_studio.export_tasks(sheets, VOTES, image_url="/data/local-files/?d={path}")
    tasks = json.loads(text)
    assert [t["data"]["cluster"] for t in tasks] == [0, 1, 2]
    assert tasks[1]["data"]["images"][0] == "/data/local-files/?d=mirror/m001-00.png"
    path = tmp_path / "export.json"
    path.write_text(text)
    found = label_studio.import_annotations(path, load())
    assert {v.vote_id: v.answer.as_json() | {"comment": None} for v in found.votes[:2]} == {
        v.vote_id: v.answer.as_json() | {"comment": None} for v in VOTES[:2]
    }
    assert [v.annotator for v in found.votes] == ["ada", "ben", "ben"]
    assert found.votes[0].answer.comment == VOTES[0].answer.comment
    assert found.votes[2].answer.cant_tell


def test_an_export_as_label_studio_writes_it_becomes_votes(tmp_path):
    # the shape of its JSON export: numeric ids, users as objects, results with more keys than we need
    result = [
        {"id": "x1", "origin": "manual", "from_name": q, "to_name": "sheet", "type": "choices", "value": {"choices": c}}
        for q, c in (("panel_type", ["panel-single"]), ("global", ["kind-map"]), ("flags", ["mixed"]))
    ]
    done = {"id": 7, "completed_by": {"id": 3, "email": "Dr.Ada+x@uni.example"}, "lead_time": 8.25, "result": result}
    done["created_at"] = "2026-02-03T04:05:06.000000Z"
    task = {
        "id": 1,
        "data": {"cluster": 5, "cluster_model": MODEL},
        "annotations": [done, {**done, "was_cancelled": True}],
    }
    broken = {
        "data": {"cluster": 6, "cluster_model": MODEL},
        "annotations": [{**done, "id": 8, "result": []}, "odd", {}],
    }
    path = tmp_path / "export.json"
    path.write_text(json.dumps([task, broken, {"data": {}}, 3]))
    found = label_studio.import_annotations(path, load(), label_studio.Users({"someone@else": "ben"}))
    (one,) = found.votes
    assert (one.cluster, one.answer.mixed, one.seconds) == (5, True, 8.25)
    assert one.annotator == "dr-ada-x_uni-example-4f3bd2ce"
    assert [r.subject for r in found.rejects] == [
        "task 1, annotation 0", "task 1, annotation 1", "task 1, annotation 2", "task 2", "task 3"
    ]  # fmt: skip
    assert found.n_in == 6
    assert found.notes == ("task 0, annotation 1: skipped in Label Studio",)
    again = label_studio.import_annotations(path, load())
    assert again.votes[0].vote_id == one.vote_id


def test_the_labelling_interface_offers_every_concept_by_id():
    root = ET.fromstring(label_studio.labeling_config(load()))
    for question in QUESTIONS:
        (group,) = (node for node in root.iter("Choices") if node.get("name") == question)
        assert [node.get("alias") for node in group] == list(choices(question, load()))


def test_importing_twice_writes_once_under_registered_names(tmp_path):
    path = tmp_path / "votes.csv"
    path.write_text(tables.export_csv(VOTES))
    box = BallotBox(tmp_path, load())
    assert take_in(box, tables.import_csv(path, load())).kept == 3
    assert take_in(box, tables.import_csv(path, load())).kept == 0
    assert set(box.register.all()) == {"ada", "ben"}


def theirs(**changes: object) -> dict:
    plain = {"panel_type": "single", "panel_subtype": "single panel", "global_class": ["Maps"], "local_class": ["map"]}
    return plain | changes


@pytest.mark.parametrize(
    ("entry", "wanted"),
    [
        (theirs(), {"global": ["kind-map"], "local": [], "content": [], "panel_type": "panel-single"}),
        (
            theirs(global_class=["Clinical Imaging"], local_class=["brain", "ultrasound"]),
            {"global": ["kind-clinical-imaging"], "local": ["kind-ultrasound"], "content": ["content-brain"]},
        ),
        (
            theirs(global_class=["Microscopy"], local_class=["flowcytometry"]),
            {"global": ["kind-plot"], "local": ["kind-flow-cytometry"]},
        ),
        (
            theirs(panel_type="multiple", panel_subtype="multiple panels: images & plots"),
            {"panel_type": "panel-multiple", "panel_subtype": "panel-multiple-images-plots"},
        ),
        (theirs(panel_type="multiple"), {"panel_type": "panel-multiple", "panel_subtype": None}),
    ],
)
def test_their_labels_are_split_over_the_axes(entry, wanted):
    found = biomedica.translate(entry, load())
    assert {key: found[key] for key in wanted} == wanted


@pytest.mark.corpus
def test_all_2000_clusters_of_their_file_become_votes_and_each_contradiction_is_noted(tmp_path):
    if not LABELS.exists():
        pytest.skip("cluster_labels.json is not beside the repository (../shared/biomedica_annotations)")
    found = biomedica.import_cluster_labels(LABELS, load(), cluster_model=MODEL)
    assert (found.n_in, len(found.votes), found.rejects) == (2000, 2000, ())
    assert len(found.notes) == 95
    unanswered = [v.cluster for v in found.votes if "local" not in v.answer.concepts]
    assert len(unanswered) == 91
    assert [v.cluster for v in found.votes if "panel_type" not in v.answer.concepts] == [824, 1091]
    box = BallotBox(tmp_path, load())
    assert take_in(box, found).kept == 2000
    frame = consensus(votes_frame(box.with_status()), MODEL, rules=Rules(min_votes=1), taxonomy=load())
    assert violations(frame, load()) == []
    assert frame.filter(question="global", status="agreed").height == 2000
    assert {v.source for v in BallotBox(tmp_path, load()).votes()} == {"imported"}


def test_a_cluster_that_cannot_be_read_is_named_and_the_others_count(tmp_path):
    path = tmp_path / "cluster_labels.json"
    path.write_text(json.dumps({"1": theirs(), "x": theirs(), "3": theirs(local_class=["treasure map"])}))
    found = biomedica.import_cluster_labels(path, load(), cluster_model=MODEL)
    assert [v.cluster for v in found.votes] == [1]
    assert [r.subject for r in found.rejects] == ["cluster x", "cluster 3"]
    assert found.n_in == 3
