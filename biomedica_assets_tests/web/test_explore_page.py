"""The explore page in a real browser: first-time tasks counted in clicks, keys, phone, dark, axe."""

import re
import threading
import time
from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest
import uvicorn
import yaml
from playwright.sync_api import expect

import biomedica_assets as bm
from biomedica_assets.lib.annotate.web.serve import bound
from biomedica_assets.lib.errors import Reject, RejectReason
from biomedica_assets.lib.explore.web.app import create_app
from biomedica_assets_tests.lib.explore.world import DIMENSION, Thing, make, place, reject
from biomedica_assets_tests.lib.shards.world import jpeg

N = 400
THINGS = [
    Thing(n, figure=("CC BY", "CC BY-NC", "CC0")[n % 3], year=2015 + n % 8, withdrawn=n == 7,
          concepts=(("kind-line-plot",), ("content-eye",))[n % 2], words=("graph", "fundus photograph")[n % 2],
          mesh=(f"Heading {n % 40}", *(("Fundus Oculi",) if n % 2 else ())))
    for n in range(N)
]  # fmt: skip

pytestmark = [pytest.mark.ui, pytest.mark.full]


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    made = make(tmp_path_factory.mktemp("data"), THINGS)
    said = "the source lists no such object"
    reject(made, [Reject("PMC3000.1", "images", RejectReason.MEDIA_MISSING, said, "pmc3000-1-gone")])
    return made


@pytest.fixture(scope="module")
def url(lake) -> Iterator[str]:
    app = create_app(lake, encode=lambda data: np.ones(DIMENSION, np.float32))
    with bound("127.0.0.1", 0) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.02)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


class Person:
    """Someone at the page, who counts clicks and texts typed."""

    def __init__(self, page, url: str) -> None:
        self.page, self.clicks = page, 0
        page.goto(url)
        self.settled()

    def click(self, what) -> None:
        self.clicks += 1
        what.click()

    def type(self, what, text: str) -> None:
        self.clicks += 1
        what.fill(text)
        what.press("Enter")

    def total(self, n: int) -> None:
        expect(self.page.locator("#total")).to_have_text(re.compile(rf"^{n} figures?"))

    def settled(self) -> None:
        expect(self.page.locator("#facet-lists fieldset").first).to_be_attached()
        expect(self.page.locator(".tile img").first).to_be_visible()


def test_all_fundus_pictures_under_one_licence_since_a_year_in_three_steps(page, url):
    person = Person(page, url)
    person.type(page.locator("#q"), "fundus")
    person.click(page.get_by_role("checkbox", name=re.compile("^CC BY \\d")))
    person.type(page.get_by_label("First year"), "2020")
    wanted = [t for t in THINGS if t.allowed and "fundus" in t.words and t.figure == "CC BY" and t.year >= 2020]
    person.total(len(wanted))
    assert person.clicks == 3
    assert "license=CC+BY" in page.url and "from=2020" in page.url
    page.go_back()
    person.total(sum(t.allowed and "fundus" in t.words and t.figure == "CC BY" for t in THINGS))


def test_where_a_picture_was_used_twice_in_two_clicks(page, url):
    person = Person(page, url)
    person.click(page.get_by_role("checkbox", name=re.compile("equal bytes")))
    person.total(sum(t.number % 5 == 0 for t in THINGS))
    person.click(page.locator(".tile a").first)
    expect(page.get_by_role("heading", name="The same picture elsewhere")).to_be_visible()
    assert page.locator(".twins figure").count() > 1 and person.clicks == 2


def test_why_a_figure_was_left_out_in_one_step(page, url):
    for name, said in (("pmc3000-1-gone", "media missing"), (THINGS[7].media_id, "retracted")):
        person = Person(page, url)
        person.page.locator("#q").fill(name)
        person.page.locator("#q").press("Enter")
        page.wait_for_url(re.compile("/figure/"))
        person.click(page.get_by_role("link", name="Why was"))
        expect(page.locator("main")).to_contain_text(said)
        assert person.clicks == 1


