"""A real release over HTTP and from the Hub, by a machine that has no data directory."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections import Counter

import polars as pl
import pytest

from biomedica_assets.lib.release.copies import scan
from biomedica_assets.lib.release.manifest import load
from biomedica_assets.lib.release.verify import verify
from biomedica_assets.lib.tables import ARTICLES, RECIPE, SHARDS


def stream(*arguments, cwd):
    """By the command, in an empty folder."""
    command = [sys.executable, "-m", "biomedica_assets.cli", "stream", *arguments]
    environment = {**os.environ, "BIOMEDICA_DATA_DIR": str(cwd / "none")}
    return subprocess.run(command, capture_output=True, check=False, cwd=cwd, env=environment)


def keys(tar):
    with tarfile.open(fileobj=io.BytesIO(tar)) as members:
        return [member.name.partition(".")[0] for member in members if member.name.endswith(".json")]


def test_a_release_holds_the_index_of_each_recipe_and_is_what_its_manifest_says(with_recipe):
    assert [(file.path, file.rows) for file in load(with_recipe).kind("index")] == [
        ("recipes/full.index", scan(with_recipe, SHARDS).collect().height)
    ]
    assert verify(with_recipe) == []


def test_every_split_is_streamed_from_anywhere(place, with_recipe, tmp_path):
    rows = pl.read_parquet(sorted((with_recipe / "data" / RECIPE.name / "full").glob("*.parquet")))
    for split in ("train", "validation", "test"):
        done = stream(place[0], "--split", split, "--of", "1", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert Counter(keys(done.stdout)) == Counter(rows.filter(split=split)["sample_key"])
    assert not list(tmp_path.iterdir())


def test_a_condition_selects_within_a_release(place, with_recipe, tmp_path):
    joined = scan(with_recipe, SHARDS).join(scan(with_recipe, ARTICLES), on="article_id").collect()
    year = int(joined["year"].median())
    rows = pl.read_parquet(sorted((with_recipe / "data" / RECIPE.name / "full").glob("*.parquet")))
    wanted = joined.filter(pl.col("year") >= year, pl.col("image_ext") == "jpg").select("sample_key")
    expected = rows.filter(split="train").join(wanted, on="sample_key")["sample_key"]
    assert 0 < len(expected) < rows.filter(split="train").height
    where = f"year >= {year} and image_ext = 'jpg'"
    cache = ("--cache", str(tmp_path / "cache"))
    for more in ((), cache, cache):
        done = stream(place[0], "--where", where, "--of", "1", *more, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert Counter(keys(done.stdout)) == Counter(expected)


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("yeer > 2000", "no column 'yeer' (did you mean 'year'?)"),
        ("year > 3000", "no sample of"),
        ("select 1", "where"),
    ],
)
def test_a_condition_that_does_not_hold_is_one_line(place, tmp_path, where, says):
    done = stream(place[0], "--where", where, cwd=tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    assert says in line


def test_a_release_without_recipes_is_selected_from_as_a_whole(release, tmp_path):
    done = stream(str(release), "--where", "width > 0", "--of", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(keys(done.stdout)) == scan(release, SHARDS).collect().height
    without = stream(str(release), cwd=tmp_path)
    assert without.returncode == 1
    assert b"there are: none" in without.stderr


@pytest.mark.parametrize("place", ["http"], indirect=True)
def test_bytes_fetched_are_those_used(place, with_recipe, tmp_path):
    """All of the training split over HTTP: what the server sent, what the stream counted, what the samples have."""
    address, served = place
    done = stream(address, "--of", "1", "--stats", str(tmp_path / "told"), cwd=tmp_path)
    told = json.loads((tmp_path / "told").read_text())
    assert done.returncode == 0
    assert told["fetched"] == sum(served.sent)
    assert told["bytes"] == len(done.stdout) - 1024
    assert told["fetched"] <= 1.05 * told["bytes"]
