"""Whether a file ends before its own structure says it does, read from the container alone, without decoding.

Decoders miss some cuts: an animated GIF or a multi-page TIFF cut after its first frame decodes without complaint, a
WebP cut anywhere fails with a message that could mean anything. JPEG needs no such check (strict decoding finds every
cut, see ``pixels``), nor does BMP (its rows are counted).

Rules: PNG specification 5.3 (chunks up to IEND), GIF89a appendix A (blocks up to the trailer), WebP container (RIFF
size), TIFF 6.0 section 2 and BigTIFF (directories, strips and tiles).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping


def is_cut(kind: str, data: bytes) -> bool:
    """True if ``data`` of format ``kind`` (see ``sniff``) ends too early; False if it does not or cannot be told."""
    check = _CHECKS.get(kind)
    if check is None:
        return False
    try:
        return check(data)
    except (IndexError, struct.error):  # a field of the structure itself lies beyond the end
        return True


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, start of the body and length of each chunk of a PNG, up to and with IEND.

    Raises:
        struct.error: the data ends before IEND does.
    """
    position = 8
    while True:
        length, name = struct.unpack_from(">I4s", data, position)
        position += 12 + length
        if position > len(data):
            raise struct.error(f"{name!r} ends at {position:,}, the data at {len(data):,}")
        yield name, position - length - 4, length
        if name == b"IEND":
            return


def _png_is_cut(data: bytes) -> bool:
    for _ in png_chunks(data):
        pass
    return False


def _gif_is_cut(data: bytes) -> bool:
    position = 13 + _color_table(data[10])
    while True:
        block = data[position]
        if block == 0x3B:  # trailer
            return False
        if block == 0x21:  # extension: label, sub-blocks
            position = _past_sub_blocks(data, position + 2)
        elif block == 0x2C:  # image: descriptor, colour table, code size, sub-blocks
            position = _past_sub_blocks(data, position + 10 + _color_table(data[position + 9]) + 1)
        else:  # no GIF block: damaged rather than cut, the decoder decides
            return False


def _color_table(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _past_sub_blocks(data: bytes, position: int) -> int:
    while size := data[position]:
        position += size + 1
    return position + 1


def _webp_is_cut(data: bytes) -> bool:
    return 8 + struct.unpack_from("<I", data, 4)[0] > len(data)


_STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES = 273, 279, 324, 325
# Field types that hold offsets and sizes: SHORT, LONG, IFD, LONG8, IFD8.
_UNSIGNED = {3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}


def _tiff_is_cut(data: bytes) -> bool:
    order = "<" if data.startswith(b"II") else ">"
    big = struct.unpack_from(f"{order}H", data, 2)[0] == 43
    count_format, entry_format, next_format = ("Q", "HHQ", "Q") if big else ("H", "HHI", "I")
    value_size = 8 if big else 4
    entry_size = struct.calcsize(order + entry_format) + value_size
    position = struct.unpack_from(order + next_format, data, 8 if big else 4)[0]
    seen: set[int] = set()
    while position and position not in seen:
        seen.add(position)
        n_entries = struct.unpack_from(order + count_format, data, position)[0]
        first = position + struct.calcsize(order + count_format)
        fields: dict[int, tuple[int, ...]] = {}
        for start in range(first, first + n_entries * entry_size, entry_size):
            tag, kind, count = struct.unpack_from(order + entry_format, data, start)
            if tag in {_STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES} and kind in _UNSIGNED:
                values = f"{order}{count}{_UNSIGNED[kind]}"
                at = start + entry_size - value_size
                if struct.calcsize(values) > value_size:
                    at = struct.unpack_from(order + next_format, data, at)[0]
                fields[tag] = struct.unpack_from(values, data, at)
        for offsets, sizes in ((_STRIPS, _STRIP_BYTES), (_TILES, _TILE_BYTES)):
            if any(o + n > len(data) for o, n in zip(fields.get(offsets, ()), fields.get(sizes, ()), strict=False)):
                return True
        position = struct.unpack_from(order + next_format, data, first + n_entries * entry_size)[0]
    return False


_CHECKS: Mapping[str, Callable[[bytes], bool]] = {
    "png": _png_is_cut,
    "gif": _gif_is_cut,
    "webp": _webp_is_cut,
    "tiff": _tiff_is_cut,
}
