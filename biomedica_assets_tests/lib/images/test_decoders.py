"""The fast decoders: Pillow's pixels for every mode and packing, refusals where Pillow shows half a picture."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import imagehash
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from biomedica_assets.lib.images import decoders, phash, pixels
from biomedica_assets.lib.images.canonical import canonical
from biomedica_assets.lib.images.complete import png_chunks
from biomedica_assets.lib.images.limits import ImageLimits
from biomedica_assets.lib.images.verify import ImageRefused, measure
from biomedica_assets_tests.lib.images.generated import encode, every_format, texture

CORPUS = Path(__file__).resolve().parents[4] / "shared" / "corpus" / "mirror"
LIMITS = ImageLimits(min_side=1)
PNG = encode(texture(64, 48), "PNG")


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def reference(data: bytes) -> bytes:
    """Canonical pixels by Pillow alone."""
    image = opened(data)
    image.load()
    return canonical(image).tobytes()


def ours(data: bytes) -> bytes:
    return pixels.decode(data, opened(data)).packed.tobytes()


def is_fast(data: bytes) -> bool:
    return decoders.decode_fast(data, opened(data)) is not None


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of these chunks and IEND, with right CRCs."""
    out = b"\x89PNG\r\n\x1a\n"
    for name, body in (*chunks, (b"IEND", b"")):
        out += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return out


def parts(data: bytes) -> tuple[bytes, bytes]:
    """Header and joined compressed pixels."""
    found = [(name, data[start : start + length]) for name, start, length in png_chunks(data)]
    return found[0][1], b"".join(body for name, body in found if name == b"IDAT")


@pytest.mark.parametrize("name", every_format())
def test_every_format_and_mode_has_the_pixels_of_pillow(name):
    data = every_format()[name]
    assert ours(data) == reference(data)


@settings(max_examples=60, deadline=None)
@given(
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA"]),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    transparent=st.booleans(),
    level=st.integers(0, 9),
    colors=st.sampled_from([2, 7, 16, 200]),
)
def test_every_png_has_the_pixels_of_pillow(mode, size, transparent, level, colors):
    """Palettes of 1, 2, 4 and 8 bits, grey and colour with alpha, a transparent colour, or neither."""
    image = texture(*size)
    if mode == "P":
        image = image.convert("P", palette=Image.Palette.ADAPTIVE, colors=colors)
    elif mode in {"LA", "RGBA"}:
        image.putalpha(texture(*size, 1, seed=1))
        image = image.convert(mode)
    else:
        image = image.convert(mode)
    more = {"transparency": image.getpixel((0, 0))} if transparent and mode in {"L", "P", "RGB"} else {}
    data = encode(image, "PNG", compress_level=level, **more)
    assert ours(data) == reference(data)


@pytest.mark.parametrize(("mode", "fast"), [("L", True), ("RGB", True), ("RGBA", True), ("LA", False), ("1", False)])
def test_which_png_the_fast_decoder_takes(mode, fast):
    assert is_fast(encode(texture(30, 20).convert(mode), "PNG")) is fast


def test_interlaced_png_has_its_pixels_in_place():
    """Adam7, written here because Pillow cannot: seven passes, each row with filter 0."""
    image = np.asarray(texture(19, 13))
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    raw = b"".join(
        b"\0" + row.tobytes() for x, y, across, down in passes for row in image[y::down, x::across] if row.size
    )
    data = png((b"IHDR", struct.pack(">IIBBBBB", 19, 13, 8, 2, 0, 0, 1)), (b"IDAT", zlib.compress(raw)))
    assert is_fast(data)
    assert ours(data) == reference(data) == image.tobytes()


def test_an_animated_png_gives_its_first_frame():
    data = encode(texture(30, 20), "PNG", save_all=True, append_images=[texture(30, 20, seed=4)])
    assert ours(data) == reference(data) == texture(30, 20).tobytes()
    assert measure(data, LIMITS).n_frames == 2


def test_pixel_data_with_too_few_rows_is_refused_although_pillow_shows_it():
    header, packed = parts(PNG)
    rows = zlib.decompress(packed)
    data = png((b"IHDR", header), (b"IDAT", zlib.compress(rows[: len(rows) // 2])))
    opened(data).load()
    with pytest.raises(ImageRefused) as caught:
        measure(data, LIMITS)
    assert caught.value.reason == "image_truncated"


@pytest.mark.parametrize("share", np.linspace(0.02, 0.98, 30))
def test_a_png_cut_and_closed_again_is_truncated(share):
    header, packed = parts(PNG)
    with pytest.raises(ImageRefused) as caught:
        measure(png((b"IHDR", header), (b"IDAT", packed[: int(share * len(packed))])), LIMITS)
    assert caught.value.reason == "image_truncated"


def test_pixel_data_that_fails_its_crc_is_refused():
    damaged = bytearray(PNG)
    damaged[-13] ^= 255  # last byte of the CRC before IEND
    with pytest.raises(ImageRefused, match="CRC") as caught:
        measure(bytes(damaged), LIMITS)
    assert caught.value.reason == "image_undecodable"


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("kind", ["eXIf", "xmp", "comment"])
def test_orientation_is_found_before_and_behind_the_pixels(behind, kind):
    turned = Image.Exif()
    turned[0x0112] = 6
    body = {
        "eXIf": (b"eXIf", turned.tobytes().removeprefix(b"Exif\0\0")),
        "xmp": (b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="6"/>'),
        "comment": (b"tEXt", b"date:create\x002026-01-01"),
    }[kind]
    header, packed = parts(PNG)
    chunks = [(b"IHDR", header), (b"IDAT", packed), body] if behind else [(b"IHDR", header), body, (b"IDAT", packed)]
    data = png(*chunks)
    assert measure(data, LIMITS).orientation == (None if kind == "comment" else 6)
    assert isinstance(opened(data), PngImagePlugin.PngImageFile)
    assert is_fast(data) is not (behind and kind != "comment")


@pytest.mark.corpus
@pytest.mark.skipif(not CORPUS.is_dir(), reason="the real articles of ../shared/corpus are not here")
def test_real_images_have_the_pixels_of_pillow_and_the_perceptual_hash_of_imagehash():
    paths = [p for p in sorted(CORPUS.glob("PMC*/*")) if p.suffix in {".png", ".gif", ".tif"}]
    assert len(paths) > 100
    for path in paths:
        data = path.read_bytes()
        assert ours(data) == reference(data), path.name
        image = canonical(opened(data))
        assert phash.of_grey(image.convert("L")) == int(str(imagehash.phash(image)), 16), path.name


@pytest.mark.parametrize("colour", [0, 1, 128, 255])
def test_flat_images_have_no_bits_but_the_first(colour):
    """Their other coefficients are zero; with floats they are noise."""
    assert phash.of_grey(Image.new("L", (100, 70), colour)) in {0, 1 << 63}
