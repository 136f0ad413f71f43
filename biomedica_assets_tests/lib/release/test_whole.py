"""What a release holds beside samples and tables: what changed, who is withdrawn, vectors, votes, scores."""

from __future__ import annotations

import datetime as dt
import itertools
import shutil

import duckdb
import numpy as np
import polars as pl
import pytest
import yaml

from biomedica_assets.lib.chunks import shelf_of_chunk
from biomedica_assets.lib.release import embeddings, history, votes
from biomedica_assets.lib.release.copies import scan
from biomedica_assets.lib.release.manifest import load
from biomedica_assets.lib.release.replant import replant
from biomedica_assets.lib.release.stage import ReleaseConfig
from biomedica_assets.lib.release.verify import verify
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.store.vectors import write_vectors
from biomedica_assets.lib.tables import (
    ANNOTATIONS,
    ARTICLES,
    CHANGES,
    CLUSTER_MODEL,
    CLUSTERS,
    DUPLICATES,
    EMBEDDING_SHELF,
    EXPERT_VOTES,
    IMAGES,
    LABEL_AUDIT,
    LABEL_CALIBRATION,
    LABEL_CORRECTIONS,
    LABEL_TRUST,
    LEADERBOARD,
    PANELS,
    RULE_SCORES,
    SHARDS,
    SOURCE_LEADERBOARD,
    TOMBSTONES,
    WITHDRAWN,
)
from biomedica_assets_tests.lib.release import lakes

PEOPLE = ("cleo", "ada", "ben")
DIMENSION = 8
PLAIN = ReleaseConfig(pairs=False)
LABELS = (LABEL_AUDIT, LABEL_CALIBRATION, LABEL_CORRECTIONS, LABEL_TRUST, RULE_SCORES, SOURCE_LEADERBOARD)


def publish(lake, table, rows, partition=None, **more):
    frame = rows if isinstance(rows, pl.DataFrame) else table.frame(rows)
    lake.publish(
        table, partition, frame, code_version="t", inputs={}, config={}, n_in=frame.height, n_out=frame.height, **more
    )


def vote(person, cluster, panel):
    return {
        "vote_id": f"{person}-{cluster}", "annotator": person, "source": "human", "task": "label", "cluster": cluster,
        "cluster_model": "m", "panel_type": panel, "mixed": False, "cant_tell": False, "comment": f"{person} was here",
        "seconds": 3.0, "time": f"2026-11-2{cluster}T10:00:0{len(person)}Z", "taxonomy_version": "1",
        "guideline_version": "1", "status": "active",
    }  # fmt: skip


def fill(lake):
    """Rows of every table that a release takes where it is there, by hand: what they mean is tested elsewhere."""
    for shelf in sorted({shelf_of_chunk(chunk) for chunk in lake.partitions(IMAGES)}):
        chunks = [chunk for chunk in lake.partitions(IMAGES) if shelf_of_chunk(chunk) == shelf]
        ids = lake.scan(IMAGES, chunks).select("media_id", source_chunk="chunk").sort("media_id").collect()
        values = np.arange(ids.height * DIMENSION, dtype=np.float16).reshape(-1, DIMENSION) / 7
        entry = write_vectors(lake, lake.root / "embeddings" / shelf, [values], ids.height, DIMENSION)
        rows = ids.with_row_index("row").cast({"row": pl.Int32}).select(EMBEDDING_SHELF.schema.names())
        publish(
            lake, EMBEDDING_SHELF, rows, shelf, files=[entry], metrics={"encoder": "texture", "encoder_digest": "d"}
        )
    for chunk in lake.partitions(IMAGES):
        media = lake.read(IMAGES, chunk).select("media_id", "sha256").rows()
        publish(lake, CLUSTERS, [lacking(CLUSTERS, media_id=m) for m, _ in media], chunk)
        publish(lake, PANELS, [lacking(PANELS, media_id=m, sha256=s) for m, s in media], chunk)
    copies = lake.scan(IMAGES).select("media_id", "article_id").sort("media_id").collect().iter_rows()
    publish(lake, DUPLICATES, [lacking(DUPLICATES, media_id=m, article_id=a) for m, a in copies])
    publish(lake, CLUSTER_MODEL, [lacking(CLUSTER_MODEL, cluster=0)])
    publish(lake, LEADERBOARD, [lacking(LEADERBOARD, recipe="full", model="m", metric="accuracy")])
    for table in LABELS:
        publish(lake, table, [lacking(table)])
    given = [vote(p, c, "panel-single") for p, c in itertools.product(PEOPLE, range(3)) if (p, c) != ("ada", 2)]
    publish(lake, EXPERT_VOTES, sorted(given, key=lambda row: str(row["vote_id"])))
    rests_on = [str(v["vote_id"]) for v in given if v["cluster"] == 0]
    publish(lake, ANNOTATIONS, [lacking(ANNOTATIONS, cluster=0, question="panel_type", votes=rests_on)])


