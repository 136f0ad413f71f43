"""What a stage says about its work: counts, rejects, bytes, seconds, digest, pictures.

Every library function that fills a partition returns a ``Report``; ``biomedica_assets/metadata.py`` turns it into
Dagster's ``MaterializeResult`` and the command line prints it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

Scalar = int | float | str | bool | None


@dataclasses.dataclass(frozen=True, slots=True)
class Picture:
    """Something a person would rather look at: image bytes with the text that stands beside them."""

    title: str
    data: bytes
    media_type: str = "image/png"


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """Outcome of filling one partition of one asset.

    Attributes:
        asset: name of the asset (and of its table).
        partition: partition key, None for an unpartitioned asset.
        data_version: digest of the content; equal content gives an equal value.
        rows: rows written.
        n_in: items that came in; conservation demands ``n_in == n_out + sum(rejects.values())``.
        n_out: items that came out, in the unit of ``n_in``.
        rejects: how many items were left out, by reason code.
        bytes_written: size of what was published.
        seconds: wall time of the work.
        metrics: further numbers or short texts, plotted or shown by name.
        preview: a few rows for people, as dictionaries of plain values.
        pictures: plots and image strips.
        skipped: True if the partition was already current and nothing was written.
    """

    asset: str
    partition: str | None
    data_version: str
    rows: int
    n_in: int
    n_out: int
    rejects: Mapping[str, int] = dataclasses.field(default_factory=dict[str, int])
    bytes_written: int = 0
    seconds: float = 0.0
    metrics: Mapping[str, Scalar] = dataclasses.field(default_factory=dict[str, Scalar])
    preview: tuple[Mapping[str, Scalar], ...] = ()
    pictures: tuple[Picture, ...] = ()
    skipped: bool = False

    @property
    def n_rejected(self) -> int:
        """Items left out, over all reasons."""
        return sum(self.rejects.values())

    @property
    def reconciles(self) -> bool:
        """Whether nothing disappeared: in = out + rejected."""
        return self.n_in == self.n_out + self.n_rejected
