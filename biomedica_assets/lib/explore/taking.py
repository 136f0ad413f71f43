"""What a selection becomes: a recipe file, a list as CSV or Parquet, a list of images to vote on."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.explore.choice import Choice, condition, text
from biomedica_assets.lib.explore.finding import Finder
from biomedica_assets.lib.explore.shown import rows_of
from biomedica_assets.lib.select import definition
from biomedica_assets.lib.store import atomic

FORMATS = {
    "csv": ("text/csv; charset=utf-8", "(FORMAT csv, HEADER)"),
    "parquet": ("application/vnd.apache.parquet", "(FORMAT parquet)"),
    "txt": ("text/plain; charset=utf-8", "(FORMAT csv, HEADER false)"),
}
"""Media type and DuckDB's options by the ending of the file; ``txt`` is a list of ids, one a line, to vote on."""
MOST_NAMED = 5_000
"""So many samples can be named one by one in a recipe."""
_BLOCK = 1 << 20
_COLUMNS = (
    "sample_key, media_id, figure_id, article_id, license_code, license_group, journal, year, kind, "
    'panel_type, "global", local, content, width, height, caption'
)


def recipe(finder: Finder, choice: Choice, title: str) -> str:
    """A recipe file that selects what is chosen.

    Values of facets become its condition. A ranking, copies and membership of another recipe are no properties of one
    sample, so the samples are named one by one.

    Raises:
        PermanentFailure: there is nothing to select, or too much to be named.
    """
    counted = finder.counts(choice)["total"]
    if not counted:
        raise PermanentFailure("nothing is selected, so a recipe of it would be empty")
    where = condition(choice)
    if not choice.is_condition:
        if counted > MOST_NAMED:
            raise PermanentFailure(
                f"{counted:,} samples cannot be named one by one (at most {MOST_NAMED:,}); choose by facets other than "
                "recipe and copies, or fewer"
            )
        with finder.shown.ask() as ask:
            keys = rows_of(
                ask,
                f"SELECT sample_key FROM {finder.selection(ask, choice)} ORDER BY sample_key",  # noqa: S608
            ).rows()
        where = "sample_key IN (" + ", ".join(text(key) for (key,) in keys) + ")"
    made = {
        "title": title,
        "description": f"Chosen on the explore page, where {counted:,} samples were seen. Images that evaluation tasks "
        "use are left out of it unless decontaminate is false.",
        "where": where,
        "dedup": "none",
    }
    written = yaml.safe_dump(made, sort_keys=False, allow_unicode=True, width=110)
    definition.parse(written, "the recipe")
    return written


def save_recipe(folder: Path, name: str, written: str) -> Path:
    """Write a recipe file; one that is there is never replaced.

    Raises:
        PermanentFailure: the name cannot be one, or is taken.
    """
    if not definition.NAME.fullmatch(name):
        raise PermanentFailure(f"{name[:70]!r} cannot be a recipe's name: a-z, 0-9, _ and -, at most 63")
    if name in definition.names(folder):
        raise PermanentFailure(f"there is a recipe {name} already; choose another name")
    path = folder / f"{name}.yaml"
    atomic.write_bytes(path, written.encode())
    return path


def export(finder: Finder, choice: Choice, form: str) -> Iterator[bytes]:
    """The selection as a file, in pieces of a megabyte; memory stays bounded.

    Args:
        finder: of what may be shown.
        choice: what is chosen.
        form: one of ``FORMATS``.
    """
    columns = "media_id" if form == "txt" else _COLUMNS
    if form == "csv":  # a cell is one text, lists of concepts are separated by blanks
        for name in ('"global"', "local", "content"):
            columns = columns.replace(f" {name},", f" array_to_string({name}, ' ') AS {name},")
    handle, name = tempfile.mkstemp(prefix="biomedica-export-", suffix=f".{form}")
    os.close(handle)
    try:
        with finder.shown.ask() as ask:
            source = finder.selection(ask, choice)
            order = "rank" if choice.ranked else "media_id"
            rows_of(
                ask,
                f"COPY (SELECT {columns} FROM {source} ORDER BY {order}) TO {text(name)} {FORMATS[form][1]}",  # noqa: S608
            )
    except BaseException:
        Path(name).unlink()
        raise
    return _pieces(Path(name))


def _pieces(path: Path) -> Iterator[bytes]:
    with contextlib.ExitStack() as ends, path.open("rb") as file:
        ends.callback(path.unlink, missing_ok=True)
        while piece := file.read(_BLOCK):
            yield piece
