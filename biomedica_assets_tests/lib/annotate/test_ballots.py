"""Votes survive: what is confirmed is on the disk, what is broken is named, nothing else is lost with it."""

import dataclasses
import json
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biomedica_assets.lib.annotate.annotators import UnknownAnnotator
from biomedica_assets.lib.annotate.ballots import BallotBox, votes_digest
from biomedica_assets.lib.annotate.form import InvalidAnswer
from biomedica_assets.lib.annotate.tally import collect_votes
from biomedica_assets.lib.annotate.taxonomy.model import load
from biomedica_assets.lib.annotate.votes import InvalidVote, VoteConflict, read_vote
from biomedica_assets.lib.errors import BiomedicaError, PermanentFailure, StoreError
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import EXPERT_VOTES
from biomedica_assets_tests.lib.annotate.voting import BAR, CANT_TELL, LINE, MICRO, record, vote


@pytest.fixture
def box(tmp_path):
    box = BallotBox(tmp_path, load())
    for name in ("ada", "ben"):
        box.register.ensure(name)
    return box


def reopened(box: BallotBox) -> BallotBox:
    return BallotBox(box.folder.parent.parent, load())


def test_a_vote_comes_back_as_it_was_given(box):
    given_ = vote(
        "aaaa1", "ada", 3, MICRO | {"panel_subtype": "panel-multiple-images", "mixed": True, "comment": "ü\n✓"}
    )
    assert box.append([given_]) == [True]
    assert reopened(box).votes() == [given_]
    assert box.votes() == [given_]


def test_the_same_vote_sent_again_counts_once_even_if_it_was_sent_later(box):
    first = vote("aaaa1", "ada", 3, BAR)
    again = dataclasses.replace(first, time="2027-01-01T00:00:00+00:00", seconds=9.0)
    assert box.append([first]) == [True]
    assert reopened(box).append([again]) == [False]
    assert reopened(box).votes() == [first]


def test_an_id_taken_by_another_vote_is_refused_and_the_batch_with_it(box):
    box.append([vote("aaaa1", "ada", 3, BAR)])
    with pytest.raises(VoteConflict, match="vote-aaaa1 is taken"):
        box.append([vote("bbbb1", "ada", 4, BAR), vote("aaaa1", "ada", 3, LINE)])
    with pytest.raises(VoteConflict):
        box.append([vote("aaaa1", "ben", 3, BAR)])
    assert [v.vote_id for v in reopened(box).votes()] == ["vote-aaaa1"]


def test_a_later_vote_replaces_an_earlier_one_and_undo_brings_it_back(box):
    box.append([vote("aaaa1", "ada", 3, BAR), vote("aaaa2", "ada", 3, LINE), vote("bbbb1", "ben", 3, BAR)])
    status = {v.vote_id: s for v, s in box.with_status()}
    assert status == {"vote-aaaa1": "replaced", "vote-aaaa2": "active", "vote-bbbb1": "active"}
    box.append([vote("aaaa3", "ada", 3, None, withdraws="vote-aaaa2")])
    status = {v.vote_id: s for v, s in reopened(box).with_status()}
    assert status == {"vote-aaaa1": "active", "vote-aaaa2": "withdrawn", "vote-bbbb1": "active"}


def test_nobody_can_withdraw_the_vote_of_another(box):
    box.append([vote("aaaa1", "ada", 3, BAR), vote("bbbb1", "ben", 3, None, withdraws="vote-aaaa1")])
    assert [(v.vote_id, s) for v, s in box.with_status()] == [("vote-aaaa1", "active")]


def test_an_unknown_annotator_is_refused_by_name_and_nothing_is_written(box):
    with pytest.raises(UnknownAnnotator, match="'eve' is not a registered annotator"):
        box.append([vote("aaaa1", "ada", 3, BAR), vote("eeee1", "eve", 3, BAR)])
    assert reopened(box).votes() == []


@pytest.mark.parametrize("name", ["../ada", "a/b", "ADA", "", "-a", "a" * 41, "ada.jsonl", "ada\n"])
def test_a_name_that_could_be_a_path_is_no_annotator(box, name):
    with pytest.raises(PermanentFailure, match="cannot be an annotator's name"):
        box.register.ensure(name)


