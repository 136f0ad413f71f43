"""From released files to ``released_records``: what a join needs of each record, chunk by chunk.

First each file becomes small Parquet parts below ``released/NAME`` of the data directory, marked as done when whole, so
that a killed intake goes on with the next file and a file that did not change is not read again. Then the chunks are
written, as many at a time as hold ``GROUP`` records, so that memory does not grow with the number of records.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from biomedica_assets.lib.annotate.released.definition import Definition
from biomedica_assets.lib.annotate.released.readers import records
from biomedica_assets.lib.chunks import chunk_of
from biomedica_assets.lib.progress import SILENT, Progress, track
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.store.manifest import digest
from biomedica_assets.lib.tables import CHUNK_LISTING, RELEASED_RECORDS

VERSION = "1"
HashPicture = Callable[[bytes], int | None]
PART_ROWS = 100_000
GROUP = 1_000_000
_PMCID = re.compile(r"(?:PMC)?0*(\d{1,9})(?:\.\d+)?", re.IGNORECASE)
_IMAGE = re.compile(r"\.(?:jpe?g|png|gif|tiff?|bmp|webp|svg|eps)$")
_LOOKED_AT = 1_000  # characters of a caption in which those letters and digits stand
_CAPTION = 200  # letters and digits of a caption that are compared: tails differ by credit lines


@dataclasses.dataclass(frozen=True, slots=True)
class TakenIn:
    """What became of the records of some files.

    Attributes:
        records: read, from files of this and earlier calls under the name.
        left_out: reason -> records: ``no_pmcid``, ``no_concept``, ``elsewhere`` (in no chunk that is listed).
        strange: labels that mean no concept of ours.
        versions: chunk -> data version of its ``released_records``.
        files_read: files that were read now; the others were read before and have not changed.
    """

    records: int
    left_out: Mapping[str, int]
    strange: int
    versions: Mapping[str, str]
    files_read: int


def stem_of(name: str) -> str:
    """File name as it is compared: lower case, no folder, no extension of an image."""
    return _IMAGE.sub("", name.replace("\\", "/").rpartition("/")[2].lower())


def caption_digest(text: str | None) -> int | None:
    """Digest of the letters and digits of a caption's beginning, u64; None if it has none."""
    begin = (text or "")[:_LOOKED_AT]
    plain = "".join(filter(str.isalnum, unicodedata.normalize("NFKC", begin).casefold()))[:_CAPTION]
    if not plain or plain == "none":  # BIOMEDICA writes None for a figure without caption
        return None
    return int.from_bytes(hashlib.blake2b(plain.encode(), digest_size=8).digest(), "big")


def take_in(
    lake: Lake,
    definition: Definition,
    places: Sequence[str],
    *,
    chunk_span: int,
    hash_picture: HashPicture | None = None,
    progress: Progress = SILENT,
) -> TakenIn:
    """Read files of released labels and write ``released_records`` of every listed chunk that they speak of.

    Files of earlier calls under the same name count on, unless the definition has changed since.

    Args:
        lake: the data directory; reads ``chunk_listing``.
        definition: what the columns and labels mean.
        places: files or addresses.
        chunk_span: PMCIDs of a chunk.
        hash_picture: perceptual hash of a file's bytes, as in ``images.phash``, None if it is no picture. Without it
            pictures that records bring are not looked at.
        progress: told of each file.

    Raises:
        PermanentFailure: a file cannot be read; what was read before is kept.
    """
    folder = lake.root / "released" / definition.name
    n_read = 0
    for place in track(places, progress, "released labels", len(places), "files"):
        n_read += _read_file(folder, place, definition, chunk_span, hash_picture)
    marks = [mark for path in sorted(folder.glob("*.done")) if (mark := _mark(path, definition))]
    counts = Counter[str]()
    for mark in marks:
        counts.update(mark["counts"])
    parts = [folder / name for mark in marks for name in mark["parts"]]
    listed = set(lake.partitions(CHUNK_LISTING))
    sizes = _sizes(parts)
    counts["elsewhere"] = sum(n for chunk, n in sizes.items() if chunk not in listed)
    versions: dict[str, str] = {}
    for chunks in _groups({chunk: n for chunk, n in sizes.items() if chunk in listed}):
        rows = pl.scan_parquet(parts).filter(pl.col("chunk").is_in(chunks)).collect()
        for chunk in chunks:
            versions[chunk] = _publish(lake, chunk, rows.filter(chunk=chunk), definition)
    for chunk in set(lake.partitions(RELEASED_RECORDS)) - set(versions):  # what an earlier definition put there
        rows = RELEASED_RECORDS.empty().with_columns(chunk=pl.lit(chunk))
        if (lake.read_lazy(RELEASED_RECORDS, chunk).filter(name=definition.name).collect()).height:
            versions[chunk] = _publish(lake, chunk, rows, definition)
    n, strange = counts.pop("records", 0), counts.pop("labels_without_meaning", 0)
    return TakenIn(n, dict(sorted((why, k) for why, k in counts.items() if k)), strange, versions, n_read)


