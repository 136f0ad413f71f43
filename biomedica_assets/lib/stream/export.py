"""A recipe as physical shards: for tools that cannot read a pipe, and for keeping."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import cast

from biomedica_assets.lib.progress import SILENT, Progress, track
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.stream.index import Index
from biomedica_assets.lib.stream.virtual import END_OF_TAR, Selection, chunks, open_source

LISTING = "export.json"
FIRST = 5
"""Samples that Hugging Face's reader looks at before it fixes the types of all (datasets 5.2)."""


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
    It also takes the types of the JSON's fields from the first five, and ends at a value where those had null: so the
    first samples of each format are some that show every field which any sample fills (see ``showing``). Files of a
    format are numbered without holes. Equal arguments give equal bytes. Files appear whole; ``export.json`` comes last
    and says that all are there.

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
    there: Counter[str] = Counter()
    for ext, number in track(parts, progress, f"export {index.recipe}", len(parts), "shards"):
        name = f"{index.recipe}-{wanted.split}-{ext}-{there[ext]:06d}.tar"
        pieces = chunks(index, open_source(index, base, token), wanted._replace(shard=number, of=of, ext=ext))
        made = _write(to / name, pieces)
        if made.bytes == len(END_OF_TAR):
            (to / name).unlink()
        else:
            there[ext] += 1
            written.append(made)
    written = [
        shard
        for ext in present
        for shard in _with_types_first(
            to, [one for one in written if f"-{ext}-" in one.name.removeprefix(index.recipe)]
        )
    ]
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


@dataclasses.dataclass(frozen=True, slots=True)
class _Sample:
    """Where a sample lies in a tar, and which fields of its JSON have a value."""

    shard: str
    start: int
    end: int
    shows: frozenset[str]


def showing(value: object, path: str = "") -> Iterator[str]:
    """Paths of the fields of a JSON value that show their type: neither null nor an empty list.

    Args:
        value: as ``json.loads`` gives it.
        path: of ``value`` itself.
    """
    if isinstance(value, dict):
        for name, inner in cast("dict[str, object]", value).items():
            yield from showing(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in cast("list[object]", value):
            yield from showing(inner, f"{path}[]")
    elif value is not None:
        yield path


def _with_types_first(to: Path, written: Sequence[Exported]) -> list[Exported]:
    """The files of one format, rewritten so that their first samples show all types, where they do not yet."""
    samples = [sample for shard in written for sample in _samples(to / shard.name)]
    wanted = frozenset[str]().union(*(sample.shows for sample in samples))
    head = [sample for sample in samples[:FIRST] if written and sample.shard == written[0].name]
    if not samples or wanted == frozenset[str]().union(*(sample.shows for sample in head)):
        return list(written)
    chosen: list[_Sample] = []
    room = Counter(sample.shard for sample in samples)
    left = wanted
    while left and len(chosen) < FIRST:
        # No file but the first may lose its last sample: the numbers have no holes.
        free = [s for s in samples if s not in chosen and (s.shard == written[0].name or room[s.shard] > 1)]
        best = max(free, key=lambda sample: len(sample.shows & left), default=None)
        if best is None:
            break
        chosen.append(best)
        room[best.shard] -= 1
        left = left - best.shows
    moved = {(sample.shard, sample.start) for sample in chosen}
    changed = {sample.shard for sample in chosen} | {written[0].name}
    made: list[Exported] = []
    # All drafts are read from the files as they are; only then do they take their names.
    first = [*chosen, *(s for s in samples if s.shard == written[0].name and (s.shard, s.start) not in moved)]
    drafts = {written[0].name: first}
    for name in changed - {written[0].name}:
        drafts[name] = [s for s in samples if s.shard == name and (s.shard, s.start) not in moved]
    fresh = {name: _write(to / f"{name}.draft", _pieces(to, drafts[name])) for name in sorted(drafts)}
    for shard in written:
        if shard.name in fresh:
            (to / f"{shard.name}.draft").replace(to / shard.name)
            shard = dataclasses.replace(fresh[shard.name], name=shard.name)  # noqa: PLW2901 - the same, written anew
        made.append(shard)
    return made


def _samples(path: Path) -> Iterator[_Sample]:
    with tarfile.open(path, "r:") as tar:
        members = [(m.name.partition(".")[0], m) for m in tar]
        for _, group in itertools.groupby(members, key=lambda found: found[0]):
            parts = [member for _, member in group]
            shows = frozenset[str]()
            for member in parts:
                if member.name.endswith(".json") and (handle := tar.extractfile(member)) is not None:
                    shows = frozenset(showing(json.loads(handle.read())))
            last = parts[-1]
            end = last.offset_data + -(-last.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
            yield _Sample(path.name, parts[0].offset, end, shows)


def _pieces(to: Path, samples: Iterable[_Sample]) -> Iterator[bytes]:
    for sample in samples:
        with (to / sample.shard).open("rb") as tar:
            tar.seek(sample.start)
            yield tar.read(sample.end - sample.start)
    yield END_OF_TAR


def _write(path: Path, pieces: Iterable[bytes | memoryview]) -> Exported:
    digest, size = hashlib.sha256(), 0
    with atomic.replacing(path) as temporary, temporary.open("wb") as handle:
        for piece in pieces:
            handle.write(piece)
            digest.update(piece)
            size += len(piece)
    return Exported(path.name, size, digest.hexdigest())
