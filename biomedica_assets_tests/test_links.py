"""Links of Dagster's metadata: of every table, they lead to a page that there is and that shows that partition."""

from urllib.parse import urlsplit

import pytest
from starlette.testclient import TestClient

from biomedica_assets import links, settings
from biomedica_assets.lib.explore.web.app import create_app
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.tables import TABLES
from biomedica_assets_tests.lib.explore.world import Thing, make
from biomedica_assets_tests.lib.shards.world import CHUNK

PAGE = "http://127.0.0.1:8766"
PARTITIONS = {"chunk": CHUNK, "shelf": "PMC000", "recipe": "half", "none": None}
SPAN = settings.Settings().chunk_span


def told(table, n_rejected=0):
    partition = PARTITIONS[table.partitioning]
    report = Report(table.name, partition, "v", 1, 1, 1, rejects={"no_caption": n_rejected} if n_rejected else {})
    return links.addresses(PAGE, report, table, SPAN)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    lake = make(tmp_path_factory.mktemp("data"), [Thing(n) for n in range(4)])
    return TestClient(create_app(lake), base_url=PAGE, follow_redirects=False)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_link_opens(client, table):
    found = told(table, n_rejected=1)
    assert links.LEFT_OUT in found and (links.SHOWN in found or table.partitioning == "none")
    for address in found.values():
        assert address.startswith(PAGE + "/") and client.get(address).status_code == 200, address


def test_a_chunk_a_shelf_and_a_recipe_show_what_is_theirs(client):
    def total(name):
        return client.get(f"/api/total?{urlsplit(told(TABLES[name])[links.SHOWN]).query}").json()["total"]

    assert total("images") == total("embedding_shelf") == 4 and total("recipe") == 2
    elsewhere = Report("images", "PMC011-0600", "v", 1, 1, 1)
    address = links.addresses(PAGE, elsewhere, TABLES["images"], SPAN)[links.SHOWN]
    assert address.endswith("/?pmcids=11600000-11619999")
    assert client.get(f"/api/total?{urlsplit(address).query}").json() == {"total": 0}


def test_without_an_address_of_the_page_there_are_no_links():
    report = Report("images", CHUNK, "v", 1, 1, 1)
    assert links.addresses("", report, TABLES["images"], SPAN) == {}
    below = links.addresses("https://lab.example/look/", report, TABLES["images"], SPAN)
    assert below == {links.SHOWN: "https://lab.example/look/?pmcids=0-19999"}
