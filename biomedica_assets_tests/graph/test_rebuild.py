"""A release made of labels, recipes and two days of changes, rebuilt by the command from nothing but itself."""

from __future__ import annotations

import hashlib
import os
import shutil

import dagster as dg
import polars as pl
import pytest

from biomedica_assets import cli
from biomedica_assets.commands import showcase
from biomedica_assets.commands.annotate import collect
from biomedica_assets.lib import chunks
from biomedica_assets.lib.annotate import simulate
from biomedica_assets.lib.annotate.ballots import BallotBox
from biomedica_assets.lib.annotate.tally import current_model
from biomedica_assets.lib.annotate.taxonomy.model import load as load_taxonomy
from biomedica_assets.lib.demo import inventory, load_truth, mutate
from biomedica_assets.lib.release.copies import scan
from biomedica_assets.lib.release.manifest import load
from biomedica_assets.lib.release.replant import PLANTED, scope
from biomedica_assets.lib.store import gc
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import (
    ANNOTATIONS,
    ARTICLE_INDEX,
    CHUNK_LISTING,
    CLUSTERS,
    EXPERT_VOTES,
    FIGURE_LABELS,
    RECIPE,
    RELEASE,
    SHARDS,
    TABLES,
)
from biomedica_assets_tests.graph.test_spine import Place

pytestmark = pytest.mark.full  # the whole graph twice

KEPT = ("PMC007-0360", "PMC011-0140")
# In place of the shipped one.
BY_HAND = """title: Without the smallest
where: width > 100
dedup: near
splits: {validation: 0.25}
"""


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def contents(lake, assets):
    """Digest of every table part, reject and shard; not of manifests, which name the versions of votes with names."""
    named = {entry for owner, made in gc.manifests(lake) if owner.asset in assets for entry in made.parts}
    named |= {entry for _, made in gc.manifests(lake, {"shards"}) for entry in made.files}
    return {entry.path: sha256(lake.root / entry.path) for entry in named}


def vote(place, truth):
    """Three people who err now and then label the clusters there are; more than once it is a second round."""
    box = BallotBox(place.lake.root, load_taxonomy())
    right = simulate.cluster_truth(
        place.lake.scan(CLUSTERS).collect(), showcase.image_truth(place.lake, truth, load_taxonomy())
    )
    model = current_model(place.lake)[0]
    simulate.cast(box, simulate.vote_on_clusters(right, simulate.THREE, model, load_taxonomy(), seed=3))
    collect(place.settings, place.instance)
    place.planner.forget()


@pytest.fixture(scope="module")
def story(tmp_path_factory, demo_mirror):
    """Two chunks: made, labelled, changed in four ways, seen removed a day later, labelled again, released."""
    root = tmp_path_factory.mktemp("rebuild")
    source = shutil.copytree(demo_mirror, root / "source")
    here = []
    for path in sorted((source / "metadata").glob("*.json")):
        chunk = chunks.chunk_of(chunks.parse_article_id(path.stem)[0], 20_000)
        if chunk in KEPT:
            here.append(path.stem)
        else:
            mutate.remove_article(source, path.stem)
    inventory.publish_inventory(source, "2026-11-22")
    (root / "data" / "recipes").mkdir(parents=True)
    (root / "data" / "recipes" / "full.yaml").write_text(BY_HAND)
    place = Place(root / "data", source, encoder="texture", clusters=8, release_no_derivatives=False, held_out=0.2)
    place.instance = dg.DagsterInstance.ephemeral()
    truth = load_truth(demo_mirror.parent / "demo_truth.json")
    place.assets = sorted({*scope(place.planner.assets, place.planner.parents), *PLANTED})
    place.walk(
        select=[a for a in place.assets if a not in {"recipe", "release", "release_shelf", "sample_shelf", "held_out"}]
    )
    vote(place, truth)
    place.walk(select=[a for a in place.assets if a not in {"release"}])
    plain = [a.article_id for a in truth.articles if a.article_id in here and a.selected and a.parsed and a.figures]
    place.happened = dict(zip(("edited", "relicensed", "retracted", "removed"), plain, strict=False))
    mutate.change_caption(source, place.happened["edited"])
    mutate.change_licence(source, place.happened["relicensed"], "CC BY-NC")
    mutate.retract(source, place.happened["retracted"])
    mutate.remove_article(source, place.happened["removed"])
    inventory.publish_inventory(source, "2026-11-23")
    place.walk(select=[a for a in place.assets if TABLES[a].partitioning != "recipe" and a != RELEASE.name])
    inventory.publish_inventory(source, "2026-11-24")
    place.walk(select=[a for a in place.assets if TABLES[a].partitioning != "recipe" and a != RELEASE.name])
    vote(place, truth)
    place.outcome = place.walk(select=place.assets)
    place.release = root / "data" / "release" / place.lake.read(RELEASE, None)["version"][0]
    return place


def biomedica(*arguments):
    """Exit code of a command; the environment that it sets for its own processes is put back."""
    before = dict(os.environ)
    try:
        return cli.main([*map(str, arguments)])
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="module")
def rebuilt(story, tmp_path_factory):
    root = tmp_path_factory.mktemp("anew") / "data"
    code = biomedica("rebuild", story.release, "--data-dir", root, "--source", story.settings.source)
    return code, Lake(root)


