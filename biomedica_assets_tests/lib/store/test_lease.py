"""Two runs of one partition must not write over each other."""

import os
import signal
import subprocess
import sys

import pytest

from biomedica_assets.lib.store import lease

HOLD = "import sys,pathlib,time;from biomedica_assets.lib.store import lease\n" + (
    "with lease.hold(pathlib.Path(sys.argv[1]), ['images'], 'C'):\n print('held', flush=True); time.sleep(60)"
)


@pytest.fixture
def holder(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline() == b"held\n"
    yield child
    child.kill()
    child.wait()
    child.stdout.close()


def test_a_second_run_of_the_partition_is_refused_and_told_who_holds_it(tmp_path, holder):
    refused = pytest.raises(lease.PartitionBusy, match=f"images of C is being made by process {holder.pid}")
    with refused, lease.hold(tmp_path, ["images"], "C"):
        pass


def test_other_partitions_and_assets_are_free(tmp_path, holder):
    with lease.hold(tmp_path, ["images"], "D"), lease.hold(tmp_path, ["shards"], "C"):
        pass


def test_a_killed_holder_leaves_the_lease_free(tmp_path, holder):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with lease.hold(tmp_path, ["images"], "C"):
        pass


def test_a_lease_is_free_again_after_its_block(tmp_path):
    for _ in range(2):
        with lease.hold(tmp_path, ["a", "b"], None):
            pass
