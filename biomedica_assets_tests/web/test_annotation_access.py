"""What the annotation page refuses, and that what it accepts is saved for the right person."""

import json
import re
import socket
from pathlib import Path

import pytest
import uvicorn
from starlette.testclient import TestClient

from biomedica_assets.commands.annotate import _listed
from biomedica_assets.lib.annotate.annotators import Register
from biomedica_assets.lib.annotate.ballots import BallotBox
from biomedica_assets.lib.annotate.taxonomy.model import load
from biomedica_assets.lib.annotate.web.app import create_app
from biomedica_assets.lib.annotate.web.guard import COOKIE, MAX_BODY, SESSION_SECONDS, is_loopback
from biomedica_assets.lib.annotate.web.serve import serve
from biomedica_assets.lib.errors import PermanentFailure, StoreError
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets_tests.lib.annotate.synthetic import MODEL, synthetic_lake
from biomedica_assets_tests.lib.annotate.voting import BAR, CANT_TELL, LINE, MICRO

URL = "http://localhost:8765"
HOME = {"origin": URL}


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def lake(tmp_path):
    return synthetic_lake(tmp_path / "data", clusters=4, members=3)


def client_of(lake: Lake, **options) -> TestClient:
    app = create_app(lake, **{"tokens": False, "overlap": 3, **options})
    return TestClient(app, base_url=URL, follow_redirects=False)


def log_in(client: TestClient, name: str, token: str | None = None) -> TestClient:
    data = {"name": name, "new": "yes"} | ({"token": token} if token else {})
    assert client.post("/login", data=data, headers=HOME).status_code == 303
    client.headers["x-csrf-token"] = re.search(r'data-csrf="([0-9a-f]{64})"', client.get("/").text)[1]
    return client


def adjudicator(lake: Lake, name: str) -> TestClient:
    return log_in(client_of(lake), name, Register(lake.root).issue_token(name, adjudicator=True))


def vote(number: int = 1, cluster: int | str = 1, answer: dict | None = None, mode: str = "label") -> dict:
    return {"vote_id": f"test-{number:05d}", "mode": mode, "id": cluster, "answer": answer or BAR, "seconds": 1}


def votes_in(lake: Lake):
    return BallotBox(lake.root, load()).votes()


@pytest.fixture
def ada(lake):
    return log_in(client_of(lake), "ada")


def test_a_vote_of_someone_logged_in_is_saved_under_their_name(lake, ada):
    raw = vote() | {"annotator": "ben", "source": "imported", "time": "1999"}
    assert ada.post("/api/vote", json=raw, headers=HOME).json()["saved"]
    (saved,) = votes_in(lake)
    assert (saved.annotator, saved.source, saved.cluster, saved.cluster_model) == ("ada", "human", 1, MODEL)
    assert not saved.time.startswith("1999")


@pytest.mark.parametrize("path", ["/api/item", "/api/vocabulary", "/image/m000-00"])
def test_reading_without_a_session_is_refused(lake, path):
    assert client_of(lake).get(path).status_code == 401


def test_the_page_without_a_session_leads_to_the_login(lake):
    for path in ("/", "/guideline"):
        assert client_of(lake).get(path).headers["location"] == "/login"


@pytest.mark.parametrize("path", ["/api/vote", "/api/undo", "/api/logout"])
def test_writing_without_a_session_is_refused(lake, path):
    assert client_of(lake).post(path, json=vote(), headers=HOME).status_code == 401
    assert votes_in(lake) == []


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://localhost:9999"},
        {"origin": "null"},
        {"origin": URL, "sec-fetch-site": "cross-site"},
        {"origin": URL, "sec-fetch-site": "same-site"},
        {},
    ],
)
def test_a_write_from_another_site_or_from_nowhere_is_refused(lake, ada, headers):
    assert ada.post("/api/vote", json=vote(), headers=headers).status_code == 403
    assert client_of(lake).post("/login", data={"name": "mallory"}, headers=headers).status_code == 403
    assert votes_in(lake) == []
    assert "mallory" not in Register(lake.root).all()