def _publish(lake: Lake, chunk: str, rows: pl.DataFrame, definition: Definition) -> str:
    """Write the records of one chunk beside those of other names."""
    frame = rows.select(RELEASED_RECORDS.schema.names())
    if lake.manifest(RELEASED_RECORDS, chunk) is not None:
        frame = pl.concat([lake.read(RELEASED_RECORDS, chunk).filter(pl.col("name") != definition.name), frame])
    frame = frame.sort(RELEASED_RECORDS.key)
    manifest = lake.publish(
        RELEASED_RECORDS, chunk, frame, code_version=VERSION, inputs={}, config={}, n_in=frame.height,
        n_out=frame.height,
    )  # fmt: skip
    return manifest.data_version


def _read_file(folder: Path, place: str, definition: Definition, span: int, hash_picture: HashPicture | None) -> bool:
    """Make the parts of one file; False if they are there and it has not changed."""
    stem = digest(place)[:16]
    path = folder / f"{stem}.done"
    identity = _identity(place, definition, span, pictures=hash_picture is not None)
    known = _mark(path, definition)
    if known and known["identity"] == identity and all((folder / name).exists() for name in known["parts"]):
        return False
    folder.mkdir(parents=True, exist_ok=True)
    counts, rows, parts = Counter[str](), list[tuple[object, ...]](), list[str]()

    source = place.rsplit("/", 1)[-1]

    def flush() -> None:
        name = f"{stem}-{len(parts):05d}.parquet"
        schema = {**RELEASED_RECORDS.schema, "concepts": pl.String(), "chunk": pl.String()}
        with atomic.replacing(folder / name) as temporary:
            frame = pl.DataFrame(rows, schema=schema, orient="row")
            frame = frame.with_columns(pl.col("concepts").str.split(" "))  # lists of Python take ten times as long
            frame.sort("chunk", "pmcid").write_parquet(temporary)
        parts.append(name)
        rows.clear()

    for number, record in enumerate(records(place, definition.columns)):
        counts["records"] += 1
        match = _PMCID.fullmatch(str(record.get(definition.fields.pmcid) or "").strip())
        concepts, strange = definition.concepts_of(record)
        counts["labels_without_meaning"] += strange
        if match is None or not concepts:
            counts["no_pmcid" if match is None else "no_concept"] += 1
            continue
        rows.append(
            (
                *_row(record, int(match[1]), concepts, definition, source, number, hash_picture),
                chunk_of(int(match[1]), span),
            )
        )
        if len(rows) >= PART_ROWS:
            flush()
    if rows:
        flush()
    mark = {"identity": identity, "definition": definition.digest, "place": place, "parts": parts, "counts": counts}
    with atomic.replacing(path) as temporary:
        temporary.write_text(json.dumps(mark, sort_keys=True) + "\n", encoding="utf-8")
    return True


def _row(
    record: Mapping[str, Any], pmcid: int, concepts: Sequence[str], definition: Definition, source: str, number: int,
    hash_picture: HashPicture | None,
) -> tuple[object, ...]:  # fmt: skip
    """A row of ``released_records``, in the order of its columns; the concepts as text."""
    fields = definition.fields
    name = record.get(fields.file) if fields.file else None
    picture = record.get(fields.picture) if fields.picture else None
    return (
        definition.name,
        source,
        number,
        pmcid,
        stem_of(str(name)) if name else None,
        caption_digest(record.get(fields.caption)) if fields.caption else None,
        hash_picture(picture) if hash_picture and isinstance(picture, bytes) else None,
        " ".join(concepts),
        fields.trust,
    )


def _identity(place: str, definition: Definition, span: int, *, pictures: bool) -> str:
    """What tells a file from what it was: of a local one size and time, of an address the address alone."""
    path = Path(place)
    stat = path.stat() if path.exists() else None
    parts = [place, definition.digest, span, pictures, VERSION]
    return digest(*map(str, [*parts, *((stat.st_size, stat.st_mtime_ns) if stat else ())]))


def _mark(path: Path, definition: Definition) -> dict[str, Any] | None:
    """What a file that was read left behind; None if there is nothing, or another definition made it."""
    try:
        mark: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return mark if mark.get("definition") == definition.digest else None


def _sizes(parts: Iterable[Path]) -> dict[str, int]:
    found = Counter[str]()
    for part in parts:
        found.update(dict(pl.scan_parquet(part).group_by("chunk").len().collect().iter_rows()))
    return dict(sorted(found.items()))


def _groups(sizes: Mapping[str, int], most: int | None = None) -> Iterable[list[str]]:
    """Chunks in order, together at most ``most`` records, or one chunk."""
    limit, group, held = most or GROUP, list[str](), 0
    for chunk, n in sizes.items():
        if group and held + n > limit:
            yield group
            group, held = [], 0
        group.append(chunk)
        held += n
    if group:
        yield group
