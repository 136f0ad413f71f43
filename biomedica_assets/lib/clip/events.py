"""The file of JSON lines in which a training process tells its supervisor what happens.

A disk may lose the end of the last line (a power loss, a full disk): a reader passes over what is no whole line, and a
writer that comes later starts on a line of its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

Event = Mapping[str, Any]
DURABLE = frozenset(("epoch", "done", "failed"))
"""Kinds that are on the disk before the writer goes on: without its ``epoch`` a checkpoint's samples are not known."""


class Events:
    """Appends to the file; whole lines only, from any process of the run."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, **event: Any) -> None:
        """Append one event.

        Raises:
            OSError: the disk takes no more; what was written of the line is passed over by readers.
        """
        line = (json.dumps(event, sort_keys=True) + "\n").encode()
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            written = os.write(descriptor, line)
            while written < len(line):
                written += os.write(descriptor, line[written:])
            if event.get("kind") in DURABLE:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


def parse(line: bytes) -> Event | None:
    """An event, or None for a line that is none: torn, or zeros that a file system put where data was lost."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return cast("Event", event) if isinstance(event, dict) and "kind" in event else None


def read(path: Path, start: int = 0) -> list[Event]:
    """The events from a position on; none where there is no file."""
    if not path.exists():
        return []
    return [event for line in path.read_bytes()[start:].splitlines() if (event := parse(line)) is not None]


def close_last_line(path: Path) -> int:
    """End the last line, or cut it off if it is torn, as an earlier run may have left it; returns the file's length.

    To be called before a writer is started: its first event would else be part of the torn line, and lost with it.
    """
    if not path.exists():
        return 0
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole == len(data):
        return whole
    told = parse(data[whole:]) is not None
    with path.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        if told:
            file.write(b"\n")
        else:
            file.truncate(whole)
        file.flush()
        os.fsync(file.fileno())
    return len(data) + 1 if told else whole
