"""Every configuration of a release through every reader: datasets, mlcroissant, polars, DuckDB, webdataset."""

from __future__ import annotations

import datetime as dt
import io
import json
from collections import Counter
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from biomedica_assets.lib.release import pairs
from biomedica_assets.lib.release.copies import scan
from biomedica_assets.lib.release.manifest import load
from biomedica_assets.lib.tables import SHARDS
from biomedica_assets_tests.lib.release import lakes


def configs(release: Path) -> list[str]:
    header = (release / "README.md").read_text(encoding="utf-8").split("---\n")[1]
    return [entry["config_name"] for entry in yaml.safe_load(header)["configs"]]


@pytest.mark.parametrize("streaming", [False, True], ids=["copied", "streamed"])
def test_every_configuration_is_read_by_datasets(release, tmp_path, streaming):
    import datasets

    names = configs(release)
    assert {"pairs", "pairs_commercial", "articles", "figures", "captions", "images"} <= set(names)
    counts = load(release).counts
    for name in names:
        found = datasets.load_dataset(str(release), name, cache_dir=str(tmp_path), streaming=streaming)
        rows = {split: sum(1 for _ in part) for split, part in found.items()}
        expected = counts["samples"] if name == "pairs" else counts.get(name)
        if expected is not None:
            assert sum(rows.values()) == expected, name
        assert sum(rows.values()) > 0, name


def test_the_default_configuration_is_pairs_with_types(release, tmp_path):
    import datasets

    found = datasets.load_dataset(str(release), cache_dir=str(tmp_path))
    rows = found["train"]
    assert isinstance(rows.features["image"], datasets.Image)
    assert rows.features["license_class"].names == list(pairs.GROUPS)
    assert rows.features["published"].dtype == "date32"
    first = rows[0]
    assert isinstance(first["image"], Image.Image) and first["caption"]
    assert pairs.GROUPS[first["license_class"]] == first["license_group"]
    assert all(isinstance(row, dt.date | None) for row in rows["published"])


def test_no_sample_and_no_format_is_lost(release):
    """Formats are those of the shards: png, gif and tiff come with their pictures as well."""
    rows = pl.read_parquet(release / "pairs" / "*" / "*.parquet")
    shards = pl.read_parquet(release / "data" / "shards" / "*.parquet")
    assert Counter(rows["sample_key"]) == Counter(shards["sample_key"])
    images = rows["image"].struct.field("bytes")
    assert rows["sha256"].to_list() == [__import__("hashlib").sha256(data).hexdigest() for data in images]
    endings = {path.rpartition(".")[2] for path in rows["image"].struct.field("path")}
    assert endings == set(shards["image_ext"]) and len(endings) > 1
    for data in images.to_list()[:20]:
        Image.open(io.BytesIO(data)).load()


def test_a_commercial_user_takes_one_folder(release):
    for group in pairs.GROUPS:
        rows = pl.read_parquet(release / "pairs" / group / "*.parquet", columns=["license_group", "license_code"])
        assert rows["license_group"].unique().to_list() == [group]
        assert rows["license_code"].str.contains("NC").any() == (group == "noncommercial")


def test_pairs_have_the_splits_of_the_recipe_and_rest_what_it_leaves_out(release, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "shards").symlink_to(release / "shards")
    rows = scan(release, SHARDS).sort("sample_key").collect()
    names = [("train", "validation", "test", None)[n % 4] for n in range(rows.height)]
    recipe = rows.select("sample_key").with_columns(split=pl.Series(names)).drop_nulls()
    chunks = [
        (key, part)
        for (key,), part in rows.sort("shard").group_by(
            pl.col("shard").str.extract(r"(PMC\d{3}-\d{4})"), maintain_order=True
        )
    ]
    written = pairs.write(copy, sorted(chunks), lambda table, _: table.empty(), recipe, invented=False)
    found = {
        key: path.name.split("-")[0]
        for path in (copy / file.path for file in written)
        for key in pl.read_parquet(path, columns=["sample_key"])["sample_key"]
    }
    assert found == {key: name or "rest" for key, name in zip(rows["sample_key"], names, strict=True)}


def test_duckdb_counts_without_reading_pictures(release):
    found = duckdb.sql(f"select license_group, count(*) from '{release}/pairs/*/*.parquet' group by 1").fetchall()
    assert dict(found) == dict(Counter(pl.read_parquet(release / "data/shards/*.parquet")["license_group"]))


def test_row_groups_are_small_enough_for_the_viewer(release):
    for path in release.glob("pairs/*/*.parquet"):
        file = pq.ParquetFile(path)
        assert all(file.metadata.row_group(i).num_rows <= pairs.ROW_GROUP for i in range(file.num_row_groups))


def test_every_column_of_the_pairs_is_explained(release):
    dictionary = (release / "DATA_DICTIONARY.md").read_text(encoding="utf-8")
    explained = dictionary.split("## pairs\n")[1].split("\n## ")[0]
    (first, *_) = sorted(release.glob("pairs/*/*.parquet"))
    assert all(f"| {name} | " in explained for name in pq.read_schema(first).names)


def test_croissant_yields_records_of_each_set(release):
    import mlcroissant

    dataset = mlcroissant.Dataset(release / "croissant.json")
    assert not dataset.metadata.ctx.issues.errors
    counts = load(release).counts
    for records in dataset.metadata.record_sets:
        found = sum(1 for _ in dataset.records(records.uuid))
        assert found == counts.get(records.uuid, found) and found > 0, records.uuid


def test_the_tars_are_read_as_the_card_says(release):
    import webdataset

    urls = sorted(str(path) for path in release.glob("shards/*/*.tar"))
    kinds = ("jpg", "png", "gif", "tif", "webp", "bmp")
    n = 0
    for sample in webdataset.WebDataset(urls, shardshuffle=False).decode("pil"):
        assert next(sample[kind] for kind in kinds if kind in sample).size[0] > 0 and sample["txt"]
        n += 1
    assert n == load(release).counts["samples"]


def test_a_release_may_do_without_the_copy(lake):
    from biomedica_assets.lib.release.stage import ReleaseConfig

    without = lakes.release(lake, ReleaseConfig(version="no-pairs", pairs=False))
    assert not (without / "pairs").exists()
    assert "pairs" not in configs(without) and "pairs = load_dataset" not in (without / "README.md").read_text()


def test_what_is_invented_is_called_so_first_and_everywhere(lake):
    from biomedica_assets.lib.release.stage import ReleaseConfig

    release = lakes.release(lake, ReleaseConfig(version="invented", invented=True))
    body = (release / "README.md").read_text(encoding="utf-8").split("---\n")[2].strip().splitlines()
    assert "invented" in body[2]
    lines = pl.read_csv(release / "ATTRIBUTION.csv")
    assert lines["changes"].str.contains("invented").all() and not lines["url"].str.contains("http").any()
    assert pl.read_parquet(release / "pairs/*/*.parquet", columns=["invented"])["invented"].all()
    assert "invented" in json.loads((release / "croissant.json").read_text())["description"].partition(".")[0]


def test_what_is_real_is_not(release):
    assert "invented" not in (release / "README.md").read_text(encoding="utf-8")
    assert not pl.read_parquet(release / "pairs/*/*.parquet", columns=["invented"])["invented"].any()


def test_the_code_of_the_card_runs(release, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path))
    blocks = (release / "README.md").read_text(encoding="utf-8").split("```python\n")[1:]
    assert len(blocks) == 2
    for block in blocks:
        names: dict[str, object] = {"RELEASE": str(release)}
        exec(block.split("```")[0], names)
        assert names.get("caption") or names.get("pairs")
