"""What is wrong with a row is told with its file and line, and the other rows are read; a set is left out by name.

The same faults in every layout; an image with several texts is one image.
"""

import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_assets.lib.errors import Reject, RejectReason
from biomedica_assets.lib.evaluate.adapters.memory import list_source, retrieval_task
from biomedica_assets.lib.evaluate.adapters.opening import TaskRoots, open_or_name, open_task, task_status
from biomedica_assets.lib.evaluate.index import index_or_fault, index_task
from biomedica_assets.lib.evaluate.task import Item, TaskClass, TaskError
from biomedica_assets_tests.lib.evaluate.fakes import colour_task, png

CASES = Path(__file__).resolve().parents[4] / "shared" / "cases" / "test_sets"
COLUMNS = {"adapter": "folder", "csv": "t.csv", "image": "path", "label": "label"}
MANY = {"adapter": "folder", "csv": "t.csv", "image": "path", "label_columns": ["a", "b"]}


def read(folder, source, **changes):
    """Items and rejects of a task, opened as a data directory opens it."""
    task = colour_task(source=source, **changes)
    (found,) = open_task(task, TaskRoots(folder, {"test": folder}))
    items = list(found.read())
    return [i for i in items if isinstance(i, Item)], [r for r in items if isinstance(r, Reject)]


def csv_of(tmp_path, data):
    for name in ("red", "green", "blue"):
        (tmp_path / f"{name}.png").write_bytes(png(name))
    (tmp_path / "t.csv").write_bytes(data if isinstance(data, bytes) else data.encode())
    return tmp_path


GOOD = "path,label,patient\nred.png,red,p1\n"


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("green.png", "line 3: 1 field, the header has 3"),
        ("green.png,green", "line 3: 2 fields, the header has 3"),
        ("green.png,green,p2,more", "line 3: 4 fields, the header has 3"),
        (",green,p2", "line 3: column path names no image"),
        ("gone.png,green,p2", "line 3: there is no image gone.png"),
        ("../red.png,green,p2", "line 3: image path '../red.png' leads out"),
        ("/etc/passwd,green,p2", "line 3: image path '/etc/passwd' leads out"),
        (f"{'x' * 5000}.png,green,p2", "line 3: there is no image xxx"),
        (".,green,p2", "line 3: there is no image ."),
        ("green.png,mauve,p2", "line 3: label 'mauve' is none of the classes"),
        ("green.png,,p2", "line 3: label '' is none of the classes"),
        ("gre\0en.png,green,p2", "line 3: column path holds NUL bytes"),
        ('"green.png,green,p2', "line 3: a quote is opened and not closed"),
        ('"green.png"x,green,p2', "line 3: it is no CSV"),
    ],
)
def test_a_broken_row_of_a_csv_is_left_out_with_file_and_line_and_the_others_are_read(tmp_path, row, says):
    folder = csv_of(tmp_path, f"{GOOD}{row}\nblue.png,blue,p3\n")
    items, (reject,) = read(folder, COLUMNS | {"group": "patient"})
    assert [(i.item_id, i.group) for i in items] == [("red.png", "p1"), ("blue.png", "p3")]
    assert f"t.csv {says}" in reject.message
    assert reject.article_id == "colours"


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "mac-roman", "shift-jis"])
def test_a_row_in_another_encoding_is_left_out_only_if_its_words_are_used(tmp_path, encoding):
    word = "ｶﾅ" if encoding == "shift-jis" else "José"
    folder = csv_of(tmp_path, (GOOD + f"green.png,green,{word}\n").encode(encoding))
    items, (reject,) = read(folder, COLUMNS | {"group": "patient"})
    assert [i.item_id for i in items] == ["red.png"]
    assert "t.csv line 3: column patient is not UTF-8 (byte 0x" in reject.message
    assert len(read(folder, COLUMNS)[0]) == 2


