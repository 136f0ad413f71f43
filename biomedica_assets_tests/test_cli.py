"""How a command ends: its exit code, and what it says instead of a traceback."""

from __future__ import annotations

import errno
import json
import os
import shutil

import pytest

from biomedica_assets import cli, instance, settings
from biomedica_assets.commands import graph, status
from biomedica_assets.lib import machine
from biomedica_assets.lib.errors import StoreError


@pytest.mark.parametrize(
    ("raised", "code", "says"),
    [
        (StoreError("no such figure; look again"), 1, "biomedica: no such figure; look again\n"),
        (OSError(errno.ENOSPC, "No space left on device", "/data/x"), 1, "/data/x: No space left on device. What was"),
        (OSError(errno.EIO, "Input/output error"), 1, "biomedica: Input/output error. What was finished is kept"),
        (KeyboardInterrupt(), 130, "interrupted; what was finished is kept"),
    ],
)
def test_a_failure_is_a_message_with_the_way_out(monkeypatch, capsys, raised, code, says):
    def fails(_arguments):
        raise raised

    monkeypatch.setattr(status, "status", fails)
    assert cli.main(["status"]) == code
    assert says in capsys.readouterr().err


def test_an_error_of_the_program_itself_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(status, "status", lambda _arguments: {}["absent"])
    with pytest.raises(KeyError):
        cli.main(["status"])


def test_a_command_that_is_not_understood_ends_with_2(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["materialize"])
    assert ended.value.code == 2
    assert "invalid choice: 'materialize'" in capsys.readouterr().err


@pytest.mark.parametrize("source", ["nowhere", "holiday", "http://example.org/pmc", "s3://pmc-oa-opendata"])
def test_a_wrong_source_is_one_error_and_is_not_remembered(tmp_path, monkeypatch, capsys, source):
    """Of a bucket that cannot be reached, too; also where the directory has settings already."""
    monkeypatch.setenv("BIOMEDICA_S3_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("BIOMEDICA_ENCODER", "texture")
    (tmp_path / "holiday").mkdir()
    where = source if "://" in source else str(tmp_path / source)
    assert cli.main(["run", "--data-dir", str(tmp_path / "d"), "--source", where]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "d").exists()
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / settings.FILE).write_text("seed = 3\n")
    assert cli.main(["run", "--data-dir", str(tmp_path / "kept"), "--source", where]) == 1
    assert (tmp_path / "kept" / settings.FILE).read_text() == "seed = 3\n"


@pytest.fixture
def unrun(monkeypatch):
    """Commands get as far as the work, and do none."""
    monkeypatch.setattr(graph, "_materialise", lambda values, *_: instance.prepare(values) and 0)
    for name in ("DAGSTER_HOME", "DAGSTER_DISABLE_TELEMETRY", "BIOMEDICA_DATA_DIR"):
        monkeypatch.setenv(name, os.environ.get(name, ""))  # put back afterwards


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "source = {there}"),
        ("# mine\nseed = 3\n", "source = {there}\n# mine\nseed = 3"),
        (
            "seed = 3\nsource = '/old'  # a copy\nencoder = 'texture'\n",
            "seed = 3\nsource = {there}\nencoder = 'texture'",
        ),
    ],
)
def test_a_right_source_is_remembered_whatever_was_there_first(tmp_path, unrun, before, after):
    (tmp_path / "mirror" / "metadata").mkdir(parents=True)
    (tmp_path / "d").mkdir()
    if before:
        (tmp_path / "d" / settings.FILE).write_text(before)
    assert cli.main(["run", "--data-dir", str(tmp_path / "d"), "--source", str(tmp_path / "mirror")]) == 0
    text = (tmp_path / "d" / settings.FILE).read_text()
    assert after.format(there=json.dumps(str(tmp_path / "mirror"))) in text
    assert settings.load(data_dir=tmp_path / "d").source == str(tmp_path / "mirror")


def test_a_source_over_several_lines_is_left_to_its_writer(tmp_path, capsys, unrun):
    (tmp_path / "mirror" / "metadata").mkdir(parents=True)
    (tmp_path / settings.FILE).write_text('source = """\n/old"""\n')
    assert cli.main(["run", "--data-dir", str(tmp_path), "--source", str(tmp_path / "mirror")]) == 1
    assert "names its source over several lines" in capsys.readouterr().err
    assert (tmp_path / settings.FILE).read_text() == 'source = """\n/old"""\n'


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("TRAINING_PROFILE", "lapdog", "training: there is no training profile 'lapdog'"),
        ("PMCIDS_FILE", "absent.txt", "settings: "),
        ("PUBMED", "absent", "settings: pubmed 'absent' is neither eutils nor a directory"),
    ],
)
def test_a_setting_that_would_end_a_run_later_ends_it_before_it_begins(
    tmp_path, monkeypatch, capsys, unrun, setting, value, says
):
    (tmp_path / "mirror" / "metadata").mkdir(parents=True)
    monkeypatch.setenv(f"BIOMEDICA_{setting}", value)
    assert cli.main(["run", "--data-dir", str(tmp_path / "d"), "--source", str(tmp_path / "mirror")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"biomedica: {says}")
    assert not (tmp_path / "d").exists()


def test_a_full_disk_ends_a_run_before_it_begins(tmp_path, monkeypatch, capsys, unrun):
    (tmp_path / "mirror" / "metadata").mkdir(parents=True)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    assert cli.main(["run", "--data-dir", str(tmp_path / "d"), "--source", str(tmp_path / "mirror")]) == 1
    assert "biomedica: disk: 0.0 GiB free" in capsys.readouterr().err


def test_an_encoder_that_is_not_here_is_one_line_and_the_run_begins(tmp_path, capsys, unrun):
    (tmp_path / "mirror" / "metadata").mkdir(parents=True)
    assert cli.main(["run", "--data-dir", str(tmp_path / "d"), "--source", str(tmp_path / "mirror")]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert "biomedica: encoder: vit_large" in line and "what needs it waits, the rest is made" in line


def test_only_a_run_that_asks_the_source_needs_one(tmp_path, capsys, unrun):
    (tmp_path / settings.FILE).write_text('encoder = "texture"\n')
    assert cli.main(["run", "--data-dir", str(tmp_path), "--select", "checkpoints"]) == 0
    assert cli.main(["run", "--data-dir", str(tmp_path), "--select", "images"]) == 1
    assert "source: none was named yet (biomedica run --source" in capsys.readouterr().err
