"""One picture for every stage: each kind of file, through each place that looks at pictures, and the rules by kind."""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageDraw

from biomedica_assets.lib.annotate import panels
from biomedica_assets.lib.annotate.web import pictures
from biomedica_assets.lib.clip import streams
from biomedica_assets.lib.cluster import pages
from biomedica_assets.lib.embed import preprocess
from biomedica_assets.lib.embed.texture import texture_vector
from biomedica_assets.lib.evaluate import encoder
from biomedica_assets.lib.images import canonical, pixels, sniff
from biomedica_assets.lib.images.limits import ImageLimits
from biomedica_assets.lib.images.verify import measure
from biomedica_assets.lib.release import compat_export
from biomedica_assets.lib.select import likeness, looks
from biomedica_assets_tests.lib.images.generated import encode, every_format

ROWS, COLUMNS = np.mgrid[0:90, 0:120]
COLOURS = np.stack([COLUMNS * 2 % 256, ROWS * 2 % 256, (COLUMNS + ROWS) * 3 % 256], -1).astype(np.uint8)


def words(ground: tuple[int, ...], ink: tuple[int, ...]) -> Image.Image:
    image = Image.new("RGBA", (120, 90), ground)
    ImageDraw.Draw(image).text((10, 30), "words", fill=ink)
    return image


def png_of(values: NDArray[np.uint16], *, behind: bytes = b"") -> bytes:
    """A PNG of 16 bits a channel, which Pillow does not write."""
    kind = {3: 2, 4: 6}[values.shape[2]]

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, kind, 0, 0, 0)
    pixel_data = chunk(b"IDAT", zlib.compress(rows)) + behind
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + pixel_data + chunk(b"IEND", b"")


