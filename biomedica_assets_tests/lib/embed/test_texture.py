"""The encoder without weights."""

from __future__ import annotations

import hashlib
import io
import itertools

import numpy as np
import pytest
from PIL import Image

from biomedica_assets.lib.embed import described, open_encoder, preprocess
from biomedica_assets.lib.embed.texture import WEIGHTS, texture_vector
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets_tests.lib.embed.lakes import KINDS, draw


def vector(kind: str, seed: int) -> np.ndarray:
    return texture_vector(Image.open(io.BytesIO(draw(kind, seed))))


def test_vectors_have_the_length_the_encoder_states_and_are_float32():
    encoder = open_encoder("texture")
    stacked = np.stack([vector("chart", 1)])
    assert encoder.encode(stacked).shape == (1, encoder.dimension)
    assert encoder.encode(stacked).dtype == np.float32


def test_pictures_of_a_kind_are_nearer_to_one_another_than_to_other_kinds():
    vectors = {kind: [vector(kind, seed) for seed in range(4)] for kind in KINDS}
    within = [np.linalg.norm(a - b) for found in vectors.values() for a, b in itertools.combinations(found, 2)]
    between = [
        np.linalg.norm(a - b) for x, y in itertools.combinations(KINDS, 2) for a in vectors[x] for b in vectors[y]
    ]
    assert max(within) < min(between)


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1), (7, 3), (128, 128), (2000, 30)])
@pytest.mark.parametrize("colour", ["white", "black", "red"])
def test_any_size_and_a_single_colour_give_finite_vectors(size: tuple[int, int], colour: str):
    found = texture_vector(Image.new("RGB", size, colour))
    assert np.isfinite(found).all()
    assert np.linalg.norm(found) <= np.sqrt(sum(w * w for w in WEIGHTS.values())) + 1e-4


def test_vectors_are_those_of_version_1():
    """The version stands in the encoder's digest; float16, as they are stored, forgives the last bits of libraries."""
    image = Image.fromarray((np.arange(60 * 40 * 3) * 7 % 251).astype(np.uint8).reshape(40, 60, 3))
    rounded = np.round(texture_vector(image), 2) + 0.0
    assert hashlib.sha256(rounded.astype("<f4").tobytes()).hexdigest()[:16] == "66fe97aeb80a76c8"


def test_weights_for_an_encoder_without_weights_are_refused(tmp_path):
    with pytest.raises(PermanentFailure, match="unset encoder_weights"):
        open_encoder("texture", weights=tmp_path / "w.safetensors")


@pytest.mark.parametrize("preprocessing", ["standard", "biomedica"])
def test_an_encoder_is_described_without_opening_it_as_it_describes_itself(preprocessing):
    encoder = open_encoder("texture")
    assert described("texture", preprocessing) == {"encoder": encoder.name, "preprocessing": encoder.preprocessing}
    assert described("open_clip/ViT-B-32/openai", preprocessing) == {
        "encoder": "open_clip-ViT-B-32-openai",
        "preprocessing": f"{preprocessing}-{preprocess.VERSION}",
    }
