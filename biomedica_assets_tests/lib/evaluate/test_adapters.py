"""Readers: each layout gives the same items, and what is broken is named."""

import io
import json
import tarfile

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from biomedica_assets.lib.errors import Reject, RejectReason
from biomedica_assets.lib.evaluate.adapters.folder import read_folder
from biomedica_assets.lib.evaluate.adapters.memory import (
    classification_task,
    frame_source,
    retrieval_task,
)
from biomedica_assets.lib.evaluate.adapters.npz import read_npz
from biomedica_assets.lib.evaluate.adapters.parquet import distinct, read_parquet
from biomedica_assets.lib.evaluate.adapters.webdataset import read_webdataset
from biomedica_assets.lib.evaluate.task import Item, TaskError
from biomedica_assets_tests.lib.evaluate.fakes import colour_task, png


def folder_with(tmp_path, header, *rows):
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.png").write_bytes(png({"a": "red", "b": "green", "c": "blue"}[name]))
    (tmp_path / "labels.csv").write_text("\n".join([header, *rows]) + "\n")
    return tmp_path


def test_folder_with_csv_gives_items_in_the_order_of_the_file(tmp_path):
    folder = folder_with(tmp_path, "file,label,patient,set", "b,green,p1,x", "a,red,p1,x", "c,blue,p2,y")
    source = {"csv": "labels.csv", "image": "file", "suffix": ".png", "label": "label", "group": "patient"}
    items = list(read_folder(colour_task(source=source | {"where": {"set": "x"}}), folder))
    assert [(i.item_id, i.answer, i.group) for i in items] == [("b.png", 1, "p1"), ("a.png", 0, "p1")]


def test_folder_rejects_name_the_image_the_label_and_the_reason(tmp_path):
    folder = folder_with(tmp_path, "file,label", "a.png,red", "gone.png,red", "b.png,mauve", "../../etc/passwd,red")
    source = {"csv": "labels.csv", "image": "file", "label": "label"}
    found = list(read_folder(colour_task(source=source), folder))
    assert isinstance(found[0], Item)
    rejects = [r for r in found if isinstance(r, Reject)]
    assert [r.reason for r in rejects] == [
        RejectReason.OBJECT_MISSING, RejectReason.TASK_ITEM_INVALID, RejectReason.UNSAFE_NAME,
    ]  # fmt: skip
    assert "'mauve' is none of the classes red, green, blue" in rejects[1].message


def test_a_csv_without_the_column_is_an_error_that_lists_its_columns(tmp_path):
    folder = folder_with(tmp_path, "file,klass", "a.png,red")
    task = colour_task(source={"csv": "labels.csv", "image": "file", "label": "label"})
    with pytest.raises(TaskError, match="no column label; it has file, klass"):
        list(read_folder(task, folder))


def test_one_hot_and_multi_label_columns(tmp_path):
    folder = folder_with(tmp_path, "f,r,g,b", "a.png,1.0,0.0,0.0", "b.png,1,1,0", "c.png,,-1,1")
    one_hot = colour_task(source={"csv": "labels.csv", "image": "f", "one_hot": ["r", "g", "b"]})
    first, second, third = read_folder(one_hot, folder)
    assert first.answer == 0
    assert "2 of the columns r, g, b are 1" in second.message
    assert third.answer == 2
    task = classification_task("m", "M", {"red": ["r"], "green": ["g"], "blue": ["b"]}, domain="d")
    classes = tuple(c.__class__(c.name, c.captions, (f"no {c.name}",)) for c in task.classes)
    many = colour_task(
        kind="multi_label", metric="macro_auroc", classes=classes,
        source={"csv": "labels.csv", "image": "f", "label_columns": ["r", "g", "b"]},
    )  # fmt: skip
    assert [i.labels for i in read_folder(many, folder)] == [(1, 0, 0), (1, 1, 0), (-1, -1, 1)]


