"""The explore page by its routes: nothing that may not be shown, pages that add up, selections of what is seen."""

import dataclasses
import io
import re
from urllib.parse import parse_qsl, urlencode

import numpy as np
import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

import biomedica_assets as bm
from biomedica_assets.lib.annotate.annotators import Register
from biomedica_assets.lib.errors import PermanentFailure, Reject, RejectReason
from biomedica_assets.lib.explore import choice as choices
from biomedica_assets.lib.explore import details, mapped
from biomedica_assets.lib.explore.shown import Shown
from biomedica_assets.lib.explore.web.app import create_app
from biomedica_assets.lib.tables import FIGURE_LABELS, LEADERBOARD, PANEL_BOXES, SUBCAPTIONS
from biomedica_assets_tests.lib.explore.world import CHUNK, DIMENSION, Thing, make, place, put, reject, withdraw
from biomedica_assets_tests.lib.images.generated import publish, row_of

URL = "http://localhost:8766"
HOME = {"origin": URL}
LICENCES = ["CC BY", "CC BY-NC", "CC0", "CC BY-ND", "TDM", None]


def client_of(lake, **options) -> TestClient:
    def encode(data):
        if not data.startswith(b"\xff\xd8"):
            raise PermanentFailure("the picture cannot be read as a picture")
        return np.ones(DIMENSION, np.float32)

    app = create_app(lake, **{"encode": encode, "look_every": 0.0, **options})
    return TestClient(app, base_url=URL, follow_redirects=False)


def token_of(client) -> str:
    return re.search(r'data-csrf="([0-9a-f]{64})"', client.get("/").text)[1]


def write(client, path, **more):
    return client.post(path, headers={**HOME, "x-csrf-token": token_of(client), **more.pop("headers", {})}, **more)


THINGS = [
    Thing(n, figure=LICENCES[n % 4], year=2015 + n % 8, journal=("Open Retina", "Heart 'n' Lung")[n % 2],
          concepts=(("kind-bar-plot",), ("kind-line-plot", "kind-plot"), ())[n % 3], confidence=0.3 + n % 7 / 10,
          words=("fundus photograph", "line graph of survival")[n % 2],
          mesh=(("Retina", "Humans"), ("Parkinson's Disease",), ())[n % 3])
    for n in range(40)
]  # fmt: skip


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return make(tmp_path_factory.mktemp("data"), THINGS)


@pytest.fixture(scope="module")
def client(lake):
    return client_of(lake)


def everything(client, query=""):
    """Ids of all pages, in their order."""
    found, after = [], ""
    while after is not None:
        page = client.get(f"/api/page?{query}&most=7&after={after}").json()
        found += [item["media_id"] for item in page["items"]]
        after = page["next"]
    return found


# what may be shown

things = st.builds(
    Thing, st.just(0), figure=st.sampled_from(LICENCES), article=st.sampled_from(LICENCES), withdrawn=st.booleans()
)


def test_no_route_tells_of_what_may_not_be_shown(tmp_path):
    drawn = [
        Thing(0),
        Thing(0, withdrawn=True),
        Thing(0, figure=None),
        Thing(0, article="TDM"),
        Thing(0, "CC BY-NC-ND"),
    ]
    no_route_tells(tmp_path / "data", drawn)


@pytest.mark.full
@settings(max_examples=10, deadline=None)
@given(drawn=st.lists(things, min_size=2, max_size=7))
def test_whatever_the_licences_no_route_tells_of_what_may_not_be_shown(tmp_path_factory, drawn):
    no_route_tells(tmp_path_factory.mktemp("property"), drawn)


