"""The view ``samples`` read for some of its rows is the view."""

import polars as pl
import pytest

from biomedica_assets.lib.select import catalog_view
from biomedica_assets.lib.tables import TABLES
from biomedica_assets_tests.lib.select.lakes import CHUNKS, Sample, make_lake

NAMES = [column.name for column in catalog_view.COLUMNS]


@pytest.fixture
def lake(tmp_path):
    return make_lake(tmp_path, [Sample(i, article=1 if i % 2 else 1_020_000, caption=f"words {i}") for i in range(9)])


def whole(lake):
    return pl.concat(
        catalog_view.read_samples(lake, chunk, NAMES).with_columns(chunk=pl.lit(chunk)) for chunk in CHUNKS
    ).sort("sample_key")


@pytest.mark.parametrize("missing", [None, *sorted(catalog_view.OPTIONAL)])
def test_some_samples_are_rows_of_all(lake, missing):
    if missing is not None:
        for chunk in CHUNKS:
            folder = lake.folder(TABLES[missing], chunk)
            for path in folder.glob("*") if folder.exists() else ():
                path.unlink()
    every = whole(lake)
    assert every.height == 9
    for wanted in (every, every[1::3], every[:0]):
        some = catalog_view.read_some(lake, wanted.select("chunk", "sample_key"), NAMES)
        assert some.equals(wanted.select(sorted({"sample_key", *NAMES})))
