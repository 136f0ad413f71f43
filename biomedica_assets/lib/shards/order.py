"""Which sample goes into which shard, at which place: pure functions of the samples, the seed and the limits.

Samples of a shard share licence group and image format: one licence, so that a group can be used or left out whole; one
format, because Hugging Face's reader takes the members of the first sample for those of all and drops what differs.
The order is that of a hash of seed and key: it depends neither on the order of the input nor on what else is there.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Sequence

from biomedica_assets.lib.shards import tar
from biomedica_assets.lib.shards.config import ShardConfig

# Hugging Face's reader infers the types of the JSON from this many samples of the first shard.
HF_LOOKS_AT = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """One sample, ready to be written but for the image, which stays in the mirror.

    Attributes:
        key: name of its members up to the dot.
        figure_id: its figure.
        article_id: its article.
        license_group: decides the folder.
        extension: of the image member, without dot: jpg, png, gif, tif, webp or bmp.
        path: the image below the data directory.
        image_bytes: size of the image.
        sha256: of the image.
        crc32: of the image, None if it is not known.
        txt: caption, UTF-8.
        json: record, UTF-8.
        filled: optional fields of the record that have a value, see ``sample.filled``.
    """

    key: str
    figure_id: str
    article_id: str
    license_group: str
    extension: str
    path: str
    image_bytes: int
    sha256: str
    crc32: int | None
    txt: bytes
    json: bytes
    filled: int

    @property
    def tar_bytes(self) -> int:
        """What the sample takes in the archive."""
        return sum(map(tar.member_bytes, (self.image_bytes, len(self.txt), len(self.json))))


@dataclasses.dataclass(frozen=True, slots=True)
class Planned:
    """One shard to be written: its folder, the beginning of its name, its samples in order."""

    license_group: str
    name: str
    samples: tuple[Sample, ...]


def plan(chunk: str, samples: Iterable[Sample], config: ShardConfig) -> list[Planned]:
    """Cut samples into shards named ``<chunk>-<format>-<number>``; every sample is in exactly one."""
    groups: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.license_group, sample.extension), []).append(sample)
    return [
        Planned(group, f"{chunk}-{extension}-{number:06d}", tuple(_revealing_first(part)))
        for (group, extension), members in sorted(groups.items())
        for number, part in enumerate(_cut(_shuffled(members, config.seed), config))
    ]


def _shuffled(samples: Iterable[Sample], seed: int) -> list[Sample]:
    return sorted(samples, key=lambda s: (hashlib.sha256(f"{seed}:{s.key}".encode()).digest(), s.key))


def _cut(samples: Iterable[Sample], config: ShardConfig) -> Iterator[list[Sample]]:
    part: list[Sample] = []
    used = len(tar.END)
    for sample in samples:
        size = sample.tar_bytes
        if part and (len(part) == config.max_samples or used + size > config.max_bytes):
            yield part
            part, used = [], len(tar.END)
        part.append(sample)
        used += size
    if part:
        yield part


def _revealing_first(samples: Sequence[Sample]) -> list[Sample]:
    """Move to the front up to ``HF_LOOKS_AT`` samples that together fill as many optional fields as can be.

    A field that is null in all samples the reader looks at becomes a column of nulls, and the first value that comes
    later ends the load with "Couldn't cast array of type string to null" (seen with datasets 5.2). The rest keeps its
    order.
    """
    first: list[int] = []
    covered = 0
    while len(first) < min(HF_LOOKS_AT, len(samples)):
        best = max(range(len(samples)), key=lambda i: ((samples[i].filled & ~covered).bit_count(), -i))
        if not samples[best].filled & ~covered:
            break
        first.append(best)
        covered |= samples[best].filled
    chosen = set(first)
    return [samples[i] for i in first] + [s for i, s in enumerate(samples) if i not in chosen]
