"""The manifest of a partition: what it holds, what it was made from, by which code and settings, what was left out.

A partition exists if and only if its manifest does. No clock and no machine name goes in, so equal work gives equal
bytes; staleness is decided by comparing what a manifest names with what is there now (see ``lib.lineage``).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from biomedica_assets.lib.errors import StoreError


@dataclasses.dataclass(frozen=True, slots=True)
class FileEntry:
    """A file that belongs to a partition beside its table, for example a shard: path below the data directory."""

    path: str
    bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True, slots=True)
class Manifest:
    """What one partition is.

    Attributes:
        asset: asset and table name.
        partition: partition key, None if unpartitioned.
        rows: rows of the table.
        bytes: size of the table file and of all ``files``.
        sha256: digest of the table file.
        data_version: digest of the content (table, rejects and files); what downstream compares.
        code_version: version constant of the algorithm.
        inputs: ``asset`` or ``asset@partition`` -> data version that was read.
        config: settings that shape the content (not those that only shape speed).
        n_in: items that came in.
        n_out: items that came out, in the unit of ``n_in``.
        rejects: items left out by reason code.
        files: further files of the partition.
        metrics: further numbers about the content.
        parts: files of the table itself: its rows, then what was left out, if anything was. Each is named by its
            digest, so that a rerun writes beside what is being read and never over it.
    """

    asset: str
    partition: str | None
    rows: int
    bytes: int
    sha256: str
    data_version: str
    code_version: str
    inputs: Mapping[str, str]
    config: Mapping[str, Any]
    n_in: int
    n_out: int
    rejects: Mapping[str, int]
    files: tuple[FileEntry, ...] = ()
    metrics: Mapping[str, Any] = dataclasses.field(default_factory=dict[str, Any])
    parts: tuple[FileEntry, ...] = ()

    @property
    def stored(self) -> tuple[FileEntry, ...]:
        """Every file that this manifest vouches for."""
        return (*self.parts, *self.files)

    def to_json(self) -> bytes:
        """Canonical JSON: sorted keys, one object, a final line feed."""
        return (json.dumps(dataclasses.asdict(self), sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes, where: str) -> Manifest:
        """Read a manifest.

        Raises:
            StoreError: it is damaged; the message names ``where``.
        """
        try:
            raw = json.loads(data)
            raw["files"] = tuple(FileEntry(**entry) for entry in raw["files"])
            raw["parts"] = tuple(FileEntry(**entry) for entry in raw.get("parts", ()))
            return cls(**raw)
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{where} is not a manifest ({error}); delete it and materialise the partition again"
            ) from error


def digest(*parts: str) -> str:
    """Short digest of strings, order kept: 32 hex digits of SHA-256."""
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:32]