def test_a_recipe_of_what_is_seen_in_three_steps(page, url, lake):
    person = Person(page, url)
    person.click(page.get_by_role("checkbox", name=re.compile("^CC0 ")))
    person.click(page.get_by_role("checkbox", name=re.compile("^eye ")))
    wanted = sorted(t.media_id for t in THINGS if t.allowed and t.figure == "CC0" and t.concepts == ("content-eye",))
    person.total(len(wanted))
    person.type(page.locator("#recipe-name"), "eyes")
    expect(page.locator("#status")).to_contain_text("recipes/eyes.yaml")
    made = yaml.safe_load((lake.root / "recipes" / "eyes.yaml").read_text())
    assert bm.open(lake.root).figures(made["where"])["media_id"].to_list() == wanted
    assert person.clicks == 3
    with page.expect_download() as download:
        page.click("#as-csv")
    assert pl.read_csv(download.value.path(), infer_schema=False)["media_id"].to_list() == wanted


def test_a_heading_of_mesh_is_found_by_its_letters_in_two_steps(page, url):
    person = Person(page, url)
    person.clicks += 1
    page.get_by_label("Headings with these letters").fill("heading 39")
    person.click(page.get_by_role("checkbox", name=re.compile("^Heading 39 ")))
    person.total(sum(t.number % 40 == 39 for t in THINGS))
    expect(page.locator("#chips")).to_contain_text("Heading 39")
    assert person.clicks == 2


