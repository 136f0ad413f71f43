"""Why a partition is out of date, decided from manifests."""

from biomedica_assets.lib import tables
from biomedica_assets.lib.lineage.stale import Cause, Expectation, Versions, reasons, upstream_partitions
from biomedica_assets.lib.store.lake import Lake

TABLE = tables.ARTICLE_XML


def publish(lake, chunk="PMC007-0360", table=TABLE, n=1, **more):
    frame = table.empty()
    if table is TABLE:
        frame = table.frame(
            [{"article_id": f"PMC{i}.1", "key": "k", "path": "p", "md5": "m", "bytes": 1} for i in range(n)]
        )
    given = {"code_version": "1", "inputs": {"a": "v1"}, "config": {"seed": 0, "codes": ("CC0",)}}
    return lake.publish(table, chunk, frame, n_in=n, n_out=n, **(given | more))


def causes(manifest, **changes):
    now = {"code_version": "1", "config": {"seed": 0, "codes": ("CC0",)}, "inputs": {"a": "v1"}} | changes
    return [reason.cause for reason in reasons(manifest, Expectation(**now))]


def test_what_was_made_from_the_same_is_current(tmp_path):
    assert causes(publish(Lake(tmp_path))) == []


def test_each_kind_of_change_is_named(tmp_path):
    manifest = publish(Lake(tmp_path))
    assert causes(None) == [Cause.MISSING]
    assert causes(manifest, code_version="2") == [Cause.CODE]
    assert causes(manifest, config={"seed": 1, "codes": ("CC0",)}) == [Cause.SETTINGS]
    assert causes(manifest, inputs={"a": "v2"}) == [Cause.INPUT_CHANGED]
    assert causes(manifest, inputs={"a": "v1", "b": "v1"}) == [Cause.INPUT_ADDED]
    assert causes(manifest, inputs={}) == [Cause.INPUT_REMOVED]


def test_settings_and_code_that_are_not_tracked_make_nothing_stale(tmp_path):
    assert causes(publish(Lake(tmp_path)), code_version=None, config=None) == []


def test_a_settings_reason_says_from_what_to_what(tmp_path):
    found = reasons(publish(Lake(tmp_path)), Expectation("1", {"seed": 1, "codes": ["CC0"]}, {"a": "v1"}))
    assert [str(reason) for reason in found] == ["settings: seed: 0 -> 1"]


def test_a_shelf_reads_the_existing_chunks_of_its_million(tmp_path):
    lake = Lake(tmp_path)
    for chunk in ("PMC007-0360", "PMC007-0380", "PMC008-0000"):
        publish(lake, chunk)
    shelf = tables.Table("shelf_table", "", "shelf", (), ())
    everything = tables.Table("global_table", "", "none", (), ())
    assert upstream_partitions(lake, shelf, "PMC007", TABLE) == ["PMC007-0360", "PMC007-0380"]
    assert upstream_partitions(lake, everything, None, TABLE) == ["PMC007-0360", "PMC007-0380", "PMC008-0000"]
    assert upstream_partitions(lake, TABLE, "PMC007-0360", everything) == [None]
    assert upstream_partitions(lake, TABLE, "PMC007-0360", tables.IMAGES) == ["PMC007-0360"]


def test_staleness_is_found_over_more_than_a_hundred_partitions(tmp_path):
    """Dagster stops tracking an edge at 100 upstream partitions and answers FRESH."""
    lake = Lake(tmp_path)
    for i in range(130):
        publish(lake, f"PMC007-{i:04d}")
    shelf = tables.Table("shelf_table", "", "shelf", (), ())
    before = Versions(lake).inputs(shelf, "PMC007", [TABLE])
    publish(lake, "PMC007-0077", n=2)
    after = Versions(lake).inputs(shelf, "PMC007", [TABLE])
    manifest = lake.publish(shelf, "PMC007", shelf.empty(), code_version="1", inputs=before, config={}, n_in=0, n_out=0)
    found = reasons(manifest, Expectation("1", {}, after))
    assert [str(reason) for reason in found] == ["input_changed: article_xml@PMC007-0077"]


def test_versions_are_remembered_until_told_to_forget(tmp_path):
    lake = Lake(tmp_path)
    versions = Versions(lake)
    assert versions.manifest(TABLE, "PMC007-0360") is None
    publish(lake)
    assert versions.manifest(TABLE, "PMC007-0360") is None
    versions.forget()
    assert versions.manifest(TABLE, "PMC007-0360") is not None


def test_a_setting_that_came_or_went_is_a_reason_too(tmp_path):
    manifest = publish(Lake(tmp_path))
    assert causes(manifest, config={"seed": 0, "codes": ("CC0",), "side": 21}) == [Cause.SETTINGS]
    assert causes(manifest, config={"seed": 0}) == [Cause.SETTINGS]


def test_no_settings_any_more_is_not_the_same_as_settings_that_are_not_tracked(tmp_path):
    assert causes(publish(Lake(tmp_path)), config={}) == [Cause.SETTINGS, Cause.SETTINGS]


def test_a_chunk_reads_the_shelf_it_lies_on(tmp_path):
    shelf = tables.Table("shelf_table", "", "shelf", (), ())
    assert upstream_partitions(Lake(tmp_path), TABLE, "PMC007-0360", shelf) == ["PMC007"]
