"""The canonical form: equal for both decoders, equal for lossless copies, defined for every mode."""

from __future__ import annotations

import io
from pathlib import Path

import blake3
import numpy as np
import pytest
import simplejpeg
from PIL import Image

from biomedica_assets.lib.images.canonical import canonical
from biomedica_assets.lib.images.limits import ImageLimits
from biomedica_assets.lib.images.verify import measure
from biomedica_assets_tests.lib.images.generated import encode, sixteen_bit, texture

CORPUS = Path(__file__).resolve().parents[4] / "shared" / "corpus" / "mirror"
LIMITS = ImageLimits(min_side=1)


def pillow_only(data: bytes) -> str:
    """Pixel hash by the definition, with the reference decoder alone."""
    image = canonical(Image.open(io.BytesIO(data)))
    return blake3.blake3(f"rgb8 {image.width} {image.height}\n".encode() + image.tobytes()).hexdigest()


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (17, 33), (64, 48), (131, 97)])
@pytest.mark.parametrize("subsampling", ["444", "422", "420", "440", "411"])
def test_simplejpeg_and_pillow_give_the_same_pixels(size, subsampling):
    """Sizes that are no multiple of the block, odd subsampling, progressive, restart markers, quality."""
    image = texture(*size)
    files = [simplejpeg.encode_jpeg(np.asarray(image), quality=85, colorsubsampling=subsampling)]
    if subsampling not in {"440"}:
        name = ":".join(subsampling)
        files += [
            encode(
                image, "JPEG", subsampling=name, progressive=progressive, restart_marker_blocks=restart, quality=quality
            )
            for progressive in (False, True)
            for restart in (0, 3)
            for quality in (5, 95)
        ]
    for data in files:
        assert measure(data, LIMITS).pixel_hash == pillow_only(data)


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB-kept"])
@pytest.mark.parametrize("progressive", [False, True])
def test_grey_cmyk_and_rgb_jpegs_decode_as_the_reference_does(mode, progressive):
    channels = {"L": 1, "CMYK": 4, "RGB-kept": 3}[mode]
    data = encode(texture(37, 29, channels), "JPEG", progressive=progressive, keep_rgb=mode == "RGB-kept")
    assert measure(data, LIMITS).pixel_hash == pillow_only(data)


@pytest.mark.corpus
@pytest.mark.skipif(not CORPUS.is_dir(), reason="the real articles of ../shared/corpus are not here")
def test_real_jpegs_decode_as_the_reference_does():
    paths = sorted(CORPUS.glob("PMC*/*.jpg"))
    assert len(paths) > 50
    for path in paths[::3]:
        data = path.read_bytes()
        assert measure(data, ImageLimits()).pixel_hash == pillow_only(data), path.name


def test_lossless_copies_in_other_formats_have_the_same_pixels():
    image = texture(40, 30)
    copies = [
        encode(image, "PNG"),
        encode(image, "BMP"),
        encode(image, "TIFF", compression="tiff_lzw"),
        encode(image, "WEBP", lossless=True),
        encode(image.convert("RGBA"), "PNG"),
    ]
    assert len({measure(data, LIMITS).pixel_hash for data in copies}) == 1
    grey = texture(40, 30, 1)
    assert (
        measure(encode(grey, "PNG"), LIMITS).pixel_hash
        == measure(encode(grey.convert("RGB"), "PNG"), LIMITS).pixel_hash
    )


def test_size_is_part_of_the_pixel_hash():
    wide, high = Image.new("RGB", (6, 4), "red"), Image.new("RGB", (4, 6), "red")
    assert measure(encode(wide, "PNG"), LIMITS).pixel_hash != measure(encode(high, "PNG"), LIMITS).pixel_hash


def test_alpha_lies_over_white_by_the_stated_formula():
    colour, alpha = np.meshgrid(np.arange(256), np.arange(256))
    layered = np.dstack([colour, 255 - colour, colour, alpha]).astype(np.uint8)
    expected = np.rint((layered[..., :3].astype(float) * alpha[..., None] + 255.0 * (255 - alpha[..., None])) / 255)
    found = np.asarray(canonical(Image.fromarray(layered, "RGBA")))
    assert np.abs(found - expected).max() <= 0


def test_what_is_hidden_under_transparency_does_not_count():
    hidden = [np.zeros((8, 8, 4), np.uint8) for _ in range(2)]
    hidden[1][..., 0] = 200
    hashes = {canonical(Image.fromarray(h, "RGBA")).tobytes() for h in hidden}
    assert hashes == {bytes([255] * 192)}


def test_sixteen_bits_are_scaled_in_either_byte_order():
    image = sixteen_bit(9, 7)
    assert np.asarray(image).max() >= 1 << 14
    expected = np.rint(np.asarray(image) / 257).astype(np.uint8)
    for data in (encode(image, "PNG"), encode(image, "TIFF")):
        found = np.asarray(canonical(Image.open(io.BytesIO(data))))
        assert (found == expected[..., None]).all()
    swapped = Image.frombytes("I;16B", image.size, np.asarray(image).astype(">u2").tobytes())
    assert (np.asarray(canonical(swapped)) == expected[..., None]).all()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 1.0, 2.0, 4.0], [0, 64, 128, 255]),
        ([-5.0, np.nan, np.inf, 5.0], [0, 0, 0, 255]),
        ([3.0, 3.0, 3.0, 3.0], [0, 0, 0, 0]),
        ([np.nan, np.nan, np.inf, np.nan], [0, 0, 0, 0]),
    ],
)
def test_floats_are_stretched_over_their_finite_range(values, expected):
    image = Image.fromarray(np.array([values], np.float32))
    assert np.asarray(canonical(image))[0, :, 0].tolist() == expected


def test_perceptual_hash_survives_recompression_and_resizing_and_tells_images_apart():
    distances_near, distances_far = [], []
    for seed in range(8):
        image = texture(400, 300, seed=seed)
        original = measure(encode(image, "PNG"), LIMITS).phash
        copies = (
            encode(image, "JPEG", quality=40),
            encode(image.resize((200, 150), Image.Resampling.LANCZOS), "PNG"),
            encode(image.convert("L"), "PNG"),
        )
        distances_near += [(original ^ measure(copy, LIMITS).phash).bit_count() for copy in copies]
        other = measure(encode(texture(400, 300, seed=seed + 100), "PNG"), LIMITS).phash
        distances_far.append((original ^ other).bit_count())
    assert max(distances_near) <= 6
    assert min(distances_far) >= 16