@pytest.mark.parametrize(
    ("data", "n"),
    [
        (b"\xef\xbb\xbf" + GOOD.encode(), 1),
        (GOOD.replace("\n", "\r\n").encode(), 1),
        (GOOD.replace("\n", "\r").encode(), 1),
        (b"\n\n" + GOOD.encode() + b"\n\r\n", 1),
        (GOOD.encode().rstrip(b"\n"), 1),
        (GOOD.encode() + b"green.png,green,p2,,,\n", 2),
        (GOOD.encode() + b'green.png,green,"a ""quoted"", and\nbroken\nname"\nblue.png,blue,p1\n', 3),
        (b"path,label,patient,note,note\nred.png,red,p1,x,y\n", 1),
        ("path,label,patient,\u2028\nred.png,red,p1,a\u2028b\x0bc\x85d\n".encode(), 1),
    ],
)
def test_what_is_only_unusual_is_read(tmp_path, data, n):
    items, rejects = read(csv_of(tmp_path, data), COLUMNS | {"group": "patient"})
    assert (len(items), rejects) == (n, [])


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b"\n \r\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (GOOD.encode("utf-16"), "is UTF-16; save it as UTF-8"),
        (GOOD.encode("utf-16-le"), "NUL bytes"),
        (b"path,path,label\na,b,c\n", "has the column path more than once"),
        (b"path;label\nred.png;red\n", "has no column label, path; it has path;label"),
        (b"path,lab\xe9l\nred.png,red\n", r"it has path, lab\udce9l"),
        (b'"path,label\nred.png,red\n', "the header of"),
        (bytes(range(256)) * 40, "cannot be read|has no column|NUL"),
    ],
)
def test_a_csv_whose_header_cannot_be_trusted_is_left_out_whole_with_the_file(tmp_path, data, says):
    folder = csv_of(tmp_path, data)
    task = colour_task(source=COLUMNS)
    (source,) = open_task(task, TaskRoots(folder, {"test": folder}))
    index = index_or_fault(source)
    assert index.fault and "t.csv" in index.fault
    assert any(part in index.fault for part in says.split("|"))
    assert [r.reason for r in index.rejects] == [RejectReason.TASK_UNREADABLE]


def test_a_csv_without_rows_holds_nothing_and_no_fault(tmp_path):
    assert read(csv_of(tmp_path, "path,label,patient\n"), COLUMNS) == ([], [])


def test_open_quotes_cost_their_lines_and_no_others(tmp_path):
    rows = [f"{'' if i % 2 else chr(34)}red.png,red,p{i}" for i in range(3000)]
    items, rejects = read(csv_of(tmp_path, "path,label,patient\n" + "\n".join(rows) + "\n"), COLUMNS)
    assert len(items) == 1500
    assert len(rejects) == 1500
    assert rejects[1].message.startswith("t.csv line 4: ")


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ("1,0", (1, 0)), ("1.0,0.0", (1, 0)), (",1", (-1, 1)), ("-1.0,1", (-1, 1)), ("nan,1", (-1, 1)),
        ("x,1", "column a is 'x'"), ("1,0.5", "column b is '0.5'"), ("2,1", "column a is '2'"), ("inf,1", "'inf'"),
    ],
)  # fmt: skip
def test_labels_of_several_classes_are_numbers_or_nothing(tmp_path, values, found):
    folder = csv_of(tmp_path, f"path,a,b\nred.png,{values}\n")
    classes = (TaskClass("a", ("a",), ("no a",)), TaskClass("b", ("b",), ("no b",)))
    items, rejects = read(folder, MANY, kind="multi_label", metric="macro_auroc", classes=classes)
    if isinstance(found, str):
        assert found in rejects[0].message and rejects[0].message.startswith("t.csv line 2: ")
    else:
        assert [i.labels for i in items] == [found]


def test_one_hot_columns_that_are_no_numbers_are_refused(tmp_path):
    folder = csv_of(tmp_path, "path,r,g,b\nred.png,1,x,0\ngreen.png,0,1,\n")
    items, (reject,) = read(folder, COLUMNS | {"one_hot": ["r", "g", "b"], "label": None})
    assert [i.answer for i in items] == [1]
    assert "t.csv line 2: column g is 'x'" in reject.message


