"""``biomedica parse FILE...``: one JSON line per file.

Belongs here: the command's shape and its exit code. It imports neither Polars nor Dagster and starts at once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TextIO

import orjson

from biomedica_assets.lib.errors import RejectReason
from biomedica_assets.lib.jats.article import parse_article
from biomedica_assets.lib.jats.reading import UnreadableXml
from biomedica_assets.lib.jats.records import ParsedArticle, article_json, figure_json, mention_json

_ARTICLE_FILE = re.compile(r"PMC(\d{1,9})(?:\.\d{1,4})?")


def parse_files(
    paths: Iterable[Path | str],
    out: TextIO,
    err: TextIO,
    *,
    figure: Callable[[dict[str, Any]], dict[str, Any]] = lambda plain: plain,
) -> int:
    """Parse files and write one JSON object per file, in the order given.

    A file called ``PMC123.1.xml`` is article ``PMC123.1``; any other takes its id from the PMCID it states, else from
    its own name. A file that cannot be used gives a line with ``"article": null`` and the cause in ``rejects``.

    Args:
        paths: files to read.
        out: receives the lines.
        err: receives one line for people per file that was refused.
        figure: adds to the object of a figure what other subjects say of it.

    Returns:
        Exit code: 0 if every file was parsed, 1 if any was refused.
    """
    code = 0
    ascii_only = not (out.encoding or "utf-8").casefold().startswith("utf")
    for path in map(Path, paths):
        try:
            plain: dict[str, Any] = as_json(_parse(path))
        except (UnreadableXml, OSError) as error:
            code = 1
            reject = _reject(path, error)
            plain = {"article": None, "figures": [], "mentions": [], "rejects": [reject]}
            print(f"{path}: {reject['message']}", file=err)
        plain["figures"] = [figure(each) for each in plain["figures"]]
        line = json.dumps(plain, separators=(",", ":")) if ascii_only else orjson.dumps(plain).decode()
        out.write(line + "\n")
    return code


def as_json(parsed: ParsedArticle) -> dict[str, Any]:
    """The object of one line."""
    return {
        "article": article_json(parsed.article),
        "figures": [figure_json(figure) for figure in parsed.figures],
        "mentions": [mention_json(mention) for mention in parsed.mentions],
        "rejects": [],
    }


def _parse(path: Path) -> ParsedArticle:
    data = path.read_bytes()
    match = _ARTICLE_FILE.fullmatch(path.stem)
    if match:
        return parse_article(data, path.stem, wanted_pmcid=int(match[1]), xml=False)
    return parse_article(data, default_id=path.stem, xml=False)


def _reject(path: Path, error: UnreadableXml | OSError) -> dict[str, Any]:
    if isinstance(error, UnreadableXml):
        reason, message, line = error.reason, error.message, error.line
    else:
        reason, message, line = RejectReason.OBJECT_MISSING, f"cannot be read: {error.strerror or error}", None
    return {
        "article_id": path.stem,
        "stage": "articles",
        "reason": str(reason),
        "message": message,
        "subject": None if line is None else f"line {line}",
        "line": line,
        "file": str(path),
    }