def tiff_of(values: NDArray[np.generic], **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


def swapped_profile() -> bytes:
    """An RGB profile that shows red as green: wide of any doubt whether it was applied."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    table = {bytes(profile[i : i + 4]): i for i in range(132, 132 + 12 * struct.unpack(">I", profile[128:132])[0], 12)}
    red, green = (table[name] for name in (b"rXYZ", b"gXYZ"))
    profile[red + 4 : red + 12], profile[green + 4 : green + 12] = (
        profile[green + 4 : green + 12],
        profile[red + 4 : red + 12],
    )
    return bytes(profile)


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
DEEP = np.stack([COLUMNS * 546 % 65536, ROWS * 728 % 65536, (COLUMNS + ROWS) * 300 % 65536], -1).astype(np.uint16)


def turned(orientation: int, form: str) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(Image.fromarray(COLOURS), form, exif=exif)


def kinds() -> dict[str, bytes]:
    colour = Image.fromarray(COLOURS)
    grey16 = (COLUMNS * 546 % 65536).astype(np.uint16)
    lab = ImageCms.profileToProfile(
        colour, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab is not None
    orientation_chunk = b"\0\0\0\x1aeXIf" + b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    orientation_chunk += struct.pack(">I", zlib.crc32(orientation_chunk[4:]))
    plain = encode(colour, "PNG")
    return {
        **every_format(),
        "png-8-in-16": encode(Image.fromarray((COLUMNS * 2 % 256).astype(np.uint16)), "PNG"),
        "png-12-in-16": encode(Image.fromarray((COLUMNS * 34 % 4096).astype(np.uint16)), "PNG"),
        "png-48-bit": png_of(DEEP),
        "png-64-bit": png_of(np.dstack([DEEP, np.full_like(DEEP[..., 0], 30_000)])),
        "png-turned-behind-its-pixels": plain[:-12] + orientation_chunk + plain[-12:],
        "png-black-on-clear": encode(words((0, 0, 0, 0), (0, 0, 0, 255)), "PNG"),
        "png-white-on-clear": encode(words((255, 255, 255, 0), (255, 255, 255, 255)), "PNG"),
        "png-grey-alpha": encode(words((0, 0, 0, 0), (90, 90, 90, 255)).convert("LA"), "PNG"),
        "png-other-profile": encode(colour, "PNG", icc_profile=swapped_profile()),
        "png-srgb-profile": encode(colour, "PNG", icc_profile=SRGB),
        "png-damaged-profile": encode(colour, "PNG", icc_profile=b"no profile"),
        "jpeg-other-profile": encode(colour, "JPEG", icc_profile=swapped_profile()),
        "jpeg-profile-of-cmyk-on-rgb": encode(colour.convert("CMYK"), "JPEG", icc_profile=SRGB),
        "webp-alpha": encode(words((0, 0, 0, 0), (200, 0, 0, 255)), "WEBP", lossless=True),
        "gif-transparent": encode(colour.quantize(16), "GIF", transparency=0),
        "tiff-lab": encode(lab, "TIFF"),
        "tiff-48-bit": tiff_of(DEEP, photometric="rgb"),
        "tiff-48-bit-planes": tiff_of(np.moveaxis(DEEP, -1, 0), photometric="rgb", planarconfig="separate"),
        "tiff-48-bit-deflate": tiff_of(DEEP, photometric="rgb", compression="zlib", predictor=True),
        "tiff-8-in-16": encode(Image.fromarray((ROWS // 9 % 2 * 200).astype(np.uint16)), "TIFF"),
        "tiff-16-bit-big-endian": tiff_of(grey16, byteorder=">"),
        "tiff-float-unit": encode(Image.fromarray((COLUMNS / 240).astype(np.float32)), "TIFF"),
        "tiff-int32": encode(Image.fromarray((COLUMNS.astype(np.int32) - 50) * 40_000), "TIFF"),
        **{f"jpeg-turned-{n}": turned(n, "JPEG") for n in range(2, 9)},
        **{f"tiff-turned-{n}": turned(n, "TIFF") for n in (3, 6)},
        "webp-turned": turned(8, "WEBP"),
    }


KINDS = kinds()


def as_file(data: bytes, folder: Path) -> Path:
    kind = sniff.image_format(data)
    assert kind is not None
    path = folder / f"picture.{kind}"
    path.write_bytes(data)
    return path


def hashed(data: bytes, _: Path) -> object:
    return measure(data, ImageLimits(min_side=1)).pixel_hash, measure(data, ImageLimits(min_side=1)).phash


def embedded(data: bytes, _: Path) -> object:
    with Image.open(io.BytesIO(data)) as image:
        return preprocess.standard(96)(image).tobytes()


def stretched(data: bytes, _: Path) -> object:
    with Image.open(io.BytesIO(data)) as image:
        return preprocess.biomedica(96)(image).tobytes()


def described(data: bytes, _: Path) -> object:
    with Image.open(io.BytesIO(data)) as image:
        return texture_vector(image).tobytes()


def compared(data: bytes, folder: Path) -> object:
    drawn = likeness.portrait(as_file(data, folder))
    return (
        looks.looked_at(data).tobytes(),
        looks.grey_file(as_file(data, folder)).tobytes(),
        drawn.grey.tobytes(),
        drawn.colour.tobytes(),
        drawn.shape,
    )


def on_a_sheet(data: bytes, folder: Path) -> object:
    return pages.thumbnail(str(as_file(data, folder)), 60).tobytes()


def on_the_labelling_page(data: bytes, folder: Path) -> object:
    pictures.thumbnail.cache_clear()
    return pictures.thumbnail(as_file(data, folder))


def searched_for_panels(data: bytes, folder: Path) -> object:
    return panels.look(as_file(data, folder), None)


def evaluated(data: bytes, _: Path) -> object:
    return encoder.decode(data).tobytes()


def trained_on(data: bytes, _: Path) -> object:
    """What open_clip_train's loader makes of a sample: the first of its members, ``convert("RGB")`` of Pillow."""
    extension = {"jpeg": "jpg", "tiff": "tif"}.get(str(sniff.image_format(data)), str(sniff.image_format(data)))
    sample = streams.as_others_see_it({"__key__": "k", extension: data, "txt": b"words"})
    member = next(name for name in streams.IMAGES if name in sample)
    return Image.open(io.BytesIO(sample[member])).convert("RGB").tobytes()


def exported(data: bytes, _: Path) -> object:
    return compat_export._as_jpeg(data)


STAGES: tuple[Callable[[bytes, Path], object], ...] = (
    hashed,
    embedded,
    stretched,
    described,
    compared,
    on_a_sheet,
    on_the_labelling_page,
    searched_for_panels,
    evaluated,
    trained_on,
    exported,
)


@pytest.mark.parametrize("kind", KINDS)
def test_every_stage_sees_the_canonical_picture(kind, tmp_path):
    """A file and the plain PNG of its canonical picture are one to each of them."""
    data = KINDS[kind]
    plain = encode(canonical.open_canonical(data), "PNG")
    other = tmp_path / "plain"
    other.mkdir()
    for stage in STAGES:
        assert stage(data, tmp_path) == stage(plain, other), stage.__name__
        likeness.portrait.cache_clear()


def seen(kind: str) -> NDArray[np.int16]:
    return np.asarray(canonical.open_canonical(KINDS[kind]), np.int16)


def test_black_words_on_nothing_are_black_on_white_and_white_ones_white_on_black():
    assert (seen("png-black-on-clear") == np.asarray(words((255,) * 4, (0, 0, 0, 255)).convert("RGB"))).all()
    assert (seen("png-white-on-clear") == np.asarray(words((0, 0, 0, 255), (255,) * 4).convert("RGB"))).all()


def test_a_picture_that_is_clear_throughout_or_white_is_white():
    for colour in ((0, 0, 0, 0), (255, 255, 255, 255), (255, 255, 255, 0)):
        found = canonical.canonical(Image.new("RGBA", (9, 9), colour))
        assert found.getextrema() == ((255, 255),) * 3


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("png-8-in-16", COLUMNS * 2 % 256),
        ("tiff-8-in-16", ROWS // 9 % 2 * 200),
        ("png-12-in-16", np.rint(COLUMNS * 34 % 4096 / 4095 * 255)),
        ("tiff-16-bit-big-endian", np.rint((COLUMNS * 546 % 65536) / 257)),
        ("tiff-float-unit", np.rint(np.float32(COLUMNS / 240).astype(float) * 255)),
        ("tiff-int32", np.rint(COLUMNS / 119 * 255)),
    ],
)
def test_deep_greys_are_scaled_by_the_stated_rule(kind, expected):
    assert (seen(kind) == expected[..., None]).all()


