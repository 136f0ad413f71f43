"""What is known to be right on this disk, so that a second run need not hash it again.

One append-only file per folder of a thousand articles. It is a cache, not data: a line that is lost or damaged (a
process killed while writing) costs one hash, and a file whose size or time is not what the line says is hashed again.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path


@dataclasses.dataclass(frozen=True, slots=True)
class Verified:
    """A file as it was when its bytes were found to be right.

    Attributes:
        wanted: MD5 that was asked for.
        md5: MD5 of the bytes; another one than ``wanted`` if the source had changed the object since.
        size: bytes.
        modified: modification time of the file in nanoseconds.
    """

    wanted: str
    md5: str
    size: int
    modified: int


class Ledger:
    """The verified files of one folder, by their path below it."""

    def __init__(self, path: Path) -> None:
        """Args: path: the ledger's file; it need not exist."""
        self._path = path
        self._entries: dict[str, Verified] = {}
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except (FileNotFoundError, NotADirectoryError):
            lines = []
        for line in lines:
            try:
                name, *fields = json.loads(line)
                self._entries[name] = Verified(*fields)
            except (ValueError, TypeError):
                continue  # cut off by a kill: that file is hashed again

    def find(self, name: str, file: Path, wanted: str) -> Verified | None:
        """The entry of a file that is still as it was and answers a request for ``wanted``, else None."""
        entry = self._entries.get(name)
        if entry is None or wanted not in {entry.wanted, entry.md5}:
            return None
        try:
            status = file.stat()
        except OSError:
            return None
        return entry if (status.st_size, status.st_mtime_ns) == (entry.size, entry.modified) else None

    def add(self, name: str, file: Path, wanted: str, md5: str) -> Verified:
        """Remember that ``file`` was verified just now."""
        status = file.stat()
        entry = Verified(wanted, md5, status.st_size, status.st_mtime_ns)
        self._entries[name] = entry
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # One write of a line that begins with the line feed: appends of several processes do not mix, and a line cut
        # off by a kill does not spoil the next.
        with self._path.open("ab", buffering=0) as handle:
            handle.write(b"\n" + json.dumps([name, *dataclasses.astuple(entry)]).encode())
        return entry
