"""Pages that are made from the code each time the documentation is built, so that they cannot be out of date.

Tables, reasons of rejects, settings and commands; ``conf.py`` writes them into ``reference/``.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def tables_page() -> str:
    """Every table with its columns: the data dictionary."""
    from biomedica_assets.lib.tables import REJECTS, TABLES

    kept = "One row each below; the order of columns is that of the files."
    lines = ["# Data dictionary", "", f"Generated from `biomedica_assets/lib/tables`. {kept}", ""]
    for table in (*TABLES.values(), REJECTS):
        key = ", ".join(f"`{name}`" for name in table.key) or "none"
        cut = {"none": "whole"}.get(table.partitioning, f"by {table.partitioning}")
        lines += [f"## {table.name}", "", table.meaning, "", f"Partitions: {cut}. Key: {key}.", ""]
        lines += ["| column | type | null | meaning | made from |", "|---|---|---|---|---|"]
        for column in table.columns:
            made = ", ".join(f"`{source}`" for source in column.sources)
            null = "yes" if column.nullable else ""
            lines.append(
                f"| `{column.name}` | {_cell(str(column.dtype))} | {null} | {_cell(column.meaning)} | {made} |"
            )
        lines.append("")
    return "\n".join(lines)


def rejects_page() -> str:
    """Why items are left out, with where each reason is given."""
    from biomedica_assets.lib.errors import RejectReason

    lines = [
        "# Why things are left out",
        "",
        "Beside each partition lies a file of rejects: one row for each item that did not become a row of the table, "
        "with one of these reasons and a message that names the thing, what was found and what was expected. "
        '`biomedica sql "select stage, reason, count(*) from rejects group by all order by 3 desc"` counts them.',
        "",
        *(f"* `{reason.value}`" for reason in RejectReason),
        "",
    ]
    return "\n".join(lines)


def settings_page() -> str:
    """Every setting."""
    from biomedica_assets.settings import PREFIX, Settings

    lines = [
        "# Settings",
        "",
        f"In `biomedica.toml` of the working or of the data directory, or in the environment as `{PREFIX}NAME`; "
        "`biomedica settings` shows the values in force. A wrong value is refused with what is allowed.",
        "",
        "| setting | default | meaning |",
        "|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        default = json.dumps(field.default, default=str)
        lines.append(f"| `{name}` | `{default}` | {_cell(field.description or '')} |")
    return "\n".join([*lines, ""])


def commands_page() -> str:
    """Every command with its options."""
    from biomedica_assets.cli.arguments import parser
    from biomedica_assets.lib.stream.command import parser as stream

    lines = ["# Commands", "", "`biomedica COMMAND --help` prints the same.", ""]
    for name, command in _commands(parser()):
        shown = stream() if name == "stream" else command
        lines += [f"## {name}", "", _cell(shown.description or ""), "", "| argument | meaning |", "|---|---|"]
        for action in shown._actions:
            if action.help == argparse.SUPPRESS or isinstance(action, argparse._HelpAction):
                continue
            spelled = ", ".join(action.option_strings) or (action.metavar or action.dest)
            value = "" if action.nargs == 0 or not action.option_strings else f" {action.metavar or _choices(action)}"
            lines.append(f"| `{_cell(str(spelled) + value)}` | {_cell((action.help or '').replace('%%', '%'))} |")
        lines.append("")
    return "\n".join(lines)


PAGES = {
    "reference/tables.md": tables_page,
    "reference/rejects.md": rejects_page,
    "reference/settings.md": settings_page,
    "reference/commands.md": commands_page,
}


def write(folder: Path) -> None:
    """Write the pages below the folder of the documentation; those that are as they should be keep their times."""
    for name, make in PAGES.items():
        path, text = folder / name, make()
        path.parent.mkdir(exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def _commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            choices: dict[str, Any] = dict(action.choices)
            yield from choices.items()


def _choices(action: argparse.Action) -> str:
    return "|".join(map(str, action.choices)) if action.choices else action.dest.upper()


def _cell(text: str) -> str:
    """Text as a cell of a table: one line, signs of Markdown and HTML as they are."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;")