@pytest.mark.parametrize("kind", ["png-48-bit", "tiff-48-bit", "tiff-48-bit-planes", "tiff-48-bit-deflate"])
def test_deep_colours_keep_all_their_bits(kind):
    assert (seen(kind) == np.rint(DEEP / 257)).all()


def test_eight_bits_in_sixteen_are_not_black_and_scans_differ():
    scans = [COLUMNS * 2 % 256, ROWS // 9 % 2 * 200, (COLUMNS // 10 + ROWS // 10) % 2 * 250]
    files = [encode(Image.fromarray(values.astype(np.uint16)), "PNG") for values in scans]
    assert len({measure(data, ImageLimits()).pixel_hash for data in files}) == 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_its_orientation_says(orientation):
    """The inverse of what a camera held that way does, by Pillow's own transposition."""
    from PIL import ImageOps

    data = turned(orientation, "PNG")
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert canonical.open_canonical(data).tobytes() == expected.tobytes()


def test_a_profile_moves_colours_and_srgb_or_a_damaged_one_does_not():
    found = seen("png-other-profile")
    assert (seen("png-srgb-profile") == COLOURS).all() and (seen("png-damaged-profile") == COLOURS).all()
    red = np.array([[[255, 0, 0]]], np.uint8)
    moved = canonical.open_canonical(encode(Image.fromarray(red), "PNG", icc_profile=swapped_profile()))
    r, g, b = np.asarray(moved)[0, 0]
    assert g > 250 and r < 60 and b < 60
    assert np.abs(found - COLOURS).max() > 100


def test_lab_comes_back_as_the_colours_it_was_made_from():
    assert np.abs(seen("tiff-lab") - COLOURS).mean() < 3


def test_cmyk_without_a_profile_is_as_simple_viewers_show_it():
    inks = np.asarray(Image.fromarray(COLOURS).convert("CMYK"), float)
    expected = (255 - inks[..., :3]) * (255 - inks[..., 3:]) / 255
    found = np.asarray(canonical.canonical(Image.fromarray(COLOURS).convert("CMYK")), float)
    assert np.abs(found - expected).max() <= 1


def test_of_an_animation_the_first_frame_is_seen():
    first = Image.open(io.BytesIO(KINDS["gif-animated"])).convert("RGB")
    assert canonical.open_canonical(KINDS["gif-animated"]).tobytes() == first.tobytes()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "I", "F"])
