"""Source bytes -> measurements of an image, or the reason why they are none. Nothing is written.

Every file is decoded in full: of 30 truncated files Pillow's ``verify()`` finds none, decoding finds all. Width, height
and hashes are those of the canonical picture, upright; mode and EXIF orientation are reported as the file states them.
Of animations and multi-page files the first frame is decoded and the others are counted.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import zlib
from pathlib import Path

from PIL import Image

from biomedica_assets.lib.errors import BiomedicaError, RejectReason
from biomedica_assets.lib.images import canonical, complete, phash, pixels, sniff
from biomedica_assets.lib.images.limits import ImageLimits

_CUT = re.compile(r"truncat|premature end|unexpected end|end of file|not enough data|short read", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True)
class Measurement:
    """What one image file is: the measured columns of the ``images`` table, see there for the meaning of each."""

    format: str
    width: int
    height: int
    mode: str
    n_frames: int
    orientation: int | None
    bytes: int
    md5: str
    sha256: str
    crc32: int
    pixel_hash: str
    phash: int


class ImageRefused(BiomedicaError):
    """The bytes are no image that can be used."""

    def __init__(self, reason: RejectReason, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message

    def __reduce__(self) -> tuple[type[ImageRefused], tuple[RejectReason, str]]:
        """Pickle by both arguments: results cross process borders."""
        return type(self), (self.reason, self.message)


def measure(data: bytes, limits: ImageLimits) -> Measurement:
    """Decode, measure and hash one image.

    Raises:
        ImageRefused: with the reason for the reject: not an image, unsupported, too large, too small, truncated,
            undecodable.
    """
    kind = _admit(data, limits)
    try:
        image = pixels.open_image(data, sniff.READABLE[kind])
    except Image.DecompressionBombError as error:
        raise ImageRefused(RejectReason.IMAGE_TOO_LARGE, str(error)) from error
    except Exception as error:  # plugins raise whatever their parsing meets: struct.error, KeyError, ...
        raise _undecodable(kind, error) from error
    _check_size(image, limits)
    mode = image.mode
    try:
        # Pillow forgets that of a TIFF once it has loaded it, and knows that of a PNG only then.
        stated = canonical.orientation(image) if kind == "tiff" else None
        frame = pixels.decode(data, image)
        orientation = stated or canonical.orientation(image)
        n_frames = int(getattr(image, "n_frames", 1))
    except Exception as error:  # as above
        raise _undecodable(kind, error) from error
    return Measurement(
        format=kind,
        width=frame.width,
        height=frame.height,
        mode=mode,
        n_frames=n_frames,
        orientation=orientation,
        bytes=len(data),
        md5=hashlib.md5(data, usedforsecurity=False).hexdigest(),
        sha256=hashlib.sha256(data).hexdigest(),
        crc32=zlib.crc32(data),
        pixel_hash=pixels.pixel_hash(frame),
        phash=phash.perceptual_hash(frame),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """Files for one worker, with the limits they must keep."""

    paths: tuple[Path, ...]
    limits: ImageLimits


def measure_batch(batch: Batch) -> list[Measurement | ImageRefused]:
    """Read and measure the files of a batch, in order; module-level and picklable for any ``Engine``.

    Raises:
        OSError: a file cannot be read (it was there when the batch was made).
    """
    results: list[Measurement | ImageRefused] = []
    for path in batch.paths:
        try:
            if (size := path.stat().st_size) > batch.limits.max_bytes:
                limit = f"{size:,} bytes, at most {batch.limits.max_bytes:,} are read"
                raise ImageRefused(RejectReason.IMAGE_TOO_LARGE, limit)
            results.append(measure(path.read_bytes(), batch.limits))
        except ImageRefused as refused:
            results.append(refused)
    return results


def _admit(data: bytes, limits: ImageLimits) -> str:
    """Format of bytes that may be an image that is read."""
    if not data:
        raise ImageRefused(RejectReason.IMAGE_TRUNCATED, "the file is empty")
    if len(data) > limits.max_bytes:
        raise ImageRefused(
            RejectReason.IMAGE_TOO_LARGE, f"{len(data):,} bytes, at most {limits.max_bytes:,} are decoded"
        )
    if kind := sniff.image_format(data):
        if complete.is_cut(kind, data):
            raise ImageRefused(RejectReason.IMAGE_TRUNCATED, f"{kind} cut short: {len(data):,} bytes are not all of it")
        if sniff.archive_at_the_end(data):
            raise ImageRefused(RejectReason.MEDIA_NOT_AN_IMAGE, f"a {kind} with a ZIP archive appended to it")
        return kind
    readable = ", ".join(sniff.READABLE)
    if other := sniff.other_image(data):
        raise ImageRefused(RejectReason.IMAGE_FORMAT_UNSUPPORTED, f"{other}; read are {readable}")
    raise ImageRefused(RejectReason.MEDIA_NOT_AN_IMAGE, f"{sniff.not_an_image(data)}, expected {readable}")


def _check_size(image: Image.Image, limits: ImageLimits) -> None:
    width, height = image.size
    if width * height > limits.max_pixels:
        raise ImageRefused(
            RejectReason.IMAGE_TOO_LARGE,
            f"{width:,} x {height:,} pixels, at most {limits.max_pixels:,} are decoded (max_pixels)",
        )
    if min(width, height) < limits.min_side:
        raise ImageRefused(
            RejectReason.IMAGE_TOO_SMALL, f"{width} x {height} pixels, each side needs {limits.min_side} (min_side)"
        )


def _undecodable(kind: str, error: Exception) -> ImageRefused:
    """The reject for what a decoder raised: cut short if it says so, damaged otherwise."""
    text = str(error) or type(error).__name__
    if isinstance(error, EOFError) or _CUT.search(text):
        return ImageRefused(RejectReason.IMAGE_TRUNCATED, f"{kind} cut short: {text}")
    if isinstance(error, Image.UnidentifiedImageError):
        text = "its header is damaged or cut short"
    return ImageRefused(RejectReason.IMAGE_UNDECODABLE, f"{kind} cannot be decoded: {text}")
