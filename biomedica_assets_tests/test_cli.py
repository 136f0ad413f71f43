"""How a command ends: its exit code, and what it says instead of a traceback."""

from __future__ import annotations

import errno

import pytest

from biomedica_assets import cli
from biomedica_assets.commands import graph
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

    monkeypatch.setattr(graph, "status", fails)
    assert cli.main(["status"]) == code
    assert says in capsys.readouterr().err


def test_an_error_of_the_program_itself_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(graph, "status", lambda _arguments: {}["absent"])
    with pytest.raises(KeyError):
        cli.main(["status"])


def test_a_command_that_is_not_understood_ends_with_2(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["materialize"])
    assert ended.value.code == 2
    assert "invalid choice: 'materialize'" in capsys.readouterr().err


@pytest.mark.parametrize("source", ["nowhere", "http://example.org/pmc"])
def test_a_wrong_source_is_one_error_and_is_not_remembered(tmp_path, capsys, source):
    where = str(tmp_path / source) if source == "nowhere" else source
    assert cli.main(["run", "--data-dir", str(tmp_path / "d"), "--source", where]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "d").exists()
