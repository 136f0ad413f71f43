"""What a machine is told to run exists and is spelled as the program expects it: scripts, make targets, commands.

BIOMEDICA's published job could not run: its script handed Python a shell file, gave a flag that its parser did not
have, and broke a line with a blank behind the backslash.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from biomedica_assets import cli
from biomedica_assets.cli import arguments
from biomedica_assets.lib.stream import command as stream

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = [path for path in (ROOT / ".ci").glob("*") if path.is_file()]
TYPED = [*SCRIPTS, ROOT / "Makefile"]
MAKE = (ROOT / "Makefile").read_text(encoding="utf-8")


def leaves(parser: argparse.ArgumentParser, name: str = "biomedica"):
    """Every command that does something, by name."""
    inner = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    for action in inner:
        for word, below in action.choices.items():
            yield from leaves(below, f"{name} {word}")
    if not inner:
        yield name, parser


COMMANDS = dict(leaves(cli.parser())) | {"biomedica stream": stream.parser()}  # a program of its own, to start fast


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.name)
def test_scripts_are_ones_that_bash_can_run(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")
    assert path.stat().st_mode & 0o111
    checked = subprocess.run(["bash", "-n", path], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    if shellcheck := shutil.which("shellcheck"):
        assert subprocess.run([shellcheck, path], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("path", TYPED, ids=lambda p: p.name)
def test_no_line_ends_in_a_backslash_and_blanks_and_no_shell_file_is_handed_to_python(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\\[ \t]+$", text, re.MULTILINE)
    assert not re.search(r"python[\d.]* +(?!-m)\S+\.sh\b", text)


def test_make_targets_run_commands_modules_and_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", MAKE, re.MULTILINE))
    assert targets >= set(re.findall(r"^\.PHONY: (.*)$", MAKE, re.MULTILINE)[0].split())
    for script in SCRIPTS:
        assert set(re.findall(r"^make ([a-z-]+)$", script.read_text(encoding="utf-8"), re.MULTILINE)) <= targets
    for line in re.findall(r"\$\(BIN\)/biomedica (.*)$", MAKE, re.MULTILINE):
        words = line.replace("$(DATA)", "data").replace("$(PORT)", "3000").split()
        assert callable(cli.parser().parse_args(words).run), line
    for module in re.findall(r"-m (biomedica_assets[\w.]*)", MAKE):
        path = ROOT.joinpath(*module.split("."))
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module


def test_the_installed_program_is_the_one_that_is_tested() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    for target in scripts.values():
        module, _, function = target.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        COMMANDS[name].parse_args(["--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage: ")


def test_every_command_has_its_function() -> None:
    """They are imported when they are called: a wrong name would show only then."""
    tree = ast.parse(Path(arguments.__file__).read_text(encoding="utf-8"))
    named = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"[a-z_]+\.[a-z_]+", node.value)
    }
    folder = ROOT / "biomedica_assets" / "commands"
    found = {name for name in named if (folder / f"{name.partition('.')[0]}.py").is_file()}
    assert len(found) >= 20
    for name in found:
        module, _, function = name.partition(".")
        tree = ast.parse((folder / f"{module}.py").read_text(encoding="utf-8"))
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, name
