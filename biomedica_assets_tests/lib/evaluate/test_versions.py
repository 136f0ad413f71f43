"""The version of a test set: changes with its content, never with the time of a file, and is not read twice."""

import dataclasses
import json
import os
import time

import pytest

from biomedica_assets.lib.evaluate.adapters.opening import TaskRoots, open_task
from biomedica_assets.lib.evaluate.task import TaskClass, TaskSource
from biomedica_assets.lib.evaluate.versions import versions
from biomedica_assets_tests.lib.evaluate.fakes import colour_task, png

LATER = time.time() + 1e6  # files written by a test count as settled


class Counted:
    """A source that counts how often it is read."""

    def __init__(self, source: TaskSource) -> None:
        self.reads, self._read = 0, source.read
        self.source = dataclasses.replace(source, read=self.read)

    def read(self):
        self.reads += 1
        return self._read()


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "test"
    (folder / "red").mkdir(parents=True)
    (folder / "blue").mkdir()
    for i in range(4):
        (folder / ("red" if i % 2 else "blue") / f"{i}.png").write_bytes(png("red", i))
    return folder


@pytest.fixture
def memory(tmp_path):
    return tmp_path / "scores" / "test_sets.json"


def opened(folder, **changes):
    classes = (TaskClass("red", ("red",)), TaskClass("blue", ("blue",)))
    task = colour_task(**({"classes": classes, "source": {"adapter": "folder"}} | changes))
    (source,) = open_task(task, TaskRoots(folder.parent))
    return Counted(source)


def version(folder, memory, now=LATER, **changes):
    return versions([opened(folder, **changes).source], memory, now=now)["colours"]


def test_a_changed_image_changes_the_version_even_at_the_same_size_and_time(folder, memory):
    before = version(folder, memory)
    path = folder / "red" / "1.png"
    data, found = bytearray(path.read_bytes()), path.stat()
    data[40] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))  # as a copy that keeps times would
    assert version(folder, memory) != before


def test_a_moved_added_or_lost_image_changes_the_version(folder, memory):
    seen = [version(folder, memory)]
    (folder / "red" / "1.png").rename(folder / "blue" / "1.png")
    seen.append(version(folder, memory))
    (folder / "red" / "9.png").write_bytes(png("green", 9))
    seen.append(version(folder, memory))
    (folder / "blue" / "0.png").unlink()
    seen.append(version(folder, memory))
    assert len(set(seen)) == 4


def test_what_is_not_of_the_test_set_changes_nothing(folder, memory):
    before = version(folder, memory)
    (folder / "README").write_text("read me")
    for path in folder.rglob("*.png"):
        os.utime(path, (1, 1))
    assert version(folder, memory) == before


@pytest.mark.parametrize(
    "change",
    [{"classes": (TaskClass("red", ("scarlet",)), TaskClass("blue", ("blue",)))}, {"metric": "balanced_accuracy"},
     {"title": "Hues"}],
    ids=["captions", "metric", "title"],
)  # fmt: skip
def test_a_changed_description_changes_the_version(folder, memory, change):
    assert version(folder, memory) != version(folder, memory, **change)


def test_an_unchanged_test_set_is_read_once(folder, memory):
    first, second = opened(folder), opened(folder)
    assert versions([first.source], memory, now=LATER) == versions([second.source], memory, now=LATER)
    assert (first.reads, second.reads) == (1, 0)


def test_a_file_that_was_just_written_is_not_trusted_by_its_stamp(folder, memory):
    for _ in range(2):
        fresh = opened(folder)
        versions([fresh.source], memory, now=time.time() - 60)
        assert fresh.reads == 1


@pytest.mark.parametrize("damage", [b"", b"[]", b"{", json.dumps({"colours": 3}).encode()])
def test_a_damaged_memory_costs_a_reading_and_nothing_else(folder, memory, damage):
    right = version(folder, memory)
    memory.write_bytes(damage)
    assert version(folder, memory) == right


def test_a_link_that_leads_nowhere_is_left_to_the_reader(folder, memory):
    (folder / "red" / "gone.png").symlink_to(folder / "nowhere.png")
    assert version(folder, memory)