def no_route_tells(root, drawn):
    given = [dataclasses.replace(thing, number=n) for n, thing in enumerate(drawn)]
    lake = make(root, given)
    reason = RejectReason.TOO_MUCH_REPEATED
    reject(lake, [Reject(t.article_id, "text_labels", reason, f"says {t.secret}", t.figure_id) for t in given])
    client = client_of(lake)
    hidden, seen = [t for t in given if not t.allowed], [t for t in given if t.allowed]
    picture = write(client, "/api/picture", content=b"\xff\xd8x").json()["picture"]
    asked = ["/", "/clusters", "/cluster/0", "/rejects", "/api/counts", "/api/page", f"/api/page?picture={picture}"]
    queries = ["", "q=fundus", "recipe=all", "copies=bytes", f"picture={picture}"]
    asked += ["/map", "/scores", *(f"/api/map?by={by}" for by in mapped.COLORS)]
    asked += [
        f"/{path}?{query}" for query in queries for path in ("api/page", "api/counts", "export.csv", "export.txt")
    ]
    for thing in given:
        ids = (thing.media_id, thing.figure_id, thing.article_id)
        asked += [f"/{path}/{one}" for one in ids for path in ("figure", "image", "api/lineage", "api/panels")]
        asked += [f"/image/{thing.media_id}?size={size}" for size in ("thumb", "whole")]
        asked += [f"/rejects?about={one}" for one in ids]
        asked += [f"/api/page?{urlencode({name: thing.media_id})}" for name in ("like", "id")]
        x, y = place(thing.number, len(given))
        asked += [f"/map?at={thing.media_id}", f"/api/map/at?x={x:.6f}&y={y:.6f}&within=0.001"]
        asked += [f"/api/page?q={thing.secret}", f"/api/counts?q={thing.secret}"]
    answers = {path: client.get(path) for path in asked}
    for path, answer in answers.items():
        for thing in hidden:
            told = answer.text.replace(f"q={thing.secret}", "")
            assert thing.secret not in told, path
            if path.startswith(("/api/page", "/export", "/cluster")):
                assert thing.media_id not in answer.text.replace("&#39;", "'") or answer.status_code == 400, path
    for thing in hidden:
        assert answers[f"/image/{thing.media_id}"].status_code == 404
        assert answers[f"/figure/{thing.media_id}"].status_code == 403
        assert answers[f"/api/page?q={thing.secret}"].json()["items"] == []
        assert answers[f"/api/page?like={thing.media_id}"].status_code == 400
        assert "data-x" not in answers[f"/map?at={thing.media_id}"].text
    for thing in seen:
        assert thing.secret in answers[f"/figure/{thing.media_id}"].text
        assert answers[f"/image/{thing.media_id}"].headers["content-type"] == "image/jpeg"
    assert len(answers["/api/map?by=license"].json()["x"]) == len(seen)
    assert sorted(everything(client)) == sorted(t.media_id for t in seen)
    frame = pl.read_csv(io.BytesIO(answers["/export.csv?q=fundus"].content), infer_schema=False)
    assert sorted(frame["media_id"]) == sorted(t.media_id for t in seen)


def test_a_withdrawal_holds_at_the_next_request(tmp_path):
    given = [Thing(0), Thing(1)]
    lake = make(tmp_path / "data", given)
    client = client_of(lake)
    assert len(everything(client)) == 2
    withdraw(lake, [given[1]])
    assert everything(client, "q=fundus") == everything(client) == [given[0].media_id]
    assert "the article is retracted" in client.get(f"/figure/{given[1].media_id}").text
    told = client.get(f"/rejects?about={given[1].article_id.split('.')[0]}").text
    assert "may not be shown: the article is withdrawn" in told and "No stage left" not in told
    withdraw(lake, [])
    assert len(everything(client)) == 2


def test_what_cannot_be_read_is_not_shown_and_is_said(tmp_path):
    from biomedica_assets.lib.tables import ARTICLES

    lake = make(tmp_path / "data", [Thing(0)])
    lake.part(ARTICLES, "PMC000-0000").write_bytes(b"no parquet")
    client = client_of(lake)
    assert everything(client) == []
    assert "PMC000-0000 cannot be shown" in client.get("/api/counts").json()["notes"][0]


# pages and counts


@pytest.mark.parametrize(
    "query",
    ["", "license=CC+BY&license=CC0", "from=2017&to=2019", "concept=kind-plot&confidence=0.6", "concept=kind-bar-plot",
     "journal=Heart+'n'+Lung", "panel=panel-single", "cluster=0", "license=CC+BY&concept=kind-line-plot&from=2016",
     "pmcids=10-25", "mesh=Retina&license=CC0", "mesh=Parkinson's+Disease&mesh=Retina"],
)  # fmt: skip
def test_a_page_goes_on_where_the_last_ended_and_a_recipe_of_it_selects_the_same(lake, client, query):
    seen = everything(client, query)
    assert seen == sorted(set(seen))
    assert client.get(f"/api/counts?{query}").json()["total"] == len(seen)
    where = choices.condition(choices.read(parse_qsl(query)))
    assert bm.open(lake.root).figures(where or None)["media_id"].to_list() == seen


