"""``biomedica doctor``: everything is looked at, what is wrong has a way out, and looking changes nothing."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from biomedica_assets import cli, instance, settings
from biomedica_assets.commands import doctor
from biomedica_assets.lib import machine
from biomedica_assets.lib.machine import Verdict


@pytest.fixture(autouse=True)
def _no_network(monkeypatch, tmp_path):
    """No host answers, and no settings of the folder that the tests run in count."""
    monkeypatch.setattr(machine, "unreachable", lambda _url: "the name is not known here (no network?)")
    monkeypatch.chdir(tmp_path)


def _looked_at(capsys, data_dir: Path) -> tuple[int, dict[str, dict[str, str]]]:
    code = cli.main(["doctor", "--json", "--data-dir", str(data_dir)])
    return code, {finding["check"]: finding for finding in json.loads(capsys.readouterr().out)}


def _source(tmp_path: Path) -> Path:
    (tmp_path / "mirror" / "metadata").mkdir(parents=True)
    return tmp_path / "mirror"


def test_a_good_data_directory_is_ok_and_nothing_is_changed(tmp_path, capsys):
    data_dir = tmp_path / "mine"
    instance.prepare(settings.load(data_dir=data_dir, source=str(_source(tmp_path)), encoder="texture", device="cpu"))
    before = sorted(path for path in tmp_path.rglob("*"))
    code, found = _looked_at(capsys, data_dir)
    assert code == 0
    for check in ("python", "packages", "settings", "source", "encoder", "training", "recipes", "dagster", "card"):
        assert found[check]["verdict"] == "ok", found[check]
    assert {"memory", "disk", "port 3000", "port 8765"} <= found.keys()
    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_an_empty_place_is_no_fault_and_says_how_to_begin(tmp_path, capsys):
    code, found = _looked_at(capsys, tmp_path / "absent")
    assert code == 0
    assert "biomedica demo" in found["settings"]["cure"]
    assert found["source"]["verdict"] == "look"
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize(
    ("setting", "value", "check"),
    [
        ("source", "nowhere", "source"),
        ("source", "s3://pmc-oa-opendata", "source"),
        ("training_profile", "latpop", "training"),
        ("encoder_weights", "absent.safetensors", "encoder"),
    ],
)
def test_what_stops_a_run_is_broken_with_a_way_out(tmp_path, capsys, setting, value, check):
    data_dir = tmp_path / "mine"
    data_dir.mkdir()
    (data_dir / settings.FILE).write_text(f'{setting} = "{value}"\n')
    code, found = _looked_at(capsys, data_dir)
    assert code == 1
    assert (found[check]["verdict"], bool(found[check]["cure"])) == ("broken", True)
    assert [name for name, one in found.items() if one["verdict"] == "broken"] == [check]


def test_a_wrong_setting_does_not_hide_the_machine(tmp_path, capsys):
    (tmp_path / settings.FILE).write_text("clusterz = 3\n")
    code, found = _looked_at(capsys, tmp_path / "mine")
    assert code == 1
    assert "clusterz" in found["settings"]["found"]
    assert found["python"]["verdict"] == "ok"


def test_a_folder_that_is_no_source_is_broken(tmp_path, capsys):
    (tmp_path / "holiday" / "pictures").mkdir(parents=True)
    data_dir = tmp_path / "mine"
    data_dir.mkdir()
    (data_dir / settings.FILE).write_text(f'source = "{tmp_path / "holiday"}"\n')
    assert _looked_at(capsys, data_dir)[1]["source"]["verdict"] == "broken"


@pytest.mark.parametrize(("text", "says"), [("where: [\n", "own.yaml"), ("where: widht > 3\n", "no column 'widht'")])
def test_a_bad_recipe_is_named(tmp_path, capsys, text, says):
    (tmp_path / "mine" / "recipes").mkdir(parents=True)
    (tmp_path / "mine" / "recipes" / "own.yaml").write_text(text)
    code, found = _looked_at(capsys, tmp_path / "mine")
    assert code == 1
    assert found["recipes"]["found"].startswith("own: ")
    assert says in found["recipes"]["found"]


@pytest.mark.parametrize("fault", ["two heads", "no database", "bad yaml"])
def test_a_broken_instance_of_dagster_is_seen_without_dagster(tmp_path, capsys, fault):
    data_dir = tmp_path / "mine"
    home = data_dir / "dagster_home"
    (home / "history").mkdir(parents=True)
    (home / instance.CONFIG).write_text("a: [" if fault == "bad yaml" else "telemetry: {enabled: false}\n")
    runs = home / "history" / "runs.db"
    if fault == "no database":
        runs.write_bytes(b"not a database at all" * 100)
    else:
        with sqlite3.connect(runs) as database:
            database.execute("CREATE TABLE alembic_version (version_num TEXT)")
            heads = [("a",), ("b",)] if fault == "two heads" else [("a",)]
            database.executemany("INSERT INTO alembic_version VALUES (?)", heads)
        database.close()
    code, found = _looked_at(capsys, data_dir)
    assert code == 1
    assert (found["dagster"]["verdict"], bool(found["dagster"]["cure"])) == ("broken", True)


def test_people_read_a_line_for_each_finding_and_one_with_what_to_do(capsys):
    doctor._tell([machine.ok("python", "3.11"), machine.broken("disk", "full [really]", "free space")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["ok", "python", "3.11"]
    assert lines[1].split() == ["broken", "disk", "full", "[really]"]
    assert lines[2].strip() == "-> free space"
    assert lines[3] == "1 broken, 0 to look at, 1 ok"


def test_neither_dagster_nor_torch_is_loaded_so_that_the_answer_is_quick(tmp_path):
    code = (
        "import sys; from biomedica_assets import cli; cli.main(['doctor', '--json']);"
        "print(sorted({'dagster', 'torch', 'timm', 'open_clip'} & sys.modules.keys()), file=sys.stderr)"
    )
    here = os.environ | {"BIOMEDICA_DATA_DIR": str(tmp_path / "d")}
    ended = subprocess.run([sys.executable, "-c", code], env=here, capture_output=True, text=True, check=True)
    assert ended.stderr.strip().splitlines()[-1] == "[]"
    assert Verdict.OK in {one["verdict"] for one in json.loads(ended.stdout)}
