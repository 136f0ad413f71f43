"""The user's own list of withdrawn articles, and ids of any list that PubMed Central does not have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import polars as pl

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import CHUNK_LISTING

_LINE = re.compile(r"(?:PMC)?([1-9]\d{0,8})(\.\d{1,4})?", re.IGNORECASE)


def read_withdrawn(path: Path) -> dict[str, str]:
    """Ids with the reason that stands behind ``#``: ``PMC123``, ``123`` or ``PMC123.2``, one a line.

    Empty lines and lines that begin with ``#`` are fine, and so is a file without ids: nothing is withdrawn any more.

    Raises:
        PermanentFailure: the file cannot be read, or a line is no PMCID; the message names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PermanentFailure(f"withdrawals_file {path} cannot be read: {error}") from error
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        word, _, reason = (part.strip() for part in line.partition("#"))
        if not word:
            continue
        match = _LINE.fullmatch(word)
        if not match:
            raise PermanentFailure(f"{path}, line {number}: {word[:80]!r} is not a PMCID such as PMC123 or PMC123.2")
        found[f"PMC{match[1]}{match[2] or ''}"] = reason
    return found


def absent(lake: Lake, lists: Mapping[str, Iterable[str]]) -> list[tuple[str, str, str]]:
    """What lists name and the inventory does not have: name of the list, id, why.

    Args:
        lake: reads ``chunk_listing`` and what it left out.
        lists: name of the list (its setting) -> ids as ``PMC123`` or ``PMC123.2``.
    """
    wanted = sorted({name for ids in lists.values() for name in ids})
    if not wanted:
        return []
    numbers = sorted({_order(name)[0] for name in wanted})
    listed = lake.scan(CHUNK_LISTING).select("article_id", "pmcid")
    named = listed.filter(pl.col("pmcid").is_in(numbers)).collect()
    there = {*named["article_id"], *(f"PMC{number}" for number in named["pmcid"])}
    gone = {
        name
        for chunk in lake.partitions(CHUNK_LISTING)
        for one in lake.read_rejects(CHUNK_LISTING, chunk)["article_id"].to_list()
        for name in (one, one.partition(".")[0])
    }
    return [
        (setting, name, "PubMed Central has taken it out" if name in gone else _why(name))
        for setting, ids in sorted(lists.items())
        for name in sorted(set(ids), key=_order)
        if name not in there
    ]


def _why(name: str) -> str:
    return "PubMed Central has no such version" if "." in name else "PubMed Central's open articles do not have it"


def _order(name: str) -> tuple[int, int]:
    number, _, version = name.removeprefix("PMC").partition(".")
    return int(number), int(version or 0)