def test_a_ranking_is_paged_in_its_order_and_narrowed_by_facets(client, lake):
    ranked = bm.open(lake.root).search("fundus", most=40)["media_id"].to_list()
    assert everything(client, "q=fundus") == ranked
    narrow = everything(client, "q=fundus&license=CC+BY")
    assert narrow == bm.open(lake.root).search("fundus", where="license_code = 'CC BY'", most=40)["media_id"].to_list()
    like = everything(client, f"like={THINGS[3].media_id}")
    assert like[0] == THINGS[3].media_id and len(like) == 40


def test_counts_of_a_facet_leave_its_own_choice_out(client):
    found = client.get("/api/counts?license=CC0&recipe=half").json()
    assert found["total"] == 10
    by_licence = {row["value"]: row["n"] for row in found["facets"]["license"]}
    assert by_licence == {"CC BY": 10, "CC0": 10}
    assert {row["value"]: row["n"] for row in found["facets"]["recipe"]} == {
        "all/test": 3, "all/train": 7, "half/test": 3, "half/train": 7,
    }  # fmt: skip
    assert found["facets"]["copies"] == [{"value": "bytes", "n": 2, "label": "equal bytes"}]


def test_values_of_a_facet_are_found_by_their_letters(client):
    def named(facet, part, more=""):
        return {row["value"]: row["n"] for row in found(facet, part, more).json()["values"]}

    def found(facet, part, more=""):
        return client.get(f"/api/values?{urlencode({'facet': facet, 'part': part})}&{more}")

    counted = {row["value"]: row["n"] for row in client.get("/api/counts").json()["facets"]["mesh"]}
    assert counted == named("mesh", "") == {"Humans": 14, "Retina": 14, "Parkinson's Disease": 13}
    assert named("mesh", "SON'S d", "mesh=Retina") == {"Parkinson's Disease": 13}
    assert named("journal", "lung") == {"Heart 'n' Lung": 20}
    assert named("mesh", "%") == {}
    assert found("license", "CC").status_code == 400


@pytest.mark.parametrize(
    "query",
    ["from=soon", "confidence=2", "q=fundus&after=x", "like=pmc1-1-x-0", "picture=ffff", "like=a&picture=b",
     "license=" + "x" * 600, "pmcids=5", "area=0,0 1,1", "area=0,0 1,1 1);--,0", "area=" + "0,0 " * 65],
)  # fmt: skip
def test_a_wrong_value_is_refused_with_its_reason(client, query):
    answer = client.get(f"/api/page?{query}")
    assert answer.status_code == 400 and answer.json()["problem"]


@pytest.mark.parametrize("name", ["'; drop table shown; --", "x') OR true --", "all' OR '1'='1"])
def test_values_are_texts_and_never_sql(client, name):
    for facet in ("license", "journal", "concept", "mesh", "panel", "copies", "recipe", "id"):
        assert client.get(f"/api/page?{urlencode({facet: name})}").json()["items"] == []
    assert len(everything(client)) == 40


# the map

RIGHT = "0.3,-2 2,-2 2,2 0.3,2"


def on_the_right(x=0.3):
    return [t.media_id for n, t in enumerate(THINGS) if place(n, len(THINGS))[0] > x]


def test_an_area_of_the_map_holds_what_lies_in_it_and_becomes_a_recipe(client, lake):
    wanted = on_the_right()
    query = urlencode({"area": RIGHT})
    assert everything(client, query) == sorted(wanted) and 0 < len(wanted) < 40
    assert client.get(f"/api/total?{query}").json() == {"total": len(wanted)}
    found = client.get(f"/api/counts?{query}&license=CC0").json()
    assert found["total"] == sum(t.figure == "CC0" and t.media_id in wanted for t in THINGS)
    assert write(client, "/api/recipe", json={"name": "area", "choice": query}).status_code == 200
    made = yaml.safe_load((lake.root / "recipes" / "area.yaml").read_text())
    (lake.root / "recipes" / "area.yaml").unlink()
    assert bm.open(lake.root).figures(made["where"])["media_id"].to_list() == sorted(wanted)


number = st.floats(-1.5, 1.5).map(lambda x: round(x, 3))


