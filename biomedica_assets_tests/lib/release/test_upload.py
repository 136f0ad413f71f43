"""What is sent, and above all what is not; what a repository holds afterwards; what is said when the Hub says no."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys

import huggingface_hub
import polars as pl
import pytest

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.release import hub as hub_module
from biomedica_assets.lib.release import hub_answers
from biomedica_assets.lib.release import manifest as manifests
from biomedica_assets.lib.release.copies import scan
from biomedica_assets.lib.release.hub import may_write
from biomedica_assets.lib.release.hub_answers import TRIES, HubRefusal
from biomedica_assets.lib.release.upload import refusals, upload
from biomedica_assets.lib.release.verify import verify
from biomedica_assets.lib.tables import ARTICLES, FIGURES, PUBMED_RECORDS, SHARDS
from biomedica_assets_tests.support.hub import WRITER, Hub, No, user

REPO = "lab/figures"


@pytest.fixture
def hub(monkeypatch):
    """A Hub that this process reaches; without Xet, whose protocol is not public, and without long waits."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(hub_answers, "_FIRST_WAIT", 0.001)
    with Hub() as served:
        yield served


def send(release, hub, repo=REPO, **more):
    return upload(release, repo, **{"dry_run": False, "token": WRITER, "endpoint": hub.endpoint, **more})


def arrived(hub, folder, repo=REPO):
    """The files of a repository, but those that are the Hub's own, as a folder."""
    for path, data in hub.repos[repo].files.items():
        if path != ".gitattributes":
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
    return folder


def rewrite(release, table, change):
    """Change a table of a release and sign it again: a release that was built wrongly, not one that was damaged."""
    (path,) = sorted((release / "data" / table.name).glob("*.parquet"))[:1]
    frame = pl.read_parquet(path).with_columns(**change)
    path.unlink()
    frame.write_parquet(path)
    resign(release)


def resign(release):
    path = release / manifests.NAME
    values = json.loads(path.read_text())
    for file in values["files"]:
        file["bytes"] = (release / file["path"]).stat().st_size
        file["sha256"] = manifests.sha256_of(release / file["path"])
    path.write_text(json.dumps(values))


def test_a_sound_release_is_listed_and_nothing_is_sent(release):
    with Hub() as hub:
        found = upload(release, REPO, endpoint=hub.endpoint)
    assert hub.requests == []
    assert found.address is None
    assert found.bytes == sum(path.stat().st_size for path in release.rglob("*") if path.is_file())


def test_a_changed_file_is_not_passed_on(copy, hub):
    (copy / "README.md").write_text("other")
    with pytest.raises(PermanentFailure, match=r"README\.md"):
        send(copy, hub)
    assert hub.written == []
    assert hub.repos == {}


@pytest.mark.parametrize("code", [None, "TDM", "PD"])
@pytest.mark.parametrize("table", [FIGURES, ARTICLES], ids=["figure", "article"])
def test_a_sample_without_an_open_licence_is_not_passed_on(copy, hub, table, code):
    rewrite(copy, table, {"license_code": pl.lit(code, dtype=pl.String())})
    assert verify(copy) == []
    with pytest.raises(PermanentFailure, match="licence"):
        send(copy, hub)
    assert hub.written == []


@pytest.mark.parametrize("who", ["pmc", "pubmed", "tombstone"])
def test_a_retracted_article_is_not_passed_on(copy, who):
    if who == "pmc":
        rewrite(copy, ARTICLES, {"is_retracted": pl.lit(value=True)})
    elif who == "pubmed":
        rewrite(copy, PUBMED_RECORDS, {"is_retracted": pl.lit(value=True)})
    else:
        article = scan(copy, SHARDS).select("article_id").collect().item(0, 0)
        (copy / "TOMBSTONES.csv").write_text(f"article_id,reason\n{article},removed\n")
        resign(copy)
    assert any("retract" in sentence for sentence in refusals(copy))


def test_an_article_that_nobody_attributes_is_not_passed_on(copy):
    lines = (copy / "ATTRIBUTION.csv").read_text().splitlines(keepends=True)
    (copy / "ATTRIBUTION.csv").write_text("".join(lines[:1]))
    resign(copy)
    assert any(sentence.startswith("attribution") for sentence in refusals(copy))


