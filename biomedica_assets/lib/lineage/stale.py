"""Why a partition is out of date: its manifest against what it would be made of now.

A partition is current if its code version, the settings that shape it and the data versions of everything it read are
what they would be today, and its files are still those that were written. No time stamps of inputs are compared: a
rerun that changes nothing makes nothing else stale. What is current in itself but stands below something that is not
*waits*: it may be made again, or turn out to be current, once its inputs are. What cannot be made before something
comes from outside the graph (data, votes, weights) is *waiting*, and so is what stands below it and is not made.
"""

from __future__ import annotations

import dataclasses
import enum
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from biomedica_assets.lib import chunks
from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.store import damage
from biomedica_assets.lib.store.indexes import shards_of
from biomedica_assets.lib.store.lake import MANIFEST, Lake, input_name
from biomedica_assets.lib.store.manifest import Manifest
from biomedica_assets.lib.store.owners import owner_of_shard
from biomedica_assets.lib.tables import PANEL_SHARDS, RECIPE, SHARDS, Table

_NAMED = 3
"""Partitions of one input that a reason names."""


class Cause(enum.StrEnum):
    """Kinds of reasons, in the order in which they are reported."""

    MISSING = "missing"
    DAMAGED = "damaged"
    CODE = "code"
    SETTINGS = "settings"
    INPUT_CHANGED = "input_changed"
    INPUT_ADDED = "input_added"
    INPUT_REMOVED = "input_removed"
    INPUT_REPLACED = "input_replaced"
    WAITS = "waits"
    OUTSIDE = "waiting"


@dataclasses.dataclass(frozen=True, slots=True)
class Reason:
    """One reason why a partition is out of date."""

    cause: Cause
    detail: str

    def __str__(self) -> str:
        """For people: ``code: parser 2 -> 3``."""
        return f"{self.cause}: {self.detail}"


@dataclasses.dataclass(frozen=True, slots=True)
class Expectation:
    """What a partition would be made of if it were made now.

    Attributes:
        code_version: version constant of the algorithm, None if it is not tracked.
        config: settings that shape the content, None if they are not tracked.
        inputs: name -> data version of everything it would read.
    """

    code_version: str | None
    config: Mapping[str, Any] | None
    inputs: Mapping[str, str]


def reasons(manifest: Manifest | None, expected: Expectation) -> list[Reason]:
    """Why the partition is out of date; empty if it is current."""
    if manifest is None:
        return [Reason(Cause.MISSING, "has never been materialised")]
    found: list[Reason] = []
    if expected.code_version is not None and manifest.code_version != expected.code_version:
        found.append(Reason(Cause.CODE, f"{manifest.code_version} -> {expected.code_version}"))
    if expected.config is not None:
        # Manifests went through JSON: tuples became lists there.
        now, then = json.loads(json.dumps(expected.config)), json.loads(json.dumps(dict(manifest.config)))
        found += [
            Reason(Cause.SETTINGS, f"{name}: {then.get(name)!r} -> {now.get(name)!r}")
            for name in sorted({*now, *then})
            if now.get(name) != then.get(name)
        ]
    for name in sorted({*manifest.inputs, *expected.inputs}):
        then_version, now_version = manifest.inputs.get(name), expected.inputs.get(name)
        if then_version is None:
            found.append(Reason(Cause.INPUT_ADDED, name))
        elif now_version is None:
            found.append(Reason(Cause.INPUT_REMOVED, name))
        elif then_version != now_version:
            found.append(Reason(Cause.INPUT_CHANGED, name))
    return found


def upstream_partitions(lake: Lake, child: Table, partition: str | None, parent: Table) -> Sequence[str | None]:
    """Partitions of ``parent`` that a partition of ``child`` reads: same key, its shelf's chunks, or all that exist."""
    if parent.partitioning == "none":
        return [None]
    if parent.partitioning == child.partitioning:
        return [partition]
    if parent.partitioning == "shelf" and child.partitioning == "chunk" and partition is not None:
        return [chunks.shelf_of_chunk(partition)]
    existing = lake.partitions(parent)
    if parent.partitioning == "chunk" and child.partitioning == "shelf":
        return [key for key in existing if chunks.shelf_of_chunk(key) == partition]
    return list(existing)