@pytest.mark.parametrize("token", ["", "0" * 64])
def test_a_write_without_the_sessions_own_token_is_refused(lake, ada, token):
    right = ada.headers["x-csrf-token"]
    ada.headers["x-csrf-token"] = token
    assert ada.post("/api/vote", json=vote(), headers=HOME).status_code == 403
    other = log_in(client_of(lake), "ben")
    other.headers["x-csrf-token"] = right
    assert other.post("/api/vote", json=vote(), headers=HOME).status_code == 403
    assert votes_in(lake) == []


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "192.168.0.7:8765", ""])
def test_a_foreign_host_name_is_refused_even_for_reading(lake, host):
    assert client_of(lake).get("/login", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8765", "[::1]:8765", "LOCALHOST:80"])
def test_loopback_names_are_answered_with_any_port(lake, host):
    assert client_of(lake).get("/login", headers={"host": host}).status_code == 200


def test_a_forged_altered_or_expired_cookie_is_no_session(lake):
    clock = Clock()
    client = log_in(client_of(lake, clock=clock), "ada")
    cookie = client.cookies[COOKIE]
    Register(lake.root).ensure("ben")
    for bad in (
        cookie.replace("ada", "ben"),
        cookie[:-1] + ("0" if cookie[-1] != "0" else "1"),
        "ada",
        "a.b.c.d",
        "...",
    ):
        client.cookies.clear()
        assert client.get("/api/vocabulary", headers={"cookie": f"{COOKIE}={bad}"}).status_code == 401
    assert (
        client.get("/api/vocabulary", headers={"cookie": f"{COOKIE}=a.1.b.\xff".encode("latin-1")}).status_code == 401
    )
    assert client.get("/api/vocabulary", headers={"cookie": f"{COOKIE}={cookie}"}).status_code == 200
    clock.now += SESSION_SECONDS + 1
    assert client.get("/api/vocabulary", headers={"cookie": f"{COOKIE}={cookie}"}).status_code == 401


def test_a_session_survives_a_restart_of_the_server(lake, ada):
    cookie = f"{COOKIE}={ada.cookies[COOKIE]}"
    assert client_of(lake).get("/api/vocabulary", headers={"cookie": cookie}).status_code == 200


@pytest.mark.parametrize("token", [None, "", "wrong"])
def test_with_tokens_a_name_alone_opens_nothing(lake, token):
    Register(lake.root).issue_token("ada")
    client = client_of(lake, tokens=True)
    for name in ("ada", "nobody"):
        answer = client.post("/login", data={"name": name, "token": token or ""}, headers=HOME)
        assert answer.status_code == 403
        assert COOKIE not in answer.cookies
    assert set(Register(lake.root).all()) == {"ada"}


def test_with_the_token_the_session_opens_and_a_new_token_ends_it(lake):
    register = Register(lake.root)
    client = log_in(client_of(lake, tokens=True), "ada", register.issue_token("ada"))
    assert client.post("/api/vote", json=vote(), headers=HOME).status_code == 200
    register.issue_token("ada")
    assert client.post("/api/vote", json=vote(2), headers=HOME).status_code == 401


def test_a_name_that_has_a_token_needs_it_on_loopback_too(lake):
    Register(lake.root).issue_token("ada")
    assert client_of(lake).post("/login", data={"name": "ada"}, headers=HOME).status_code == 403


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "Ada", "x" * 41, "", "a\x00b", "ada.jsonl"])
def test_a_path_in_a_name_is_refused_with_the_rule(lake, name):
    answer = client_of(lake).post("/login", data={"name": name}, headers=HOME)
    assert answer.status_code == 403
    assert "cannot be an annotator" in answer.text
    assert not list((lake.root / "annotations").rglob("*.jsonl"))


@pytest.mark.parametrize(
    "path",
    [
        "/image/..%2F..%2Fannotations%2Fannotators.json",
        "/image/%2Fetc%2Fpasswd",
        "/image/../annotations/annotators.json",
        "/image/unknown",
        "/static/..%2Fapp.py",
        "/static/../app.py",
        "/static/%2e%2e/desk.py",
    ],
)
def test_a_path_in_an_image_or_file_name_leads_nowhere(ada, path):
    answer = ada.get(path)
    assert answer.status_code == 404
    assert "import" not in answer.text


@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        ({"id": 99}, 400, "no cluster '99'"),
        ({"id": "../1"}, 400, "no cluster"),
        ({"mode": "audit", "id": "../../x"}, 400, "no image"),
        ({"mode": "delete"}, 400, "mode must be"),
        ({"vote_id": "../../../x/y/z"}, 400, "vote_id"),
        ({"vote_id": None}, 400, "vote_id"),
        ({"answer": BAR | {"local": ["kind-nothing"]}}, 400, "is not a concept"),
        ({"answer": "bar"}, 400, "answer"),
        ({"answer": None}, 400, "answer"),
        ({"seconds": "x"}, 400, "seconds"),
        ({"answer": CANT_TELL | {"comment": "\ud800"}}, 400, "Unicode"),
    ],
)
def test_a_malformed_vote_is_refused_with_its_reason_and_nothing_is_written(lake, ada, change, status, reason):
    body = json.dumps(vote() | change)
    answer = ada.post("/api/vote", content=body, headers={**HOME, "content-type": "application/json"})
    assert (answer.status_code, reason in answer.json()["problem"]) == (status, True)
    assert votes_in(lake) == []


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"[" * 50_000, "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"x" * (MAX_BODY + 1), "application/json", 413),
    ],
)
def test_a_body_that_is_no_vote_is_refused(ada, content, kind, status):
    answer = ada.post("/api/vote", content=content, headers={**HOME, "content-type": kind})
    assert answer.status_code == status


