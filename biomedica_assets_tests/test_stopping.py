"""Signals end a command soon, with the right code, with nothing recorded as failed and no process left."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest

from biomedica_assets import cli, stopping

PROGRAM = """
import sys, time, threading, subprocess
import dagster as dg
from biomedica_assets import instance, settings
from biomedica_assets.automation.runs import execute
from biomedica_assets.stopping import STOP, Stopped

@dg.asset
def slow():
    child = subprocess.Popen(["sleep", "60"])
    print(child.pid, flush=True)
    {work}

@dg.asset
def following():
    pass

definitions = dg.Definitions([slow, following], executor=dg.in_process_executor)
job = definitions.resolve_implicit_global_asset_job_def()
try:
    with STOP.watching(), instance.open_instance(settings.Settings(data_dir=sys.argv[1])) as opened:
        for name in ("slow", "following"):
            execute(job, opened, assets=[name])
except Stopped as stopped:
    sys.exit(stopped.code)
"""
PATIENT = "threading.Event().wait(60)"
# What swallows every interrupt, as a library may: only the end of the process ends it.
STUBBORN = """
    while True:
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            pass
"""


def ended(pid):
    """Whether a process is gone, or waits only for its parent to look."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def answers(port):
    """Whether something listens at a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("work", [PATIENT, pytest.param(STUBBORN, marks=pytest.mark.full)], ids=["patient", "stubborn"])
def test_a_signal_cancels_the_run_and_begins_no_other(tmp_path, work, number):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(work=work), tmp_path],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        child = int(process.stdout.readline())
        began = time.monotonic()
        process.send_signal(number)
        assert process.wait(20) == 128 + number
        assert time.monotonic() - began < 5
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert ended(child)
    with dg.DagsterInstance.from_config(str(tmp_path / "dagster_home")) as opened:
        runs = opened.get_runs()
    assert [run.status for run in runs] == [dg.DagsterRunStatus.CANCELED]


def test_signals_are_as_before_once_nothing_is_watched():
    before = [signal.getsignal(number) for number in (*stopping.SIGNALS, signal.SIGUSR1)]
    with stopping.Stop().watching():
        assert signal.getsignal(signal.SIGTERM) not in before
    assert [signal.getsignal(number) for number in (*stopping.SIGNALS, signal.SIGUSR1)] == before


def test_the_ui_refuses_a_directory_that_holds_no_data_and_makes_none(tmp_path, capsys):
    assert cli.main(["ui", "--data-dir", str(tmp_path / "mistyped")]) == 1
    assert "does not exist" in capsys.readouterr().err
    assert not (tmp_path / "mistyped").exists()


def test_the_ui_says_that_a_port_is_taken_and_which_is_free(tmp_path, capsys):
    (tmp_path / "biomedica.toml").write_text("")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert cli.main(["ui", "--data-dir", str(tmp_path), "--port", str(port)]) == 1
    assert f"port {port} of 127.0.0.1 is taken" in (said := capsys.readouterr().err)
    assert "--port" in said


@pytest.mark.full
def test_the_ui_takes_dagster_down_with_it(tmp_path):
    (tmp_path / "biomedica.toml").write_text("")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "biomedica_assets.cli", "ui", "--data-dir", tmp_path, "--port", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ),
    )  # fmt: skip
    try:
        until = time.monotonic() + 120
        while not answers(port):
            assert time.monotonic() < until
            time.sleep(0.5)
        below = stopping.descendants(process.pid)
        assert len(below) > 2
        began = time.monotonic()
        process.terminate()
        assert process.wait(20) == 143
        assert time.monotonic() - began < 5
        assert all(ended(pid) for pid in below)
    finally:
        stopping.kill({process.pid, *stopping.descendants(process.pid)}, signal.SIGKILL)
        process.wait()
