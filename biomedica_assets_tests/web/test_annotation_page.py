"""The annotation page in a real browser against a real server: ten clusters with the keyboard alone, nothing lost."""

import contextlib
import re
import threading

import httpx
import polars as pl
import pytest
from playwright.sync_api import expect

from biomedica_assets.lib.annotate.annotators import Register
from biomedica_assets.lib.annotate.ballots import BallotBox
from biomedica_assets.lib.annotate.taxonomy.model import load
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import CONTACT_SHEETS
from biomedica_assets_tests.lib.annotate.synthetic import KINDS, publish, synthetic_lake
from biomedica_assets_tests.lib.annotate.voting import BAR
from biomedica_assets_tests.web.annotation_server import Server, log_in

pytestmark = pytest.mark.full  # a browser


@pytest.fixture
def lake(tmp_path) -> Lake:
    return synthetic_lake(tmp_path / "data", clusters=10, members=8)


def box_of(lake: Lake) -> BallotBox:
    return BallotBox(lake.root, load())


def start(page, server: Server, name: str) -> None:
    page.goto(server.url)
    expect(page.locator("#name")).to_be_focused()
    page.keyboard.type(name)
    page.keyboard.press("Enter")
    page.wait_for_selector(".tile")


def shown_cluster(page) -> int:
    return int(page.inner_text("#item-title").split()[1])


def says(page, words: str) -> None:
    expect(page.locator("#status")).to_contain_text(words)


def save(page, *, leaves: int) -> None:
    """Press Enter and wait until the page says saved and shows something else."""
    page.keyboard.press("Enter")
    expect(page.locator("#item-title")).not_to_have_text(re.compile(rf"Cluster {leaves} "))
    says(page, "Saved")


def choose(page, key: str, words: str) -> None:
    page.keyboard.press(key)
    page.keyboard.type(words)
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")


def answer_by_keyboard(page, kind: str) -> None:
    if kind == "halves":
        page.keyboard.press("m")
        page.keyboard.press("3")
    else:
        page.keyboard.press("s")
    words = {"bars": "bar pl", "line": "line pl", "spots": "confoc", "halves": "fluores"}[kind]
    choose(page, "l", words)


@pytest.mark.ui
def test_ten_clusters_are_labelled_with_the_keyboard_alone(lake, page):
    with Server(lake.root) as server:
        start(page, server, "ada")
        for done in range(10):
            assert page.inner_text("#progress-text") == f"{done} of 10 done"
            cluster = shown_cluster(page)
            answer_by_keyboard(page, KINDS[cluster % 4])
            save(page, leaves=cluster)
        assert page.inner_text("#item-title") == "All done. Thank you."
    found = {v.cluster: v.answer for v in box_of(lake).active()}
    assert sorted(found) == list(range(10))
    local = {"bars": "kind-bar-plot", "line": "kind-line-plot", "spots": "kind-confocal-microscopy"}
    local["halves"] = "kind-fluorescence-microscopy"
    for cluster, answer in found.items():
        kind = KINDS[cluster % 4]
        assert answer.given("local") == (local[kind],)
        assert answer.given("global") == (load().top(local[kind]),)
        assert answer.one("panel_subtype") == ("panel-multiple-images" if kind == "halves" else None)


@pytest.mark.ui
def test_every_question_of_the_form_answers_to_keys_and_undo_gives_it_back(lake, page):
    with Server(lake.root) as server:
        start(page, server, "ada")
        cluster = shown_cluster(page)
        page.keyboard.press("m")
        page.keyboard.press("4")
        choose(page, "g", "micro")
        choose(page, "g", "plot or")
        choose(page, "b", "brain")
        page.keyboard.press("x")
        page.keyboard.press("n")
        page.keyboard.type("looks odd")
        page.keyboard.press("Control+Enter")
        says(page, "Saved")
        (vote,) = box_of(lake).active()
        assert vote.answer.as_json() == {
            "panel_type": "panel-multiple",
            "panel_subtype": "panel-multiple-images-plots",
            "global": ["kind-microscopy", "kind-plot"],
            "local": [],
            "content": ["content-brain"],
            "mixed": True,
            "cant_tell": False,
            "comment": "looks odd",
        }
        page.keyboard.press("u")
        expect(page.locator("#item-title")).to_have_text(re.compile(rf"Cluster {cluster} "))
        assert page.input_value("#comment") == "looks odd"
        chips = page.locator("[data-question=global] .chips button")
        names = [chip.get_attribute("aria-label") for chip in chips.all()]
        assert names == ["Remove microscopy", "Remove plot or chart"]
        page.keyboard.press("t")
        page.keyboard.press("x")
        save(page, leaves=cluster)
    (vote,) = box_of(lake).active()
    assert vote.answer.cant_tell and not vote.answer.concepts


