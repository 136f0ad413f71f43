"""What is measured, what is refused and why: every format, every cut, every disguise."""

from __future__ import annotations

import hashlib
import io
import pickle
import struct
import zipfile
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.images import complete
from biomedica_assets.lib.images.limits import PILLOW_CEILING, ImageLimits
from biomedica_assets.lib.images.verify import Batch, ImageRefused, measure, measure_batch
from biomedica_assets_tests.lib.images.generated import encode, every_format, texture

LIMITS = ImageLimits()
FILES = every_format()


def refusal(data: bytes, limits: ImageLimits = LIMITS) -> ImageRefused:
    with pytest.raises(ImageRefused) as caught:
        measure(data, limits)
    return caught.value


@pytest.mark.parametrize("name", FILES)
def test_every_format_is_measured(name):
    data = FILES[name]
    found = measure(data, LIMITS)
    assert found.format == name.split("-")[0]
    assert (found.width, found.height) == ((48, 64) if found.orientation == 6 else (64, 48))
    assert found.bytes == len(data)
    assert found.md5 == hashlib.md5(data).hexdigest()
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert 0 <= found.phash < 2**64


@pytest.mark.parametrize(
    ("name", "mode", "n_frames"),
    [
        ("jpeg-cmyk", "CMYK", 1),
        ("jpeg-grey", "L", 1),
        ("png-16-bit", "I;16", 1),
        ("png-palette", "P", 1),
        ("png-bilevel", "1", 1),
        ("png-alpha", "RGBA", 1),
        ("gif-animated", "P", 3),
        ("tiff-pages", "RGB", 3),
        ("tiff-float", "F", 1),
    ],
)
def test_mode_and_number_of_frames_are_those_of_the_file(name, mode, n_frames):
    found = measure(FILES[name], LIMITS)
    assert (found.mode, found.n_frames) == (mode, n_frames)


def test_exif_orientation_is_reported_and_applied():
    turned, straight = measure(FILES["jpeg-exif-turned"], LIMITS), measure(FILES["jpeg"], LIMITS)
    assert (turned.orientation, straight.orientation) == (6, None)
    assert ((turned.width, turned.height), (straight.width, straight.height)) == ((48, 64), (64, 48))
    upright = Image.open(io.BytesIO(FILES["jpeg"])).convert("RGB").transpose(Image.Transpose.ROTATE_270)
    assert turned.pixel_hash == measure(encode(upright, "PNG"), LIMITS).pixel_hash


def test_a_photo_of_several_pictures_in_one_jpeg_is_a_jpeg():
    """Cameras write MPO: JPEGs in a row behind a JPEG."""
    data = encode(texture(64, 48), "MPO", save_all=True, append_images=[texture(64, 48, seed=1)])
    found = measure(data, LIMITS)
    assert (found.format, found.n_frames) == ("jpeg", 2)


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=12, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_no_beginning_of_a_file_passes_for_the_file(name, share):
    data = FILES[name]
    end = len(data.rstrip(b"\0")) if name == "tiff-pages" else len(data)  # Pillow pads its pages with zeros
    cut = data[: int(share * end)]
    assert refusal(cut).reason in {"image_truncated", "image_undecodable", "media_not_an_image"}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_a_file_cut_in_its_pixels_is_called_truncated(name, share):
    assert refusal(FILES[name][: int(share * len(FILES[name]))]).reason == "image_truncated"


@pytest.mark.parametrize("name", ["jpeg", "jpeg-progressive", "jpeg-grey", "jpeg-cmyk"])
def test_a_jpeg_cut_and_closed_again_is_found_although_pillow_shows_it(name):
    data = FILES[name]
    closed = data[: int(len(data) * 0.6)] + b"\xff\xd9"
    Image.open(io.BytesIO(closed)).load()
    assert refusal(closed).reason == "image_truncated"


@pytest.mark.parametrize("name", ["gif-animated", "tiff-pages"])
def test_a_file_cut_behind_its_first_frame_is_found_although_the_first_decodes(name):
    data = FILES[name][: int(len(FILES[name]) * 0.8)]
    Image.open(io.BytesIO(data)).load()
    assert refusal(data).reason == "image_truncated"


def test_bytes_between_jpeg_segments_do_no_harm():
    data = FILES["jpeg"]
    start = data.index(b"\xff\xdb")
    padded = data[:start] + b"\0\0\0" + data[start:]
    assert measure(padded, LIMITS).pixel_hash == measure(data, LIMITS).pixel_hash


