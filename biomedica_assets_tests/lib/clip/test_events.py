"""The events of a run after what disks do to the end of a file."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_assets.lib.clip import events, supervise, training
from biomedica_assets.lib.clip.events import Events

TOLD = [{"kind": "epoch", "epoch": n, "samples": 32, "seconds": 1.0, "energy_joules": None} for n in range(3)]


def _written(path):
    for event in TOLD:
        Events(path).write(**event)
    return path.read_bytes()


@given(cut=st.integers(1, 80), zeros=st.integers(0, 9))
def test_a_torn_end_loses_its_own_line_and_no_later_one(tmp_path_factory, cut, zeros):
    """A power loss leaves half a line, or zeros where it was; the next run's first event used to be glued to it."""
    path = tmp_path_factory.mktemp("e") / training.EVENTS
    whole = _written(path)
    path.write_bytes(whole[:-cut] + b"\0" * zeros)
    kept = whole[:-cut].count(b"\n") + (cut == 1 and not zeros)  # all but the end of the line is there
    assert [e["epoch"] for e in events.read(path)] == list(range(kept))
    assert set(training.Told.read(path.parent).epochs) == set(range(kept))
    assert events.close_last_line(path) == len(path.read_bytes())
    Events(path).write(kind="done", peak_bytes=1)
    assert [e["kind"] for e in events.read(path)] == ["epoch"] * kept + ["done"]


@pytest.mark.parametrize("line", [b"\0" * 40, b'{"kind": "epo', b"[]", b"17", b"\xff\xfe", b'{"epoch": 1}'])
def test_a_damaged_line_in_the_middle_is_passed_over(tmp_path, line):
    path = tmp_path / training.EVENTS
    first, *rest = _written(path).splitlines(keepends=True)
    path.write_bytes(first + line + b"\n" + b"".join(rest))
    assert set(training.Told.read(tmp_path).epochs) == {0, 1, 2}


def test_a_short_write_is_completed(tmp_path, monkeypatch):
    """``write`` may take fewer bytes than it was given; the rest is written after them."""
    import os

    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:7]))
    Events(tmp_path / "e").write(kind="step", loss=1.5)
    assert json.loads((tmp_path / "e").read_text()) == {"kind": "step", "loss": 1.5}


LOG = """step 3
Traceback (most recent call last):
  File "x.py", line 1, in <module>
torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB
[W1126 12:00:00 Module.cpp:1] statistics of torch
{a: 1, b: 2}
"""


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (1, "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB"),
        (-9, "the process was killed, most often for want of memory"),
        (-11, "the process ended by signal SIGSEGV"),
    ],
)
def test_the_reason_of_a_process_that_could_not_tell_it_is_found(tmp_path, code, said):
    (tmp_path / "output.log").write_text("ValueError: of an earlier run\n" + LOG)
    assert supervise._unsaid(code, tmp_path / "output.log", 30).startswith(said)
    (tmp_path / "output.log").write_text("ValueError: of an earlier run\n")
    assert supervise._unsaid(3, tmp_path / "output.log", 30) == "the process ended with 3 and said nothing"
