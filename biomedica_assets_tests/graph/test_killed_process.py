"""What a killed command leaves in the Dagster instance, and what the next one makes of it."""

import subprocess
import sys

import dagster as dg
import pytest

from biomedica_assets import instance, settings

pytestmark = pytest.mark.full  # processes that are killed

KILLED = """
import sys
import dagster as dg
from biomedica_assets import instance, settings

opened = instance.open_instance(settings.Settings(data_dir=sys.argv[1]))
run = dg.DagsterRun("a_job", tags=instance.process_tags(), status=dg.DagsterRunStatus.STARTED)
opened.add_run(run)
storage = opened.event_log_storage
storage.initialize_concurrency_limit_to_default("network")
for step in ("one", "two"):
    assert storage.claim_concurrency_slot("network", run.run_id, step).is_claimed
print(run.run_id, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def killed(tmp_path):
    """A process that has claimed the whole pool, and the run in which it did."""
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield process, process.stdout.readline().strip()
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


@pytest.fixture(autouse=True)
def apart(monkeypatch):
    """This process opens instances of its own; what it sets in the environment goes with the test."""
    monkeypatch.setattr(instance, "_mine", [])
    for name in ("DAGSTER_HOME", "DAGSTER_DISABLE_TELEMETRY", "BIOMEDICA_DATA_DIR"):
        monkeypatch.setenv(name, "")


def claimed(opened):
    return len(opened.event_log_storage.get_concurrency_info("network").claimed_slots)


def test_a_killed_command_blocks_no_pool_and_its_run_does_not_run_for_ever(tmp_path, killed):
    process, run_id = killed
    process.kill()
    process.wait()
    with instance.open_instance(settings.Settings(data_dir=tmp_path)) as opened:
        assert claimed(opened) == 0
        assert opened.get_run_by_id(run_id).status == dg.DagsterRunStatus.FAILURE
    assert [path.name for path in (tmp_path / "dagster_home" / "processes").iterdir()] == [
        *instance.process_tags().values()
    ]


def test_a_living_command_keeps_its_places(tmp_path, killed):
    _, run_id = killed
    with instance.open_instance(settings.Settings(data_dir=tmp_path)) as opened:
        assert claimed(opened) == 2
        assert opened.get_run_by_id(run_id).status == dg.DagsterRunStatus.STARTED
