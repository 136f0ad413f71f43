"""Twenty chunks, four changes: exactly what depends on them is made again, and the rest is not even touched."""

from __future__ import annotations

import dagster as dg
import pytest

from biomedica_assets import definitions, settings
from biomedica_assets.automation.planner import Planner
from biomedica_assets.lib.errors import Reject, RejectReason
from biomedica_assets.lib.lineage.changes import last_changes
from biomedica_assets.lib.lineage.withdrawn import left_out, remnants
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import TABLES
from biomedica_assets_tests.support.delta import CHAIN, SPAN, SPINE, Site

pytestmark = pytest.mark.full  # its world of twenty chunks takes minutes to make


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """The whole story once: made, changed, refreshed, a day later, refreshed."""
    site = Site(tmp_path_factory.mktemp("delta"))
    site.biomedica("run", "--select", ",".join(SPINE))
    site.happened = site.change()
    site.inventory()
    site.remnants_before = list(remnants(Lake(site.data)))
    site.before, site.first_stale = site.files(), site.stale()
    one_run, _ = site.refresh("--max", "1")
    rest, _ = site.refresh()
    site.capped, site.first = one_run, one_run | rest
    site.after = site.files()
    site.changes = list(last_changes(Lake(site.data)))
    site.next_day()
    site.inventory()
    site.second, _ = site.refresh()
    site.last_changes = list(last_changes(Lake(site.data)))
    return site


def test_there_are_twenty_chunks(story):
    assert len(Lake(story.data).partitions(TABLES["shards"])) == 20


def test_the_runs_are_exactly_the_expected_partitions(story):
    """From the event log: what each change reaches, and nothing of any other chunk."""
    chunk = story.happened.chunks
    # The images of an edited article are looked at again: its metadata JSON, which lists them, is another one.
    changed = {(asset, chunk[name]) for name in ("edited", "relicensed", "retracted") for asset in CHAIN}
    assert story.first == changed | {("catalog", None)}
    assert {made for made in story.second if made[1]} == {(asset, chunk["removed"]) for asset in CHAIN}
    assert {asset for asset, key in story.second if key is None} <= {"pmc_inventory", "catalog"}


def test_what_was_stale_is_what_the_first_runs_began_with(story):
    changed = {story.happened.chunks[name] for name in ("edited", "relicensed", "retracted")}
    assert story.first_stale.keys() == {("catalog", None)} | {("article_index", chunk) for chunk in changed}
    assert all("input_changed" in why for why in story.first_stale.values())


def test_a_cap_stops_after_so_many_runs(story):
    assert {key for _, key in story.capped} < {key for _, key in story.first}
    assert len({key for _, key in story.capped}) == 1


def test_everything_else_is_byte_equal_and_untouched(story):
    concerned = {story.happened.chunks[name] for name in ("edited", "relicensed", "retracted")}
    for path, was in story.before.items():
        if not any(chunk in path for chunk in concerned) and "/catalog/" not in path:
            assert story.after.get(path) == was, path


def test_afterwards_everything_is_current(story):
    assert story.stale() == {}


def test_changes_are_told_by_kind(story):
    kinds = {(c.article_id, c.kind) for c in story.changes}
    happened = story.happened
    assert {
        (happened.edited, "xml_changed"),
        (happened.relicensed, "licence_changed"),
        (happened.retracted, "retracted"),
        (happened.removed, "absent"),
    } <= kinds
    assert {article for article, _ in kinds} == {
        happened.edited,
        happened.relicensed,
        happened.retracted,
        happened.removed,
    }
    assert [(c.article_id, c.kind) for c in story.last_changes] == [(happened.removed, "removed")]


@pytest.mark.parametrize("what", ["retracted", "removed"])
def test_downstream_rows_of_a_tombstone_are_empty(story, what):
    article, chunk = getattr(story.happened, what), story.happened.chunks[what]
    lake = Lake(story.data)
    for name in ("article_xml", "articles", "figures", "captions", "mentions", "images", "shards"):
        assert article not in lake.read(TABLES[name], chunk)["article_id"].to_list(), name
    assert left_out(lake, chunk)[article] == what


def test_a_changed_licence_reaches_the_shards(story):
    lake, chunk = Lake(story.data), story.happened.chunks["relicensed"]
    rows = lake.read(TABLES["shards"], chunk)
    of_article = rows.filter(rows["article_id"] == story.happened.relicensed)
    assert set(of_article["license_group"]) == {"noncommercial"}


def test_a_retracted_article_in_old_shards_is_found_until_they_are_refreshed(story):
    # article_index knows of the retraction only after it was refreshed, together with the shards.
    assert story.remnants_before == []
    assert list(remnants(Lake(story.data))) == []


def test_staleness_is_found_across_more_than_a_hundred_chunks(tmp_path):
    """Through the planner and the real graph; Dagster stops tracking at 100 upstream partitions and says FRESH."""
    lake = Lake(tmp_path)
    values = settings.Settings(data_dir=tmp_path, chunk_span=SPAN)
    graph = definitions.build(values).resolve_asset_graph()
    planner = Planner(graph, lake, {}, lambda: [])
    shelf = next(name for name in planner.assets if TABLES[name].partitioning == "shelf")
    above = [name for name in planner.parents(shelf) if TABLES[name].partitioning == "chunk"]
    keys = [f"PMC007-{i * 5:04d}" for i in range(130)]

    def publish(name, key, n_in=0, **more):
        # Only the number of rejects makes the content another one: no row is needed to tell versions apart.
        rejects = [Reject("PMC1.1", name, RejectReason.RETRACTED, "test")] * n_in
        version = graph.get(dg.AssetKey(name)).code_version or ""
        given = {"inputs": {}, "config": {}, "rejects": rejects, "n_in": n_in, "n_out": 0} | more
        lake.publish(TABLES[name], key, TABLES[name].empty(), code_version=version, **given)

    for name in above:
        for key in keys:
            publish(name, key)
    read = {f"{name}@{key}": lake.version(TABLES[name], key) for name in above for key in keys}
    others = [name for name in planner.parents(shelf) if name not in above]
    assert above and len(read) >= 130
    publish(shelf, "PMC007", inputs=read)
    planner.forget()
    assert [r for r in planner.reasons(shelf, "PMC007") if r.detail in read] == []
    publish(above[0], keys[77], n_in=1)
    planner.forget()
    changed = [str(r) for r in planner.reasons(shelf, "PMC007") if r.detail.split("@")[0] not in others]
    assert changed == [f"input_changed: {above[0]}@{keys[77]}"]