def waits(
    lake: Lake,
    child: Table,
    partition: str | None,
    parents: Sequence[Table],
    behind: Collection[tuple[str, str | None]],
) -> list[Reason]:
    """Which inputs a partition waits for: those that are out of date themselves or wait for others.

    Args:
        lake: the data directory.
        child: whose partition.
        partition: its key.
        parents: tables it reads.
        behind: asset and partition of everything above that is out of date or waits.

    Returns:
        One reason per table, naming its first partitions; empty if all inputs are final.
    """
    found: list[Reason] = []
    for parent in parents:
        read = upstream_partitions(lake, child, partition, parent)
        late = [k for k in read if (parent.name, k) in behind]
        # What is not there yet will be read once it is: a shelf waits for a new chunk.
        late += [
            k for name, k in behind if name == parent.name and k not in read and _will_read(child, partition, parent, k)
        ]
        late.sort(key=str)
        if late:
            found.append(Reason(Cause.WAITS, f"for {named(parent.name, late)}"))
    return found


def named(asset: str, partitions: Sequence[str | None]) -> str:
    """Partitions of an asset in words, the first of them by name."""
    first = ", ".join(input_name(asset, key) for key in partitions[:_NAMED])
    return f"{first} and {len(partitions) - _NAMED:,} more" if len(partitions) > _NAMED else first


def will_read(child: Table, partition: str | None, parent: Table, key: str | None) -> bool:
    """Whether a partition of ``child`` reads partition ``key`` of ``parent`` if that is there."""
    if parent.partitioning in ("none", child.partitioning):
        return key in (None, partition)
    if parent.partitioning == "shelf" and child.partitioning == "chunk" and partition is not None:
        return key == chunks.shelf_of_chunk(partition)
    return _will_read(child, partition, parent, key)


def _will_read(child: Table, partition: str | None, parent: Table, key: str | None) -> bool:
    """Whether a partition of ``child`` reads partition ``key`` of ``parent`` as soon as that exists."""
    if parent.partitioning in ("none", child.partitioning) or child.partitioning == "chunk" or key is None:
        return False
    return child.partitioning != "shelf" or parent.partitioning != "chunk" or chunks.shelf_of_chunk(key) == partition


class Versions:
    """Data versions of partitions, each manifest read once; ``forget`` those that were just rewritten."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._known: dict[tuple[str, str | None], Manifest | None] = {}
        self._unreadable: dict[tuple[str, str | None], str] = {}
        self._shards: dict[str, None] | None = None

    def manifest(self, table: Table, partition: str | None) -> Manifest | None:
        """The manifest, from memory if it was read before; None also if it is damaged, which ``faults`` says."""
        key = (table.name, partition)
        if key not in self._known:
            try:
                self._known[key] = self._lake.manifest(table, partition)
            except StoreError as error:
                self._known[key] = None
                self._unreadable[key] = str(error)
        return self._known[key]

    def forget(self) -> None:
        """Read everything anew."""
        self._known.clear()
        self._unreadable.clear()
        self._shards = None

    def faults(self, table: Table, partition: str | None) -> list[Reason]:
        """What is wrong with the files of a partition, and which files it goes on reading though they were replaced.

        Sizes and times only, and what ``biomedica fsck`` found when it last hashed everything.
        """
        manifest = self.manifest(table, partition)
        if (table.name, partition) in self._unreadable:
            return [Reason(Cause.DAMAGED, self._unreadable[table.name, partition])]
        if manifest is None:
            return []
        path = self._lake.folder(table, partition) / MANIFEST
        told = dict.fromkeys((*damage.glance(self._lake.root, manifest.stored, path), *damage.marked(path.parent)))
        found = [Reason(Cause.DAMAGED, fault) for fault in told]
        return found + (self._replaced(manifest) if table.name == RECIPE.name else [])

    def _replaced(self, recipe: Manifest) -> list[Reason]:
        """Shards that the index of a recipe reads and that are not the present ones of their chunk any more."""
        if self._shards is None:
            tars = (SHARDS, PANEL_SHARDS)
            present = (self.manifest(table, chunk) for table in tars for chunk in self._lake.partitions(table))
            self._shards = {entry.path: None for made in present if made for entry in made.files}
        now = self._shards
        read = (path for entry in recipe.files for path in shards_of(self._lake.root / entry.path) or ())
        replaced = Counter(owner_of_shard(path) for path in read if path not in now)
        told = {owner: f"{n:,} shard{'s' * (n > 1)} of an earlier run" for owner, n in sorted(replaced.items())}
        return [Reason(Cause.INPUT_REPLACED, f"{owner} was made again: this reads {n}") for owner, n in told.items()]

    def inputs(self, child: Table, partition: str | None, parents: Sequence[Table]) -> dict[str, str]:
        """What ``child`` would record as inputs if it were made now; parents that do not exist are left out."""
        named: dict[str, str] = {}
        for parent in parents:
            for key in upstream_partitions(self._lake, child, partition, parent):
                manifest = self.manifest(parent, key)
                if manifest is not None:
                    named[input_name(parent.name, key)] = manifest.data_version
        return named