def test_a_torn_last_line_is_reported_and_costs_only_itself(box):
    kept = vote("aaaa1", "ada", 3, BAR)
    box.append([kept])
    path = box.folder / "ada.jsonl"
    path.write_bytes(path.read_bytes() + vote("aaaa2", "ada", 4, BAR).line().encode()[:50])
    after = reopened(box)
    assert after.votes() == [kept]
    assert [(r.article_id, "torn" in r.message) for r in after.rejects()] == [("ada.jsonl, line 2", True)]
    new = vote("aaaa3", "ada", 5, BAR)
    after.append([new])
    assert after.votes() == reopened(box).votes() == [kept, new]
    assert [r.article_id for r in reopened(box).rejects()] == ["ada.jsonl, line 2"]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_wherever_a_file_is_cut_every_whole_line_before_the_cut_counts(tmp_path_factory, data):
    box = BallotBox(tmp_path_factory.mktemp("cut"), load())
    box.register.ensure("ada")
    box.append([vote(f"aaaa{i}", "ada", i, BAR) for i in range(3)])
    path = box.folder / "ada.jsonl"
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    after = reopened(box)
    assert len(after.votes()) == whole[:cut].count(b"\n")
    new = vote("bbbbb", "ada", 9, LINE)
    after.append([new])
    # a cut just before a line feed leaves a whole vote, which the next append closes
    ends = [i for i, byte in enumerate(whole) if byte == ord("\n")]
    complete = sum(end <= cut for end in ends)
    final = reopened(box)
    assert len(final.votes()) == complete + 1
    assert len(final.rejects()) == (cut > 0 and cut not in ends and cut - 1 not in ends)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"not json", "Expecting value"),
        (b"[1]", "no JSON object"),
        (b"{\xff}", "codec"),
        (b"[" * 100_000, "recursion"),
        (json.dumps(record("bbbb1", "ada", 1, BAR | {"local": ["kind-nothing"]})).encode(), "is not a concept"),
        (json.dumps(record("bbbb1", "ben", 1, BAR)).encode(), "is ben's but lies in the file of ada"),
        (json.dumps(record("aaaa1", "ada", 1, LINE)).encode(), "duplicate vote: id vote-aaaa1"),
        (json.dumps(record("bbbb1", "ada", 1, BAR, odd=1)).encode(), "unknown field 'odd'"),
    ],
)
def test_a_bad_line_is_named_with_its_reason_and_the_others_count(box, line, reason):
    votes = [vote("aaaa1", "ada", 3, BAR), vote("aaaa2", "ada", 4, BAR)]
    box.append(votes[:1])
    path = box.folder / "ada.jsonl"
    path.write_bytes(path.read_bytes() + line + b"\n" + votes[1].line().encode() + b"\n")
    after = reopened(box)
    assert after.votes() == votes
    (reject,) = after.rejects()
    assert reject.article_id == "ada.jsonl, line 2"
    assert reason in reject.message


def test_votes_of_a_name_that_is_not_registered_are_named_and_the_others_count(box):
    box.append([vote("aaaa1", "ada", 3, BAR)])
    (box.folder / "eve.jsonl").write_text(vote("eeee1", "eve", 3, BAR).line() + "\n")
    after = reopened(box)
    assert [v.annotator for v in after.votes()] == ["ada"]
    assert "unknown annotator eve" in after.rejects()[0].message


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"vote_id": "../../etc"}, "vote_id"),
        ({"vote_id": "short"}, "vote_id"),
        ({"cluster": -1}, "cluster"),
        ({"cluster": True}, "cluster"),
        ({"cluster": "3"}, "cluster"),
        ({"cluster": None}, "needs cluster"),
        ({"task": "audit"}, "needs media_id"),
        ({"task": "audit", "media_id": "../x"}, "media_id"),
        ({"task": "rename"}, "task"),
        ({"source": "oracle"}, "source"),
        ({"seconds": -1}, "seconds"),
        ({"seconds": float("nan")}, "seconds"),
        ({"seconds": 10**400}, "seconds"),
        ({"answer": None}, "either an answer"),
        ({"answer": []}, "either an answer"),
        ({"withdraws": "vote-xxxx"}, "either an answer"),
        ({"time": ""}, "time"),
        ({"answer": BAR | {"comment": "\ud800"}}, "no Unicode"),
    ],
)
def test_a_malformed_vote_is_refused_with_its_field(changes, reason):
    with pytest.raises(InvalidVote, match=reason):
        read_vote(record("aaaa1", "ada", 3, BAR) | changes, load())


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (BAR | {"global": ["kind-map"]}, "'bar plot' needs the global concept 'plot or chart'"),
        (BAR | {"global": ["kind-bar-plot"]}, "no answer to this question"),
        (BAR | {"local": ["kind-plot"]}, "no answer to this question"),
        (BAR | {"content": ["kind-plot"]}, "no answer to this question"),
        (BAR | {"panel_type": "panel-multiple-plots"}, "no answer to this question"),
        (BAR | {"panel_subtype": "panel-multiple-plots"}, "needs the panel type"),
        (BAR | {"global": [], "local": []}, "at least one global concept"),
        (BAR | {"panel_type": None}, "panel type"),
        (BAR | {"cant_tell": True}, "not both"),
        (BAR | {"local": ["kind-bar-plot", "kind-bar-plot"]}, "twice"),
        (BAR | {"local": [3]}, "list of concept ids"),
        (BAR | {"global": sorted(load().tops("kind"))[:9], "local": []}, "at most 8"),
        (BAR | {"mixed": "yes"}, "true or false"),
        (BAR | {"comment": "x" * 2001}, "2000 characters"),
    ],
)
def test_an_answer_against_the_form_is_refused_with_the_rule(answer, reason):
    with pytest.raises(InvalidAnswer, match=reason):
        vote("aaaa1", "ada", 3, answer)


