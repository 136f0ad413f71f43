"""The one picture that every stage sees: any image that is read, as 8-bit sRGB, upright, on paper.

Belongs here: how pixels of any mode become those of the canonical picture. Hashing, embedding, near-duplicates, contact
sheets, labelling pages, evaluation, training and export all call this, so that what is learned is what was looked at.
Which decoder produced the pixels is ``pixels``; sizes that are refused are ``limits``. The rules:

* **Frame**: the first frame or page; ``n_frames`` of the images table says how many there are.
* **Upright**: an EXIF orientation (of TIFF: its own tag) is applied; width and height are those of the upright picture.
* **Colour**: through an embedded ICC profile to sRGB, as a viewer does: CMYK, Lab, grey and RGB alike. A profile that
  moves no colour by more than ``SAME`` levels counts as sRGB, one that is damaged as absent. Without a profile CMYK is
  ``(255 - c)(255 - k) / 255``, Lab that of ICC (D50). Grey and bilevel: the value in all
  channels. Palette: its colours.
* **Transparency**: over white, the paper, ``round((c * a + 255 * (255 - a)) / 255)``. Where that leaves nothing to see
  (every pixel within ``BLANK`` levels of white) and black does not, over black: white words on nothing.
* **16 bits a channel**, grey or colour: the bits in use are those of the highest value, 8 at least;
  ``round(255 v / (2**bits - 1))``. Data of 8 bits in a file of 16 stay as they are, 12 bits of a camera fill the scale.
* **32-bit integers**: as 16 bits where the values fit, else minimum..maximum onto 0..255. **Floats**: 0..1 onto 0..255
  where the values lie within, else minimum..maximum. What is not finite is black; a flat picture outside 0..1 too.
"""

from __future__ import annotations

import functools
import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms

from biomedica_assets.lib.images.complete import png_chunks
from biomedica_assets.lib.images.sniff import READABLE

VERSION = "1"
"""Raise it whenever the pixels of any picture change: stages that look at pictures carry it in their own version."""
SAME, BLANK = 3, 8
FORMATS = tuple(READABLE.values())
"""Plugins of Pillow that are ever tried."""
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TIFF_BITS = 258
# Chunks of a PNG that can state an orientation.
_PNG_TEXTS, _PNG_EXIF_TEXTS = {b"tEXt", b"zTXt", b"iTXt"}, (b"XML:com.adobe.xmp", b"Raw profile type ")
_create: Any = vars(ImageCms)["createProfile"]  # its types are unknown
_GRID = 9  # colours a channel on which a profile is held against sRGB


def open_canonical(source: Path | str | bytes, at_least: int | None = None) -> Image.Image:
    """The canonical picture of a file.

    Args:
        source: the file or its bytes.
        at_least: pixels that no side may fall below where a JPEG is decoded at a smaller scale (libjpeg's scaled
            inverse transform, 4 to 10 times faster on large photographs); None decodes it whole.

    Returns:
        Mode RGB, upright.

    Raises:
        OSError, ValueError, SyntaxError, Image.DecompressionBombError: as Pillow does for what is missing, no picture
            of ``FORMATS``, cut short, or has too many pixels.
    """
    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS) as image:
        if at_least is not None:
            image.draft(None, (at_least, at_least))
        return canonical(image)


def canonical(image: Image.Image, turn: int | None = None) -> Image.Image:
    """An opened image as the canonical picture; it is loaded if it is not yet.

    Args:
        image: as Pillow opened it. Of 16 bits a channel in colour Pillow loads the high bytes alone: such a file is
            read again, so it must not be loaded yet.
        turn: EXIF orientation, 1 to 8, where the caller knows it; by default that of the image.

    Returns:
        Mode RGB, upright; ``image`` itself where it is that already.

    Raises:
        OSError, ValueError, SyntaxError: what Pillow raises of data that is cut or corrupt.
    """
    if is_deep_colour(image) and (deep := _deep_colour(image)) is not None:
        return deep
    image.load()  # of TIFF Pillow applies the orientation here, and forgets it
    # Read before the colours change: a converted copy need not carry the tags.
    known = (orientation(image) if turn is None else turn) or 1
    flat = _coloured(image)
    return flat.transpose(TURNS[known]) if known in TURNS else flat


def orientation(image: Image.Image) -> int | None:
    """EXIF orientation 1..8; None if absent or no such value."""
    # Not the method of PNG, which decodes the pixels to see the chunks behind them: ``turned_behind_pixels``.
    value = Image.Image.getexif(image).get(ExifTags.Base.Orientation)
    return value if isinstance(value, int) and 1 <= value <= 8 else None