def test_a_body_of_unknown_length_is_refused(ada):
    answer = ada.post("/api/vote", content=iter([b"{}"]), headers={**HOME, "content-type": "application/json"})
    assert answer.status_code == 411


def test_a_vote_sent_twice_counts_once_and_an_altered_one_under_its_id_is_refused(lake, ada):
    assert not ada.post("/api/vote", json=vote(), headers=HOME).json()["again"]
    assert ada.post("/api/vote", json=vote(), headers=HOME).json()["again"]
    assert ada.post("/api/vote", json=vote(answer=LINE), headers=HOME).status_code == 409
    assert len(votes_in(lake)) == 1


def test_two_tabs_on_one_cluster_keep_both_votes_and_the_later_counts(lake, ada):
    ada.post("/api/vote", json=vote(1), headers=HOME)
    assert ada.post("/api/vote", json=vote(2, answer=LINE), headers=HOME).json()["replaced"]
    box = BallotBox(lake.root, load())
    assert [status for _, status in box.with_status()] == ["replaced", "active"]


def test_undo_takes_back_the_last_vote_once_and_shows_what_it_was(lake, ada):
    ada.post("/api/vote", json=vote(1, 1), headers=HOME)
    ada.post("/api/vote", json=vote(2, 2, LINE), headers=HOME)
    undo = {"vote_id": "undo-00001"}
    first = ada.post("/api/undo", json=undo, headers=HOME).json()
    assert (first["mode"], first["id"], first["answer"]["local"]) == ("label", 2, ["kind-line-plot"])
    assert ada.post("/api/undo", json=undo, headers=HOME).json() == first
    assert [v.cluster for v in BallotBox(lake.root, load()).active()] == [1]
    assert ada.post("/api/undo", json={"vote_id": "undo-00002"}, headers=HOME).json()["id"] == 1
    assert ada.post("/api/undo", json={"vote_id": "undo-00003"}, headers=HOME).json() == {"undone": None}


def test_the_next_item_is_the_first_without_a_vote_and_work_resumes_there(lake, ada):
    seen = []
    for number in range(4):
        item = ada.get("/api/item").json()
        assert item["progress"] == {"done": number, "total": 4}
        seen.append(item["id"])
        ada.post("/api/vote", json=vote(number, item["id"]), headers=HOME)
    assert sorted(seen) == [0, 1, 2, 3]
    resumed = log_in(client_of(lake), "ada").get("/api/item").json()
    assert (resumed["id"], resumed["progress"]) == (None, {"done": 4, "total": 4})


def test_disputes_reach_the_adjudication_queue_and_leave_it_when_settled(lake, ada):
    dora = adjudicator(lake, "dora")
    for name, answer in (("ada", BAR), ("ben", BAR), ("cleo", MICRO)):
        log_in(client_of(lake), name).post(
            "/api/vote", json=vote(1, 1, answer) | {"vote_id": f"{name}-0001"}, headers=HOME
        )
    for name, answer in (("ada", BAR), ("ben", LINE), ("cleo", MICRO)):
        log_in(client_of(lake), name).post(
            "/api/vote", json=vote(1, 2, answer) | {"vote_id": f"{name}-0002"}, headers=HOME
        )
    item = dora.get("/api/item?mode=adjudicate").json()
    assert (item["id"], item["open"], item["disputes"], item["own_disputes"]) == (2, ["local"], 1, 0)
    assert [v["annotator"] for v in item["votes"]] == ["ada", "ben", "cleo"]
    assert item["votes"][1]["labels"]["local"] == ["line plot"]
    assert dora.post("/api/vote", json=vote(9, 2, LINE, "adjudicate"), headers=HOME).json()["saved"]
    assert dora.get("/api/item?mode=adjudicate").json()["id"] is None


