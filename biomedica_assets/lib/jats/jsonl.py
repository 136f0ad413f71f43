"""``biomedica parse FILE...``: one JSON line per article.

Belongs here: the command's shape and its exit code. It imports neither Polars nor Dagster and starts at once.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TextIO

import orjson

from biomedica_assets.lib.errors import RejectReason
from biomedica_assets.lib.jats.article import records_of
from biomedica_assets.lib.jats.limits import beyond_limits
from biomedica_assets.lib.jats.reading import UnreadableXml, read_articles
from biomedica_assets.lib.jats.records import ParsedArticle, article_json, figure_json, mention_json, paragraphs_json
from biomedica_assets.lib.jats.vocabulary import Element

_AHEAD = 2
"""Trees that wait: each takes some ten times the room of its file, which may have 64 MB."""
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
    for path, found in _read_ahead(map(Path, paths)):
        try:
            roots, n_without = found.result()
            named = path.stem if _ARTICLE_FILE.fullmatch(path.stem) else None
            parsed = records_of(roots, named=named, default_id=path.stem, xml=False)
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


def _read_ahead(paths: Iterator[Path]) -> Iterator[tuple[Path, Future[tuple[list[Element], int]]]]:
    """Files and their trees, in order; the next ones are read and parsed while the caller is at work on one.

    libxml2 holds no lock while it builds a tree, a third of all the work, so a second core can do that.
    """
    with ThreadPoolExecutor(1, "read-ahead") as reader:
        ahead: deque[tuple[Path, Future[tuple[list[Element], int]]]] = deque()
        for path in paths:
            ahead.append((path, reader.submit(_read, path)))
            if len(ahead) > _AHEAD:
                yield ahead.popleft()
        while ahead:
            yield ahead.popleft()


def _read(path: Path) -> tuple[list[Element], int]:
    return read_articles(path.read_bytes())


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