@pytest.mark.full
@settings(max_examples=25, deadline=None)
@given(corners=st.lists(st.tuples(number, number), min_size=3, max_size=9, unique_by=lambda c: c[1]))
def test_a_point_lies_in_an_area_where_skimage_says_so(corners):
    import duckdb
    from skimage.measure import points_in_poly

    points = np.round(np.random.default_rng(len(corners)).uniform(-1.5, 1.5, (50, 2)), 4) + 0.00005
    with duckdb.connect() as connection:
        connection.register("points", pl.DataFrame({"x": points[:, 0], "y": points[:, 1]}).to_arrow())
        found = connection.sql(f"SELECT {choices.within(corners)} FROM points").fetchnumpy()
    assert next(iter(found.values())).tolist() == points_in_poly(points, corners).tolist()


def test_the_map_draws_what_is_chosen_in_colours_that_stay(client):
    whole = client.get("/api/map?by=license").json()
    assert whole["total"] == len(whole["x"]) == 40 and whole["values"] == ["CC BY", "CC BY-NC", "CC BY-ND", "CC0"]
    assert max(whole["x"]) - min(whole["x"]) > 50_000
    part = client.get("/api/map?by=license&license=CC0&view=0.3,-1,1,1").json()
    wanted = sum(t.figure == "CC0" and t.media_id in on_the_right() for t in THINGS)
    assert part["total"] == len(part["color"]) == wanted
    assert part["values"] == whole["values"] and set(part["color"]) == {whole["values"].index("CC0")}
    concepts = client.get("/api/map").json()
    assert len(concepts["values"]) in concepts["color"]  # those without a label


def test_of_too_many_points_a_part_is_drawn_that_stays_when_one_comes_closer(client, monkeypatch):
    monkeypatch.setattr(mapped, "MOST_POINTS", 12)
    whole, half = (client.get(f"/api/map?view={view}").json() for view in ("-1,-1,1,1", "0,-1,1,1"))
    assert whole["total"] == 40 and 4 < len(whole["x"]) < 25

    def places(found, left):
        width = 1 - left
        return {
            (round(left + x / 65535 * width, 3), round(2 * y / 65535 - 1, 3))
            for x, y in zip(found["x"], found["y"], strict=True)
        }

    assert {at for at in places(whole, -1) if at[0] > 0.001} <= places(half, 0)


def test_a_place_of_the_map_is_that_of_a_picture_which_the_figures_page_leads_to(client):
    x, y = place(9, len(THINGS))
    near = f"/api/map/at?x={x + 0.004:.6f}&y={y:.6f}&within=0.02"
    assert client.get(near).json()["found"]["media_id"] == THINGS[9].media_id
    assert client.get(near + "&license=TDM").json()["found"] is None
    assert f"/map?at={THINGS[9].media_id}" in client.get(f"/figure/{THINGS[9].media_id}").text
    assert f'data-x="{np.float32(x)!s}'[:12] in client.get(f"/map?at={THINGS[9].media_id}").text


@pytest.mark.parametrize("query", ["view=1,1,0,0", "view=a,b,c,d", "by=media_id", "view=0,0,1"])
def test_a_wrong_view_is_refused_with_its_reason(client, query):
    answer = client.get(f"/api/map?{query}")
    assert answer.status_code == 400 and answer.json()["problem"]


def test_scores_are_those_of_the_leaderboard_with_published_ones_beside(tmp_path):
    lake = make(tmp_path / "data", [Thing(0)])
    client = client_of(lake)
    assert "biomedica run --select leaderboard" in client.get("/scores").text
    common = {"scope": "overall", "name": "mean", "metric": "recall_at_1", "provenance": "ours", "n_tasks": 3}
    rows = [
        {**common, "recipe": "full", "model": "mine", "value": 0.5, "low": 0.4, "high": 0.6, "contaminated": 0.125},
        {**common, "recipe": "half", "model": "theirs", "value": 0.25},
        {**common, "recipe": None, "model": "printed", "value": 0.75, "citation": "A paper"},
        {**common, "scope": "task", "name": "other", "recipe": "half", "model": "theirs", "value": 0.1},
    ]
    put(lake, LEADERBOARD, None, [row_of(LEADERBOARD, **row) for row in rows])
    page = client.get("/scores").text
    for words in ("0.400 to 0.600", "12.5 %", "A paper", "recall at 1", "mean over 3 tasks"):
        assert words in page
    assert page.index("printed") < page.index("mine") < page.index("theirs")
    narrow = client.get("/scores?recipe=full").text
    assert "mine" in narrow and "printed" in narrow and "theirs" not in narrow


