"""A recipe as physical shards: for tools that cannot read a pipe, and for keeping."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

from biomedica_assets.lib.progress import SILENT, Progress, track
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.stream.index import Index
from biomedica_assets.lib.stream.virtual import Selection, chunks, open_source

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

    Equal arguments give equal bytes. Files appear whole; ``export.json`` comes last and says that all are there.

    Args:
        index: the recipe's index.
        base: folder or address of the physical shards.
        to: folder to write to; it is made.
        wanted: split, number of shards, epoch, order and caption; its ``shard`` is not used.
        token: bearer token for ``base``.
        progress: told of each shard.

    Raises:
        StreamError: a physical shard cannot be read.
        StoreError: the folder cannot be written.
    """
    of = index.split(wanted.split).virtual_shards if wanted.of is None else wanted.of
    written: list[Exported] = []
    for number in track(range(of), progress, f"export {index.recipe}", of, "shards"):
        source = open_source(index, base, token)
        name = f"{index.recipe}-{wanted.split}-{number:06d}.tar"
        digest, size = hashlib.sha256(), 0
        with atomic.replacing(to / name) as temporary, temporary.open("wb") as handle:
            for piece in chunks(index, source, wanted._replace(shard=number, of=of)):
                handle.write(piece)
                digest.update(piece)
                size += len(piece)
        written.append(Exported(name, size, digest.hexdigest()))
    split = index.split(wanted.split)
    listing = {
        "recipe": index.recipe,
        "split": wanted.split,
        "epoch": wanted.epoch,
        "samples": split.entries,
        "caption": wanted.caption,
        "shards": [dataclasses.asdict(shard) for shard in written],
    }
    atomic.write_bytes(to / LISTING, (json.dumps(listing, indent=1) + "\n").encode())
    return written
