"""Vectors of a test set: cached by model and data, in order, broken images left out."""

import numpy as np
import pytest

from biomedica_assets.lib.evaluate.adapters.memory import list_source
from biomedica_assets.lib.evaluate.features import ensemble, image_features, text_features
from biomedica_assets.lib.evaluate.index import index_task, keep
from biomedica_assets.lib.evaluate.task import Item
from biomedica_assets_tests.lib.evaluate.fakes import ColourEncoder, colour_items, colour_task, png, spec, unit


def features_of(items, encoder, cache, **options):
    source = list_source(colour_task(), items)
    index = index_task(source)
    return index, image_features(source, index, encoder, cache, **options)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_each_image_gets_its_own_vector_whatever_the_batch(batch_size):
    items = colour_items(20)
    encoder = ColourEncoder(spec("m"))
    index, features = features_of(items, encoder, None, batch_size=batch_size, threads=3)
    for item, entry in zip(items, index.entries, strict=True):
        assert features.vectors[features.row[entry.sha256]] == pytest.approx(unit(encoder.prepare(item.image)))
    assert max(encoder.batches) <= batch_size


def test_the_cache_answers_for_the_same_model_and_data_and_for_no_other(tmp_path):
    encoder = ColourEncoder(spec("m"))
    _, first = features_of(colour_items(9), encoder, tmp_path)
    n = len(encoder.batches)
    _, again = features_of(colour_items(9), encoder, tmp_path)
    assert len(encoder.batches) == n
    assert (again.vectors == first.vectors).all()
    assert again.row == first.row
    features_of(colour_items(10), encoder, tmp_path)
    assert len(encoder.batches) > n
    other = ColourEncoder(spec("other"))
    features_of(colour_items(9), other, tmp_path)
    assert other.batches


def test_a_damaged_cache_entry_is_made_anew(tmp_path):
    encoder = ColourEncoder(spec("m"))
    _, first = features_of(colour_items(9), encoder, tmp_path)
    (vectors,) = tmp_path.glob("*.npy")
    vectors.write_bytes(vectors.read_bytes()[:100])
    _, again = features_of(colour_items(9), encoder, tmp_path)
    assert (again.vectors == first.vectors).all()


def test_a_broken_image_is_left_out_with_its_reason_and_stays_so_in_the_cache(tmp_path):
    items = [*colour_items(4), Item("cut", png("red", 50)[:60], answer=0), Item("text", b"no image", answer=1)]
    for _ in range(2):
        encoder = ColourEncoder(spec("m"))
        index, features = features_of(items, encoder, tmp_path)
        left = keep(index, features.bad)
        assert len(left.entries) == 4
        assert {r.subject for r in left.rejects} == {"cut", "text"}
        assert all(r.reason == "image_undecodable" and r.article_id == "colours" for r in left.rejects)
        assert left.n_in == len(items)
    assert not encoder.batches, "the second time comes from the cache"


def test_an_ensemble_is_the_normalised_mean_of_unit_vectors(tmp_path):
    encoder = ColourEncoder(spec("m"))
    made = ensemble([["red", "green"], ["blue"]], encoder, tmp_path)
    red, green, blue = encoder.texts(["red", "green", "blue"]).astype(np.float64)
    assert made[0] == pytest.approx((red + green) / np.linalg.norm(red + green), abs=1e-6)
    assert made[1] == pytest.approx(blue, abs=1e-6)
    assert (text_features(["red", "green", "blue"], encoder, tmp_path) == encoder.texts(["red", "green", "blue"])).all()