# a figure's page


def test_a_figure_shows_caption_mentions_labels_twins_and_recipes(client):
    page = client.get(f"/figure/{THINGS[10].media_id}").text
    for words in (
        THINGS[10].secret,
        "<mark>Fig</mark>",
        "equal bytes",
        "text 0.",
        "CC0",
        "half: ".replace(": ", "</a>"),
    ):
        assert words in page
    assert THINGS[15].media_id in page  # equal bytes
    assert client.get(f"/figure/{THINGS[10].figure_id}").status_code == 200
    assert client.get("/figure/pmc7-1-nothing").status_code == 404
    assert client.get("/?q=PMC9").headers["location"] == "/rejects?about=PMC9"
    assert client.get(f"/?q={THINGS[1].media_id}").headers["location"] == f"/figure/{THINGS[1].media_id}"


def test_a_figure_shows_its_panels_and_the_words_of_each(tmp_path):
    things = [Thing(1, figure="CC BY"), Thing(2, figure="TDM")]
    lake = make(tmp_path, things)
    for thing in things:
        assert client_of(lake).get(f"/api/panels/{thing.media_id}").status_code == (200 if thing.allowed else 404)
    box = {"y0": 0, "y1": 48, "n_panels": 2, "score": 0.9, "method": "letters"}
    rows, said = [], []
    for thing in things:
        ids = {"figure_id": thing.figure_id, "article_id": thing.article_id}
        mine = ids | {"media_id": thing.media_id} | box
        tie = {"label": "A", "parts": [0], "link_score": 0.9, "link_method": "label"}
        rows += [
            row_of(PANEL_BOXES, panel=0, x0=0, x1=30, **mine, **tie),
            row_of(PANEL_BOXES, panel=1, x0=34, x1=64, **mine),
        ]
        said += [
            row_of(SUBCAPTIONS, part=n, labels=[label], text=f"{label} of {thing.secret}", **ids)
            for n, label in enumerate("AC")
        ]
    publish(lake, PANEL_BOXES, CHUNK, rows)
    publish(lake, SUBCAPTIONS, CHUNK, said)
    client = client_of(lake)
    open_one, closed = things
    text = client.get(f"/figure/{open_one.media_id}").text
    assert f"A of {open_one.secret}" in text
    assert 'x="34" y="0" width="30" height="48"' in text
    assert "No words of the caption were tied to it." in text
    assert "no panel was found: C." in text
    found = client.get(f"/api/panels/{open_one.media_id}").json()
    assert [(one["label"], [part["text"] for part in one["says"]]) for one in found["panels"]] == [
        ("A", [f"A of {open_one.secret}"]),
        (None, []),
    ]
    answer = client.get(f"/api/panels/{closed.media_id}")
    assert (answer.status_code, closed.secret in answer.text) == (404, False)


def test_cited_words_are_cut_out_of_a_mention_at_their_place():
    pieces = details._pieces(
        {"text": "See Fig. 1 and 2.", "spans": [{"start": 15, "end": 16}, {"start": 4, "end": 10}]}
    )
    assert [piece.text for piece in pieces] == ["See ", "Fig. 1", " and ", "2", "."]
    assert [piece.cites for piece in pieces] == [False, True, False, True, False]


def test_rejects_are_paged_by_key_to_the_last(tmp_path):
    lake = make(tmp_path / "data", THINGS[:1])
    rows = [
        Reject(f"PMC{900 + n % 3}.1", "images", RejectReason.MEDIA_MISSING, f"m{n}", None if n % 2 else f"s{n % 5}")
        for n in range(250)
    ]
    reject(lake, rows)
    shown, after, found = Shown(lake), "", []
    while after is not None:
        page = details.rejects(shown, stage="", reason="", about="", after=after)
        found += [row["message"] for row in page["rows"]]
        after = page["next"]
    assert sorted(found) == sorted(row.message for row in rows)
    assert page["counts"] == [{"stage": "images", "reason": "media_missing", "n": 250}]


# what a selection becomes