@pytest.mark.ui
def test_captions_show_as_text_while_walking_and_zoom_opens_and_closes(lake, page):
    sheets = lake.read(CONTACT_SHEETS, None)
    attack = "<img src=x onerror=\"document.title='owned'\"><b>bold</b>"
    publish(lake, CONTACT_SHEETS, None, list(sheets.with_columns(caption=pl.lit(attack)).iter_rows(named=True)))
    with Server(lake.root) as server:
        start(page, server, "ada")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        assert page.inner_text("#caption") == attack
        assert page.locator(".tile[aria-current=true]").count() == 1
        page.keyboard.press("z")
        assert page.inner_text("#zoom-role") == "central, 2 of 8"
        expect(page.locator("#zoom-image")).to_have_js_property("naturalWidth", 240)
        page.keyboard.press("Escape")
        assert not page.locator("#zoom").is_visible()
        page.hover(".tile >> nth=4")
        assert page.inner_text("#caption") == attack
        assert "owned" not in page.title()


@pytest.mark.ui
def test_a_vote_given_while_the_server_is_dead_is_saved_once_when_it_is_back(lake, page):
    with Server(lake.root) as server:
        start(page, server, "ada")
        cluster = shown_cluster(page)
        server.kill()
        answer_by_keyboard(page, KINDS[cluster % 4])
        page.keyboard.press("Enter")
        says(page, "kept in this browser")
        assert box_of(lake).votes() == []
        server.start()
        page.reload()
        says(page, "now saved")
        page.reload()
        page.wait_for_selector(".tile")
        assert page.inner_text("#progress-text") == "1 of 10 done"
    assert [v.cluster for v in box_of(lake).votes()] == [cluster]


@pytest.mark.ui
def test_an_unsaved_answer_survives_a_reload_and_a_second_tab_loses_nothing(lake, page):
    with Server(lake.root) as server:
        start(page, server, "ada")
        cluster = shown_cluster(page)
        answer_by_keyboard(page, "bars")
        page.reload()
        page.wait_for_selector(".chips li")
        assert shown_cluster(page) == cluster
        second = page.context.new_page()
        second.goto(page.url)
        second.wait_for_selector(".chips li")
        save(page, leaves=cluster)
        second.keyboard.press("m")
        second.keyboard.press("2")
        save(second, leaves=cluster)
        assert "replaces your earlier answer" in second.inner_text("#status")
    assert [status for _, status in box_of(lake).with_status()] == ["replaced", "active"]


@pytest.mark.ui
def test_a_dispute_is_settled_in_the_same_page_with_keys(lake, page):
    with Server(lake.root, overlap=2) as server:
        for name, local in (("ben", "kind-bar-plot"), ("cleo", "kind-line-plot")):
            answer = BAR | {"local": [local]}
            raw = {"vote_id": f"dispute-{name}", "mode": "label", "id": 4, "answer": answer, "seconds": 1}
            with contextlib.closing(log_in(server.url, name)) as client:
                assert client.post("/api/vote", json=raw).status_code == 200
        Register(lake.root).ensure("ada", "human", adjudicator=True)
        start(page, server, "ada")
        assert page.inner_text("#disputes") == "(1)"
        page.goto(f"{server.url}/?mode=adjudicate")
        page.wait_for_selector("#votes button")
        assert "Open: local" in page.inner_text("#votes")
        page.keyboard.press("Alt+2")
        page.keyboard.press("Enter")
        expect(page.locator("#item-title")).to_have_text("Nothing waits for adjudication.")
    ruling = next(v for v in box_of(lake).active() if v.task == "adjudication")
    assert ruling.answer.given("local") == ("kind-line-plot",)