def test_what_arrives_is_the_release(release, hub, tmp_path):
    found = send(release, hub)
    assert verify(arrived(hub, tmp_path / "arrived")) == []
    repo = hub.repos[REPO]
    assert found.address == f"{hub.endpoint}/datasets/{REPO}/commit/{repo.head}"
    assert repo.private
    assert len(repo.history) == 2  # the Hub's own and ours
    assert [file.path for file in found.sent] == [file.path for file in found.files]


def test_a_name_without_an_owner_belongs_to_the_owner_of_the_token(release, hub):
    assert send(release, hub, "figures").repo == "ada/figures"
    assert list(hub.repos) == ["ada/figures"]


def test_a_second_upload_sends_nothing_and_changes_nothing(release, hub):
    send(release, hub)
    before, sent = dict(hub.repos[REPO].history), list(hub.put)
    found = send(release, hub)
    assert found.sent == ()
    assert found.removed == ()
    assert hub.put == sent
    assert hub.repos[REPO].history == before
    assert found.address is not None
    assert found.address.endswith(hub.repos[REPO].head)


def test_what_an_interrupted_upload_sent_is_not_sent_again(release, hub):
    hub.trouble = lambda method, path, n: No(403, message="read-only for now") if "/commit/" in path else None
    with pytest.raises(HubRefusal):
        send(release, hub)
    sent = list(hub.put)
    assert sent
    hub.trouble = lambda method, path, n: None
    send(release, hub)
    assert hub.put == sent


def withdraw(copy):
    """A later release: a shard is gone with the articles that were in no other."""
    places = scan(copy, SHARDS).select("shard", "article_id").unique().sort("article_id").collect()
    alone = places.filter(pl.len().over("article_id") == 1)
    shard = alone["shard"][0]
    articles = alone.filter(pl.col("shard") == shard)["article_id"]
    (copy / shard).unlink()
    for path in sorted((copy / "data" / SHARDS.name).glob("*.parquet")):
        left = pl.read_parquet(path).filter(pl.col("shard") != shard)
        path.unlink()
        left.write_parquet(path)
    tombs = pl.read_csv(copy / "TOMBSTONES.csv", schema={"article_id": pl.String(), "reason": pl.String()})
    more = pl.DataFrame({"article_id": articles, "reason": ["withdrawn"] * len(articles)})
    pl.concat([tombs, more]).write_csv(copy / "TOMBSTONES.csv")
    values = json.loads((copy / manifests.NAME).read_text())
    values["files"] = [file for file in values["files"] if file["path"] != shard]
    (copy / manifests.NAME).write_text(json.dumps(values))
    resign(copy)
    return shard, tuple(articles)


def test_what_the_new_manifest_does_not_name_is_taken_away_withdrawn_first(release, copy, hub, tmp_path):
    """In one commit: nobody sees the tar of a withdrawn article beside the new manifest, or files without one."""
    send(release, hub)
    shard, articles = withdraw(copy)
    other = next(path for path in sorted(copy.glob("statistics/*.csv")))
    other.unlink()
    values = json.loads((copy / manifests.NAME).read_text())
    values["files"] = [f for f in values["files"] if f["path"] != other.relative_to(copy).as_posix()]
    (copy / manifests.NAME).write_text(json.dumps(values))
    found = send(copy, hub)
    assert found.withdrawn == {shard: articles}
    assert found.removed == (shard, other.relative_to(copy).as_posix())
    assert verify(arrived(hub, tmp_path / "arrived")) == []
    assert len(hub.repos[REPO].history) == 3
    assert hub.repos[REPO].operations[-1][:2] == [("deletedFile", path) for path in found.removed]


def test_a_large_release_takes_several_commits_the_manifest_in_the_last(release, copy, hub, tmp_path, monkeypatch):
    send(release, hub)
    shard, _ = withdraw(copy)
    monkeypatch.setattr(hub_module, "COMMIT_FILES", 2)
    send(copy, hub)
    parts = hub.repos[REPO].operations[2:]
    assert len(parts) > 1
    assert parts[0][0] == ("deletedFile", shard)
    assert parts[-1][-1] == ("file", manifests.NAME)
    assert verify(arrived(hub, tmp_path / "arrived")) == []


