"""A recipe as physical shards: for tools that cannot read a pipe, and for keeping."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from biomedica_assets.lib.progress import SILENT, Progress, track
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.stream.index import Index
from biomedica_assets.lib.stream.virtual import END_OF_TAR, Selection, chunks, open_source

LISTING = "export.json"


@dataclasses.dataclass(frozen=True, slots=True)
class Exported:
    """A shard that was written: name, size and SHA-256 of the file."""

    name: str
    bytes: int
    sha256: str


def export(
    index: Index, base: str, to: Path, wanted: Selection, *, token: str | None = None, progress: Progress = SILENT
) -> list[Exported]:
    """Write all virtual shards of one epoch of a split into a folder, and ``export.json``, which lists them.

    Images of one format to a file, since Hugging Face's reader takes the members of the first samples for those of all.
    Equal arguments give equal bytes. Files appear whole; ``export.json`` comes last and says that all are there.

    Args:
        index: the recipe's index.
        base: folder or address of the physical shards.
        to: folder to write to; it is made.
        wanted: split, number of shards of each format, epoch, order, caption, and the format if only one is wanted; its
            ``shard`` is not used.
        token: bearer token for ``base``.
        progress: told of each shard.

    Raises:
        StreamError: a physical shard cannot be read.
        StoreError: the folder cannot be written.
    """
    split = index.split(wanted.split)
    of = split.virtual_shards if wanted.of is None else wanted.of
    present = sorted({index.shards[number].ext for number in split.run_shard})
    parts = [(ext, n) for ext in present if wanted.ext in (None, ext) for n in range(of)]
    written: list[Exported] = []
    for ext, number in track(parts, progress, f"export {index.recipe}", len(parts), "shards"):
        name = f"{index.recipe}-{wanted.split}-{ext}-{number:06d}.tar"
        pieces = chunks(index, open_source(index, base, token), wanted._replace(shard=number, of=of, ext=ext))
        made = _write(to / name, pieces)
        if made.bytes == len(END_OF_TAR):
            (to / name).unlink()
        else:
            written.append(made)
    listing = {
        "recipe": index.recipe,
        "split": wanted.split,
        "epoch": wanted.epoch,
        "caption": wanted.caption,
        "samples": split.entries if wanted.ext is None else None,
        "shards": [dataclasses.asdict(shard) for shard in written],
    }
    atomic.write_bytes(to / LISTING, (json.dumps(listing, indent=1) + "\n").encode())
    return written


def _write(path: Path, pieces: Iterable[bytes | memoryview]) -> Exported:
    digest, size = hashlib.sha256(), 0
    with atomic.replacing(path) as temporary, temporary.open("wb") as handle:
        for piece in pieces:
            handle.write(piece)
            digest.update(piece)
            size += len(piece)
    return Exported(path.name, size, digest.hexdigest())
