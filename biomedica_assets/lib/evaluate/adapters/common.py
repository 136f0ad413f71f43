"""What the readers share: rejects, safe paths, class look-up, nested columns."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from biomedica_assets.lib.errors import Reject, RejectReason
from biomedica_assets.lib.evaluate.task import Task

STAGE = "eval_scores"
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".gif", ".webp")


def reject(
    task: Task,
    item_id: str,
    message: str,
    reason: RejectReason = RejectReason.TASK_ITEM_INVALID,
    *,
    where: str = "",
) -> Reject:
    """An item of a task that is left out; test sets have no article, so the task stands in its place.

    Args:
        task: whose item.
        item_id: which.
        message: what is wrong with it.
        reason: the same as a code.
        where: file and line, row or member it stands in, in front of the message.
    """
    return Reject(task.name, STAGE, reason, plain(f"{where}: {message}" if where else message), plain(item_id))


def plain(text: str) -> str:
    """A text that any file can hold: what is no character (bytes of a file name that is not UTF-8) as an escape."""
    return text.encode("utf-8", "backslashreplace").decode()


def inside(root: Path, relative: str) -> Path | None:
    """A path below ``root``, None if the text leads out of it (absolute, ``..``, or a link) or is no path at all."""
    try:
        path = (root / relative).resolve()
    except (ValueError, OSError, RuntimeError):  # NUL in it, a loop of links
        return None
    return path if path.is_relative_to(root.resolve()) else None


def is_file(path: Path) -> bool:
    """Whether a file is there; a name that the file system refuses is none (``Path.is_file`` raises for some)."""
    return os.path.isfile(path)  # noqa: PTH113


def presence(value: Any) -> int | None:
    """Multi-label truth as data spell it: 1 present, 0 absent, -1 not known (nothing, -1, not a number).

    Returns:
        None for what is none of these, for example ``abc``, 0.5 or 2.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return -1
    if isinstance(value, (str, int, float)):
        try:
            number = float(value)
        except ValueError:
            return None
        return -1 if math.isnan(number) else {0.0: 0, 1.0: 1, -1.0: -1}.get(number)
    return None


def whole(value: Any) -> int | None:
    """A class index: an integer, or a number or text that is one; None for everything else (also true and false)."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return int(value) if isinstance(value, str) and value.strip().isdecimal() else None


def label_text(value: Any) -> str:
    """A label as the class look-up spells it: 3.0 and 3 are the same class, white space at the ends is none."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def dig(row: Mapping[str, Any], dotted: str) -> Any:
    """Value of a dotted column name in a nested row, None where the path ends early."""
    value: Any = row
    for part in dotted.split("."):
        if not isinstance(value, Mapping):
            return None
        value = cast("Mapping[str, Any]", value).get(part)
    return value