def test_a_repository_of_something_else_is_left_alone(release, hub):
    repo = hub.add(REPO)
    repo.files["thesis.txt"] = b"years of work"
    with pytest.raises(HubRefusal, match=r"holds 1 files that are no release, thesis\.txt for one"):
        send(release, hub)
    assert hub.written == []


@pytest.mark.parametrize("there", ["public", "private"])
def test_a_repository_of_the_other_visibility_is_refused(release, hub, there):
    hub.add(REPO, private=there == "private")
    with pytest.raises(HubRefusal, match=rf"is {there} and this upload was meant to be .* /?--public"):
        send(release, hub, private=there == "public")
    assert hub.written == []


@pytest.mark.parametrize(
    ("repo", "why"),
    [
        ("datasets/lab/figures", "'repo_name' or 'namespace/repo_name'"),
        ("lab/fig ures", "alphanumeric"),
        ("lab/figures--2", "--"),
        ("lab/.figures", "cannot start or end"),
        ("lab/figures.git", r"\.git"),
        ("lab/" + "x" * 97, "96"),
        ("", "alphanumeric"),
    ],
)
def test_names_that_no_hub_takes_are_refused_before_anything(release, hub, repo, why):
    for dry_run in (True, False):
        with pytest.raises(PermanentFailure, match=why) as caught:
            send(release, hub, repo, dry_run=dry_run)
        assert "\n" not in str(caught.value)
    assert hub.requests == []


def scope(name, *permissions):
    return [{"entity": {"type": "org", "name": name}, "permissions": list(permissions)}]


@pytest.mark.parametrize(
    ("me", "why"),
    [
        (user("ada", "write", {"lab": "write"}), None),
        (user("lab", "write"), None),
        (user("ada", "write", {"Lab": "admin"}), None),
        (user("ada", "read", {"lab": "write"}), "the token 'ada-token' may only read"),
        (user("ada", "write"), "lab is neither you nor an organisation of yours; you may write to: ada"),
        (user("ada", "write", {"lab": "read"}), "you may only read in lab"),
        (user("ada", "fineGrained", {"lab": "write"}, scope("lab", "repo.content.read", "repo.write")), None),
        (user("ada", "fineGrained", {"lab": "write"}, scope("lab", "repo.content.read")), "has no write access"),
        (user("ada", "fineGrained", {"lab": "write"}, scope("ada", "repo.write")), "has no write access"),
        ({"name": "lab", "orgs": [], "auth": {"type": "oauth"}}, None),
    ],
)
def test_rights_are_read_from_the_token(me, why):
    found = may_write(me, REPO, exists=False)
    assert (found is None) == (why is None)
    assert (why or "") in (found or "")


def test_rights_are_looked_at_before_files_are_hashed(copy, hub):
    """Of terabytes that takes hours."""
    hub.tokens[WRITER] = user("ada", "read", {"lab": "write"})
    (copy / "README.md").write_text("other")
    with pytest.raises(HubRefusal, match="may only read"):
        send(copy, hub)


def test_rights_in_a_repository_that_is_there_are_asked_of_the_hub(release, hub):
    hub.add("museum/figures")
    with pytest.raises(HubRefusal, match=r"may not write to museum/figures \(403\)"):
        send(release, hub, "museum/figures")
    assert hub.written == []


def one_line(caught):
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize("path", ["/api/whoami-v2", "/api/repos/create", "/preupload/", "/lfs/", "/commit/", "/tree/"])
@pytest.mark.parametrize("status", [401, 403, 404])
def test_every_refusal_is_one_line_with_a_cure(release, hub, path, status):
    hub.trouble = lambda method, asked, n: No(status, message="not\nthis time") if path in asked else None
    with pytest.raises(HubRefusal) as caught:
        send(release, hub)
    said = one_line(caught)
    assert f"({status})" in said
    assert f"{hub.endpoint}/settings/tokens" in said


def test_a_token_that_does_not_hold_is_told(release, hub):
    with pytest.raises(HubRefusal) as caught:
        send(release, hub, token="hf_wrong")
    assert "the token is not valid or has expired (401)" in one_line(caught)