def test_nobody_settles_a_dispute_of_their_own(lake):
    """Ada may adjudicate, and is a party to cluster 2: it waits for somebody else, whatever she asks for."""
    ada = adjudicator(lake, "ada")
    for client, answer in (
        (ada, BAR),
        (log_in(client_of(lake), "ben"), LINE),
        (log_in(client_of(lake), "cleo"), MICRO),
    ):
        name = "abc"[[BAR, LINE, MICRO].index(answer)]
        client.post("/api/vote", json=vote(1, 2, answer) | {"vote_id": f"party-000{name}"}, headers=HOME)
    item = ada.get("/api/item?mode=adjudicate").json()
    assert (item["id"], item["disputes"], item["own_disputes"]) == (None, 0, 1)
    refused = ada.get("/api/item?mode=adjudicate&id=2")
    assert (refused.status_code, "somebody else settles" in refused.json()["problem"]) == (403, True)
    assert ada.post("/api/vote", json=vote(9, 2, BAR, "adjudicate"), headers=HOME).status_code == 403
    assert adjudicator(lake, "dora").get("/api/item?mode=adjudicate").json()["id"] == 2


def test_a_mistyped_name_becomes_nobody_and_a_new_one_no_adjudicator(lake, ada):
    client = client_of(lake)
    asked = client.post("/login", data={"name": "adda"}, headers=HOME)
    assert asked.status_code == 409
    assert "Nobody has labelled as <b>adda</b> yet. Who has: ada." in asked.text
    assert list(Register(lake.root).all()) == ["ada"]
    log_in(client, "adda")
    assert {name: who.adjudicator for name, who in Register(lake.root).all().items()} == {"ada": False, "adda": False}
    assert "Adjudicate" not in client.get("/").text


def test_a_name_with_a_token_is_asked_for_it_on_loopback(lake):
    Register(lake.root).issue_token("ada")
    page = client_of(lake).post("/login", data={"name": "ada"}, headers=HOME)
    assert (page.status_code, 'name="token"' in page.text) == (403, True)


def test_an_image_that_is_labelled_alone_leaves_the_progress_as_it_was(lake, ada):
    ada.post("/api/vote", json=vote(1, 0), headers=HOME)
    before = ada.get("/api/item?mode=label").json()["progress"]
    alone = ada.get("/api/item?mode=override&id=m001-02&from=label").json()
    assert alone["progress"] == before == {"done": 1, "total": 4}
    ada.post("/api/vote", json=vote(2, "m001-02", MICRO, "override"), headers=HOME)
    assert ada.get("/api/item?mode=label").json()["progress"] == before
    again = ada.get("/api/item?mode=override&id=m001-02&from=label").json()
    assert again["answer"]["local"] == MICRO["local"]


def test_a_picture_links_to_its_article(lake, ada):
    picture = ada.get("/api/item?mode=label&id=1").json()["pictures"][0]
    pmcid = picture["article"].partition(".")[0]
    assert picture["link"] == f"https://pmc.ncbi.nlm.nih.gov/articles/{pmcid}/"


def test_a_concept_shows_its_place_and_examples_of_other_clusters(lake, ada):
    ada.post("/api/vote", json=vote(1, 1, BAR), headers=HOME)
    found = ada.get("/api/concept?id=kind-bar-plot&item=2").json()
    assert (found["label"], found["path"]) == ("bar plot", "plot or chart")
    assert set(found["pictures"]) <= {f"m001-0{n}" for n in range(3)}
    assert found["pictures"]
    assert ada.get("/api/concept?id=kind-bar-plot&item=1").json()["pictures"] == []  # a vote on it is no example
    assert "MRI" in ada.get("/api/concept?id=kind-magnetic-resonance").json()["alt"]
    assert ada.get("/api/concept?id=kind-nothing").status_code == 400


def test_only_adjudicators_adjudicate(lake):
    client = log_in(client_of(lake, tokens=True), "ada", Register(lake.root).issue_token("ada"))
    assert client.get("/api/item?mode=adjudicate").status_code == 403
    assert client.post("/api/vote", json=vote(mode="adjudicate"), headers=HOME).status_code == 403
    assert "Adjudicate" not in client.get("/").text


def test_a_list_of_images_is_asked_for_in_its_order_and_a_wrong_one_refused(lake, tmp_path):
    (tmp_path / "list.txt").write_text("m002-01\nm000-00\nm002-01\n")
    images = _listed(lake, tmp_path / "list.txt")
    ada = log_in(client_of(lake, images=images), "ada")
    asked = [ada.get("/api/item?mode=audit").json()["id"]]
    assert ada.post("/api/vote", json=vote(1, asked[0], mode="audit"), headers=HOME).json()["saved"]
    asked.append(ada.get("/api/item?mode=audit").json()["id"])
    assert asked == ["m002-01", "m000-00"]
    for content, said in (("", "names no image"), ("m000-00 nobody", "'nobody' and 0 more are no images")):
        (tmp_path / "list.txt").write_text(content)
        with pytest.raises(PermanentFailure, match=said):
            _listed(lake, tmp_path / "list.txt")