def test_a_description_that_names_no_columns_is_left_out_by_name(tmp_path):
    folder = csv_of(tmp_path, GOOD)
    for source in (
        {"adapter": "folder", "csv": "t.csv"}, {"adapter": "magic", "path": "t.*"},
        {"adapter": "parquet", "path": "t.*"}, {"path": "t.*"}, COLUMNS | {"where": ["a"]},
    ):  # fmt: skip
        (found,) = open_or_name(colour_task(source=source), TaskRoots(folder, {"test": folder}))
        with pytest.raises(TaskError, match="task colours"):
            index_task(found)


@pytest.mark.parametrize("path", [".", "", "/etc/*", "**a/[", 7, {"a": 1}])
def test_a_path_that_is_no_pattern_is_not_ready_and_no_crash(tmp_path, path):
    (status,) = task_status(
        [colour_task(source={"adapter": "npz", "path": path})], TaskRoots(tmp_path, {"test": tmp_path})
    )
    assert not status.ready


def test_pictures_that_are_none_keep_their_line_when_they_turn_out_to_be_none(tmp_path):
    folder = csv_of(tmp_path, GOOD + "dir.png,red,p1\n")
    (folder / "dir.png").mkdir()
    items, (reject,) = read(folder, COLUMNS)
    assert items[0].where == "t.csv line 2"
    assert reject.reason is RejectReason.OBJECT_MISSING


