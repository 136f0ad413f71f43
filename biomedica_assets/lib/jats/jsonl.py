"""``biomedica parse FILE...``: one JSON line per article.

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
from biomedica_assets.lib.jats.article import parse_articles
from biomedica_assets.lib.jats.limits import beyond_limits
from biomedica_assets.lib.jats.reading import UnreadableXml
from biomedica_assets.lib.jats.records import ParsedArticle, article_json, figure_json, mention_json, paragraphs_json

_ARTICLE_FILE = re.compile(r"PMC(\d{1,9})(?:\.\d{1,4})?")


def parse_files(
    paths: Iterable[Path | str],
    out: TextIO,
    err: TextIO,
    *,
    figure: Callable[[dict[str, Any]], dict[str, Any]] = lambda plain: plain,
) -> int:
    """Parse files and write one JSON object per article, in the order given and of the file.

    A file called ``PMC123.1.xml`` is article ``PMC123.1``; any other takes its id from the PMCID it states, else from
    its own name. A ``pmc-articleset`` gives a line for each of its articles. A file that cannot be used, and an article
    in a set that has no content, gives a line with ``"article": null`` and the cause in ``rejects``.

    Args:
        paths: files to read.
        out: receives the lines.
        err: receives one line for people per file that was refused.
        figure: adds to the object of a figure what other subjects say of it.

    Returns:
        Exit code: 0 if every file was parsed, 1 if any was refused.
    """
    code = 0
    # Bytes go past the encoder of a stream that takes UTF-8: to decode them here and encode them there costs 3 %.
    binary = getattr(out, "buffer", None) if (out.encoding or "").casefold() in {"utf-8", "utf8"} else None
    out.flush()
    ascii_only = not (out.encoding or "utf-8").casefold().startswith("utf")
    # One after the other: to read the next tree in a second thread took 1.65 s where this takes 1.4 (two cores), since
    # each hand-over waits for the interpreter's lock.
    for path in map(Path, paths):
        try:
            parsed, n_without = _parse(path)
            plains: list[dict[str, Any]] = [as_json(one) for one in parsed]
            if n_without:
                message = f"{n_without:,} <article> of {n_without + len(parsed):,} in the file have no JATS content"
                plains.append(_refused(path, UnreadableXml(RejectReason.XML_NOT_JATS, message)))
        except (UnreadableXml, OSError) as error:
            plains = [_refused(path, error)]
        for plain in plains:
            if plain["article"] is None:
                code = 1
                print(f"{path}: {plain['rejects'][0]['message']}", file=err)
            plain["figures"] = [figure(each) for each in plain["figures"]]
            if binary is not None:
                binary.write(orjson.dumps(plain, option=orjson.OPT_APPEND_NEWLINE))
                continue
            line = json.dumps(plain, separators=(",", ":")) if ascii_only else orjson.dumps(plain).decode()
            out.write(line + "\n")
    return code


def _refused(path: Path, error: UnreadableXml | OSError) -> dict[str, Any]:
    return {"article": None, "figures": [], "paragraphs": [], "mentions": [], "rejects": [_reject(path, error)]}


def as_json(parsed: ParsedArticle) -> dict[str, Any]:
    """The object of one line."""
    return {
        "article": article_json(parsed.article),
        "figures": [figure_json(figure) for figure in parsed.figures],
        "paragraphs": paragraphs_json(parsed.mentions),
        "mentions": [mention_json(mention) for mention in parsed.mentions],
        "rejects": [
            {"article_id": parsed.article.article_id, "stage": table, "reason": str(reason), "message": message}
            | {"subject": None}
            for table, reason, message in beyond_limits(parsed)
        ],
    }


def _parse(path: Path) -> tuple[list[ParsedArticle], int]:
    named = path.stem if _ARTICLE_FILE.fullmatch(path.stem) else None
    return parse_articles(path.read_bytes(), named=named, default_id=path.stem, xml=False)


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
