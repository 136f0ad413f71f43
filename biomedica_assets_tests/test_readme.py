"""The README says what is there: its table of assets is generated, and every command in it is one."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from biomedica_assets import cli, definitions, settings
from biomedica_assets.commands import assets
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.stream import command as stream
from biomedica_assets_tests.support.typed import commands

README = Path(__file__).resolve().parents[1] / "README.md"
TEXT = README.read_text(encoding="utf-8")


def test_the_table_of_assets_is_the_graphs():
    """`biomedica assets --into README.md` writes it anew."""
    table = assets.markdown(definitions.build(settings.load()).resolve_asset_graph())
    assert assets.put_in(TEXT, table, "README.md") == TEXT


def test_a_file_without_marks_is_left_alone(tmp_path):
    with pytest.raises(PermanentFailure, match="has no lines <!-- begin"):
        assets.put_in("no marks", "table", "x.md")


@pytest.mark.parametrize("line", commands(TEXT))
def test_every_command_of_the_readme_is_understood(line):
    words = shlex.split(line)[1:]
    if words[0] == "stream":
        stream.parser().parse_args(words[1:])
    else:
        assert callable(cli.parser().parse_args(words).run)


def test_the_road_has_all_its_steps():
    road = TEXT.partition("## The road")[2]
    for step in ("Your first real chunk", "Label", "Train", "Evaluate", "Release", "Stay up to date"):
        assert f"### {step}\n" in road
    assert len(commands(TEXT)) >= 20