def test_class_folders_with_dangling_links_and_names_that_are_not_utf8(tmp_path):
    for name in ("red", "green", "blue"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(png(name))
    (tmp_path / "red" / "2.png").symlink_to(tmp_path / "nowhere.png")
    Path(str(tmp_path / "red") + "/b\udce9d.png").write_bytes(png("red"))
    (source,) = open_task(colour_task(source={"adapter": "folder"}), TaskRoots(tmp_path, {"test": tmp_path}))
    index = index_task(source)
    assert [e.item_id for e in index.entries] == ["red/1.png", "green/1.png", "blue/1.png"]
    assert sorted(r.subject for r in index.rejects) == ["red/2.png", r"red/b\udce9d.png"]


# npz ------------------------------------------------------------------------------------------------------------------


def npz(tmp_path, labels, images=None, **changes):
    images = np.zeros((len(labels), 4, 4), np.uint8) if images is None else images
    np.savez(tmp_path / "t.npz", test_images=images, test_labels=np.asarray(labels))
    return read(tmp_path, {"adapter": "npz", "path": "t.npz"}, **changes)


@pytest.mark.parametrize("bad", [np.nan, 0.5, np.inf])
def test_npz_labels_that_are_no_class_index_are_left_out_with_their_row(tmp_path, bad):
    items, (reject,) = npz(tmp_path, [[0.0], [bad], [2.0]])
    assert [i.answer for i in items] == [0, 2]
    assert reject.message.startswith("t.npz row 1: label ")


def test_npz_labels_that_are_words_or_negative(tmp_path):
    assert "label 'red'" in npz(tmp_path, [["red"], ["blue"]])[1][0].message
    items, _ = npz(tmp_path, [[-1], [0]])
    index = index_task(list_source(colour_task(), items))
    assert [r.message for r in index.rejects] == ["t.npz row 0: class index -1 is outside 0..2"]


def test_npz_images_of_other_kinds_are_left_out(tmp_path):
    for images in (np.zeros((2, 4, 4), np.float32), np.zeros((2, 4, 4, 7), np.uint8), np.zeros((2, 0, 4), np.uint8)):
        items, rejects = npz(tmp_path, [[0], [1]], images)
        assert (items, len(rejects)) == ([], 2)
        assert rejects[0].message.startswith("t.npz row 0: image ")


@pytest.mark.parametrize("at", [0.02, 0.3, 0.5, 0.7, 0.97])
def test_a_damaged_npz_is_left_out_by_name_or_read_as_far_as_its_checksums_agree(tmp_path, at):
    rng = np.random.default_rng(0)
    path = tmp_path / "t.npz"
    np.savez_compressed(
        path, test_images=rng.integers(0, 9, (50, 8, 8)).astype(np.uint8), test_labels=np.zeros((50, 1), int)
    )
    data = bytearray(path.read_bytes())
    spot = int(len(data) * at)
    data[spot : spot + 6] = b"\xff" * 6
    path.write_bytes(data)
    (source,) = open_or_name(
        colour_task(source={"adapter": "npz", "path": "t.npz"}), TaskRoots(tmp_path, {"test": tmp_path})
    )
    index = index_or_fault(source)
    assert index.fault is None or "t.npz" in index.fault


def test_an_encrypted_or_empty_npz_is_named(tmp_path):
    for data in (b"", b"PK", b"no zip at all"):
        (tmp_path / "t.npz").write_bytes(data)
        with pytest.raises(TaskError, match=r"t\.npz"):
            read(tmp_path, {"adapter": "npz", "path": "t.npz"})
    with zipfile.ZipFile(tmp_path / "t.npz", "w") as archive:
        archive.writestr("test_labels.npy", b"\x93NUMPY\x01\x00\x02\x00{}")
    with pytest.raises(TaskError, match=r"t\.npz"):
        read(tmp_path, {"adapter": "npz", "path": "t.npz"})


# Parquet and Arrow ----------------------------------------------------------------------------------------------------


def parquet(tmp_path, rows, kind="single_label", arrow=False, **source):
    table = pa.Table.from_pylist(rows)
    if arrow:
        with pa.OSFile(str(tmp_path / "t.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    else:
        pq.write_table(table, tmp_path / "t.parquet", row_group_size=2)
    source = {"adapter": "parquet", "path": "t.arrow" if arrow else "t.parquet"} | source
    changes = {} if kind == "single_label" else {"kind": kind, "classes": ()}
    return read(tmp_path, source, **changes)


@pytest.mark.parametrize("arrow", [False, True])
def test_parquet_rows_that_cannot_be_items_are_left_out_with_file_and_row(tmp_path, arrow):
    good = {"image": png("red"), "label": 0.0, "id": "a"}
    rows = [
        good, good | {"label": None, "id": "b"}, good | {"label": float("nan"), "id": "c"}, good | {"id": None},
        good | {"image": None, "id": "e"}, good | {"label": 0.5, "id": "f"}, good | {"label": 2.0, "id": "g"},
    ]  # fmt: skip
    items, rejects = parquet(tmp_path, rows, arrow=arrow, label="label", label_is_index=True, id="id")
    assert [(i.item_id, i.answer) for i in items] == [("a", 0), ("g", 2)]
    name = "t.arrow" if arrow else "t.parquet"
    assert [r.message.partition(": ")[0] for r in rejects] == [f"{name} row {n}" for n in (1, 2, 3, 4, 5)]
    said = " | ".join(r.message for r in rejects)
    assert all(part in said for part in ("is empty", "nan, no class index", "column id", "no image bytes", "0.5"))


def test_parquet_labels_and_captions_of_strange_types_are_left_out(tmp_path):
    assert "is none of the classes" in parquet(tmp_path, [{"image": b"x", "label": [1]}], label="label")[1][0].message
    found = parquet(tmp_path, [{"image": b"x", "caption": {"a": 1}}], "retrieval", caption="caption")[1]
    assert "column caption holds dict" in found[0].message
    found = parquet(tmp_path, [{"image": b"x", "o": ["a", None], "n": 0}], "closed_vqa", options="o", answer="n")[1]
    assert "an empty option" in found[0].message
    found = parquet(tmp_path, [{"image": b"x", "o": ["a", "b"], "n": 0.5}], "closed_vqa", options="o", answer="n")[1]
    assert "holds no answer" in found[0].message


def test_a_parquet_file_damaged_behind_its_footer_is_named(tmp_path):
    rows = [{"image": np.random.default_rng(i).bytes(900), "label": "red", "task": "x"} for i in range(20)]
    parquet(tmp_path, rows, label="label")
    data = bytearray((tmp_path / "t.parquet").read_bytes())
    data[4:4000] = b"\xff" * 3996
    (tmp_path / "t.parquet").write_bytes(data)
    for source in ({}, {"expand": "task"}):
        task = colour_task(source={"adapter": "parquet", "path": "t.parquet", "label": "label"} | source)
        (found,) = open_or_name(task, TaskRoots(tmp_path, {"test": tmp_path}))
        index = index_or_fault(found)
        assert index.fault and "colours" in index.fault and str(tmp_path) in index.fault


def test_parts_of_a_file_whose_names_read_alike_are_told_apart(tmp_path):
    rows = [{"image": png("red"), "label": "red", "task": name} for name in ("a b", "a-b", "µ")]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    source = {"adapter": "parquet", "path": "t.parquet", "label": "label", "expand": "task"}
    found = open_task(colour_task(source=source), TaskRoots(tmp_path, {"test": tmp_path}))
    assert [s.task.name for s in found] == ["colours.a_b", "colours.a_b_2", "colours.unnamed"]


# tar ------------------------------------------------------------------------------------------------------------------


def tar_of(tmp_path, members):
    with tarfile.open(tmp_path / "t.tar", "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return {"adapter": "webdataset", "path": "t.tar"}


@pytest.mark.parametrize(
    ("member", "data", "says"),
    [
        ("b.cls", b"mauve", "label 'mauve'"),
        ("b.cls", b"", "label ''"),
        ("b.cls", b"1.5", "label '1.5'"),
        ("b.cls", b"\xff", "UnicodeDecodeError"),
        ("b.txt", b"red", "KeyError: 'cls'"),
        ("b.jpg", b"\xff\xd8", "2 image members"),
    ],
)
def test_samples_of_a_tar_that_cannot_be_items_are_left_out_by_name(tmp_path, member, data, says):
    members = {"a.png": png("red"), "a.cls": b"0", "b.png": png("red", 1), member: data, "c.png": png("blue")}
    items, (reject,) = read(tmp_path, tar_of(tmp_path, members | {"c.cls": b"blue"}))
    assert [i.item_id for i in items] == ["a", "c"]
    assert reject.message.startswith("t.tar sample b: ") and says in reject.message


@pytest.mark.parametrize(
    "text", [b"{", b"[]", b'{"o": 5, "n": 0}', b'{"o": ["a", "b"], "n": 1.5}', b"[" * 100_000, b'{"o": ["a"], "n": {}}']
)
def test_json_of_a_sample_that_holds_no_question_is_a_reject(tmp_path, text):
    source = tar_of(tmp_path, {"a.png": png("red"), "a.json": text}) | {"options": "o", "answer": "n"}
    task = colour_task(source=source, kind="closed_vqa", classes=())
    (found,) = open_task(task, TaskRoots(tmp_path, {"test": tmp_path}))
    index = index_task(found)
    assert (len(index.entries), len(index.rejects)) == (0, 1)


def test_half_a_surrogate_pair_in_json_is_a_reject_and_no_crash_when_it_is_written(tmp_path):
    text = json.dumps({"o": ["a", "\ud800"], "n": 0}).encode()
    source = tar_of(tmp_path, {"a.png": png("red"), "a.json": text}) | {"options": "o", "answer": "n"}
    (found,) = open_task(
        colour_task(source=source, kind="closed_vqa", classes=()), TaskRoots(tmp_path, {"test": tmp_path})
    )
    assert "no character" in index_task(found).rejects[0].message


@pytest.mark.parametrize("size", [0, 100, 512, 700, 1500])
def test_a_tar_that_is_cut_off_is_named_or_read_to_a_whole_member(tmp_path, size):
    source = tar_of(tmp_path, {f"{i}.{e}": d for i in range(9) for e, d in (("png", png("red", i)), ("cls", b"0"))})
    (tmp_path / "t.tar").write_bytes((tmp_path / "t.tar").read_bytes()[:size])
    (found,) = open_or_name(colour_task(source=source), TaskRoots(tmp_path, {"test": tmp_path}))
    index = index_or_fault(found)
    assert index.fault and "t.tar" in index.fault


# several texts of an image --------------------------------------------------------------------------------------------


def test_rows_of_one_image_are_several_texts_of_it(tmp_path):
    folder = csv_of(tmp_path, "path,caption,p\nred.png,a,1\ngreen.png,b,2\nred.png,c,1\nred.png,,1\nred.png,d,2\n")
    source = {"adapter": "folder", "csv": "t.csv", "image": "path", "caption": "caption", "group": "p"}
    items, rejects = read(folder, source, kind="retrieval", classes=(), metric="recall_at_1")
    assert [(i.item_id, i.captions) for i in items] == [("red.png", ("a", "c")), ("green.png", ("b",))]
    assert [r.message for r in rejects] == [
        "t.csv line 5: column caption is empty",
        "t.csv line 6: the same image has p '1' in t.csv line 2, here '2'",
    ]


def test_lines_of_a_txt_are_several_texts_unless_it_is_said_to_be_one(tmp_path):
    source = tar_of(tmp_path, {"a.png": png("red"), "a.txt": b"one\ntwo"})
    changes = {"kind": "retrieval", "classes": (), "metric": "recall_at_1"}
    assert read(tmp_path, source, **changes)[0][0].captions == ("one", "two")
    assert read(tmp_path, source | {"whole": True}, **changes)[0][0].captions == ("one\ntwo",)


def test_one_picture_under_several_ids_is_one_image_with_all_texts_and_does_not_compete_with_itself():
    items = [Item("a", png("red"), captions=("x",)), Item("b", png("blue"), captions=("y",))]
    items += [Item("c", png("red"), captions=("z",)), Item("a", png("red"), captions=("w",))]
    items += [Item("a", png("green"), captions=("v",))]
    index = index_task(list_source(retrieval_task("r", "R", domain="d"), items))
    assert [(e.item_id, e.captions) for e in index.entries] == [("a", ("x", "z", "w")), ("b", ("y",))]
    assert [r.message for r in index.rejects] == ["item id a appears twice"]
    assert (len(index.entries), index.n_texts) == (2, 4)


# the cases as they were given -----------------------------------------------------------------------------------------


@pytest.mark.skipif(not CASES.is_dir(), reason="../shared/cases is not there")
@pytest.mark.parametrize(
    ("name", "changes", "items", "says"),
    [
        ("short_row", {}, 2, "short_row.csv line 3: 1 field, the header has 3"),
        ("latin1", {"group": "patient"}, 1, "latin1.csv line 2: column patient is not UTF-8 (byte 0xe9)"),
        ("latin1", {}, 2, None),
    ],
)
def test_given_files(name, changes, items, says):
    classes = (TaskClass("cat", ("a cat",)), TaskClass("dog", ("a dog",)))
    source = {"adapter": "folder", "csv": f"{name}.csv", "image": "path", "label": "label"} | changes
    found, rejects = read(CASES, source, classes=classes)
    assert len(found) == items
    assert [says in r.message for r in rejects] == [True] * (says is not None)


@pytest.mark.skipif(not CASES.is_dir(), reason="../shared/cases is not there")
def test_given_captions():
    source = {"adapter": "folder", "csv": "five_captions.csv", "image": "image", "caption": "caption"}
    task = retrieval_task("five", "Five", domain="d", suite="test")
    task = colour_task(**{"name": "five", "kind": "retrieval", "classes": (), "source": source})
    (found,) = open_task(task, TaskRoots(CASES, {"test": CASES}))
    index = index_task(found)
    assert (len(index.entries), index.n_texts, index.rejects) == (3, 15, ())


# anything at all ------------------------------------------------------------------------------------------------------


@given(
    st.binary(max_size=400) | st.text(alphabet='a,"\n\r\0é;red.png', max_size=200).map(lambda t: t.encode("latin-1"))
)
def test_whatever_stands_in_a_csv_is_told_and_never_a_crash(tmp_path_factory, data):
    folder = csv_of(tmp_path_factory.mktemp("any"), b"path,label\n" + data)
    (source,) = open_or_name(colour_task(source=COLUMNS), TaskRoots(folder, {"test": folder}))
    index = index_or_fault(source)
    assert index.fault is None or "t.csv" in index.fault
    assert all(r.message.encode() and r.subject.encode() for r in index.rejects)