def is_plain(image: Image.Image) -> bool:
    """Whether any decoder that turns an opened image to RGB sees the canonical picture; decodes nothing."""
    if image.format == "PNG" and turned_behind_pixels(_bytes_of(image) or b""):
        return False
    return (
        image.format in {"JPEG", "MPO", "PNG", "WEBP"}
        and image.mode in {"RGB", "L"}
        and not image.has_transparency_data
        and not is_deep_colour(image)
        and (orientation(image) or 1) == 1
        and _to_srgb(image.info.get("icc_profile"), image.mode) is None
    )


def turned_behind_pixels(data: bytes) -> bool:
    """Whether a PNG states an orientation behind its pixels, where Pillow sees it only once it has decoded them."""
    behind = False
    for name, start, length in png_chunks(data):
        text = name in _PNG_TEXTS and data[start : start + min(length, 32)].startswith(_PNG_EXIF_TEXTS)
        if behind and (text or name == b"eXIf"):
            return True
        behind |= name == b"IDAT"
    return False


def is_deep_colour(image: Image.Image) -> bool:
    """Whether an opened image holds 16 bits a channel in colour, of which Pillow would load the high bytes alone."""
    if image.mode not in {"RGB", "RGBA"}:
        return False
    if image.format == "TIFF":
        bits = getattr(image, "tag_v2", {}).get(_TIFF_BITS) or ()
        return len(bits) >= 3 and set(bits) == {16}
    return image.format == "PNG" and any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))


def from_array(values: NDArray[Any]) -> Image.Image:
    """Numbers as an RGB picture by the rules for deep pictures.

    Args:
        values: rows x columns, or rows x columns x 1, 3 or 4; bool, integers or floats. A fourth channel is alpha.

    Raises:
        ValueError: another shape or kind of numbers, or no pixel.
    """
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if values.size == 0 or values.ndim not in {2, 3} or (values.ndim == 3 and values.shape[2] not in {3, 4}):
        shape = " x ".join(map(str, values.shape))
        raise ValueError(f"an array of {shape} is no picture; rows x columns, or those x 1, 3 or 4 channels are")
    if values.dtype == np.bool_:
        values = values.astype(np.uint8) * np.uint8(255)
    if values.dtype.kind not in "uif":
        raise ValueError(f"numbers of type {values.dtype} are no picture")
    small = np.ascontiguousarray(values if values.dtype == np.uint8 else _to_bytes(values))
    picture = Image.fromarray(small)
    return _on_paper(picture) if picture.mode == "RGBA" else picture.convert("RGB")


def _coloured(image: Image.Image) -> Image.Image:
    """A loaded image as 8-bit sRGB on paper, not turned."""
    mode = image.mode
    if mode == "F" or mode.startswith("I"):
        return Image.fromarray(_to_bytes(np.asarray(image))).convert("RGB")
    profile = image.info.get("icc_profile")
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        bare = image.getchannel("L") if mode == "LA" else layered.convert("RGB")
        move = _to_srgb(profile, bare.mode)
        if move is not None:
            colours = _applied(bare, move)
            colours.putalpha(layered.getchannel("A"))
            layered = colours
        return _on_paper(layered)
    if mode == "LAB":
        return _applied(image, _to_srgb(profile, "LAB") or _lab_to_srgb())
    if mode not in {"RGB", "L", "CMYK"}:
        image = image.convert("L" if mode == "1" else "RGB")
    move = _to_srgb(profile, image.mode)
    if move is not None:
        return _applied(image, move)
    return image if image.mode == "RGB" else image.convert("RGB")


def _on_paper(layered: Image.Image) -> Image.Image:
    """Mode RGBA over white, or over black where white hides all there is."""
    page = _over(layered, (255, 255, 255))
    if min(low for low, _ in _extremes(page)) < 255 - BLANK:
        return page
    night = _over(layered, (0, 0, 0))
    # All white is white on either; a picture that is clear throughout has nothing to show on either.
    contrast = max(high for _, high in _extremes(night)) - min(low for low, _ in _extremes(night))
    return night if contrast > BLANK else page


def _over(layered: Image.Image, ground: tuple[int, int, int]) -> Image.Image:
    page = Image.new("RGB", layered.size, ground)
    page.paste(layered, mask=layered.getchannel("A"))
    return page


def _extremes(picture: Image.Image) -> list[tuple[int, int]]:
    found: Any = picture.getextrema()
    return list(found)


