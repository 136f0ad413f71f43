"""Watching the members of a tar go by: every header is checked, and it is known whether a member is incomplete."""

from __future__ import annotations

from collections.abc import Iterator

from biomedica_assets.lib.stream.failures import StreamError
from biomedica_assets.lib.stream.headers import member_size

BLOCK = 512
_MAGIC = slice(257, 262)


class Members:
    """State of a stream of tar members; holds at most one incomplete header."""

    def __init__(self) -> None:
        self._left = 0
        self._header = bytearray()

    @property
    def between(self) -> bool:
        """Whether what was passed on ends between two members, where a reader may take it for the end."""
        return self._left == 0

    def passed(self, view: memoryview, shard: str) -> Iterator[bytes | memoryview]:
        """The bytes of a view, headers only whole: one that is cut is held until the rest comes.

        Args:
            view: the next bytes.
            shard: where they come from, for the message.

        Raises:
            StreamError: there is no header where a member should start.
        """
        begin = at = 0
        while at < len(view):
            if self._left:
                step = min(self._left, len(view) - at)
                self._left -= step
                at += step
            elif not self._header and len(view) - at >= BLOCK:
                self._enter(bytes(view[at : at + BLOCK]), shard)
                at += BLOCK
            else:
                if at > begin:
                    yield view[begin:at]
                part = view[at : at + BLOCK - len(self._header)]
                self._header += part
                begin = at = at + len(part)
                if len(self._header) == BLOCK:
                    whole = bytes(self._header)
                    self._header.clear()
                    self._enter(whole, shard)
                    yield whole
        if at > begin:
            yield view[begin:at]

    def _enter(self, header: bytes, shard: str) -> None:
        self._left = data_bytes(header, shard)


def data_bytes(header: bytes, shard: str) -> int:
    """Bytes of a member after its header, padding included.

    Raises:
        StreamError: the bytes are no header; the message names the shard.
    """
    try:
        if header[_MAGIC] != b"ustar":
            raise ValueError("no ustar header")
        size = member_size(header)
    except ValueError as error:
        raise StreamError(
            f"{shard}: no member starts where the recipe says ({error}); the shard is "
            "damaged: `biomedica fsck --repair` makes it again"
        ) from error
    return -(-size // BLOCK) * BLOCK
