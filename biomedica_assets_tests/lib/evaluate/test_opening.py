"""Which tasks are ready on this machine, and what the others lack."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from biomedica_assets.lib.evaluate.adapters.opening import TaskNotReady, TaskRoots, open_task, task_status
from biomedica_assets.lib.evaluate.registry import load_registry
from biomedica_assets_tests.lib.evaluate.fakes import eval_images, png


@pytest.fixture(autouse=True)
def no_hub_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def test_a_missing_task_says_what_is_missing_and_how_to_get_it(tmp_path):
    for status in task_status(load_registry().values(), TaskRoots(tmp_path)):
        assert not status.ready, status.task.name
        assert str(tmp_path) in status.missing
        assert status.how.startswith("Get it from ")
        assert "Put it in" in status.how


def test_opening_a_missing_task_raises_that_message(tmp_path):
    with pytest.raises(TaskNotReady, match=r"no breastmnist_224.npz or breastmnist.npz in .*MedMNIST v2 on Zenodo"):
        open_task(load_registry()["medmnist_breast"], TaskRoots(tmp_path))


def test_the_first_alternative_that_exists_is_taken(tmp_path):
    folder = tmp_path / "medmnist"
    folder.mkdir()
    for name, side in (("breastmnist.npz", 28), ("breastmnist_224.npz", 224)):
        np.savez(folder / name, test_images=np.zeros((2, side, side), np.uint8), test_labels=np.array([[0], [1]]))
    (source,) = open_task(load_registry()["medmnist_breast"], TaskRoots(tmp_path))
    assert [item.image.shape for item in source.read()] == [(224, 224)] * 2


def test_a_combined_file_becomes_one_task_per_name_without_those_left_out(tmp_path):
    folder = tmp_path / "evalset" / "data" / "ubench"
    folder.mkdir(parents=True)
    rows = [
        {"image": {"bytes": png("red", i)}, "task": t, "options": ["a", "b"], "answer_idx": 0, "label": "a",
         "image_id": str(i)}
        for i, t in enumerate(["Pollen X", "unknown", "Pollen X", "Stain"])
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), folder / "a.parquet")
    sources = open_task(load_registry()["evalset_ubench"], TaskRoots(tmp_path))
    assert [s.task.name for s in sources] == ["evalset_ubench.pollen_x", "evalset_ubench.stain"]
    assert [i.item_id for i in sources[0].read()] == ["0", "2"]


@pytest.mark.corpus
def test_the_two_real_sets_are_ready_and_complete():
    if not eval_images().is_dir():
        pytest.skip("../shared/eval_images is not there")
    registry = load_registry()
    roots = TaskRoots(eval_images() / "none", {"eval_images": eval_images()})
    for name in ("mednist", "wbc_blood_smear"):
        (source,) = open_task(registry[name], roots)
        assert len(list(source.read())) == registry[name].size
