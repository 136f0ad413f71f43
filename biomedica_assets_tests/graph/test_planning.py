"""What a walk makes next, and what several walks add up to: decided without running anything."""

from __future__ import annotations

from biomedica_assets import definitions, settings
from biomedica_assets.automation.planner import Planner, Stale
from biomedica_assets.automation.runner import Batch, Outcome, together
from biomedica_assets.lib.lineage.stale import Cause, Reason
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import TABLES
from biomedica_assets_tests.support.listings import list_chunk


def planner(tmp_path):
    graph = definitions.build(settings.Settings(data_dir=tmp_path)).resolve_asset_graph()
    return Planner(graph, Lake(tmp_path), {}, list)


def test_what_exists_waits_until_its_inputs_are_final(tmp_path, monkeypatch):
    plan, why = planner(tmp_path), (Reason(Cause.CODE, "1 -> 2"),)
    found = [Stale(name, "PMC007-0360", why) for name in ("article_index", "article_xml")]
    monkeypatch.setattr(plan, "stale", lambda *_: found)
    assert plan.next_batch(["article_index", "article_xml"], "PMC007-0360") == ["article_index"]


def test_a_wave_comes_after_everything_of_another_partitioning_that_it_reads(tmp_path):
    plan = planner(tmp_path)
    waves = plan.waves(plan.assets)
    at = {asset: number for number, wave in enumerate(waves) for asset in wave.assets}
    above = [(parent, asset) for asset in at for parent in plan.parents(asset) if parent in at]
    assert above and all(at[parent] <= at[asset] for parent, asset in above)


def test_what_failed_in_one_walk_and_was_made_in_a_later_one_has_not_failed():
    batch = Batch(("images",), "PMC007-0360")
    made = Outcome(runs=1, materialised=[("images", "PMC007-0360")])
    assert together([Outcome(runs=1, failed={batch: "no"}), made]).ok
    assert not together([made, Outcome(runs=1, failed={batch: "no"})]).ok


def test_what_stands_below_something_out_of_date_waits_and_says_for_what(tmp_path):
    """A recipe below a chunk that is out of date read as "everything is current"."""
    lake = Lake(tmp_path)
    plan = planner(tmp_path)
    chunks, wanted = ["PMC007-0340", "PMC007-0360"], ["chunk_listing", "article_index", "article_xml"]

    def publish(name, chunk, version=None):
        table, above = TABLES[name], wanted[: wanted.index(name)][-1:]
        if name == "chunk_listing":
            list_chunk(lake, chunk)
            return
        inputs = {f"{parent}@{chunk}": version or lake.version(TABLES[parent], chunk) for parent in above}
        lake.publish(table, chunk, table.empty(), code_version="1", config={}, inputs=inputs, n_in=0, n_out=0)

    for chunk in chunks:
        for name in wanted:
            publish(name, chunk)
    assert list(plan.behind(wanted)) == []
    publish("article_index", chunks[0], "of an older listing")
    plan.forget()
    found = {(s.asset, s.partition): [str(r) for r in s.reasons] for s in plan.behind(wanted)}
    assert found["article_index", chunks[0]] == [f"input_changed: chunk_listing@{chunks[0]}"]
    assert found["article_xml", chunks[0]] == [f"waits: for article_index@{chunks[0]}"]
    assert len(found) == 2
    lake.part(TABLES["chunk_listing"], chunks[1]).unlink()
    found = {(s.asset, s.partition): [r.cause for r in s.reasons] for s in plan.behind(wanted)}
    assert found["chunk_listing", chunks[1]] == [Cause.DAMAGED]
    assert found["article_index", chunks[1]] == found["article_xml", chunks[1]] == [Cause.WAITS]
