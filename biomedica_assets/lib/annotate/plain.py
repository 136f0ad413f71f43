"""Narrowing of values that came from JSON, YAML or a data frame, where every type is possible."""

from __future__ import annotations

from typing import Any, cast


def as_object(value: object) -> dict[str, Any] | None:
    """The value if it is an object with text keys, else None."""
    if not isinstance(value, dict):
        return None
    found = cast("dict[object, Any]", value)
    return cast("dict[str, Any]", value) if all(isinstance(key, str) for key in found) else None


def as_list(value: object) -> list[Any] | None:
    """The value if it is a list, else None."""
    return cast("list[Any]", value) if isinstance(value, list) else None


def as_strings(value: object) -> list[str] | None:
    """The value if it is a list of texts, else None."""
    found = as_list(value)
    return cast("list[str]", found) if found is not None and all(isinstance(v, str) for v in found) else None