def _to_bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Deep numbers onto 0..255 (see the head of this module); 0 where they are not finite."""
    if values.dtype.kind == "f":
        wide = values.astype(np.float64)
        finite = np.isfinite(wide)
        if not finite.any():
            return np.zeros(wide.shape, np.uint8)
        low, high = float(wide[finite].min()), float(wide[finite].max())
        if low >= 0.0 and high <= 1.0:
            return np.rint(np.where(finite, wide, 0.0) * 255.0).astype(np.uint8)
        return _stretched(np.where(finite, wide, low), low, high)
    low, high = int(values.min()), int(values.max())
    if low >= 0 and high.bit_length() <= 16:
        bits = max(8, high.bit_length())
        if bits == 8:
            return values.astype(np.uint8)
        # A table: one look-up a pixel, whatever the depth.
        steps = np.arange(1 << bits, dtype=np.float64) * (255.0 / ((1 << bits) - 1))
        return np.rint(steps).astype(np.uint8)[values]
    return _stretched(values.astype(np.float64), low, high)


def _stretched(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.uint8]:
    if high <= low:
        return np.zeros(values.shape, np.uint8)
    return np.rint((values - low) / (high - low) * 255.0).astype(np.uint8)


def _to_srgb(profile: object, mode: str) -> ImageCms.ImageCmsTransform | None:
    """What takes pixels of a mode to sRGB by their profile; None if there is nothing to do."""
    if not isinstance(profile, bytes) or not profile or mode not in {"RGB", "L", "CMYK", "LAB"}:
        return None
    # Remembered by content: a corpus holds the same dozen profiles over and over.
    return _transform(hashlib.sha256(profile).digest(), _Bytes(profile), mode)


class _Bytes:
    """A profile that is equal to every other: the digest beside it is what tells two apart."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Bytes)

    def __hash__(self) -> int:
        return 0


@functools.lru_cache(256)
def _transform(_digest: bytes, profile: _Bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    try:
        found = ImageCms.ImageCmsProfile(io.BytesIO(profile.data))
        move = ImageCms.buildTransform(found, _srgb(), mode, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC)
        if mode in {"CMYK", "LAB"}:
            return move
        before = _samples(mode)
        after = np.asarray(_applied(before, move), np.int16)
    except (ImageCms.PyCMSError, OSError, ValueError):  # damaged, or of another colour space than the pixels
        return None
    same = np.abs(after - np.asarray(before.convert("RGB"), np.int16)).max() <= SAME
    return None if same else move


def _samples(mode: str) -> Image.Image:
    """A picture of colours that lie evenly in a mode."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None, :])
    steps = np.linspace(0, 255, _GRID).round().astype(np.uint8)
    return Image.fromarray(np.stack(np.meshgrid(steps, steps, steps), -1).reshape(_GRID, -1, 3))


@functools.cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(_create("sRGB"))


@functools.cache
def _lab_to_srgb() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(ImageCms.ImageCmsProfile(_create("LAB")), _srgb(), "LAB", "RGB")


def _applied(image: Image.Image, move: ImageCms.ImageCmsTransform) -> Image.Image:
    return move.apply(image)


def _deep_colour(image: Image.Image) -> Image.Image | None:
    """The canonical picture of 16 bits a channel in colour; None where the layout is one that only Pillow reads."""
    data = _bytes_of(image)
    if data is None:
        return None
    values = _deep_png(data, image) if image.format == "PNG" else _deep_tiff(data)
    if values is None:
        return None
    known = orientation(image) or 1
    colours = from_array(values[..., :3])
    if values.shape[2] == 4:
        layered = colours.convert("RGBA")
        alpha = np.rint(values[..., 3] * np.float32(255 / 65535)).astype(np.uint8)
        layered.putalpha(Image.fromarray(alpha))
        colours = _on_paper(layered)
    profile = _to_srgb(image.info.get("icc_profile"), "RGB")
    if profile is not None:
        colours = _applied(colours, profile)
    return colours.transpose(TURNS[known]) if known in TURNS else colours


def _bytes_of(image: Image.Image) -> bytes | None:
    """The whole file of an opened image; None once it is loaded and its file let go."""
    file: Any = getattr(image, "fp", None)
    if file is None or file.closed:
        return None
    place = file.tell()  # the plugin goes on from here
    file.seek(0)
    data: bytes = file.read()
    file.seek(place)
    return data


def _deep_png(data: bytes, image: Image.Image) -> NDArray[np.uint16]:
    import kornia_rs

    decode: Any = kornia_rs.io.decode_image_png_u16
    try:
        return decode(data, (image.height, image.width), "rgba" if image.mode == "RGBA" else "rgb")
    except Exception as error:
        raise ValueError(f"PNG of 16 bits a channel cannot be decoded: {error}") from error


def _deep_tiff(data: bytes) -> NDArray[np.uint16] | None:
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page: Any = file.pages[0]
            values = page.asarray()
            planar = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE
    except Exception:  # noqa: BLE001 - a compression it does not know, or damage, of which Pillow is to tell
        return None
    if planar and values.ndim == 3:
        values = np.moveaxis(values, 0, -1)
    deep = values.ndim == 3 and values.shape[2] in {3, 4} and values.dtype.itemsize == 2 and values.dtype.kind == "u"
    return values.astype(np.uint16) if deep else None
