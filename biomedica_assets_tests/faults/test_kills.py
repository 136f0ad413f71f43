"""Struck anywhere and started again, a run ends with the bytes of one that nothing happened to.

A part of ``make faults``, which strikes fifty times.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import shutil
import signal
import time

import pytest

from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import TABLES
from biomedica_assets_tests.faults import runs, suite

pytestmark = pytest.mark.full
WITHOUT_COMPILER = "needs a C compiler (gcc or cc) for the library that strikes"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return suite.reference(tmp_path_factory.mktemp("faults"))


def test_killed_at_a_random_time(undisturbed):
    line = suite.Line()
    assert suite.strike(undisturbed, "kill at a time", random.randrange(10**6), line) == []
    assert (line.lost, line.wrong, line.files_apart) == (0, 0, 0)


@pytest.mark.parametrize("kind", ["kill at a write", "disk full"])
def test_struck_at_a_random_change_of_a_file(undisturbed, kind):
    if undisturbed.library is None:
        pytest.skip(WITHOUT_COMPILER)
    line = suite.Line()
    assert suite.strike(undisturbed, kind, random.randrange(10**6), line) == []
    assert (line.struck, line.lost, line.wrong, line.files_apart) == (1, 0, 0, 0)


def test_a_lost_row_would_be_seen(undisturbed, tmp_path):
    """The comparison itself: without it the tests above could not fail."""
    shutil.copytree(undisturbed.data, tmp_path / "copy")
    lake, table = Lake(tmp_path / "copy"), TABLES["figures"]
    chunk = lake.partitions(table)[0]
    frame = lake.read(table, chunk)
    found = lake.manifest(table, chunk)
    lake.publish(
        table, chunk, frame.head(-1), code_version=found.code_version, inputs=found.inputs, config=found.config,
        n_in=found.n_in, n_out=found.n_out,
    )  # fmt: skip
    assert runs.rows_apart(undisturbed.data, lake.root) == (1, 0)
    assert runs.digests(undisturbed.data) != runs.digests(lake.root)


def test_of_two_runs_at_once_one_is_refused_and_nothing_is_damaged(undisturbed, tmp_path):
    data = tmp_path / "data"
    one = runs.start(data, undisturbed.mirror, runs.environment(data))
    other = runs.start(data, undisturbed.mirror, runs.environment(data))
    said = [process.communicate(timeout=300)[0] for process in (one, other)]
    assert "Traceback" not in "".join(said)
    ended = runs.run(data, undisturbed.mirror)
    assert ended.code == 0, ended.output
    assert runs.digests(data) == runs.digests(undisturbed.data)


class Gated:
    """A run that waits where it writes its first file of the mirror, holding its lease, until it is let go.

    One thread of it waits: a process that was stopped as a whole may have stood in a transaction of Dagster's database,
    and the other run would have waited for that and not for the lease.
    """

    def __init__(self, folder, name, library, data, start):
        self.gate, counter = folder / f"{name}.gate", folder / f"{name}.counter"
        os.mkfifo(self.gate)
        counter.write_bytes(bytes(8))
        env = runs.environment(data, library, "wait", at=1)
        env |= {"FAULT_ROOT": str(data / "mirror"), "FAULT_COUNTER": str(counter), "FAULT_GATE": str(self.gate)}
        self.process, self._open = start(env), None

    def wait_until_it_waits(self):
        while self._open is None:
            assert self.process.poll() is None, self.process.communicate()[0]
            # There is nobody at the other end (ENXIO) until the run has come so far.
            with contextlib.suppress(OSError):
                self._open = os.open(self.gate, os.O_WRONLY | os.O_NONBLOCK)
            time.sleep(0.05)

    def let_go(self):
        """What it said in the end."""
        if self._open is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        else:
            os.close(self._open)
        return self.process.communicate(timeout=300)[0]


def test_of_the_ui_and_the_command_on_one_chunk_the_ui_is_refused_and_the_command_waits(undisturbed, tmp_path):
    """Each holds a chunk and waits there until the other was told by whom: no race decides."""
    if undisturbed.library is None:
        pytest.skip(WITHOUT_COMPILER)
    data = shutil.copytree(undisturbed.data, tmp_path / "data")
    lake, table = Lake(data), TABLES["article_xml"]
    for_ui, for_command = lake.partitions(table)
    for chunk in (for_ui, for_command):
        for path in lake.read(table, chunk)["path"]:
            (data / path).unlink()
        lake.remove(table, chunk)

    # Four runs of the pool at once: with the two it has, the others would wait for a place in it before they ask.
    config = data / "dagster_home" / "dagster.yaml"
    config.write_text(config.read_text().replace("default_limit: 2", "default_limit: 4"))

    def ui(chunk, env):
        return runs.materialise(data, table.name, chunk, env)

    def command(chunk, env):
        return runs.start(data, undisturbed.mirror, env, select=(table.name,), chunks=(chunk,))

    holders = {
        chunk: Gated(tmp_path, start.__name__, undisturbed.library, data, functools.partial(start, chunk))
        for chunk, start in ((for_ui, ui), (for_command, command))
    }
    try:
        for holder in holders.values():
            holder.wait_until_it_waits()
        refused, waits = ui(for_command, runs.environment(data)), command(for_ui, runs.environment(data))
        said = {for_command: refused.communicate(timeout=300)[0]}
        said[for_ui] = next(line for line in waits.stdout if "waiting" in line)
        assert lake.partitions(table) == [] and waits.poll() is None
    finally:
        output = {chunk: holder.let_go() for chunk, holder in holders.items()}
    rest = waits.communicate(timeout=300)[0]
    assert (refused.returncode, waits.returncode) == (1, 0), rest
    for chunk, holder in holders.items():
        message = f"{table.name} of {chunk} is being made by process {holder.process.pid}"
        assert message in said[chunk], said[chunk]
        assert holder.process.returncode == 0, output[chunk]
    assert runs.digests(data) == runs.digests(undisturbed.data)