def test_an_image_can_be_labelled_on_its_own(lake, ada):
    item = ada.get("/api/item?mode=override&id=m001-02").json()
    assert [p["id"] for p in item["pictures"]] == ["m001-02"]
    assert ada.post("/api/vote", json=vote(1, "m001-02", MICRO, "override"), headers=HOME).json()["saved"]
    assert (votes_in(lake)[0].media_id, votes_in(lake)[0].cluster) == ("m001-02", None)


def test_pictures_come_as_thumbnail_and_full_and_a_broken_file_is_a_404(lake, ada):
    thumb, full = ada.get("/image/m000-00?size=thumb"), ada.get("/image/m000-00")
    assert (thumb.headers["content-type"], full.headers["content-type"]) == ("image/jpeg", "image/png")
    (lake.root / "mirror" / "m000-01.png").write_bytes(b"rubbish")
    for size in ("thumb", "full"):
        assert ada.get(f"/image/m000-01?size={size}").status_code == 404


def test_headers_forbid_inline_scripts_frames_and_sniffing(lake, ada):
    for path in ("/login", "/", "/api/item", "/image/m000-00", "/static/page.js", "/nowhere"):
        headers = ada.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
    ben = {"name": "ben", "new": "yes"}
    cookie = client_of(lake).post("/login", data=ben, headers=HOME).headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    secure = client_of(lake, secure=True).post("/login", data=ben, headers=HOME).headers["set-cookie"]
    assert "secure" in secure.lower()


def test_pages_hold_no_inline_script_or_style_and_nothing_from_elsewhere():
    folder = Path(__file__).resolve().parents[2] / "biomedica_assets" / "lib" / "annotate" / "web"
    files = [*folder.glob("templates/*.html"), *folder.glob("static/*")]
    assert len(files) >= 8
    for path in files:
        text = path.read_text()
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|innerHTML|\beval\(", text), path.name
        assert not re.search(r"(?:src|href|url\(|from|@import)\s*[=(]?\s*[\"']?(?:https?:)?//", text), path.name


def test_a_full_disk_is_told_and_nothing_is_called_saved(lake, ada, monkeypatch):
    def full(*_):
        raise StoreError("cannot write votes: No space left on device; the vote was not saved")

    monkeypatch.setattr(BallotBox, "_write", full)
    answer = ada.post("/api/vote", json=vote(), headers=HOME)
    assert answer.status_code == 507
    assert "not saved" in answer.json()["problem"]


def test_logging_out_ends_the_session_in_this_browser(ada):
    assert ada.post("/api/logout", json={}, headers=HOME).json() == {"ended": True}
    assert ada.get("/api/item").status_code == 401


@pytest.mark.parametrize(
    ("host", "local"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("127.8.8.8", True)]
)
def test_loopback_is_recognised(host, local):
    assert is_loopback(host) is local


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "example.org", "::", "localhost.example.org", "128.0.0.1"])
def test_other_addresses_demand_tokens(lake, host):
    assert not is_loopback(host)
    with pytest.raises(PermanentFailure, match="tokens"):
        serve(lake, host=host, tokens=False)
    with pytest.raises(PermanentFailure, match="nobody has one"):
        serve(lake, host=host)


def test_the_address_is_told_once_the_port_is_bound(lake, monkeypatch):
    said: list[str] = []
    bound: list[int] = []
    monkeypatch.setattr(uvicorn.Server, "run", lambda _self, sockets: bound.append(sockets[0].getsockname()[1]))
    serve(lake, port=0, ready=said.append)
    assert said == [f"http://127.0.0.1:{bound[0]}"]


def test_a_taken_port_a_foreign_host_and_a_missing_certificate_are_one_line_each(lake, tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(PermanentFailure, match=r"port \d+ of 127.0.0.1 is taken.* is free: --port \d+"):
            serve(lake, port=other.getsockname()[1])
    with pytest.raises(PermanentFailure, match=r"--certificate .*absent.pem is no file"):
        serve(lake, port=0, certificate=tmp_path / "absent.pem")
    Register(lake.root).issue_token("ada")
    with pytest.raises(PermanentFailure, match=r"no-such-host[.]invalid is no address of this machine"):
        serve(lake, host="no-such-host.invalid", port=0, tls_proxy=True)


def test_every_address_at_once_needs_a_name(lake):
    Register(lake.root).issue_token("ada")
    with pytest.raises(PermanentFailure, match="public_names"):
        serve(lake, host="0.0.0.0")