class Plane:
    """The map, and where on the screen things stand on it."""

    def __init__(self, page, url: str, query: str = "") -> None:
        self.page = page
        page.goto(f"{url}/map{query}")
        self.canvas = page.locator("#plane")
        self.drawn()

    def drawn(self) -> None:
        expect(self.page.locator("#total")).to_contain_text("in view")

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Pixels of a place, in the view that shows all."""
        box = self.canvas.bounding_box()
        scale = min(box["width"], box["height"]) / 2 / 1.03
        return box["x"] + box["width"] / 2 + x * scale, box["y"] + box["height"] / 2 - y * scale

    def painted(self, points: int) -> None:
        expect(self.canvas).to_have_attribute("data-points", str(points))


def test_a_point_of_the_map_shows_its_picture_and_opens_it(page, url):
    plane = Plane(page, url)
    plane.painted(N - 1)
    expect(page.locator("#legend")).to_contain_text("eye")
    page.mouse.move(*plane.at(*place(3, N)))
    expect(page.locator("#card")).to_be_visible()
    assert THINGS[3].media_id in page.locator("#card-link").get_attribute("href")
    page.mouse.click(*plane.at(*place(3, N)))
    page.wait_for_url(f"**/figure/{THINGS[3].media_id}")
    page.get_by_role("link", name="On the map").click()
    page.wait_for_url("**/map?at=*")
    plane.drawn()
    page.locator("#plane").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/figure/{THINGS[3].media_id}")


def test_what_is_drawn_round_on_the_map_becomes_a_recipe(page, url, lake):
    plane = Plane(page, url, "?license=CC0")
    allowed = [t for t in THINGS if t.allowed and t.figure == "CC0"]
    plane.painted(len(allowed))
    page.click("#lasso")
    corners = [(0.5, -1.02), (1.02, -1.02), (1.02, 1.02), (0.5, 1.02)]
    page.mouse.move(*plane.at(*corners[0]))
    page.mouse.down()
    for corner in (*corners[1:], corners[0]):
        page.mouse.move(*plane.at(*corner), steps=5)
    page.mouse.up()
    wanted = sorted(t.media_id for t in allowed if place(t.number, N)[0] > 0.5)
    expect(page.locator("#count")).to_have_text(f"{len(wanted)} figures in the area")
    page.fill("#recipe-name", "drawn_round")
    page.click("text=Write it")
    expect(page.locator("#status")).to_contain_text("recipes/drawn_round.yaml")
    made = yaml.safe_load((lake.root / "recipes" / "drawn_round.yaml").read_text())
    assert bm.open(lake.root).figures(made["where"])["media_id"].to_list() == wanted
    page.reload()
    expect(page.locator("#count")).to_have_text(f"{len(wanted)} figures in the area")
    page.click("#as-grid")
    person = Person(page, page.url)
    person.total(len(wanted))
    expect(page.locator("#chips")).to_contain_text("an area of the map")


def test_the_map_answers_to_keys_and_takes_what_is_in_view(page, url):
    plane = Plane(page, url)
    plane.painted(N - 1)
    plane.canvas.focus()
    for _ in range(3):
        page.keyboard.press("+")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#total")).not_to_have_attribute("data-total", str(N - 1))
    page.keyboard.press("0")
    plane.painted(N - 1)
    page.keyboard.press("v")
    expect(page.locator("#count")).to_have_text(f"{N - 1} figures in the area")
    page.click("#forget")
    expect(page.locator("#selected")).to_be_hidden()
    page.select_option("#by", "license")
    expect(page.locator("#legend")).to_contain_text("CC BY-NC")


def test_scrolling_to_the_end_shows_every_figure_once_and_keeps_few_tiles(page, url):
    person = Person(page, url)
    person.total(N - 1)
    seen, most = set(), 0
    for _ in range(120):
        ids = page.eval_on_selector_all(".tile a", "tiles => tiles.map(tile => tile.dataset.id)")
        most, seen = max(most, len(ids)), seen | set(ids)
        assert len(ids) == len(set(ids))
        if len(seen) == N - 1:
            break
        page.mouse.wheel(0, 1500)
        page.wait_for_timeout(60)
    assert len(seen) == N - 1 and most < N - 1
    page.evaluate("scrollTo(0, 0)")
    expect(page.locator('.tile a[data-at="0"]')).to_be_visible()


def test_the_grid_answers_to_keys_and_ticks_become_the_selection(page, url):
    person = Person(page, url)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.locator('.tile a[data-at="1"]')).to_be_focused()
    page.keyboard.press("x")
    expect(page.locator("#what")).to_have_text("The 1 ticked")
    ticked = page.locator('.tile a[data-at="1"]').get_attribute("data-id")
    assert f"id={ticked}" in page.locator("#as-csv").get_attribute("href")
    page.keyboard.press("s")
    expect(page.locator("#chips")).to_contain_text("like pmc")
    page.keyboard.press("/")
    expect(page.locator("#q")).to_be_focused()
    person.settled()


def test_a_picture_is_looked_for(page, url, tmp_path):
    person = Person(page, url)
    (tmp_path / "mine.jpg").write_bytes(jpeg(3))
    page.set_input_files("#file", tmp_path / "mine.jpg")
    expect(page.locator("#chips")).to_contain_text("like your picture")
    person.settled()


def test_the_picture_of_a_figure_comes_closer_and_its_lineage_is_told(page, url):
    page.goto(f"{url}/figure/{THINGS[0].media_id}")
    page.locator("#stage").focus()
    page.keyboard.press("+")
    expect(page.locator("#level")).to_contain_text("enlarged")
    page.click("#fit")
    expect(page.locator("#level")).not_to_contain_text("enlarged")
    page.click("#lineage summary")
    expect(page.locator("#lineage-text pre")).to_contain_text("no inventory")  # this lake begins at the images


PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
DARK = {"viewport": {"width": 1366, "height": 800}, "color_scheme": "dark"}


@pytest.mark.parametrize("page", [{"viewport": {"width": 1366, "height": 800}}, DARK, PHONE], indirect=True)
def test_axe_finds_no_violation_on_any_page_and_nothing_is_wider_than_the_screen(page, url):
    from axe_playwright_python.sync_playwright import Axe

    person = Person(page, f"{url}/?license=CC0&concept=content-eye")
    for path in (
        None,
        f"/figure/{THINGS[0].media_id}",
        "/clusters",
        "/cluster/0",
        "/rejects",
        "/figure/none",
        "/map",
        "/scores",
    ):
        if path:
            page.goto(url + path)
        else:
            person.settled()
        found = Axe().run(page).response
        assert found["passes"] and [v["id"] for v in found["violations"]] == [], (path, found["violations"])
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