def lacking(table, **known):
    """A row with something in every column that must have it."""
    blank = {pl.String(): "x", pl.Boolean(): False}
    row = {}
    for column in table.columns:
        if column.name in known or column.nullable:
            row[column.name] = known.get(column.name)
        else:
            row[column.name] = blank.get(column.dtype, [] if isinstance(column.dtype, pl.List) else 0)
    return row


@pytest.fixture(scope="module")
def series(lake, tmp_path_factory):
    """Two releases of one data directory: in between one article is withdrawn, one relicensed, one no longer free."""
    here = Lake(shutil.copytree(lake.root, tmp_path_factory.mktemp("series") / "data"))
    shutil.rmtree(here.root / "tables" / "release", ignore_errors=True)
    shutil.rmtree(here.root / "release", ignore_errors=True)
    lakes.recipe(here)
    fill(here)
    first = lakes.release(here, PLAIN)
    samples = scan(first, SHARDS).collect()
    counted = samples.group_by("article_id").len().sort("len", "article_id", descending=True)
    free = scan(first, ARTICLES).filter(license_code="CC BY").collect()["article_id"].to_list()
    taken, relicensed, closed = [a for a in counted["article_id"] if a in free][:3]
    for chunk in here.partitions(ARTICLES):
        rows = here.read(ARTICLES, chunk)
        if taken in rows["article_id"]:
            number = int(taken.removeprefix("PMC").split(".")[0])
            more = TOMBSTONES.frame([{
                "article_id": taken, "pmcid": number, "version": 1, "reason": "withdrawn", "sources": ["list"],
                "because": "a private reason",
            }])  # fmt: skip
            there = here.read(TOMBSTONES, chunk) if here.manifest(TOMBSTONES, chunk) else TOMBSTONES.empty()
            publish(here, TOMBSTONES, pl.concat([there, more]).sort("article_id"), chunk)
        code = pl.when(article_id=relicensed).then(pl.lit("CC0")).when(article_id=closed).then(None)
        publish(here, ARTICLES, rows.with_columns(code.otherwise("license_code").alias("license_code")), chunk)
    return here, first, lakes.release(here, PLAIN), (taken, relicensed, closed)


def test_a_first_release_says_that_it_is_one(series):
    _, first, _, _ = series
    assert "first release of its series" in (first / "CHANGES.md").read_text()
    assert not (first / "data" / CHANGES.name).exists()
    assert load(first).before == {}


def test_what_differs_from_the_release_before_is_a_row_each(series):
    _, first, second, (taken, relicensed, closed) = series
    rows = {
        (row["article_id_before"], row["change"]): row for row in scan(second, CHANGES).collect().iter_rows(named=True)
    }
    assert set(rows) == {(taken, "withdrawn"), (relicensed, "relicensed"), (closed, "left_out")}
    held = dict(scan(first, SHARDS).group_by("article_id").len().collect().iter_rows())
    assert rows[taken, "withdrawn"]["samples_before"] == held[taken] and rows[taken, "withdrawn"]["samples"] == 0
    changed = rows[relicensed, "relicensed"]
    assert (changed["license_code_before"], changed["license_code"]) == ("CC BY", "CC0")
    text = (second / "CHANGES.md").read_text()
    assert first.name in text and f"| withdrawn | 1 | {held[taken]} | 0 |" in text
    before = load(second).before
    assert before == {"version": first.name, "key": load(first).key}


