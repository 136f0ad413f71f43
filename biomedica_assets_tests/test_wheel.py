"""What is handed out: the papers beside the code, and a wheel that works where nothing of the project is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PAPERS = ("LICENSE", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "SECURITY.md", "README.md")
UNREACHABLE = ("dns error", "Failed to fetch", "error sending request", "Could not connect", "timed out")


def test_the_citation_is_that_of_this_version_under_its_licence():
    """The fields that the Citation File Format 1.2.0 requires, and those that are said elsewhere, too."""
    said = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert said["cff-version"] == "1.2.0"
    assert said["message"] and said["title"]
    assert all("name" in author or "family-names" in author for author in said["authors"])
    assert (str(said["version"]), said["license"]) == (project["version"], project["license"])


def test_the_licence_is_the_whole_text_of_the_one_that_is_declared():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Version 2.0, January 2004" in text
    assert "9. Accepting Warranty or Additional Liability" in text
    assert "END OF TERMS AND CONDITIONS" in text


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, Path]:
    """A wheel and a source distribution, built as they would be for a package registry."""
    target = tmp_path_factory.mktemp("dist")
    _uv("build", "--quiet", "--out-dir", str(target), str(ROOT))
    return next(target.glob("*.whl")), next(target.glob("*.tar.gz"))


@pytest.mark.full
def test_wheel_and_source_hold_what_they_need(built):
    wheel, source = built
    names = set(zipfile.ZipFile(wheel).namelist())
    files = [path for path in (ROOT / "biomedica_assets").rglob("*") if path.is_file()]
    of_the_package = {path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts}
    assert of_the_package - names == set()
    assert any(name.endswith("dist-info/licenses/LICENSE") for name in names)
    assert not any(name.startswith("biomedica_assets_tests") for name in names)
    with tarfile.open(source) as archive:
        in_source = {name.partition("/")[2] for name in archive.getnames()}
    assert {*PAPERS, "constraints.txt", "biomedica_assets/py.typed"} <= in_source


@pytest.mark.full
def test_the_wheel_works_in_an_empty_environment(built, tmp_path):
    """Installed beside nothing, run where no checkout is: help, import, and the whole graph loads."""
    python = tmp_path / "venv" / "bin" / "python"
    _uv("venv", "--quiet", "--python", sys.executable, str(tmp_path / "venv"))
    constraints = str(ROOT / "constraints.txt")
    _uv("pip", "install", "--quiet", "--python", str(python), "--constraint", constraints, f"{built[0]}[graph]")
    biomedica = str(python.with_name("biomedica"))

    def run(*command: str) -> str:
        clean = {n: v for n, v in os.environ.items() if not n.startswith(("BIOMEDICA_", "DAGSTER_", "PYTHON"))}
        ended = subprocess.run(
            command, cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=300, check=False
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    assert "biomedica demo" in run(biomedica, "--help")
    assert "--articles" in run(biomedica, "demo", "--help")
    assert str(tmp_path) in run(str(python), "-c", "import biomedica_assets; print(biomedica_assets.__file__)")
    loads = (
        "from biomedica_assets import definitions, settings;"
        "graph = definitions.build(settings.load()).resolve_asset_graph();"
        "print(len(graph.get_all_asset_keys()))"
    )
    assert int(run(str(python), "-c", loads)) > 30


def _uv(*arguments: str) -> None:
    command = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    # Packages of this environment must not stand in for those of the new one.
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    ended = subprocess.run([command, *arguments], env=clean, capture_output=True, text=True, check=False)
    if ended.returncode and any(sign in ended.stderr for sign in UNREACHABLE):
        pytest.skip(f"no package registry can be reached: {ended.stderr.strip().splitlines()[-1]}")
    assert ended.returncode == 0, ended.stderr
