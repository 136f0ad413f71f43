"""A virtual shard as a stream of bytes: ranges of physical shards, then the end of a tar."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from biomedica_assets.lib.stream import pipes
from biomedica_assets.lib.stream.addresses import is_remote
from biomedica_assets.lib.stream.cache import SampleCache, cached
from biomedica_assets.lib.stream.checks import Checked, Remote
from biomedica_assets.lib.stream.failures import StreamError
from biomedica_assets.lib.stream.headers import header
from biomedica_assets.lib.stream.index import IN_SHARDS, TAR_BLOCK, Entry, Index
from biomedica_assets.lib.stream.local import LocalShards
from biomedica_assets.lib.stream.members import Members
from biomedica_assets.lib.stream.order import apart, slices
from biomedica_assets.lib.stream.ranges import Range, joined

if TYPE_CHECKING:
    from biomedica_assets.lib.stream.pictures import Assembled, FromBucket, Source

    AnySource = LocalShards | Remote | FromBucket

END_OF_TAR = bytes(2 * TAR_BLOCK)
BROKEN = header("stream-broken.txt", TAR_BLOCK)
"""A member whose data never comes. Readers that take the end of the bytes for the end of the tar (Python's tarfile
does, between members) fail on it, so that a sample lost to a dead disk cannot pass for an epoch a little shorter."""


class Selection(NamedTuple):
    """Which virtual shard: ``shard`` of ``of`` in ``epoch`` of ``split``.

    ``caption`` takes another text, see ``captions``; ``ext`` only samples whose image has that extension;
    ``skip_damaged`` leaves out samples that arrive damaged twice, instead of ending there.
    """

    split: str = "train"
    shard: int = 0
    of: int | None = None
    epoch: int = 0
    shuffle: bool = True
    caption: str | None = None
    ext: str | None = None
    skip_damaged: bool = False


@dataclasses.dataclass(slots=True)
class Count:
    """What came from afar: samples passed on, their bytes, and damaged ones that were left out."""

    samples: int = 0
    bytes: int = 0
    skipped: int = 0


class Pictures(NamedTuple):
    """Where pictures come from when the shards hold text alone; see ``pictures.FromBucket``."""

    place: str = "s3://pmc-oa-opendata"
    in_flight: int = 64
    shrink: int | None = None
    open: Callable[[str, int], Source] | None = None
    """Opens the place for so many requests at once."""


def open_source(index: Index, base: str, token: str | None = None, pictures: Pictures | None = None) -> AnySource:
    """Where the physical shards of an index are.

    Args:
        index: the recipe's index.
        base: folder or ``http(s)://`` or ``s3://`` address below which the shards lie.
        token: bearer token for the address, if it asks for one.
        pictures: where pictures are that are not in the shards; None: in PubMed Central's bucket.

    Raises:
        StreamError: the address is of no known kind.
    """
    shards: LocalShards | Remote
    if is_remote(base):
        from biomedica_assets.lib.stream.http import HttpShards

        shards = HttpShards(base, index.shards, token)
    else:
        shards = LocalShards(Path(base), index.shards)
    if index.pictures == IN_SHARDS:
        return shards
    from biomedica_assets.lib.stream.pictures import FromBucket

    wanted = pictures or Pictures()
    if wanted.open is None:
        raise StreamError("the index points to text alone, and nothing was given that fetches pictures")
    return FromBucket(shards, wanted.open(wanted.place, wanted.in_flight), wanted.in_flight, wanted.shrink)


def entries(index: Index, wanted: Selection) -> Iterator[Entry]:
    """Samples of a virtual shard in its order.

    Raises:
        StreamError: the split or the virtual shard does not exist.
    """
    split = index.split(wanted.split)
    of = split.virtual_shards if wanted.of is None else wanted.of
    runs = slices(
        split.entries,
        index.block,
        shard=wanted.shard,
        of=of,
        seed=index.seed,
        epoch=wanted.epoch,
        shuffle=wanted.shuffle,
    )
    found = (entry for low, high in runs for entry in index.entries(split, low, high))
    if wanted.ext is not None:
        if wanted.ext not in (known := sorted({shard.ext for shard in index.shards})):
            raise StreamError(f"no image of {index.recipe} has the extension {wanted.ext!r}; there are {known}")
        found = (entry for entry in found if index.shards[entry.shard].ext == wanted.ext)
    return apart(found) if split.repeats else found


def chunks(
    index: Index,
    source: AnySource,
    wanted: Selection,
    cache: SampleCache | None = None,
    count: Count | None = None,
) -> Iterator[bytes | memoryview]:
    """The tar in pieces. A view is valid until the next piece is asked for; memory does not grow with the shard.

    Args:
        index: the recipe's index.
        source: where the shards are.
        wanted: which virtual shard.
        cache: keeps samples that come from afar.
        count: counts samples that come from afar.

    Raises:
        StreamError: a physical shard is not what the recipe was made from, or cannot be read. The pieces before it end
            inside a member, so that no reader takes what it got for the whole.
    """
    members = Members()

    def read() -> Iterator[bytes | memoryview]:
        if not isinstance(source, LocalShards):
            yield from _from_afar(index, source, wanted, cache, count or Count())
            return
        asked: deque[Range] = deque()
        came = 0
        for view in source.read(_noted(joined(entries(index, wanted), source.longest), asked)):
            yield from members.passed(view, index.shards[asked[0].shard].path)
            came += len(view)
            if came == asked[0].end - asked[0].start:
                asked.popleft()
                came = 0

    try:
        yield from read() if wanted.caption is None else _rewritten(read(), wanted.caption, wanted.epoch)
    except StreamError:
        if members.between:
            yield BROKEN
        raise
    yield END_OF_TAR


def _from_afar(
    index: Index, source: Remote | FromBucket, wanted: Selection, cache: SampleCache | None, count: Count
) -> Iterator[memoryview]:
    checked: Checked | Assembled
    if index.pictures == IN_SHARDS:
        checked = Checked(cast("Remote", source), index.shards, skip=wanted.skip_damaged)
    else:
        from biomedica_assets.lib.stream.pictures import Assembled

        checked = Assembled(cast("FromBucket", source), index.shards, skip=wanted.skip_damaged)
    found = entries(index, wanted)
    samples = checked.read(found) if cache is None else cached(checked, cache, (s.path for s in index.shards), found)
    try:
        for _, sample in samples:
            count.samples += 1
            count.bytes += len(sample)
            yield sample
    finally:
        count.skipped = checked.skipped


def _rewritten(pieces: Iterator[bytes | memoryview], caption: str, epoch: int) -> Iterator[bytes | memoryview]:
    from biomedica_assets.lib.stream.captions import rewritten

    return rewritten(pieces, caption, epoch)


def _noted(ranges: Iterable[Range], asked: deque[Range]) -> Iterator[Range]:
    for wanted in ranges:
        asked.append(wanted)
        yield wanted


def send(
    index: Index,
    source: AnySource,
    wanted: Selection,
    descriptor: int,
    cache: SampleCache | None = None,
    count: Count | None = None,
) -> None:
    """Write a virtual shard to a file descriptor, without a copy through this process where that can be.

    Args:
        index: the recipe's index.
        source: where the shards are.
        wanted: which virtual shard.
        descriptor: where to.
        cache: keeps samples that come from afar.
        count: counts samples that come from afar.

    Raises:
        StreamError: as in ``chunks``; what was written then is no whole tar.
        BrokenPipeError: the reader left.
    """
    pipes.widen(descriptor)
    if wanted.caption is not None or not isinstance(source, LocalShards) or not pipes.can_splice(descriptor):
        for piece in chunks(index, source, wanted, cache, count):
            pipes.write_all(descriptor, piece)
        return
    splicer = pipes.Splicer(source, descriptor)
    try:
        splicer.send(joined(entries(index, wanted), source.longest))
    except StreamError:
        if splicer.between:
            pipes.write_all(descriptor, BROKEN)
        raise
    pipes.write_all(descriptor, END_OF_TAR)
