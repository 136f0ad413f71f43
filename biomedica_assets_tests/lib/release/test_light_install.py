"""What reads is light: the wheel without extras, in an environment of its own, streams a release from elsewhere."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
UV = Path(sys.executable).with_name("uv")
NOT_NEEDED = ("dagster", "torch", "torchvision", "open_clip", "webdataset", "matplotlib", "cv2", "sklearn")

pytestmark = pytest.mark.full  # packages come from the registry


def run(*command, cwd, **environment):
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, check=False, cwd=cwd, env={**os.environ, **environment}
    )
    said = done.stderr.decode()
    if done.returncode and any(word in said for word in ("Failed to fetch", "dns error", "error sending request")):
        pytest.skip(f"no package registry here: {said.splitlines()[-1]}")
    return done


@pytest.fixture(scope="module")
def light(tmp_path_factory):
    """Folder of the programs of an empty environment with the wheel."""
    if not UV.exists():
        pytest.skip("uv is not in this environment")
    work = tmp_path_factory.mktemp("light")
    built = run(UV, "build", "--wheel", "--out-dir", work, ROOT, cwd=work)
    assert built.returncode == 0, built.stderr
    (wheel,) = work.glob("*.whl")
    assert run(UV, "venv", "--python", sys.executable, work / "venv", cwd=work).returncode == 0
    python = work / "venv" / "bin" / "python"
    done = run(
        UV, "pip", "install", "--python", python, "--constraint", ROOT / "constraints.txt", wheel, cwd=work
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return python.parent


@pytest.fixture
def clean(monkeypatch):
    """Nothing of this checkout is seen."""
    monkeypatch.delenv("PYTHONPATH", raising=False)


def test_neither_dagster_nor_torch_is_installed(light, clean, tmp_path):
    code = f"import importlib.util as u; print(*(n for n in {NOT_NEEDED!r} if u.find_spec(n)))"
    assert run(light / "python", "-c", code, cwd=tmp_path).stdout.split() == []
    size = sum(path.lstat().st_size for path in light.parent.rglob("*") if path.is_file() and not path.is_symlink())
    print(f"an environment that reads releases: {size / 1e6:,.0f} MB")
    assert size < 700e6  # with torch and its CUDA it would be ten times that


@pytest.mark.parametrize("place", ["http"], indirect=True)
@pytest.mark.parametrize("more", [(), ("--where", "width > 0")], ids=["all", "where"])
def test_it_streams_a_release_over_http(light, clean, place, tmp_path, more):
    done = run(light / "biomedica", "stream", place[0], "--of", "1", *more, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        names = [tar.next().name for _ in range(9)]
    assert len({name.partition(".")[0] for name in names}) == 3
    assert {name.rpartition(".")[2] for name in names} >= {"txt", "json"}


def test_pictures_come_from_the_source_and_are_shrunk(light, clean, without_pictures, demo_mirror, tmp_path):
    more = ("--source", demo_mirror, "--shrink", "48", "--of", "1")
    done = run(light / "biomedica", "stream", without_pictures, *more, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout) > 10_000


@pytest.mark.parametrize("command", [["status"], ["run"], ["verify", "."]])
def test_what_makes_the_data_says_in_one_line_what_it_needs(light, clean, tmp_path, command):
    done = run(light / "biomedica", *command, cwd=tmp_path)
    (line,) = done.stderr.decode().splitlines()
    assert done.returncode == 1
    assert line.startswith(f"biomedica: `biomedica {command[0]}` needs more than what reads releases (no module named")
    assert line.endswith("pip install 'biomedica-assets[graph]'")