def test_every_mode_becomes_rgb(mode):
    source = Image.fromarray(COLOURS)
    image = source.convert("RGBA").convert("LA").convert(mode) if mode in {"LA", "PA"} else source.convert(mode)
    out = canonical.canonical(image)
    assert (out.mode, out.size) == ("RGB", (120, 90))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 255]], np.uint8), [0, 255]),
        (np.array([[False, True]]), [0, 255]),
        (np.array([[0, 1023]], np.uint16), [0, 255]),
        (np.array([[0.0, 0.5]]), [0, 128]),
        (np.array([[-4.0, 4.0]]), [0, 255]),
        (np.array([[-3, 3]], np.int16), [0, 255]),
        (np.array([[np.nan, 1.0]]), [0, 255]),
        (np.array([[[7], [9]]], np.uint8), [7, 9]),
    ],
)
def test_numbers_become_a_picture(values, expected):
    assert np.asarray(canonical.from_array(values))[0, :, 0].tolist() == expected


@pytest.mark.parametrize("values", [np.zeros((2, 2, 2)), np.zeros(3), np.zeros((0, 3)), np.zeros((2, 2), complex)])
def test_what_is_no_picture_is_named(values):
    with pytest.raises(ValueError, match="no picture"):
        canonical.from_array(values)


def test_a_photograph_may_be_decoded_small_and_stays_large_enough():
    data = encode(Image.fromarray(COLOURS).resize((1600, 1200)), "JPEG", quality=95)
    small = canonical.open_canonical(data, at_least=150)
    assert min(small.size) >= 150 and max(small.size) < 800
    assert math.isclose(small.width / small.height, 4 / 3, rel_tol=0.01)


def test_plain_files_are_passed_on_as_they_are_and_others_are_named():
    for kind, extension, encoded in (
        ("jpeg", "jpg", None),
        ("png-grey", "png", None),
        ("png-srgb-profile", "png", None),
        ("jpeg-turned-6", "jpg", "jpg"),
        ("gif", "gif", "gif"),
        ("tiff", "tif", "tif"),
    ):
        found = streams.as_others_see_it({"__key__": "k", extension: KINDS[kind], "txt": b"t"})
        assert found.get("__encoded__") == encoded, kind
        assert (found.get(extension) == KINDS[kind]) == (encoded is None)


def test_a_broken_image_stays_in_its_sample():
    sample = {"__key__": "k", "gif": KINDS["gif"][:40], "txt": b"t"}
    assert streams.as_others_see_it(sample) == sample


def test_the_frame_of_the_hash_is_the_picture():
    for data in KINDS.values():
        picture = canonical.open_canonical(data)
        with Image.open(io.BytesIO(data)) as image:
            frame = pixels.decode(data, image)
        assert (frame.width, frame.height) == picture.size
        assert frame.packed.tobytes() == picture.tobytes()
