"""The graph on a small invented mirror: what is made, what is left alone, what fails alone."""

from __future__ import annotations

import contextlib
import os
import shutil

import dagster as dg
import pytest

from biomedica_assets import configs, definitions, settings
from biomedica_assets.automation import runner, upkeep
from biomedica_assets.automation.planner import Planner
from biomedica_assets.lib.demo import inventory, load_truth, mutate
from biomedica_assets.lib.demo.score import score_extraction
from biomedica_assets.lib.store import fsck
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import TABLES
from biomedica_assets_tests.lib.store.test_damage import flip
from biomedica_assets_tests.support.garbage import take_out

CHAIN = ["article_index", "article_xml", "articles", "captions", "figures", "mentions", "images", "shards"]
SPINE = ["pmc_inventory", *CHAIN, "catalog"]


class Place:
    """A data directory with its own instance."""

    def __init__(self, root, mirror, **more):
        self.settings = settings.Settings(data_dir=root, source=str(mirror), **more)
        self.lake, self.instance = Lake(root), dg.DagsterInstance.ephemeral()
        self.definitions = definitions.build(self.settings)
        graph = self.definitions.resolve_asset_graph()
        self.planner = Planner(
            graph, self.lake, configs.expected(self.settings), lambda: configs.recipes(self.settings)
        )

    def walk(self, **more):
        return runner.walk(self.definitions, self.instance, self.planner, **({"select": SPINE} | more))

    def digests(self):
        """Bytes of every file that is data: not locks, not Dagster's own, not the mirror's ledger of file times.

        What nothing refers to any more goes first: a rerun leaves the files that it replaced.
        """
        take_out(self.lake)
        return {
            path.relative_to(self.lake.root): path.read_bytes()
            for folder in ("tables", "shards", "mirror")
            for path in sorted((self.lake.root / folder).rglob("*"))
            if path.is_file() and ".verified" not in path.parts
        }


@contextlib.contextmanager
def noting_versions_taken_late():
    """Names of inputs whose version a step asked for after it had read them; each step has a ``Lake`` of its own."""
    late, seen, read_lazy, inputs = [], [], Lake.read_lazy, Lake.inputs

    def reading(self, table, partition):
        seen.append((self, (table.name, partition)))
        return read_lazy(self, table, partition)

    def asking(self, *wanted):
        late.extend((t.name, p) for t, p in wanted if any(one is self and at == (t.name, p) for one, at in seen))
        return inputs(self, *wanted)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Lake, "read_lazy", reading)
        patch.setattr(Lake, "inputs", asking)
        yield late


@pytest.fixture(scope="module")
def made(tmp_path_factory, demo_mirror):
    """The spine, made once; tests that change something work on a copy."""
    place = Place(tmp_path_factory.mktemp("made"), demo_mirror)
    with noting_versions_taken_late() as place.late:
        place.first = place.walk()
    return place


@pytest.fixture
def copy(tmp_path, made, demo_mirror):
    """The same data directory over a mirror of its own."""
    shutil.copytree(made.lake.root, tmp_path / "data")
    shutil.copytree(demo_mirror, tmp_path / "source")
    shutil.copy(demo_mirror.parent / "demo_truth.json", tmp_path / "demo_truth.json")
    place = Place(tmp_path / "data", tmp_path / "source")
    place.walk()
    return place


def test_everything_is_made_and_nothing_fails(made):
    assert made.first.failed == {}
    chunks = made.lake.partitions(TABLES["chunk_listing"])
    assert len(chunks) >= 4
    for name in CHAIN:
        assert made.lake.partitions(TABLES[name]) == chunks


def test_no_step_asks_for_the_version_of_what_it_has_read_already(made):
    """Rows read before a rewrite under the version of after it would count as current for good."""
    assert made.late == []


def test_nothing_disappears_at_any_stage(made):
    for name in CHAIN:
        for key in made.lake.partitions(TABLES[name]):
            manifest = made.lake.manifest(TABLES[name], key)
            assert manifest.n_in == manifest.n_out + sum(manifest.rejects.values()), (name, key)


def test_what_was_invented_is_extracted_again(made, demo_mirror):
    scores = score_extraction(made.lake, load_truth(demo_mirror.parent / "demo_truth.json"))
    assert {name: str(score) for name, score in scores.items() if score.missed or score.surplus} == {}


def test_a_second_walk_makes_nothing(made):
    before = made.digests()
    again = made.walk()
    assert [asset for asset, _ in again.materialised if asset != "pmc_inventory"] == []
    assert made.digests() == before


