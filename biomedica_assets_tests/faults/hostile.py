"""A mirror in which everything is an attack: on the parser, the decoder, the file system and the memory.

Belongs here: the files. One honest article (``HONEST``) lies among them and has to come through.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from biomedica_assets_tests.support.mirrors import MirrorBuilder

HONEST = "PMC7340001.1"
XLINK = 'xmlns:xlink="http://www.w3.org/1999/xlink"'


def mirror(root: Path) -> dict[str, str]:
    """Write it; returns article -> the reason for which it, or its image, has to be left out."""
    builder = MirrorBuilder(root)
    expected: dict[str, str] = {}
    builder.article(HONEST, media={f"{HONEST}.xml": article("<p>honest</p>", "a.jpg"), "a.jpg": picture()})
    pmcid = 7_340_001
    for reason, xml in _documents().items():
        pmcid += 1
        name = f"PMC{pmcid}.1"
        builder.article(name, media={f"{name}.xml": xml, "a.jpg": picture(pmcid)})
        expected[name] = reason.partition(":")[0]
    for reason, data in _images().items():
        pmcid += 1
        name = f"PMC{pmcid}.1"
        builder.article(name, media={f"{name}.xml": article("<p>x</p>", "a.jpg"), "a.jpg": data})
        expected[name] = reason.partition(":")[0]
    _names(builder, pmcid, expected)
    builder.inventory("2026-11-21T01-00Z")
    return expected


def article(caption: str, href: str, declaration: str = "") -> bytes:
    """One figure with a caption."""
    figure = f'<fig id="f1"><label>Figure 1</label><caption>{caption}</caption><graphic xlink:href="{href}"/></fig>'
    return f'{declaration}<article {XLINK}><front/><body><p>See <xref rid="f1"/>.</p>{figure}</body></article>'.encode()


def picture(seed: int = 0, size: int = 48) -> bytes:
    """A small honest JPEG."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def _documents() -> dict[str, bytes]:
    """``reason:what`` -> XML."""
    lol = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    laughs = f'<?xml version="1.0"?><!DOCTYPE article [<!ENTITY l0 "lol">{lol}]>'
    xxe = '<?xml version="1.0"?><!DOCTYPE article [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    remote = '<?xml version="1.0"?><!DOCTYPE article [<!ENTITY x SYSTEM "http://127.0.0.1:9/x">]>'
    plain = article("<p>x</p>", "a.jpg").decode()
    return {
        "xml_forbidden:XXE": article("<p>&x;</p>", "a.jpg", xxe),
        "xml_forbidden:XXE over the network": article("<p>&x;</p>", "a.jpg", remote),
        "xml_forbidden:billion laughs": article("<p>&l9;</p>", "a.jpg", laughs),
        "xml_too_deep:nesting": article("<bold>" * 100_000 + "x" + "</bold>" * 100_000, "a.jpg"),
        "xml_too_large:100 MB paragraph": article("<p>" + "x" * 100_000_000 + "</p>", "a.jpg"),
        "none:UTF-7": article("<p>+AGE-</p>", "a.jpg", '<?xml version="1.0" encoding="UTF-7"?>'),
        "xml_malformed:NUL": plain.replace("honest", "a\0b").replace("<p>x", "<p>\0x").encode(),
        "none:UTF-16": ('<?xml version="1.0" encoding="UTF-16"?>' + plain).encode("utf-16"),
    }


def _images() -> dict[str, bytes]:
    """``reason:what`` -> bytes called a.jpg."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x.txt", "x" * 1000)
    script = b"<script>alert(1)</script>"
    return {
        "image_too_large:10 000 x 10 000": _png(10_000, 10_000),
        "image_too_large:bomb of 4 gigapixels": _png(65_000, 65_000, rows=200),
        "media_not_an_image:zip called jpg": buffer.getvalue(),
        "media_not_an_image:zip behind a jpg": picture(1) + buffer.getvalue(),
        "media_not_an_image:page called jpg": b"<html>" + script,
        "image_truncated:cut in half": picture(2)[: len(picture(2)) // 2],
        "image_truncated:empty": b"",
        "image_format_unsupported:SVG with a script": b"<svg xmlns='http://www.w3.org/2000/svg'>" + script + b"</svg>",
    }


def _names(builder: MirrorBuilder, pmcid: int, expected: dict[str, str]) -> None:
    """Names that leave the folder, or that file systems and terminals misread."""
    for href in ("../../../../etc/passwd", "/etc/passwd", "a\u202egpj.exe", "x" * 251 + ".jpg", "-rf *.jpg"):
        pmcid += 1
        name = f"PMC{pmcid}.1"
        stored = href if "/" not in href else "b.jpg"
        builder.article(name, media={f"{name}.xml": article("<p>x</p>", href), stored: picture(pmcid)})
        # What a file is, its content says: a JPEG that is called exe, with its letters turned round, is a JPEG.
        expected[name] = "media_missing" if "/" in href else "none"
    pmcid += 1
    name = f"PMC{pmcid}.1"
    url = f"s3://pmc-oa-opendata/{name}/../../../../etc/passwd?md5={'0' * 32}"
    builder.article(name, media={f"{name}.xml": article("<p>x</p>", "passwd")}, media_urls=[url])
    expected[name] = "media_missing"
    pmcid += 1
    name = f"PMC{pmcid}.1"
    builder.article(name, media={f"{name}.xml": article("<p>x</p>", "a.jpg"), "a.jpg": picture(pmcid)})
    (builder.root / name / "a.jpg").unlink()
    (builder.root / name / "a.jpg").symlink_to("/etc/hostname")
    expected[name] = "unsafe_name"


def _png(width: int, height: int, rows: int | None = None) -> bytes:
    """A PNG of one colour, some kilobytes on the disk; with ``rows`` it promises more than it holds."""

    def piece(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    line = b"\0" + bytes(width // 8 + (width % 8 > 0))
    body = zlib.compressobj(9)
    packed = b"".join(body.compress(line) for _ in range(height if rows is None else rows)) + body.flush()
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + piece(b"IHDR", head) + piece(b"IDAT", packed) + piece(b"IEND", b"")
