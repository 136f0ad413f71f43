"""A run that Dagster interrupts, as it does when somebody presses Terminate in the UI, leaves no process."""

import dataclasses
import signal
import subprocess
import sys

import pytest

from biomedica_assets.lib.clip import supervise, training
from biomedica_assets_tests.lib.clip.test_training import PROFILE, make_place, plan_of, processes

pytestmark = pytest.mark.full  # real trainings

PROGRAM = """
import sys, pathlib
import dagster as dg
from biomedica_assets.lib.clip import supervise
from biomedica_assets.lib.clip.spec import RunSpec

folder = pathlib.Path(sys.argv[1])

@dg.asset
def checkpoints():
    spec = RunSpec.read(folder / "given.json")
    supervise.run(spec, folder, supervise.Device("cpu", 1, 1, 1), lambda event: print("event", flush=True))

with dg.DagsterInstance.local_temp() as instance:
    try:
        dg.materialize([checkpoints], instance=instance, raise_on_error=False)
    finally:
        print("status", [run.status.value for run in instance.get_runs()], flush=True)
"""


def test_a_step_that_dagster_interrupts_ends_its_training(tmp_path):
    """Terminate reaches the process of the run as SIGINT, which Dagster raises inside the step."""
    place = make_place(tmp_path)
    folder = tmp_path / "run"
    folder.mkdir()
    plan = plan_of(place, folder, profile=dataclasses.replace(PROFILE, epochs=500))
    supervise.RunSpec(
        arguments=training.arguments(plan), events=str(folder / training.EVENTS),
        model_folders=plan.chosen.folders, sample_buffer=16,
    ).write(folder / "given.json")  # fmt: skip
    step = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert step.stdout is not None
    assert any(line == "event\n" for line in step.stdout)
    assert processes(folder / "spec.json")
    step.send_signal(signal.SIGINT)
    told = step.stdout.read()
    step.stdout.close()
    step.wait(timeout=600)
    assert "CANCELED" in told or "FAILURE" in told
    assert processes(folder / "spec.json") == []
