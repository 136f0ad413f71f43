"""Fetch the objects of a partition and measure them, each once, fetching and decoding side by side.

Belongs here: the contract of what fetches (``Fetch``) and the flow from objects to outcomes. Which objects are wanted,
and what becomes of the outcomes, is the stage's business.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from biomedica_assets.lib.compute import Engine
from biomedica_assets.lib.errors import PermanentFailure, Reject, RejectReason
from biomedica_assets.lib.images.limits import ImageLimits
from biomedica_assets.lib.images.resolve import MediaObject
from biomedica_assets.lib.images.verify import Batch, ImageRefused, Measurement, measure_batch
from biomedica_assets.lib.progress import Progress
from biomedica_assets.lib.store.lake import Lake

# Small enough that a chunk of a few hundred images keeps every core busy to the end, large enough that handing a batch
# over (about 0.1 ms) does not show beside decoding it (about 4 ms per megapixel).
BATCH = 8


class SourceObject(Protocol):
    """An object of the source: what ``Fetch`` is asked for and names in its answers."""

    @property
    def article_id(self) -> str: ...  # noqa: D102
    @property
    def key(self) -> str: ...  # noqa: D102
    @property
    def md5(self) -> str: ...  # noqa: D102


class Fetch(Protocol):
    """Brings objects into the local mirror and says where they are; ``lib.pmc`` has the real one."""

    def __call__(self, objects: Sequence[MediaObject], /) -> Iterator[tuple[SourceObject, Path | Reject]]:
        """Yield each object once, in any order, with its verified file below the data directory or a reject."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Located:
    """A measured file of the mirror."""

    path: str
    measurement: Measurement


Refusal = tuple[RejectReason, str]


def collect(
    lake: Lake,
    wanted: Sequence[MediaObject],
    fetch: Fetch,
    limits: ImageLimits,
    engine: Engine,
    progress: Progress,
) -> dict[str, Located | Refusal]:
    """Fetch and measure objects.

    Returns:
        For the key of every wanted object, where it lies and what it is, or why it is no image.

    Raises:
        PermanentFailure: ``fetch`` forgets an object or answers for one that nobody asked for.
    """
    outcome: dict[str, Located | Refusal] = {}
    by_key = {obj.key: obj for obj in wanted}
    keys: dict[Path, str] = {}

    def refused(key: str, reject: Reject) -> None:
        outcome[key] = (RejectReason(reject.reason), reject.message)
        progress.advance()

    def batches() -> Iterator[Batch]:
        held: list[Path] = []
        for key, path in _fetched(fetch, wanted, by_key, refused):
            keys[path] = key
            held.append(path)
            if len(held) == BATCH:
                yield Batch(tuple(held), limits)
                held = []
        if held:
            yield Batch(tuple(held), limits)

    for batch, results in engine.map_batches(measure_batch, batches()):
        if isinstance(results, Exception):
            raise results
        for path, result in zip(batch.paths, results, strict=True):
            outcome[keys[path]] = _judge(lake, by_key[keys[path]], path, result)
        progress.advance(len(batch.paths))
    if missing := sorted(by_key.keys() - outcome.keys()):
        raise PermanentFailure(f"fetch gave no answer for {len(missing)} objects, the first is {missing[0]}")
    return outcome


def _fetched(
    fetch: Fetch,
    wanted: Sequence[MediaObject],
    by_key: Mapping[str, MediaObject],
    refused: Callable[[str, Reject], None],
) -> Iterator[tuple[str, Path]]:
    """Keys and files that arrived; what did not arrive is told to ``refused``."""
    for obj, answer in fetch(wanted) if wanted else ():
        if obj.key not in by_key:
            raise PermanentFailure(f"fetch answered for {obj.key}, which nobody asked for")
        if isinstance(answer, Reject):
            refused(obj.key, answer)
        else:
            yield obj.key, answer


def _judge(lake: Lake, obj: MediaObject, path: Path, result: Measurement | ImageRefused) -> Located | Refusal:
    if isinstance(result, ImageRefused):
        return result.reason, result.message
    if result.md5 != obj.md5:
        return RejectReason.CHECKSUM_MISMATCH, f"MD5 of {path.name} is {result.md5}, the source states {obj.md5}"
    return Located(lake.path_below(path), result)
