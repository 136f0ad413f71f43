"""The documentation is built without a warning, and what it says can be typed."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from biomedica_assets import cli, settings
from biomedica_assets.lib.annotate.released import definition as released
from biomedica_assets.lib.annotate.taxonomy import model as vocabulary
from biomedica_assets.lib.errors import RejectReason
from biomedica_assets.lib.evaluate import registry
from biomedica_assets.lib.select import catalog_view
from biomedica_assets.lib.select import definition as recipe
from biomedica_assets.lib.store import catalog
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.stream import command as stream
from biomedica_assets.lib.tables import TABLES
from biomedica_assets_tests.support.typed import blocks, commands

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(path for path in (ROOT / "docs").rglob("*.md") if "reference" not in path.parts)
TYPED = [(path.relative_to(ROOT / "docs").as_posix(), line) for path in PAGES for line in commands(path.read_text())]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The pages, built as `make docs` does."""
    folder = tmp_path_factory.mktemp("docs")
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going", ROOT / "docs", folder]
    ended = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return folder


def test_a_broken_link_or_a_page_outside_the_contents_would_be_an_error(built):
    names = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in PAGES}
    assert {path.relative_to(built) for path in built.rglob("*.html")} >= names


def test_every_table_setting_command_and_reason_is_in_the_reference(built):
    def text(name):
        return (built / "reference" / f"{name}.html").read_text(encoding="utf-8")

    tables, knobs, typed, reasons = map(text, ("tables", "settings", "commands", "rejects"))
    for table in TABLES.values():
        assert f">{table.name}<a" in tables
        assert all(f">{column.name}</span>" in tables for column in table.columns)
    assert all(f">{name}</span>" in knobs for name in settings.Settings.model_fields)
    assert all(f'id="{name}"' in typed for name in ("run", "stream", "annotate", "export-biomedica"))
    assert all(f">{reason.value}</span>" in reasons for reason in RejectReason)


@pytest.mark.parametrize(("page", "line"), TYPED)
def test_every_command_is_understood(page, line):
    words = shlex.split(line)[1:]
    if words[0] == "stream":
        stream.parser().parse_args(words[1:])
    else:
        assert callable(cli.parser().parse_args(words).run), page


def example(name: str) -> str:
    """The last YAML of a page."""
    return blocks((ROOT / "docs" / "extend" / name).read_text(encoding="utf-8"), "yaml")[-1]


def test_the_examples_are_taken(tmp_path):
    assert recipe.parse(example("recipe.md"), "recipe.md").mesh == ("Retina",)
    assert [task.name for task in registry.parse_suite(example("task.md"), "task.md")] == ["ward_chest"]
    known = vocabulary.load()
    path = tmp_path / "mine.yaml"
    path.write_text(example("labels.md"), encoding="utf-8")
    assert released.load_definition(path, "mine", known).fields.labels == ("figure_type",)
    named = yaml.safe_load(example("recipe.md"))["concepts"]["include"]
    assert set(named) <= set(known.concepts)


QUERIES = sorted(
    {
        (page, shlex.split(line)[2])
        for page, line in [*TYPED, *(("README.md", line) for line in commands((ROOT / "README.md").read_text()))]
        if line.startswith("biomedica sql ")
    }
)


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """The catalog of a data directory in which nothing was made yet."""
    with catalog.connect(Lake(tmp_path_factory.mktemp("empty"))) as connection:
        connection.execute(catalog_view.view_sql())
        yield connection


@pytest.mark.parametrize(("page", "query"), QUERIES)
def test_every_query_fits_the_tables(empty, page, query):
    empty.sql(query)
