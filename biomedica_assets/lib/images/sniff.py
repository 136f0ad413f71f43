"""What bytes claim to be, by their first bytes alone: an image we read, an image we do not read, or no image.

The name of a file is no evidence: publishers name error pages, PDFs and archives ``.jpg``.
"""

from __future__ import annotations

import re

# Pillow's plugin for each format that is read. Nothing else is ever tried: a plugin that is not used cannot be
# attacked (EPS, for one, would start Ghostscript).
READABLE = {"jpeg": "JPEG", "png": "PNG", "gif": "GIF", "tiff": "TIFF", "webp": "WEBP", "bmp": "BMP"}

_IMAGES = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),  # BigTIFF
    (b"MM\0+", "tiff"),
)
_BMP_HEADER_SIZES = {size.to_bytes(4, "little") for size in (12, 16, 40, 52, 56, 64, 108, 124)}
_OTHER_IMAGES = (
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"\xd7\xcd\xc6\x9a", "Windows metafile"),
    (b"8BPS", "Photoshop"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
)
_NO_IMAGES = (
    (b"%PDF", "PDF"),
    (b"PK\x03\x04", "ZIP archive (or Office document)"),
    (b"PK\x05\x06", "ZIP archive (or Office document)"),
    (b"\x1f\x8b", "gzip archive"),
    (b"Rar!", "RAR archive"),
    (b"7z\xbc\xaf", "7z archive"),
    (b"\xd0\xcf\x11\xe0", "Office document"),
    (b"RIFF", "video or sound"),
    (b"\x1aE\xdf\xa3", "video"),
    (b"MZ", "Windows program"),
    (b"\x7fELF", "program"),
)
_TAG = re.compile(rb"<\s*([!?a-zA-Z][\w:.-]*)")
# End-of-central-directory record of a ZIP: signature, then 18 bytes of which the last two are the comment's length
# (PKWARE APPNOTE 4.3.16).
_ZIP_END, _ZIP_END_SIZE, _ZIP_COMMENT_MAX = b"PK\x05\x06", 22, 65_535


def image_format(data: bytes) -> str | None:
    """``jpeg``, ``png``, ``gif``, ``tiff``, ``webp`` or ``bmp`` if the first bytes say so, else None."""
    for magic, kind in _IMAGES:
        if data.startswith(magic):
            return kind
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "webp"
    # "BM" alone also begins words; the size of the header that follows takes one of a few values.
    if data.startswith(b"BM") and len(data) > 18 and data[14:18] in _BMP_HEADER_SIZES:
        return "bmp"
    return None


def other_image(data: bytes) -> str | None:
    """Name of an image format that is recognised but not read (vector, JPEG 2000, AVIF, ...), else None."""
    for magic, what in _OTHER_IMAGES:
        if data.startswith(magic):
            return what
    if data[4:8] == b"ftyp" and data[8:12] in {b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1"}:
        return "AVIF or HEIF"
    if data[40:44] == b" EMF":
        return "Windows metafile"
    return "SVG" if _first_element(data) == "svg" else None


def not_an_image(data: bytes) -> str:
    """A few words on what bytes are that are no image: ``PDF``, ``HTML page``, ``ZIP archive``, ..."""
    head = data[:8]
    for magic, what in _NO_IMAGES:
        if head.startswith(magic):
            return what
    if data[4:8] == b"ftyp" or head[4:8] == b"moov":
        return "video"
    element = _first_element(data)
    if element in {"html", "!doctype", "head", "body"}:
        return "HTML page"
    if element:
        return f"XML document <{element}>" if element != "?xml" else "XML document"
    sample = data[:512]
    if sample and not any(byte < 9 or 13 < byte < 32 for byte in sample):
        return "text"
    return f"unknown data that starts with {head.hex(' ')}"


def archive_at_the_end(data: bytes) -> bool:
    """Whether a ZIP archive is appended, so that the bytes are an image for one program and an archive for another.

    True only if an end-of-central-directory record closes exactly at the end of the data and names at least one entry:
    compressed pixels hit that by chance about once in 2**56 files.
    """
    start = data.rfind(_ZIP_END, max(0, len(data) - _ZIP_END_SIZE - _ZIP_COMMENT_MAX))
    if start < 0 or start + _ZIP_END_SIZE > len(data):
        return False
    entries = int.from_bytes(data[start + 10 : start + 12], "little")
    comment = int.from_bytes(data[start + 20 : start + 22], "little")
    return entries > 0 and start + _ZIP_END_SIZE + comment == len(data)


def _first_element(data: bytes) -> str | None:
    """Name of the first element of a text, past XML declaration, comments and DOCTYPE; None for other bytes."""
    text = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text.startswith(b"<"):
        return None
    names = [name.decode("ascii", "replace").lower() for name in _TAG.findall(text)]
    for name in names:
        local = name.rsplit(":", 1)[-1]
        if local == "svg":
            return "svg"
        if not name.startswith(("?", "!")):
            return local
    return names[0] if names else None
