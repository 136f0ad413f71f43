"""What the readers share: rejects, safe paths, class look-up, nested columns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from biomedica_assets.lib.errors import Reject, RejectReason
from biomedica_assets.lib.evaluate.task import Task

STAGE = "eval_scores"
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".gif", ".webp")


def reject(task: Task, item_id: str, message: str, reason: RejectReason = RejectReason.TASK_ITEM_INVALID) -> Reject:
    """An item of a task that is left out; test sets have no article, so the task stands in its place."""
    return Reject(task.name, STAGE, reason, message, item_id)


def inside(root: Path, relative: str) -> Path | None:
    """A path below ``root``, None if the text leads out of it (absolute, ``..``, or a link)."""
    path = (root / relative).resolve()
    return path if path.is_relative_to(root.resolve()) else None


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
