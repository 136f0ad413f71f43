"""Votes out and in through ``biomedica votes``: out, in, revised, in again, in every format; nothing blocks a name."""

import csv
import io
import json
from pathlib import Path

import pytest
from label_studio_sdk.converter import Converter
from label_studio_sdk.label_interface import LabelInterface

from biomedica_assets import cli
from biomedica_assets.lib.annotate.ballots import BallotBox
from biomedica_assets.lib.annotate.taxonomy.model import load
from biomedica_assets_tests.lib.annotate.synthetic import MODEL, synthetic_lake
from biomedica_assets_tests.lib.annotate.voting import BAR, MICRO, vote

# What Label Studio 1.23.2 gave back for the export of ``lab``, with one vote of ada revised there, one annotation made
# there and one copied there from ben's.
THEIRS = Path(__file__).parent / "exported" / "label_studio_1.23.2.json"
COMMENT = "=1+1\r\nsecond line"
MAP = [("panel_type", ["panel-single"]), ("global", ["kind-map"])]


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A data directory with clusters and votes of two people and a simulated one, and its command ``votes``."""
    lake = synthetic_lake(tmp_path / "data", clusters=3, members=2)
    box = BallotBox(lake.root, load())
    for name, source in (("ada", "human"), ("ben", "human"), ("sim", "simulated")):
        box.register.ensure(name, source)
    box.append(
        [
            vote("ada-vote-1", "ada", 1, BAR | {"comment": COMMENT}),
            vote("ada-vote-2", "ada", 2, {k: v for k, v in BAR.items() if k != "content"}),
            vote("bbb-vote-1", "ben", 1, MICRO | {"mixed": True}),
            vote("sim-vote-1", "sim", 2, BAR, source="simulated"),
        ]
    )
    monkeypatch.setattr("biomedica_assets.commands.annotate.collect", lambda *_: None)
    return lake, lambda *words: cli.main(["votes", "--data-dir", str(lake.root), *map(str, words)])


def active(lake):
    found = BallotBox(lake.root, load()).active()
    return {
        (v.annotator, v.media_id if v.cluster is None else v.cluster): (v.source, v.answer.as_json()) for v in found
    }


def saved(run, capsys, path, *words):
    """What the command writes, in a file."""
    assert run(*words) == 0
    path.write_bytes(capsys.readouterr().out.encode())
    return path


def annotation(number, who, result=MAP, **more):
    parts = [{"from_name": q, "to_name": "sheet", "type": "choices", "value": {"choices": c}} for q, c in result]
    return {"id": number, "completed_by": who, "created_at": "2026-02-03T04:05:06Z", "result": parts, **more}


def exported(path, *annotations, cluster=0):
    path.write_text(json.dumps([{"data": {"cluster": cluster, "cluster_model": MODEL}, "annotations": [*annotations]}]))
    return path


@pytest.mark.parametrize("form", ["csv", "label-studio"])
def test_out_in_revised_in_again(lab, tmp_path, capsys, form):
    """An unchanged file changes nothing, a revised one counts from then on, and the first one again takes it back."""
    lake, run = lab
    before = active(lake)
    path = saved(run, capsys, tmp_path / "votes.out", "--format", form)
    written = path.read_bytes()
    assert run("--format", form, "--read", path) == 0
    assert "0 votes taken in, 4 known before, 0 left out" in capsys.readouterr().out
    assert active(lake) == before
    path.write_bytes(written.replace(b"panel-single", b"panel-multiple"))
    for _ in range(2):
        assert run("--format", form, "--read", path) == 0
        assert {key: answer["panel_type"] for key, (_, answer) in active(lake).items()} == dict.fromkeys(
            before, "panel-multiple"
        )
    path.write_bytes(written)
    assert run("--format", form, "--read", path) == 0
    assert active(lake) == before
    assert active(lake)["ada", 1][1]["comment"] == COMMENT
    assert active(lake)["sim", 2][0] == "simulated"


@pytest.mark.parametrize("form", ["csv", "label-studio"])
def test_votes_move_to_a_data_directory_where_nobody_is_registered(lab, tmp_path, capsys, form):
    lake, run = lab
    box = BallotBox(lake.root, load())
    box.append([vote("ben-undo", "ben", 1, None, withdraws="vote-bbb-vote-1")])
    path = saved(run, capsys, tmp_path / "votes.out", "--format", form)
    other = synthetic_lake(tmp_path / "other", clusters=3, members=2)
    assert cli.main(["votes", "--data-dir", str(other.root), "--format", form, "--read", str(path)]) == 0
    assert active(other) == active(lake)
    assert ("ben", 1) not in active(other)  # what was taken back stays taken back


@pytest.mark.parametrize("comment", ["=1+1", "'=1", "@x", "-1\r\n+2", "a\rb", "a\r\n\r\nb", 'x","=y', "''", "a\u2028z"])
def test_any_comment_survives_and_none_is_computed(lab, tmp_path, capsys, comment):
    lake, run = lab
    BallotBox(lake.root, load()).append([vote("ada-vote-3", "ada", 0, BAR | {"comment": comment})])
    path = saved(run, capsys, tmp_path / "v.csv")
    rows = csv.reader(io.StringIO(path.read_bytes().decode(), newline=""))
    assert not [cell for row in rows for cell in row if cell[:1] in {*"=+@-\t\r"} - {""} and cell != "-"]
    before = active(lake)
    assert run("--read", path) == 0
    assert active(lake) == before
    assert before["ada", 0][1]["comment"] == comment


def test_what_label_studio_gives_back_is_taken_in(lab, capsys):
    """Its users are numbers; the author, time and id of a vote that it was given are not in its file."""
    lake, run = lab
    for _ in range(2):
        assert run("--format", "label-studio", "--read", THEIRS) == 0
    assert "0 votes taken in, 6 known before, 0 left out" in capsys.readouterr().out
    found = active(lake)
    assert found["ada", 1][1]["local"] == ["kind-line-plot"]  # revised there
    assert found["ada", 1][1]["comment"] == COMMENT
    assert found["ls-1", 0][1]["global"] == ["kind-map"]  # made there
    assert found["ls-1", 1][1] == found["ben", 1][1]  # copied there: another person's vote, ben's stays
    assert {who for who, _ in found} == {"ada", "ben", "sim", "ls-1"}


def test_label_studio_accepts_the_interface_and_our_annotations(lab, tmp_path, capsys):
    """Judged by its own SDK; the answers and authors that it would refuse are not in the file."""
    _, run = lab
    config = saved(run, capsys, tmp_path / "config.xml", "--format", "label-studio-config").read_text()
    interface = LabelInterface(config)
    interface.validate()
    tasks = json.loads(saved(run, capsys, tmp_path / "t.json", "--format", "label-studio").read_text())
    every = [one for task in tasks for one in task["annotations"]]
    assert len(every) == 4
    assert all(interface.validate_annotation(one) for one in every if "comment" not in str(one))
    assert not any("completed_by" in one for one in every)
    wrong = json.loads(json.dumps(every[-1]).replace("kind-plot", "kind-nothing"))
    assert not interface.validate_annotation(wrong)
    folder = tmp_path / "converted"
    Converter(config, str(tmp_path), download_resources=False).convert(
        str(tmp_path / "t.json"), str(folder), "JSON", is_dir=False
    )
    assert run("--format", "label-studio", "--read", folder / "result.json") == 0
    assert "4 known before" in capsys.readouterr().out
    Converter(config, str(tmp_path), download_resources=False).convert(
        str(THEIRS), str(folder), "JSON_MIN", is_dir=False
    )
    assert run("--format", "label-studio", "--read", folder / "result.json") == 1
    assert "is JSON-MIN" in capsys.readouterr().err


def test_images_of_a_task_have_their_own_addresses(lab, capsys):
    _, run = lab
    run("--format", "label-studio", "--image-url", "http://127.0.0.1/")
    first, *_ = json.loads(capsys.readouterr().out)
    assert first["data"]["images"] == [f"http://127.0.0.1/mirror/m000-0{n}.png" for n in (0, 1)]


def test_people_of_one_name_at_several_hospitals_are_several(lab, tmp_path):
    """And one with a very long address keeps a name that fits; addresses that look alike stay apart."""
    lake, run = lab
    mails = ["ben@one.example", "ben@two.example", "ben.one@example", "Ben-one@example", "x" * 50 + "@three.example"]
    done = [annotation(n, {"email": mail}) for n, mail in enumerate(mails)]
    assert run("--format", "label-studio", "--read", exported(tmp_path / "ls.json", *done)) == 0
    assert len([who for who, cluster in active(lake) if cluster == 0]) == len(mails)


def test_user_7_of_two_label_studios_is_two_people(lab, tmp_path, capsys):
    lake, run = lab
    mine = exported(tmp_path / "a.json", annotation(1, 7, unique_id="a" * 32))
    other = exported(
        tmp_path / "b.json", annotation(1, 7, [("panel_type", ["panel-single"]), ("global", ["kind-plot"])])
    )
    assert run("--format", "label-studio", "--read", mine) == 0
    assert run("--format", "label-studio", "--read", other) == 1  # would replace the first one's vote
    assert "give --site" in capsys.readouterr().err
    assert run("--format", "label-studio", "--site", "north", "--read", other) == 0
    assert run("--format", "label-studio", "--read", mine) == 0
    found = active(lake)
    assert (found["ls-7", 0][1]["global"], found["north-7", 0][1]["global"]) == (["kind-map"], ["kind-plot"])


def test_users_are_named_by_a_file(lab, tmp_path, capsys):
    lake, run = lab
    users = tmp_path / "users.yaml"
    users.write_text("7: ada\nBen@one.example: ben\n")
    done = [annotation(1, 7), annotation(2, {"email": "ben@one.example"})]
    assert run("--format", "label-studio", "--users", users, "--read", exported(tmp_path / "a.json", *done)) == 0
    assert {who for who, cluster in active(lake) if cluster == 0} == {"ada", "ben"}
    users.write_text("- 7\n")
    assert run("--format", "label-studio", "--users", users, "--read", tmp_path / "a.json") == 1
    assert "a line for each user was expected" in capsys.readouterr().err


def test_one_contradiction_is_left_out_and_blocks_neither_the_others_nor_a_name(lab, tmp_path, capsys):
    """A name that was only ever refused can get a token, as any other."""
    lake, run = lab
    rows = [
        vote("sim-vote-9", "sim", 0, BAR),  # sim is registered as simulated
        vote("ada-vote-1", "alice", 1, BAR),  # the id is ada's
        vote("ben-vote-9", "ben", 0, BAR),
        vote("ben-vote-8", "ben", 2, BAR, source="imported"),
        vote("bob-vote-1", "Bob Smith", 0, BAR),
    ]
    from biomedica_assets.lib.annotate.exchange.tables import export_csv

    path = tmp_path / "votes.csv"
    path.write_bytes(export_csv(rows).encode())
    assert run("--read", path) == 1
    told = capsys.readouterr()
    assert "5 items: 1 votes taken in, 0 known before, 4 left out" in told.out
    assert "sim is registered as simulated, the vote is human" in told.err
    assert "taken in before as another vote of ada" in told.err
    assert "'Bob Smith' cannot be an annotator's name" in told.err
    assert ("ben", 0) in active(lake)
    assert active(lake)["ada", 1][1]["comment"] == COMMENT
    assert "alice" not in BallotBox(lake.root, load()).register.all()
    BallotBox(lake.root, load()).register.ensure("alice", "imported")  # what earlier versions left behind
    assert cli.main(["annotators", "--data-dir", str(lake.root), "--add", "alice"]) == 0
    assert cli.main(["annotators", "--data-dir", str(lake.root), "--add", "sim"]) == 1


@pytest.fixture
def judged(lab):
    """Votes on single images, in addition."""
    lake, run = lab
    box = BallotBox(lake.root, load())
    more = {"cluster_model": None, "task": "audit"}
    box.append(
        [
            vote("ada-img-1", "ada", None, BAR | {"comment": COMMENT}, media_id="m000-00", **more),
            vote("ben-img-1", "ben", None, {"global": ["kind-plot"], "local": []}, media_id="m000-00", **more),
            vote("ben-img-2", "ben", None, {"cant_tell": True}, media_id="m001-01", **more),
            vote("ada-img-2", "ada", None, MICRO | {"content": ["content-brain"]}, media_id="m002-00", **more),
        ]
    )
    return lake, run


def test_coco_out_in_revised_in_again(judged, tmp_path, capsys):
    lake, run = judged
    before = active(lake)
    assert run("--format", "coco") == 0
    told = capsys.readouterr()
    assert "4 votes on clusters are not in it" in told.err
    whole = json.loads(told.out)
    names = [image["file_name"] for image in whole["images"]]
    assert names == ["mirror/m000-00.png", "mirror/m001-01.png", "mirror/m002-00.png"]
    path = tmp_path / "instances.json"
    path.write_text(told.out)
    from pycocotools.coco import COCO

    coco = COCO(str(path))
    kinds = {coco.cats[one["category_id"]]["name"] for one in coco.imgToAnns[1]}
    assert kinds == {"kind-bar-plot", "kind-plot", "panel-single"}
    assert run("--format", "coco", "--read", path) == 0
    assert "0 votes taken in, 4 known before, 0 left out" in capsys.readouterr().out
    assert active(lake) == before
    number = {category["name"]: category["id"] for category in whole["categories"]}
    for one in whole["annotations"]:
        if one["category_id"] == number["kind-bar-plot"]:
            one["category_id"] = number["kind-ultrasound"]
    path.write_text(json.dumps(whole))
    for _ in range(2):
        assert run("--format", "coco", "--read", path) == 0
        answer = active(lake)["ada", "m000-00"][1]
        assert (answer["global"], answer["local"]) == (["kind-clinical-imaging"], ["kind-ultrasound"])
        assert answer["comment"] == COMMENT
    path.write_text(told.out)
    assert run("--format", "coco", "--read", path) == 0
    assert active(lake) == before


def test_coco_of_another_tool_is_taken_in_by_file_name_and_name_of_class(lab, tmp_path, capsys):
    lake, run = lab
    whole = {
        "images": [{"id": 5, "file_name": "images\\m001-00.png"}, {"id": 6, "file_name": "nowhere.png"}],
        "categories": [{"id": 1, "name": "Bar plot"}, {"id": 2, "name": "sea monster"}],
        "annotations": [
            {"id": 1, "image_id": 5, "category_id": 1},
            {"id": 2, "image_id": 6, "category_id": 1},
            {"id": 3, "image_id": 5, "category_id": 2, "attributes": {"annotator": "eve"}},
        ],
    }
    path = tmp_path / "theirs.json"
    path.write_text(json.dumps(whole))
    assert run("--format", "coco", "--read", path) == 1
    assert "give --annotator" in capsys.readouterr().err
    assert run("--format", "coco", "--annotator", "lab-two", "--read", path) == 1
    told = capsys.readouterr()
    assert "3 items: 1 votes taken in, 0 known before, 2 left out" in told.out
    assert "the image is none of ours" in told.err
    assert "'sea monster' is no concept" in told.err
    assert active(lake)["lab-two", "m001-00"][1]["local"] == ["kind-bar-plot"]
    path.write_text("[]")
    assert run("--format", "coco", "--read", path) == 1
    assert "is no COCO file" in capsys.readouterr().err


def test_an_old_export_without_ids_of_the_world_is_told_apart_by_author(lab, tmp_path):
    """Files of old versions number annotations from 1 in each project."""
    lake, run = lab
    for who in ("ann@one.example", "bob@two.example"):
        path = exported(tmp_path / "x.json", annotation(1, {"email": who}))
        assert run("--format", "label-studio", "--read", path) == 0
    assert {who for who, cluster in active(lake) if cluster == 0} == {"ann_one-example", "bob_two-example"}