def test_the_release_has_labels_recipes_changes_and_rewritten_shards(story):
    assert scan(story.release, ANNOTATIONS).filter(status="agreed").collect().height
    assert scan(story.release, FIGURE_LABELS).filter(pl.col("panel_type").is_not_null()).collect().height
    assert "width > 100" in (story.release / "recipes" / "full.yaml").read_text()
    index = {row["article_id"]: row for row in story.lake.scan(ARTICLE_INDEX).collect().iter_rows(named=True)}
    assert index[story.happened["relicensed"]]["license_code"] == "CC BY-NC"
    assert index[story.happened["retracted"]]["left_out_because"] == "retracted"
    assert story.happened["removed"] not in story.lake.scan(CHUNK_LISTING).collect()["article_id"].to_list()
    ours = set(story.lake.scan(SHARDS).collect()["shard"])
    assert set(scan(story.release, SHARDS).collect()["shard"]) - ours, "leaving ND out rewrites a shard"


def test_a_release_tells_nobody_who_voted(story):
    votes = scan(story.release, EXPERT_VOTES).collect()
    names = set(story.lake.read(EXPERT_VOTES, None)["annotator"])
    assert votes.height
    assert names.isdisjoint(votes["annotator"])
    assert votes["comment"].null_count() == votes["seconds"].null_count() == votes.height
    assert votes["time"].str.len_chars().max() == len("2026-11-22")
    for path in story.release.rglob("*"):
        if path.is_file() and path.suffix in {".json", ".md", ".csv", ".yaml"}:
            assert not [name for name in names if name in path.read_text(encoding="utf-8")], path


def test_what_was_rebuilt_is_equal_file_by_file_and_so_is_the_manifest(story, rebuilt):
    code, lake = rebuilt
    made = lake.root / "release" / story.release.name
    assert code == 0
    theirs = {p.relative_to(made): sha256(p) for p in made.rglob("*") if p.is_file()}
    ours = {p.relative_to(story.release): sha256(p) for p in story.release.rglob("*") if p.is_file()}
    assert {p for p in ours.keys() | theirs.keys() if ours.get(p) != theirs.get(p)} == set()
    assert biomedica("verify", made) == 0


def test_a_rebuild_from_nothing_equals_what_two_days_of_changes_left(story, rebuilt):
    """Every table above the release, and every shard; but not votes, which lose names and ids, and what names those."""
    _, lake = rebuilt
    kept = set(story.assets) - {EXPERT_VOTES.name, ANNOTATIONS.name}
    ours, theirs = (contents(place, kept) for place in (story.lake, lake))
    assert len(ours) > 50
    assert sorted(p for p in ours.keys() | theirs.keys() if ours.get(p) != theirs.get(p)) == []


def test_an_interrupted_rebuild_goes_on_and_makes_only_what_is_missing(story, rebuilt, capsys):
    _, lake = rebuilt
    lake.remove(RELEASE, None)
    shutil.rmtree(lake.root / "release")
    capsys.readouterr()
    arguments = ("--data-dir", lake.root, "--source", story.settings.source)
    assert biomedica("rebuild", story.release, *arguments) == 0
    assert "1 partitions made in 1 runs" in capsys.readouterr().out


def test_one_changed_byte_is_named_and_nothing_is_rebuilt_from_it(story, tmp_path, capsys):
    copy = shutil.copytree(story.release, tmp_path / "copy")
    recipe, shard = sorted((copy / "recipes").glob("*.yaml"))[0], sorted((copy / "shards").rglob("*.tar"))[0]
    votes = next((copy / "data" / "expert_votes").glob("*.parquet"))
    for path in (recipe, shard, votes, next((copy / "data" / RECIPE.name / "full").glob("*.parquet"))):
        good = path.read_bytes()
        path.write_bytes(good[:40] + bytes([good[40] ^ 1]) + good[41:])
        capsys.readouterr()
        assert biomedica("verify", copy) == 1
        assert capsys.readouterr().out.splitlines()[0].startswith(f"changed: {path.relative_to(copy).as_posix()} ")
        assert biomedica("rebuild", copy, "--data-dir", tmp_path / "none", "--source", story.settings.source) != 0
        assert not (tmp_path / "none").exists()
        path.write_bytes(good)
    assert biomedica("verify", copy) == 0


def test_without_a_source_nothing_is_begun(story, tmp_path, capsys):
    assert biomedica("rebuild", story.release, "--data-dir", tmp_path / "none", "--source", tmp_path / "no") != 0
    assert "not a directory" in capsys.readouterr().err
    assert not (tmp_path / "none" / "tables").exists()


def test_a_rebuild_makes_nothing_that_the_release_did_without(story):
    made = {"release", "release_shelf", "pmc_inventory", "chunk_listing", "article_index", "articles", "figures"}
    made |= {"captions", "mentions", "images", "shards"}
    wanted = scope(made, story.planner.parents)
    assert {"article_xml", "shards", "release_shelf", "release"} <= set(wanted)
    assert not {"embeddings", "clusters", "recipe", "duplicates", "annotations", "pubmed_records"} & set(wanted)
    assert not {"pmc_inventory", "expert_votes", "evaluation_matches"} & set(scope(story.assets, story.planner.parents))
    assert load(story.release).counts["recipe"]
