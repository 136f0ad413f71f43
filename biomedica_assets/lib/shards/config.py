"""The choices that shape shards. Settings become a ``ShardConfig``."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from biomedica_assets.lib.errors import PermanentFailure

_GROUP = re.compile(r"[a-z0-9_]{1,40}")


@dataclasses.dataclass(frozen=True, slots=True)
class ShardConfig:
    """How samples are chosen, ordered and cut.

    Attributes:
        seed: orders the samples of a chunk; another seed gives another order of the same samples.
        max_samples: most samples in a shard.
        max_bytes: most bytes in a shard; a sample that is larger alone gets a shard of its own.
        license_groups: groups that may go into shards; the rest becomes rejects.
        max_mention_chars: most characters of citing paragraphs in one JSON record. Whole paragraphs, in document order,
            as long as they fit: BIOMEDICA put the full article into each sample and grew to 27 TB.
        invented: whether the articles come from a generator; each record says so.
    """

    seed: int = 0
    max_samples: int = 10_000
    max_bytes: int = 2_000_000_000
    license_groups: tuple[str, ...] = ("commercial", "noncommercial")
    max_mention_chars: int = 8_000
    invented: bool = False

    def __post_init__(self) -> None:
        if self.max_samples < 1 or self.max_bytes < 1 or self.max_mention_chars < 0:
            raise PermanentFailure(
                f"max_samples {self.max_samples} and max_bytes {self.max_bytes} must be at least 1, "
                f"max_mention_chars {self.max_mention_chars} at least 0"
            )
        for group in self.license_groups:
            if not _GROUP.fullmatch(group):
                raise PermanentFailure(f"licence group {group!r} names a folder: it must be 1 to 40 of a-z 0-9 _")

    def recorded(self) -> dict[str, Any]:
        """The settings as the manifest records them."""
        return dataclasses.asdict(self) | {"license_groups": sorted(set(self.license_groups))}


@dataclasses.dataclass(frozen=True, slots=True)
class PanelConfig:
    """Which panels become samples of their own.

    Attributes:
        wanted: whether any do; without, nothing is written, since panels take about as much room as the shards.
        shards: how they are ordered and cut into shards.
        min_side: shortest side of a panel, pixels.
    """

    wanted: bool = True
    shards: ShardConfig = ShardConfig()
    min_side: int = 21

    def recorded(self) -> dict[str, Any]:
        """The settings as the manifest records them; where nothing is written, nothing else shapes it."""
        return (
            {"wanted": True, "min_side": self.min_side, **self.shards.recorded()} if self.wanted else {"wanted": False}
        )
