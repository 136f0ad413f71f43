"""The notebook of the documentation runs from its first cell to its last, over a small data directory."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from biomedica_assets_tests.lib.explore.world import Thing, make
from biomedica_assets_tests.support.recipes import over_all_shards

NOTEBOOK = Path(__file__).parents[1] / "docs" / "first_look.ipynb"


def test_the_notebook_is_kept_without_outputs():
    read = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(read)
    assert [cell for cell in read.cells if cell.get("outputs") or cell.get("execution_count")] == []


@pytest.mark.full
def test_every_cell_of_the_notebook_runs(tmp_path, monkeypatch):
    lake = make(tmp_path / "data", [Thing(n, year=2017 + n) for n in range(6)])
    for old in lake.root.glob("tables/recipe/recipe=*/*"):
        old.unlink()
    over_all_shards(lake, "all")
    monkeypatch.setenv("BIOMEDICA_DATA_DIR", str(lake.root))
    done = NotebookClient(nbformat.read(NOTEBOOK, as_version=4), timeout=120, kernel_name="python3").execute()
    outputs = [str(cell.outputs) for cell in done.cells if cell.cell_type == "code"]
    assert "biomedica_assets.open(" in outputs[0] and "CC BY" in outputs[1]
    assert "fundus photograph" in outputs[3] and "image/png" in outputs[5]
    assert "(64, 48)" in outputs[6]
