"""A release opened from Python, in a folder and behind HTTP: the same answers as of the data directory."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

import biomedica_assets as bm
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.images.canonical import open_canonical
from biomedica_assets.lib.release.copies import scan
from biomedica_assets.lib.select.definition import RecipeError
from biomedica_assets.lib.stream.failures import StreamError
from biomedica_assets.lib.tables import ARTICLES, IMAGES, SHARDS

pytestmark = pytest.mark.full  # a release is made for it


@pytest.fixture
def data(place, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return bm.open(place[0])


def test_tables_sql_and_figures_answer_as_the_files_do(data, place, with_recipe):
    shards = scan(with_recipe, SHARDS).collect()
    assert set(data.tables) >= {"shards", "articles", "captions", "recipe"} and "rejects" not in data.tables
    assert data.tables["shards"].collect().equals(shards)
    few = data.tables["shards"].filter(pl.col("image_ext") == "jpg").select("sample_key").head(3).collect()
    assert few["sample_key"].to_list() == shards.filter(image_ext="jpg")["sample_key"].head(3).to_list()
    assert data.sql("select count(*) as n from shards")["n"].to_list() == [shards.height]
    years = scan(with_recipe, ARTICLES).collect()
    joined = shards.join(years, on="article_id")
    year = int(joined["year"].median())
    by_sql = data.sql(f"select sample_key from samples where year >= {year} order by 1")["sample_key"]
    found = data.figures(f"year >= {year}", ["width", "journal"])
    assert found.columns == ["journal", "sample_key", "width"]
    assert (
        found["sample_key"].to_list() == by_sql.to_list() == sorted(joined.filter(pl.col("year") >= year)["sample_key"])
    )
    assert data.figures().height == shards.height
    for wrong in (lambda: data.sql("select * from nothing"), lambda: data.figures(columns=["widht"])):
        with pytest.raises(PermanentFailure):
            wrong()
    with pytest.raises(RecipeError):
        data.figures("nonsense = 1")
    with pytest.raises(KeyError):
        data.tables["figure"]


@pytest.mark.parametrize("place", ["http"], indirect=True)
def test_of_a_table_far_away_the_wanted_columns_alone_come(data, place):
    _, served = place
    del served.sent[:]
    data.tables["captions"].collect()
    whole = sum(served.sent)
    del served.sent[:]
    assert data.tables["captions"].select("figure_id").collect().width == 1
    # A small file comes at once; by range it is read only where it is large.
    assert 0 < sum(served.sent) <= whole


def test_pictures_are_those_of_the_shards(data, with_recipe):
    images = scan(with_recipe, IMAGES).collect()
    rows = scan(with_recipe, SHARDS).collect().join(images.select("media_id", "width", "height"), on="media_id")
    for row in rows.sort("media_id")[:: max(1, rows.height // 3)].iter_rows(named=True):
        content = data.read(row["media_id"])
        assert hashlib.sha256(content).hexdigest() == row["sha256"] and data.read(row["sample_key"]) == content
        assert np.array_equal(data.image(row["media_id"]), open_canonical(content))
    with pytest.raises(PermanentFailure, match="no sample of"):
        data.read("pmc1-1-none-0")


def test_a_recipe_is_the_same_samples_in_every_form(data, place, with_recipe):
    recipe = data.recipe("full")
    wanted = pl.read_parquet(sorted((with_recipe / "data" / "recipe" / "full").glob("*.parquet"))).filter(
        split="validation"
    )
    keys = sorted(wanted["sample_key"])
    assert data.recipes == ["full"] and recipe.splits["validation"] == len(keys) > 0
    plain = list(recipe.samples("validation"))
    assert sorted(sample.key for sample in plain) == keys
    assert sorted(text for _, text in recipe.torch(split="validation")) == sorted(sample.text for sample in plain)
    assert sorted(row["key"] for row in recipe.datasets("validation")) == keys
    assert sorted(row["__key__"] for row in recipe.webdataset("validation", of=1)) == keys
    with pytest.raises(StreamError, match="full"):
        data.recipe("ful")


def test_what_a_release_lacks_is_said_in_one_line(data):
    for call in (lambda: data.search("fundus", where="year > 2000"), lambda: data.trace("pmc1-1-x")):
        with pytest.raises(PermanentFailure, match=r"\Aa release has no [^\n]*open the data directory[^\n]*\Z"):
            call()


def test_what_is_no_release_says_what_is(tmp_path, place):
    for other, says in (
        ("ftp://somewhere", "no address of shards"),
        ("hf://models/x/y", "names no dataset"),
        (f"{place[0]}/none", "no release that can be read" if "://" in place[0] else "is no directory"),
    ):
        with pytest.raises((PermanentFailure, StreamError), match=says):
            bm.open(other)
    (tmp_path / "MANIFEST.json").write_text("{")
    with pytest.raises(PermanentFailure, match=r"MANIFEST\.json of .* is damaged"):
        bm.open(tmp_path)


def test_reading_needs_neither_dagster_nor_torch(with_recipe):
    program = (
        "import sys, biomedica_assets as bm; d = bm.open(sys.argv[1]); d.figures('width > 0'); "
        "k = next(d.recipe('full').samples('validation')).key; d.read(k); "
        "print([m for m in ('dagster', 'torch', 'open_clip') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(with_recipe)], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "[]", done.stderr
