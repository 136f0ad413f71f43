"""Files that are there and cut off, or do not fit together, are named before anything is scored on them."""

from __future__ import annotations

import dataclasses
import io
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from biomedica_assets.lib.evaluate.adapters.wholeness import whole
from biomedica_assets.lib.evaluate.task import TaskError
from biomedica_assets_tests.lib.evaluate.fakes import COLOURS, colour_task, png


def task(**source):
    return dataclasses.replace(colour_task(), source=source)


def npz(path, images=6, labels=(0, 1, 2, 0, 1, 2), dtype=np.uint8):
    np.savez(path, test_images=np.zeros((images, 8, 8, 3), np.uint8), test_labels=np.array(labels, dtype)[:, None])


def test_a_whole_archive_passes_and_one_that_was_cut_off_or_does_not_fit_is_named(tmp_path):
    path, wanted = tmp_path / "x.npz", task(adapter="npz")
    npz(path)
    whole(wanted, [path])
    data = path.read_bytes()
    for kept in (len(data) // 2, len(data) - 30, 0):
        path.write_bytes(data[:kept])
        with pytest.raises(TaskError, match=r"x.npz cannot be read as .npz .*get it again"):
            whole(wanted, [path])
    npz(path, images=5)
    with pytest.raises(TaskError, match="6 labels and 5 images in test"):
        whole(wanted, [path])
    npz(path, labels=(np.nan, np.nan, np.nan, np.nan, 1, 2), dtype=np.float32)
    with pytest.raises(TaskError, match="4 of 6 labels cannot be used; the first: label nan is no class index"):
        whole(wanted, [path])
    np.savez(path, val_images=np.zeros((1, 8, 8), np.uint8), val_labels=np.array([[0]]))
    with pytest.raises(TaskError, match="has no array test_images; it has val_images, val_labels"):
        whole(wanted, [path])


def test_every_file_of_a_parquet_set_is_looked_at(tmp_path):
    wanted = task(adapter="parquet", image="image", label="label")
    rows = [{"image": {"bytes": png("red", i)}, "label": "red"} for i in range(4)]
    paths = [tmp_path / f"{n}.parquet" for n in range(2)]
    for path in paths:
        pq.write_table(pa.Table.from_pylist(rows), path)
    whole(wanted, paths)
    data = paths[1].read_bytes()
    paths[1].write_bytes(data[: len(data) // 2])
    with pytest.raises(TaskError, match=r"1.parquet cannot be read"):
        whole(wanted, paths)
    pq.write_table(pa.Table.from_pylist([{"picture": 1, "label": "red"}]), paths[1])
    with pytest.raises(TaskError, match=r"1.parquet has no column image; it has picture, label"):
        whole(wanted, paths)


def test_a_tar_is_walked_to_its_end(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for n in range(5):
            data = png("red", n, 40)
            info = tarfile.TarInfo(f"{n}.png")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    wanted, data = task(adapter="webdataset"), path.read_bytes()
    whole(wanted, [path])
    with tarfile.open(path) as tar:
        between = tar.getmembers()[3].offset  # tarfile takes it for the end of an archive of three
    for kept in (len(data) // 2, 700, between):
        path.write_bytes(data[:kept])
        with pytest.raises(TaskError, match=r"a.tar cannot be read as tar .*get it again"):
            whole(wanted, [path])


def test_each_class_has_its_folder_with_pictures(tmp_path):
    wanted = task(adapter="folder", path=".")
    for colour in COLOURS:
        (tmp_path / colour).mkdir()
        (tmp_path / colour / "1.png").write_bytes(png(colour))
    whole(wanted, [tmp_path])
    (tmp_path / "blue" / "1.png").rename(tmp_path / "blue" / "1.txt")
    with pytest.raises(TaskError, match=r"blue, for the class blue, holds no pictures"):
        whole(wanted, [tmp_path])
    (tmp_path / "blue" / "1.txt").unlink()
    (tmp_path / "blue").rmdir()
    with pytest.raises(TaskError, match=r"there is no folder blue in .*, for the class blue"):
        whole(wanted, [tmp_path])