def test_an_article_that_changed_is_told_from_one_that_only_came(series, tmp_path):
    """From the later one back, what came is what the first one has more; other bytes of one picture are a change."""
    _, first, second, (taken, _, _) = series
    changes = history._changes(first, second, history.withdrawals(Lake(tmp_path)))
    assert set(changes.filter(change="added")["article_id"]) >= {taken}
    copy = tmp_path / "copy"
    shutil.copytree(first / "data", copy / "data")
    (path,) = sorted((copy / "data" / SHARDS.name).glob("*.parquet"))[:1]
    rows = pl.read_parquet(path)
    article = rows["article_id"][0]
    other = pl.when(pl.int_range(pl.len()) == 0).then(pl.lit("0" * 64)).otherwise("sha256").alias("sha256")
    rows.with_columns(other).write_parquet(path)
    found = history._changes(copy, first, history.withdrawals(Lake(tmp_path)))
    assert found.select("article_id", "change").rows() == [(article, "changed")]


def test_who_holds_an_older_copy_learns_what_to_delete_and_nothing_private(series):
    _, first, second, (taken, _, _) = series
    rows = pl.read_parquet(second / "withdrawn.parquet")
    assert rows.schema == WITHDRAWN.schema
    row = rows.filter(article_id=taken).row(0, named=True)
    had = scan(first, SHARDS).filter(article_id=taken).collect()
    assert (row["reason"], row["sources"], row["last_in"]) == ("withdrawn", ["list"], first.name)
    assert row["samples"] == sorted(had["sample_key"]) and row["shards"] == sorted(set(had["shard"]))
    assert row["since"] == "2026-11-21T01-00Z" and row["date"] == dt.date(2026, 11, 21)
    assert b"a private reason" not in (second / "withdrawn.parquet").read_bytes()
    listed = pl.read_csv(second / "TOMBSTONES.csv")
    assert set(rows["article_id"]) == set(listed["article_id"]) and rows.height > 1


def test_what_was_withdrawn_stays_on_the_list_of_later_releases(series, tmp_path):
    here, first, _, (taken, *_) = series
    later = Lake(shutil.copytree(here.root, tmp_path / "data", symlinks=True))
    third = lakes.release(later, ReleaseConfig(pairs=False, name="another"))
    row = pl.read_parquet(third / "withdrawn.parquet").filter(article_id=taken).row(0, named=True)
    assert row["last_in"] == first.name and row["samples"]


def test_the_same_once_more_is_no_new_release(series):
    here, _, second, _ = series
    assert lakes.release(here, PLAIN) == second


def test_a_rebuild_says_of_the_release_before_what_the_release_said(series, tmp_path):
    _, _, second, _ = series
    anew = Lake(tmp_path / "anew")
    replant(second, anew, 20_000)
    before = history.find(anew, anew.root / "release")
    assert before is not None and before.recorded() == load(second).before
    (tmp_path / "out").mkdir()
    history.write(tmp_path / "out", anew, before, "2026-11-21T01-00Z", history.withdrawals(anew))
    for name in ("withdrawn.parquet", "CHANGES.md", "data/changes/all-00000-of-00001.parquet"):
        assert (tmp_path / "out" / name).read_bytes() == (second / name).read_bytes(), name
    assert anew.read(LEADERBOARD, None).equals(scan(second, LEADERBOARD).collect())


def test_every_picture_that_may_be_changed_has_its_vector_and_no_other(series):
    here, first, _, _ = series
    rows = pl.read_parquet(sorted((first / "vectors").glob("*.parquet")))
    assert rows.schema["vector"] == pl.Array(pl.Float16, DIMENSION)
    images = scan(first, IMAGES).select("media_id", "license_code").collect()
    assert images["license_code"].str.ends_with("ND").any()
    assert set(rows["media_id"]) == set(images.filter(~pl.col("license_code").str.ends_with("ND"))["media_id"])
    row = dict(here.scan(EMBEDDING_SHELF).select("media_id", pl.struct("shelf", "row")).collect().iter_rows())
    for media_id, vector in rows.select("media_id", "vector").sample(20, seed=1).iter_rows():
        start = row[media_id]["row"] * DIMENSION
        assert list(vector) == list(np.arange(start, start + DIMENSION, dtype=np.float16) / 7)
    counted = dict(pl.read_csv(first / "statistics" / "vectors.csv").iter_rows())
    assert counted.pop("in") == sum(counted.values()) and counted["out"] == rows.height


def test_vectors_are_cut_into_files_of_a_size(series, tmp_path):
    here, first, _, _ = series
    (tmp_path / "data").symlink_to(first / "data")
    media = scan(first, IMAGES).select("media_id").collect()["media_id"]
    files, _ = embeddings.write(tmp_path, here, media, file_bytes=10 * DIMENSION * 2)
    assert max(file.rows for file in files) == 10 and len(files) > 2
    whole = pl.read_parquet(sorted((first / "vectors").glob("*.parquet")))
    assert pl.concat([pl.read_parquet(tmp_path / file.path) for file in files]).equals(whole)