@pytest.mark.parametrize("name", ["png", "jpeg", "gif", "webp", "tiff", "bmp"])
def test_bytes_behind_the_end_do_no_harm(name):
    assert measure(FILES[name] + bytes(64), LIMITS).pixel_hash == measure(FILES[name], LIMITS).pixel_hash


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(FILES)), st.floats(0, 1, exclude_max=True), st.integers(1, 255), st.integers(1, 8))
def test_damage_anywhere_gives_a_measurement_or_a_reason_and_nothing_else(name, share, flip, length):
    data = bytearray(FILES[name])
    at = int(share * len(data))
    for i in range(at, min(at + length, len(data))):
        data[i] ^= flip
    try:
        measure(bytes(data), ImageLimits(max_pixels=1_000_000))
    except ImageRefused as refused:
        assert refused.message


@settings(max_examples=100)
@given(st.sampled_from(["png", "gif", "tiff", "webp", "jpeg", "bmp"]), st.binary(max_size=200))
def test_the_check_for_completeness_survives_any_bytes(kind, data):
    assert complete.is_cut(kind, data) in {True, False}


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that announces ``width`` x ``height`` pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(50_000, 50_000), (13_400, 13_400), (2_000_000_000, 1)])
def test_decompression_bombs_are_refused_by_their_header(size):
    refused = refusal(bomb(*size))
    assert refused.reason == "image_too_large"


def test_limit_of_pixels_is_a_setting_and_names_itself():
    refused = refusal(FILES["png"], ImageLimits(max_pixels=64 * 48 - 1))
    assert refused.reason == "image_too_large"
    assert "64 x 48" in refused.message
    assert "max_pixels" in refused.message
    assert measure(FILES["png"], ImageLimits(max_pixels=64 * 48)).width == 64


def test_limit_of_bytes_holds_before_anything_is_read(tmp_path):
    path = tmp_path / "big.png"
    path.write_bytes(FILES["png"])
    (refused,) = measure_batch(Batch((path,), ImageLimits(max_bytes=100)))
    assert isinstance(refused, ImageRefused)
    assert refused.reason == "image_too_large"
    assert refusal(FILES["png"], ImageLimits(max_bytes=100)).reason == "image_too_large"


@pytest.mark.parametrize(
    ("size", "passes"), [((20, 300), False), ((300, 20), False), ((21, 21), True), ((1, 1), False)]
)
def test_small_images_are_refused_by_their_shorter_side(size, passes):
    data = encode(texture(*size), "PNG")
    if passes:
        assert measure(data, LIMITS).width == 21
    else:
        assert refusal(data).reason == "image_too_small"


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as out:
        out.writestr("payload.txt", "x")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "reason", "says"),
    [
        (b"", "image_truncated", "empty"),
        (b"%PDF-1.7\n", "media_not_an_image", "PDF"),
        (b"<!DOCTYPE html>\n<html><head>", "media_not_an_image", "HTML page"),
        (b"\n <HTML><BODY>404", "media_not_an_image", "HTML page"),
        (b'<?xml version="1.0"?><Error><Code>NoSuchKey', "media_not_an_image", "XML document <error>"),
        (b"This is not an image.", "media_not_an_image", "text"),
        (b"BMW is a make of cars, not a bitmap.", "media_not_an_image", "text"),
        (archive(), "media_not_an_image", "ZIP archive"),
        (FILES["jpeg"] + archive(), "media_not_an_image", "a jpeg with a ZIP archive appended"),
        (b"\x00\x01\x02\x03" * 10, "media_not_an_image", "unknown data"),
        (b"RIFF\x10\0\0\0WAVEfmt ", "media_not_an_image", "video or sound"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image_format_unsupported", "SVG"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><!-- x --><svg:svg>", "image_format_unsupported", "SVG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "image_format_unsupported", "PostScript"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "image_format_unsupported", "JPEG 2000"),
        (b"\0\0\0\x1cftypavif", "image_format_unsupported", "AVIF"),
    ],
)
def test_what_is_no_image_is_named(data, reason, says):
    refused = refusal(data)
    assert refused.reason == reason
    assert says in refused.message


def test_a_batch_gives_one_answer_per_file_in_order(tmp_path):
    paths = []
    for name in ("png", "jpeg", "gif"):
        paths.append(tmp_path / name)
        paths[-1].write_bytes(FILES[name])
    paths.insert(1, tmp_path / "text")
    paths[1].write_bytes(b"text")
    results = measure_batch(Batch(tuple(paths), LIMITS))
    assert [getattr(r, "format", None) for r in results] == ["png", None, "jpeg", "gif"]


def test_refusals_cross_process_borders():
    refused = refusal(b"text")
    copy = pickle.loads(pickle.dumps(refused))
    assert (copy.reason, copy.message) == (refused.reason, refused.message)


@pytest.mark.parametrize(
    "wrong", [{"max_pixels": PILLOW_CEILING + 1}, {"max_pixels": 0}, {"min_side": 0}, {"max_bytes": 0}]
)
def test_limits_that_cannot_hold_are_refused(wrong):
    with pytest.raises(PermanentFailure, match=next(iter(wrong))):
        ImageLimits(**wrong)