def test_cant_tell_needs_nothing_else():
    assert vote("aaaa1", "ada", 3, CANT_TELL).answer.cant_tell


def test_an_empty_list_is_an_answer_and_an_absent_one_is_none():
    answer = vote("aaaa1", "ada", 3, {**BAR, "content": None}).answer
    assert "content" not in answer.concepts
    assert vote("aaaa1", "ada", 3, BAR).answer.concepts["content"] == ()
    assert read_vote(json.loads(vote("aaaa1", "ada", 3, BAR).line()), load()) == vote("aaaa1", "ada", 3, BAR)


def test_two_boxes_on_one_folder_lose_nothing_and_see_each_other(box):
    other = reopened(box)
    boxes = [box, other]

    def write(which: int) -> None:
        for i in range(40):
            boxes[which].append([vote(f"x{which}-{i:04d}", "ada", i, BAR)])

    threads = [threading.Thread(target=write, args=(which,)) for which in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({v.vote_id for v in reopened(box).votes()}) == 80
    assert not reopened(box).rejects()
    box.refresh()
    assert len(box.votes()) == 80


def test_a_full_disk_is_a_clear_error_and_the_vote_is_not_there_until_it_is_sent_again(box, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    box.append([vote("aaaa1", "ada", 3, BAR)])
    before = (box.folder / "ada.jsonl").read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(StoreError, match=r"ada\.jsonl: No space left on device; the vote was not saved"):
            box.append([vote("aaaa2", "ada", 4, BAR)])
    assert (box.folder / "ada.jsonl").read_bytes() == before
    assert box.append([vote("aaaa2", "ada", 4, BAR)]) == [True]
    assert len(reopened(box).votes()) == 2


def test_the_digest_changes_with_every_vote_and_not_with_looking(box, tmp_path):
    empty = votes_digest(tmp_path)
    box.append([vote("aaaa1", "ada", 3, BAR)])
    one = votes_digest(tmp_path)
    assert empty != one == votes_digest(tmp_path)
    box.append([vote("aaaa2", "ada", 4, BAR)])
    assert votes_digest(tmp_path) != one


def test_the_table_accounts_for_every_line(box, tmp_path):
    box.append([vote("aaaa1", "ada", 3, BAR), vote("aaaa2", "ada", 3, LINE)])
    box.append([vote("aaaa3", "ada", 3, None, withdraws="vote-aaaa2"), vote("bbbb1", "ben", 3, CANT_TELL)])
    path = box.folder / "ben.jsonl"
    path.write_bytes(path.read_bytes() + b"rubbish\ntorn")
    report = collect_votes(Lake(tmp_path))
    assert (report.n_in, report.n_out, report.rejects) == (6, 4, {"vote_invalid": 2})
    assert report.reconciles
    frame = Lake(tmp_path).read(EXPERT_VOTES, None)
    assert dict(frame.select("vote_id", "status").iter_rows()) == {
        "vote-aaaa1": "active",
        "vote-aaaa2": "withdrawn",
        "vote-bbbb1": "active",
    }
    assert collect_votes(Lake(tmp_path)).data_version == report.data_version


def test_tokens_are_kept_as_hashes_and_only_the_right_one_opens(box):
    token = box.register.issue_token("ada", adjudicator=True)
    assert token not in box.register.path.read_text()
    assert box.register.path.stat().st_mode & 0o077 == 0
    assert box.register.verify("ada", token).adjudicator
    renewed = box.register.issue_token("ada")
    assert box.register.verify("ada", token) is None
    assert box.register.verify("ada", renewed).adjudicator
    for name, wrong in (("ada", ""), ("ada", renewed + "x"), ("ben", renewed), ("ben", ""), ("eve", renewed)):
        assert box.register.verify(name, wrong) is None


def test_a_damaged_register_is_named(box):
    box.register.path.write_text("{")
    with pytest.raises(StoreError, match=r"annotators\.json is damaged"):
        box.register.all()


def test_a_source_cannot_be_pretended(box):
    box.register.ensure("robot", "simulated")
    with pytest.raises(BiomedicaError, match="robot is simulated, the vote human"):
        box.append([vote("rrrr1", "robot", 3, BAR)])
    box.append([vote("rrrr2", "robot", 3, BAR, source="simulated")])
    with pytest.raises(PermanentFailure, match="registered as simulated"):
        box.register.ensure("robot")
    with pytest.raises(PermanentFailure, match="tokens are for people"):
        box.register.issue_token("robot")
