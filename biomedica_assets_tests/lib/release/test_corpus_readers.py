"""A release of the real articles through every reader: what real captions, names and pictures do to them."""

from __future__ import annotations

import duckdb
import polars as pl
import pytest
import yaml

from biomedica_assets.lib.release.manifest import load
from biomedica_assets.lib.release.upload import refusals
from biomedica_assets.lib.release.verify import verify
from biomedica_assets_tests.lib.release import lakes

pytestmark = [pytest.mark.full, pytest.mark.corpus]


@pytest.fixture(scope="module")
def real(tmp_path_factory, corpus):
    """Its folder."""
    here = lakes.make(
        tmp_path_factory.mktemp("corpus") / "data", corpus, license_groups=("commercial", "noncommercial")
    )
    lakes.recipe(here)
    return lakes.release(here)


def test_it_is_what_its_manifest_says_and_may_be_passed_on(real):
    assert verify(real) == [] and refusals(real) == []
    assert load(real).counts["samples"] > 100


@pytest.mark.parametrize("streaming", [False, True], ids=["copied", "streamed"])
def test_every_configuration_through_datasets_duckdb_and_polars(real, tmp_path, streaming):
    import datasets

    header = yaml.safe_load((real / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    for entry in header["configs"]:
        name, places = entry["config_name"], [str(real / part["path"]) for part in entry["data_files"]]
        n = duckdb.sql(f"select count(*) from read_parquet({places}, union_by_name=true)").fetchall()[0][0]
        assert n == sum(pl.scan_parquet(place).select(pl.len()).collect().item() for place in places) > 0, name
        found = datasets.load_dataset(str(real), name, cache_dir=str(tmp_path), streaming=streaming)
        rows = 0
        for part in found.values():
            undecoded = {
                **part.features,
                **({"image": datasets.Image(decode=False)} if "image" in part.features else {}),
            }
            rows += sum(1 for _ in part.cast(datasets.Features(undecoded)))
        assert rows == n, name


def test_croissant_yields_records_of_each_set(real):
    import mlcroissant

    described = mlcroissant.Dataset(real / "croissant.json")
    assert not described.metadata.ctx.issues.errors
    counts = load(real).counts
    for records in described.metadata.record_sets:
        found = sum(1 for _ in described.records(records.uuid))
        assert found == counts.get(records.uuid, found) and found > 0, records.uuid


def test_webdataset_decodes_every_sample(real):
    import webdataset

    kinds = ("jpg", "png", "gif", "tif", "webp", "bmp")
    urls = sorted(str(path) for path in real.glob("shards/*/*.tar"))
    n = 0
    for sample in webdataset.WebDataset(urls, shardshuffle=False):
        assert any(kind in sample for kind in kinds) and sample["txt"]
        n += 1
    assert n == load(real).counts["samples"]
