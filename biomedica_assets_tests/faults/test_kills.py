"""Struck anywhere and started again, a run ends with the bytes of one that nothing happened to.

A part of ``make faults``, which strikes fifty times.
"""

from __future__ import annotations

import random
import shutil

import pytest

from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import TABLES
from biomedica_assets_tests.faults import runs, suite

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
    (lake.folder(table, chunk) / "part-0.parquet").unlink()
    frame.head(-1).write_parquet(lake.folder(table, chunk) / "part-0.parquet")
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
