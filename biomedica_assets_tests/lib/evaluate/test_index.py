"""One pass over a test set: rules for items, digests, groups."""

import dataclasses

import numpy as np
import pytest

from biomedica_assets.lib.evaluate.adapters.memory import list_source, retrieval_task
from biomedica_assets.lib.evaluate.index import distinct_images, image_digest, index_task
from biomedica_assets.lib.evaluate.task import Item, TaskClass
from biomedica_assets_tests.lib.evaluate.fakes import colour_items, colour_task, png


def index_of(items, **changes):
    return index_task(list_source(colour_task(**changes), items))


def test_nothing_disappears():
    items = [*colour_items(6), colour_items(1)[0], Item("x", png("red"), answer=7)]
    index = index_of(items)
    assert index.n_in == len(items) == len(index.entries) + len(index.rejects)
    assert [r.message for r in index.rejects] == ["item id item000 appears twice", "class index 7 is outside 0..2"]


@pytest.mark.parametrize(
    ("options", "answer", "says"),
    [
        ((), 0, "0 options: nothing to choose between"),
        (("a",), 0, "1 option: nothing to choose between"),
        (("a", "b"), 2, "answer index 2 for 2 options"),
        (("a", "b"), -1, "answer index -1 for 2 options"),
        (("a", "b"), None, "answer index None for 2 options"),
        (("a", "a"), 0, "two options have the same text"),
        (("a", " "), 0, "an option is empty"),
    ],
)
def test_items_that_cannot_be_answered_are_left_out_with_the_reason(options, answer, says):
    index = index_of([Item("i", png("red"), answer=answer, options=options)], kind="closed_vqa", classes=())
    assert not index.entries
    assert says in index.rejects[0].message


@pytest.mark.parametrize(
    ("labels", "says"),
    [((1,), "1 labels for 2 classes"), ((1, 5), "are not all 1"), ((-1, -1), "no label is known")],
)
def test_faulty_multi_labels_are_left_out(labels, says):
    classes = (TaskClass("a", ("a",), ("no a",)), TaskClass("b", ("b",), ("no b",)))
    index = index_of([Item("i", png("red"), labels=labels)], kind="multi_label", metric="macro_auroc", classes=classes)
    assert says in index.rejects[0].message


def test_a_pair_without_a_caption_is_left_out_of_retrieval():
    items = [Item("a", png("red"), captions=("", " ")), Item("b", png("red"), captions=("x", ""))]
    index = index_task(list_source(retrieval_task("r", "R", domain="d"), items))
    assert [e.captions for e in index.entries] == [("x",)]
    assert index.rejects[0].message == "no caption"


def test_a_file_that_went_away_is_left_out(tmp_path):
    index = index_of([Item("i", tmp_path / "gone.png", answer=0)])
    assert "No such file" in index.rejects[0].message


def test_the_data_digest_changes_with_any_image_answer_or_group_and_with_nothing_else():
    items = colour_items(6)
    base = index_of(items).data
    assert base == index_of(list(items)).data
    for change in ({"image": png("blue", 99)}, {"answer": 1}, {"group": "p"}, {"item_id": "z"}):
        changed = [dataclasses.replace(items[0], **change), *items[1:]]
        assert index_of(changed).data != base, change


def test_equal_images_are_encoded_once_and_are_one_group():
    items = [Item("a", png("red", 1), answer=0), Item("b", png("red", 1), answer=0), Item("c", png("blue"), answer=2)]
    source = list_source(colour_task(), items)
    index = index_task(source)
    assert len(index.images) == 2
    assert [sha for sha, _ in distinct_images(source, index)] == list(index.images)
    assert index.groups()[0] == index.groups()[1] != index.groups()[2]


def test_pixels_files_and_bytes_have_digests(tmp_path):
    data = png("red")
    (tmp_path / "a.png").write_bytes(data)
    assert image_digest(data) == image_digest(tmp_path / "a.png")
    flat = np.zeros((2, 6), np.uint8)
    assert image_digest(flat) != image_digest(flat.reshape(6, 2)), "the shape counts"