def test_class_folders_are_read_in_class_order_and_a_missing_one_is_named(tmp_path):
    for name in ("green", "red"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(png(name))
    found = list(read_folder(colour_task(source={}), tmp_path))
    assert [f.item_id for f in found if isinstance(f, Item)] == ["red/1.png", "green/1.png"]
    assert [f.message for f in found if isinstance(f, Reject)] == [f"there is no folder blue in {tmp_path}"]


@pytest.mark.parametrize("compressed", [True, False])
def test_npz_rows_equal_those_of_numpy(tmp_path, compressed):
    images = np.random.default_rng(0).integers(0, 255, (7, 5, 5, 3), np.uint8)
    labels = np.arange(7).reshape(7, 1) % 3
    save = np.savez_compressed if compressed else np.savez
    save(tmp_path / "t.npz", test_images=images, test_labels=labels, train_images=images[:1], train_labels=labels[:1])
    items = list(read_npz(colour_task(source={"split": "test"}), tmp_path / "t.npz"))
    assert all((item.image == image).all() for item, image in zip(items, images, strict=True))
    assert [i.answer for i in items] == labels[:, 0].tolist()


def test_npz_never_unpickles(tmp_path):
    np.savez(tmp_path / "t.npz", test_images=np.array([{"a": 1}], object), test_labels=np.zeros((1, 1)))
    with pytest.raises(TaskError, match="pickled Python objects"):
        list(read_npz(colour_task(source={}), tmp_path / "t.npz"))


@pytest.mark.parametrize("n_labels", [3, 5])
def test_npz_with_another_number_of_labels_is_an_error(tmp_path, n_labels):
    np.savez(tmp_path / "t.npz", test_images=np.zeros((4, 2, 2), np.uint8), test_labels=np.zeros((n_labels, 1)))
    with pytest.raises(TaskError, match="not as many images"):
        list(read_npz(colour_task(source={}), tmp_path / "t.npz"))


def test_npz_cut_off_is_an_error(tmp_path):
    path = tmp_path / "t.npz"
    np.savez(path, test_images=np.zeros((4, 2, 2), np.uint8), test_labels=np.zeros((4, 1)))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(TaskError, match="get it again"):
        list(read_npz(colour_task(source={}), path))


def closed_vqa(tmp_path, rows):
    frame = pa.Table.from_pylist(rows)
    pq.write_table(frame, tmp_path / "t.parquet", row_group_size=2)
    source = {"image": "image", "id": "id", "options": "q.options", "answer": "q.answer"}
    return colour_task(kind="closed_vqa", classes=(), source=source), [tmp_path / "t.parquet"]


def vqa_row(i, answer, options, task="x"):
    return {
        "image": {"bytes": png("red", i), "path": None},
        "id": f"i{i}",
        "task": task,
        "q": {"options": options, "answer": answer},
    }


def test_parquet_reads_closed_vqa_from_nested_columns_and_by_the_text_of_the_answer(tmp_path):
    task, paths = closed_vqa(tmp_path, [vqa_row(0, "b", ["a", "b"]), vqa_row(1, "z", ["a", "b", "c"])])
    first, second = read_parquet(task, paths)
    assert (first.answer, first.options, first.item_id) == (1, ("a", "b"), "i0")
    assert "'z' is none of the options" in second.message


def test_parquet_where_takes_only_its_rows_and_distinct_names_the_tasks(tmp_path):
    rows = [vqa_row(i, "a", ["a", "b"], task="xxyyx"[i]) for i in range(5)]
    task, paths = closed_vqa(tmp_path, rows)
    assert distinct(task, paths, "task") == ["x", "y"]
    chosen = colour_task(kind="closed_vqa", classes=(), source={**task.source, "where": {"task": "y"}})
    assert [i.item_id for i in read_parquet(chosen, paths)] == ["i2", "i3"]


def test_parquet_without_the_column_or_cut_off_is_an_error(tmp_path):
    task, paths = closed_vqa(tmp_path, [vqa_row(0, "a", ["a", "b"])])
    other = colour_task(kind="closed_vqa", classes=(), source={**task.source, "image": "picture"})
    with pytest.raises(TaskError, match="no column picture"):
        list(read_parquet(other, paths))
    paths[0].write_bytes(paths[0].read_bytes()[:-20])
    with pytest.raises(TaskError, match="cannot be read"):
        list(read_parquet(task, paths))


def test_parquet_rows_without_image_bytes_are_rejected(tmp_path):
    task, paths = closed_vqa(tmp_path, [vqa_row(0, "a", ["a", "b"]) | {"image": {"bytes": b"", "path": "x"}}])
    (reject,) = read_parquet(task, paths)
    assert "no image bytes" in reject.message


def test_webdataset_reads_classes_captions_and_json(tmp_path):
    path = tmp_path / "t.tar"
    with tarfile.open(path, "w") as tar:
        for name, data in {
            "a/1.png": png("red"), "a/1.cls": b"2", "a/1.txt": b"a caption",
            "a/1.json": json.dumps({"options": ["x", "y"], "answer": 1}).encode(),
            "a/2.cls": b"0", "a/3.png": png("red"), "a/3.cls": b"mauve",
        }.items():  # fmt: skip
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    first, second, third = read_webdataset(colour_task(source={}), [path])
    assert (first.item_id, first.answer) == ("a/1", 2)
    assert "0 image members" in second.message
    assert "'mauve'" in third.message
    caption = next(read_webdataset(retrieval_task("r", "R", domain="d"), [path]))
    assert caption.captions == ("a caption",)
    vqa = colour_task(kind="closed_vqa", classes=(), source={"options": "options", "answer": "answer"})
    assert next(read_webdataset(vqa, [path])).options == ("x", "y")
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(TaskError, match="cannot be read as tar"):
        list(read_webdataset(colour_task(source={}), [path]))


def test_rows_of_a_lake_become_a_task_whatever_their_order(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.png").write_bytes(png("red", ord(name)))
    rows = pl.DataFrame(
        {"item_id": ["2", "1", "3", "4"], "path": ["b.png", "a.png", "no.png", "a.png"],
         "label": ["red", "blue", "red", "mauve"], "group": ["g", "g", "h", "h"]}
    )  # fmt: skip
    task = classification_task("kinds", "Kinds", {"red": ["r"], "blue": ["b"]}, domain="d")
    found = list(frame_source(task, rows, tmp_path).read())
    assert [(f.item_id, f.answer) for f in found if isinstance(f, Item)] == [("1", 1), ("2", 0)]
    assert [f.subject for f in found if isinstance(f, Reject)] == ["3", "4"]
    assert found == list(frame_source(task, rows.reverse(), tmp_path).read())