def test_no_token_is_told(release, hub, monkeypatch, tmp_path):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(HubRefusal) as caught:
        send(release, hub, token=None)
    assert "hf auth login" in one_line(caught)


@pytest.mark.parametrize("path", ["/api/whoami-v2", "/api/repos/create", "/tree/", "/preupload/", "/lfs/", "/commit/"])
def test_a_busy_hub_is_waited_for(release, hub, tmp_path, monkeypatch, path):
    """429 and 5xx pass, wherever they come; what the Hub asks to be waited is waited."""
    waits = []
    monkeypatch.setattr("time.sleep", waits.append)
    answers = {1: No(429, headers={"Retry-After": "7"}), 2: No(503), 3: No(500)}
    hub.trouble = lambda method, asked, n: answers.get(n) if path in asked and not asked.endswith("/batch") else None
    send(release, hub)
    assert verify(arrived(hub, tmp_path / "arrived")) == []
    assert max(waits) >= 7


def test_a_hub_that_stays_busy_ends_in_one_line(release, hub, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    told = []
    hub.trouble = lambda method, path, n: No(429) if "/commit/" in path else None
    with pytest.raises(HubRefusal, match=rf"is busy \(429\).*tried {TRIES} times") as caught:
        send(release, hub, tell=told.append)
    one_line(caught)
    assert len(told) == TRIES - 1
    assert hub.repos[REPO].messages == ["initial commit"]


def test_a_commit_whose_answer_is_lost_is_not_made_twice(release, hub, monkeypatch):
    """The Hub did it and answered 502: on the next try the repository is as it should be."""
    answer = hub.answer

    def lost(method, target, token, body):
        found = answer(method, target, token, body)
        if "/commit/" in target:
            raise No(502)
        return found

    monkeypatch.setattr(hub, "answer", lost)
    found = send(release, hub)
    assert len(hub.repos[REPO].history) == 2
    assert found.address is not None
    assert found.address.endswith(hub.repos[REPO].head)


def test_a_commit_of_somebody_else_meanwhile_is_told(release, hub):
    def meddle(method, path, n):
        if "/commit/" in path:
            hub.repos[REPO].files["other.txt"] = b"x"
            hub.repos[REPO].keep("theirs", [])

    hub.trouble = meddle
    with pytest.raises(HubRefusal, match=r"was changed while this upload ran \(412\)") as caught:
        send(release, hub)
    one_line(caught)


def test_without_a_network_the_command_says_one_line(release, tmp_path):
    """As a person sees it: no traceback, no warnings of the client, exit code 1."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
    environment = {**os.environ, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": "hf_x"}
    command = [sys.executable, "-m", "biomedica_assets.cli", "upload", REPO, "--release", str(release), "--send"]
    out = subprocess.run(
        [*command, "--endpoint", endpoint], env=environment, capture_output=True, text=True, check=False
    )
    assert out.returncode == 1, out.stderr
    assert out.stdout == ""
    assert len(out.stderr.splitlines()) == 1, out.stderr
    assert "no answer from" in out.stderr
    assert "check the network" in out.stderr


@pytest.mark.full  # two releases
def test_the_command_says_what_it_sent_and_took_away(release, copy, tmp_path):
    shutil.rmtree(tmp_path / "hf", ignore_errors=True)
    environment = {
        **os.environ, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": WRITER,
        "HF_HUB_DISABLE_XET": "1",
    }  # fmt: skip

    def command(folder, hub):
        line = [sys.executable, "-m", "biomedica_assets.cli", "upload", REPO, "--send", "--endpoint", hub.endpoint]
        out = subprocess.run(
            [*line, "--release", str(folder)], env=environment, capture_output=True, text=True, check=False
        )
        assert out.returncode == 0, out.stderr
        return out.stdout

    with Hub() as hub:
        first = command(release, hub)
        shard, articles = withdraw(copy)
        second = command(copy, hub)
    assert "0 were there already" in first
    assert f"taken away: {shard}, which held {', '.join(articles)}, withdrawn since" in second
    assert "super_squash_history" in second