def test_a_table_of_votes_without_a_vote_is_released_as_it_is(tmp_path):
    """A directory of which the votes were collected before anybody voted: the release failed."""
    lake = Lake(tmp_path)
    publish(lake, EXPERT_VOTES, [])
    assert votes.released(lake)[0].equals(EXPERT_VOTES.empty())


def test_votes_lead_to_nobody(series):
    here, first, _, _ = series
    rows = scan(first, EXPERT_VOTES).collect()
    assert rows.height == 8 and set(rows["annotator"]) == {"human-1", "human-2", "human-3"}
    for path in first.rglob("*"):
        if path.is_file() and path.suffix in {".parquet", ".csv", ".json", ".md"}:
            text = " ".join(map(str, pl.read_parquet(path).rows())) if path.suffix == ".parquet" else path.read_text()
            assert not any(f"{name}-" in text or f"{name} was" in text for name in PEOPLE), path
    (made,) = scan(first, ANNOTATIONS).collect()["votes"]
    assert set(made) == set(rows.filter(cluster=0)["vote_id"])
    # Whatever their names, who voted the same has the same pseudonym: the names are not in it.
    other = Lake(here.root.parent / "renamed")
    renamed = here.read(EXPERT_VOTES, None).with_columns(
        pl.col("annotator").replace({"ada": "zoe", "ben": "abe"}), pl.col("vote_id").str.replace("ada", "zoe")
    )
    publish(other, EXPERT_VOTES, renamed.sort("vote_id"))
    who = {vote: name for name, vote in rows.select("annotator", "vote_id").iter_rows()}
    again, _ = votes.released(other)
    assert {vote: name for name, vote in again.select("annotator", "vote_id").iter_rows()} == who
    # And twice changes nothing, so that a rebuild ends with what it began with.
    twice = Lake(here.root.parent / "twice")
    publish(twice, EXPERT_VOTES, rows)
    assert votes.released(twice)[0].equals(rows)


@pytest.mark.full  # every table through four readers
@pytest.mark.parametrize("streaming", [False, True], ids=["copied", "streamed"])
def test_all_of_it_is_read_by_every_reader(series, tmp_path, streaming):
    """Each configuration that the card names, by ``datasets``; the same files by DuckDB and Polars; each record set."""
    import datasets
    import mlcroissant

    _, _, second, _ = series
    assert verify(second) == []
    counts = load(second).counts
    header = yaml.safe_load((second / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    files = {entry["config_name"]: [part["path"] for part in entry["data_files"]] for entry in header["configs"]}
    assert files.keys() >= {
        "changes", "withdrawn", "vectors", "clusters", "panels", "duplicates", "expert_votes", "leaderboard",
        "annotations", "cluster_model", "recipe_full", *(table.name for table in LABELS),
    }  # fmt: skip
    # Neither recipes, of which each has a name of its own, nor what a rebuild begins with is a table of the dictionary.
    tables = {name for name in files if name != "inventory" and not name.startswith("recipe_")}
    for name, paths in files.items():
        places = [str(second / path) for path in paths]
        n = duckdb.sql(f"select count(*) from read_parquet({places}, union_by_name=true)").fetchall()[0][0]
        assert n > 0 and counts.get(name, n) == n == sum(pl.read_parquet(place).height for place in places), name
        found = datasets.load_dataset(str(second), name, cache_dir=str(tmp_path), streaming=streaming)
        rows = [row for part in found.values() for row in part]
        assert len(rows) == n, name
        if name == "vectors":
            assert found["rows"].features["vector"].feature.dtype == "float16" and len(rows[0]["vector"]) == DIMENSION
    if not streaming:
        described = mlcroissant.Dataset(second / "croissant.json")
        assert not described.metadata.ctx.issues.errors
        sets = {records.uuid for records in described.metadata.record_sets}
        assert sets == tables
        for name in sets:
            assert sum(1 for _ in described.records(name)) == counts.get(name) or name in {"withdrawn", "vectors"}, name
    dictionary = (second / "DATA_DICTIONARY.md").read_text()
    assert all(f"\n## {name}\n" in dictionary for name in tables)
