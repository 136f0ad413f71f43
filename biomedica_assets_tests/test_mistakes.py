"""What people are likely to type wrong: one line that names the thing, the cause and the way out, and no traceback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from biomedica_assets import cli
from biomedica_assets.lib.store import catalog
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets_tests.support.mirrors import MirrorBuilder


@pytest.fixture
def data_dir(tmp_path, monkeypatch) -> Path:
    """A data directory with a catalog and nothing else, beside a file and an empty folder."""
    monkeypatch.chdir(tmp_path)
    catalog.build(Lake(tmp_path / "mine"))
    (tmp_path / "mine" / "biomedica.toml").write_text('encoder = "texture"\n')
    (tmp_path / "a_file").write_text("not what you think\n")
    (tmp_path / "empty").mkdir()
    return tmp_path / "mine"


def _said(capsys, arguments: list[str]) -> tuple[int, list[str]]:
    """Exit code and the lines of standard error, usage aside."""
    try:
        code = cli.main(arguments)
    except SystemExit as ended:
        code = int(str(ended.code))
    lines = capsys.readouterr().err.splitlines()
    return code, [line for line in lines if not line.startswith(("usage:", "   "))]


NEEDS_DATA = [
    ["stale"], ["refresh"], ["changes"], ["trace", "PMC1"], ["sql", "from figures"], ["gc"], ["fsck"],
    ["annotate"], ["annotators"], ["annotators", "--add", "ada"], ["votes"], ["export", "there", "--recipe", "full"],
    ["verify"], ["export-biomedica", "there"], ["upload", "me/mine"], ["ui"], ["tasks"], ["evaluate", "biomedclip"],
    ["search", "fundus"],
]  # fmt: skip


@pytest.mark.parametrize("command", NEEDS_DATA, ids=" ".join)
def test_a_mistyped_data_directory_is_refused_and_not_made(data_dir, capsys, command):
    code, lines = _said(capsys, [*command, "--data-dir", "mien"])
    assert code == 1
    assert lines == [
        f"biomedica: the data directory {data_dir.parent / 'mien'} does not exist: did you mean mine? Name another "
        "with --data-dir, or make one with `biomedica run --source DIR` or `biomedica demo`"
    ]
    assert not Path("mien").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        # the demo
        (["demo", "--articles", "30"], 1, "--articles 30: the demo shows every construct of an article and needs 52"),
        (["demo", "--articles", "-5"], 2, "argument --articles: '-5' is not a whole number from 0"),
        (["demo", "--articles", "many"], 2, "argument --articles: 'many' is not a whole number from 0"),
        (["demo", "--seed", "-1"], 2, "argument --seed: '-1' is not a whole number from 0"),
        (["search", "fundus", "-n", "0"], 2, "argument -n: '0' is not a whole number from 1"),
        # places
        (["gc", "--data-dir", "a_file"], 1, "a_file is a file; name a folder with --data-dir"),
        (["run", "--data-dir", "a_file/x", "--source", "empty"], 1, "a_file/x is a file"),
        (["gc", "--data-dir", "empty"], 1, "empty holds no data of biomedica: did you mean mine?"),
        (["run", "--source", "nowhere"], 1, "source 'nowhere' is not a directory"),
        (["run", "--source", "a_file"], 1, "source 'a_file' is not a directory"),
        (["run", "--source", "https://example.org/pmc"], 1, "use a directory or s3://pmc-oa-opendata"),
        (["verify", "nowhere"], 1, "has no MANIFEST.json"),
        (["verify"], 1, "has no release yet: `biomedica run` makes one"),
        (["rebuild", "nowhere"], 1, "nowhere is no release"),
        (["export-biomedica", "there", "--release", "empty"], 1, "has no MANIFEST.json"),
        (["votes", "--read", "nowhere.csv"], 1, "nowhere.csv"),
        (["evaluate", "biomedclip", "--csv", "no/folder/x.csv"], 1, "there is no folder"),
        # names
        (["runn"], 2, "invalid choice: 'runn'"),
        (["run", "--chunk", "PMC12"], 1, "keys look like PMC007-0360"),
        (["stale", "--select", "figuers"], 1, "--select 'figuers' names no asset; did you mean figures? There are "),
        (["stale", "--select", "group:nothing"], 1, "--select 'group:nothing' names no asset"),
        (["stale", "--select", "a b("], 1, "write names of assets"),
        (["trace", "PMC1"], 1, "has no inventory yet; `biomedica run` reads it"),
        (["trace", "nonsense"], 1, "'nonsense' is no article"),
        (["changes"], 1, "pmc_inventory has not been materialised"),
        (["export", "there", "--recipe", "fulll"], 1, "recipe 'fulll' has not been built"),
        (["stream", "--recipe", "fulll"], 1, "recipe 'fulll' has not been built"),
        (["tasks", "--task", "mednits"], 1, "--task 'mednits' is no task"),
        (["evaluate", "biomedklip"], 1, "model 'biomedklip' is none of biomedclip"),
        (["annotators", "--add", ""], 1, "cannot be an annotator's name"),
        (["annotators", "--add", "Ada Lovelace"], 1, "'Ada Lovelace' cannot be an annotator's name"),
        (["annotators", "--adjudicator"], 1, "annotators --add NAME --adjudicator"),
        # numbers
        (["ui", "--port", "99999"], 2, "argument --port: '99999' is not a whole number from 1 to 65,535"),
        (["annotate", "--port", "0"], 2, "argument --port: '0' is not a whole number from 1"),
        (["annotate", "--overlap", "0"], 2, "argument --overlap: '0' is not a whole number from 1"),
        (["annotate", "--audit", "-3"], 2, "argument --audit: '-3' is not a whole number from 0"),
        (["gc", "--grace", "-1"], 2, "argument --grace: '-1' is not a number of hours from 0"),
        (["gc", "--grace", "nan"], 2, "argument --grace: 'nan' is not a number of hours from 0"),
        (["refresh", "--max", "0"], 2, "argument --max: '0' is not a whole number from 1"),
        (["export", "there", "--recipe", "full", "--of", "0"], 2, "argument --of: '0' is not a whole number from 1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)  # fmt: skip
def test_a_mistake_is_one_line(data_dir, capsys, monkeypatch, arguments, code, says):
    monkeypatch.setenv("BIOMEDICA_DATA_DIR", str(data_dir))
    found, lines = _said(capsys, arguments)
    assert (found, len(lines)) == (code, 1), lines
    assert says in lines[0]
    assert sorted(path.name for path in data_dir.parent.iterdir()) == ["a_file", "empty", "mine"]


@pytest.mark.parametrize(
    ("where", "text", "says"),
    [
        ("biomedica.toml", "clusterz = 3\n", "unknown setting clusterz"),
        ("biomedica.toml", "clusters = 'many'\n", "clusters = 'many'"),
        ("biomedica.toml", "clusters = [\n", "is not valid TOML"),
        ("recipes/own.yaml", "where: [\n", "own.yaml is not valid YAML"),
        ("recipes/own.yaml", "wher: kind = 'figure'\n", "wher"),
        ("tasks/places.yaml", "suite: [\n", "places.yaml is not YAML"),
    ],
)
def test_a_bad_file_is_one_line_that_names_it(data_dir, capsys, where, text, says):
    path = data_dir / where
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    command = "tasks" if where.startswith("tasks") else "stale"
    code, lines = _said(capsys, [command, "--data-dir", str(data_dir)])
    assert (code, len(lines)) == (1, 1), lines
    assert says in lines[0]


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("CLUSTER", "5", "unknown setting in the environment: BIOMEDICA_CLUSTER"),
        ("CLUSTERS", "many", "clusters = 'many'"),
        ("DEVICE", "gpu", "'auto', 'cpu', 'cuda' or 'mps'"),
        ("LICENSE_GROUPS", "commercial", """= 'commercial' is no JSON; a list is written ["commercial"]"""),
    ],
)
def test_a_bad_variable_is_one_line(data_dir, capsys, monkeypatch, name, value, says):
    monkeypatch.setenv(f"BIOMEDICA_{name}", value)
    code, lines = _said(capsys, ["gc", "--data-dir", str(data_dir)])
    assert (code, len(lines)) == (1, 1), lines
    assert says in lines[0]


def test_a_second_ui_on_one_port_is_told_a_free_one(data_dir, capsys):
    with socket.socket() as first:
        first.bind(("127.0.0.1", 0))
        first.listen()
        port = first.getsockname()[1]
        code, lines = _said(capsys, ["ui", "--data-dir", str(data_dir), "--port", str(port)])
    assert (code, len(lines)) == (1, 1)
    assert f"port {port} of 127.0.0.1 is taken" in lines[0]


def test_a_disk_without_room_is_one_line(data_dir, capsys, monkeypatch):
    def full(*_arguments, **_named):
        raise OSError(28, "No space left on device", "/data/mine/x")

    monkeypatch.setattr("biomedica_assets.lib.store.gc.survey", full)
    code, lines = _said(capsys, ["gc", "--data-dir", str(data_dir)])
    assert (code, len(lines)) == (1, 1)
    assert "No space left on device" in lines[0]


def test_an_older_data_directory_says_what_to_do(data_dir, capsys):
    """Before files were named by their content a manifest named none, and tables had other columns."""
    import polars as pl

    folder = data_dir / "tables" / "pmc_inventory" / "all"
    folder.mkdir(parents=True)
    pl.DataFrame({"chunk": ["PMC000-0000"]}).write_parquet(folder / "part-0.parquet")
    (folder / "_manifest.json").write_text('{"asset": "pmc_inventory"}')
    code, lines = _said(capsys, ["changes", "--data-dir", str(data_dir)])
    assert (code, len(lines)) == (1, 1), lines
    assert str(folder) in lines[0]


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("biomedica 0.")


def test_a_reader_that_leaves_early_is_no_error(data_dir):
    """``biomedica sql … | head -1``."""
    command = f"{sys.executable} -m biomedica_assets.cli sql --format csv 'select i from range(1000000) t(i)' | head -1"
    here = os.environ | {"BIOMEDICA_DATA_DIR": str(data_dir)}
    ended = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], env=here, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "i\n", "")


def test_a_chunk_that_the_inventory_does_not_list_fails_and_is_named(tmp_path, capsys):
    """What was asked for was not made: a run that ends well would hide it."""
    mirror = MirrorBuilder(tmp_path / "mirror")
    mirror.article("PMC20001.1")
    command = ["run", "--data-dir", str(tmp_path / "d"), "--source", str(mirror.root), "--select", "pmc_inventory"]
    assert cli.main([*command, "--chunk", "PMC000-0020"]) == 0
    capsys.readouterr()
    code, lines = _said(capsys, [*command, "--chunk", "PMC000-0020", "--chunk", "PMC999-0000"])
    assert code == 1
    assert lines[-1].startswith("biomedica: --chunk PMC999-0000: the inventory lists no article of it")
