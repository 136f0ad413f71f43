"""Pixels that networks see: aspect, normalisation, odd modes, orientation; goldens that pin the two preprocessings."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from biomedica_assets.lib.embed import preprocess
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.images import canonical


def ramp(width: int, height: int) -> Image.Image:
    """A picture whose red grows to the right and whose green grows downwards."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([255 * x / width, 255 * y / height, np.full_like(x, 40)], axis=-1)
    return Image.fromarray(pixels.astype(np.uint8))


def test_standard_keeps_the_aspect_and_pads_with_what_normalises_to_zero():
    out = preprocess.standard(64)(ramp(200, 50))
    assert out.shape == (64, 64, 3)
    assert out.dtype == np.uint8
    neutral = np.round(255 * np.array(preprocess.IMAGENET_MEAN))
    assert (out[:23] == neutral).all()
    assert (out[41:] == neutral).all()
    assert not (out[24:40] == neutral).all(axis=-1).any()


def test_biomedica_stretches_to_the_square():
    out = preprocess.biomedica(64)(ramp(200, 50))
    assert out[0, :, 1].max() < 5  # the top row is the top of the picture: no padding above it
    assert out[-1, :, 1].min() > 240


def test_the_two_preprocessings_differ_in_digest_and_in_normalisation():
    ours, theirs = preprocess.standard(), preprocess.biomedica()
    assert ours.digest != theirs.digest
    assert ours.mean == (0.485, 0.456, 0.406)
    assert (theirs.mean, theirs.std) == ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


@pytest.mark.parametrize(("name", "golden"), [("standard", "fb64f2ec118ea81f"), ("biomedica", "4dd2df6c466de2c6")])
def test_pixels_are_those_of_version_1(name: str, golden: str):
    """The version in the digest promises these pixels; whoever changes them must raise it."""
    shapes = [(300, 200), (40, 90), (224, 224)]
    prepare = preprocess.preprocessing(name, 32, preprocess.IMAGENET_MEAN, preprocess.IMAGENET_STD)
    pixels = b"".join(prepare(ramp(*shape)).tobytes() for shape in shapes)
    assert hashlib.sha256(pixels).hexdigest()[:16] == golden


def test_an_unknown_preprocessing_is_named_with_those_there_are():
    with pytest.raises(PermanentFailure, match="'centre' is not known; take standard or biomedica"):
        preprocess.preprocessing("centre", 224, preprocess.IMAGENET_MEAN, preprocess.IMAGENET_STD)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_camera_turned_by_the_photographer_is_turned_back(orientation: int):
    upright = ramp(64, 40)
    undo = canonical.TURNS.get(orientation)
    inverse = {
        Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270,
        Image.Transpose.ROTATE_270: Image.Transpose.ROTATE_90,
    }
    stored = upright if undo is None else upright.transpose(inverse.get(undo, undo))
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    stored.save(buffer, "PNG", exif=exif)
    with Image.open(buffer) as image:
        found = np.asarray(preprocess.fit_within(image, 64), int)
    assert np.abs(found - np.asarray(upright, int)).max() <= 2


def test_large_jpegs_are_shrunk_while_decoding_with_nearly_the_same_pixels():
    buffer = io.BytesIO()
    ramp(1600, 1200).save(buffer, "JPEG", quality=95)
    with Image.open(buffer) as image:
        small = preprocess.fit_within(image, 100)
        assert image.size == (200, 150)
    whole = ramp(1600, 1200).resize((100, 75), Image.Resampling.BICUBIC)
    assert np.abs(np.asarray(small, int) - np.asarray(whole, int)).mean() < 2
