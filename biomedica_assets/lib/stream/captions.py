"""Another caption for each sample: the ``.txt`` member written anew from a field of the ``.json`` member.

A filter over the bytes of a tar: image members pass untouched and are never held; only one sample's text and JSON are
in memory at a time. The new ``.txt`` member comes at the end of its sample.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any, cast

from biomedica_assets.lib.panels.subcaptions import panel_texts
from biomedica_assets.lib.stream.failures import StreamError
from biomedica_assets.lib.stream.headers import member_name, member_size, resized

_BLOCK = 512
_LARGEST_TEXT = 32 << 20
_TEXT, _PANEL = "txt", "panel"


def rewritten(pieces: Iterable[bytes | memoryview], field: str, epoch: int = 0) -> Iterator[bytes | memoryview]:
    """Bytes of whole samples in, the same samples with another ``.txt`` out.

    Args:
        pieces: bytes of tar members, cut anywhere; no end of archive.
        field: field of the JSON, with dots into objects and lists of them (``mentions.text``); ``txt`` is the text the
            sample has, ``panel`` the part of that text which speaks of one panel (``panels.subcaptions``), drawn by
            key and epoch and empty where the text has no parts. Several with ``+`` between them
            (``txt+mentions.text``) are joined by a space. Where all are null or empty, the sample keeps its text.
            Several of these with ``|`` between them (``txt|txt+mentions.text|caption_title``): each sample takes one
            of them in each epoch, drawn by its key.
        epoch: for the draw.

    Raises:
        StreamError: the bytes are no tar members, a field is missing or holds no text.
    """
    return _Rewriter(field, epoch).run(pieces)


class _Rewriter:
    """Where the filter stands: inside which member, and what it has kept of the sample."""

    def __init__(self, field: str, epoch: int) -> None:
        self._choices = [[name.strip() for name in choice.split("+")] for choice in field.split("|")]
        self._epoch = epoch
        self._name, self._left, self._passing = "", 0, True
        self._key = ""
        self._header, self._member = bytearray(), b""
        self._kept = bytearray()
        self._text: tuple[bytes, bytes] | None = None
        self._json: bytes | None = None
        self._size = 0

    def run(self, pieces: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
        for piece in pieces:
            view = memoryview(piece)
            while view:
                if self._left == 0:
                    need = _BLOCK - len(self._header)
                    self._header += view[:need]
                    view = view[need:]
                    if len(self._header) == _BLOCK:
                        yield from self._open()
                    continue
                part, view = view[: self._left], view[self._left :]
                self._left -= len(part)
                if self._passing:
                    yield part
                if not self._passing or self._name.endswith(".json"):
                    self._kept += part
                if self._left == 0:
                    self._close()
        if self._left or self._header:
            raise StreamError(f"the stream ends inside {self._name or 'a header'}")
        yield from self._flush()

    def _open(self) -> Iterator[bytes]:
        header = bytes(self._header)
        self._header.clear()
        try:
            name, self._size = member_name(header), member_size(header)
        except ValueError as error:
            raise StreamError(f"no header of a tar member where one should be ({error})") from error
        folder, _, base = name.rpartition("/")
        key = f"{folder}/{base.split('.')[0]}"
        if key != self._key:
            yield from self._flush()
            self._key = key
        self._name = name
        self._left = -(-self._size // _BLOCK) * _BLOCK
        self._passing = not name.endswith(".txt")
        self._kept.clear()
        if not self._passing or name.endswith(".json"):
            if self._size > _LARGEST_TEXT:
                raise StreamError(f"{name} has {self._size:,} bytes; text and JSON above {_LARGEST_TEXT:,} are refused")
            self._member = header
        if self._passing:
            yield header
        if self._left == 0:
            self._close()

    def _close(self) -> None:
        if not self._passing:
            self._text = (self._member, bytes(self._kept[: self._size]))
        elif self._name.endswith(".json"):
            self._json = bytes(self._kept[: self._size])

    def _flush(self) -> Iterator[bytes]:
        if self._text is not None:
            header, old = self._text
            if self._json is None:
                raise StreamError(f"sample {self._key.lstrip('/')} has no JSON to take a caption from")
            yield _member(header, self._caption(old) or old)
        self._text = self._json = None

    def _caption(self, old: bytes) -> bytes:
        try:
            value: Any = json.loads(self._json or b"null")
        except ValueError as error:
            raise StreamError(f"sample {self._key.lstrip('/')}: its JSON is damaged ({error})") from error
        found = [self._part(name, value, old.decode()) for name in self._drawn()]
        return " ".join(text for text in found if text).encode()

    def _part(self, name: str, value: Any, old: str) -> str:
        if name == _TEXT:
            return old
        if name == _PANEL:
            # panels of which the same is said are one choice
            parts = list(dict.fromkeys(panel_texts(old).values()))
            return parts[self._number(_PANEL) % len(parts)] if parts else ""
        return _text(value, name, self._key)

    def _drawn(self) -> list[str]:
        if len(self._choices) == 1:
            return self._choices[0]
        return self._choices[self._number() % len(self._choices)]

    def _number(self, purpose: str = "") -> int:
        """What the sample draws in this epoch; another number for another purpose."""
        text = f"{self._key}:{self._epoch}{purpose}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _text(value: Any, name: str, key: str) -> str:
    found: list[Any] = [value]
    for part in name.split("."):
        inside: list[Any] = []
        for one in found:
            there = cast("dict[str, Any]", one) if isinstance(one, dict) else {}
            if part not in there:
                known = ", ".join(sorted(there)) or "nothing"
                raise StreamError(f"sample {key.lstrip('/')} has no field {name}; at {part} there is: {known}")
            inside += cast("list[Any]", there[part]) if isinstance(there[part], list) else [there[part]]
        found = inside
    if not all(text is None or isinstance(text, str) for text in found):
        raise StreamError(f"field {name} of sample {key.lstrip('/')} holds something else than text")
    return " ".join(text for text in found if text)


def _member(header: bytes, data: bytes) -> bytes:
    return resized(header, len(data)) + data + bytes(-len(data) % _BLOCK)