def test_manifests_name_exactly_the_inputs_that_the_graph_declares(made):
    """Else a partition would be for ever stale, or stay current although an input changed."""
    for name in ("pmc_inventory", *CHAIN, "catalog"):
        for key in made.lake.partitions(TABLES[name]) or [None]:
            assert made.planner.reasons(name, key) == (), (name, key)


@pytest.mark.full
def test_the_result_does_not_depend_on_where_and_when_it_is_made(tmp_path, made, demo_mirror, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("LC_ALL", "tr_TR.UTF-8")
    other = Place(tmp_path, demo_mirror, workers=1)
    other.walk()
    mine, theirs = other.digests(), made.digests()
    assert [path for path in sorted({*mine, *theirs}) if mine.get(path) != theirs.get(path)] == []


def test_an_edited_article_remakes_only_its_chunk(copy):
    truth = load_truth(copy.settings.data_dir.parent / "demo_truth.json")
    article = next(a for a in truth.articles if a.selected and a.parsed and a.figures)
    before = copy.digests()
    mutate.change_caption(copy.settings.data_dir.parent / "source", article.article_id)
    inventory.publish_inventory(copy.settings.data_dir.parent / "source", "2026-11-22")
    outcome = copy.walk()
    from biomedica_assets.lib import chunks

    mine = chunks.chunk_of(chunks.parse_article_id(article.article_id)[0], 20_000)
    assert {key for asset, key in outcome.materialised if asset in CHAIN} == {mine}
    after = copy.digests()
    changed = {str(path) for path in before if after.get(path) != before[path]}
    assert changed
    assert all(mine in path or "pmc_inventory" in path or "catalog" in path or "mirror/" in path for path in changed)


def test_a_changed_setting_remakes_what_it_shapes_and_no_more(copy):
    other = Place(copy.lake.root, copy.settings.source, seed=1)
    stale = {entry.asset for entry in other.planner.all_stale(SPINE)}
    assert stale == {"shards"}


def test_one_chunk_can_be_made_alone(tmp_path, demo_mirror):
    place = Place(tmp_path, demo_mirror)
    outcome = place.walk(chunks=["PMC007-0360"])
    assert {key for asset, key in outcome.materialised if asset in CHAIN} == {"PMC007-0360"}


def test_a_chunk_that_fails_does_not_stop_the_others(copy, monkeypatch):
    part = copy.lake.part(TABLES["article_xml"], "PMC007-0360")
    part.write_bytes(b"not parquet".center(part.stat().st_size - 4) + b"PAR1")
    os.utime(part, ns=(0, 0))
    (copy.lake.folder(TABLES["articles"], "PMC007-0360") / "_manifest.json").unlink()
    (copy.lake.folder(TABLES["articles"], "PMC007-0380") / "_manifest.json").unlink()
    outcome = copy.walk()
    assert [batch.partition for batch in outcome.failed] == ["PMC007-0360"]
    assert ("articles", "PMC007-0380") in outcome.materialised


def test_what_is_damaged_is_named_and_exactly_that_is_made_again(copy):
    """A table cut by 100 bytes, a shard cut to 5 kB, and bytes that fell over without a trace in size or time."""
    before, chunk = copy.digests(), "PMC007-0360"
    (shard, *_), part = copy.lake.manifest(TABLES["shards"], chunk).files, copy.lake.part(TABLES["articles"], chunk)
    os.truncate(part, part.stat().st_size - 100)
    os.truncate(copy.lake.root / shard.path, 5000)
    flip(copy.lake.part(TABLES["figures"], "PMC007-0380"))
    flip(copy.lake.root / copy.lake.read(TABLES["images"], "PMC007-0340")["path"][0])
    copy.planner.forget()
    found = {(s.asset, s.partition) for s in copy.planner.behind(SPINE) if not s.waits}
    assert found == {("articles", chunk), ("shards", chunk)}
    damaged = fsck.check(copy.lake).partitions
    expected = {*found, ("figures", "PMC007-0380"), ("images", "PMC007-0340")}
    assert {(owner.asset, owner.partition) for owner in damaged} == expected
    copy.planner.forget()
    assert {(s.asset, s.partition) for s in copy.planner.behind(SPINE) if not s.waits} == expected
    outcome = upkeep.repair(copy.definitions, copy.instance, copy.planner, damaged)
    assert outcome.failed == {}
    made = set(outcome.materialised)
    beside = {(asset, key) for asset, key in made for other in copy.planner.together(asset) if (other, key) in expected}
    assert expected <= made == beside, "parsing gives several tables at once; nothing else was made"
    assert fsck.check(copy.lake).faults == ()
    assert list(copy.planner.behind(SPINE)) == []
    assert copy.digests() == before
