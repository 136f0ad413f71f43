"""Why a partition is out of date: its manifest against what it would be made of now.

A partition is current if its code version, the settings that shape it and the data versions of everything it read are
what they would be today. No time stamps are compared: a rerun that changes nothing makes nothing else stale.
"""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Mapping, Sequence
from typing import Any

from biomedica_assets.lib import chunks
from biomedica_assets.lib.store.lake import Lake, input_name
from biomedica_assets.lib.store.manifest import Manifest
from biomedica_assets.lib.tables import Table


class Cause(enum.StrEnum):
    """Kinds of reasons, in the order in which they are reported."""

    MISSING = "missing"
    CODE = "code"
    SETTINGS = "settings"
    INPUT_CHANGED = "input_changed"
    INPUT_ADDED = "input_added"
    INPUT_REMOVED = "input_removed"


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


class Versions:
    """Data versions of partitions, each manifest read once; ``forget`` those that were just rewritten."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._known: dict[tuple[str, str | None], Manifest | None] = {}

    def manifest(self, table: Table, partition: str | None) -> Manifest | None:
        """The manifest, from memory if it was read before."""
        key = (table.name, partition)
        if key not in self._known:
            self._known[key] = self._lake.manifest(table, partition)
        return self._known[key]

    def forget(self) -> None:
        """Read everything anew."""
        self._known.clear()

    def inputs(self, child: Table, partition: str | None, parents: Sequence[Table]) -> dict[str, str]:
        """What ``child`` would record as inputs if it were made now; parents that do not exist are left out."""
        named: dict[str, str] = {}
        for parent in parents:
            for key in upstream_partitions(self._lake, child, partition, parent):
                manifest = self.manifest(parent, key)
                if manifest is not None:
                    named[input_name(parent.name, key)] = manifest.data_version
        return named
