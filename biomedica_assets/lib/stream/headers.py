"""Headers of tar members (POSIX ustar), as far as a stream makes or changes them."""

from __future__ import annotations

_SIZE, _CHECKSUM = slice(124, 136), slice(148, 156)


def header(name: str, size: int) -> bytes:
    """A header for a regular file that belongs to nobody and has no date."""
    blank = bytearray(512)
    blank[: len(name)] = name.encode()
    blank[100:108] = b"0000644\0"
    blank[108:116] = blank[116:124] = b"0000000\0"
    blank[136:148] = b"00000000000\0"
    blank[156:157] = b"0"
    blank[257:265] = b"ustar\x0000"
    return resized(blank, size)


def resized(old: bytes | bytearray, size: int) -> bytes:
    """The header with another size of data, and the checksum that belongs to it."""
    new = bytearray(old)
    new[_SIZE] = b"%011o\0" % size
    new[_CHECKSUM] = b" " * 8
    new[_CHECKSUM] = b"%06o\0 " % sum(new)
    return bytes(new)


def member_name(header: bytes) -> str:
    """Name of the member, prefix included.

    Raises:
        ValueError: it is not UTF-8.
    """
    name, prefix = (header[part].split(b"\0")[0].decode() for part in (slice(0, 100), slice(345, 500)))
    return f"{prefix}/{name}" if prefix else name


def member_size(header: bytes) -> int:
    """Bytes of the member's data.

    Raises:
        ValueError: the field is not an octal number.
    """
    return int(header[_SIZE].rstrip(b"\0 ") or b"0", 8)