def test_a_recipe_of_facets_is_their_condition_and_of_a_search_its_samples(client, lake):
    ticked = f"id={THINGS[2].media_id}&id={THINGS[9].media_id}"
    for name, query in (
        ("facets", "license=CC0&from=2016"),
        ("search", "q=survival&license=CC+BY-NC"),
        ("tick", ticked),
    ):
        answer = write(client, "/api/recipe", json={"name": name, "choice": query})
        assert answer.status_code == 200, answer.text
        made = yaml.safe_load((lake.root / "recipes" / f"{name}.yaml").read_text())
        assert bm.open(lake.root).figures(made["where"])["media_id"].to_list() == sorted(everything(client, query))
        assert made["dedup"] == "none"
        again = write(client, "/api/recipe", json={"name": name, "choice": query})
        assert again.status_code == 400 and "already" in again.json()["problem"]
        (lake.root / "recipes" / f"{name}.yaml").unlink()
    for name in ("../../etc", "full", "A b"):
        assert write(client, "/api/recipe", json={"name": name, "choice": ""}).status_code == 400
    empty = write(client, "/api/recipe", json={"name": "none", "choice": "license=TDM"})
    assert "empty" in empty.json()["problem"]


def test_exports_hold_what_is_seen_and_leave_nothing_behind(client, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    seen = everything(client, "license=CC0")
    csv = pl.read_csv(io.BytesIO(client.get("/export.csv?license=CC0").content), infer_schema=False)
    parquet = pl.read_parquet(io.BytesIO(client.get("/export.parquet?license=CC0").content))
    assert csv["media_id"].to_list() == parquet["media_id"].to_list() == seen
    assert parquet["local"].dtype == pl.List(pl.String) and "kind-line-plot kind-plot" in csv["local"].to_list()
    assert client.get("/export.txt?license=CC0").text.split() == seen
    assert client.get("/export.exe").status_code == 404 and client.get("/export.csv?from=x").status_code == 400
    assert list(tmp_path.iterdir()) == []


# who may ask


def test_writing_needs_the_pages_token_and_its_own_origin(client):
    body = {"json": {"name": "x", "choice": ""}}
    assert client.post("/api/recipe", headers=HOME, **body).status_code == 403
    foreign = {"origin": "http://evil.example", "x-csrf-token": token_of(client)}
    assert client.post("/api/recipe", headers=foreign, **body).status_code == 403
    assert client.get("/", headers={"host": "evil.example"}).status_code == 421
    assert write(client, "/api/recipe", content=b"[1]").status_code == 400


def test_a_picture_is_compared_and_what_is_none_is_refused(client):
    found = write(client, "/api/picture", content=b"\xff\xd8x").json()["picture"]
    assert len(everything(client, f"picture={found}")) == 40
    assert write(client, "/api/picture", content=b"GIF").status_code == 400


def test_beyond_loopback_an_annotators_token_is_asked_for(lake):
    token = Register(lake.root).issue_token("ada")
    client = client_of(lake, tokens=True)
    for path in ("/api/page", "/api/counts", f"/image/{THINGS[0].media_id}", "/export.csv", "/api/lineage/x"):
        assert client.get(path).status_code == 401, path
    for path in ("/", "/clusters", "/cluster/0", "/rejects", f"/figure/{THINGS[0].media_id}"):
        assert client.get(path).headers["location"] == "/login", path
    assert client.post("/login", data={"name": "ada", "token": "no"}, headers=HOME).status_code == 403
    assert client.post("/login", data={"name": "ada", "token": token}, headers=HOME).status_code == 303
    assert len(everything(client)) == 40


def test_pages_hold_no_inline_script_or_style_and_nothing_from_elsewhere(client):
    for path in ("/", "/clusters", "/cluster/0", "/rejects", f"/figure/{THINGS[0].media_id}", "/figure/x"):
        page = client.get(path)
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert not re.search(r"<script(?![^>]*src=\"/)|<style|\son\w+=|\sstyle=", page.text), path
        assert not re.search(r"(?:src|<link[^>]*href)=\"(?!/)", page.text), path


def test_the_index_is_made_once_and_again_when_a_table_changed(tmp_path):
    lake = make(tmp_path / "data", [Thing(0)])
    client_of(lake).get("/api/page")
    made = {path.name: path.stat().st_mtime_ns for path in (lake.root / "explore").iterdir()}
    client_of(lake).get("/api/page")
    assert {path.name: path.stat().st_mtime_ns for path in (lake.root / "explore").iterdir()} == made
    put(lake, FIGURE_LABELS, "PMC000-0000", [])
    assert client_of(lake).get("/api/page?cluster=0").json()["items"] == []
