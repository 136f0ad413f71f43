"""PMCID <-> chunk <-> shelf: pure functions of the number, so an article never moves.

A chunk is a fixed range of ``span`` consecutive PMCIDs, a shelf the million it belongs to. Keys sort as text in the
order of the numbers. Nothing here knows which articles exist.
"""

from __future__ import annotations

import re

SHELF_SPAN = 1_000_000
_ARTICLE_ID = re.compile(r"PMC(\d{1,9})\.(\d{1,4})")
_CHUNK = re.compile(r"PMC(\d{3})-(\d{4}|\d{6})")


def check_span(span: int) -> int:
    """Return ``span`` if it can be a chunk span: 1 to 1 000 000 and a divisor of the shelf's million."""
    if not 1 <= span <= SHELF_SPAN or SHELF_SPAN % span:
        raise ValueError(f"chunk_span {span} must divide {SHELF_SPAN:,} (for example 1000, 20000, 1000000)")
    return span


def shelf_of(pmcid: int) -> str:
    """Shelf key of a PMCID: ``PMC012`` for 12 340 123."""
    return f"PMC{pmcid // SHELF_SPAN:03d}"


def chunk_of(pmcid: int, span: int) -> str:
    """Chunk key of a PMCID.

    ``PMC012-0340`` for 12 340 123 at span 20 000: shelf and the chunk's first thousand. Spans that are no multiple of
    1 000 use six digits (``PMC012-340120`` at span 20), since several chunks then share a thousand.
    """
    start = pmcid % SHELF_SPAN // span * span
    offset = f"{start // 1000:04d}" if span % 1000 == 0 else f"{start:06d}"
    return f"{shelf_of(pmcid)}-{offset}"


def chunk_range(chunk: str, span: int) -> range:
    """PMCIDs of a chunk key.

    Raises:
        ValueError: the key is not one that ``chunk_of`` makes at this span.
    """
    match = _CHUNK.fullmatch(chunk)
    if match:
        offset = int(match[2]) * (1000 if len(match[2]) == 4 else 1)
        first = int(match[1]) * SHELF_SPAN + offset
        if chunk_of(first, span) == chunk and first % span == 0:
            return range(first, first + span)
    raise ValueError(f"{chunk!r} is not a chunk key at chunk_span {span}; keys look like {chunk_of(7_360_000, span)}")


def shelf_of_chunk(chunk: str) -> str:
    """Shelf key of a chunk key."""
    return chunk[:6]


def all_chunks(max_pmcid: int, span: int) -> list[str]:
    """Every chunk key from PMCID 0 up to and including the one that holds ``max_pmcid``, in order."""
    return [chunk_of(first, span) for first in range(0, max_pmcid + 1, check_span(span))]


def article_id(pmcid: int, version: int) -> str:
    """Primary key of an article version: ``PMC123.1``."""
    return f"PMC{pmcid}.{version}"


def parse_article_id(text: str) -> tuple[int, int]:
    """``PMC123.10`` -> ``(123, 10)``; versions are numbers, so ``.10`` is newer than ``.2``.

    Raises:
        ValueError: the text is not an article id.
    """
    match = _ARTICLE_ID.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is not an article id (expected the form PMC123.1)")
    return int(match[1]), int(match[2])