@pytest.mark.ui
def test_zoom_comes_closer_moves_and_fits_again_and_names_the_article(lake, page):
    with Server(lake.root) as server:
        start(page, server, "ada")
        page.keyboard.press("z")
        expect(page.locator("#zoom-image")).to_have_js_property("naturalWidth", 240)
        assert page.get_attribute("#zoom-article", "href").startswith("https://pmc.ncbi.nlm.nih.gov/articles/PMC")
        fitted = page.locator("#zoom-image").bounding_box()
        for _ in range(4):
            page.keyboard.press("+")
        expect(page.locator("#zoom-level")).to_contain_text(re.compile("2[.]4 . enlarged"))
        expect(page.locator("#zoom-image")).to_have_attribute("src", re.compile("size=whole"))
        close = page.locator("#zoom-image").bounding_box()
        assert close["width"] == pytest.approx(fitted["width"] * 1.25**4, rel=0.01)
        page.mouse.move(400, 300)
        page.mouse.down()
        page.mouse.move(460, 330)
        page.mouse.up()
        moved = page.locator("#zoom-image").bounding_box()
        assert (moved["x"] - close["x"], moved["y"] - close["y"]) == pytest.approx((60, 30), abs=1)
        page.mouse.wheel(0, 120)
        expect(page.locator("#zoom-level")).to_contain_text(re.compile("2[.]0 . enlarged"))
        page.keyboard.press("0")
        assert page.locator("#zoom-image").bounding_box() == fitted


@pytest.mark.ui
def test_an_image_labelled_alone_leads_back_to_its_cluster_with_the_answer_begun(lake, page):
    with Server(lake.root) as server:
        start(page, server, "ada")
        cluster = shown_cluster(page)
        page.keyboard.press("m")
        page.keyboard.press("3")
        page.keyboard.press("z")
        page.keyboard.press("o")
        expect(page.locator("#item-title")).to_have_text(re.compile("on its own"))
        assert page.inner_text("#progress-text") == "0 of 10 done"
        page.keyboard.press("s")
        choose(page, "l", "bar pl")
        page.keyboard.press("Enter")
        expect(page.locator("#item-title")).to_have_text(re.compile(rf"Cluster {cluster} "))
        says(page, "keeps its own labels")
        assert page.is_checked("[value=panel-multiple-images]")
        assert page.inner_text("#progress-text") == "0 of 10 done"


@pytest.mark.ui
def test_a_concept_is_explained_where_it_is_chosen(lake, page):
    raw = {"vote_id": "example-0001", "mode": "label", "id": 4, "answer": BAR, "seconds": 1}
    with Server(lake.root) as server:
        with contextlib.closing(log_in(server.url, "ada")) as client:
            assert client.post("/api/vote", json=raw).status_code == 200
        start(page, server, "ada")
        page.keyboard.press("l")
        page.keyboard.type("bar pl")
        expect(page.locator("#concept h2")).to_have_text("bar plot")
        expect(page.locator("#concept .examples img")).to_have_count(2)
        page.keyboard.press("Escape")
        expect(page.locator("#concept")).to_be_hidden()


def test_kill_minus_nine_in_a_storm_of_a_thousand_votes_loses_no_confirmed_vote(lake):
    """Four clients send 250 votes each; the server is killed three times on the way and clients go on after it."""
    confirmed: list[str] = []
    guard = threading.Lock()
    server = Server(lake.root)
    alive = threading.Event()
    alive.set()
    clients = {name: log_in(server.url, name) for name in ("ada", "ben", "cleo", "dan")}

    def storm(name: str) -> None:
        for number in range(250):
            raw = {"vote_id": f"{name}-{number:05d}", "mode": "label", "id": number % 10, "answer": BAR, "seconds": 1}
            while True:
                alive.wait()
                try:
                    answer = clients[name].post("/api/vote", json=raw)
                except httpx.TransportError:
                    alive.wait(0.05)
                    continue
                assert answer.status_code == 200, answer.text
                with guard:
                    confirmed.append(raw["vote_id"])
                break

    threads = [threading.Thread(target=storm, args=(name,)) for name in clients]
    for thread in threads:
        thread.start()
    on_disk_after_kill: list[tuple[set[str], set[str]]] = []
    for after in (150, 400, 700):
        while len(confirmed) < after and any(thread.is_alive() for thread in threads):
            threads[0].join(0.002)
        alive.clear()
        server.kill()
        with guard:
            said_saved = set(confirmed)
        on_disk_after_kill.append((said_saved, {v.vote_id for v in box_of(lake).votes()}))
        server.start()
        alive.set()
    for thread in threads:
        thread.join()
    for client in clients.values():
        client.close()
    server.kill()
    for said_saved, on_disk in on_disk_after_kill:
        assert said_saved <= on_disk
    box = box_of(lake)
    assert {v.vote_id for v in box.votes()} == set(confirmed)
    assert len(box.votes()) == len(confirmed) == 1000
    # a vote that was torn by a kill was never confirmed and was sent again; its remains are named
    assert all("torn" in r.message or "delimiter" in r.message or "Unterminated" in r.message for r in box.rejects())
